// A bootstrap with most HTTP filters, and a route for each thing that they can be told: for test/integration/envoy-differential-filters.test.ts,
// which sends the same requests to the real Envoy and to Outrigger.
import { createHash } from 'node:crypto'
import { assignment, hcm, httpRbac, listener, router, typed } from './proxy-process.js'

const percent = (numerator: number): object => ({ numerator, denominator: 'HUNDRED' })
const fraction = (numerator: number): object => ({ default_value: percent(numerator) })
const T = 'type.googleapis.com/envoy.extensions.filters.http'
const override = (name: string, type: string, config: object): object => ({
  [`envoy.filters.http.${name}`]: { '@type': `${T}.${type}`, ...config },
})
const fault = (config: object): object => override('fault', 'fault.v3.HTTPFault', config)

const bucket = (max: number): object => ({ max_tokens: max, tokens_per_fill: max, fill_interval: '1000s' })
const limit = (more: object, max = 2): object =>
  override('local_ratelimit', 'local_ratelimit.v3.LocalRateLimit', {
    stat_prefix: 'lrl',
    token_bucket: bucket(max),
    filter_enabled: fraction(100),
    filter_enforced: fraction(100),
    ...more,
  })

/** Which rate_limits of the virtual host count: `x-host`, which no other route asks for. */
const limitBy = (key: string): object => ({ actions: [{ request_headers: { header_name: `x-${key}`, descriptor_key: key } }] })
export const HOST_LIMITS = [
  ['OVERRIDE', 'override'],
  ['INCLUDE', 'include'],
  ['IGNORE', 'ignore'],
] as const
const hostLimit = (vh_rate_limits: string): object =>
  limit({ vh_rate_limits, descriptors: [{ entries: [{ key: 'host', value: '1' }], token_bucket: bucket(1) }] }, 100)

const cors = (more: object = {}): object =>
  override('cors', 'cors.v3.CorsPolicy', {
    allow_origin_string_match: [{ exact: 'https://ok.test' }, { safe_regex: { regex: 'https://[a-z]+\\.wild\\.test' } }],
    allow_methods: 'GET,POST',
    allow_headers: 'x-a,x-b',
    expose_headers: 'x-c',
    max_age: '600',
    allow_credentials: true,
    ...more,
  })

const csrf = (more: object = {}): object =>
  override('csrf', 'csrf.v3.CsrfPolicy', { filter_enabled: fraction(100), additional_origins: [{ suffix: '.friend.test' }], ...more })

const hashed = (password: string): string => `{SHA}${createHash('sha1').update(password).digest('base64')}`
const people = { inline_string: `# people\n\nann:${hashed('p:1')}\nnone:${hashed('')}\nbjörk:${hashed('ß')}\n` }
export const basicOf = (pair: string): string => `Basic ${Buffer.from(pair).toString('base64')}`

/** Switches on, for a route, a filter that is off by default. */
const enabled = { '@type': 'type.googleapis.com/envoy.config.route.v3.FilterConfig', config: {} }
const to = (prefix: string, filters: object = {}, action: object = {}, more: object = {}): object => ({
  match: { prefix },
  route: { cluster: 'origin', ...action },
  typed_per_filter_config: filters,
  ...more,
})

const mutation = (config: object): object => override('header_mutation', 'header_mutation.v3.HeaderMutationPerRoute', { mutations: config })

const verdict = (name: string, action: string): object => ({
  action: { name, typed_config: { '@type': 'type.googleapis.com/envoy.config.rbac.v3.Action', name, action } },
})
const judged = (input: object, matcher: object): object => ({
  single_predicate: { input: { name: 'i', typed_config: input }, custom_match: { name: 'm', typed_config: matcher } },
})
const byMetadata = (key: string, matcher: object): object =>
  judged(
    {
      '@type': 'type.googleapis.com/envoy.extensions.matching.common_inputs.network.v3.DynamicMetadataInput',
      filter: 'test',
      path: [{ key }],
    },
    { '@type': 'type.googleapis.com/envoy.extensions.matching.input_matchers.metadata.v3.Metadata', ...matcher },
  )
const selected = (...names: string[]): object =>
  names.slice(1).reduce<object>((operand, field) => ({ select_expr: { operand, field } }), { ident_expr: { name: names[0] } })
const byCel = (target: object, name: string, value: string): object =>
  judged(
    { '@type': 'type.googleapis.com/xds.type.matcher.v3.HttpAttributesCelMatchInput' },
    {
      '@type': 'type.googleapis.com/xds.type.matcher.v3.CelMatcher',
      expr_match: { cel_expr_parsed: { expr: { call_expr: { function: name, target, args: [{ const_expr: { string_value: value } }] } } } },
    },
  )
/** Metadata and CEL in a matcher of RBAC. */
const matchedRules = {
  matcher_list: {
    matchers: [
      { predicate: byMetadata('who', { value: { string_match: { exact: 'carol' } } }), on_match: verdict('carol', 'ALLOW') },
      { predicate: byCel(selected('request', 'path'), 'startsWith', '/matched/cel'), on_match: verdict('cel', 'ALLOW') },
      { predicate: byCel(selected('request', 'nothing'), 'startsWith', ''), on_match: verdict('never', 'ALLOW') },
      { predicate: byMetadata('num', { value: { present_match: true }, invert: true }), on_match: verdict('no number', 'DENY') },
    ],
  },
  on_no_match: verdict('rest', 'ALLOW'),
}

const routes = [
  to('/fault/abort', fault({ abort: { http_status: 418, percentage: percent(100) } })),
  to('/fault/grpc', fault({ abort: { grpc_status: 14, percentage: percent(100) } })),
  to('/fault/delay', fault({ delay: { fixed_delay: '0.05s', percentage: percent(100) } })),
  to(
    '/fault/both',
    fault({ delay: { fixed_delay: '0.02s', percentage: percent(100) }, abort: { http_status: 503, percentage: percent(100) } }),
  ),
  to(
    '/fault/header',
    fault({ delay: { header_delay: {}, percentage: percent(100) }, abort: { header_abort: {}, percentage: percent(100) } }),
  ),
  to('/fault/zero', fault({ abort: { header_abort: {}, percentage: percent(0) } })),
  to('/fault/never', fault({ abort: { http_status: 418, percentage: percent(0) } })),
  to(
    '/fault/match',
    fault({ abort: { http_status: 418, percentage: percent(100) }, headers: [{ name: 'x-chaos', string_match: { exact: 'on' } }] }),
  ),
  to('/fault/cluster', fault({ abort: { http_status: 418, percentage: percent(100) }, upstream_cluster: 'other' })),
  to('/fault/node', fault({ abort: { http_status: 418, percentage: percent(100) }, downstream_nodes: ['n1'] })),
  to('/fault/slow', fault({ response_rate_limit: { fixed_limit: { limit_kbps: 64 }, percentage: percent(100) } })),
  to('/fault/rl-some', fault({ response_rate_limit: { header_limit: {}, percentage: { numerator: 0, denominator: 'MILLION' } } })),
  to('/fault/overflow', fault({ abort: { http_status: 418, percentage: percent(100) }, max_active_faults: 0 })),
  to('/fault/grpc-header', fault({ abort: { header_abort: {}, percentage: percent(100) } })),
  to('/fault/rl-header', fault({ response_rate_limit: { header_limit: {}, percentage: percent(100) } })),
  to('/cors/off', cors({ filter_enabled: fraction(0) })),
  to('/cors/forward', cors({ forward_not_matching_preflights: true })),
  to('/cors/no-forward', cors({ forward_not_matching_preflights: false })),
  to('/cors/any', cors({ allow_origin_string_match: [{ safe_regex: { regex: '.*' } }], allow_credentials: false })),
  to('/cors/private', cors({ allow_private_network_access: true })),
  to('/cors', cors()),
  to('/csrf/shadow', csrf({ filter_enabled: fraction(0), shadow_enabled: fraction(100) })),
  to('/csrf', csrf()),
  to(
    '/limit/headers',
    limit({
      enable_x_ratelimit_headers: 'DRAFT_VERSION_03',
      response_headers_to_add: [{ header: { key: 'x-limited', value: 'yes' } }],
      status: { code: 'ServiceUnavailable' },
    }),
  ),
  to('/limit/grpc-code', limit({ rate_limited_as_resource_exhausted: true }, 1)),
  to(
    '/limit/not-enforced',
    limit({ filter_enforced: fraction(0), request_headers_to_add_when_not_enforced: [{ header: { key: 'x-over', value: '1' } }] }, 1),
  ),
  to('/limit/low-status', limit({ status: { code: 'OK' } }, 1)),
  to('/limit/descriptor', limit({ descriptors: [{ entries: [{ key: 'who', value: 'bob' }], token_bucket: bucket(1) }] }, 4), {
    rate_limits: [{ actions: [{ request_headers: { header_name: 'x-who', descriptor_key: 'who' } }] }],
  }),
  ...HOST_LIMITS.flatMap(([mode, name]) => [
    to(`/limit/${name}/bare`, hostLimit(mode)),
    to(`/limit/${name}/own`, hostLimit(mode), { rate_limits: [limitBy('who')] }),
    to(`/limit/${name}/included`, hostLimit(mode), { rate_limits: [limitBy('who')], include_vh_rate_limits: true }),
  ]),
  // The filter's own actions; an empty value is any.
  to('/limit/any', limit({ rate_limits: [limitBy('who')], descriptors: [{ entries: [{ key: 'x-who' }], token_bucket: bucket(1) }] }, 100)),
  to(
    '/limit/few',
    limit(
      {
        rate_limits: [limitBy('who')],
        max_dynamic_descriptors: 1,
        descriptors: [{ entries: [{ key: 'x-who' }], token_bucket: bucket(1) }],
      },
      100,
    ),
  ),
  to(
    '/limit/spared',
    limit(
      {
        rate_limits: [limitBy('who')],
        always_consume_default_token_bucket: false,
        descriptors: [{ entries: [{ key: 'x-who', value: 'a' }], token_bucket: bucket(3) }],
      },
      1,
    ),
  ),
  to('/limit', limit({})),
  to('/buffer/small', override('buffer', 'buffer.v3.BufferPerRoute', { buffer: { max_request_bytes: 10 } })),
  to('/buffer/off', override('buffer', 'buffer.v3.BufferPerRoute', { disabled: true })),
  to('/decompress', { decompressor: enabled, 'decompressor.br': enabled }),
  to('/compress/all', { 'compressor.all': enabled }),
  to('/compress/off', override('compressor', 'compressor.v3.CompressorPerRoute', { disabled: true })),
  to(
    '/mutate',
    mutation({
      request_mutations: [
        { remove: 'x-gone' },
        { append: { header: { key: 'x-new', value: '%REQ(:METHOD)%|%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%|%ROUTE_NAME%' } } },
        { append: { header: { key: 'x-over', value: 'w' }, append_action: 'OVERWRITE_IF_EXISTS_OR_ADD' } },
        { append: { header: { key: 'x-if', value: 'w' }, append_action: 'OVERWRITE_IF_EXISTS' } },
        { append: { header: { key: 'x-absent', value: 'w' }, append_action: 'ADD_IF_ABSENT' } },
      ],
      response_mutations: [
        { remove: 'x-origin' },
        { append: { header: { key: 'x-code', value: '%RESPONSE_CODE%-%RESP(content-type)%' } } },
      ],
    }),
    {},
    { name: 'mutating' },
  ),
  to(
    '/rbac',
    override('rbac', 'rbac.v3.RBACPerRoute', {
      rbac: {
        rules: {
          action: 'ALLOW',
          policies: {
            get: { permissions: [{ header: { name: ':method', string_match: { exact: 'GET' } } }], principals: [{ any: true }] },
            meta: {
              permissions: [{ any: true }],
              principals: [{ metadata: { filter: 'test', path: [{ key: 'who' }], value: { string_match: { exact: 'carol' } } } }],
            },
          },
        },
      },
    }),
  ),
  to(
    '/basic/own',
    override('basic_auth', 'basic_auth.v3.BasicAuthPerRoute', { users: { inline_string: `own:${hashed('o')}` }, realm: 'a "b"' }),
  ),
  to('/basic/maybe', { 'basic_auth.maybe': enabled }),
  to('/basic', { 'envoy.filters.http.basic_auth': enabled }),
  to('/key/some', override('api_key_auth', 'api_key_auth.v3.ApiKeyAuthPerRoute', { allowed_clients: ['one'] })),
  to(
    '/key/own',
    override('api_key_auth', 'api_key_auth.v3.ApiKeyAuthPerRoute', {
      credentials: [{ key: 'o', client: 'own' }],
      key_sources: [{ header: 'authorization' }],
      forwarding: { hide_credentials: true },
    }),
  ),
  to('/key', { 'envoy.filters.http.api_key_auth': enabled }),
  to('/matched', override('rbac', 'rbac.v3.RBACPerRoute', { rbac: { matcher: matchedRules } })),
  to('/disabled', { 'envoy.filters.http.rbac': { '@type': 'type.googleapis.com/envoy.config.route.v3.FilterConfig', disabled: true } }),
  {
    match: { prefix: '/split' },
    route: {
      weighted_clusters: {
        clusters: [
          { name: 'other', weight: 0 },
          {
            name: 'origin',
            weight: 7,
            request_headers_to_add: [{ header: { key: 'x-leg', value: '%UPSTREAM_CLUSTER%' } }],
            response_headers_to_add: [{ header: { key: 'x-leg', value: 'b' } }],
            typed_per_filter_config: fault({
              abort: { http_status: 410, percentage: percent(100) },
              headers: [{ name: 'x-chaos', present_match: true }],
            }),
          },
        ],
      },
    },
  },
  {
    match: { prefix: '/hash-split' },
    route: {
      hash_policy: [{ header: { header_name: 'x-user' } }],
      weighted_clusters: {
        use_hash_policy: true,
        clusters: [
          { name: 'origin', weight: 50 },
          { name: 'other', weight: 50 },
        ],
      },
    },
  },
  { match: { prefix: '/ring/cookie' }, route: { cluster: 'ring', hash_policy: [{ cookie: { name: 'sid' } }] } },
  { match: { prefix: '/ring/query' }, route: { cluster: 'ring', hash_policy: [{ query_parameter: { name: 'u' } }] } },
  {
    match: { prefix: '/ring/two' },
    route: {
      cluster: 'ring',
      hash_policy: [
        { header: { header_name: 'x-user' }, terminal: true },
        { header: { header_name: 'x-b' } },
        { connection_properties: { source_ip: true } },
      ],
    },
  },
  {
    match: { prefix: '/ring/rewrite' },
    route: {
      cluster: 'ring',
      hash_policy: [{ header: { header_name: 'x-user', regex_rewrite: { pattern: { regex: '^(.).*' }, substitution: '\\1' } } }],
    },
  },
  { match: { prefix: '/ring' }, route: { cluster: 'ring', hash_policy: [{ header: { header_name: 'x-user' } }] } },
  { match: { prefix: '/maglev' }, route: { cluster: 'maglev', hash_policy: [{ header: { header_name: 'x-user' } }] } },
  { match: { prefix: '/subset' }, route: { cluster: 'subset', metadata_match: { filter_metadata: { 'envoy.lb': { v: '2' } } } } },
  { match: { prefix: '/no-subset' }, route: { cluster: 'subset', metadata_match: { filter_metadata: { 'envoy.lb': { v: '9' } } } } },
  { match: { prefix: '/unhealthy' }, route: { cluster: 'unhealthy' } },
  { match: { prefix: '/failover' }, route: { cluster: 'failover' } },
  { match: { prefix: '/aggregate' }, route: { cluster: 'aggregate' } },
  { match: { prefix: '/none' }, route: { cluster: 'nobody' } },
  { match: { prefix: '/down' }, route: { cluster: 'down' } },
  { match: { prefix: '/no-requests' }, route: { cluster: 'no-requests' } },
  { match: { prefix: '/no-pending' }, route: { cluster: 'no-pending' } },
  { match: { prefix: '/outlier' }, route: { cluster: 'outlier' } },
  { match: { prefix: '/drop' }, route: { cluster: 'drop' } },
  { match: { prefix: '/timeout' }, route: { cluster: 'origin', timeout: '0.1s' } },
  { match: { prefix: '/idle' }, route: { cluster: 'origin', idle_timeout: '0.1s' } },
  { match: { prefix: '/max-stream' }, route: { cluster: 'origin', max_stream_duration: { max_stream_duration: '0.1s' } } },
  {
    match: { prefix: '/per-try' },
    route: {
      cluster: 'origin',
      retry_policy: { retry_on: '5xx', num_retries: 1, per_try_timeout: '0.1s', retry_back_off: { base_interval: '0.001s' } },
    },
  },
  {
    match: { prefix: '/try-idle' },
    route: { cluster: 'origin', retry_policy: { retry_on: 'reset', num_retries: 0, per_try_idle_timeout: '0.1s' } },
  },
  {
    match: { prefix: '/retry-reset' },
    route: { cluster: 'origin', retry_policy: { retry_on: 'reset', num_retries: 2, retry_back_off: { base_interval: '0.001s' } } },
  },
  {
    match: { prefix: '/retry-none' },
    route: { cluster: 'no-retries', retry_policy: { retry_on: '5xx', num_retries: 2, retry_back_off: { base_interval: '0.001s' } } },
  },
  {
    match: { prefix: '/retry' },
    route: { cluster: 'origin', retry_policy: { retry_on: '5xx', num_retries: 2, retry_back_off: { base_interval: '0.001s' } } },
  },
  {
    match: { prefix: '/again-to-down' },
    route: { cluster: 'down', retry_policy: { retry_on: 'connect-failure', num_retries: 2, retry_back_off: { base_interval: '0.001s' } } },
  },
  { match: { prefix: '/redirect' }, redirect: { host_redirect: 'b.test' } },
  { match: { prefix: '/direct' }, direct_response: { status: 200, body: { inline_string: 'direct' } }, name: 'direct-route' },
  to('/'),
]

const JSON_LOG = {
  mark: '%REQ(X-MARK)%',
  method: '%REQ(:METHOD)%',
  path: '%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%',
  authority: '%REQ(:AUTHORITY)%',
  scheme: '%REQ(:SCHEME)%',
  protocol: '%PROTOCOL%',
  code: '%RESPONSE_CODE%',
  flags: '%RESPONSE_FLAGS%',
  flags_long: '%RESPONSE_FLAGS_LONG%',
  details: '%RESPONSE_CODE_DETAILS%',
  received: '%BYTES_RECEIVED%',
  sent: '%BYTES_SENT%',
  route: '%ROUTE_NAME%',
  vhost: '%VIRTUAL_CLUSTER_NAME%',
  cluster: '%UPSTREAM_CLUSTER%',
  cluster_raw: '%UPSTREAM_CLUSTER_RAW%',
  host: '%UPSTREAM_HOST%',
  remote: '%UPSTREAM_REMOTE_ADDRESS%',
  upstream_protocol: '%UPSTREAM_PROTOCOL%',
  attempts: '%UPSTREAM_REQUEST_ATTEMPT_COUNT%',
  failure: '%UPSTREAM_TRANSPORT_FAILURE_REASON%',
  termination: '%CONNECTION_TERMINATION_DETAILS%',
  sni: '%REQUESTED_SERVER_NAME%',
  downstream: '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%',
  direct: '%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%',
  xff: '%REQ(X-FORWARDED-FOR)%',
  agent: '%REQ(USER-AGENT)%',
  type: '%RESP(CONTENT-TYPE)%',
  grpc: '%GRPC_STATUS%',
  grpc_number: '%GRPC_STATUS_NUMBER%',
  who: '%DYNAMIC_METADATA(test:who)%',
  user: '%DYNAMIC_METADATA(envoy.filters.http.basic_auth:username)%',
  meta: '%DYNAMIC_METADATA(test)%',
  request_headers: '%REQUEST_HEADERS_BYTES%',
  text: 'a %REQ(X-NOPE)% b',
  filter_chain: '%FILTER_CHAIN_NAME%',
  hostname_set: '%REQ(X-NOPE?:METHOD):2%',
  nested: { list: ['%RESPONSE_CODE%', 'x'], number: 1, yes: true },
}

const compressor = (library: string, type: string, more: object = {}): object =>
  typed(`envoy.filters.http.compressor${library === 'gzip' ? '' : `.${library}`}`, 'filters.http.compressor.v3.Compressor', {
    response_direction_config: { common_config: { min_content_length: 100 } },
    compressor_library: typed(library, type),
    ...more,
  })

const decompressor = (name: string, type: string): object => ({
  ...typed(name, 'filters.http.decompressor.v3.Decompressor', { decompressor_library: typed('lib', type) }),
  disabled: true,
})

const filters = [
  typed('envoy.filters.http.header_to_metadata', 'filters.http.header_to_metadata.v3.Config', {
    request_rules: [
      {
        header: 'x-who',
        on_header_present: { metadata_namespace: 'test', key: 'who' },
        on_header_missing: { metadata_namespace: 'test', key: 'who', value: 'nobody' },
      },
      { header: 'x-num', on_header_present: { metadata_namespace: 'test', key: 'num', type: 'NUMBER' }, remove: true },
      {
        header: 'x-re',
        on_header_present: {
          metadata_namespace: 'test',
          key: 're',
          regex_value_rewrite: { pattern: { regex: '^a=(.*)$' }, substitution: '\\1' },
        },
      },
      { cookie: 'sid', on_header_present: { metadata_namespace: 'test', key: 'sid' } },
    ],
  }),
  {
    ...typed('envoy.filters.http.basic_auth', 'filters.http.basic_auth.v3.BasicAuth', {
      users: people,
      forward_username_header: 'x-user-name',
      emit_dynamic_metadata: true,
    }),
    disabled: true,
  },
  {
    ...typed('basic_auth.maybe', 'filters.http.basic_auth.v3.BasicAuth', {
      users: people,
      authentication_header: 'x-login',
      allow_missing: true,
    }),
    disabled: true,
  },
  {
    ...typed('envoy.filters.http.api_key_auth', 'filters.http.api_key_auth.v3.ApiKeyAuth', {
      credentials: [
        { key: 'k1', client: 'one' },
        { key: 'k 2', client: 'two' },
      ],
      key_sources: [{ header: 'X-Key' }, { query: 'key' }, { cookie: 'key' }],
      forwarding: { header: 'X-Client', hide_credentials: true },
    }),
    disabled: true,
  },
  typed('envoy.filters.http.fault', 'filters.http.fault.v3.HTTPFault'),
  typed('envoy.filters.http.cors', 'filters.http.cors.v3.Cors'),
  typed('envoy.filters.http.csrf', 'filters.http.csrf.v3.CsrfPolicy', { filter_enabled: fraction(0) }),
  typed('envoy.filters.http.local_ratelimit', 'filters.http.local_ratelimit.v3.LocalRateLimit', { stat_prefix: 'lrl' }),
  typed('envoy.filters.http.buffer', 'filters.http.buffer.v3.Buffer', { max_request_bytes: 200_000 }),
  compressor('gzip', 'compression.gzip.compressor.v3.Gzip'),
  compressor('brotli', 'compression.brotli.compressor.v3.Brotli'),
  {
    ...compressor('gzip', 'compression.gzip.compressor.v3.Gzip', {
      request_direction_config: { common_config: { min_content_length: 50, content_type: ['text/plain'] } },
      response_direction_config: {
        common_config: { min_content_length: 100, content_type_matcher: [{ suffix: '+json' }] },
        weaken_etag_on_compress: true,
        status_header_enabled: true,
        uncompressible_response_codes: [206],
      },
    }),
    name: 'compressor.all',
    disabled: true,
  },
  decompressor('decompressor', 'compression.gzip.decompressor.v3.Gzip'),
  decompressor('decompressor.br', 'compression.brotli.decompressor.v3.Brotli'),
  typed('envoy.filters.http.header_mutation', 'filters.http.header_mutation.v3.HeaderMutation', {
    mutations: { request_mutations: [{ append: { header: { key: 'x-filter', value: 'chain' } } }] },
  }),
  httpRbac({
    action: 'DENY',
    policies: { bad: { permissions: [{ url_path: { path: { prefix: '/disabled' } } }], principals: [{ any: true }] } },
  }),
  router,
]

export function bootstrap(port: number, origins: readonly number[]): object {
  const cluster = (name: string, ports: readonly number[], more: object = {}): object => ({
    name,
    type: 'STATIC',
    connect_timeout: '1s',
    load_assignment: assignment(name, ports),
    ...more,
  })
  const endpoint = (p: number, more: object = {}): object => ({
    endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: p } } },
    ...more,
  })
  const custom = (name: string, endpoints: object[], more: object = {}): object =>
    cluster(name, [], { load_assignment: { cluster_name: name, endpoints }, ...more })
  const zero = (field: string): object => ({ circuit_breakers: { thresholds: [{ [field]: 0 }] } })
  return {
    node: { id: 'differential', cluster: 'differential' },
    static_resources: {
      listeners: [
        listener('in', port, [
          hcm(
            {
              stat_prefix: 'in',
              access_log: [
                typed('envoy.access_loggers.stdout', 'access_loggers.stream.v3.StdoutAccessLog', { log_format: { json_format: JSON_LOG } }),
              ],
              route_config: { name: 'local', virtual_hosts: [{ name: 'main', domains: ['*'], routes, rate_limits: [limitBy('host')] }] },
            },
            filters,
          ),
        ]),
      ],
      clusters: [
        cluster('origin', [origins[0]!]),
        cluster('other', [origins[1]!]),
        cluster('ring', origins, { lb_policy: 'RING_HASH', ring_hash_lb_config: { minimum_ring_size: 128 } }),
        cluster('maglev', origins, { lb_policy: 'MAGLEV', maglev_lb_config: { table_size: 251 } }),
        custom(
          'subset',
          [{ lb_endpoints: origins.map((p, i) => endpoint(p, { metadata: { filter_metadata: { 'envoy.lb': { v: String(i) } } } })) }],
          { lb_subset_config: { fallback_policy: 'NO_FALLBACK', subset_selectors: [{ keys: ['v'] }] } },
        ),
        custom('unhealthy', [{ lb_endpoints: origins.map(p => endpoint(p, { health_status: 'UNHEALTHY' })) }], {
          common_lb_config: { healthy_panic_threshold: { value: 0 } },
        }),
        custom('failover', [
          { priority: 0, lb_endpoints: [endpoint(origins[0]!, { health_status: 'UNHEALTHY' })] },
          { priority: 1, lb_endpoints: [endpoint(origins[1]!)] },
        ]),
        {
          name: 'aggregate',
          connect_timeout: '1s',
          lb_policy: 'CLUSTER_PROVIDED',
          cluster_type: {
            name: 'envoy.clusters.aggregate',
            typed_config: {
              '@type': 'type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig',
              clusters: ['unhealthy', 'other'],
            },
          },
        },
        cluster('nobody', []),
        cluster('down', [1]),
        cluster('no-requests', [origins[0]!], zero('max_requests')),
        cluster('no-pending', [origins[0]!], zero('max_pending_requests')),
        cluster('no-retries', [origins[0]!], zero('max_retries')),
        cluster('outlier', [origins[0]!], {
          common_lb_config: { healthy_panic_threshold: { value: 0 } },
          outlier_detection: { consecutive_5xx: 2, max_ejection_percent: 100, base_ejection_time: '100s', interval: '100s' },
        }),
        custom('drop', [{ lb_endpoints: [endpoint(origins[0]!)] }], {
          load_assignment: {
            cluster_name: 'drop',
            endpoints: [{ lb_endpoints: [endpoint(origins[0]!)] }],
            policy: { drop_overloads: [{ category: 'lb', drop_percentage: percent(100) }] },
          },
        }),
      ],
    },
  }
}

// ---- requests --------------------------------------------------------------------------------------------------------------------
