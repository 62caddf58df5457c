import { describe, expect, it } from 'vitest'
import type { HttpFilter } from '../../../../src/model/http-filter.js'
import {
  decoded,
  decodeListenerJson,
  decodeRouteJson,
  errorsOf,
  hcm,
  httpFilter,
  type Json,
  listenerJson,
  networkFilter,
  routeJson,
  router,
  TYPE,
} from '../messages.js'

const decodeFilters = (...filters: Json[]) => decodeListenerJson(listenerJson({ filters: [hcm({ http_filters: [...filters, router()] })] }))
function filtersOf(...filters: Json[]): readonly HttpFilter[] {
  const filter = decoded(decodeFilters(...filters)).filterChains[0]!.filters[0]!
  if (filter.kind !== 'httpConnectionManager') throw new Error(filter.kind)
  return filter.hcm.httpFilters
}
const AT = 'filter_chains[0].filters[0].typed_config.http_filters[0]'

describe('HTTP filters', () => {
  it('have Envoy’s defaults', () => {
    const [local, rate, authz, jwt, compressor, stats, last] = filtersOf(
      httpFilter('local_ratelimit.v3.LocalRateLimit', { stat_prefix: 's', token_bucket: { max_tokens: 4, fill_interval: '1s' } }),
      httpFilter('ratelimit.v3.RateLimit', {
        domain: 'd',
        rate_limit_service: { grpc_service: { envoy_grpc: { cluster_name: 'c' } }, transport_api_version: 'V3' },
      }),
      httpFilter('ext_authz.v3.ExtAuthz', { grpc_service: { envoy_grpc: { cluster_name: 'c' } }, transport_api_version: 'V3' }),
      httpFilter('jwt_authn.v3.JwtAuthentication', {
        providers: { p: { remote_jwks: { http_uri: { uri: 'https://j/k', cluster: 'j', timeout: '5s' } } } },
      }),
      httpFilter('compressor.v3.Compressor', {
        compressor_library: { name: 'g', typed_config: { '@type': `${TYPE}envoy.extensions.compression.gzip.compressor.v3.Gzip` } },
      }),
      httpFilter('grpc_stats.v3.FilterConfig'),
    )
    expect(local).toMatchObject({
      config: {
        status: 429,
        bucket: { maxTokens: 4, tokensPerFill: 1, fillIntervalMs: 1000 },
        enabled: { numerator: 0 },
        enforced: { numerator: 0 },
      },
    })
    expect(rate).toMatchObject({
      config: { timeoutMs: 20, requestType: 'both', rateLimitedStatus: 429, statusOnError: 500, failureModeDeny: false },
    })
    expect(authz).toMatchObject({
      config: { statusOnError: 403, service: { kind: 'grpc', grpc: { cluster: 'c', timeoutMs: 200 } }, failureModeAllow: false },
    })
    const provider = jwt!.kind === 'jwtAuthn' ? jwt!.config.providers.get('p') : undefined
    expect(provider).toMatchObject({
      clockSkewSeconds: 60,
      cacheSize: 0,
      jwks: { kind: 'remote', timeoutMs: 5000, cacheMs: 600_000, asyncFetch: false, failedRefetchMs: 1000, retries: 0 },
    })
    expect(compressor).toMatchObject({
      config: {
        library: { kind: 'gzip', level: 6, windowBits: 12, memLevel: 5 },
        request: null,
        response: { enabled: { defaultValue: true, runtimeKey: '' }, minContentLength: 30 },
      },
    })
    expect(stats).toMatchObject({ config: { statsForAllMethods: false, individualMethods: [] } })
    expect(last).toMatchObject({ name: 'r', kind: 'router', disabled: false, config: { dynamicStats: true, suppressEnvoyHeaders: false } })
  })

  it('are found by type URL inside both TypedStructs', () => {
    for (const wrapper of ['xds.type.v3.TypedStruct', 'udpa.type.v1.TypedStruct']) {
      const filter = {
        name: 'b',
        typed_config: {
          '@type': TYPE + wrapper,
          type_url: `${TYPE}envoy.extensions.filters.http.buffer.v3.Buffer`,
          value: { maxRequestBytes: 5 },
        },
      }
      expect(filtersOf(filter)[0]).toEqual({ name: 'b', disabled: false, kind: 'buffer', config: { maxRequestBytes: 5 } })
    }
  })

  it('in a TypedStruct count unknown fields and report wrong ones by path', () => {
    const struct = (value: Json): Json => ({
      name: 'b',
      typed_config: { '@type': `${TYPE}xds.type.v3.TypedStruct`, type_url: `${TYPE}envoy.extensions.filters.http.buffer.v3.Buffer`, value },
    })
    expect(decodeFilters(struct({ max_request_bytes: 1, novel: 2 })).unknownFields).toBe(1)
    expect(errorsOf(decodeFilters(struct({ max_request_bytes: 'x' })))).toContainEqual(
      expect.stringMatching(/http_filters\[0\]\.typed_config\.value\.max_request_bytes: /),
    )
    expect(errorsOf(decodeFilters(struct({ max_request_bytes: 0 })))).toEqual([
      `${AT}.typed_config.value.max_request_bytes: value must be greater than 0`,
    ])
  })

  it('that are unknown are refused by name and type, or left out when optional', () => {
    const unknown = {
      name: 'wasm',
      typed_config: { '@type': `${TYPE}xds.type.v3.TypedStruct`, type_url: `${TYPE}envoy.extensions.filters.http.wasm.v3.Wasm` },
    }
    expect(errorsOf(decodeFilters(unknown))).toEqual([
      `${AT}.typed_config: unknown filter 'wasm' (type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm)`,
    ])
    const optional = decodeFilters({ ...unknown, is_optional: true })
    expect(filtersOf({ ...unknown, is_optional: true }).map(filter => filter.name)).toEqual(['r'])
    expect(optional.unsupported).toEqual([AT])
  })

  const HASH = `{SHA}${'a'.repeat(27)}=`
  const basic = (inline_string: string, more: Json = {}): Json =>
    httpFilter('basic_auth.v3.BasicAuth', { users: { inline_string }, ...more })
  const keys = (config: Json): Json => httpFilter('api_key_auth.v3.ApiKeyAuth', config)
  const refused: [what: string, filter: Json, error: RegExp][] = [
    [
      'an attribute of ext_proc that is no expression',
      httpFilter('ext_proc.v3.ExternalProcessor', {
        grpc_service: { envoy_grpc: { cluster_name: 'c' } },
        request_attributes: ['request.path', 'request.'],
      }),
      /request_attributes\[1\]: invalid CEL expression/,
    ],
    ['basic_auth without users', basic(''), /users: the list of users is empty/],
    ['basic_auth with a user without a password', basic('u'), /users: line 1 has no colon/],
    ['basic_auth with a nameless user', basic(`\n:${HASH}`), /users: line 2 has an empty user/],
    ['basic_auth with one user twice', basic(`# c\nu:${HASH}\nu:${HASH}`), /users: line 3 names a user for the second time$/],
    ['basic_auth with a hash by bcrypt', basic('u:$2y$05$x'), /users: line 1 has no hash by \{SHA\}/],
    ['basic_auth with a line end of Windows', basic(`u:${HASH}\r\n`), /users: line 1 has a hash of another length/],
    ['basic_auth with a realm of two lines', basic(`u:${HASH}`, { realm: 'a\r\nb' }), /realm: a control character/],
    [
      'api_key_auth with a key of two clients',
      keys({ credentials: ['a', 'b'].map(client => ({ key: 'k', client })) }),
      /credentials\[1\]\.key: the key is there already/,
    ],
    ['api_key_auth with a key of nobody', keys({ credentials: [{ key: 'k' }] }), /credentials\[0\]\.client: value length/],
    ['api_key_auth with a place that is none', keys({ key_sources: [{}] }), /key_sources\[0\]: one of 'header', 'query', 'cookie'/],
    ['api_key_auth with a header that is none', keys({ forwarding: { header: 'a b' } }), /forwarding\.header: 'a b' is not a valid/],
    [
      'rbac by a matcher that goes on after a match',
      httpFilter('rbac.v3.RBAC', { matcher: { on_no_match: { keep_matching: true, matcher: {} } } }),
      /on_no_match\.keep_matching: going on/,
    ],
    [
      'rbac with a CEL condition that is none',
      httpFilter('rbac.v3.RBAC', {
        rules: { policies: { p: { permissions: [{ any: true }], principals: [{ any: true }], condition: {} } } },
      }),
      /policies\["p"\]\.condition: the CEL expression is not complete/,
    ],
    [
      'rbac with a filter state principal',
      httpFilter('rbac.v3.RBAC', {
        rules: {
          policies: { p: { permissions: [{ any: true }], principals: [{ filter_state: { key: 'k', string_match: { exact: 'a' } } }] } },
        },
      }),
      /principals\[0\]\.filter_state: filter state principals/,
    ],
    [
      'jwt with an unknown provider',
      httpFilter('jwt_authn.v3.JwtAuthentication', { rules: [{ match: { prefix: '/' }, requires: { provider_name: 'z' } }] }),
      /rules\[0\]\.requires\.provider_name: 'z' is not in providers/,
    ],
    [
      'jwt with an unknown requirement',
      httpFilter('jwt_authn.v3.JwtAuthentication', { rules: [{ match: { prefix: '/' }, requirement_name: 'z' }] }),
      /rules\[0\]\.requirement_name: 'z' is not in requirement_map/,
    ],
    [
      'jwt with keys that are none',
      httpFilter('jwt_authn.v3.JwtAuthentication', { providers: { p: { local_jwks: { inline_string: '{"keys":[]}' } } } }),
      /providers\["p"\]\.local_jwks: the JWKS doesn't have/,
    ],
    ['ext_authz without a service', httpFilter('ext_authz.v3.ExtAuthz'), /typed_config: one of grpc_service, http_service/],
    [
      'a local rate limit that refills too often',
      httpFilter('local_ratelimit.v3.LocalRateLimit', { stat_prefix: 's', token_bucket: { max_tokens: 1, fill_interval: '0.01s' } }),
      /token_bucket\.fill_interval: .*50 ms/,
    ],
    [
      'a compressor of an unknown library',
      httpFilter('compressor.v3.Compressor', {
        compressor_library: { name: 'z', typed_config: { '@type': `${TYPE}xds.type.v3.TypedStruct`, type_url: `${TYPE}a.Zstd` } },
      }),
      /compressor_library\.typed_config: unknown compressor library 'z'/,
    ],
    [
      'a header rule that does nothing',
      httpFilter('header_to_metadata.v3.Config', { request_rules: [{ header: 'a' }] }),
      /request_rules\[0\]: one of on_header_present/,
    ],
    [
      'a mutation of a pseudo-header',
      httpFilter('header_mutation.v3.HeaderMutation', {
        mutations: { request_mutations: [{ append: { header: { key: ':path', value: '/' } } }] },
      }),
      /request_mutations\[0\]\.append\.header\.key: :-prefixed/,
    ],
    [
      'a fault status out of range',
      httpFilter('fault.v3.HTTPFault', { abort: { http_status: 100 } }),
      /abort\.http_status: value must be greater than or equal to 200/,
    ],
    [
      'a cached health check that passes nothing through',
      httpFilter('health_check.v3.HealthCheck', { pass_through_mode: false, cache_time: '1s' }),
      /cache_time: cache_time must not be set/,
    ],
    [
      'a token of google_grpc in the clear',
      httpFilter('ext_authz.v3.ExtAuthz', {
        transport_api_version: 'V3',
        grpc_service: { google_grpc: { target_uri: 'a', stat_prefix: 'a', call_credentials: [{ access_token: 't' }] } },
      }),
      /google_grpc\.call_credentials\[0\]: a token is not sent in the clear/,
    ],
  ]
  for (const [what, filter, error] of refused) {
    it(`refuse ${what}, with the path`, () => {
      expect(errorsOf(decodeFilters(filter))).toEqual(expect.arrayContaining([expect.stringMatching(error)]))
    })
  }
})

describe('RBAC', () => {
  const rules = (config: Json) => {
    const filter = filtersOf(httpFilter('rbac.v3.RBAC', config))[0]!
    if (filter.kind !== 'rbac') throw new Error(filter.kind)
    return filter.config
  }

  it('tells absent rules from empty ones', () => {
    expect(rules({}).rules).toBeNull()
    expect(rules({ rules: {} }).rules).toEqual({ action: 'ALLOW', policies: [] })
    expect(rules({ rules: { action: 'DENY' }, shadow_rules: {} })).toMatchObject({
      rules: { action: 'DENY', policies: [] },
      shadowRules: { action: 'ALLOW' },
    })
  })

  it('reads every permission and principal, policies in the order of their names', () => {
    const header = { name: ':method', exact_match: 'GET' }
    const permissions = [
      { any: true },
      { and_rules: { rules: [{ not_rule: { header } }] } },
      { or_rules: { rules: [{ url_path: { path: { prefix: '/a' } } }] } },
      { destination_ip: { address_prefix: '10.0.0.0', prefix_len: 8 } },
      { destination_port: 80 },
      { destination_port_range: { start: 1, end: 9 } },
      { requested_server_name: { suffix: '.a' } },
      { metadata: { filter: 'f', path: [{ key: 'k' }], value: { string_match: { exact: 'v' } } } },
    ]
    const principals = [
      { any: true },
      { and_ids: { ids: [{ not_id: { authenticated: {} } }] } },
      {
        or_ids: {
          ids: [
            { authenticated: { principal_name: { safe_regex: { google_re2: {}, regex: '^spiffe://td/ns/default/dc/[^/]+/svc/web$' } } } },
          ],
        },
      },
      { source_ip: { address_prefix: '::1', prefix_len: 128 } },
      { direct_remote_ip: { address_prefix: '::1', prefix_len: 128 } },
      { remote_ip: { address_prefix: '::1', prefix_len: 128 } },
      { header },
      { url_path: { path: { exact: '/' } } },
      {
        metadata: {
          filter: 'f',
          path: [{ key: 'k' }],
          value: { list_match: { one_of: { double_match: { range: { start: 1, end: 2 } } } } },
          invert: true,
        },
      },
    ]
    const { policies } = rules({
      rules: { policies: { b: { permissions, principals }, a: { permissions: [{ any: true }], principals: [{ any: true }] } } },
    }).rules!
    expect(policies.map(policy => policy.name)).toEqual(['a', 'b'])
    expect(policies[1]!.permissions.map(permission => permission.kind)).toEqual([
      'any',
      'and',
      'or',
      'destinationIp',
      'destinationPort',
      'destinationPortRange',
      'requestedServerName',
      'metadata',
    ])
    expect(policies[1]!.principals).toEqual([
      { kind: 'any' },
      { kind: 'and', ids: [{ kind: 'not', id: { kind: 'authenticated', matcher: null } }] },
      { kind: 'or', ids: [{ kind: 'authenticated', matcher: { kind: 'regex', value: '^spiffe://td/ns/default/dc/[^/]+/svc/web$' } }] },
      { kind: 'sourceIp', range: { address: '::1', prefixLength: 128 } },
      { kind: 'directRemoteIp', range: { address: '::1', prefixLength: 128 } },
      { kind: 'remoteIp', range: { address: '::1', prefixLength: 128 } },
      {
        kind: 'header',
        header: {
          name: ':method',
          match: { kind: 'string', matcher: { kind: 'exact', value: 'GET', ignoreCase: false } },
          invert: false,
          treatMissingAsEmpty: false,
        },
      },
      { kind: 'urlPath', matcher: { kind: 'exact', value: '/', ignoreCase: false } },
      {
        kind: 'metadata',
        matcher: { namespace: 'f', path: ['k'], value: { kind: 'list', oneOf: { kind: 'doubleRange', start: 1, end: 2 } }, invert: true },
      },
    ])
  })

  it('of the network filter keeps its stat prefix', () => {
    const listener = decoded(
      decodeListenerJson(
        listenerJson({
          filters: [networkFilter('rbac.v3.RBAC', { stat_prefix: 'connect_authz', rules: {} }), networkFilter('echo.v3.Echo')],
        }),
      ),
    )
    expect(listener.filterChains[0]!.filters[0]).toMatchObject({
      kind: 'rbac',
      rbac: { statPrefix: 'connect_authz', rules: { action: 'ALLOW', policies: [] }, shadowRules: null },
    })
  })
})

describe('access logs', () => {
  const logs = (log: Json) => decodeListenerJson(listenerJson(undefined, { access_log: [log] }))
  const stdout = (config: Json = {}): Json => ({
    name: 'x',
    typed_config: { '@type': `${TYPE}envoy.extensions.access_loggers.stream.v3.StdoutAccessLog`, ...config },
  })

  it('read file, stdout and stderr with text and JSON formats', () => {
    const file = {
      name: 'f',
      typed_config: { '@type': `${TYPE}envoy.extensions.access_loggers.file.v3.FileAccessLog`, path: '/l', format: '%PROTOCOL%\n' },
    }
    expect(decoded(logs(file)).accessLogs).toEqual([
      { name: 'f', filter: null, sink: { kind: 'file', path: '/l' }, format: { text: '%PROTOCOL%\n', json: null, omitEmptyValues: false } },
    ])
    expect(
      decoded(logs(stdout({ log_format: { json_format: { a: '%PROTOCOL%' }, omit_empty_values: true } }))).accessLogs[0]!.format,
    ).toEqual({ text: null, json: { a: '%PROTOCOL%' }, omitEmptyValues: true })
    expect(decoded(logs(stdout())).accessLogs[0]!.format).toEqual({ text: null, json: null, omitEmptyValues: false })
  })

  it('read filters, and refuse an unknown one', () => {
    const filter = (json: Json) => decoded(logs({ ...stdout(), filter: json })).accessLogs[0]!.filter
    expect(filter({ response_flag_filter: { flags: ['NR'] } })).toEqual({ kind: 'responseFlag', flags: ['NR'] })
    expect(
      filter({
        and_filter: {
          filters: [
            { status_code_filter: { comparison: { op: 'GE', value: { default_value: 400, runtime_key: 'k' } } } },
            { not_health_check_filter: {} },
          ],
        },
      }),
    ).toEqual({
      kind: 'and',
      filters: [{ kind: 'statusCode', op: 'GE', value: 400, runtimeKey: 'k' }, { kind: 'notHealthCheck' }],
    })
    expect(filter({ log_type_filter: { types: ['TcpConnectionEnd'], exclude: true } })).toEqual({
      kind: 'logType',
      types: ['TcpConnectionEnd'],
      exclude: true,
    })
    const extension = (config: Json) => logs({ ...stdout(), filter: { extension_filter: { name: 'x', typed_config: config } } })
    const unknown = { '@type': `${TYPE}xds.type.v3.TypedStruct`, type_url: `${TYPE}no.such.Filter` }
    expect(errorsOf(extension(unknown))[0]).toContain(
      'extension_filter.typed_config: expected envoy.extensions.access_loggers.filters.cel.v3',
    )
    const cel = (expression: string) =>
      extension({ '@type': `${TYPE}envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter`, expression })
    expect(decoded(cel('response.code >= 400')).accessLogs[0]!.filter).toEqual({ kind: 'cel', expression: 'response.code >= 400' })
    expect(errorsOf(cel('no.such == 1'))[0]).toContain('expression: invalid CEL expression')
  })

  it('sort JSON keys at every depth where asked, and take the commands of formatter extensions', () => {
    const format = (json: Json) => decoded(logs(stdout({ log_format: json }))).accessLogs[0]!.format
    const sorted = format({ json_format: { b: { d: '1', c: '2' }, a: '3' }, json_format_options: { sort_properties: true } })
    expect(JSON.stringify(sorted.json)).toBe('{"a":"3","b":{"c":"2","d":"1"}}')
    const withoutQuery = { text_format_source: { inline_string: '%REQ_WITHOUT_QUERY(:path)%' } }
    const extension = (type: string) => ({
      name: 'f',
      typed_config: { '@type': `${TYPE}xds.type.v3.TypedStruct`, type_url: `${TYPE}${type}` },
    })
    expect(errorsOf(logs(stdout({ log_format: withoutQuery })))).toHaveLength(1)
    expect(
      format({ ...withoutQuery, formatters: [extension('envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery')] }).text,
    ).toBe('%REQ_WITHOUT_QUERY(:path)%')
    expect(errorsOf(logs(stdout({ log_format: { ...withoutQuery, formatters: [extension('no.such.Formatter')] } })))).toEqual([
      expect.stringMatching(/formatters\[0\].*unknown formatter/),
      expect.stringMatching(/REQ_WITHOUT_QUERY/),
    ])
  })

  it('read the older forms of commands in header values', () => {
    const option = (value: string) => {
      const route = decodeRouteJson(routeJson({ request_headers_to_add: [{ header: { key: 'a', value } }] }))
      return decoded(route).virtualHosts[0]!.routes[0]!.mutations.requestAdd[0]!.value
    }
    expect(option('%UPSTREAM_METADATA(["ns", "k"])%|%DYNAMIC_METADATA(["a"])%')).toBe('%UPSTREAM_METADATA(ns:k)%|%DYNAMIC_METADATA(a)%')
    expect(option('%PER_REQUEST_STATE(a.b)%')).toBe('%FILTER_STATE(a.b:PLAIN)%')
  })

  it('list a logger that is unknown, and refuse a format that is broken', () => {
    const fluentd = {
      name: 'fluentd',
      typed_config: {
        '@type': `${TYPE}xds.type.v3.TypedStruct`,
        type_url: `${TYPE}envoy.extensions.access_loggers.fluentd.v3.FluentdAccessLogConfig`,
      },
    }
    expect(decoded(logs(fluentd))).toMatchObject({ accessLogs: [], unsupported: ['access_log[0].typed_config'] })
    expect(errorsOf(logs(stdout({ log_format: { text_format_source: { inline_string: '%FOO%' } } })))).toEqual([
      'access_log[0].typed_config.log_format.text_format_source: format string names the unknown command %FOO%',
    ])
    expect(errorsOf(logs(stdout({ log_format: { json_format: { a: { b: '%' } } } })))).toHaveLength(1)
  })
})

describe('filters whose configuration is discovered', () => {
  const BUFFER = `${TYPE}envoy.extensions.filters.http.buffer.v3.Buffer`
  const filter = (changes: Json = {}): Json => ({
    name: 'd',
    config_discovery: { config_source: { ads: {}, resource_api_version: 'V3' }, type_urls: [BUFFER], ...changes },
  })
  const at = 'filter_chains[0].filters[0].typed_config.http_filters[0].config_discovery'

  it('have a source, types and a default', () => {
    expect(filtersOf(filter())[0]).toEqual({
      name: 'd',
      disabled: false,
      kind: 'discovered',
      discovery: {
        source: { kind: 'ads' },
        initialFetchTimeoutMs: 15_000,
        typeNames: ['envoy.extensions.filters.http.buffer.v3.Buffer'],
        fallback: null,
        withoutWarming: false,
        isLast: false,
      },
    })
    const withDefault = { default_config: { '@type': BUFFER, max_request_bytes: 5 }, apply_default_config_without_warming: true }
    expect(filtersOf(filter(withDefault))[0]).toMatchObject({
      discovery: { fallback: { kind: 'buffer', config: { maxRequestBytes: 5 } }, withoutWarming: true },
    })
    const alone = decoded(decodeListenerJson(listenerJson({ filters: [hcm({ http_filters: [filter()] })] }))).filterChains[0]!.filters[0]!
    expect(alone).toMatchObject({ hcm: { httpFilters: [{ discovery: { isLast: true } }] } })
  })

  it.each([
    ['an unknown type', { type_urls: ['x/no.Such'] }, `${at}.type_urls[0]: no HTTP filter is of type 'no.Such'`],
    ['no type', { type_urls: [] }, `${at}.type_urls: value must contain at least 1 item(s)`],
    [
      'a default of another type',
      { default_config: { '@type': `${TYPE}envoy.extensions.filters.http.cors.v3.Cors` } },
      `${at}.default_config: the filter has type envoy.extensions.filters.http.cors.v3.Cors, but type_urls has envoy.extensions.filters.http.buffer.v3.Buffer`,
    ],
    [
      'no default without warming',
      { apply_default_config_without_warming: true },
      `${at}.apply_default_config_without_warming: filter 'd' applied without warming has no default_config`,
    ],
    [
      'a bad default',
      { default_config: { '@type': BUFFER, max_request_bytes: 0 } },
      `${at}.default_config.max_request_bytes: value must be greater than 0`,
    ],
  ])('are refused with %s', (_, changes, error) => {
    expect(errorsOf(decodeFilters(filter(changes)))).toContain(error)
  })
})
