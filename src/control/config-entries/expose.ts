// What of a proxy is exposed without mesh TLS, by its registration, service-defaults and proxy-defaults together, as Consul's agents merge them.
// Asked by who makes the listeners, who sends checks through the sidecar and who shows the merged registration.
import type { ConfigEntryIndex, Expose } from './types.js'

/** The first that names paths has its way; checks are exposed where any of them says so. */
export function mergedExpose(registered: Expose | undefined, service: string, entries: Pick<ConfigEntryIndex, 'get'>): Expose {
  const sources = [registered, entries.get('service-defaults', service)?.Expose, entries.get('proxy-defaults', 'global')?.Expose]
  const Checks = sources.some(source => source?.Checks === true)
  const Paths = sources.find(source => (source?.Paths ?? []).length > 0)?.Paths
  return { ...(Checks && { Checks }), ...(Paths && { Paths }) }
}
