// DNS discovery of a cluster (the fields of Cluster, or envoy.clusters.dns) and the resolver that is asked -> model. Called by cluster.ts
// and bootstrap.ts. A resolver of another kind would ask others: it is refused by name.

import { isIPv6 } from 'node:net'
import type { DnsOptions } from '../../model/cluster.js'
import { DEFAULT_DNS_RESOLVER, type DnsResolverConfig } from '../../model/dns-resolver.js'
import type { Bootstrap as BootstrapMessage } from '../gen/envoy/config/bootstrap/v3/bootstrap_pb.js'
import { Cluster_DnsLookupFamilySchema, type Cluster as ClusterMessage } from '../gen/envoy/config/cluster/v3/cluster_pb.js'
import type { Address as AddressMessage } from '../gen/envoy/config/core/v3/address_pb.js'
import type { TypedExtensionConfig } from '../gen/envoy/config/core/v3/extension_pb.js'
import type { DnsResolutionConfig, DnsResolverOptions } from '../gen/envoy/config/core/v3/resolver_pb.js'
import { DnsLookupFamily } from '../gen/envoy/extensions/clusters/common/dns/v3/dns_pb.js'
import type { DnsCluster } from '../gen/envoy/extensions/clusters/dns/v3/dns_cluster_pb.js'
import {
  type CaresDnsResolverConfig,
  CaresDnsResolverConfigSchema,
} from '../gen/envoy/extensions/network/dns_resolver/cares/v3/cares_dns_resolver_pb.js'
import {
  type GetAddrInfoDnsResolverConfig,
  GetAddrInfoDnsResolverConfigSchema,
} from '../gen/envoy/extensions/network/dns_resolver/getaddrinfo/v3/getaddrinfo_dns_resolver_pb.js'
import { canonicalIp } from './address.js'
import { describeType, unpackAny } from './any.js'
import type { Ctx } from './field-path.js'
import { durationMsOr, enumName } from './values.js'

const DNS_REFRESH_MS = 5000
/** What c-ares takes; nobody waits so long. */
const MAX_INT32 = 2 ** 31 - 1
const MAX_TRIES = 1000

const FAMILIES: Record<DnsLookupFamily, DnsOptions['family']> = {
  [DnsLookupFamily.UNSPECIFIED]: 'AUTO',
  [DnsLookupFamily.AUTO]: 'AUTO',
  [DnsLookupFamily.V4_ONLY]: 'V4_ONLY',
  [DnsLookupFamily.V6_ONLY]: 'V6_ONLY',
  [DnsLookupFamily.V4_PREFERRED]: 'V4_PREFERRED',
  [DnsLookupFamily.ALL]: 'ALL',
}

/** The fields of STRICT_DNS and LOGICAL_DNS clusters. */
export function decodeClusterDns(cluster: ClusterMessage, ctx: Ctx): DnsOptions {
  return {
    ...decodeRates(cluster, ctx),
    minRefreshMs: 0,
    family: enumName(Cluster_DnsLookupFamilySchema, cluster.dnsLookupFamily) as DnsOptions['family'],
    resolver: decodeClusterResolver(cluster, ctx),
  }
}

/** envoy.clusters.dns: the resolver fields of the cluster itself do not count. */
export function decodeDnsCluster(dns: DnsCluster, ctx: Ctx): DnsOptions & { readonly allAddressesInSingleEndpoint: boolean } {
  return {
    ...decodeRates(dns, ctx),
    minRefreshMs: durationMsOr(dns.dnsMinRefreshRate, 0),
    family: FAMILIES[dns.dnsLookupFamily] ?? 'AUTO',
    resolver: decodeTypedResolver(dns.typedDnsResolverConfig, ctx.at('typed_dns_resolver_config')),
    allAddressesInSingleEndpoint: dns.allAddressesInSingleEndpoint,
  }
}

function decodeRates(rates: ClusterMessage | DnsCluster, ctx: Ctx): Omit<DnsOptions, 'minRefreshMs' | 'family' | 'resolver'> {
  const refreshMs = durationMsOr(rates.dnsRefreshRate, DNS_REFRESH_MS)
  const failure = rates.dnsFailureRefreshRate
  const base = durationMsOr(failure?.baseInterval, refreshMs)
  const max = durationMsOr(failure?.maxInterval, failure === undefined ? refreshMs : base * 10)
  if (max < base) ctx.at('dns_failure_refresh_rate').at('max_interval').error('must be at least the base_interval')
  return {
    refreshMs,
    failureRefreshBaseMs: base,
    failureRefreshMaxMs: max,
    respectTtl: rates.respectDnsTtl,
    jitterMs: durationMsOr(rates.dnsJitter, 0),
  }
}

/** Envoy's order: the typed config, dns_resolution_config with resolvers, dns_resolvers; without any, the bootstrap's. */
function decodeClusterResolver(cluster: ClusterMessage, ctx: Ctx): DnsResolverConfig | null {
  const typed = decodeTypedResolver(cluster.typedDnsResolverConfig, ctx.at('typed_dns_resolver_config'))
  if (typed !== null) return typed
  const resolution = decodeResolution(cluster.dnsResolutionConfig, ctx.at('dns_resolution_config'))
  if (resolution !== null) return resolution
  if (cluster.dnsResolvers.length === 0 && !cluster.useTcpForDnsLookups) return null
  return { ...DEFAULT_DNS_RESOLVER, servers: decodeServers(cluster.dnsResolvers, ctx, 'dns_resolvers'), tcp: cluster.useTcpForDnsLookups }
}

/** What clusters without a resolver of their own ask; null = Envoy's default. */
export function decodeBootstrapResolver(bootstrap: BootstrapMessage, ctx: Ctx): DnsResolverConfig | null {
  const typed = decodeTypedResolver(bootstrap.typedDnsResolverConfig, ctx.at('typed_dns_resolver_config'))
  if (typed !== null) return typed
  const resolution = decodeResolution(bootstrap.dnsResolutionConfig, ctx.at('dns_resolution_config'))
  if (resolution !== null) return resolution
  return bootstrap.useTcpForDnsLookups ? { ...DEFAULT_DNS_RESOLVER, tcp: true } : null
}

function decodeResolution(resolution: DnsResolutionConfig | undefined, ctx: Ctx): DnsResolverConfig | null {
  if (resolution === undefined || resolution.resolvers.length === 0) return null
  return {
    ...DEFAULT_DNS_RESOLVER,
    servers: decodeServers(resolution.resolvers, ctx, 'resolvers'),
    ...decodeFlags(resolution.dnsResolverOptions),
  }
}

function decodeFlags(options: DnsResolverOptions | undefined): { readonly tcp: boolean; readonly searchDomains: boolean } {
  return { tcp: options?.useTcpForDnsLookups ?? false, searchDomains: !(options?.noDefaultSearchDomain ?? false) }
}

/** null without a config, and after an error was recorded. */
function decodeTypedResolver(extension: TypedExtensionConfig | undefined, ctx: Ctx): DnsResolverConfig | null {
  if (extension?.typedConfig === undefined) return null
  const at = ctx.at('typed_config')
  const { typeName, typeUrl, message, known } = unpackAny(extension.typedConfig, at)
  if (message !== null && typeName === CaresDnsResolverConfigSchema.typeName) return decodeCares(message as CaresDnsResolverConfig, at)
  if (message !== null && typeName === GetAddrInfoDnsResolverConfigSchema.typeName) {
    const { numRetries, numResolverThreads } = message as GetAddrInfoDnsResolverConfig
    return { kind: 'getaddrinfo', retries: numRetries ?? null, threads: Math.max(1, numResolverThreads ?? 1) }
  }
  if (message !== null || !known) {
    at.error(
      `unknown DNS resolver '${extension.name}' (${describeType(typeUrl)}): there are envoy.network.dns_resolver.cares and getaddrinfo`,
    )
  }
  return null
}

function decodeCares(cares: CaresDnsResolverConfig, ctx: Ctx): DnsResolverConfig {
  return {
    kind: 'cares',
    servers: decodeServers(cares.resolvers, ctx, 'resolvers'),
    serversAsFallback: cares.useResolversAsFallback,
    skipUnroutableFamilies: cares.filterUnroutableFamilies,
    ...decodeFlags(cares.dnsResolverOptions),
    rotate: cares.rotateNameservers,
    timeoutMs:
      cares.queryTimeoutSeconds === undefined
        ? DEFAULT_DNS_RESOLVER.timeoutMs
        : Math.min(Number(cares.queryTimeoutSeconds) * 1000, MAX_INT32),
    tries: Math.min(cares.queryTries ?? DEFAULT_DNS_RESOLVER.tries, MAX_TRIES),
  }
}

/** Addresses of servers, by UDP or TCP; a port of 0 is DNS' own. */
function decodeServers(resolvers: readonly AddressMessage[], ctx: Ctx, field: string): string[] {
  return resolvers.map(({ address }, i) => {
    if (address.case !== 'socketAddress') {
      ctx.at(field, i).error('a DNS resolver is an IP address')
      return ''
    }
    const host = canonicalIp(address.value.address)
    if (host === null) {
      if (address.value.address !== '')
        ctx.at(field, i).at('socket_address').at('address').error(`malformed IP address: ${address.value.address}`)
      return ''
    }
    const { portSpecifier } = address.value
    const port = portSpecifier.case === 'portValue' ? portSpecifier.value : 0
    if (port === 0) return host
    return isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`
  })
}
