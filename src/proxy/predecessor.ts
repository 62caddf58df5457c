// The process that served before this one on the same host (hot restart), as Server needs it: its listening sockets, when the first of them
// all began, what it still has in hand. Implemented by sidecar/restart/old-process.ts.
// Invariant: a socket is taken once; its queue of clients belongs to both processes until the old one closes its own.

import type { SendHandle } from 'node:child_process'
import type { Address } from '../model/address.js'

/** Processes of different forms do not take over from each other. */
export const HOT_RESTART_VERSION = 'outrigger.1'

/** A listening socket of Node's, without its net.Server: what node:cluster passes too. */
export interface ListeningHandle {
  close(): void
}

export interface Predecessor {
  readonly connections: number
  readonly allocatedBytes: number
  readonly firstStartedAt: number
  readonly generation: number
  has(address: Address): boolean
  take(address: Address): ListeningHandle | null
}

/** A listening socket on its way to a new process; `address` as the config wrote it. */
export interface OfferedSocket {
  readonly address: string
  readonly handle: SendHandle
}
