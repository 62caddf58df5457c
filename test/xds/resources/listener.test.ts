import { describe, expect, it } from 'vitest'
import { ListenerSchema } from '../../../src/xds/gen/envoy/config/listener/v3/listener_pb.js'
import { decodeListener } from '../../../src/xds/resources/decode.js'
import {
  decoded,
  decodeListenerJson,
  errorsOf,
  hcm,
  type Json,
  listenerJson,
  message,
  networkFilter,
  pathsOf,
  router,
  TYPE,
  tls,
} from './messages.js'

const tcpProxy = (config: Json = {}): Json => networkFilter('tcp_proxy.v3.TcpProxy', { stat_prefix: 'a', cluster: 'c', ...config })
const chainsOf = (...chains: Json[]): Json => listenerJson({}, { filter_chains: chains })

describe('decodeListener fills in Envoy’s defaults', () => {
  it('of the listener', () => {
    const listener = decoded(decodeListenerJson(listenerJson()))
    expect(listener).toMatchObject({
      name: 'l',
      bindToPort: true,
      trafficDirection: 'UNSPECIFIED',
      listenerFiltersTimeoutMs: 15_000,
      perConnectionBufferLimitBytes: 1024 * 1024,
      tcpBacklogSize: null,
      drainType: 'DEFAULT',
      defaultFilterChain: null,
      filterChainMatcher: null,
      tlsInspector: false,
      unsupported: [],
    })
    expect(listener.address).toEqual({ kind: 'socket', host: '127.0.0.1', port: 0 })
  })

  it('of the TCP proxy', () => {
    const listener = decoded(decodeListenerJson(listenerJson({ filters: [tcpProxy()] })))
    expect(listener.filterChains[0]!.filters[0]).toMatchObject({
      kind: 'tcpProxy',
      tcpProxy: {
        cluster: 'c',
        idleTimeoutMs: 3_600_000,
        maxConnectAttempts: 1,
        weightedClusters: [],
        maxDownstreamConnectionDurationMs: null,
      },
    })
  })

  it('of the connection manager', () => {
    const filter = decoded(decodeListenerJson(listenerJson())).filterChains[0]!.filters[0]!
    if (filter.kind !== 'httpConnectionManager') throw new Error(filter.kind)
    expect(filter.hcm).toMatchObject({
      codecType: 'AUTO',
      serverName: 'envoy',
      serverHeaderTransformation: 'OVERWRITE',
      maxRequestHeadersKb: 60,
      streamIdleTimeoutMs: 300_000,
      requestTimeoutMs: 0,
      requestHeadersTimeoutMs: 0,
      drainTimeoutMs: 5000,
      delayedCloseTimeoutMs: 1000,
      generateRequestId: true,
      xfccMode: 'SANITIZE',
      xfccDetails: { subject: false, cert: false, chain: false, dns: false, uri: false },
      normalizePath: false,
      pathWithEscapedSlashes: 'KEEP_UNCHANGED',
      useRemoteAddress: false,
      upgrades: [],
      localReply: null,
    })
    expect(filter.hcm.common).toEqual({
      idleTimeoutMs: 3_600_000,
      maxConnectionDurationMs: null,
      maxHeadersCount: 100,
      maxResponseHeadersKb: null,
      maxStreamDurationMs: null,
      headersWithUnderscoresAction: 'ALLOW',
      maxRequestsPerConnection: null,
    })
    expect(filter.hcm.http2).toEqual({
      hpackTableSize: 4096,
      maxConcurrentStreams: 1024,
      initialStreamWindowSize: 16 * 1024 * 1024,
      initialConnectionWindowSize: 24 * 1024 * 1024,
      allowConnect: false,
      maxOutboundFrames: 10_000,
      maxOutboundControlFrames: 1000,
      maxConsecutiveInboundFramesWithEmptyPayload: 1,
      maxInboundPriorityFramesPerStream: 100,
      maxInboundWindowUpdateFramesPerDataFrameSent: 10,
      keepaliveIntervalMs: null,
      keepaliveTimeoutMs: 10_000,
    })
    expect(filter.hcm.http1).toEqual({
      allowAbsoluteUrl: true,
      acceptHttp10: false,
      allowCustomMethods: false,
      defaultHostForHttp10: '',
      headerKeyFormat: 'default',
    })
  })
})

describe('decodeListener refuses, with the path', () => {
  it('every bad field of one listener at once', () => {
    const result = decodeListenerJson(
      listenerJson(
        {
          filters: [
            tcpProxy({ max_connect_attempts: 0 }),
            hcm({
              max_request_headers_kb: 0,
              route_config: {
                virtual_hosts: [
                  {
                    name: 'v',
                    domains: ['a'],
                    routes: [
                      { match: { prefix: '/' }, route: { cluster: 'c' } },
                      { match: { prefix: '/' }, route: { cluster: 'c' } },
                      { match: { safe_regex: { regex: '(' } }, route: { cluster: 'c' } },
                    ],
                  },
                ],
              },
            }),
          ],
        },
        { name: '' },
      ),
    )
    expect(pathsOf(result).sort()).toEqual([
      'filter_chains[0].filters[0]',
      'filter_chains[0].filters[0].typed_config.max_connect_attempts',
      'filter_chains[0].filters[1].typed_config.max_request_headers_kb',
      'filter_chains[0].filters[1].typed_config.route_config.virtual_hosts[0].routes[2].match.safe_regex.regex',
      'name',
    ])
  })

  const cases: [what: string, json: Json, error: RegExp][] = [
    ['no address', listenerJson(undefined, { address: null }), /^address: value is required$/],
    ['no filter chain', listenerJson({}, { filter_chains: [] }), /^filter_chains: no filter chains specified/],
    [
      'a port above 65535',
      listenerJson({}, { address: { socket_address: { address: '::1', port_value: 65_536 } } }),
      /^address\.socket_address\.port_value: value must be less than or equal to 65535/,
    ],
    [
      'a DNS name',
      listenerJson({}, { address: { socket_address: { address: 'localhost', port_value: 1 } } }),
      /^address\.socket_address\.address: malformed IP address: localhost/,
    ],
    [
      'UDP',
      listenerJson({}, { address: { socket_address: { address: '::1', port_value: 1, protocol: 'UDP' } } }),
      /^address\.socket_address\.protocol: UDP is not supported/,
    ],
    ['a UDP listener', listenerJson({}, { udp_listener_config: {} }), /^udp_listener_config: UDP listeners are not supported/],
    [
      'a listener filter without config',
      listenerJson({}, { listener_filters: [{ name: 'envoy.filters.listener.tls_inspector' }] }),
      /^listener_filters\[0\]: unknown listener filter/,
    ],
    [
      'config discovery of what is no network filter',
      listenerJson({ filters: [{ name: 'x', config_discovery: { config_source: { ads: {} }, type_urls: ['a'] } }] }),
      /^filter_chains\[0\]\.filters\[0\]\.config_discovery\.type_urls\[0\]: no network filter is of type 'a'/,
    ],
    [
      'config discovery of what is no listener filter',
      listenerJson({}, { listener_filters: [{ name: 'x', config_discovery: { config_source: { ads: {} }, type_urls: ['a'] } }] }),
      /^listener_filters\[0\]\.config_discovery\.type_urls\[0\]: no listener filter is of type 'a'/,
    ],
    [
      'the same match twice',
      chainsOf({ filters: [hcm()] }, { filters: [hcm()] }),
      /^filter_chains\[1\]\.filter_chain_match: multiple filter chains .* the same as filter_chains\[0\]/,
    ],
    [
      'matches that share one server name',
      chainsOf(
        { filter_chain_match: { server_names: ['a', 'B'] }, filters: [hcm()] },
        { filter_chain_match: { server_names: ['b', 'c'] }, filters: [hcm()] },
      ),
      /^filter_chains\[1\]\.filter_chain_match: multiple filter chains/,
    ],
    [
      'a partial wildcard',
      listenerJson({ filter_chain_match: { server_names: ['*a.com'] }, filters: [hcm()] }),
      /server_names\[0\]: '\*a\.com': partial wildcards/,
    ],
    [
      'a terminal filter in the middle',
      listenerJson({ filters: [hcm(), tcpProxy()] }),
      /^filter_chains\[0\]\.filters\[0\]: terminal filter 'hcm' must be the last/,
    ],
    [
      'a chain without a terminal filter',
      listenerJson({ filters: [networkFilter('sni_cluster.v3.SniCluster')] }),
      /^filter_chains\[0\]\.filters\[0\]: non-terminal filter 'sni_cluster' is the last/,
    ],
    [
      'a server without a certificate',
      listenerJson({ filters: [hcm()], transport_socket: tls('Downstream') }),
      /common_tls_context: no TLS certificates found/,
    ],
    [
      'the wrong side of TLS',
      listenerJson({ filters: [hcm()], transport_socket: tls('Upstream') }),
      /^filter_chains\[0\]\.transport_socket\.typed_config: expected .*DownstreamTlsContext/,
    ],
    [
      'a negative duration',
      listenerJson({}, { listener_filters_timeout: '-1s' }),
      /^listener_filters_timeout: expected a positive duration/,
    ],
    [
      'an HTTP chain that does not end with the router',
      listenerJson({ filters: [hcm({ http_filters: [router(), router()] })] }),
      /^filter_chains\[0\]\.filters\[0\]\.typed_config\.http_filters\[0\]: terminal filter 'r' must be the last/,
    ],
    ['HTTP/3', listenerJson({ filters: [hcm({ codec_type: 'HTTP3' })] }), /typed_config\.codec_type: HTTP\/3 is not supported/],
  ]
  for (const [what, json, error] of cases) {
    it(what, () => {
      expect(errorsOf(decodeListenerJson(json))).toEqual(expect.arrayContaining([expect.stringMatching(error)]))
    })
  }

  it('a filter it does not know, by name and type URL', () => {
    const json = listenerJson({ filters: [networkFilter('rbac.v3.RBAC', { stat_prefix: 'a' }), networkFilter('echo.v3.Echo')] })
    const unknown = { typeUrl: `${TYPE}envoy.extensions.filters.network.mongo_proxy.v3.MongoProxy`, value: new Uint8Array([1, 2, 3]) }
    expect(decoded(decodeListenerJson(json)).filterChains[0]!.filters.map(filter => filter.kind)).toEqual(['rbac', 'echo'])
    const changed = message(ListenerSchema, json)
    changed.filterChains[0]!.filters[0]!.configType = { case: 'typedConfig', value: { $typeName: 'google.protobuf.Any', ...unknown } }
    expect(errorsOf(decodeListener(changed))).toEqual([
      `filter_chains[0].filters[0].typed_config: unknown filter 'rbac' (${unknown.typeUrl})`,
    ])
  })
})

describe('decodeListener reads', () => {
  it('listener filters, and adds the TLS inspector where a match needs the ClientHello', () => {
    const explicit = decoded(
      decodeListenerJson(
        listenerJson(
          {},
          {
            filter_chains: [{ filters: [hcm()] }],
            listener_filters: ['tls_inspector.v3.TlsInspector', 'http_inspector.v3.HttpInspector', 'proxy_protocol.v3.ProxyProtocol'].map(
              type => ({
                name: type,
                typed_config: { '@type': `${TYPE}envoy.extensions.filters.listener.${type}` },
              }),
            ),
          },
        ),
      ),
    )
    expect(explicit).toMatchObject({ tlsInspector: true, httpInspector: true, proxyProtocol: { allowWithout: false } })
    const needed = decoded(
      decodeListenerJson(listenerJson({ filter_chain_match: { server_names: ['A.com', '*.B.com'] }, filters: [hcm()] })),
    )
    expect(needed.tlsInspector).toBe(true)
    expect(needed.filterChains[0]!.match.serverNames).toEqual(['a.com', '*.b.com'])
  })

  it('canonical addresses and clamps an IPv4 prefix', () => {
    const listener = decoded(
      decodeListenerJson(
        listenerJson(
          {
            filter_chain_match: {
              prefix_ranges: [
                { address_prefix: '1.2.3.4', prefix_len: 64 },
                { address_prefix: 'FE80:0::1', prefix_len: 64 },
              ],
            },
            filters: [hcm()],
          },
          { address: { socket_address: { address: '2001:DB8:0:0::1', port_value: 80 } } },
        ),
      ),
    )
    expect(listener.address).toEqual({ kind: 'socket', host: '2001:db8::1', port: 80 })
    expect(listener.filterChains[0]!.match.prefixRanges).toEqual([
      { address: '1.2.3.4', prefixLength: 32 },
      { address: 'fe80::1', prefixLength: 64 },
    ])
  })

  it('fields without effect as a list of paths', () => {
    const result = decodeListenerJson(
      listenerJson(
        { filters: [hcm({ proxy_status_config: { remove_details: true } })] },
        { connection_balance_config: { exact_balance: {} }, freebind: true },
      ),
    )
    expect(decoded(result).unsupported).toEqual([
      'freebind',
      'connection_balance_config',
      'filter_chains[0].filters[0].typed_config.proxy_status_config',
    ])
  })

  it('what a listener wants to know of redirected connections: the filter, or use_original_dst, which brings it', () => {
    const filter = { name: 'od', typed_config: { '@type': `${TYPE}envoy.extensions.filters.listener.original_dst.v3.OriginalDst` } }
    const wanted = (listener: Json): object => {
      const { originalDst, handsOffRedirected, transparent } = decoded(decodeListenerJson(listenerJson(undefined, listener)))
      return { originalDst, handsOffRedirected, transparent }
    }
    const nothing = { originalDst: false, handsOffRedirected: false, transparent: false }
    expect(wanted({ use_original_dst: false, transparent: false })).toEqual(nothing)
    expect(wanted({ listener_filters: [filter] })).toEqual({ ...nothing, originalDst: true })
    expect(wanted({ use_original_dst: true })).toEqual({ ...nothing, originalDst: true, handsOffRedirected: true })
    expect(wanted({ transparent: true })).toEqual({ ...nothing, transparent: true })
  })

  it('RDS by name, with its source and its wait', () => {
    const rds = { route_config_name: 'web', config_source: { ads: {}, initial_fetch_timeout: '3s', resource_api_version: 'V3' } }
    const filter = decoded(decodeListenerJson(listenerJson({ filters: [hcm({ route_config: null, rds })] }))).filterChains[0]!.filters[0]!
    expect(filter).toMatchObject({ hcm: { routeTable: null, rdsName: 'web', rdsInitialFetchTimeoutMs: 3000, rdsSource: { kind: 'ads' } } })
  })

  it('a connection limit with the key that switches it', () => {
    const limit = networkFilter('connection_limit.v3.ConnectionLimit', {
      stat_prefix: 'a',
      max_connections: 5,
      runtime_enabled: { default_value: false, runtime_key: 'k' },
    })
    const [filter] = decoded(decodeListenerJson(listenerJson({ filters: [limit, hcm()] }))).filterChains[0]!.filters
    expect(filter).toMatchObject({ maxConnections: 5, enabled: { defaultValue: false, runtimeKey: 'k' } })
  })

  it('unknown protobuf fields by counting them', () => {
    const bytes = new Uint8Array([0x0a, 0x01, 0x6c, 0xfa, 0xff, 0x03, 0x01, 0x00]) // name 'l', then field 8191
    const result = decodeListener(bytes)
    expect(result.ok).toBe(false)
    expect(result.unknownFields).toBe(1)
    expect(pathsOf(result)).toEqual(['address', 'filter_chains'])
  })

  it('an Any of the right type and no other', () => {
    expect(
      errorsOf(
        decodeListener({ $typeName: 'google.protobuf.Any', typeUrl: `${TYPE}envoy.config.cluster.v3.Cluster`, value: new Uint8Array() }),
      ),
    ).toEqual([': expected a resource of type envoy.config.listener.v3.Listener, got type.googleapis.com/envoy.config.cluster.v3.Cluster'])
  })
})
