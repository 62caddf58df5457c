// What of an accepted config entry has no effect here. Said by the HTTP API (`X-Consul-Warning`), `outrigger apply` and the mesh file.
import { configProblems, PROXY_CONFIG_KEYS } from './proxy-config-keys.js'
import type { ConfigEntry, ConfigError } from './types.js'

/** Of the keys of a proxy's configuration; every field of an entry has an effect or is refused. */
export function entryWarnings(entry: ConfigEntry): readonly ConfigError[] {
  return entry.Kind === 'proxy-defaults' ? configProblems(entry.Config ?? {}, PROXY_CONFIG_KEYS, 'Config').warnings : []
}
