import { describe, expect, it } from 'vitest'
import { Cluster_DiscoveryType } from '../../../src/xds/gen/envoy/config/cluster/v3/cluster_pb.js'
import { RBAC_Action } from '../../../src/xds/gen/envoy/config/rbac/v3/rbac_pb.js'
import { JwtAuthenticationSchema } from '../../../src/xds/gen/envoy/extensions/filters/http/jwt_authn/v3/config_pb.js'
import { RBACSchema as HttpRbacSchema } from '../../../src/xds/gen/envoy/extensions/filters/http/rbac/v3/rbac_pb.js'
import { ConnectionLimitSchema } from '../../../src/xds/gen/envoy/extensions/filters/network/connection_limit/v3/connection_limit_pb.js'
import { HttpConnectionManager_ForwardClientCertDetails as ForwardClientCert } from '../../../src/xds/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js'
import { RBACSchema as NetworkRbacSchema } from '../../../src/xds/gen/envoy/extensions/filters/network/rbac/v3/rbac_pb.js'
import { TcpProxySchema } from '../../../src/xds/gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.js'
import {
  DownstreamTlsContextSchema,
  UpstreamTlsContextSchema,
} from '../../../src/xds/gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.js'
import { cluster, snapshotHarness, unpack } from './snapshot-harness.js'

const { allow, build, decode, meshOf, register, tunnelled, write } = snapshotHarness()

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
    allow()
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
    tunnelled().add('api')
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

function bigints(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value
}
