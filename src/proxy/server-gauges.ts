// The `server.` gauges that are read from the process. Made by Server; refreshed at each stats flush and before each scrape.

import { type ServerHandles, serverStats } from '../metrics/stat-names.js'
import type { StatsStore } from '../metrics/stats-store.js'
import type { TlsContexts } from '../mtls/tls/tls-contexts.js'
import type { Predecessor } from './predecessor.js'
import type { MemoryUse } from './process-role.js'

/** Envoy's value of the gauge while there is no certificate. */
const NO_CERTIFICATE_DAYS = 2 ** 32 - 1
export type ServerState = 'PRE_INITIALIZING' | 'INITIALIZING' | 'LIVE' | 'DRAINING'

/** Envoy's numbers of `server.state`. */
const STATE_NUMBERS: Readonly<Record<ServerState, number>> = { LIVE: 0, DRAINING: 1, PRE_INITIALIZING: 2, INITIALIZING: 3 }

interface GaugeSource {
  readonly store: StatsStore
  readonly startedAt: number
  readonly reportedState: ServerState
  readonly connectionCount: number
  readonly concurrency: number
  readonly predecessor: Predecessor | null
  readonly restartEpoch: number
  memoryUse(): MemoryUse
  readonly tlsContexts: Pick<TlsContexts, 'daysUntilFirstCertExpiring'>
}

export class ServerGauges {
  readonly stats: ServerHandles
  private readonly source: GaugeSource

  constructor(source: GaugeSource) {
    this.source = source
    this.stats = serverStats(source.store)
  }

  refresh(): void {
    const { stats, source } = this
    const { predecessor } = source
    stats.uptime.value = Math.floor((Date.now() - (predecessor?.firstStartedAt ?? source.startedAt)) / 1000)
    const { heapUsed, heapTotal, external, rss } = source.memoryUse()
    stats.memory_allocated.value = heapUsed + external + (predecessor?.allocatedBytes ?? 0)
    stats.hot_restart_epoch.value = source.restartEpoch
    stats.parent_connections.value = predecessor?.connections ?? 0
    stats.memory_heap_size.value = heapTotal
    stats.memory_physical_size.value = rss
    stats.concurrency.value = source.concurrency
    stats.total_connections.value = source.connectionCount + (predecessor?.connections ?? 0)
    stats.live.value = source.reportedState === 'LIVE' ? 1 : 0
    stats.state.value = STATE_NUMBERS[source.reportedState]
    stats.days_until_first_cert_expiring.value = source.tlsContexts.daysUntilFirstCertExpiring() ?? NO_CERTIFICATE_DAYS
  }
}
