// What routes say of responses and of metadata filters, in the real Envoy and in Outrigger: headers that are added to answers of our own and to
// those of upstreams, before which filters they come, what local_reply_config makes of them, and metadata by typed_per_filter_config.
// Needs ENVOY_BIN; skipped by name elsewhere.
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Exchange, envoyBin, exchange, type Peer, startPair } from '../support/envoy-pair.js'
import { hcm, listener, router, staticCluster, stopAll, typed, until } from '../support/proxy-process.js'

const ACTIONS = ['APPEND_IF_EXISTS_OR_ADD', 'ADD_IF_ABSENT', 'OVERWRITE_IF_EXISTS_OR_ADD', 'OVERWRITE_IF_EXISTS'] as const
const add = (key: string, value: string, append_action?: string): object => ({ header: { key, value }, append_action })
const answer = (body: string, status = 200): object => ({
  direct_response: { status, ...(body === '' ? {} : { body: { inline_string: body } }) },
})
const route = (path: string, action: object, response_headers_to_add: readonly object[] = [], more: object = {}): object => ({
  match: { prefix: path },
  ...action,
  response_headers_to_add,
  ...more,
})
const TO_ORIGIN = { route: { cluster: 'origin' } }

const header = (key: string, value: string): object => ({
  request_rules: [
    {
      header: 'x-a',
      on_header_present: { metadata_namespace: 'h', key },
      on_header_missing: { metadata_namespace: 'h', key, value },
    },
  ],
})
const json = (key: string): object => ({
  request_rules: {
    rules: [
      {
        selectors: [{ key: 'n' }],
        on_present: { metadata_namespace: 'j', key },
        on_missing: { metadata_namespace: 'j', key, value: 'no' },
      },
    ],
  },
})
const state = (object_key: string, format_string: object): object => ({
  on_request_headers: [{ object_key, factory_key: 'envoy.string', format_string }],
})
const text = (inline_string: string): object => ({ text_format_source: { inline_string } })
const set = (value: object, allow_overwrite: boolean): object => ({ metadata: [{ metadata_namespace: 's', value, allow_overwrite }] })

const TYPES = {
  header_to_metadata: 'header_to_metadata.v3.Config',
  json_to_metadata: 'json_to_metadata.v3.JsonToMetadata',
  set_filter_state: 'set_filter_state.v3.Config',
  set_metadata: 'set_metadata.v3.Config',
} as const
type Configs = Readonly<Record<keyof typeof TYPES, object>>
const configs = (level: string, overwrites = true): Configs => ({
  header_to_metadata: header(level, 'missing'),
  json_to_metadata: json(level),
  set_filter_state: state(`of-${level}`, text(`${level} %REQ(x-a)%`)),
  set_metadata: set({ of: level }, overwrites),
})
const perFilter = (of: Partial<Configs>): object => ({
  typed_per_filter_config: Object.fromEntries(
    Object.entries(of).map(([name, config]) => [
      `envoy.filters.http.${name}`,
      { '@type': `type.googleapis.com/envoy.extensions.filters.http.${TYPES[name as keyof Configs]}`, ...config },
    ]),
  ),
})

const CORS = 'envoy.filters.http.cors'
const cors = (policy: object): object => ({
  [CORS]: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy', ...policy },
})
const besides = (other: object, more: object): object => {
  const { typed_per_filter_config: configured } = other as { typed_per_filter_config: object }
  return { typed_per_filter_config: { ...configured, ...more } }
}

const FILTERS = [
  typed(CORS, 'filters.http.cors.v3.Cors'),
  ...Object.entries(configs('own')).map(([name, config]) =>
    typed(`envoy.filters.http.${name}`, `filters.http.${TYPES[name as keyof Configs]}`, config),
  ),
  typed(
    'envoy.filters.http.set_filter_state.json',
    'filters.http.set_filter_state.v3.Config',
    state('json', { json_format: { m: '%REQ(:METHOD)%' } }),
  ),
  typed('envoy.filters.http.header_mutation', 'filters.http.header_mutation.v3.HeaderMutation', {
    mutations: {
      response_mutations: [{ remove: 'x-gone' }, { append: add('x-seen', '%RESP(x-route)%') }, { append: add('x-both', 'filter') }],
    },
  }),
  router,
]

const mapper = (append_action: string, i: number): object => ({
  filter: { header_filter: { header: { name: 'x-mapper', string_match: { exact: String(i) } } } },
  headers_to_add: [add('x-h', 'mapper', append_action), add('x-new', 'new', append_action), add('x-empty', '%REQ(none)%', append_action)],
})
const LOCAL_REPLIES = {
  mappers: [
    ...ACTIONS.map(mapper),
    {
      filter: { status_code_filter: { comparison: { op: 'EQ', value: { default_value: 418, runtime_key: 'a.b' } } } },
      status_code: 419,
      body: { inline_string: 'changed' },
      body_format_override: { json_format: { a: '%LOCAL_REPLY_BODY%', type: '%RESP(content-type)%' } },
    },
  ],
}

const TYPE = 'content-type'
const ROUTES = [
  ...ACTIONS.flatMap((action, i) => [
    route(`/direct${i}`, answer('body'), [
      add(TYPE, 'application/json', action),
      add('content-length', '99', action),
      add('x-h', 'r', action),
    ]),
    route(`/upstream${i}`, TO_ORIGIN, [add(TYPE, 'a/b', action), add('x-details', '%RESPONSE_CODE_DETAILS%', action)]),
    route(`/redirect${i}`, { redirect: { path_redirect: '/z' } }, [add('location', 'l', action), add('x-l', '%RESP(location)%', action)]),
    route(`/down${i}`, { route: { cluster: 'down' } }, [add(TYPE, 'a/b', action)]),
  ]),
  route('/empty', answer(''), [add(TYPE, 'a/b')]),
  route('/grpc', answer('a%b', 429), [add(TYPE, 'a/b'), add('grpc-status', '7', 'OVERWRITE_IF_EXISTS_OR_ADD'), add('content-length', '9')]),
  route('/tea', answer('t"ea', 418), [add(TYPE, 'a/b')]),
  route('/order', TO_ORIGIN, [add('x-gone', '1'), add('x-route', 'route'), add('x-both', 'route')]),
  route('/own-order', answer('x'), [add('x-gone', '1'), add('x-route', 'route'), add('x-both', 'route')]),
  route('/mapped', answer('x', 400), [add('x-h', 'route'), add(TYPE, 'a/b')]),
  route('/meta-route', TO_ORIGIN, [], perFilter(configs('route'))),
  route('/meta-denied', TO_ORIGIN, [], perFilter({ set_metadata: set({ of: 'route' }, false) })),
  route('/meta-leg', { route: { weighted_clusters: { clusters: [{ name: 'origin', weight: 1, ...perFilter(configs('leg')) }] } } }, [], {
    ...perFilter(configs('route')),
  }),
  route('/meta', TO_ORIGIN),
  route('/cors-origin', TO_ORIGIN, [], { typed_per_filter_config: cors({ allow_origin_string_match: [{ exact: 'http://a' }] }) }),
  route('/cors-age', TO_ORIGIN, [], {
    typed_per_filter_config: cors({ max_age: '9', allow_credentials: false, forward_not_matching_preflights: true }),
  }),
  route('/cors-off', TO_ORIGIN, [], { typed_per_filter_config: cors({ filter_enabled: { default_value: { numerator: 0 } } }) }),
  route('/cors-redirect', { redirect: { path_redirect: '/x' } }),
  route('/cors-answer', answer('x')),
  route('/cors', TO_ORIGIN),
]

const TABLE_CORS = cors({ max_age: '7', expose_headers: 'x-t', allow_credentials: true, forward_not_matching_preflights: false })
const HOST_CORS = cors({ allow_origin_string_match: [{ exact: 'http://host' }], allow_methods: '*', allow_headers: '*' })

const LOG = [
  ...['h', 'j', 's'].map(name => `%DYNAMIC_METADATA(${name})%`),
  ...['of-own', 'of-table', 'of-host', 'of-route', 'of-leg', 'json'].map(key => `%FILTER_STATE(${key}:PLAIN)%`),
].join(' ')

const bootstrap = (port: number, origin: number): object => ({
  static_resources: {
    listeners: [
      listener('in', port, [
        hcm(
          {
            stat_prefix: 'in',
            local_reply_config: LOCAL_REPLIES,
            access_log: [
              typed('envoy.access_loggers.stdout', 'access_loggers.stream.v3.StdoutAccessLog', {
                log_format: text(`LOG %REQ(x-mark)% ${LOG}\n`),
              }),
            ],
            route_config: {
              virtual_hosts: [{ name: 'all', domains: ['*'], routes: ROUTES, ...besides(perFilter(configs('host')), HOST_CORS) }],
              ...besides(perFilter(configs('table')), TABLE_CORS),
            },
          },
          FILTERS,
        ),
      ]),
    ],
    clusters: [staticCluster('origin', origin), staticCluster('down', 1)],
  },
})

const grpc = { 'content-type': 'application/grpc' }
const PATHS: readonly Exchange[] = [
  ...ACTIONS.flatMap((_, i) => ['direct', 'upstream', 'redirect', 'down'].map(name => ({ path: `/${name}${i}` }))),
  ...['/empty', '/grpc', '/tea', '/order', '/own-order', '/none'].map(path => ({ path })),
  ...['/direct0', '/grpc', '/tea'].map(path => ({ path, method: 'POST', headers: grpc })),
  { path: '/direct0', method: 'HEAD' },
  ...ACTIONS.flatMap((_, i) => ['/mapped', '/none'].map(path => ({ path, headers: { 'x-mapper': String(i) } }))),
]
const CORS_EXCHANGES: readonly Exchange[] = ['/cors', '/cors-origin', '/cors-age', '/cors-off', '/cors-redirect', '/cors-answer'].flatMap(
  path =>
    ['http://a', 'http://host'].flatMap((origin): Exchange[] => {
      const preflight = { origin, 'access-control-request-method': 'PUT' }
      return [
        { path, headers: { origin } },
        { path, method: 'OPTIONS', headers: preflight },
        { path, method: 'OPTIONS', headers: { ...preflight, 'access-control-request-headers': 'x-q,x-r' } },
      ]
    }),
)
const META: readonly Exchange[] = ['/meta', '/meta-route', '/meta-denied', '/meta-leg'].flatMap((path): Exchange[] => [
  { path },
  { path, headers: { 'x-a': 'v' } },
  { path, method: 'POST', body: '{"n":1}', headers: { 'content-type': 'application/json' } },
])

describe.skipIf(envoyBin === undefined)('what routes say in Envoy and in Outrigger (needs ENVOY_BIN)', () => {
  let origin: Server
  let peers: { readonly envoy: Peer; readonly ours: Peer }

  beforeAll(async () => {
    origin = createServer((incoming, response) => {
      incoming.resume()
      incoming.on('end', () => response.writeHead(200, { 'content-type': 'text/html' }).end('origin'))
    })
    await new Promise<void>(resolve => origin.listen(0, '127.0.0.1', () => resolve()))
    peers = await startPair(port => bootstrap(port, (origin.address() as AddressInfo).port))
  })

  afterAll(async () => {
    await stopAll()
    origin.close()
  })

  /** Reasons of the operating system, and the ports. */
  const same = (value: unknown, { port }: Peer): unknown =>
    JSON.parse(
      JSON.stringify(value)
        .replaceAll(String(port), 'PORT')
        .replace(/(remote_connection_failure).*?"/g, '$1"'),
    )

  it.each(
    [...PATHS, ...CORS_EXCHANGES].map(one => [`${one.method ?? 'GET'} ${one.path} ${JSON.stringify(one.headers ?? {})}`, one] as const),
  )('answers the same: %s', async (_name, one) => {
    const [theirs, ours] = await Promise.all([peers.envoy, peers.ours].map(async peer => same(await exchange(peer, one), peer)))
    expect(ours).toEqual(theirs)
  })

  const canonical = (line: string): string =>
    line.replace(/\{[^ ]*\}/g, found => JSON.stringify(Object.entries(JSON.parse(found) as object).sort(([a], [b]) => (a < b ? -1 : 1))))

  it('sets the same metadata and filter state', async () => {
    const both = [peers.envoy, peers.ours]
    const told = both.map(async peer => {
      const lines: string[] = []
      for (const [i, one] of META.entries()) {
        await exchange(peer, { ...one, headers: { ...one.headers, 'x-mark': `m${i}` } })
        const line = await until(`the log of m${i}`, () => peer.proxy.log.split('\n').find(found => found.includes(`LOG m${i} `)))
        lines.push(canonical(line.slice(line.indexOf('LOG'))))
      }
      return lines
    })
    const [theirs, ours] = await Promise.all(told)
    expect(ours).toEqual(theirs)
    const counted = await Promise.all(both.map(async ({ proxy }) => (await proxy.stats()).get('set_metadata.overwrite_denied')))
    expect(counted).toEqual([3, 3])
  })
})
