// stateful_session, custom_response, header_mutation and early header mutations in the real Envoy and in Outrigger: the same requests, and
// status, headers, body, what the origin saw and the log line must be equal. Needs ENVOY_BIN; skipped by name elsewhere.
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Answer, type Exchange, envoyBin, exchange, type Peer, startPair } from '../support/envoy-pair.js'
import { assignment, hcm, listener, router, socketAddress, stopAll, typed, until } from '../support/proxy-process.js'

const FILTERS = 'type.googleapis.com/envoy.extensions.filters.http'
const perRoute = (name: string, type: string, config: object): object => ({
  [`envoy.filters.http.${name}`]: { '@type': `${FILTERS}.${type}`, ...config },
})
const to = (prefix: string, filters: object, action: object = { cluster: 'all' }): object => ({
  match: { prefix },
  route: action,
  typed_per_filter_config: filters,
})

const session = (state: object, more: object = {}): object =>
  perRoute('stateful_session', 'stateful_session.v3.StatefulSessionPerRoute', { stateful_session: { session_state: state, ...more } })
const cookie = (more: object = {}): object =>
  typed('envoy.http.stateful_session.cookie', 'http.stateful_session.cookie.v3.CookieBasedSessionState', {
    cookie: { name: 'sid', ...more },
  })
const header = typed('envoy.http.stateful_session.header', 'http.stateful_session.header.v3.HeaderBasedSessionState', { name: 'x-at' })
const envelope = typed('envoy.http.stateful_session.envelope', 'http.stateful_session.envelope.v3.EnvelopeSessionState', {
  header: { name: 'mcp-session-id' },
})

const mutation = (mutations: object): object => perRoute('header_mutation', 'header_mutation.v3.HeaderMutationPerRoute', { mutations })
const append = (key: string, value: string, append_action = 'APPEND_IF_EXISTS_OR_ADD'): object => ({
  append: { header: { key, value }, append_action },
})
const overwrite = (key: string, value: string): object => append(key, value, 'OVERWRITE_IF_EXISTS_OR_ADD')
const parameter = (key: string, value: string, action?: string): object => ({
  append: { record: { key, value }, ...(action && { action }) },
})

const holds = (input: string, value: string, more: object = {}): object => ({
  single_predicate: {
    input: { name: 'i', typed_config: { '@type': `type.googleapis.com/envoy.type.matcher.v3.${input}`, ...more } },
    value_match: { exact: value },
  },
})
const custom = (...policies: [predicate: object, type: string, config: object][]): object =>
  perRoute('custom_response', 'custom_response.v3.CustomResponse', {
    custom_response_matcher: {
      matcher_list: {
        matchers: policies.map(([predicate, type, config]) => ({
          predicate,
          on_match: { action: typed('p', `http.custom_response.${type}`, config) },
        })),
      },
    },
  })
const LOCAL = 'local_response_policy.v3.LocalResponsePolicy'
const REDIRECT = 'redirect_policy.v3.RedirectPolicy'
const status = (code: number): object => holds('HttpResponseStatusCodeMatchInput', String(code))
const added = (key: string, value: string): object => ({ header: { key, value } })

const routes = [
  to('/cookie/ttl', session(cookie({ ttl: '120s', path: '/cookie' }))),
  to('/cookie/attributes', session(cookie({ path: '/cookie/', attributes: [{ name: 'SameSite', value: 'Lax' }, { name: 'Secure' }] }))),
  to('/cookie/elsewhere', session(cookie({ path: '/other' }))),
  to('/cookie/strict', session(cookie(), { strict: true })),
  to('/cookie/status', session(cookie(), { strict: true, status_on_strict_destination_not_found: 421 })),
  to('/cookie/down', session(cookie()), { cluster: 'down' }),
  to('/cookie/overflow', session(cookie()), { cluster: 'overflow' }),
  to('/cookie/retry', session(cookie()), { cluster: 'half', retry_policy: { retry_on: 'connect-failure', num_retries: 3 } }),
  to('/cookie/out', session(cookie(), { strict: true }), { cluster: 'out' }),
  to('/cookie/out-kept', session(cookie(), { strict: true }), { cluster: 'out-kept' }),
  to('/cookie/aggregate', session(cookie()), { cluster: 'aggregate' }),
  to('/cookie/off', perRoute('stateful_session', 'stateful_session.v3.StatefulSessionPerRoute', { disabled: true })),
  to('/cookie', session(cookie())),
  to('/header', session(header)),
  to('/envelope', session(envelope)),
  to(
    '/query/add',
    mutation({
      query_parameter_mutations: [parameter('b', 'new %REQ(x-a)%'), parameter('z', '1', 'ADD_IF_ABSENT'), { remove: 'gone' }],
    }),
  ),
  to(
    '/query/over',
    mutation({
      query_parameter_mutations: [parameter('b', 'o', 'OVERWRITE_IF_EXISTS'), parameter('c', 'o', 'OVERWRITE_IF_EXISTS_OR_ADD')],
    }),
  ),
  to(
    '/mutate',
    mutation({
      request_mutations: [{ remove_on_match: { key_matcher: { prefix: 'x-r' } } }],
      response_mutations: [append('x-level', 'route'), overwrite('x-win', 'route')],
      response_trailers_mutations: [overwrite('x-added', '%RESPONSE_CODE%'), { remove: 'x-trailer' }],
      request_trailers_mutations: [overwrite('x-added', 'yes')],
    }),
  ),
  to(
    '/custom/local',
    custom(
      [
        holds('HttpResponseStatusCodeClassMatchInput', '4xx'),
        LOCAL,
        { body: { inline_string: 'four\n' }, response_headers_to_add: [added('x-custom', '%RESPONSE_CODE% %RESP(x-origin)%')] },
      ],
      [
        status(500),
        LOCAL,
        {
          status_code: 299,
          body_format: { json_format: { a: '%RESPONSE_CODE%', b: '%LOCAL_REPLY_BODY%', p: '%REQ(:PATH)%' } },
          body: { inline_string: 'bo"dy' },
          response_code_details: 'mine',
          response_headers_to_add: [added('content-type', 'application/x')],
        },
      ],
      [status(501), LOCAL, { preserve_response_code_details: true }],
      [
        status(502),
        LOCAL,
        {
          body_format: {
            text_format_source: { inline_string: 'T %LOCAL_REPLY_BODY% %RESPONSE_CODE%' },
            content_type: 'text/html',
          },
        },
      ],
      [holds('HttpResponseHeaderMatchInput', 'yes', { header_name: 'x-replace' }), LOCAL, { body: { inline_string: 'by header' } }],
      [holds('HttpRequestHeaderMatchInput', 'yes', { header_name: 'x-want' }), LOCAL, { body: { inline_string: 'by request' } }],
    ),
  ),
  to(
    '/custom/redirect',
    custom(
      [
        status(503),
        REDIRECT,
        {
          uri: 'http://else.test/mutate/x?y=1#f',
          status_code: 298,
          response_headers_to_add: [added('x-custom', '%RESPONSE_CODE%')],
          request_headers_to_add: [added('x-asked', '%REQ(:PATH)%')],
        },
      ],
      [status(504), REDIRECT, { redirect_action: { path_redirect: '/mutate/act', host_redirect: 'h.test' } }],
      [status(505), REDIRECT, { uri: 'http://none.test/nowhere' }],
      [status(506), REDIRECT, { uri: 'http://else.test/error' }],
    ),
  ),
  {
    match: { prefix: '/custom/direct' },
    direct_response: { status: 404, body: { inline_string: 'original' } },
    typed_per_filter_config: custom([holds('HttpResponseLocalReplyMatchInput', 'true'), LOCAL, { body: { inline_string: 'was local' } }]),
  },
  to('/custom/failed', custom([holds('HttpResponseLocalReplyMatchInput', 'true'), LOCAL, { body: { inline_string: 'is local' } }]), {
    cluster: 'down',
  }),
  { match: { prefix: '/error' }, direct_response: { status: 418, body: { inline_string: 'error' } } },
  to('/early', {}),
  to(
    '/slow',
    perRoute('bandwidth_limit', 'bandwidth_limit.v3.BandwidthLimit', {
      stat_prefix: 'slow',
      enable_mode: 'REQUEST_AND_RESPONSE',
      limit_kbps: 100,
      enable_response_trailers: true,
      response_trailer_prefix: 'p',
    }),
  ),
]

const base64 = (text: string): string => Buffer.from(text, 'latin1').toString('base64')
/** As Envoy writes it: a message with the address, and an end. */
const inCookie = (address: string, end = ''): string => base64(`\x0a${String.fromCharCode(address.length)}${address}${end}`)

function requests(ports: readonly number[]): Exchange[] {
  const [a, b] = ports.map(port => `127.0.0.1:${port}`) as [string, string]
  const at = (path: string, value: string): Exchange => ({ path, headers: { cookie: `sid=${value}` } })
  return [
    at('/cookie', inCookie(b)),
    at('/cookie', base64(b)),
    at('/cookie', inCookie(b, '\x10\x01')),
    at('/cookie', inCookie(b, '\x10\x80\xd0\xdb\xc3\xf4\x06')),
    at('/cookie/ttl', inCookie(b)),
    at('/cookie/attributes', inCookie(b)),
    at('/cookie/strict', inCookie(b)),
    at('/cookie/strict', inCookie('127.0.0.1:9')),
    at('/cookie/status', inCookie('127.0.0.1:9')),
    at('/cookie/out', inCookie(a)),
    at('/cookie/out', inCookie(b)),
    at('/cookie/out-kept', inCookie(a)),
    at('/cookie/aggregate', inCookie(b)),
    at('/cookie/retry', inCookie('127.0.0.1:1')),
    { path: '/cookie/down' },
    { path: '/cookie/overflow' },
    { path: '/header', headers: { 'x-at': base64(b) } },
    { path: '/envelope', headers: { 'mcp-session-id': `${base64(b)};UV:${base64('s1')}`, 'x-reply-session': 's1' } },
    { path: '/query/add', headers: { 'x-a': `v w&1 a/b:c!*'()~-_."<` } },
    { path: '/query/add?b=2&x=1&gone=1&z&x=2&flag&gone=2', headers: { 'x-a': 'v' } },
    { path: '/query/over?b=1&b=2&a=1' },
    { path: '/query/over?' },
    { path: '/mutate', headers: { 'x-r1': '1', 'X-R2': '2', 'x-s': '3' } },
    { path: '/mutate', headers: { 'x-reply-trailers': '1', te: 'trailers' } },
    { path: '/early?q', headers: { 'x-a': 'va', 'x-gone': '1', 'x-forwarded-proto': 'http' } },
    ...[200, 404, 500, 501, 502].map(code => ({ path: '/custom/local', headers: { 'x-status': String(code) } })),
    { path: '/custom/local', headers: { 'x-reply-replace': 'yes' } },
    { path: '/custom/local', headers: { 'x-want': 'yes' } },
    { path: '/custom/local', method: 'HEAD', headers: { 'x-status': '404' } },
    { path: '/custom/local', method: 'POST', body: 'x', headers: { 'x-status': '404', 'content-type': 'application/grpc' } },
    ...[200, 201, 404].flatMap(then =>
      [503, 504].map(code => ({ path: '/custom/redirect', headers: { 'x-status': String(code), 'x-then': String(then) } })),
    ),
    ...[505, 506].map(code => ({ path: '/custom/redirect', headers: { 'x-status': String(code) } })),
    { path: '/custom/redirect', method: 'POST', body: 'body', headers: { 'x-status': '503' } },
    { path: '/custom/redirect', method: 'OPTIONS', headers: { 'x-status': '503', 'x-forwarded-for': '1.2.3.4', 'x-then': '302' } },
    { path: '/custom/redirect', method: 'PUT', body: 'b', headers: { 'x-status': '504', expect: '100-continue' } },
    ...[204, 304].map(code => ({ path: '/custom/local', headers: { 'x-status': String(code) } })),
    at('/cookie', `${inCookie(b)}; sid=${inCookie(a)}`),
    at('/cookie', `"${inCookie(b)}"`),
    at('/cookie', '!!!'),
    { path: '/header', headers: { 'x-at': '%%%' } },
    { path: '/header', headers: { 'x-at': base64('127.0.0.1:9') } },
    { path: '/envelope', headers: { 'mcp-session-id': `${base64(a)};UV:${base64('s1')};UV:${base64('s2')}`, 'x-reply-session': 's1' } },
    { path: '/envelope', headers: { 'mcp-session-id': `;;${base64(b)};x=1`, 'x-reply-session': 's1' } },
    { path: '/envelope', headers: { 'mcp-session-id': 'plain' } },
    { path: '/query/add?%62=1&b=2&gon%65=1&a%20b=c+d#f' },
    { path: '/query/add?b', headers: { 'x-a': '' } },
    { path: '/custom/direct' },
    { path: '/custom/failed' },
  ]
}

function startOrigin(name: string): Promise<Server> {
  const server = createServer((incoming, response) => {
    let body = ''
    incoming.on('data', chunk => (body += chunk))
    incoming.on('end', () => {
      const seen = Object.entries(incoming.headers).filter(
        ([field]) => !/^(x-request-id|connection|x-envoy-expected-rq-timeout-ms)$/.test(field),
      )
      const told: Record<string, string> = { 'x-origin': name, 'content-type': 'application/json' }
      if (incoming.headers['x-reply-session'] !== undefined) told['mcp-session-id'] = String(incoming.headers['x-reply-session'])
      if (incoming.headers['x-reply-replace'] !== undefined) told['x-replace'] = String(incoming.headers['x-reply-replace'])
      const trailers = incoming.headers['x-reply-trailers'] !== undefined
      if (trailers) told['trailer'] = 'x-trailer'
      const field = incoming.url!.startsWith('/custom') ? 'x-status' : 'x-then'
      response.writeHead(Number(incoming.headers[field] ?? 200), told)
      if (trailers) response.addTrailers({ 'x-trailer': 'of the origin' })
      const size = Number(incoming.headers['x-size'] ?? 0)
      if (size > 0) response.end('x'.repeat(size))
      else response.end(JSON.stringify({ name, method: incoming.method, path: incoming.url, headers: seen.sort(), body }))
    })
  })
  return new Promise(resolve => server.listen(0, '127.0.0.1', () => resolve(server)))
}

const SLOW_BYTES = 300 * 1024
const LOG = '%REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% [%UPSTREAM_HOST%] %BYTES_SENT%'

function bootstrap(port: number, ports: readonly number[]): object {
  const cluster = (name: string, of: readonly number[], more: object = {}): object => ({
    name,
    type: 'STATIC',
    connect_timeout: '1s',
    load_assignment: assignment(name, of),
    ...more,
  })
  const out = (name: string, more: object = {}): object =>
    cluster(name, [], {
      load_assignment: {
        cluster_name: name,
        endpoints: [
          {
            lb_endpoints: ports.map((p, i) => ({
              endpoint: { address: socketAddress(p) },
              health_status: i === 0 ? 'DRAINING' : 'HEALTHY',
            })),
          },
        ],
      },
      ...more,
    })
  const early = typed('early', 'http.early_header_mutation.header_mutation.v3.HeaderMutation', {
    mutations: [
      overwrite('x-early', '%REQ(x-a)%|%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%|%REQ(:path)%'),
      { remove: 'x-gone' },
      overwrite('x-forwarded-proto', 'https'),
    ],
  })
  const mutations = (level: string): object => mutation({ response_mutations: [append('x-level', level), overwrite('x-win', level)] })
  return {
    static_resources: {
      listeners: [
        listener('in', port, [
          hcm(
            {
              stat_prefix: 'in',
              http_protocol_options: { enable_trailers: true },
              early_header_mutation_extensions: [early],
              access_log: [
                typed('envoy.access_loggers.stdout', 'access_loggers.stream.v3.StdoutAccessLog', {
                  log_format: { text_format_source: { inline_string: `LOG %REQ(x-mark)% ${LOG}\n` } },
                }),
              ],
              route_config: {
                name: 'local',
                typed_per_filter_config: mutations('table'),
                virtual_hosts: [{ name: 'main', domains: ['*'], typed_per_filter_config: mutations('host'), routes }],
              },
            },
            [
              typed('envoy.filters.http.custom_response', 'filters.http.custom_response.v3.CustomResponse'),
              typed('envoy.filters.http.bandwidth_limit', 'filters.http.bandwidth_limit.v3.BandwidthLimit', { stat_prefix: 'unlimited' }),
              typed('envoy.filters.http.header_mutation', 'filters.http.header_mutation.v3.HeaderMutation'),
              typed('envoy.filters.http.stateful_session', 'filters.http.stateful_session.v3.StatefulSession', { stat_prefix: 'own' }),
              router,
            ],
          ),
        ]),
      ],
      clusters: [
        cluster('all', [ports[1]!]),
        cluster('down', [1]),
        cluster('half', [1, ports[1]!]),
        cluster('overflow', [ports[0]!], { circuit_breakers: { thresholds: [{ max_requests: 0 }] } }),
        out('out'),
        out('out-kept', { common_lb_config: { override_host_status: { statuses: ['DRAINING'] } } }),
        cluster('first', [ports[0]!]),
        cluster('second', [ports[1]!]),
        {
          name: 'aggregate',
          connect_timeout: '1s',
          lb_policy: 'CLUSTER_PROVIDED',
          cluster_type: typed('envoy.clusters.aggregate', 'clusters.aggregate.v3.ClusterConfig', { clusters: ['first', 'second'] }),
        },
      ],
    },
  }
}

/** What differs from run to run, or on purpose. */
function comparable(text: string): string {
  return (
    text
      .replace(
        /sid="([^"]*)"; Max-Age=120/g,
        (_, value: string) => `sid=${Buffer.from(value, 'base64').toString('latin1').split('\x10')[0]}; Max-Age=120`,
      )
      // Envoy says nothing of a local policy's answer.
      .replace(/^(LOG m\d+ \/custom\S* \d+ \S+ )custom_response /, '$1 ')
      .replace(/(remote[ _]connection[ _]failure)[^"}\]]*/g, '$1')
      .replace(/(overflow)(,| \||\|)[^"}\]]*/g, '$1')
  )
}

describe.skipIf(envoyBin === undefined)('responses and sessions in Envoy and in Outrigger (needs ENVOY_BIN)', () => {
  let origins: Server[] = []
  let pair: { readonly envoy: Peer; readonly ours: Peer }
  let all: Exchange[] = []
  const answers: [Answer, Answer][] = []

  beforeAll(async () => {
    origins = await Promise.all(['a', 'b'].map(startOrigin))
    const ports = origins.map(origin => (origin.address() as AddressInfo).port)
    pair = await startPair(port => bootstrap(port, ports))
    all = requests(ports)
    for (const [i, one] of all.entries()) {
      const marked = { ...one, headers: { ...one.headers, 'x-mark': `m${i}` } }
      answers.push([await exchange(pair.envoy, marked), await exchange(pair.ours, marked)])
    }
  })

  afterAll(async () => {
    await stopAll()
    for (const origin of origins) origin.close()
  })

  const shown = (answer: Answer): unknown => {
    const failed = /remote connection failure|overflow/.test(answer.body)
    const headers = Object.entries(answer.headers).filter(([name]) => !failed || name !== 'content-length')
    return JSON.parse(comparable(JSON.stringify({ ...answer, headers: Object.fromEntries(headers.sort()) })))
  }
  const logLines = (peer: Peer, mark: string, count: number): Promise<string[]> =>
    until(`the log of ${mark}`, () => {
      const lines = peer.proxy.log.split('\n').filter(line => line.includes(`LOG ${mark} `))
      return lines.length >= count ? lines.map(line => comparable(line.slice(line.indexOf('LOG')))).sort() : null
    })

  it('answers, asks and logs the same', async () => {
    const differences: string[] = []
    for (const [i, one] of all.entries()) {
      const [expected, found] = answers[i]!
      const what = `${i}: ${one.method ?? 'GET'} ${one.path} ${JSON.stringify(one.headers ?? {})}`
      if (JSON.stringify(shown(expected)) !== JSON.stringify(shown(found)))
        differences.push(`${what}\n  Envoy ${JSON.stringify(shown(expected))}\n  ours  ${JSON.stringify(shown(found))}`)
      const redirected = one.path === '/custom/redirect' && one.headers!['x-status'] !== '505'
      const [theirs, ours] = await Promise.all([pair.envoy, pair.ours].map(peer => logLines(peer, `m${i}`, redirected ? 2 : 1)))
      // The text of a failure has more to say here.
      const trim = (lines: string[]): string =>
        lines.map(line => (/connection_failure|overflow/.test(line) ? line.split(']')[0] : line)).join('\n')
      if (trim(theirs!) !== trim(ours!)) differences.push(`${what}\n  Envoy ${trim(theirs!)}\n  ours  ${trim(ours!)}`)
    }
    if (differences.length > 0) expect.fail(differences.join('\n'))
  })

  it('answers a HEAD that is sent elsewhere without a body', async () => {
    const head = { path: '/custom/redirect', method: 'HEAD', headers: { 'x-status': '503' } }
    expect(await exchange(pair.ours, head)).toMatchObject({ status: 298, body: '', headers: { 'x-custom': '200' } })
    // Its body comes behind the answer, where a client looks for the next one.
    await expect(exchange(pair.envoy, head)).rejects.toThrow('Parse Error')
  })

  it('limits bodies to the same rate, counts them and tells it alike', async () => {
    const slow = { path: '/slow', method: 'POST', body: 'y'.repeat(SLOW_BYTES), headers: { 'x-size': String(SLOW_BYTES) } }
    const results = await Promise.all(
      [pair.envoy, pair.ours].map(async peer => {
        const from = performance.now()
        const answer = await exchange(peer, slow)
        const seconds = (performance.now() - from) / 1000
        const stats = [...(await peer.proxy.stats())].filter(([name]) => /^(slow|unlimited)\.http_bandwidth_limit/.test(name))
        const totals = stats.filter(([name]) => /(total_size|enabled|pending)$/.test(name))
        return { answer, seconds, names: stats.map(([name]) => name).sort(), totals: totals.sort() }
      }),
    )
    const [theirs, ours] = results as [(typeof results)[0], (typeof results)[0]]
    expect(ours.answer.body.length).toBe(SLOW_BYTES)
    expect(Object.keys(ours.answer.trailers)).toEqual(Object.keys(theirs.answer.trailers))
    expect([ours.names, ours.totals]).toEqual([theirs.names, theirs.totals])
    // Two bodies of 300 KiB at 100 KiB a second; a second's worth may be in the bucket at first.
    for (const { seconds } of results) expect(seconds).toBeGreaterThan(4)
  })

  it('counts the same', async () => {
    const names = ['custom_response_redirect_no_route', 'custom_response_invalid_uri', 'cluster.out.upstream_cx_none_healthy']
    names.push(...['routed', 'failed_open', 'failed_closed', 'no_session'].map(name => `http.in.stateful_session.own.${name}`))
    const [theirs, ours] = await Promise.all([pair.envoy, pair.ours].map(peer => peer.proxy.stats()))
    expect(names.map(name => [name, ours!.get(name)])).toEqual(names.map(name => [name, theirs!.get(name)]))
  })
})
