// Heads, connections, peers and stream infos for the tests of the request path's pure parts.

import type { RequestHead } from '../../src/l7/codec/codec.js'
import { HeaderList } from '../../src/l7/codec/header-list.js'
import type { ConnectionInfo, TlsInfo } from '../../src/l7/stream/connection-info.js'
import { StreamInfo } from '../../src/l7/stream/stream-info.js'
import { hcmStats, type RouterHandles } from '../../src/metrics/stat-names.js'
import { StatsStore } from '../../src/metrics/stats-store.js'
import type { HeaderMutations } from '../../src/model/header-option.js'
import { type ForwardAction, NO_ROUTES, type Route, type RouteAction, type RouteTable, type VirtualHost } from '../../src/model/route.js'
import type { RouteMatch } from '../../src/model/route-match.js'
import type { PeerIdentity } from '../../src/mtls/peer/peer-identity.js'

export function head(
  path = '/',
  fields: Partial<Omit<RequestHead, 'headers'>> = {},
  headers: readonly (readonly [string, string])[] = [],
): RequestHead {
  return {
    method: 'GET',
    scheme: 'http',
    authority: 'api.example.com',
    path,
    version: 'HTTP/1.1',
    upgrade: '',
    contentLength: 0,
    hostName: 'Host',
    expectContinue: false,
    ...fields,
    headers: HeaderList.of(...headers),
  }
}

export function peer(fields: Partial<PeerIdentity> = {}): PeerIdentity {
  return {
    validated: true,
    uriSans: [],
    dnsSans: [],
    emailSans: [],
    ipSans: [],
    otherNames: [],
    x509: null,
    subject: '',
    issuer: '',
    serialNumber: '',
    sha256: '',
    notBefore: new Date(0),
    notAfter: new Date(0),
    pem: '',
    chainPem: '',
    notAfterMs: 0,
    ...fields,
  }
}

export function tls(fields: Partial<TlsInfo> = {}): TlsInfo {
  return {
    sni: '',
    version: 'TLSv1.3',
    cipher: 'TLS_AES_128_GCM_SHA256',
    alpn: '',
    resumed: false,
    peer: null,
    localUriSans: [],
    localDnsSans: [],
    localSubject: '',
    local: null,
    ...fields,
  }
}

export function connection(fields: Partial<ConnectionInfo> = {}): ConnectionInfo {
  return {
    id: 7,
    listenerName: 'public',
    listenerMetadata: new Map(),
    filterChainName: 'chain',
    filterChainMetadata: new Map(),
    trafficDirection: 'INBOUND',
    localAddress: '10.0.0.1',
    localPort: 443,
    localAddressRestored: false,
    remoteAddress: '10.1.10.23',
    remotePort: 5555,
    directRemoteAddress: '10.1.10.23',
    directRemotePort: 5555,
    requestedServerName: '',
    tls: null,
    ...fields,
  }
}

export function mesh(...uriSans: string[]): ConnectionInfo {
  return connection({ tls: tls({ peer: peer({ uriSans }) }) })
}

export function info(request: RequestHead | null = head(), of: ConnectionInfo = connection()): StreamInfo {
  const made = new StreamInfo(of, Date.UTC(2024, 1, 29, 13, 4, 5, 67), 1000)
  made.request = request
  return made
}

export const NO_MUTATIONS: HeaderMutations = { requestAdd: [], requestRemove: [], responseAdd: [], responseRemove: [] }

export function routeMatch(fields: Partial<RouteMatch> = {}): RouteMatch {
  return {
    path: { kind: 'prefix', value: '/', caseSensitive: true },
    headers: [],
    queryParameters: [],
    cookies: [],
    runtimeFraction: null,
    grpc: false,
    tlsContext: null,
    dynamicMetadata: [],
    ...fields,
  }
}

export function forwardAction(fields: Partial<ForwardAction> = {}): ForwardAction {
  return {
    kind: 'forward',
    cluster: { kind: 'cluster', name: 'api' },
    clusterNotFoundStatus: 503,
    metadataMatch: null,
    prefixRewrite: '',
    regexRewrite: null,
    pathFormat: '',
    hostRewrite: null,
    appendXForwardedHost: false,
    timeoutMs: null,
    idleTimeoutMs: null,
    maxStreamDurationMs: null,
    grpcTimeoutHeaderMaxMs: null,
    grpcTimeoutHeaderOffsetMs: null,
    maxGrpcTimeoutMs: null,
    grpcTimeoutOffsetMs: null,
    retry: null,
    hedge: null,
    mirrors: [],
    priority: 'DEFAULT',
    hashPolicy: [],
    upgrades: [],
    rateLimits: [],
    includeVhRateLimits: false,
    internalRedirect: null,
    ...fields,
  }
}

export function route(
  name: string,
  match: Partial<RouteMatch> = {},
  action: RouteAction = forwardAction(),
  fields: Partial<Route> = {},
): Route {
  return {
    name,
    match: routeMatch(match),
    action,
    mutations: NO_MUTATIONS,
    metadata: new Map(),
    overrides: new Map(),
    statPrefix: '',
    ...fields,
  }
}

export function virtualHost(
  name: string,
  domains: readonly string[],
  routes: readonly Route[],
  fields: Partial<VirtualHost> = {},
): VirtualHost {
  return {
    name,
    domains,
    routes,
    requireTls: 'NONE',
    mutations: NO_MUTATIONS,
    retry: null,
    hedge: null,
    mirrors: [],
    rateLimits: [],
    includeRequestAttemptCount: false,
    includeAttemptCountInResponse: false,
    overrides: new Map(),
    virtualClusters: [],
    metadata: new Map(),
    ...fields,
  }
}

export function routeTable(virtualHosts: readonly VirtualHost[], fields: Partial<RouteTable> = {}): RouteTable {
  return {
    ...NO_ROUTES,
    name: 'table',
    virtualHosts,
    ...fields,
  }
}

/** Real counters of a router, in a store of their own. */
export function routerHandles(): RouterHandles {
  return hcmStats(new StatsStore(), 'test').router
}
