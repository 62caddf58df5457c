// The ports of one proxy and of one machine: which one a sidecar without a port of its own is given, and whether a proxy could open all that
// it is told to. Pure; used by the catalog when a proxy is registered.
import type { ConfigError } from '../config-entries/types.js'
import type { ServiceInstance } from './service-definition.js'

/** The public listener and the upstreams' share one machine: two of one port on one address, or on all, can't both be opened. */
export function bindErrors(proxy: ServiceInstance): ConfigError[] {
  const config = proxy.Proxy?.Config ?? {}
  const port = typeof config['bind_port'] === 'number' ? config['bind_port'] : proxy.Port
  const address = typeof config['bind_address'] === 'string' ? config['bind_address'] : proxy.Address || '0.0.0.0'
  if (proxy.SocketPath !== '') return []
  return (proxy.Proxy?.Upstreams ?? []).flatMap((upstream, i) =>
    upstream.LocalBindSocketPath === '' && upstream.LocalBindPort === port && sameOrAny(upstream.LocalBindAddress, address)
      ? [{ path: `Proxy.Upstreams[${i}].LocalBindPort`, reason: `${port} is the port of the proxy's own public listener` }]
      : [],
  )
}

/** The port that it had, or the first of the range that nobody of this machine has. Undefined: none is left. */
export function freePort(
  sidecar: ServiceInstance,
  before: ServiceInstance | undefined,
  taken: ReadonlySet<number>,
  min: number,
  max: number,
): number | undefined {
  const bindsItself = (port: number): boolean => bindErrors({ ...sidecar, Port: port }).length > 0
  if (before !== undefined && before.Port >= min && before.Port <= max && !bindsItself(before.Port)) return before.Port
  const own = new Set(sidecar.Proxy?.Upstreams.map(({ LocalBindPort }) => LocalBindPort))
  for (let port = min; port <= max; port++) if (!taken.has(port) && !own.has(port)) return port
  return undefined
}

function sameOrAny(a: string, b: string): boolean {
  return a === b || [a, b].some(address => address === '0.0.0.0' || address === '::')
}
