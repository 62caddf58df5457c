// What of an accepted config entry has no effect here. Said by the HTTP API (`X-Consul-Warning`), `outrigger apply` and the mesh file.
import { fieldWarnings } from './entry-fields.js'
import { configProblems, PROXY_CONFIG_KEYS } from './proxy-config-keys.js'
import type { ConfigEntry, ConfigError } from './types.js'

export function entryWarnings(entry: ConfigEntry, datacenter: string): ConfigError[] {
  const config = entry.Kind === 'proxy-defaults' ? configProblems(entry.Config ?? {}, PROXY_CONFIG_KEYS, 'Config').warnings : []
  return [...fieldWarnings(entry, datacenter), ...config]
}
