// The opaque configuration of a gateway: `Config` of proxy-defaults with the registration's over it. Called by the kinds of gateways.
// What it has in common with a sidecar's is in `proxy-config.ts`.
import { OpaqueConfig } from '../../config-entries/opaque-config.js'
import { type NamedBind, PROXY_CONFIG_KEYS } from '../../config-entries/proxy-config-keys.js'
import type { BuildContext, ProxyInstance } from '../kinds/proxy-kind.js'
import { DEFAULT_CONNECT_TIMEOUT_MS } from '../proxy-config.js'

export interface GatewayConfig {
  /** Where it listens, each place once. */
  readonly binds: readonly NamedBind[]
  readonly dnsDiscovery: 'STRICT_DNS' | 'LOGICAL_DNS'
  readonly connectTimeoutMs: number
}

export function readGatewayConfig(gateway: ProxyInstance, { entries, problems }: BuildContext): GatewayConfig {
  const config = new OpaqueConfig('Proxy.Config', PROXY_CONFIG_KEYS, problems)
  config.add(entries.get('proxy-defaults', 'global')?.Config ?? {}).add(gateway.Proxy.Config)
  // Older names, of the time when there were mesh gateways only.
  const either = <T>(now: T | undefined, before: T | undefined): T | undefined => now ?? before
  const noDefault = either(config.get('envoy_gateway_no_default_bind'), config.get('envoy_mesh_gateway_no_default_bind'))
  const tagged = either(config.get('envoy_gateway_bind_tagged_addresses'), config.get('envoy_mesh_gateway_bind_tagged_addresses'))
  const named = either(config.get('envoy_gateway_bind_addresses'), config.get('envoy_mesh_gateway_bind_addresses'))
  const address = config.get('bind_address') ?? (gateway.Address || '0.0.0.0')
  const all: NamedBind[] = [
    ...(noDefault === true ? [] : [{ name: 'default', address, port: config.get('bind_port') ?? gateway.Port }]),
    ...(tagged === true ? Object.entries(gateway.TaggedAddresses).map(([name, at]) => ({ name, address: at.Address, port: at.Port })) : []),
    ...(named ?? []),
  ]
  const seen = new Set<string>()
  return {
    binds: all.filter(bind => {
      const place = `${bind.address}:${bind.port}`
      return !seen.has(place) && seen.add(place)
    }),
    dnsDiscovery: config.get('envoy_dns_discovery_type') ?? 'LOGICAL_DNS',
    connectTimeoutMs: config.get('connect_timeout_ms') ?? DEFAULT_CONNECT_TIMEOUT_MS,
  }
}
