// What the primary process and its workers say to each other over Node's IPC channel (structured clones; order is kept). Types only.
//
//   primary ─ start, update…, verdicts…, command…, synced ─▶ worker ─ ready ─▶ (from here on it is handed sockets)
//   primary ─ socket, update, forget, verdicts, command, collect, recent, stop ─▶ worker ─ serving, applied, report, demand, counts, recent ─▶ primary

import type { Socket } from 'node:net'
import type { RecentQuery, RecentRequest } from '../../l7/log/recent-requests.js'
import type { StatsChanges } from '../../metrics/stats-export.js'
import type { ConfigSource } from '../../model/config-source.js'
import type { WorkerCommand } from '../../proxy/admin/worker-command.js'
import type { ProcessDemand } from '../../proxy/demands.js'
import type { MemoryUse } from '../../proxy/process-role.js'
import type { ClusterVerdict, HostReport } from '../../upstream/health/health-verdicts.js'
import type { HostCounts } from '../../upstream/host/host.js'
import type { FedUpdate } from './fed-resources.js'

export type ToWorker =
  | { readonly kind: 'start'; readonly start: WorkerStart }
  | { readonly kind: 'update'; readonly serial: number; readonly update: FedUpdate }
  | { readonly kind: 'forget'; readonly typeUrl: string; readonly source: ConfigSource; readonly names: readonly string[] }
  | { readonly kind: 'verdicts'; readonly verdicts: readonly ClusterVerdict[] }
  | { readonly kind: 'command'; readonly command: WorkerCommand }
  /** All that went before has been sent: say when it is in use. */
  | { readonly kind: 'synced' }
  /** The handle comes with the message. */
  | { readonly kind: 'socket'; readonly listener: string }
  | { readonly kind: 'collect'; readonly serial: number; readonly hosts: boolean }
  | { readonly kind: 'recent'; readonly serial: number; readonly query: RecentQuery }
  /** Finish what runs within the grace, then exit; 0 = at once. */
  | { readonly kind: 'stop'; readonly graceMs: number }

export interface WorkerStart {
  /** Its place among the workers; a replacement takes the place of the one before it. */
  readonly index: number
  /** Connection ids begin here, so that they are unique among all workers that ever were. */
  readonly firstConnectionId: number
  /** The texts of the bootstrap, as the primary read them. */
  readonly bootstrap: readonly string[]
  /** Session tickets of one worker open at every other. */
  readonly ticketSeed: Uint8Array
}

export type FromWorker =
  | { readonly kind: 'ready' }
  /** The socket that came last. */
  | { readonly kind: 'taken' }
  /** Names of all listeners that take sockets now. */
  | { readonly kind: 'serving'; readonly listeners: readonly string[] }
  | { readonly kind: 'applied'; readonly serial: number; readonly refused: number }
  | { readonly kind: 'report'; readonly report: HostReport }
  /** A request asks for what the configuration does not have. */
  | { readonly kind: 'demand'; readonly demand: ProcessDemand }
  | { readonly kind: 'counts'; readonly serial: number; readonly counts: WorkerCounts }
  | { readonly kind: 'recent'; readonly serial: number; readonly requests: readonly RecentRequest[] }

export interface WorkerCounts {
  readonly stats: StatsChanges
  readonly connections: number
  readonly memory: MemoryUse
  readonly rates: readonly HostRates[]
  readonly drops: readonly ClusterDrops[]
  /** Empty unless asked for. */
  readonly hosts: readonly CountedHost[]
}

/** Requests that drop_overloads dropped since the last time. */
export interface ClusterDrops {
  readonly cluster: string
  readonly category: string
  readonly count: number
}

/** Requests since the last time, for the ejection by success rates. */
export interface HostRates {
  readonly cluster: string
  readonly host: string
  readonly external: readonly [total: number, success: number]
  readonly localOrigin: readonly [total: number, success: number]
}

/** What /clusters shows, since the worker began. */
export interface CountedHost {
  readonly cluster: string
  readonly host: string
  readonly counts: HostCounts
}

/** The way to one worker process, made by the command line. */
export interface WorkerChannel {
  readonly pid: number
  send(message: ToWorker): void
  /** The socket stays open here too. False: the client has left already. */
  sendSocket(message: ToWorker, socket: Socket): boolean
  kill(): void
}

export interface WorkerChannelEvents {
  onMessage(message: FromWorker): void
  /** The process has ended; `reason` for the log. */
  onExit(reason: string): void
}

export type SpawnWorker = (index: number, events: WorkerChannelEvents) => WorkerChannel
