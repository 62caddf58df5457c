// What the admin API shows and steers, given to AdminServer by the sidecar: the server itself, and what stands above it (the dump of what
// came over xDS, the log, the process).

import type { StatsStore } from '../../metrics/stats-store.js'
import type { Server } from '../server.js'

/** Prints /config_dump; made by the sidecar, which knows protobuf. */
export interface ConfigDump {
  /** Envoy's JSON; an error text for a bad query. */
  dump(query: URLSearchParams): Promise<{ readonly status: number; readonly body: string }>
}

export interface AdminLogging {
  level(): string
  setLevel(level: string): boolean
}

export interface AdminOptions {
  readonly server: Server
  readonly store: StatsStore
  readonly configDump: ConfigDump
  /** Envoy's five-part version string. */
  readonly version: string
  readonly commandLine: object
  readonly logging: AdminLogging
  readonly adsStatus: () => object | null
  /** POST /quitquitquit. */
  readonly stop: () => void
}
