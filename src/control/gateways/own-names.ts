// Whether a gateway would take the mesh's own names: wildcards in the domains that its DNS answers for. Asked by `ConfigEntryTable` of each entry
// that names hosts; which domains they are only the running control plane knows.
import type { ConfigEntry, ConfigError } from '../config-entries/types.js'

/** Their names stand for ingress gateways, which may serve them. */
const SERVED = 'ingress'

export function ownNameErrors(entry: ConfigEntry, domains: readonly string[]): ConfigError[] {
  return hostsOf(entry).flatMap(({ path, host }) => {
    const domain = domains.find(each => catches(host.toLowerCase(), each))
    return domain === undefined ? [] : [{ path, reason: `${JSON.stringify(host)} would catch the control plane's own names (${domain}.)` }]
  })
}

/** A wildcard of the domain, or below it; one above it is of a zone that is not ours alone. */
function catches(host: string, domain: string): boolean {
  if (host === `*.${domain}`) return true
  if (!host.startsWith('*.') || !host.endsWith(`.${domain}`)) return false
  return !host
    .slice(2, -domain.length - 1)
    .split('.')
    .includes(SERVED)
}

function hostsOf(entry: ConfigEntry): { readonly path: string; readonly host: string }[] {
  switch (entry.Kind) {
    case 'api-gateway':
      return entry.Listeners.flatMap(({ Hostname }, i) =>
        Hostname === undefined ? [] : [{ path: `Listeners[${i}].Hostname`, host: Hostname }],
      )
    case 'http-route':
      return (entry.Hostnames ?? []).map((host, i) => ({ path: `Hostnames[${i}]`, host }))
    case 'ingress-gateway':
      return entry.Listeners.flatMap(({ Services }, i) =>
        Services.flatMap(({ Hosts = [] }, j) => Hosts.map((host, k) => ({ path: `Listeners[${i}].Services[${j}].Hosts[${k}]`, host }))),
      )
    default:
      return []
  }
}
