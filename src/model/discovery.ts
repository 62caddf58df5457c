// Of a filter whose configuration comes over ECDS (envoy.config.core.v3.ExtensionConfigSource): where from, and what it is without.

import type { ConfigSource } from './config-source.js'

/** config_discovery: what the filter is comes over ECDS, under its name. `F`: what it may be. */
export interface Discovery<F> {
  readonly source: ConfigSource
  /** How long the listener waits for it; 0 = for ever. */
  readonly initialFetchTimeoutMs: number
  /** Full names of the messages that it may be. */
  readonly typeNames: readonly string[]
  /** Until the first one comes, and when it is removed; null = requests get 500, connections are closed. */
  readonly fallback: F | null
  /** apply_default_config_without_warming: the listener does not wait. */
  readonly withoutWarming: boolean
}
