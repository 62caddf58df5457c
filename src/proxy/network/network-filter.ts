// The contract of network filters: what a connection's filter chain asks before its terminal filter runs. Implemented in network-filters
// and network-ext-authz; walked by the connection. Invariant: filters decide when the identity is known and before anything is dialled
// or read, so that a denied client sees not one byte of the service.

import type { AsyncCall } from '../../l7/client/async-client.js'
import type { ConnectionInfo } from '../../l7/stream/connection-info.js'

/** Why a connection may not pass. */
export interface Denial {
  readonly filter: string
  readonly reason: string
  /** Envoy's connection_termination_details; '' = none. */
  readonly details: string
  /** Intention or policy that decided; '' = none. */
  readonly decider: string
  /** For the access log; none by default. */
  readonly responseFlag?: number
  /** How long the connection stays open, unread, before it is closed; at once by default. */
  readonly delayMs?: number
  readonly responseCodeDetails?: string
}

export interface PreFilter {
  readonly name: string
  /** Null: may pass. */
  check(info: ConnectionInfo, state: FilterState): Denial | null
  /** The decision, where it comes later: `done` is called once, never from inside, and not after cancel(). The connection waits. */
  ask?(info: ConnectionInfo, done: (denial: Denial | null) => void): AsyncCall
  /** For a live connection after a config change: only rules, not limits. */
  recheck?(info: ConnectionInfo): Denial | null
  /** What check() would say of a connection that is only imagined; nothing is counted. Absent: only a real one shows it. */
  explain?(info: ConnectionInfo): { readonly allowed: boolean; readonly rule: string; readonly reason: string }
}

/** What the filters of one connection leave to what comes after them. */
export interface FilterState {
  cluster: string
  /** Dynamic metadata, for the connection's log line. */
  readonly metadata: { readonly namespace: string; readonly key: string; readonly value: string }[]
  releases: (() => void)[]
}
