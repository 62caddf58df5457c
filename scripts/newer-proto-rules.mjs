// What Envoy 1.40 asks of fields (protoc-gen-validate) where the .proto files that @grpc/grpc-js-xds ships are older and ask something else, or
// nothing: put into the copies that generate-protos.mjs compiles, behind the newer fields. A test reads what Envoy asks out of its executable.
// Of `ignore_empty` constraint.ts knows: the validate.proto beside those files does not.

const NONE = null
const FLAGS = 'LH UH UT LR UR UF UC UO NR DI FI RL UAEX RLSE DC URX SI IH DPE UMSDR RFCF NFCF DT UPE NC OM DF DO DR UDO'
const HEADER_NAME = 'string = {well_known_regex: HTTP_HEADER_NAME strict: false}'
const HEADER_LINE = 'string = {pattern: "^[^\\\\x00-\\\\x1f\\\\x7f]*$"}'

/** Field -> its rule as `type = {…}`, or none. */
const NEWER_RULES = {
  'envoy.config.accesslog.v3.ResponseFlagFilter.flags': `repeated = {items {string {${FLAGS.split(' ')
    .map(flag => `in: "${flag}"`)
    .join(' ')}}}}`,
  'envoy.config.bootstrap.v3.Bootstrap.stats_eviction_interval': 'duration = {gte {nanos: 1000000}}',
  'envoy.config.cluster.v3.Cluster.per_connection_buffer_high_watermark_timeout': 'duration = {gte {}}',
  'envoy.config.cluster.v3.Cluster.health_checks': 'repeated = {max_items: 8}',
  'envoy.config.cluster.v3.Cluster.dns_jitter': 'duration = {gte {}}',
  'envoy.config.core.v3.Http2ProtocolOptions.max_header_field_size_kb': 'uint32 = {lte: 256 gte: 64}',
  'envoy.config.core.v3.HttpProtocolOptions.max_response_headers_kb': 'uint32 = {lte: 8192 gt: 0}',
  'envoy.config.core.v3.KeyValueAppend.entry': NONE,
  'envoy.config.core.v3.PathConfigSource.poll_interval': 'duration = {gte {nanos: 1000000}}',
  'envoy.config.core.v3.QuicKeepAliveSettings.max_interval': NONE,
  'envoy.config.core.v3.QuicKeepAliveSettings.initial_interval': 'duration = {lte {} gte {nanos: 1000000}}',
  'envoy.config.core.v3.QuicProtocolOptions.idle_network_timeout': 'duration = {gte {seconds: 1}}',
  'envoy.config.core.v3.RuntimeDouble.runtime_key': NONE,
  'envoy.config.core.v3.RuntimeFeatureFlag.runtime_key': NONE,
  'envoy.config.core.v3.RuntimeUInt32.runtime_key': NONE,
  'envoy.config.listener.v3.Listener.per_connection_buffer_high_watermark_timeout': 'duration = {gte {}}',
  'envoy.config.metrics.v3.HistogramBucketSettings.buckets': 'repeated = {unique: true items {double {gt: 0.0}}}',
  'envoy.config.metrics.v3.HistogramBucketSettings.bins': 'uint32 = {lte: 46082 gt: 0}',
  'envoy.config.rbac.v3.SourcedMetadata.metadata_matcher': 'message = {required: true}',
  'envoy.config.rbac.v3.SourcedMetadata.metadata_source': 'enum = {defined_only: true}',
  'envoy.config.route.v3.CookieMatcher.name': 'string = {min_len: 1 max_bytes: 1024}',
  'envoy.config.route.v3.RouteAction.RequestMirrorPolicy.request_headers_mutations': 'repeated = {max_items: 1000}',
  'envoy.config.route.v3.RouteAction.RequestMirrorPolicy.host_rewrite_literal':
    'string = {well_known_regex: HTTP_HEADER_VALUE strict: false}',
  'envoy.config.route.v3.RouteConfiguration.vhost_header': HEADER_NAME,
  'envoy.extensions.common.ratelimit.v3.RateLimitDescriptor.Entry.key': 'string = {min_len: 1}',
  'envoy.extensions.filters.http.api_key_auth.v3.Forwarding.header':
    'string = {max_len: 1024 well_known_regex: HTTP_HEADER_NAME strict: false}',
  'envoy.extensions.filters.http.api_key_auth.v3.KeySource.header':
    'string = {max_len: 1024 well_known_regex: HTTP_HEADER_NAME strict: false}',
  'envoy.extensions.filters.http.api_key_auth.v3.KeySource.cookie':
    'string = {max_len: 1024 well_known_regex: HTTP_HEADER_NAME strict: false}',
  'envoy.extensions.filters.http.basic_auth.v3.BasicAuth.authentication_header': HEADER_NAME,
  'envoy.extensions.filters.http.basic_auth.v3.BasicAuth.realm': HEADER_LINE,
  'envoy.extensions.filters.http.basic_auth.v3.BasicAuthPerRoute.realm': HEADER_LINE,
  'envoy.extensions.filters.http.compressor.v3.Compressor.ResponseDirectionConfig.uncompressible_response_codes':
    'repeated = {unique: true items {uint32 {lt: 600 gte: 200}}}',
  'envoy.extensions.filters.http.ext_authz.v3.ExtAuthz.clear_route_cache_headers':
    'repeated = {items {string {min_len: 1 well_known_regex: HTTP_HEADER_NAME strict: false}}}',
  'envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute.disabled': NONE,
  'envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor.grpc_service': NONE,
  'envoy.extensions.filters.http.jwt_authn.v3.JwtClaimToHeader.claim_name': NONE,
  'envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit.max_dynamic_descriptors': 'uint32 = {gte: 1}',
  'envoy.extensions.filters.http.oauth2.v3.OAuth2Credentials.CookieNames.oauth_nonce': 'string = {well_known_regex: HTTP_HEADER_NAME}',
  'envoy.extensions.filters.http.oauth2.v3.OAuth2Credentials.CookieNames.code_verifier': 'string = {well_known_regex: HTTP_HEADER_NAME}',
  'envoy.extensions.filters.http.on_demand.v3.OnDemandCds.source': NONE,
  'envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector.max_client_hello_size': 'uint32 = {lte: 16384 gt: 255}',
  'envoy.extensions.filters.network.http_connection_manager.v3.Rds.config_source': NONE,
  'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.proxy_protocol_tlv_merge_policy': 'enum = {defined_only: true}',
  'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.upstream_connect_mode': 'enum = {defined_only: true}',
  'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.max_early_data_bytes': 'uint32 = {lte: 1048576}',
  'envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig.resolvers': NONE,
  'envoy.extensions.resource_monitors.cgroup_memory.v3.CgroupMemoryConfig.max_memory_bytes': NONE,
  'envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig.max_heap_size_bytes': NONE,
  'envoy.extensions.transport_sockets.tls.v3.CertificateProviderPluginInstance.instance_name': 'string = {min_len: 1}',
  'envoy.extensions.transport_sockets.tls.v3.TlsParameters.compliance_policies': 'repeated = {max_items: 1}',
  'envoy.type.tracing.v3.CustomTag.value_type': 'enum = {defined_only: true}',
  'envoy.type.v3.TokenBucket.max_tokens': NONE,
}

const unused = new Set(Object.keys(NEWER_RULES))

/** The text of a .proto file with Envoy's rules in the place of older ones. */
export function withNewerRules(text) {
  const scope = /^package ([\w.]+);$/m.exec(text)?.[1]
  const rules = Object.entries(NEWER_RULES).filter(([path]) => path.startsWith(`${scope}.`))
  if (rules.length === 0) return text
  let out = text.replaceAll('\r\n', '\n')
  for (const [path, rule] of rules) {
    const names = path.slice(scope.length + 1).split('.')
    const field = findField(out, names.slice(0, -1), names.at(-1))
    if (field === null) continue
    unused.delete(path)
    const kept = field.options.filter(option => !/^\(validate\.rules\)/.test(option))
    if (rule !== null) kept.push(`(validate.rules).${rule}`)
    out = `${out.slice(0, field.start)}${kept.length === 0 ? '' : ` [${kept.join(', ')}]`}${out.slice(field.end)}`
  }
  if (out.includes('import "validate/validate.proto"')) return out
  return out.replace(/^import /m, 'import "validate/validate.proto";\nimport ')
}

/** Asked when all files went through: a rule whose field is gone is to be noticed. */
export function assertAllRulesUsed() {
  if (unused.size > 0) throw new Error(`there is no field for the rules of ${[...unused].join(', ')}`)
}

/** Where the options of a field stand, ` [` and `]` included, and each of them; null where the message or the field is in another file. */
function findField(text, messages, name) {
  let at = 0
  for (const message of messages) {
    const found = new RegExp(`^ *message ${message} \\{\\n`, 'gm')
    found.lastIndex = at
    if (found.exec(text) === null) return null
    at = found.lastIndex
  }
  const declaration = new RegExp(`^ *[\\w.]+(?: [\\w.]+)? ${name}\\s*=\\s*\\d+`, 'gm')
  declaration.lastIndex = at
  if (declaration.exec(text) === null) return null
  const start = declaration.lastIndex
  const opening = /\s*\[/y
  opening.lastIndex = start
  if (!opening.test(text)) return { start, end: start, options: [] }
  const options = []
  let depth = 0
  let quote = ''
  let from = opening.lastIndex
  let end = from
  for (; depth > 0 || quote !== '' || text[end] !== ']'; end++) {
    const char = text[end]
    if (quote !== '') {
      if (char === '\\') end++
      else if (char === quote) quote = ''
    } else if (char === '"' || char === "'") quote = char
    else if ('{(['.includes(char)) depth++
    else if ('})]'.includes(char)) depth--
    else if (char === ',' && depth === 0) {
      options.push(text.slice(from, end).trim())
      from = end + 1
    }
  }
  options.push(text.slice(from, end).trim())
  return { start, end: end + 1, options }
}
