// One version of a listener's config, compiled: made by compile-listener, held by ActiveListener and, for its own life, by each connection.

import type { SocketOptions } from '../../io/socket-options.js'
import type { OpenAccessLog } from '../../l7/log/open-access-log.js'
import type { Overload } from '../../l7/server/overload.js'
import type { ListenerFilterStats, ListenerStats } from '../../metrics/stat-names.js'
import type { Listener } from '../../model/listener.js'
import type { ChainRuntime } from './chain-runtime.js'
import type { FilterChainMatcher } from './filter-chain-match.js'

/** What a connection is accepted under. */
export interface ListenerVersion {
  readonly name: string
  readonly model: Listener
  readonly matcher: FilterChainMatcher<ChainRuntime>
  readonly stats: ListenerStats
  readonly filterStats: ListenerFilterStats
  /** A listener filter whose configuration has not come over ECDS; null: none. Connections are closed then. */
  readonly missingFilter: string | null
  /** Null: the listener neither wants to know where its clients wanted to go, nor is it transparent. */
  readonly socketOptions: SocketOptions | null
  /** The server wants this listener's HTTP clients to leave: POST /healthcheck/fail, a graceful drain. */
  readonly drainClose: () => boolean
  /** The listener's own: one line a connection, where those of its filters have one a request. */
  readonly accessLogs: readonly OpenAccessLog[]
  /** Null: the bootstrap has no overload manager, or the listener goes round it. */
  readonly overload: Overload | null
  readonly log: (level: 'debug' | 'info' | 'warn', message: string, fields?: Record<string, unknown>) => void
}
