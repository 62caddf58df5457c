import { type DescMessage, fromBinary } from '@bufbuild/protobuf'
import type { Any } from '@bufbuild/protobuf/wkt'
import { beforeEach, describe, expect, it } from 'vitest'
import { Catalog } from '../../../src/control/catalog/catalog.js'
import { parseServiceDefinition } from '../../../src/control/catalog/service-definition.js'
import type { IntentionAction } from '../../../src/control/config-entries/types.js'
import { ConfigEntryTable } from '../../../src/control/config-entry-table.js'
import { healthEntry, ownNode } from '../../../src/control/http-api/shapes.js'
import { type BuiltSnapshot, SnapshotBuilder } from '../../../src/control/snapshot/build-snapshot.js'
import { NO_FEDERATIONS, NO_PEERS, type ProxyInstance, SnapshotError } from '../../../src/control/snapshot/kinds/proxy-kind.js'
import { SIDECAR } from '../../../src/control/snapshot/kinds/sidecar.js'
import { MemoryStore } from '../../../src/control/store/memory-store.js'
import { Cluster_DiscoveryType, Cluster_LbPolicy, ClusterSchema } from '../../../src/xds/gen/envoy/config/cluster/v3/cluster_pb.js'
import { HealthStatus } from '../../../src/xds/gen/envoy/config/core/v3/health_check_pb.js'
import { ClusterLoadAssignmentSchema } from '../../../src/xds/gen/envoy/config/endpoint/v3/endpoint_pb.js'
import { ListenerSchema } from '../../../src/xds/gen/envoy/config/listener/v3/listener_pb.js'
import { RBAC_Action } from '../../../src/xds/gen/envoy/config/rbac/v3/rbac_pb.js'
import { RouteConfigurationSchema } from '../../../src/xds/gen/envoy/config/route/v3/route_pb.js'
import { ClusterConfigSchema } from '../../../src/xds/gen/envoy/extensions/clusters/aggregate/v3/cluster_pb.js'
import { JwtAuthenticationSchema } from '../../../src/xds/gen/envoy/extensions/filters/http/jwt_authn/v3/config_pb.js'
import { RBACSchema as HttpRbacSchema } from '../../../src/xds/gen/envoy/extensions/filters/http/rbac/v3/rbac_pb.js'
import { ConnectionLimitSchema } from '../../../src/xds/gen/envoy/extensions/filters/network/connection_limit/v3/connection_limit_pb.js'
import {
  HttpConnectionManager_ForwardClientCertDetails as ForwardClientCert,
  HttpConnectionManagerSchema,
} from '../../../src/xds/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js'
import { RBACSchema as NetworkRbacSchema } from '../../../src/xds/gen/envoy/extensions/filters/network/rbac/v3/rbac_pb.js'
import { TcpProxySchema } from '../../../src/xds/gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.js'
import {
  DownstreamTlsContextSchema,
  UpstreamTlsContextSchema,
} from '../../../src/xds/gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.js'
import { HttpProtocolOptionsSchema } from '../../../src/xds/gen/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.js'
import { CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE } from '../../../src/xds/type-urls.js'

const TRUST_DOMAIN = '11111111-2222-3333-4444-555555555555.consul'
const HTTP_OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions'
const node = { id: 'node-id', name: 'node-1', address: '10.0.0.1', datacenter: 'dc1' }
const cluster = (name: string): string => `${name}.default.dc1.internal.${TRUST_DOMAIN}`

let catalog: Catalog
let entries: ConfigEntryTable
let policy: IntentionAction
/** Services whose sidecars all take tunnels. */
let tunnelled: Set<string>

beforeEach(async () => {
  const store = new MemoryStore()
  catalog = await Catalog.open(store, { node: ownNode(node), sidecarMinPort: 21_000, sidecarMaxPort: 21_255 })
  entries = await ConfigEntryTable.open(store, { datacenter: 'dc1', trustDomain: TRUST_DOMAIN })
  policy = 'deny'
  tunnelled = new Set()
})

async function register(definition: object): Promise<void> {
  const parsed = parseServiceDefinition(definition, { strict: true })
  expect(parsed).toMatchObject({ ok: true })
  if (parsed.ok) expect(await catalog.register(parsed.value)).toMatchObject({ ok: true })
}

async function write(entry: object): Promise<void> {
  expect(await entries.put(entry)).toMatchObject({ ok: true })
}

function build(id: string, leaf: boolean = true): BuiltSnapshot {
  const builder = new SnapshotBuilder({
    catalog,
    tunnels: { accepts: service => tunnelled.has(service) },
    entries,
    datacenter: 'dc1',
    trustDomain: TRUST_DOMAIN,
    kinds: { 'connect-proxy': SIDECAR },
    defaultPolicy: () => policy,
    rootsPem: () => 'ROOTS',
    peers: NO_PEERS,
    federations: NO_FEDERATIONS,
    leaf: service => (leaf ? { chainPem: `CHAIN ${service}`, keyPem: `KEY ${service}` } : undefined),
    filterView: instance => healthEntry(catalog, instance),
  })
  return builder.build(catalog.instance(id) as ProxyInstance)
}

class Decoded {
  constructor(readonly built: BuiltSnapshot) {}
  names = (typeUrl: string): string[] => [...(this.built.snapshot.get(typeUrl)?.keys() ?? [])]
  cluster = (name: string) => this.#message(ClusterSchema, CLUSTER_TYPE, name)
  listener = (name: string) => this.#message(ListenerSchema, LISTENER_TYPE, name)
  endpoints = (name: string) => this.#message(ClusterLoadAssignmentSchema, ENDPOINT_TYPE, name)
  table = (name: string) => this.#message(RouteConfigurationSchema, ROUTE_TYPE, name)
  /** Of the last chain: the one for tunnels stands before it. */
  filters = (listener: string) => this.listener(listener).filterChains.at(-1)!.filters
  hcm = (listener: string) => unpack(HttpConnectionManagerSchema, this.filters(listener).at(-1)!.configType)

  // biome-ignore lint/suspicious/noExplicitAny: decoded messages are looked into freely.
  #message(schema: DescMessage, typeUrl: string, name: string): any {
    const resource = this.built.snapshot.get(typeUrl)?.get(name)
    if (resource === undefined) throw new Error(`no ${typeUrl} ${name}; there are ${this.names(typeUrl).join(', ')}`)
    return fromBinary(schema, resource.any.value)
  }
}

// biome-ignore lint/suspicious/noExplicitAny: decoded messages are looked into freely.
function unpack(schema: DescMessage, config: { case: string | undefined; value?: unknown }): any {
  expect(config.case).toBe('typedConfig')
  const any = config.value as Any
  expect(any.typeUrl).toBe(`type.googleapis.com/${schema.typeName}`)
  return fromBinary(schema, any.value)
}

const decode = (id: string): Decoded => new Decoded(build(id))

const WEB = {
  Name: 'web',
  Port: 8080,
  Connect: { SidecarService: { Proxy: { Upstreams: [{ DestinationName: 'api', LocalBindPort: 9191 }] } } },
}

async function meshOf(protocol: string): Promise<void> {
  await register(WEB)
  await register({
    ID: 'api-v1',
    Name: 'api',
    Port: 9002,
    Address: '10.0.0.7',
    Meta: { version: 'v1' },
    Connect: { SidecarService: { Port: 20_001 } },
  })
  await register({
    ID: 'api-v2',
    Name: 'api',
    Port: 9003,
    Meta: { version: 'v2' },
    Connect: { SidecarService: { Address: '10.0.0.8', Port: 20_002 } },
  })
  if (protocol === 'tcp') return
  for (const Name of ['web', 'api']) await write({ Kind: 'service-defaults', Name, Protocol: protocol })
}

const SUBSETS = {
  Kind: 'service-resolver',
  Name: 'api',
  Subsets: { v1: { Filter: 'Service.Meta.version == v1' }, v2: { Filter: 'Service.Meta.version == v2', OnlyPassing: true } },
}

describe('public listener', () => {
  it('of an http service: HCM with RBAC before all else, XFCC, normalised paths, mesh TLS with client certificates', async () => {
    await meshOf('http')
    await write({ Kind: 'service-intentions', Name: 'web', Sources: [{ Name: 'batch', Action: 'allow' }] })
    const snapshot = decode('web-sidecar-proxy')
    const listener = snapshot.listener('public_listener:0.0.0.0:21000')
    expect(listener.trafficDirection).toBe(1)
    expect(snapshot.filters('public_listener:0.0.0.0:21000').map((filter: { name: string }) => filter.name)).toEqual([
      'envoy.filters.network.http_connection_manager',
    ])
    const hcm = snapshot.hcm('public_listener:0.0.0.0:21000')
    expect(hcm.statPrefix).toBe('public_listener')
    expect(hcm.httpFilters.map((filter: { name: string }) => filter.name)).toEqual([
      'envoy.filters.http.rbac',
      'envoy.filters.http.header_to_metadata',
      'envoy.filters.http.router',
    ])
    expect(hcm.forwardClientCertDetails).toBe(ForwardClientCert.APPEND_FORWARD)
    expect(hcm.setCurrentClientCertDetails).toMatchObject({ subject: true, cert: true, chain: true, dns: true, uri: true })
    expect(hcm.normalizePath).toBe(true)
    expect(hcm.upgradeConfigs[0].upgradeType).toBe('websocket')
    expect(hcm.routeSpecifier.value.name).toBe('public_listener')
    const [route] = hcm.routeSpecifier.value.virtualHosts[0].routes
    expect(route.match.pathSpecifier).toEqual({ case: 'prefix', value: '/' })
    expect(route.action.value.clusterSpecifier).toEqual({ case: 'cluster', value: 'local_app' })
    expect(route.action.value.timeout).toBeUndefined()
    expect(route.requestHeadersToRemove).toEqual([])

    const tls = unpack(DownstreamTlsContextSchema, listener.filterChains[0].transportSocket.configType)
    expect(tls.requireClientCertificate).toBe(true)
    expect(tls.commonTlsContext.alpnProtocols).toEqual(['h2', 'http/1.1'])
    expect(tls.commonTlsContext.tlsCertificates[0].certificateChain.specifier.value).toBe('CHAIN web')
    expect(tls.commonTlsContext.tlsCertificates[0].privateKey.specifier.value).toBe('KEY web')
    expect(tls.commonTlsContext.validationContextType.value.trustedCa.specifier.value).toBe('ROOTS')

    const rbac = unpack(HttpRbacSchema, hcm.httpFilters[0].configType)
    expect(rbac.rules.action).toBe(RBAC_Action.ALLOW)
    expect(JSON.stringify(rbac.rules.policies['consul-intentions-layer4'], bigints)).toContain('/ns/default/dc/[^/]+/svc/batch$')
    expect(listener.metadata.filterMetadata.outrigger.intentions).toMatchObject({
      destination: 'web',
      defaultAction: 'deny',
      intentions: [{ name: 'batch -> web', action: 'allow' }],
    })
  })

  it('without intentions has enforced rules with no policies: deny all, or with default allow, allow all', async () => {
    await meshOf('http')
    const rules = () =>
      unpack(HttpRbacSchema, decode('web-sidecar-proxy').hcm('public_listener:0.0.0.0:21000').httpFilters[0].configType).rules
    expect(rules()).toMatchObject({ action: RBAC_Action.ALLOW, policies: {} })
    policy = 'allow'
    expect(rules()).toMatchObject({ action: RBAC_Action.DENY, policies: {} })
  })

  it('of a tcp service: network RBAC first, then tcp_proxy to the application, no ALPN', async () => {
    await meshOf('tcp')
    const snapshot = decode('web-sidecar-proxy')
    const [rbac, proxy] = snapshot.filters('public_listener:0.0.0.0:21000')
    expect(unpack(NetworkRbacSchema, rbac.configType)).toMatchObject({ statPrefix: 'connect_authz', rules: { action: RBAC_Action.ALLOW } })
    expect(unpack(TcpProxySchema, proxy.configType)).toMatchObject({
      statPrefix: 'public_listener',
      clusterSpecifier: { case: 'cluster', value: 'local_app' },
    })
    const socket = snapshot.listener('public_listener:0.0.0.0:21000').filterChains.at(-1).transportSocket
    expect(unpack(DownstreamTlsContextSchema, socket.configType).commonTlsContext.alpnProtocols).toEqual([])
  })

  it('of a grpc service: stats and bridge before RBAC, no XFCC, no timeout that cuts streams', async () => {
    await meshOf('grpc')
    const hcm = decode('web-sidecar-proxy').hcm('public_listener:0.0.0.0:21000')
    expect(hcm.httpFilters.map((filter: { name: string }) => filter.name)).toEqual([
      'envoy.filters.http.grpc_stats',
      'envoy.filters.http.grpc_http1_bridge',
      'envoy.filters.http.rbac',
      'envoy.filters.http.router',
    ])
    expect(hcm.forwardClientCertDetails).toBe(ForwardClientCert.SANITIZE)
    expect(hcm.http2ProtocolOptions).toBeDefined()
    const action = hcm.routeSpecifier.value.virtualHosts[0].routes[0].action.value
    expect(action.timeout).toMatchObject({ seconds: 0n, nanos: 0 })
    expect(action.maxStreamDuration.grpcTimeoutHeaderMax).toMatchObject({ seconds: 0n })
  })

  it('takes limits and timeouts of service-defaults, the registration winning, and bind overrides', async () => {
    await register({
      Name: 'web',
      Port: 8080,
      Connect: {
        SidecarService: {
          Proxy: { Config: { bind_address: '127.0.0.2', bind_port: 1234, local_request_timeout_ms: 0, outrigger_http1_only: true } },
        },
      },
    })
    await write({
      Kind: 'service-defaults',
      Name: 'web',
      Protocol: 'http',
      MaxInboundConnections: 42,
      LocalConnectTimeoutMs: 1500,
      LocalRequestTimeoutMs: 9000,
      BalanceInboundConnections: 'exact_balance',
    })
    const snapshot = decode('web-sidecar-proxy')
    const name = 'public_listener:127.0.0.2:1234'
    expect(unpack(ConnectionLimitSchema, snapshot.filters(name)[0].configType)).toMatchObject({
      statPrefix: 'inbound_connection_limit',
      maxConnections: 42n,
    })
    expect(snapshot.listener(name).connectionBalanceConfig.balanceType.case).toBe('exactBalance')
    expect(snapshot.hcm(name).routeSpecifier.value.virtualHosts[0].routes[0].action.value.timeout).toMatchObject({ seconds: 0n })
    const tls = unpack(DownstreamTlsContextSchema, snapshot.listener(name).filterChains[0].transportSocket.configType)
    expect(tls.commonTlsContext.alpnProtocols).toEqual(['http/1.1'])
    expect(snapshot.cluster('local_app')).toMatchObject({
      connectTimeout: { seconds: 1n, nanos: 500_000_000 },
      circuitBreakers: { thresholds: [{ maxConnections: 42 }] },
    })
  })

  it('a tcp service takes tunnels unless outrigger_tcp_tunnel is off; and is called by them once all of its sidecars take them', async () => {
    await meshOf('tcp')
    const snapshot = () => decode('web-sidecar-proxy')
    const chains = () => snapshot().listener('public_listener:0.0.0.0:21000').filterChains.length
    const hostname = () => unpack(TcpProxySchema, snapshot().filters('api:127.0.0.1:9191')[0].configType).tunnelingConfig?.hostname
    expect([chains(), hostname()]).toEqual([2, undefined])
    tunnelled.add('api')
    expect([chains(), hostname()]).toEqual([2, 'api:80'])
    expect(build('web-sidecar-proxy').settled).toMatchObject({ acceptsTunnels: true })
    expect([...build('web-sidecar-proxy').settled.dependencies]).toContain('tunnel:api')
    await write({ Kind: 'proxy-defaults', Name: 'global', Config: { outrigger_tcp_tunnel: 'off' } })
    expect([chains(), hostname()]).toEqual([1, undefined])
    expect(build('web-sidecar-proxy').settled).toMatchObject({ acceptsTunnels: false })
  })

  it('outrigger_tcp_tunnel on a tcp service: tunnels and plain connections, told apart by ALPN, both authorised', async () => {
    await meshOf('tcp')
    await write({ Kind: 'proxy-defaults', Name: 'global', Config: { outrigger_tcp_tunnel: 'accept' } })
    const snapshot = decode('web-sidecar-proxy')
    const [tunnels, plain] = snapshot.listener('public_listener:0.0.0.0:21000').filterChains
    const names = (chain: { filters: { name: string }[] }) => chain.filters.map(filter => filter.name)
    expect(tunnels.filterChainMatch.applicationProtocols).toEqual(['h2'])
    expect(names(tunnels)).toEqual(['envoy.filters.network.rbac', 'envoy.filters.network.http_connection_manager'])
    expect(plain.filterChainMatch).toBeUndefined()
    expect(names(plain)).toEqual(['envoy.filters.network.rbac', 'envoy.filters.network.tcp_proxy'])
    const [proxy] = snapshot.filters('api:127.0.0.1:9191')
    expect(unpack(TcpProxySchema, proxy.configType).tunnelingConfig).toBeUndefined()
  })

  it('follows the mesh entry: TLS versions, XFCC sanitised, normalisation', async () => {
    await meshOf('http')
    await write({
      Kind: 'mesh',
      TLS: { Incoming: { TLSMinVersion: 'TLSv1_2' }, Outgoing: { TLSMinVersion: 'TLSv1_3' } },
      HTTP: {
        SanitizeXForwardedClientCert: true,
        Incoming: {
          RequestNormalization: {
            InsecureDisablePathNormalization: true,
            MergeSlashes: true,
            HeadersWithUnderscoresAction: 'REJECT_REQUEST',
          },
        },
      },
    })
    const snapshot = decode('web-sidecar-proxy')
    const name = 'public_listener:0.0.0.0:21000'
    const hcm = snapshot.hcm(name)
    expect(hcm).toMatchObject({ forwardClientCertDetails: ForwardClientCert.SANITIZE, mergeSlashes: true })
    expect(hcm.normalizePath).toBeUndefined()
    expect(hcm.commonHttpProtocolOptions.headersWithUnderscoresAction).toBe(1)
    const incoming = unpack(DownstreamTlsContextSchema, snapshot.listener(name).filterChains[0].transportSocket.configType)
    expect(incoming.commonTlsContext.tlsParams.tlsMinimumProtocolVersion).toBe(3)
    const outgoing = unpack(UpstreamTlsContextSchema, snapshot.cluster(cluster('api')).transportSocket.configType)
    expect(outgoing.commonTlsContext.tlsParams.tlsMinimumProtocolVersion).toBe(4)
  })

  it('verifies JWTs of the providers that its intentions name, before RBAC', async () => {
    await meshOf('http')
    await write({
      Kind: 'jwt-provider',
      Name: 'okta',
      Issuer: 'https://issuer',
      JSONWebKeySet: { Remote: { URI: 'https://keys.example:8443/jwks', FetchAsynchronously: true } },
      Locations: [{ Header: { Name: 'authorization', ValuePrefix: 'Bearer ' } }],
    })
    await write({
      Kind: 'service-intentions',
      Name: 'web',
      JWT: { Providers: [{ Name: 'okta' }] },
      Sources: [{ Name: 'batch', Permissions: [{ Action: 'allow', HTTP: { PathPrefix: '/' } }] }],
    })
    const snapshot = decode('web-sidecar-proxy')
    const [jwt, rbac] = snapshot.hcm('public_listener:0.0.0.0:21000').httpFilters
    expect(rbac.name).toBe('envoy.filters.http.rbac')
    const config = unpack(JwtAuthenticationSchema, jwt.configType)
    expect(config.providers.okta).toMatchObject({
      issuer: 'https://issuer',
      payloadInMetadata: 'jwt_payload_okta',
      fromHeaders: [{ name: 'authorization', valuePrefix: 'Bearer ' }],
      jwksSourceSpecifier: {
        case: 'remoteJwks',
        value: { httpUri: { httpUpstreamType: { case: 'cluster', value: 'jwks_cluster_okta' } } },
      },
    })
    const requirements = config.rules[0].requirementType.value.requiresType.value.requirements
    expect(requirements.map((requirement: { requiresType: { case: string } }) => requirement.requiresType.case)).toEqual([
      'providerName',
      'allowMissingOrFailed',
    ])
    const jwks = snapshot.cluster('jwks_cluster_okta')
    expect(jwks.clusterDiscoveryType.value).toBe(Cluster_DiscoveryType.STRICT_DNS)
    expect(unpack(UpstreamTlsContextSchema, jwks.transportSocket.configType).sni).toBe('keys.example')
  })
})

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

describe('endpoints', () => {
  const health = (name: string): (readonly [string, number, number, number])[] =>
    decode('web-sidecar-proxy')
      .endpoints(cluster(name))
      .endpoints[0].lbEndpoints.map(
        (endpoint: {
          hostIdentifier: { value: { address: { address: { value: { address: string; portSpecifier: { value: number } } } } } }
          healthStatus: number
          loadBalancingWeight: number
        }) => {
          const { address, portSpecifier } = endpoint.hostIdentifier.value.address.address.value
          return [address, portSpecifier.value, endpoint.healthStatus, endpoint.loadBalancingWeight] as const
        },
      )

  it('are the sidecars, at their address, else that of their service, else the node’s', async () => {
    await meshOf('http')
    await register({ ID: 'api-v3', Name: 'api', Port: 1, Connect: { SidecarService: { Port: 20_003 } } })
    expect(health('api').map(([address, port]) => [address, port])).toEqual([
      ['10.0.0.7', 20_001],
      ['10.0.0.8', 20_002],
      ['10.0.0.1', 20_003],
    ])
  })

  it('are in a subset by the metadata that a sidecar takes over from its service', async () => {
    await meshOf('http')
    await write({ ...SUBSETS, DefaultSubset: 'v2' })
    expect(health('v2.api')).toEqual([['10.0.0.8', 20_002, HealthStatus.HEALTHY, 1]])
  })

  it('follow the checks of the service behind: warning keeps its own weight, critical and weight 0 are unhealthy', async () => {
    await register(WEB)
    for (const [id, status] of Object.entries({ a: 'passing', b: 'warning', c: 'critical' }))
      await register({
        ID: id,
        Name: 'api',
        Port: 1,
        Weights: { Passing: 10, Warning: 3 },
        Check: { CheckID: `check-${id}`, TTL: '1h', Status: status },
        Connect: { SidecarService: { Weights: { Passing: id === 'a' ? 500 : 10, Warning: 3 } } },
      })
    await register({
      ID: 'd',
      Name: 'api',
      Port: 1,
      Check: { CheckID: 'check-d', TTL: '1h', Status: 'warning' },
      Connect: { SidecarService: { Weights: { Passing: 1, Warning: 0 } } },
    })
    expect(health('api').map(([, , status, weight]) => [status, weight])).toEqual([
      [HealthStatus.HEALTHY, 128],
      [HealthStatus.HEALTHY, 3],
      [HealthStatus.UNHEALTHY, 10],
      [HealthStatus.UNHEALTHY, 1],
    ])
    await write({ Kind: 'service-resolver', Name: 'api', DefaultSubset: 'only', Subsets: { only: { OnlyPassing: true } } })
    expect(health('only.api').map(([, , status]) => status)).toEqual([
      HealthStatus.HEALTHY,
      HealthStatus.UNHEALTHY,
      HealthStatus.UNHEALTHY,
      HealthStatus.UNHEALTHY,
    ])
  })
})

describe('SnapshotBuilder', () => {
  it('gives equal versions for equal inputs, whatever the order they were written in', async () => {
    await meshOf('http')
    await write({ Kind: 'service-router', Name: 'api', Routes: [{ Destination: { RequestHeaders: { Set: { b: '1', a: '2' } } } }] })
    const versions = (built: BuiltSnapshot) =>
      [...built.snapshot.values()].flatMap(resources => [...resources.values()].map(({ name, version }) => [name, version]))
    const first = versions(build('web-sidecar-proxy'))
    await write({ Kind: 'service-router', Name: 'api', Routes: [{ Destination: { RequestHeaders: { Set: { a: '2', b: '1' } } } }] })
    expect(versions(build('web-sidecar-proxy'))).toEqual(first)
    for (const [, version] of first) expect(version).toMatch(/^[0-9a-f]{64}$/)
  })

  it('records what it read: entries that are not there, kinds, and services of every target', async () => {
    await meshOf('http')
    await write({ Kind: 'service-defaults', Name: 'other', Protocol: 'http' })
    await write({ Kind: 'service-resolver', Name: 'api', Redirect: { Service: 'other' } })
    const { settled, endpointDependencies } = build('web-sidecar-proxy')
    const dependencies = new Set([...settled.dependencies, ...endpointDependencies])
    for (const key of [
      'entry:service-router/api',
      'entry:service-resolver/other',
      'entry:service-intentions/web',
      'entry:proxy-defaults/global',
      'service:other',
    ])
      expect([...dependencies]).toContain(key)
    expect([...dependencies]).not.toContain('entry:service-intentions/api')
  })

  it('builds nothing before the service has a certificate', async () => {
    await meshOf('http')
    expect(() => build('web-sidecar-proxy', false)).toThrow(SnapshotError)
  })

  it('reports settings that have no effect', async () => {
    await register({
      Name: 'web',
      Port: 1,
      Connect: { SidecarService: { Proxy: { Config: { local_connect_timeout_ms: 'soon', bind_port: 70_000 } } } },
    })
    expect(build('web-sidecar-proxy').settled.problems).toEqual([
      { path: 'Proxy.Config.bind_port', reason: 'must be an integer from 1 to 65535' },
      { path: 'Proxy.Config.local_connect_timeout_ms', reason: 'must be an integer from 1 to 2147483647' },
    ])
  })

  it('adds access loggers of proxy-defaults to listeners and filters', async () => {
    await meshOf('tcp')
    await write({ Kind: 'proxy-defaults', Name: 'global', AccessLogs: { Enabled: true, Type: 'file', Path: '/tmp/access.log' } })
    const snapshot = decode('web-sidecar-proxy')
    const listener = snapshot.listener('public_listener:0.0.0.0:21000')
    expect(listener.accessLog).toMatchObject([
      { name: 'Consul Listener Log', filter: { filterSpecifier: { case: 'responseFlagFilter', value: { flags: ['NR'] } } } },
    ])
    const proxy = unpack(TcpProxySchema, snapshot.filters('public_listener:0.0.0.0:21000')[1].configType)
    expect(proxy.accessLog[0].name).toBe('Consul Listener Filter Log')
  })
})

function bigints(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value
}
