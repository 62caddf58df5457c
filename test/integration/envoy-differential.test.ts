// The same bootstrap and the same requests for the real Envoy and for Outrigger: status, response headers, and what the origin saw must
// be equal. Needs ENVOY_BIN; skipped by name elsewhere. Differences that are meant are listed in DELIBERATE with their reason.
import { createServer, type IncomingMessage, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freePort, ProxyProcess, stopAll } from '../support/proxy-process.js'

const envoyBin = process.env['ENVOY_BIN']
const T = 'type.googleapis.com/'

interface Exchange {
  readonly method?: string
  readonly path: string
  readonly host?: string
  readonly headers?: Readonly<Record<string, string | string[]>>
  readonly body?: string
}

interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, unknown>>
  readonly body: unknown
}

/** Says what it saw; `x-reply-*` request headers choose the answer. */
function startEcho(): Promise<Server> {
  const attempts = new Map<string, number>()
  const server = createServer((incoming: IncomingMessage, response) => {
    let body = ''
    incoming.on('data', chunk => (body += chunk))
    incoming.on('end', () => {
      const key = String(incoming.headers['x-key'] ?? '')
      const attempt = (attempts.get(key) ?? 0) + 1
      if (key !== '') attempts.set(key, attempt)
      const failures = Number(incoming.headers['x-fail-times'] ?? 0)
      const status =
        attempt <= failures ? Number(incoming.headers['x-fail-status'] ?? 503) : Number(incoming.headers['x-reply-status'] ?? 200)
      const names: string[] = []
      for (let i = 0; i < incoming.rawHeaders.length; i += 2)
        names.push(`${incoming.rawHeaders[i]!.toLowerCase()}: ${incoming.rawHeaders[i + 1]}`)
      const seen = JSON.stringify({
        method: incoming.method,
        path: incoming.url,
        headers: names.sort(),
        body,
        attempt: key === '' ? 0 : attempt,
      })
      const delay = Number(incoming.headers['x-delay-ms'] ?? 0)
      setTimeout(() => {
        response.writeHead(status, {
          'content-type': 'application/json',
          'x-origin': 'echo',
          'x-remove-me': 'yes',
          'content-length': Buffer.byteLength(seen),
        })
        response.end(seen)
      }, delay)
    })
  })
  return new Promise(resolve => server.listen(0, '127.0.0.1', () => resolve(server)))
}

function send(port: number, exchange: Exchange): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        host: '127.0.0.1',
        port,
        method: exchange.method ?? 'GET',
        path: exchange.path,
        agent: false,
        headers: { host: exchange.host ?? 'a.test', ...exchange.headers },
      },
      response => {
        let body = ''
        response.setEncoding('latin1')
        response.on('data', chunk => (body += chunk))
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, headers: normalHeaders(response.headers), body: normalBody(body) }),
        )
        response.on('error', reject)
      },
    )
    outgoing.on('error', reject)
    if (exchange.body !== undefined) outgoing.write(exchange.body)
    outgoing.end()
  })
}

/** Values that differ between any two runs. */
const VARIABLE = new Set(['date', 'x-envoy-upstream-service-time', 'x-request-id', 'keep-alive', 'connection'])

function normalHeaders(headers: IncomingMessage['headers']): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(headers)
      .filter(([name]) => !VARIABLE.has(name) && !DELIBERATE.responseHeaders.has(name))
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  )
}

function normalBody(body: string): unknown {
  try {
    const seen = JSON.parse(body) as { attempt: number; headers: string[] }
    const timeLeft = seen.attempt > 1 ? /^(x-envoy-expected-rq-timeout-ms: )1(?:[0-4]\d{3}|5000)$/ : /^(?!)/
    const headers = seen.headers
      .filter(line => !line.startsWith('x-request-id: ') && !line.startsWith('connection: '))
      // What is left of the timeout at a retry depends on the clock.
      .map(line => line.replace(/^x-forwarded-port: \d+$/, 'x-forwarded-port: *').replace(timeLeft, '$1*'))
    return { ...seen, headers }
  } catch {
    return body.replace(/transport failure reason: .*$/, 'transport failure reason: *').replace(/, limit: .*$/, '')
  }
}

const DELIBERATE = {
  // Nothing at present; a name goes here with the reason beside it.
  responseHeaders: new Set<string>(),
}

function route(match: object, action: object, more: object = {}): object {
  return { match, ...action, ...more }
}

const to = (cluster: string, more: object = {}): object => ({ route: { cluster, ...more } })

function routes(): object[] {
  return [
    route({ path: '/exact' }, to('origin')),
    route({ prefix: '/prefix-rewrite/' }, to('origin', { prefix_rewrite: '/new/' })),
    route({ path: '/exact-rewrite' }, to('origin', { prefix_rewrite: '/replaced' })),
    route(
      { prefix: '/regex-rewrite' },
      to('origin', { regex_rewrite: { pattern: { regex: '/regex-rewrite/([^/]+)/(.*)' }, substitution: '/\\2/x/\\1' } }),
    ),
    route({ path_separated_prefix: '/sep' }, to('origin')),
    route({ prefix: '/case', case_sensitive: false }, to('origin')),
    route({ safe_regex: { regex: '/re/[a-z]+\\d*' } }, to('origin')),
    route(
      { prefix: '/hdr', headers: [{ name: 'x-kind', string_match: { exact: 'gold' } }] },
      to('origin', { host_rewrite_literal: 'gold.example' }),
    ),
    route(
      { prefix: '/hdr', headers: [{ name: 'x-kind', string_match: { prefix: 'sil' } }] },
      to('origin', { host_rewrite_header: 'x-new-host' }),
    ),
    route(
      { prefix: '/hdr', headers: [{ name: 'x-num', range_match: { start: 5, end: 10 } }] },
      { direct_response: { status: 203, body: { inline_string: 'in range' } } },
    ),
    route(
      {
        prefix: '/hdr',
        headers: [
          { name: 'x-absent', present_match: true, invert_match: true },
          { name: 'x-q', string_match: { contains: 'zz' } },
        ],
      },
      { direct_response: { status: 202 } },
    ),
    route(
      {
        prefix: '/query',
        query_parameters: [
          { name: 'a', string_match: { exact: '1' } },
          { name: 'b', present_match: true },
        ],
      },
      { direct_response: { status: 201, body: { inline_string: 'query' } } },
    ),
    route({ prefix: '/redirect-host' }, { redirect: { host_redirect: 'other.example' } }),
    route({ prefix: '/redirect-https' }, { redirect: { https_redirect: true, response_code: 'PERMANENT_REDIRECT' } }),
    route({ prefix: '/redirect-path' }, { redirect: { path_redirect: '/there?x=1', response_code: 'FOUND' } }),
    route({ prefix: '/redirect-prefix' }, { redirect: { prefix_rewrite: '/moved', strip_query: true, response_code: 'SEE_OTHER' } }),
    route({ prefix: '/redirect-port' }, { redirect: { port_redirect: 8443, scheme_redirect: 'https' } }),
    route(
      { prefix: '/redirect-regex' },
      { redirect: { regex_rewrite: { pattern: { regex: '^/redirect-regex/(.+)$' }, substitution: '/r/\\1' } } },
    ),
    route(
      { prefix: '/direct' },
      { direct_response: { status: 418, body: { inline_string: 'short and stout' } } },
      {
        response_headers_to_add: [{ header: { key: 'x-direct', value: '%REQ(:path)%|%PROTOCOL%' } }],
      },
    ),
    route({ prefix: '/mutate' }, to('origin'), {
      request_headers_to_add: [
        { header: { key: 'x-added', value: 'one' } },
        { header: { key: 'x-over', value: 'two' }, append_action: 'OVERWRITE_IF_EXISTS_OR_ADD' },
        { header: { key: 'x-absent-only', value: 'three' }, append_action: 'ADD_IF_ABSENT' },
        { header: { key: 'x-if-exists', value: 'four' }, append_action: 'OVERWRITE_IF_EXISTS' },
        { header: { key: 'x-method', value: '%REQ(:METHOD)%-%REQ(x-nope?user-agent)%-%REQ(:AUTHORITY):3%' } },
        { header: { key: 'x-empty', value: '%REQ(x-nope)%' } },
        { header: { key: 'x-percent', value: '100%%' } },
      ],
      request_headers_to_remove: ['x-gone'],
      response_headers_to_add: [{ header: { key: 'x-resp', value: '%RESPONSE_CODE%' } }, { header: { key: 'x-origin', value: 'proxy' } }],
      response_headers_to_remove: ['x-remove-me'],
    }),
    route({ prefix: '/no-cluster' }, to('missing')),
    route({ prefix: '/no-cluster-404' }, to('missing', { cluster_not_found_response_code: 'NOT_FOUND' })),
    route({ prefix: '/cluster-header' }, { route: { cluster_header: 'x-cluster' } }),
    route({ prefix: '/down' }, to('down')),
    route({ prefix: '/empty' }, to('empty')),
    route({ prefix: '/slow' }, to('origin', { timeout: '0.2s' })),
    route(
      { prefix: '/retry' },
      to('origin', { retry_policy: { retry_on: '5xx', num_retries: 2, retry_back_off: { base_interval: '0.001s' } } }),
    ),
    route(
      { prefix: '/retry-codes' },
      to('origin', { retry_policy: { retry_on: 'retriable-status-codes', retriable_status_codes: [409], num_retries: 1 } }),
    ),
    route(
      { prefix: '/pertry' },
      to('origin', { timeout: '2s', retry_policy: { retry_on: '5xx', num_retries: 1, per_try_timeout: '0.15s' } }),
    ),
    route(
      { prefix: '/weighted' },
      {
        route: {
          weighted_clusters: {
            clusters: [
              { name: 'origin', weight: 0 },
              { name: 'origin', weight: 10, request_headers_to_add: [{ header: { key: 'x-leg', value: 'b' } }] },
            ],
          },
        },
      },
    ),
    route({ prefix: '/timeout-zero' }, to('origin', { timeout: '0s' })),
    route({ prefix: '/grpc-only', grpc: {} }, { direct_response: { status: 200 } }),
    route({ prefix: '/rbac' }, to('origin')),
    route({ prefix: '/' }, to('origin')),
  ]
}

function bootstrap(port: number, origin: number, hcm: object = {}, filters: object[] = []): object {
  const endpoint = (name: string, target: number): object => ({
    name,
    type: 'STATIC',
    connect_timeout: '1s',
    load_assignment: {
      cluster_name: name,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: target } } } }] }],
    },
  })
  return {
    node: { id: 'differential', cluster: 'differential' },
    static_resources: {
      listeners: [
        {
          name: 'in',
          address: { socket_address: { address: '127.0.0.1', port_value: port } },
          filter_chains: [
            {
              filters: [
                {
                  name: 'envoy.filters.network.http_connection_manager',
                  typed_config: {
                    '@type': `${T}envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager`,
                    stat_prefix: 'in',
                    route_config: {
                      name: 'local',
                      validate_clusters: false,
                      request_headers_to_add: [{ header: { key: 'x-level', value: 'table' } }],
                      virtual_hosts: [
                        {
                          name: 'main',
                          domains: ['a.test', 'a.test:*', '*.wild.test', 'pre.*'],
                          routes: routes(),
                          request_headers_to_add: [{ header: { key: 'x-level', value: 'vhost' } }],
                          include_request_attempt_count: true,
                        },
                        {
                          name: 'only-exact',
                          domains: ['only.test'],
                          routes: [{ match: { path: '/one' }, direct_response: { status: 200, body: { inline_string: 'only' } } }],
                        },
                      ],
                    },
                    http_filters: [
                      ...filters,
                      {
                        name: 'envoy.filters.http.router',
                        typed_config: { '@type': `${T}envoy.extensions.filters.http.router.v3.Router` },
                      },
                    ],
                    ...hcm,
                  },
                },
              ],
            },
          ],
        },
      ],
      clusters: [endpoint('origin', origin), endpoint('down', 1), { ...endpoint('empty', 1), load_assignment: { cluster_name: 'empty' } }],
    },
  }
}

const rbac = {
  name: 'envoy.filters.http.rbac',
  typed_config: {
    '@type': `${T}envoy.extensions.filters.http.rbac.v3.RBAC`,
    rules: {
      action: 'DENY',
      policies: {
        admin: { permissions: [{ url_path: { path: { prefix: '/rbac/admin' } } }], principals: [{ any: true }] },
        method: {
          permissions: [
            {
              and_rules: {
                rules: [{ header: { name: ':method', string_match: { exact: 'DELETE' } } }, { url_path: { path: { prefix: '/rbac' } } }],
              },
            },
          ],
          principals: [{ any: true }],
        },
        blocked: { permissions: [{ header: { name: 'x-block', string_match: { exact: 'yes' } } }], principals: [{ any: true }] },
      },
    },
  },
}

const PATHS = [
  '/',
  '/exact',
  '/exact?q=1',
  '/exact/',
  '/Exact',
  '/prefix-rewrite/x/y?z=1',
  '/prefix-rewrite',
  '/exact-rewrite?a=b',
  '/regex-rewrite/one/two/three?q',
  '/sep',
  '/sep/',
  '/sep/x',
  '/separate',
  '/case',
  '/CASE/x',
  '/cAsE',
  '/re/abc',
  '/re/abc12',
  '/re/ABC',
  '/re/',
  '/query?a=1&b',
  '/query?b=&a=1',
  '/query?a=2&b=1',
  '/query',
  '/redirect-host/x?y=1',
  '/redirect-https/x',
  '/redirect-path',
  '/redirect-path/deeper?q=1',
  '/redirect-prefix/x?q=1',
  '/redirect-port/x',
  '/redirect-regex/abc/def?x=1',
  '/direct/x?y',
  '/no-cluster',
  '/no-cluster-404',
  '/cluster-header',
  '/down',
  '/empty',
  '/weighted',
  '/timeout-zero',
  '/grpc-only',
  '/a/../b',
  '/a/./b',
  '/a//b',
  '/a/%2e%2e/b',
  '/a%2Fb',
  '/a%5cb',
  '/%41',
  '/a%20b',
  '/..',
  '/../x',
  '/a/b/..',
  '/a/b/../',
  '/a;x=1/b',
  '/a\\b',
  '/%zz',
  '/%',
  '/a%00b',
  '/x?y=../z',
  '/%C3%A9',
]

const EXCHANGES: readonly Exchange[] = [
  ...PATHS.map(path => ({ path })),
  { path: '/hdr/1', headers: { 'x-kind': 'gold' } },
  { path: '/hdr/2', headers: { 'x-kind': 'silver', 'x-new-host': 'silver.example' } },
  { path: '/hdr/3', headers: { 'x-num': '5' } },
  { path: '/hdr/4', headers: { 'x-num': '10' } },
  { path: '/hdr/5', headers: { 'x-num': '-1' } },
  { path: '/hdr/6', headers: { 'x-q': 'azza' } },
  { path: '/hdr/7', headers: { 'x-q': 'azza', 'x-absent': '1' } },
  { path: '/hdr/8', headers: { 'x-kind': ['a', 'gold'] } },
  { path: '/', host: 'A.TEST' },
  { path: '/', host: 'a.test:8080' },
  { path: '/', host: 'a.test.' },
  { path: '/', host: 'x.wild.test' },
  { path: '/', host: 'x.y.wild.test' },
  { path: '/', host: 'wild.test' },
  { path: '/', host: 'pre.anything' },
  { path: '/', host: 'nope.test' },
  { path: '/one', host: 'only.test' },
  { path: '/two', host: 'only.test' },
  { path: '/one', host: 'only.test:80' },
  {
    path: '/mutate/x',
    headers: { 'x-over': 'mine', 'x-added': 'mine', 'x-gone': '1', 'x-absent-only': 'mine', 'x-if-exists': 'mine', 'user-agent': 'ua' },
  },
  { path: '/mutate/y' },
  { path: '/cluster-header', headers: { 'x-cluster': 'origin' } },
  { path: '/cluster-header', headers: { 'x-cluster': 'nope' } },
  { path: '/slow', headers: { 'x-delay-ms': '1000' } },
  { path: '/', headers: { 'x-envoy-upstream-rq-timeout-ms': '150', 'x-delay-ms': '1000' } },
  { path: '/retry', headers: { 'x-key': 'KEY-r1', 'x-fail-times': '1' } },
  { path: '/retry', headers: { 'x-key': 'KEY-r2', 'x-fail-times': '2', 'x-fail-status': '500' } },
  { path: '/retry', headers: { 'x-key': 'KEY-r3', 'x-fail-times': '9' } },
  { path: '/retry', method: 'POST', body: 'again', headers: { 'x-key': 'KEY-r4', 'x-fail-times': '1' } },
  { path: '/retry-codes', headers: { 'x-key': 'KEY-r5', 'x-fail-times': '1', 'x-fail-status': '409' } },
  { path: '/retry-codes', headers: { 'x-key': 'KEY-r6', 'x-fail-times': '1', 'x-fail-status': '500' } },
  { path: '/', headers: { 'x-key': 'KEY-r7', 'x-fail-times': '1', 'x-envoy-retry-on': '5xx', 'x-envoy-max-retries': '1' } },
  { path: '/', headers: { 'x-key': 'KEY-r8', 'x-fail-times': '1', 'x-envoy-retry-on': 'gateway-error' } },
  { path: '/pertry', headers: { 'x-delay-ms': '1500', 'x-key': 'KEY-p1' } },
  { path: '/', method: 'POST', body: 'hello' },
  { path: '/', method: 'PUT', body: 'x'.repeat(100_000) },
  { path: '/', method: 'DELETE' },
  { path: '/', method: 'HEAD' },
  { path: '/', method: 'OPTIONS' },
  { path: '/', method: 'PATCH', body: '{}', headers: { 'content-type': 'application/json' } },
  { path: '/direct', method: 'POST', body: 'unused' },
  { path: '/', headers: { 'x-reply-status': '204' } },
  { path: '/', headers: { 'x-reply-status': '304' } },
  { path: '/', headers: { 'x-reply-status': '404' } },
  { path: '/', headers: { 'x-reply-status': '500' } },
  { path: '/', headers: { 'x-forwarded-for': '1.2.3.4, 5.6.7.8' } },
  { path: '/', headers: { 'x-forwarded-proto': 'https' } },
  { path: '/', headers: { 'x-forwarded-host': 'evil' } },
  { path: '/', headers: { 'x-envoy-internal': 'true', 'x-envoy-decorator-operation': 'op' } },
  { path: '/', headers: { 'x-envoy-expected-rq-timeout-ms': '1' } },
  { path: '/', headers: { 'x-forwarded-client-cert': 'By=spoof' } },
  { path: '/', headers: { te: 'trailers', 'keep-alive': 'timeout=5', 'proxy-connection': 'keep-alive' } },
  { path: '/', headers: { 'x-repeat': ['a', 'b', 'c'] } },
  { path: '/', headers: { cookie: 'a=1; b=2' } },
  { path: '/', headers: { expect: '100-continue' }, method: 'POST', body: 'expected' },
  { path: '/grpc-only', method: 'POST', headers: { 'content-type': 'application/grpc' } },
  { path: '/no-cluster', method: 'POST', headers: { 'content-type': 'application/grpc' } },
  { path: '/down', method: 'POST', headers: { 'content-type': 'application/grpc+proto' } },
  { path: '/rbac/ok' },
  { path: '/rbac/admin/x' },
  { path: '/rbac/x/../admin' },
  { path: '/rbac/%61dmin' },
  { path: '/rbac', method: 'DELETE' },
  { path: '/rbac', headers: { 'x-block': 'yes' } },
  { path: '/rbac', headers: { 'x-block': 'YES' } },
  { path: '/rbac/admin', method: 'POST', headers: { 'content-type': 'application/grpc' } },
]

describe.skipIf(envoyBin === undefined)('the same bootstrap in Envoy and in Outrigger (needs ENVOY_BIN)', () => {
  let echo: Server
  const pairs = new Map<string, { envoy: number; ours: number }>()

  async function startPair(name: string, hcm: object, filters: object[]): Promise<void> {
    const origin = (echo.address() as AddressInfo).port
    const [envoy, ours] = [await freePort(), await freePort()]
    await Promise.all([
      ProxyProcess.start({
        bootstrap: bootstrap(envoy, origin, hcm, filters),
        bin: envoyBin!,
        flags: [],
      }),
      ProxyProcess.start({ bootstrap: bootstrap(ours, origin, hcm, filters) }),
    ])
    pairs.set(name, { envoy, ours })
  }

  beforeAll(async () => {
    echo = await startEcho()
    await startPair('defaults', {}, [rbac])
    await startPair(
      'sidecar',
      {
        normalize_path: true,
        merge_slashes: true,
        path_with_escaped_slashes_action: 'UNESCAPE_AND_FORWARD',
        use_remote_address: true,
        strip_any_host_port: true,
        via: 'proxy',
      },
      [rbac],
    )
    await startPair(
      'strict',
      {
        normalize_path: true,
        path_with_escaped_slashes_action: 'REJECT_REQUEST',
        server_name: 'custom',
        generate_request_id: false,
        append_x_forwarded_port: true,
      },
      [rbac],
    )
  })

  afterAll(async () => {
    await stopAll()
    await new Promise(resolve => echo.close(resolve))
  })

  for (const name of ['defaults', 'sidecar', 'strict']) {
    describe(name, () => {
      for (const [i, exchange] of EXCHANGES.entries()) {
        it(`${i}: ${exchange.method ?? 'GET'} ${exchange.path} ${exchange.host ?? ''} ${JSON.stringify(exchange.headers ?? {})}`, async () => {
          const { envoy, ours } = pairs.get(name)!
          const keyed = (who: string): Exchange => {
            const key = exchange.headers?.['x-key']
            return key === undefined ? exchange : { ...exchange, headers: { ...exchange.headers, 'x-key': `${who}-${name}-${i}` } }
          }
          const [expected, found] = await Promise.all([send(envoy, keyed('one')), send(ours, keyed('two'))])
          const same = (answer: Answer): Answer => {
            const text = JSON.stringify(answer).replaceAll(/(one|two)-(defaults|sidecar|strict)-\d+/g, 'KEY')
            const parsed = JSON.parse(text) as { status: number; headers: Record<string, unknown>; body: unknown }
            // The echo's length follows from its text, which holds values that differ from run to run.
            if (typeof parsed.body === 'object') delete parsed.headers['content-length']
            return parsed
          }
          expect(same(found)).toEqual(same(expected))
        })
      }
    })
  }
})
