import { fromBinary } from '@bufbuild/protobuf'
import { describe, expect, it } from 'vitest'
import { Cluster_DiscoveryType, Cluster_LbPolicy } from '../../../src/xds/gen/envoy/config/cluster/v3/cluster_pb.js'
import { ClusterConfigSchema } from '../../../src/xds/gen/envoy/extensions/clusters/aggregate/v3/cluster_pb.js'
import { TcpProxySchema } from '../../../src/xds/gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.js'
import { UpstreamTlsContextSchema } from '../../../src/xds/gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.js'
import { HttpProtocolOptionsSchema } from '../../../src/xds/gen/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.js'
import { CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE } from '../../../src/xds/type-urls.js'
import { cluster, HTTP_OPTIONS, SUBSETS, snapshotHarness, TRUST_DOMAIN, unpack, WEB } from './snapshot-harness.js'

const { decode, meshOf, register, write } = snapshotHarness()

/** Where nobody says otherwise: what found no connection goes to another instance. */
const ELSEWHERE = {
  retryOn: 'connect-failure',
  numRetries: 2,
  retryHostPredicate: [{ name: 'envoy.retry_host_predicates.previous_hosts' }],
  hostSelectionRetryMaxAttempts: 5n,
}

describe('upstreams', () => {
  it('of a default chain: inline route, one EDS cluster with the names, SAN and SNI of the service', async () => {
    await meshOf('http')
    const snapshot = decode('web-sidecar-proxy')
    expect(snapshot.names(ROUTE_TYPE)).toEqual([])
    const name = 'api:127.0.0.1:9191'
    expect(snapshot.listener(name).trafficDirection).toBe(2)
    expect(snapshot.listener(name).filterChains[0].transportSocket).toBeUndefined()
    const hcm = snapshot.hcm(name)
    expect(hcm.statPrefix).toBe('upstream.api.default.default.dc1')
    expect(hcm.routeSpecifier.case).toBe('routeConfig')
    expect(hcm.routeSpecifier.value.virtualHosts[0].name).toBe('api.default.default.dc1')
    const action = hcm.routeSpecifier.value.virtualHosts[0].routes[0].action.value
    expect(action.clusterSpecifier.value).toBe(cluster('api'))
    expect(action.retryPolicy).toMatchObject(ELSEWHERE)
    expect(hcm.normalizePath).toBeUndefined()

    const eds = snapshot.cluster(cluster('api'))
    expect(eds).toMatchObject({
      altStatName: cluster('api'),
      clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.EDS },
      connectTimeout: { seconds: 5n },
      commonLbConfig: { healthyPanicThreshold: { value: 0 } },
      lbPolicy: Cluster_LbPolicy.ROUND_ROBIN,
      outlierDetection: { alwaysEjectOneHost: true },
      circuitBreakers: { thresholds: [{ retryBudget: { budgetPercent: { value: 20 }, minRetryConcurrency: 3 } }] },
    })
    expect(eds.edsClusterConfig.edsConfig.configSourceSpecifier.case).toBe('ads')
    const tls = unpack(UpstreamTlsContextSchema, eds.transportSocket.configType)
    expect(tls.sni).toBe(cluster('api'))
    expect(tls.commonTlsContext.alpnProtocols).toEqual([])
    expect(tls.commonTlsContext.validationContextType.value.matchTypedSubjectAltNames).toMatchObject([
      { sanType: 3, matcher: { matchPattern: { case: 'exact', value: `spiffe://${TRUST_DOMAIN}/ns/default/dc/dc1/svc/api` } } },
    ])
    const options = fromBinary(HttpProtocolOptionsSchema, eds.typedExtensionProtocolOptions[HTTP_OPTIONS].value)
    expect(options.upstreamProtocolOptions.case).toBe('autoConfig')
  })

  it.each([
    ['tcp', undefined],
    ['http2', 'explicitHttpConfig'],
    ['grpc', 'explicitHttpConfig'],
  ])('of protocol %s have the HTTP options %s', async (protocol, kind) => {
    await meshOf(protocol)
    const eds = decode('web-sidecar-proxy').cluster(cluster('api'))
    const packed = eds.typedExtensionProtocolOptions[HTTP_OPTIONS]
    expect(packed && fromBinary(HttpProtocolOptionsSchema, packed.value).upstreamProtocolOptions.case).toBe(kind)
  })

  it('of tcp go straight to the cluster', async () => {
    await meshOf('tcp')
    const [proxy] = decode('web-sidecar-proxy').filters('api:127.0.0.1:9191')
    expect(unpack(TcpProxySchema, proxy.configType)).toMatchObject({
      statPrefix: 'upstream.api.default.default.dc1',
      clusterSpecifier: { case: 'cluster', value: cluster('api') },
      maxConnectAttempts: 6,
    })
  })

  it.each([
    ['use', {}, true],
    ['use', { outrigger_tcp_tunnel: 'off' }, false],
    ['accept', {}, false],
    ['off', { outrigger_tcp_tunnel: 'use' }, true],
    ['auto', {}, false],
    ['off', { outrigger_tcp_tunnel: 'auto' }, false],
  ])('of tcp with outrigger_tcp_tunnel %s and the upstream’s own %j: tunnel %s', async (mode, Config, tunnel) => {
    await meshOf('tcp')
    await register({
      ...WEB,
      Connect: {
        SidecarService: {
          Proxy: { Config: { outrigger_tcp_tunnel: mode }, Upstreams: [{ DestinationName: 'api', LocalBindPort: 9191, Config }] },
        },
      },
    })
    const snapshot = decode('web-sidecar-proxy')
    const [proxy] = snapshot.filters('api:127.0.0.1:9191')
    expect(unpack(TcpProxySchema, proxy.configType).tunnelingConfig?.hostname).toBe(tunnel ? 'api:80' : undefined)
    const name = tunnel ? `tunnel~${cluster('api')}` : cluster('api')
    expect(snapshot.names(CLUSTER_TYPE)).toEqual(['local_app', name])
    expect(snapshot.names(ENDPOINT_TYPE)).toEqual([name])
    const eds = snapshot.cluster(name)
    expect(eds.typedExtensionProtocolOptions[HTTP_OPTIONS] !== undefined).toBe(tunnel)
    const tls = unpack(UpstreamTlsContextSchema, eds.transportSocket.configType)
    expect(tls.commonTlsContext.alpnProtocols).toEqual(tunnel ? ['h2'] : [])
  })

  it('with a splitter: RDS named as the upstream, hundredths as weights, the zero kept, retries may pick again', async () => {
    await meshOf('http')
    await write(SUBSETS)
    await write({
      Kind: 'service-splitter',
      Name: 'api',
      Splits: [
        { Weight: 100, ServiceSubset: 'v1', ResponseHeaders: { Set: { 'x-which': 'v1' } } },
        { Weight: 0, ServiceSubset: 'v2' },
      ],
    })
    const snapshot = decode('web-sidecar-proxy')
    const { routeSpecifier } = snapshot.hcm('api:127.0.0.1:9191')
    expect(routeSpecifier).toMatchObject({ case: 'rds', value: { routeConfigName: 'api' } })
    const table = snapshot.table('api')
    expect(table.validateClusters).toBe(false)
    expect(table.virtualHosts[0]).toMatchObject({ name: 'api', domains: ['*'] })
    const [route] = table.virtualHosts[0].routes
    expect(route.metadata.filterMetadata.outrigger).toEqual({ retry_repick: true })
    expect(route.action.value.retryPolicy).toMatchObject(ELSEWHERE)
    const { clusters, totalWeight } = route.action.value.clusterSpecifier.value
    expect(totalWeight).toBeUndefined()
    expect(clusters.map((split: { name: string; weight: number }) => [split.name, split.weight])).toEqual([
      [cluster('v1.api'), 10_000],
      [cluster('v2.api'), 0],
    ])
    expect(clusters[0].responseHeadersToAdd).toMatchObject([{ header: { key: 'x-which', value: 'v1' }, appendAction: 2 }])
    const listener = snapshot.built.snapshot.get(LISTENER_TYPE)!.get('api:127.0.0.1:9191')!
    expect(listener.children).toEqual([{ typeUrl: ROUTE_TYPE, names: ['api'] }])
  })

  it('with a router: matches, rewrite, timeouts, retries and header changes in order', async () => {
    await meshOf('http')
    await write(SUBSETS)
    await write({
      Kind: 'service-router',
      Name: 'api',
      Routes: [
        {
          Match: {
            HTTP: {
              PathPrefix: '/admin/',
              CaseInsensitive: true,
              Header: [
                { Name: 'x-a', Exact: '1' },
                { Name: 'x-b', Present: true, Invert: true },
                { Name: 'x-c', Regex: 'a+' },
              ],
              QueryParam: [{ Name: 'q', Exact: 'z' }],
              Methods: ['GET', 'PUT'],
            },
          },
          Destination: {
            ServiceSubset: 'v2',
            PrefixRewrite: '/',
            RequestTimeout: '2.5s',
            IdleTimeout: '-1s',
            NumRetries: 3,
            RetryOn: ['reset'],
            RetryOnConnectFailure: true,
            RetryOnStatusCodes: [502, 503],
            RequestHeaders: { Add: { 'x-add': '1' }, Set: { 'x-set': '2' }, Remove: ['x-gone'] },
          },
        },
        { Match: { HTTP: { PathExact: '/exact' } } },
        { Match: { HTTP: { PathRegex: '/r.*' } } },
      ],
    })
    const { routes } = decode('web-sidecar-proxy').table('api').virtualHosts[0]
    expect(routes.map((route: { match: { pathSpecifier: unknown } }) => route.match.pathSpecifier)).toMatchObject([
      { case: 'prefix', value: '/admin/' },
      { case: 'path', value: '/exact' },
      { case: 'safeRegex', value: { regex: '/r.*' } },
      { case: 'prefix', value: '/' },
    ])
    const [admin] = routes
    expect(admin.match.caseSensitive).toBe(false)
    expect(admin.match.headers).toMatchObject([
      {
        name: 'x-a',
        headerMatchSpecifier: { case: 'stringMatch', value: { matchPattern: { case: 'exact', value: '1' } } },
        invertMatch: false,
      },
      { name: 'x-b', headerMatchSpecifier: { case: 'presentMatch', value: true }, invertMatch: true },
      {
        name: 'x-c',
        headerMatchSpecifier: { case: 'stringMatch', value: { matchPattern: { case: 'safeRegex', value: { regex: 'a+' } } } },
      },
      {
        name: ':method',
        headerMatchSpecifier: { case: 'stringMatch', value: { matchPattern: { case: 'safeRegex', value: { regex: 'GET|PUT' } } } },
      },
    ])
    expect(admin.match.queryParameters).toMatchObject([
      { name: 'q', queryParameterMatchSpecifier: { case: 'stringMatch', value: { matchPattern: { case: 'exact', value: 'z' } } } },
    ])
    expect(admin.action.value).toMatchObject({
      clusterSpecifier: { case: 'cluster', value: cluster('v2.api') },
      prefixRewrite: '/',
      timeout: { seconds: 2n, nanos: 500_000_000 },
      idleTimeout: { seconds: 0n, nanos: 0 },
      retryPolicy: { numRetries: 3, retryOn: 'reset,connect-failure,retriable-status-codes', retriableStatusCodes: [502, 503] },
    })
    expect(admin.requestHeadersToAdd).toMatchObject([
      { header: { key: 'x-add', value: '1' }, appendAction: 0 },
      { header: { key: 'x-set', value: '2' }, appendAction: 2 },
    ])
    expect(admin.requestHeadersToRemove).toEqual(['x-gone'])
    expect(routes[1].action.value.timeout).toBeUndefined()
  })

  it('with failover: an aggregate cluster over one child a target, each with its own identity', async () => {
    await meshOf('http')
    await write({ Kind: 'service-defaults', Name: 'backup', Protocol: 'http' })
    await write({ ...SUBSETS, DefaultSubset: 'v1', Failover: { v1: { Service: 'backup' } }, ConnectTimeout: '7s' })
    const snapshot = decode('web-sidecar-proxy')
    const base = cluster('v1.api')
    const children = [`failover-target~0~${base}`, `failover-target~1~${base}`]
    const aggregate = snapshot.cluster(base)
    expect(aggregate.clusterDiscoveryType).toMatchObject({ case: 'clusterType', value: { name: 'envoy.clusters.aggregate' } })
    expect(fromBinary(ClusterConfigSchema, aggregate.clusterDiscoveryType.value.typedConfig.value).clusters).toEqual(children)
    expect(aggregate).toMatchObject({ lbPolicy: Cluster_LbPolicy.CLUSTER_PROVIDED, altStatName: base, connectTimeout: { seconds: 7n } })
    const second = unpack(UpstreamTlsContextSchema, snapshot.cluster(children[1]!).transportSocket.configType)
    expect(second.sni).toBe(cluster('backup'))
    expect(second.commonTlsContext.validationContextType.value.matchTypedSubjectAltNames[0].matcher.matchPattern.value).toMatch(
      /svc\/backup$/,
    )
    expect(snapshot.endpoints(children[0]!).endpoints[0].lbEndpoints).toHaveLength(1)
    // Nobody is registered there: the assignment is sent all the same.
    expect(snapshot.endpoints(children[1]!).endpoints[0].lbEndpoints).toHaveLength(0)
  })

  it('take load balancing, hash policies, limits and passive checks', async () => {
    await meshOf('http')
    await write({
      ...SUBSETS,
      LoadBalancer: {
        Policy: 'ring_hash',
        RingHashConfig: { MinimumRingSize: 5, MaximumRingSize: 50 },
        HashPolicies: [
          { Field: 'header', FieldValue: 'x-user', Terminal: true },
          { Field: 'cookie', FieldValue: 'c', CookieConfig: { Session: true, Path: '/p' } },
          { SourceIP: true },
        ],
      },
    })
    await write({
      Kind: 'service-defaults',
      Name: 'web',
      Protocol: 'http',
      UpstreamConfig: {
        Defaults: { Limits: { MaxConnections: 1, MaxPendingRequests: 2 }, ConnectTimeoutMs: 3000 },
        Overrides: [
          {
            Name: 'api',
            Limits: { MaxConcurrentRequests: 9 },
            PassiveHealthCheck: { Interval: '20s', MaxFailures: 7, MaxEjectionPercent: 50 },
          },
        ],
      },
    })
    const snapshot = decode('web-sidecar-proxy')
    const [name] = snapshot.names(CLUSTER_TYPE).filter(each => each.includes('api'))
    // An override that changes the chain (here the connect timeout) gives it clusters of its own.
    expect(name).toMatch(new RegExp(`^[0-9a-f]{8}~${cluster('api').replaceAll('.', '\\.')}$`))
    expect(snapshot.cluster(name!)).toMatchObject({
      connectTimeout: { seconds: 3n },
      lbPolicy: Cluster_LbPolicy.RING_HASH,
      lbConfig: { case: 'ringHashLbConfig', value: { minimumRingSize: 5n, maximumRingSize: 50n } },
      circuitBreakers: { thresholds: [{ maxRequests: 9, retryBudget: {} }] },
      outlierDetection: { alwaysEjectOneHost: true, interval: { seconds: 20n }, consecutive5xx: 7, maxEjectionPercent: 50 },
    })
    const action = snapshot.table('api').virtualHosts[0].routes[0].action.value
    expect(action.hashPolicy).toMatchObject([
      { policySpecifier: { case: 'header', value: { headerName: 'x-user' } }, terminal: true },
      { policySpecifier: { case: 'cookie', value: { name: 'c', path: '/p', ttl: { seconds: 0n } } } },
      { policySpecifier: { case: 'connectionProperties', value: { sourceIp: true } } },
    ])
  })

  it('bind a socket path with its mode', async () => {
    await register({
      Name: 'web',
      Port: 80,
      Connect: {
        SidecarService: {
          Proxy: { Upstreams: [{ DestinationName: 'api', LocalBindSocketPath: '/run/api.sock', LocalBindSocketMode: '0640' }] },
        },
      },
    })
    const { address } = decode('web-sidecar-proxy').listener('api:/run/api.sock')
    expect(address.address).toMatchObject({ case: 'pipe', value: { path: '/run/api.sock', mode: 0o640 } })
  })
})
