import { describe, expect, it } from 'vitest'
import { clusterJson, decodeClusterJson, decoded, endpointJson, errorsOf, type Json, TYPE, tls } from './messages.js'

const clusterOf = (changes: Json) => decoded(decodeClusterJson(clusterJson(changes)))
const HTTP_OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions'
const httpOptions = (config: Json): Json => ({
  typed_extension_protocol_options: { [HTTP_OPTIONS]: { '@type': TYPE + HTTP_OPTIONS, ...config } },
})
const policy = (type: string, config: Json = {}): Json => ({
  policies: [
    {
      typed_extension_config: {
        name: type,
        typed_config: { '@type': `${TYPE}envoy.extensions.load_balancing_policies.${type}`, ...config },
      },
    },
  ],
})
const check = (kind: Json): Json => ({
  health_checks: [{ timeout: '1s', interval: '2s', unhealthy_threshold: 3, healthy_threshold: 1, ...kind }],
})

describe('decodeCluster fills in Envoy’s defaults', () => {
  it('of the cluster', () => {
    expect(clusterOf({})).toMatchObject({
      name: 'c',
      altStatName: '',
      connectTimeoutMs: 5000,
      perConnectionBufferLimitBytes: 1024 * 1024,
      lbPolicy: { kind: 'roundRobin', slowStart: null },
      subset: null,
      healthyPanicPercent: 50,
      localityWeighted: false,
      zoneAware: { routingEnabledPercent: 100, minClusterSize: 6 },
      overrideHostStatus: ['UNKNOWN', 'HEALTHY', 'DEGRADED'],
      outlier: null,
      healthChecks: [],
      tls: null,
      http: { protocol: 'http1', autoSni: false, autoSanValidation: false },
      discovery: { kind: 'static', assignment: { overprovisioningFactor: 140, endpointStaleAfterMs: null } },
    })
  })

  it('of circuit breakers, absent and empty alike', () => {
    const defaults = {
      maxConnections: 1024,
      maxPendingRequests: 1024,
      maxRequests: 1024,
      maxRetries: 3,
      retryBudget: null,
      trackRemaining: false,
      maxConnectionsPerHost: 0xffff_ffff,
      maxConnectionPools: 0xffff_ffff,
    }
    expect(clusterOf({}).breakers).toEqual({ default: defaults, high: defaults })
    expect(clusterOf({ circuit_breakers: {} }).breakers.default).toEqual(defaults)
    const set = clusterOf({
      circuit_breakers: {
        thresholds: [{ priority: 'HIGH', max_requests: 0, retry_budget: {} }],
        per_host_thresholds: [{ max_connections: 7 }, { priority: 'HIGH', max_connections: 5 }],
      },
    }).breakers
    expect(set.high).toEqual({ ...defaults, maxConnectionsPerHost: 5, maxRequests: 0, retryBudget: { percent: 20, minConcurrency: 3 } })
    expect(set.default.maxConnectionsPerHost).toBe(7)
  })

  it('of an empty outlier_detection', () => {
    expect(clusterOf({ outlier_detection: {} }).outlier).toEqual({
      consecutive5xx: 5,
      intervalMs: 10_000,
      baseEjectionTimeMs: 30_000,
      maxEjectionTimeMs: 300_000,
      maxEjectionTimeJitterMs: 0,
      maxEjectionPercent: 10,
      alwaysEjectOneHost: false,
      enforcingConsecutive5xx: 100,
      enforcingSuccessRate: 100,
      successRateMinimumHosts: 5,
      successRateRequestVolume: 100,
      successRateStdevFactor: 1900,
      consecutiveGatewayFailure: 5,
      enforcingConsecutiveGatewayFailure: 0,
      splitExternalLocalOriginErrors: false,
      consecutiveLocalOriginFailure: 5,
      enforcingConsecutiveLocalOriginFailure: 100,
      enforcingLocalOriginSuccessRate: 100,
      failurePercentageThreshold: 85,
      enforcingFailurePercentage: 0,
      enforcingFailurePercentageLocalOrigin: 0,
      failurePercentageMinimumHosts: 5,
      failurePercentageRequestVolume: 50,
      successfulActiveHealthCheckUnejectHost: true,
    })
  })

  it('of a health check', () => {
    expect(clusterOf(check({ http_health_check: { path: '/h' } })).healthChecks[0]).toMatchObject({
      timeoutMs: 1000,
      intervalMs: 2000,
      reuseConnection: true,
      noTrafficIntervalMs: 60_000,
      noTrafficHealthyIntervalMs: null,
      unhealthyIntervalMs: 2000,
      unhealthyEdgeIntervalMs: 2000,
      healthyEdgeIntervalMs: 2000,
      check: {
        kind: 'http',
        host: '',
        path: '/h',
        method: 'GET',
        http2: false,
        expectedStatuses: [{ start: 200, end: 201 }],
        retriableStatuses: [],
        send: null,
        receive: [],
        responseBufferBytes: 1024,
      },
    })
  })

  it('of how much a health check looks at, and says where that is less than was asked', () => {
    const sized = (size: number) => decodeClusterJson(clusterJson(check({ http_health_check: { path: '/h', response_buffer_size: size } })))
    const bytes = (size: number) => decoded(sized(size)).healthChecks[0]!.check
    expect([0, 16, 65_536, 100_000].map(size => bytes(size))).toMatchObject(
      [65_536, 16, 65_536, 65_536].map(responseBufferBytes => ({ responseBufferBytes })),
    )
    expect(sized(0)).toMatchObject({ warnings: [] })
    expect(sized(100_000)).toMatchObject({
      warnings: [
        {
          path: 'health_checks[0].http_health_check.response_buffer_size',
          reason: 'only the first 65536 bytes are looked at',
        },
      ],
    })
  })

  it('of balancing policies in both forms', () => {
    expect(clusterOf({ lb_policy: 'LEAST_REQUEST' }).lbPolicy).toEqual({
      kind: 'leastRequest',
      choiceCount: 2,
      activeRequestBias: 1,
      fullScan: false,
      slowStart: null,
    })
    const ring = {
      kind: 'ringHash',
      minRingSize: 1024,
      maxRingSize: 8_388_608,
      hashFunction: 'XX_HASH',
      useHostnameForHashing: false,
      hashBalanceFactor: 0,
    }
    expect(clusterOf({ lb_policy: 'RING_HASH' }).lbPolicy).toEqual(ring)
    expect(clusterOf({ load_balancing_policy: policy('ring_hash.v3.RingHash') }).lbPolicy).toEqual(ring)
    const maglev = { kind: 'maglev', tableSize: 65_537, useHostnameForHashing: false, hashBalanceFactor: 0 }
    expect(clusterOf({ lb_policy: 'MAGLEV' }).lbPolicy).toEqual(maglev)
    expect(clusterOf({ load_balancing_policy: policy('maglev.v3.Maglev') }).lbPolicy).toEqual(maglev)
    expect(
      clusterOf({
        lb_policy: 'RANDOM',
        load_balancing_policy: policy('round_robin.v3.RoundRobin', { slow_start_config: { slow_start_window: '10s' } }),
      }).lbPolicy,
    ).toEqual({
      kind: 'roundRobin',
      slowStart: { windowMs: 10_000, aggression: 1, minWeightPercent: 10 },
    })
  })

  it('of DNS', () => {
    const assignment = { cluster_name: 'c', endpoints: [{ lb_endpoints: [endpointJson('a.example', 80)] }] }
    expect(clusterOf({ type: 'STRICT_DNS', load_assignment: assignment }).discovery).toMatchObject({
      kind: 'strictDns',
      dns: { refreshMs: 5000, failureRefreshBaseMs: 5000, failureRefreshMaxMs: 5000, respectTtl: false, family: 'AUTO', resolver: null },
      assignment: { localities: [{ endpoints: [{ address: { kind: 'socket', host: 'a.example', port: 80 } }] }] },
    })
    expect(
      clusterOf({
        type: 'STRICT_DNS',
        load_assignment: assignment,
        dns_failure_refresh_rate: { base_interval: '2s' },
        dns_resolvers: [{ socket_address: { address: '1.1.1.1', port_value: 53 } }],
      }).discovery,
    ).toMatchObject({
      dns: { failureRefreshBaseMs: 2000, failureRefreshMaxMs: 20_000, resolver: { kind: 'cares', servers: ['1.1.1.1:53'] } },
    })
  })

  const dnsCluster = (config: Json, more: Json = {}): Json => ({
    type: null,
    cluster_type: { name: 'dns', typed_config: { '@type': `${TYPE}envoy.extensions.clusters.dns.v3.DnsCluster`, ...config } },
    load_assignment: { cluster_name: 'c', endpoints: [{ priority: 1, lb_endpoints: [endpointJson('a.example', 80)] }] },
    ...more,
  })
  const resolver = (type: string, config: Json = {}): Json => ({
    typed_dns_resolver_config: {
      name: 'r',
      typed_config: { '@type': `${TYPE}envoy.extensions.network.dns_resolver.${type}`, ...config },
    },
  })

  it('of envoy.clusters.dns, strict and logical', () => {
    expect(clusterOf(dnsCluster({})).discovery).toMatchObject({
      kind: 'strictDns',
      dns: { refreshMs: 5000, minRefreshMs: 0, jitterMs: 0, respectTtl: false, family: 'AUTO', resolver: null },
      assignment: { localities: [{ priority: 1 }] },
    })
    expect(
      clusterOf(
        dnsCluster({
          all_addresses_in_single_endpoint: true,
          dns_refresh_rate: '2s',
          dns_min_refresh_rate: '3s',
          dns_failure_refresh_rate: { base_interval: '1s', max_interval: '4s' },
          respect_dns_ttl: true,
          dns_jitter: '0.5s',
          dns_lookup_family: 'V4_PREFERRED',
          ...resolver('getaddrinfo.v3.GetAddrInfoDnsResolverConfig', { num_retries: 0, num_resolver_threads: 3 }),
        }),
      ).discovery,
    ).toMatchObject({
      kind: 'logicalDns',
      dns: {
        refreshMs: 2000,
        minRefreshMs: 3000,
        failureRefreshBaseMs: 1000,
        failureRefreshMaxMs: 4000,
        respectTtl: true,
        jitterMs: 500,
        family: 'V4_PREFERRED',
        resolver: { kind: 'getaddrinfo', retries: 0, threads: 3 },
      },
      assignment: { localities: [{ priority: 0 }] },
    })
  })

  it('of a DNS resolver: the typed config before the older fields, all of its options', () => {
    const dnsOf = (changes: Json) => {
      const { discovery } = clusterOf({ type: 'STRICT_DNS', ...changes })
      return discovery.kind === 'strictDns' ? discovery.dns.resolver : null
    }
    const older = { dns_resolvers: [{ socket_address: { address: '1.1.1.1', port_value: 53 } }], use_tcp_for_dns_lookups: true }
    const address = (text: string, port: number): Json => ({ socket_address: { protocol: 'UDP', address: text, port_value: port } })
    expect(
      dnsOf({
        ...older,
        ...resolver('cares.v3.CaresDnsResolverConfig', {
          resolvers: [address('2.2.2.2', 0), address('::1', 5353)],
          use_resolvers_as_fallback: true,
          filter_unroutable_families: true,
          dns_resolver_options: { use_tcp_for_dns_lookups: true, no_default_search_domain: true },
          query_timeout_seconds: 3,
          query_tries: 2,
          rotate_nameservers: true,
        }),
      }),
    ).toEqual({
      kind: 'cares',
      servers: ['2.2.2.2', '[::1]:5353'],
      serversAsFallback: true,
      skipUnroutableFamilies: true,
      tcp: true,
      searchDomains: false,
      rotate: true,
      timeoutMs: 3000,
      tries: 2,
    })
    expect(dnsOf({ ...older, dns_resolution_config: { resolvers: [address('3.3.3.3', 53)] } })).toMatchObject({
      servers: ['3.3.3.3:53'],
      tcp: false,
    })
    expect(dnsOf(older)).toMatchObject({ servers: ['1.1.1.1:53'], tcp: true, searchDomains: true, timeoutMs: 5000, tries: 4 })
    expect(dnsOf({})).toBeNull()
  })

  it('refuses resolvers of other kinds by name, and servers that are no addresses', () => {
    const apple = {
      name: 'apple',
      typed_config: {
        '@type': `${TYPE}xds.type.v3.TypedStruct`,
        type_url: `${TYPE}envoy.extensions.network.dns_resolver.apple.v3.AppleDnsResolverConfig`,
      },
    }
    expect(errorsOf(decodeClusterJson(clusterJson({ type: 'STRICT_DNS', typed_dns_resolver_config: apple })))).toEqual([
      "typed_dns_resolver_config.typed_config: unknown DNS resolver 'apple' (type.googleapis.com/envoy.extensions.network.dns_resolver.apple.v3.AppleDnsResolverConfig): there are envoy.network.dns_resolver.cares and getaddrinfo",
    ])
    const named = { resolvers: [{ socket_address: { address: 'dns.example', port_value: 53 } }, { pipe: { path: '/s' } }] }
    const at = 'cluster_type.typed_config.typed_dns_resolver_config.typed_config.resolvers'
    expect(errorsOf(decodeClusterJson(clusterJson(dnsCluster(resolver('cares.v3.CaresDnsResolverConfig', named)))))).toEqual([
      `${at}[0].socket_address.address: malformed IP address: dns.example`,
      `${at}[1]: a DNS resolver is an IP address`,
    ])
  })
})

describe('decodeCluster reads', () => {
  it('how HTTP is spoken, in the typed and the deprecated forms', () => {
    expect(clusterOf(httpOptions({ explicit_http_config: { http2_protocol_options: { max_concurrent_streams: 5 } } })).http).toMatchObject({
      protocol: 'http2',
      http2: { maxConcurrentStreams: 5 },
    })
    expect(clusterOf(httpOptions({ use_downstream_protocol_config: {} })).http.protocol).toBe('downstream')
    expect(
      clusterOf({
        ...httpOptions({ auto_config: {}, upstream_http_protocol_options: { auto_sni: true } }),
        transport_socket: tls('Upstream'),
      }).http,
    ).toMatchObject({ protocol: 'auto', autoSni: true })
    expect(clusterOf({ http2_protocol_options: {} }).http.protocol).toBe('http2')
    expect(clusterOf({ protocol_selection: 'USE_DOWNSTREAM_PROTOCOL' }).http.protocol).toBe('downstream')
    expect(
      clusterOf({ upstream_http_protocol_options: { auto_sni: true, auto_san_validation: true }, max_requests_per_connection: 9 }).http,
    ).toMatchObject({
      autoSni: true,
      autoSanValidation: true,
      common: { maxRequestsPerConnection: 9, idleTimeoutMs: 3_600_000 },
    })
  })

  it('aggregates, EDS and the original destination from a header', () => {
    const aggregate = {
      name: 'envoy.clusters.aggregate',
      typed_config: { '@type': `${TYPE}envoy.extensions.clusters.aggregate.v3.ClusterConfig`, clusters: ['a', 'b'] },
    }
    expect(clusterOf({ load_assignment: null, lb_policy: 'CLUSTER_PROVIDED', cluster_type: aggregate }).discovery).toEqual({
      kind: 'aggregate',
      clusters: ['a', 'b'],
    })
    const eds = {
      load_assignment: null,
      type: 'EDS',
      eds_cluster_config: { eds_config: { ads: {}, resource_api_version: 'V3', initial_fetch_timeout: '0s' } },
    }
    expect(clusterOf(eds).discovery).toEqual({ kind: 'eds', serviceName: 'c', source: { kind: 'ads' }, initialFetchTimeoutMs: 0 })
    const own = {
      api_config_source: { api_type: 'DELTA_GRPC', transport_api_version: 'V3', grpc_services: [{ envoy_grpc: { cluster_name: 'x' } }] },
    }
    expect(clusterOf({ ...eds, eds_cluster_config: { service_name: 's', eds_config: own } }).discovery).toMatchObject({
      serviceName: 's',
      source: { kind: 'api', api: { apiType: 'DELTA_GRPC', services: [{ cluster: 'x' }] } },
      initialFetchTimeoutMs: 15_000,
    })
    expect(
      clusterOf({
        load_assignment: null,
        type: 'ORIGINAL_DST',
        lb_policy: 'CLUSTER_PROVIDED',
        original_dst_lb_config: { use_http_header: true },
      }).discovery,
    ).toEqual({
      kind: 'originalDst',
      useHttpHeader: true,
      httpHeaderName: 'x-envoy-original-dst-host',
      portOverride: null,
      cleanupIntervalMs: 5000,
    })
    expect(
      clusterOf({
        load_assignment: null,
        type: 'ORIGINAL_DST',
        lb_policy: 'CLUSTER_PROVIDED',
        original_dst_lb_config: { upstream_port_override: 9000 },
      }).discovery,
    ).toMatchObject({ kind: 'originalDst', useHttpHeader: false, portOverride: 9000 })
  })

  it('the first balancing policy it knows, and nested ones', () => {
    const unknown = {
      typed_extension_config: { name: 'x', typed_config: { '@type': `${TYPE}xds.type.v3.TypedStruct`, type_url: `${TYPE}a.b.C` } },
    }
    const list = { policies: [unknown, ...(policy('random.v3.Random')['policies'] as Json[])] }
    expect(clusterOf({ load_balancing_policy: list }).lbPolicy).toEqual({ kind: 'random' })
    const wrr = policy('wrr_locality.v3.WrrLocality', {
      endpoint_picking_policy: policy('least_request.v3.LeastRequest', { selection_method: 'FULL_SCAN' }),
    })
    expect(clusterOf({ load_balancing_policy: wrr })).toMatchObject({
      lbPolicy: { kind: 'leastRequest', fullScan: true },
      localityWeighted: true,
      zoneAware: null,
    })
    const subset = policy('subset.v3.Subset', {
      subset_lb_policy: policy('random.v3.Random'),
      fallback_policy: 'DEFAULT_SUBSET',
      default_subset: { v: '1' },
      subset_selectors: [{ keys: ['b', 'a'] }],
    })
    expect(clusterOf({ load_balancing_policy: subset })).toMatchObject({
      lbPolicy: { kind: 'random' },
      subset: {
        fallback: 'DEFAULT_SUBSET',
        defaultSubset: new Map([['v', '1']]),
        selectors: [{ keys: ['a', 'b'], fallback: 'NOT_DEFINED' }],
      },
    })
  })

  it('transport socket matches with plain text among them', () => {
    const matches = [
      { name: 'tls', match: { mtls: true }, transport_socket: tls('Upstream', { sni: 'a' }) },
      {
        name: 'plain',
        match: {},
        transport_socket: { name: 'raw', typed_config: { '@type': `${TYPE}envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer` } },
      },
    ]
    expect(clusterOf({ transport_socket_matches: matches }).transportSocketMatches).toMatchObject([
      { name: 'tls', tls: { sni: 'a' } },
      { name: 'plain', tls: null },
    ])
  })

  it('fields younger than our protos', () => {
    expect(clusterOf({ transport_socket: tls('Upstream') }).tls).toMatchObject({
      autoHostSni: false,
      autoSniSanValidation: false,
      maxSessionKeys: 1,
    })
  })
})

describe('decodeCluster refuses, with the path', () => {
  const cases: [what: string, changes: Json, error: RegExp][] = [
    ['no name', { name: '' }, /^name: value length must be at least 1/],
    [
      'a host name in a STATIC cluster',
      { load_assignment: { cluster_name: 'c', endpoints: [{ lb_endpoints: [endpointJson('a.b')] }] } },
      /^load_assignment\.endpoints\[0\]\.lb_endpoints\[0\]\.endpoint\.address\.socket_address\.address: malformed IP address: a\.b/,
    ],
    [
      'an endpoint weight of 0',
      { load_assignment: { cluster_name: 'c', endpoints: [{ lb_endpoints: [{ ...endpointJson(), load_balancing_weight: 0 }] }] } },
      /lb_endpoints\[0\]\.load_balancing_weight: value must be greater than or equal to 1/,
    ],
    ['EDS without a source', { type: 'EDS', load_assignment: null }, /^eds_cluster_config: value is required/],
    [
      'LOGICAL_DNS with two endpoints',
      { type: 'LOGICAL_DNS', load_assignment: { cluster_name: 'c', endpoints: [{ lb_endpoints: [endpointJson(), endpointJson()] }] } },
      /^load_assignment: LOGICAL_DNS clusters must have a single/,
    ],
    ['CLUSTER_PROVIDED for endpoints', { lb_policy: 'CLUSTER_PROVIDED' }, /^lb_policy: LB policy CLUSTER_PROVIDED cannot be used/],
    ['an unknown cluster type', { cluster_type: { name: 'zz' } }, /^cluster_type\.typed_config: unknown cluster type 'zz'/],
    ['a zero connect timeout', { connect_timeout: '0s' }, /^connect_timeout: value must be greater than 0s/],
    [
      'an inverted ring',
      { lb_policy: 'RING_HASH', ring_hash_lb_config: { minimum_ring_size: '9', maximum_ring_size: '8' } },
      /^ring_hash_lb_config\.minimum_ring_size: minimum_ring_size \(9\)/,
    ],
    [
      'a maglev table that is no prime',
      { lb_policy: 'MAGLEV', maglev_lb_config: { table_size: '100' } },
      /^maglev_lb_config\.table_size: .*prime/,
    ],
    [
      'only unknown balancing policies',
      {
        load_balancing_policy: {
          policies: [
            {
              typed_extension_config: { name: 'x', typed_config: { '@type': `${TYPE}xds.type.v3.TypedStruct`, type_url: `${TYPE}a.b.C` } },
            },
          ],
        },
      },
      /^load_balancing_policy: no known load balancing policy among: x/,
    ],
    [
      'a percentage above 100',
      { outlier_detection: { max_ejection_percent: 101 } },
      /^outlier_detection\.max_ejection_percent: value must be less than or equal to 100/,
    ],
    [
      'a health check without a timeout',
      { health_checks: [{ interval: '1s', unhealthy_threshold: 1, healthy_threshold: 1, tcp_health_check: {} }] },
      /^health_checks\[0\]\.timeout: value is required/,
    ],
    [
      'a gRPC check over HTTP/1',
      check({ grpc_health_check: {} }),
      /^health_checks\[0\]\.grpc_health_check: the cluster must support HTTP\/2/,
    ],
    [
      'a payload that is not hex',
      check({ tcp_health_check: { send: { text: 'zz' } } }),
      /^health_checks\[0\]\.tcp_health_check\.send\.text: 'zz' is not hex/,
    ],
    [
      'an unknown transport socket',
      { transport_socket: { name: 'alts', typed_config: { '@type': `${TYPE}xds.type.v3.TypedStruct`, type_url: `${TYPE}a.Alts` } } },
      /^transport_socket\.typed_config: unknown transport socket 'alts' \(type\.googleapis\.com\/a\.Alts\)/,
    ],
    [
      'auto_config without TLS',
      httpOptions({ auto_config: {} }),
      /^typed_extension_protocol_options: auto_config needs a transport socket with ALPN/,
    ],
    [
      'HTTP/3 upstream',
      httpOptions({ explicit_http_config: { http3_protocol_options: {} } }),
      /http3_protocol_options: HTTP\/3 is not supported/,
    ],
    ['upstream network filters', { filters: [{ name: 'x' }] }, /^filters: upstream network filters are not supported/],
    [
      'limits per host other than connections',
      { circuit_breakers: { per_host_thresholds: [{ max_requests: 0 }] } },
      /^circuit_breakers\.per_host_thresholds\[0\]: unsupported field/,
    ],
    [
      'REST discovery',
      {
        type: 'EDS',
        load_assignment: null,
        eds_cluster_config: { eds_config: { api_config_source: { api_type: 'REST', cluster_names: ['x'] } } },
      },
      /api_config_source\.refresh_delay: refresh_delay is required/,
    ],
    [
      'a file that is not there',
      { type: 'EDS', load_assignment: null, eds_cluster_config: { eds_config: { path_config_source: { path: '/no/such/file' } } } },
      /path_config_source\.path: paths must refer to an existing path/,
    ],
  ]
  for (const [what, changes, error] of cases) {
    it(what, () => {
      expect(errorsOf(decodeClusterJson(clusterJson(changes)))).toEqual(expect.arrayContaining([expect.stringMatching(error)]))
    })
  }
})
