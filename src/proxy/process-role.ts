// What one process of a proxy does: all of it (no role), or its part where several share the work (--concurrency). The primary binds,
// judges config and health, answers the admin, and hands every accepted socket on; a worker serves what it is handed. Given to Server by
// the sidecar. Who carries what between them: src/sidecar/workers.

import type { Socket } from 'node:net'
import type { LoadShedPoint, OverloadAction } from '../model/overload.js'
import type { RemoteHealth } from '../upstream/health/health-verdicts.js'

/** What the workers have together. */
export interface WorkerTotals {
  readonly connections: number
  readonly memory: MemoryUse
}

export type MemoryUse = Pick<NodeJS.MemoryUsage, 'heapUsed' | 'heapTotal' | 'external' | 'rss'>

export interface PrimaryRole {
  readonly kind: 'primary'
  /** Worker processes. */
  readonly concurrency: number
  handOff(listener: string, socket: Socket): void
  /** Every worker has the config and serves. */
  ready(): boolean
  totals(): WorkerTotals
  /** How overloaded the proxy is, which this process measures. */
  tellOverload(name: OverloadAction | LoadShedPoint, value: number): void
}

export interface WorkerRole {
  readonly kind: 'worker'
  /** From 0. */
  readonly index: number
  readonly remoteHealth: RemoteHealth
  /** Of the session tickets that every worker opens. */
  readonly ticketSeed: Uint8Array
}

export type ProcessRole = PrimaryRole | WorkerRole
