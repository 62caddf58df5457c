// What the old and the new process of a hot restart say to each other, over a channel that can carry handles (made by the command line).
// Types, and the version of them; old-process.ts and new-process.ts are the two ends.
//
//   new ─ hello ─▶ old ─ socket… offered ─▶ new (starts, serves) ─ take-over ─▶ old (drains) ─ stats… ─▶ new

import type { SendHandle } from 'node:child_process'
import type { StatsChanges } from '../../metrics/stats-export.js'

export { HOT_RESTART_VERSION } from '../../proxy/predecessor.js'

export type ToOldProcess =
  | { readonly kind: 'hello'; readonly version: string; readonly epoch: number }
  /** The new one serves: stop accepting, drain, and exit after that time. */
  | { readonly kind: 'take-over'; readonly shutdownMs: number }

export type ToNewProcess =
  | { readonly kind: 'refused'; readonly reason: string }
  /** A listening socket; its handle comes with the message. `address` as the config wrote it. */
  | { readonly kind: 'socket'; readonly address: string }
  /** All sockets have come. */
  | { readonly kind: 'offered'; readonly offer: RestartOffer }
  | { readonly kind: 'stats'; readonly stats: OldProcessStats }

export interface RestartOffer {
  /** When the first process of them all began. */
  readonly firstStartedAt: number
  readonly generation: number
}

export interface OldProcessStats {
  readonly changes: StatsChanges
  readonly connections: number
  readonly allocatedBytes: number
}

/** The way to the other process. */
export interface RestartChannel<Out> {
  send(message: Out, handle?: SendHandle): void
  close(): void
}

export interface RestartChannelEvents<In> {
  onMessage(message: In, handle: unknown): void
  /** The other process has ended, or has closed the channel. */
  onClose(): void
}

export type OpenChannel<Out, In> = (events: RestartChannelEvents<In>) => RestartChannel<Out>
