import { describe, expect, it } from 'vitest'
import type { ForwardAction, Route } from '../../../src/model/route.js'
import { RouteConfigurationSchema } from '../../../src/xds/gen/envoy/config/route/v3/route_pb.js'
import { unknownTableClusters } from '../../../src/xds/resources/cluster-references.js'
import { decodeRouteConfiguration } from '../../../src/xds/resources/decode.js'
import { MAX_ERRORS_PER_RESOURCE } from '../../../src/xds/resources/field-path.js'
import { decoded, decodeRouteJson, errorsOf, type Json, message, pathsOf, routeJson, TYPE } from './messages.js'

const firstRoute = (changes: Json): Route => decoded(decodeRouteJson(routeJson(changes))).virtualHosts[0]!.routes[0]!
const forward = (action: Json): ForwardAction => {
  const route = firstRoute({ route: { cluster: 'c', ...action } })
  if (route.action.kind !== 'forward') throw new Error(route.action.kind)
  return route.action
}
const ROUTE = 'virtual_hosts[0].routes[0]'

describe('decodeRouteConfiguration fills in Envoy’s defaults', () => {
  it('of the table, the route and the action', () => {
    const table = decoded(decodeRouteJson(routeJson()))
    expect(table).toMatchObject({ name: 'rt', validateClusters: false, ignorePortInHostMatching: false })
    expect(table.virtualHosts[0]).toMatchObject({ requireTls: 'NONE', retry: null, hedge: null, includeRequestAttemptCount: false })
    expect(forward({})).toMatchObject({
      clusterNotFoundStatus: 503,
      timeoutMs: null,
      idleTimeoutMs: null,
      maxStreamDurationMs: null,
      priority: 'DEFAULT',
      retry: null,
      hostRewrite: null,
      internalRedirect: null,
    })
    expect(firstRoute({}).match.path).toEqual({ kind: 'prefix', value: '/', caseSensitive: true })
  })

  it('keeps an absent timeout apart from one of 0', () => {
    expect(forward({ timeout: '0s' }).timeoutMs).toBe(0)
    expect(forward({ timeout: '1.5s' }).timeoutMs).toBe(1500)
  })

  it('of internal redirects, by their policy or the deprecated action', () => {
    const plain = { maxRedirects: 1, statuses: [302], predicates: [], allowCrossScheme: false, responseHeadersToCopy: [] }
    expect(forward({ internal_redirect_policy: {} }).internalRedirect).toEqual(plain)
    expect(forward({ internal_redirect_policy: { redirect_response_codes: [200] } }).internalRedirect?.statuses).toEqual([])
    const old = { internal_redirect_action: 'HANDLE_INTERNAL_REDIRECT', max_internal_redirects: 4 }
    expect(forward(old).internalRedirect).toEqual({ ...plain, maxRedirects: 4 })
    expect(forward({ internal_redirect_action: 'PASS_THROUGH_INTERNAL_REDIRECT' }).internalRedirect).toBeNull()
  })

  it('of the retry policy', () => {
    expect(forward({ retry_policy: { retry_on: '5xx, Connect-Failure,,foo' } }).retry).toMatchObject({
      retryOn: ['5xx', 'connect-failure', 'foo'],
      numRetries: 1,
      perTryTimeoutMs: null,
      baseIntervalMs: 25,
      maxIntervalMs: 250,
      hostSelectionMaxAttempts: 1,
      avoidPreviousHosts: false,
      avoidPreviousPrioritiesEvery: null,
    })
    expect(forward({ retry_policy: { num_retries: 0, retry_back_off: { base_interval: '0.0001s' } } }).retry).toMatchObject({
      numRetries: 0,
      baseIntervalMs: 1,
      maxIntervalMs: 10,
    })
  })
})

describe('decodeRouteConfiguration reads', () => {
  it('every path match', () => {
    const path = (match: Json) => firstRoute({ match }).match.path
    expect(path({ path: '/a', case_sensitive: false })).toEqual({ kind: 'path', value: '/a', caseSensitive: false })
    expect(path({ path_separated_prefix: '/a' })).toEqual({ kind: 'pathSeparatedPrefix', value: '/a', caseSensitive: true })
    expect(path({ safe_regex: { google_re2: {}, regex: '/a.*' } })).toEqual({ kind: 'regex', value: '/a.*' })
    expect(path({ connect_matcher: {} })).toEqual({ kind: 'connect' })
  })

  it('header matchers in their old and new forms', () => {
    const headers = [
      { name: 'A', exact_match: 'x' },
      { name: 'a', exact_match: '' },
      { name: 'a', prefix_match: 'x' },
      { name: 'a', suffix_match: 'x' },
      { name: 'a', contains_match: 'x' },
      { name: 'a', safe_regex_match: { google_re2: {}, regex: 'x+' }, invert_match: true },
      { name: 'a', range_match: { start: '1', end: '5' } },
      { name: ':method', string_match: { safe_regex: { regex: 'GET|POST' } } },
      { name: 'a', string_match: { contains: 'X', ignore_case: true }, treat_missing_header_as_empty: true },
      { name: 'a', present_match: false },
      { name: 'a' },
    ]
    expect(firstRoute({ match: { prefix: '/', headers } }).match.headers).toEqual([
      {
        name: 'a',
        match: { kind: 'string', matcher: { kind: 'exact', value: 'x', ignoreCase: false } },
        invert: false,
        treatMissingAsEmpty: false,
      },
      { name: 'a', match: { kind: 'present', present: true }, invert: false, treatMissingAsEmpty: false },
      {
        name: 'a',
        match: { kind: 'string', matcher: { kind: 'prefix', value: 'x', ignoreCase: false } },
        invert: false,
        treatMissingAsEmpty: false,
      },
      {
        name: 'a',
        match: { kind: 'string', matcher: { kind: 'suffix', value: 'x', ignoreCase: false } },
        invert: false,
        treatMissingAsEmpty: false,
      },
      {
        name: 'a',
        match: { kind: 'string', matcher: { kind: 'contains', value: 'x', ignoreCase: false } },
        invert: false,
        treatMissingAsEmpty: false,
      },
      { name: 'a', match: { kind: 'string', matcher: { kind: 'regex', value: 'x+' } }, invert: true, treatMissingAsEmpty: false },
      { name: 'a', match: { kind: 'range', start: 1n, end: 5n }, invert: false, treatMissingAsEmpty: false },
      {
        name: ':method',
        match: { kind: 'string', matcher: { kind: 'regex', value: 'GET|POST' } },
        invert: false,
        treatMissingAsEmpty: false,
      },
      {
        name: 'a',
        match: { kind: 'string', matcher: { kind: 'contains', value: 'X', ignoreCase: true } },
        invert: false,
        treatMissingAsEmpty: true,
      },
      { name: 'a', match: { kind: 'present', present: false }, invert: false, treatMissingAsEmpty: false },
      { name: 'a', match: { kind: 'present', present: true }, invert: false, treatMissingAsEmpty: false },
    ])
  })

  it('header options by append, append_action and neither', () => {
    const option = (changes: Json) =>
      firstRoute({ request_headers_to_add: [{ header: { key: 'X-A', value: '%PROTOCOL%' }, ...changes }] }).mutations.requestAdd[0]
    expect(option({})).toEqual({ name: 'x-a', value: '%PROTOCOL%', action: 'APPEND_IF_EXISTS_OR_ADD', keepEmptyValue: false })
    expect(option({ append: true })!.action).toBe('APPEND_IF_EXISTS_OR_ADD')
    expect(option({ append: false })!.action).toBe('OVERWRITE_IF_EXISTS_OR_ADD')
    expect(option({ append_action: 'ADD_IF_ABSENT' })!.action).toBe('ADD_IF_ABSENT')
  })

  it('weighted clusters by their actual sum, whatever total_weight says', () => {
    const weighted = {
      clusters: [
        { name: 'a', weight: 9000 },
        { name: 'b', weight: 999 },
        { name: 'z', weight: 0 },
      ],
      total_weight: 10_000,
    }
    const result = decodeRouteJson(routeJson({ route: { weighted_clusters: weighted } }))
    expect(result.ok && result.warnings).toEqual([
      { path: `${ROUTE}.route.weighted_clusters.total_weight`, reason: 'ignored: the weights sum to 9999' },
    ])
    expect(forwardOf(result)).toMatchObject({ cluster: { kind: 'weighted', totalWeight: 9999, useHashPolicy: false } })
  })

  it('hash policies, leaving out one that asks for nothing', () => {
    const action = forward({
      hash_policy: [
        { header: { header_name: 'X' }, terminal: true },
        { cookie: { name: 'a', ttl: '0s', path: '/' } },
        { cookie: { name: 'b' } },
        { connection_properties: {} },
        { connection_properties: { source_ip: true } },
        { query_parameter: { name: 'q' } },
      ],
    })
    expect(action.hashPolicy).toEqual([
      { kind: 'header', name: 'x', regexRewrite: null, terminal: true },
      { kind: 'cookie', name: 'a', path: '/', ttlSeconds: 0, attributes: [], terminal: false },
      { kind: 'cookie', name: 'b', path: '', ttlSeconds: null, attributes: [], terminal: false },
      { kind: 'sourceIp', terminal: false },
      { kind: 'queryParameter', name: 'q', terminal: false },
    ])
  })

  it('per-filter config, plain and in a FilterConfig', () => {
    const at = (type: string, config: Json = {}): Json => ({ '@type': `${TYPE}${type}`, ...config })
    const overrides = firstRoute({
      typed_per_filter_config: {
        off: at('envoy.config.route.v3.FilterConfig', { disabled: true }),
        on: at('envoy.config.route.v3.FilterConfig', { config: {} }),
        wrapped: at('envoy.config.route.v3.FilterConfig', {
          config: at('envoy.extensions.filters.http.buffer.v3.BufferPerRoute', { disabled: true }),
        }),
        rbac: at('envoy.extensions.filters.http.rbac.v3.RBACPerRoute'),
        authz: at('envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute', { check_settings: { context_extensions: { a: 'b' } } }),
        jwt: at('envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig', { requirement_name: 'r' }),
        cors: at('envoy.extensions.filters.http.cors.v3.CorsPolicy', { allow_methods: 'GET' }),
      },
    }).overrides
    expect(overrides.get('off')).toEqual({ disabled: true, kind: 'generic' })
    expect(overrides.get('on')).toEqual({ disabled: false, kind: 'generic' })
    expect(overrides.get('wrapped')).toEqual({ disabled: true, kind: 'buffer', config: null })
    expect(overrides.get('rbac')).toEqual({ disabled: false, kind: 'rbac', config: null })
    expect(overrides.get('authz')).toEqual({ disabled: false, kind: 'extAuthz', contextExtensions: new Map([['a', 'b']]) })
    expect(overrides.get('jwt')).toEqual({ disabled: false, kind: 'jwtAuthn', requirementName: 'r' })
    expect(overrides.get('cors')).toMatchObject({ kind: 'cors', config: { allowMethods: 'GET', enabled: { numerator: 100 } } })
  })

  it('a deprecated cors field as the filter’s config', () => {
    const host = decoded(decodeRouteJson(routeJson({}, { cors: { allow_origin_string_match: [{ exact: 'https://a' }] } }))).virtualHosts[0]!
    expect(host.overrides.get('envoy.filters.http.cors')).toMatchObject({
      kind: 'cors',
      config: { allowOrigin: [{ kind: 'exact', value: 'https://a' }] },
    })
  })

  it('a direct response body from a file', () => {
    const route = { route: null, direct_response: { status: 418, body: { filename: '/b' } } }
    const read = (text: string) =>
      decodeRouteConfiguration(message(RouteConfigurationSchema, routeJson(route)), { readFile: () => Buffer.from(text) })
    expect(decoded(read('tea')).virtualHosts[0]!.routes[0]!.action).toEqual({ kind: 'directResponse', status: 418, body: 'tea' })
    expect(errorsOf(read('x'.repeat(4097)))).toEqual([
      `${ROUTE}.direct_response.body: response body of 4097 bytes exceeds max_direct_response_body_size_bytes, 4096`,
    ])
  })

  it('redirects', () => {
    expect(
      firstRoute({
        route: null,
        redirect: { https_redirect: true, path_redirect: '/x', response_code: 'PERMANENT_REDIRECT', strip_query: true },
      }).action,
    ).toEqual({
      kind: 'redirect',
      httpsRedirect: true,
      schemeRedirect: '',
      hostRedirect: '',
      portRedirect: 0,
      pathRedirect: '/x',
      prefixRewrite: '',
      regexRewrite: null,
      pathFormat: '',
      status: 308,
      stripQuery: true,
    })
  })
})

describe('decodeRouteConfiguration refuses, with the path', () => {
  const cases: [what: string, json: Json, error: RegExp][] = [
    ['a table without a name', routeJson({}, {}, { name: '' }), /^name: /],
    [
      'a domain twice, in another case',
      routeJson({}, { domains: ['a.com', 'A.com'] }),
      /^virtual_hosts\[0\]\.domains\[1\]: only unique values for domains are permitted/,
    ],
    [
      'two catch-all hosts',
      routeJson(
        {},
        {},
        {
          virtual_hosts: [
            { name: 'a', domains: ['*'] },
            { name: 'b', domains: ['*'] },
          ],
        },
      ),
      /^virtual_hosts\[1\]\.domains\[0\]: only a single wildcard domain is permitted/,
    ],
    ['a host without domains', routeJson({}, { domains: [] }), /^virtual_hosts\[0\]\.domains: value must contain at least 1/],
    ['no match', routeJson({ match: null }), /^virtual_hosts\[0\]\.routes\[0\]\.match: value is required/],
    ['no action', routeJson({ route: null }), /^virtual_hosts\[0\]\.routes\[0\]\.action: one of route, redirect/],
    ['a bad regex', routeJson({ match: { safe_regex: { regex: '(?=a)' } } }), /routes\[0\]\.match\.safe_regex\.regex: invalid regex/],
    [
      'a bad regex in a header',
      routeJson({ match: { prefix: '/', headers: [{ name: 'a', string_match: { safe_regex: { regex: '[' } } }] } }),
      /match\.headers\[0\]\.string_match\.safe_regex\.regex: invalid regex/,
    ],
    [
      'weights of 0',
      routeJson({ route: { weighted_clusters: { clusters: [{ name: 'a', weight: 0 }] } } }),
      /route\.weighted_clusters: sum of weights/,
    ],
    [
      'weights beyond 32 bits',
      routeJson({
        route: {
          weighted_clusters: {
            clusters: [
              { name: 'a', weight: 4294967295 },
              { name: 'b', weight: 1 },
            ],
          },
        },
      }),
      /route\.weighted_clusters: the sum of weights/,
    ],
    ['no cluster', routeJson({ route: { timeout: '1s' } }), /route\.cluster_specifier: one of cluster/],
    ['a matcher beside routes', routeJson({}, { matcher: {} }), /^virtual_hosts\[0\]\.matcher: cannot set both matcher and routes/],
    [
      'a pseudo-header',
      routeJson({ request_headers_to_add: [{ header: { key: ':path', value: 'a' } }] }),
      /request_headers_to_add\[0\]\.header\.key: :-prefixed or host/,
    ],
    [
      'a header that is no token',
      routeJson({ request_headers_to_remove: ['a b'] }),
      /request_headers_to_remove\[0\]: 'a b' is not a valid header name/,
    ],
    [
      'an unknown format command',
      routeJson({ request_headers_to_add: [{ header: { key: 'a', value: '%NOPE%' } }] }),
      /header\.value: format string names the unknown command %NOPE%/,
    ],
    [
      'a lone per cent sign',
      routeJson({ request_headers_to_add: [{ header: { key: 'a', value: '50% off' } }] }),
      /header\.value: format string has a '%' at offset 2/,
    ],
    [
      'both rewrites',
      routeJson({ route: { cluster: 'c', prefix_rewrite: '/', regex_rewrite: { pattern: { regex: 'a' }, substitution: 'b' } } }),
      /route\.regex_rewrite: only one of/,
    ],
    [
      'a group that is not there',
      routeJson({ route: { cluster: 'c', regex_rewrite: { pattern: { regex: '(a)' }, substitution: '\\2' } } }),
      /regex_rewrite\.substitution: group \\2 does not exist/,
    ],
    [
      'an inverted backoff',
      routeJson({ route: { cluster: 'c', retry_policy: { retry_back_off: { base_interval: '1s', max_interval: '0.5s' } } } }),
      /retry_policy\.retry_back_off\.max_interval: must be greater/,
    ],
    [
      'a per-filter config of a filter',
      routeJson({ typed_per_filter_config: { r: { '@type': `${TYPE}envoy.extensions.filters.http.router.v3.Router` } } }),
      /typed_per_filter_config\["r"\]: unknown per-filter config for 'r'/,
    ],
    [
      'a mirror without a cluster',
      routeJson({ route: { cluster: 'c', request_mirror_policies: [{}] } }),
      /request_mirror_policies\[0\]: one of cluster and cluster_header/,
    ],
  ]
  for (const [what, json, error] of cases) {
    it(what, () => {
      expect(errorsOf(decodeRouteJson(json))).toEqual(expect.arrayContaining([expect.stringMatching(error)]))
    })
  }

  it('no more than a bounded number of errors', () => {
    const routes = Array.from({ length: 500 }, () => ({ match: { safe_regex: { regex: '(' } }, route: { cluster: 'c' } }))
    const paths = pathsOf(decodeRouteJson(routeJson({}, { routes })))
    expect(paths.length).toBe(MAX_ERRORS_PER_RESOURCE + 1)
    expect(errorsOf(decodeRouteJson(routeJson({}, { routes }))).at(-1)).toBe(': and 436 more errors')
  })
})

describe('unknownTableClusters', () => {
  it('names the path of every cluster that is not there, only where the table asks', () => {
    const json = routeJson({
      route: {
        weighted_clusters: {
          clusters: [
            { name: 'here', weight: 1 },
            { name: 'gone', weight: 1 },
          ],
        },
        request_mirror_policies: [{ cluster: 'lost' }],
      },
    })
    const check = (validate: boolean) =>
      unknownTableClusters(decoded(decodeRouteJson({ ...json, validate_clusters: validate })), name => name === 'here')
    expect(check(false)).toEqual([])
    expect(check(true)).toEqual([
      { path: `${ROUTE}.route.weighted_clusters.clusters[1].name`, reason: "route: unknown cluster 'gone'" },
      { path: `${ROUTE}.route.request_mirror_policies[0].cluster`, reason: "route: unknown cluster 'lost'" },
    ])
  })
})

function forwardOf(result: ReturnType<typeof decodeRouteJson>): unknown {
  return decoded(result).virtualHosts[0]!.routes[0]!.action
}
