// Network filters of a filter chain -> NetworkFilter: one table from message name to decoder. Called by listener.ts. An unknown
// filter is an error that names it; the last filter of a chain must be terminal, and only the last.

import { type NetworkFilter, type TcpProxy, type TcpTunneling, TERMINAL_FILTERS } from '../../model/listener.js'
import type { HashPolicy } from '../../model/route.js'
import type { Filter } from '../gen/envoy/config/listener/v3/listener_components_pb.js'
import type { ConnectionLimit } from '../gen/envoy/extensions/filters/network/connection_limit/v3/connection_limit_pb.js'
import type { Config as DirectResponse } from '../gen/envoy/extensions/filters/network/direct_response/v3/config_pb.js'
import type { ExtAuthz } from '../gen/envoy/extensions/filters/network/ext_authz/v3/ext_authz_pb.js'
import type { HttpConnectionManager } from '../gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js'
import type { LocalRateLimit } from '../gen/envoy/extensions/filters/network/local_ratelimit/v3/local_rate_limit_pb.js'
import type { RBAC } from '../gen/envoy/extensions/filters/network/rbac/v3/rbac_pb.js'
import type {
  TcpProxy as TcpProxyMessage,
  TcpProxy_TunnelingConfig as TunnelingConfig,
} from '../gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.js'
import type { HashPolicy as TcpHashPolicy } from '../gen/envoy/type/v3/hash_policy_pb.js'
import { decodeAccessLogs } from './access-log.js'
import { describeType, type Unpacked, unpackAny } from './any.js'
import { checkApiVersion, decodeGrpcService } from './config-source.js'
import { readDataSource } from './data-source.js'
import type { Ctx } from './field-path.js'
import { type DiscoveryPlace, decodeDiscovery } from './filter-discovery.js'
import { checkFormat } from './format-string.js'
import { decodeHttpConnectionManager } from './http-connection-manager.js'
import { decodeTokenBucket } from './http-filters/traffic.js'
import { decodeRbacMatcher, decodeRbacRules, NETWORK_RBAC_INPUTS, refuseHeaderRules } from './rbac.js'
import { decodeHeaderOptions, decodeMetadata, decodeRuntimeFlag, durationMsOr } from './values.js'

const HOUR_MS = 3_600_000
const AUTHZ_TIMEOUT_MS = 200

type FilterDecoder = (name: string, message: unknown, ctx: Ctx) => NetworkFilter | null

const FILTERS: ReadonlyMap<string, FilterDecoder> = new Map<string, FilterDecoder>([
  ['rbac.v3.RBAC', (name, m, ctx) => ({ kind: 'rbac', name, rbac: decodeNetworkRbac(m as RBAC, ctx) })],
  ['connection_limit.v3.ConnectionLimit', (name, m, ctx) => decodeConnectionLimit(name, m as ConnectionLimit, ctx)],
  ['local_ratelimit.v3.LocalRateLimit', (name, m, ctx) => decodeLocalRateLimit(name, m as LocalRateLimit, ctx)],
  ['ext_authz.v3.ExtAuthz', (name, m, ctx) => decodeNetworkExtAuthz(name, m as ExtAuthz, ctx)],
  ['sni_cluster.v3.SniCluster', name => ({ kind: 'sniCluster', name })],
  ['tcp_proxy.v3.TcpProxy', (name, m, ctx) => ({ kind: 'tcpProxy', name, tcpProxy: decodeTcpProxy(m as TcpProxyMessage, ctx) })],
  [
    'http_connection_manager.v3.HttpConnectionManager',
    (name, m, ctx) => ({ kind: 'httpConnectionManager', name, hcm: decodeHttpConnectionManager(m as HttpConnectionManager, ctx) }),
  ],
  [
    'direct_response.v3.Config',
    (name, m, ctx) => ({
      kind: 'directResponse',
      name,
      body: readDataSource((m as DirectResponse).response, ctx.at('response')) ?? new Uint8Array(),
    }),
  ],
  ['echo.v3.Echo', name => ({ kind: 'echo', name })],
])

const PACKAGE = 'envoy.extensions.filters.network.'

/** What a place of a filter chain may be by ECDS. */
const placeOf = (name: string): DiscoveryPlace<NetworkFilter> => ({
  what: 'network filter',
  isKnown: typeName => decoderOf(typeName) !== undefined,
  decode(unpacked, ctx) {
    const filter = decodeNamedFilter(name, unpacked, ctx)
    return filter === 'unknown' ? null : filter
  },
})

function decoderOf(typeName: string): FilterDecoder | undefined {
  return typeName.startsWith(PACKAGE) ? FILTERS.get(typeName.slice(PACKAGE.length)) : undefined
}

/** `unknown`: no network filter; null where it is switched off, and after an error was recorded. */
export function decodeNamedFilter(name: string, { typeName, message, known }: Unpacked, ctx: Ctx): NetworkFilter | 'unknown' | null {
  const decoder = decoderOf(typeName)
  if (decoder === undefined || !known) return 'unknown'
  return message === null ? null : decoder(name, message, ctx)
}

/** An empty chain is allowed, as in Envoy: its connections are closed. */
export function decodeNetworkFilters(filters: readonly Filter[], ctx: Ctx, field: string): NetworkFilter[] {
  const out: NetworkFilter[] = []
  filters.forEach((filter, i) => {
    const at = ctx.at(field, i)
    const errorsBefore = ctx.sink.errors.length
    const isLast = i === filters.length - 1
    const decoded = decodeNetworkFilter(filter, at, isLast)
    if (decoded === null) {
      // A filter that is off takes part in nothing, but it still cannot end a chain.
      if (isLast && ctx.sink.errors.length === errorsBefore)
        at.error(`non-terminal filter '${filter.name}' is the last filter of the filter chain`)
      return
    }
    if (decoded.kind === 'discovered') {
      // Judged when it comes.
      out.push(decoded)
      return
    }
    const terminal = TERMINAL_FILTERS.has(decoded.kind)
    if (terminal && !isLast) at.error(`terminal filter '${filter.name}' must be the last filter of the filter chain`)
    if (!terminal && isLast) at.error(`non-terminal filter '${filter.name}' is the last filter of the filter chain`)
    out.push(decoded)
  })
  return out
}

function decodeNetworkFilter(filter: Filter, ctx: Ctx, isLast: boolean): NetworkFilter | null {
  const { name } = filter
  if (filter.configType.case === 'configDiscovery') {
    const discovery = decodeDiscovery(name, filter.configType.value, ctx.at('config_discovery'), placeOf(name))
    return discovery === null ? null : { kind: 'discovered', name, discovery: { ...discovery, isLast } }
  }
  const at = ctx.at('typed_config')
  if (filter.configType.case === undefined) {
    ctx.error(`unknown filter '${filter.name}' (no typed_config)`)
    return null
  }
  const unpacked = unpackAny(filter.configType.value, at)
  const decoded = decodeNamedFilter(name, unpacked, at)
  if (decoded !== 'unknown') return decoded
  at.error(`unknown filter '${name}' (${describeType(unpacked.typeUrl)})`)
  return null
}

function decodeNetworkRbac(rbac: RBAC, ctx: Ctx) {
  refuseHeaderRules(rbac.rules, ctx.at('rules'))
  refuseHeaderRules(rbac.shadowRules, ctx.at('shadow_rules'))
  return {
    rules: decodeRbacRules(rbac.rules, ctx.at('rules')),
    shadowRules: decodeRbacRules(rbac.shadowRules, ctx.at('shadow_rules')),
    matcher: decodeRbacMatcher(rbac.matcher, NETWORK_RBAC_INPUTS, ctx.at('matcher')),
    shadowMatcher: decodeRbacMatcher(rbac.shadowMatcher, NETWORK_RBAC_INPUTS, ctx.at('shadow_matcher')),
    rulesStatPrefix: '',
    shadowRulesStatPrefix: rbac.shadowRulesStatPrefix,
    trackPerRuleStats: false,
    statPrefix: rbac.statPrefix,
  }
}

function decodeConnectionLimit(name: string, limit: ConnectionLimit, ctx: Ctx): NetworkFilter {
  if (limit.maxConnections === undefined) ctx.at('max_connections').error('value is required')
  return {
    kind: 'connectionLimit',
    name,
    statPrefix: limit.statPrefix,
    maxConnections: Number(limit.maxConnections ?? 0n),
    delayMs: durationMsOr(limit.delay, 0),
    enabled: decodeRuntimeFlag(limit.runtimeEnabled),
  }
}

function decodeLocalRateLimit(name: string, limit: LocalRateLimit, ctx: Ctx): NetworkFilter {
  const bucket =
    limit.tokenBucket === undefined
      ? { maxTokens: 0, tokensPerFill: 0, fillIntervalMs: 0 }
      : decodeTokenBucket(limit.tokenBucket, ctx.at('token_bucket'))
  return {
    kind: 'localRateLimit',
    name,
    statPrefix: limit.statPrefix,
    ...bucket,
    enabled: decodeRuntimeFlag(limit.runtimeEnabled),
  }
}

function decodeNetworkExtAuthz(name: string, config: ExtAuthz, ctx: Ctx): NetworkFilter | null {
  if (config.grpcService === undefined) {
    ctx.at('grpc_service').error('value is required')
    return null
  }
  checkApiVersion(config.transportApiVersion, ctx, 'transport_api_version')
  const service = decodeGrpcService(config.grpcService, ctx.at('grpc_service'))
  return {
    kind: 'extAuthz',
    name,
    statPrefix: config.statPrefix,
    service,
    timeoutMs: service.timeoutMs ?? AUTHZ_TIMEOUT_MS,
    failureModeAllow: config.failureModeAllow,
    includePeerCertificate: config.includePeerCertificate,
    includeTlsSession: config.includeTlsSession,
  }
}

function decodeTcpProxy(proxy: TcpProxyMessage, ctx: Ctx): TcpProxy {
  const specifier = proxy.clusterSpecifier
  const weighted = specifier.case === 'weightedClusters' ? specifier.value.clusters : []
  return {
    statPrefix: proxy.statPrefix,
    cluster: specifier.case === 'cluster' ? specifier.value : '',
    weightedClusters: weighted.map(cluster => ({ name: cluster.name, weight: cluster.weight })),
    idleTimeoutMs: durationMsOr(proxy.idleTimeout, HOUR_MS),
    maxConnectAttempts: proxy.maxConnectAttempts ?? 1,
    maxDownstreamConnectionDurationMs: durationMsOr(proxy.maxDownstreamConnectionDuration, null),
    hashPolicy: proxy.hashPolicy.map(tcpHashPolicy).filter(policy => policy !== null),
    accessLogs: decodeAccessLogs(proxy.accessLog, ctx, 'access_log'),
    metadataMatch: proxy.metadataMatch === undefined ? null : decodeMetadata(proxy.metadataMatch),
    tunneling: proxy.tunnelingConfig === undefined ? null : decodeTunneling(proxy.tunnelingConfig, ctx.at('tunneling_config')),
  }
}

function decodeTunneling(tunnel: TunnelingConfig, ctx: Ctx): TcpTunneling {
  checkFormat(tunnel.hostname, ctx.at('hostname'))
  if (tunnel.postPath !== '' && !tunnel.usePost) ctx.at('post_path').error('needs use_post')
  return {
    hostname: tunnel.hostname,
    postPath: tunnel.usePost ? tunnel.postPath || '/' : '',
    headersToAdd: decodeHeaderOptions(tunnel.headersToAdd, ctx, 'headers_to_add'),
  }
}

function tcpHashPolicy(policy: TcpHashPolicy): HashPolicy | null {
  const specifier = policy.policySpecifier
  if (specifier.case === 'sourceIp') return { kind: 'sourceIp', terminal: false }
  if (specifier.case === 'filterState') return { kind: 'filterState', key: specifier.value.key, terminal: false }
  return null // the missing oneof has been reported
}
