// The HTTP connection manager of mesh listeners, inbound and outbound: filter order, XFCC, path normalisation and upgrades as Consul
// sends them. Called by `listeners.ts`.
// Invariant: on the public listener, authorisation comes before anything that acts on the request.
import { isIP } from 'node:net'
import { create } from '@bufbuild/protobuf'
import type { Any } from '@bufbuild/protobuf/wkt'
import { BoolValueSchema } from '@bufbuild/protobuf/wkt'
import { HttpProtocolOptions_HeadersWithUnderscoresAction as Underscores } from '../../xds/gen/envoy/config/core/v3/protocol_pb.js'
import type { RouteMatchSchema } from '../../xds/gen/envoy/config/route/v3/route_components_pb.js'
import { ConfigSchema as GrpcBridgeSchema } from '../../xds/gen/envoy/extensions/filters/http/grpc_http1_bridge/v3/config_pb.js'
import { FilterConfigSchema as GrpcStatsSchema } from '../../xds/gen/envoy/extensions/filters/http/grpc_stats/v3/config_pb.js'
import { ConfigSchema as HeaderToMetadataSchema } from '../../xds/gen/envoy/extensions/filters/http/header_to_metadata/v3/header_to_metadata_pb.js'
import { RBACSchema as HttpRbacSchema } from '../../xds/gen/envoy/extensions/filters/http/rbac/v3/rbac_pb.js'
import { RouterSchema } from '../../xds/gen/envoy/extensions/filters/http/router/v3/router_pb.js'
import {
  HttpConnectionManager_PathWithEscapedSlashesAction as EscapedSlashes,
  HttpConnectionManager_ForwardClientCertDetails as ForwardClientCert,
  HttpConnectionManagerSchema,
  type HttpFilterSchema,
} from '../../xds/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js'
import type { RequestNormalization } from '../config-entries/types.js'
import { rbacRules } from '../intentions/rbac-proto.js'
import { filterAccessLogs } from './access-logs.js'
import { userTracing } from './escape-hatches.js'
import { type EdgeTokens, edgeJwtAuthn, jwtAuthn } from './jwt.js'
import { adsConfigSource, duration, type Init, pack } from './protobuf.js'
import {
  clusterOfNode,
  type DestinationService,
  type InboundView,
  isHttp2,
  LOCAL_APP,
  type ProxyView,
  type UpstreamView,
} from './proxy-view.js'
import { elsewhereRetry, inlineRouteAction, usesRds } from './routes.js'

export const HCM_FILTER = 'envoy.filters.network.http_connection_manager'

type HcmInit = Init<typeof HttpConnectionManagerSchema>
type HttpFilterInit = Init<typeof HttpFilterSchema>

/** The parts of a caller's SPIFFE id in XFCC, as metadata for access logs and extensions. */
const XFCC_IDENTITY = '.*URI=spiffe://([^/]+.[^/]+)(?:/ap/([^/]+))?/ns/([^/]+)/dc/([^/]+)/svc/([^/;,]+).*'
const XFCC_PARTS = ['trust-domain', 'partition', 'namespace', 'datacenter', 'service']

export function publicHcm(view: ProxyView): Any {
  const { config, protocol, mesh } = view
  const forwardsXfcc = protocol !== 'grpc' && mesh?.HTTP?.SanitizeXForwardedClientCert !== true
  const action = inlineRouteAction(LOCAL_APP, protocol, {
    requestTimeoutMs: config.localRequestTimeoutMs,
    idleTimeoutMs: config.localIdleTimeoutMs,
  })
  const filters: HttpFilterInit[] = [
    ...grpcFilters(protocol),
    ...authorization(view),
    ...(forwardsXfcc ? [filter('envoy.filters.http.header_to_metadata', xfccToMetadata())] : []),
  ]
  return pack(HttpConnectionManagerSchema, {
    ...common(view, protocol, 'public_listener', filters),
    routeSpecifier: { case: 'routeConfig', value: inlineRoutes('public_listener', action) },
    ...(forwardsXfcc
      ? {
          forwardClientCertDetails: ForwardClientCert.APPEND_FORWARD,
          setCurrentClientCertDetails: { subject: true, cert: true, chain: true, dns: true, uri: true },
        }
      : {}),
    ...normalization(mesh?.HTTP?.Incoming?.RequestNormalization),
    ...(config.maxRequestHeadersKb === undefined ? {} : { maxRequestHeadersKb: config.maxRequestHeadersKb }),
  })
}

/** Tokens are verified, then the intentions decide. */
export function authorization(view: Pick<ProxyView, 'jwtProviders' | 'rbac' | 'shadowRbac'>): HttpFilterInit[] {
  return [
    ...(view.jwtProviders.length > 0 ? [filter('envoy.filters.http.jwt_authn', jwtAuthn(view.jwtProviders))] : []),
    filter('envoy.filters.http.rbac', pack(HttpRbacSchema, rbacRules(view))),
  ]
}

/** Of a plain listener that serves one path of the application. */
export function exposedHcm(exposed: {
  readonly statPrefix: string
  readonly path: string
  readonly protocol: string
  readonly cluster: string
  readonly accessLog: ReturnType<typeof filterAccessLogs>
}): Any {
  const { statPrefix, path, protocol, cluster, accessLog } = exposed
  const action = inlineRouteAction(cluster, protocol)
  return pack(HttpConnectionManagerSchema, {
    statPrefix,
    httpFilters: [filter('envoy.filters.http.router', pack(RouterSchema, {}))],
    tracing: { randomSampling: {} },
    accessLog,
    ...(isHttp2(protocol) ? { http2ProtocolOptions: {} } : {}),
    routeSpecifier: { case: 'routeConfig', value: inlineRoutes(statPrefix, action, { case: 'path', value: path }) },
  })
}

/**
 * Where the tunnels of other sidecars end: each CONNECT is a connection to the application. Who may call has been decided for the whole
 * connection by the network RBAC before it. No timer of HTTP's applies: the tunnel's start has TCP's idle timeout.
 */
export function tunnelHcm(view: ProxyView): Any {
  const action: ReturnType<typeof inlineRouteAction> = {
    clusterSpecifier: { case: 'cluster', value: LOCAL_APP },
    timeout: duration(0),
    upgradeConfigs: [{ upgradeType: 'CONNECT', connectConfig: {} }],
  }
  return pack(HttpConnectionManagerSchema, {
    statPrefix: 'public_listener',
    httpFilters: [filter('envoy.filters.http.router', pack(RouterSchema, {}))],
    upgradeConfigs: [{ upgradeType: 'CONNECT' }],
    http2ProtocolOptions: { allowConnect: true },
    streamIdleTimeout: duration(0),
    accessLog: filterAccessLogs(view.accessLogs),
    routeSpecifier: { case: 'routeConfig', value: inlineRoutes('public_listener', action, { case: 'connectMatcher', value: {} }) },
  })
}

export function upstreamHcm(view: ProxyView, upstream: UpstreamView): Any {
  const { chain, filterName } = upstream
  const timeout = view.config.xdsFetchTimeoutMs
  return pack(HttpConnectionManagerSchema, {
    ...common(view, chain.Protocol, statPrefix(upstream), grpcFilters(chain.Protocol)),
    routeSpecifier: usesRds(upstream)
      ? { case: 'rds', value: { routeConfigName: upstream.envoyId, configSource: adsConfigSource(timeout) } }
      : {
          case: 'routeConfig',
          value: inlineRoutes(filterName, {
            ...inlineRouteAction(clusterOfNode(chain, chain.StartNode), chain.Protocol),
            retryPolicy: elsewhereRetry(),
          }),
        },
  })
}

/** Of a gateway by which traffic comes in. Its clients are of no mesh: what they say of certificates is not passed on (Envoy's default). */
export function edgeHcm(
  view: Pick<ProxyView, 'config' | 'accessLogs' | 'mesh'> & EdgeTokens,
  route: { readonly table: string; readonly protocol: string; readonly maxRequestHeadersKb: number | undefined },
): Any {
  const { config, mesh, jwtProviders, requirements } = view
  // Each route says what it asks of a token; the others pass both filters as they are.
  const tokens =
    jwtProviders.length === 0
      ? []
      : [
          filter('envoy.filters.http.jwt_authn', edgeJwtAuthn(jwtProviders, requirements)),
          filter('envoy.filters.http.rbac', pack(HttpRbacSchema, {})),
        ]
  const maxRequestHeadersKb = route.maxRequestHeadersKb ?? config.maxRequestHeadersKb
  return pack(HttpConnectionManagerSchema, {
    ...common(view, route.protocol, `ingress_upstream_${route.table}`, [...grpcFilters(route.protocol), ...tokens]),
    routeSpecifier: { case: 'rds', value: { routeConfigName: route.table, configSource: adsConfigSource(config.xdsFetchTimeoutMs) } },
    ...normalization(mesh?.HTTP?.Incoming?.RequestNormalization),
    ...(maxRequestHeadersKb === undefined ? {} : { maxRequestHeadersKb }),
  })
}

/** Of a terminating gateway towards one service outside: who may call is decided here, as nobody decides behind it. */
export function terminatingHcm(view: InboundView, prefix: string, routeConfigName: string): Any {
  const { config, protocol, mesh } = view
  return pack(HttpConnectionManagerSchema, {
    ...common(view, protocol, prefix, [...grpcFilters(protocol), ...authorization(view)]),
    routeSpecifier: { case: 'rds', value: { routeConfigName, configSource: adsConfigSource(config.xdsFetchTimeoutMs) } },
    ...normalization(mesh?.HTTP?.Incoming?.RequestNormalization),
    ...(config.maxRequestHeadersKb === undefined ? {} : { maxRequestHeadersKb: config.maxRequestHeadersKb }),
  })
}

/** Of a transparent proxy towards services outside that share a port: each by its hosts. */
export function destinationHcm(view: ProxyView, name: string, destinations: readonly DestinationService[]): Any {
  const [first] = destinations
  return pack(HttpConnectionManagerSchema, {
    ...common(view, first!.protocol, `upstream.${name}`, grpcFilters(first!.protocol)),
    routeSpecifier: {
      case: 'routeConfig',
      value: {
        name,
        virtualHosts: destinations.flatMap(({ addresses, port, protocol }) =>
          addresses.map(({ address, cluster }) => ({
            name: cluster,
            domains: [address, `${address}:${port}`].map(host => (isIP(address) === 6 ? host.replace(address, `[${address}]`) : host)),
            routes: [
              {
                match: { pathSpecifier: { case: 'prefix' as const, value: '/' } },
                action: { case: 'route' as const, value: inlineRouteAction(cluster, protocol) },
              },
            ],
          })),
        ),
      },
    },
  })
}

export function statPrefix(upstream: UpstreamView): string {
  const kind = upstream.upstream.DestinationPeer === undefined ? 'upstream' : 'upstream_peered'
  return `${kind}.${upstream.filterName.replaceAll(':', '_')}`
}

function common(
  view: Pick<ProxyView, 'config' | 'accessLogs'>,
  protocol: string,
  prefix: string,
  filters: readonly HttpFilterInit[],
): HcmInit {
  return {
    statPrefix: prefix,
    httpFilters: [...filters, filter('envoy.filters.http.router', pack(RouterSchema, {}))],
    tracing: view.config.tracingJson === undefined ? { randomSampling: {} } : userTracing(view.config.tracingJson),
    upgradeConfigs: [{ upgradeType: 'websocket' }],
    accessLog: filterAccessLogs(view.accessLogs),
    ...(isHttp2(protocol) ? { http2ProtocolOptions: {} } : {}),
  }
}

function inlineRoutes(
  name: string,
  action: ReturnType<typeof inlineRouteAction>,
  pathSpecifier: NonNullable<Init<typeof RouteMatchSchema>['pathSpecifier']> = { case: 'prefix', value: '/' },
): Extract<HcmInit['routeSpecifier'], { case: 'routeConfig' }>['value'] {
  return {
    name,
    virtualHosts: [
      {
        name,
        domains: ['*'],
        routes: [{ match: { pathSpecifier }, action: { case: 'route', value: action } }],
      },
    ],
  }
}

function filter(name: string, config: Any): HttpFilterInit {
  return { name, configType: { case: 'typedConfig', value: config } }
}

/** Before authorisation, so that denied gRPC requests are counted as well (Consul's order). */
function grpcFilters(protocol: string): HttpFilterInit[] {
  if (protocol !== 'grpc') return []
  const stats = { perMethodStatSpecifier: { case: 'statsForAllMethods' as const, value: create(BoolValueSchema, { value: true }) } }
  return [
    filter('envoy.filters.http.grpc_stats', pack(GrpcStatsSchema, stats)),
    filter('envoy.filters.http.grpc_http1_bridge', pack(GrpcBridgeSchema, {})),
  ]
}

function xfccToMetadata(): Any {
  return pack(HeaderToMetadataSchema, {
    requestRules: XFCC_PARTS.map((key, i) => ({
      header: 'x-forwarded-client-cert',
      onHeaderPresent: {
        metadataNamespace: 'consul',
        key,
        regexValueRewrite: { pattern: { regex: XFCC_IDENTITY }, substitution: `\\${i + 1}` },
      },
    })),
  })
}

function normalization(settings: RequestNormalization | undefined): HcmInit {
  const underscores = settings?.HeadersWithUnderscoresAction ?? 'ALLOW'
  return {
    ...(settings?.InsecureDisablePathNormalization ? {} : { normalizePath: true }),
    mergeSlashes: settings?.MergeSlashes === true,
    pathWithEscapedSlashesAction: EscapedSlashes[settings?.PathWithEscapedSlashesAction ?? 'IMPLEMENTATION_SPECIFIC_DEFAULT'],
    ...(underscores === 'ALLOW' ? {} : { commonHttpProtocolOptions: { headersWithUnderscoresAction: Underscores[underscores] } }),
  }
}
