// What the admin API shows and steers, given to AdminServer by the sidecar: the server itself, and what stands above it (the dump of what
// came over xDS, the log, the process).

import type { StatsStore } from '../../metrics/stats-store.js'
import type { Server } from '../server.js'
import type { AdminRules } from './admin-guard.js'
import type { AdminWorkers } from './worker-command.js'

/** Prints /config_dump; made by the sidecar, which knows protobuf. */
export interface ConfigDump {
  /** Envoy's JSON; an error text for a bad query. */
  dump(query: URLSearchParams): Promise<{ readonly status: number; readonly body: string }>
}

/** Answers /config_status; made by the sidecar, which knows what came over xDS. */
export type ConfigStatus = (query: URLSearchParams) => object

export interface AdminLogging {
  /** The names of levels, least severe first. */
  readonly levelNames: readonly string[]
  /** Of each component, by Envoy's names. */
  levels(): ReadonlyMap<string, string>
  /** All of them or none; why none, in Envoy's words. */
  setLevels(changes: readonly (readonly [component: string, level: string])[]): string | null
}

export interface AdminOptions {
  readonly server: Server
  readonly store: StatsStore
  readonly configDump: ConfigDump
  readonly configStatus: ConfigStatus
  readonly rules: AdminRules
  /** Envoy's five-part version string. */
  readonly version: string
  readonly commandLine: object
  readonly logging: AdminLogging
  readonly adsStatus: () => object | null
  /** Absent: this process serves. */
  readonly workers?: AdminWorkers
  /** POST /quitquitquit. */
  readonly stop: () => void
}
