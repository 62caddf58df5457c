// Tracing through the real proxy: what spans say, whose they are, what the upstream is told, by OpenTelemetry (HTTP and gRPC) and by Zipkin,
// and access logs to OpenTelemetry. The real Envoy passes the same tests (OUTRIGGER_BIN).
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { http2Upstream } from '../support/grpc-services.js'
import { type Answer, fetchOnce } from '../support/http1-client.js'
import { HttpOrigin, http } from '../support/origins.js'
import { freePort, hcm, listener, ProxyProcess, staticCluster, stopAll, typed, until } from '../support/proxy-process.js'
import { type OtlpSpan, TraceCollector, type ZipkinSpan } from '../support/trace-collector.js'

const isEnvoy = process.env['OUTRIGGER_BIN']?.endsWith('/envoy') === true
const TRACE = '0123456789abcdef0123456789abcdef'
const SPAN = '1123456789abcdef'
const SAMPLED = { traceparent: `00-${TRACE}-${SPAN}-01` }
const UUID = '12345678-1234-4234-8234-123456789abc'

let failures = 0
const origin = new HttpOrigin(({ path }, socket) => {
  if (path.startsWith('/silent')) return
  if (path.startsWith('/fail') && failures++ % 2 === 0) socket.write(http('no', '503 Service Unavailable'))
  else if (path.startsWith('/named')) socket.write(http('hello', '200 OK', { 'x-envoy-decorator-operation': 'by-the-answer' }))
  else socket.write(http('hello', path.startsWith('/five') ? '500 Internal Server Error' : '200 OK'))
})
const collector = new TraceCollector()
const ports = new Map<string, number>()
let proxy: ProxyProcess

const trace = (name: string, config: object): object => ({
  name,
  typed_config: {
    '@type': `type.googleapis.com/envoy.config.trace.v3.${name.endsWith('zipkin') ? 'Zipkin' : 'OpenTelemetry'}Config`,
    ...config,
  },
})
const overHttp = (path: string): object => ({ http_uri: { uri: `http://collector.example${path}`, cluster: 'collector', timeout: '2s' } })
const otel = (config: object = {}): object =>
  trace('envoy.tracers.opentelemetry', {
    service_name: 'shop',
    http_service: { ...overHttp('/v1/traces'), request_headers_to_add: [{ header: { key: 'x-token', value: 'secret' } }] },
    ...config,
  })
const zipkin = (config: object = {}): object =>
  trace('envoy.tracers.zipkin', {
    collector_cluster: 'collector',
    collector_endpoint: '/api/v2/spans',
    collector_endpoint_version: 'HTTP_JSON',
    ...config,
  })
const sampler = (kind: string, config: object = {}): object => ({
  name: `envoy.tracers.opentelemetry.samplers.${kind}`,
  typed_config: { '@type': `type.googleapis.com/envoy.extensions.tracers.opentelemetry.samplers.v3.${kind}Config`, ...config },
})
const none = { random_sampling: { value: 0 } }
const metadata = { filter_metadata: { shop: { team: 'red', size: 3 } } }
const ids = [{ header: { key: 'x-ids', value: '%TRACE_ID%.%SPAN_ID%' } }]
const to = (prefix: string, more: object = {}, route: object = {}): object => ({
  match: { prefix },
  route: { cluster: 'app', ...route },
  metadata,
  ...more,
})
const log = typed('otel', 'access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig', {
  http_service: overHttp('/v1/logs'),
  log_name: 'requests',
  stat_prefix: 'mine',
  buffer_flush_interval: '0.05s',
  resource_attributes: { values: [{ key: 'region', value: { string_value: 'north' } }] },
  body: { string_value: '%REQ(:METHOD)% %RESPONSE_CODE% %REQ(x-nothing)%' },
  attributes: {
    values: [
      { key: 'path', value: { string_value: '%REQ(:PATH)%' } },
      {
        key: 'more',
        value: { kvlist_value: { values: [{ key: 'list', value: { array_value: { values: [{ string_value: '%PROTOCOL%' }] } } }] } },
      },
    ],
  },
  custom_tags: [{ tag: 'tagged', literal: { value: 'yes' } }],
})

/** A listener with its own connection manager, by name. */
async function traced(name: string, tracing: object, more: { manager?: object; listener?: object } = {}): Promise<object> {
  const port = await freePort()
  ports.set(name, port)
  const routes = [
    to('/named', { decorator: { operation: 'by-the-route' } }),
    to('/quiet', { decorator: { operation: 'by-the-route', propagate: false } }),
    to('/seldom', { tracing: { random_sampling: { numerator: 0 }, custom_tags: [{ tag: 'lit', literal: { value: 'route' } }] } }),
    to('/silent', {}, { timeout: '0.05s' }),
    to('/fail', {}, { retry_policy: { retry_on: '5xx', num_retries: 2 } }),
    to('/nowhere', {}, { cluster: 'dead' }),
    { match: { prefix: '/own' }, direct_response: { status: 418 } },
    to('/'),
  ]
  const route_config = { virtual_hosts: [{ name: 'all', domains: ['*'], routes, response_headers_to_add: ids }] }
  return listener(name, port, [hcm({ stat_prefix: name, route_config, tracing, ...more.manager })], more.listener)
}

beforeAll(async () => {
  await Promise.all([origin.listen(), collector.listen()])
  const grpc = { envoy_grpc: { cluster_name: 'collector-grpc' } }
  const listeners = await Promise.all([
    traced('plain', { provider: otel() }, { manager: { access_log: [log] } }),
    traced('grpc', { provider: otel({ http_service: undefined, grpc_service: grpc }) }),
    traced('egress', { provider: otel() }, { listener: { traffic_direction: 'OUTBOUND' } }),
    traced('named', { provider: otel(), operation: 'op %REQ(:PATH)%', upstream_operation: 'up %REQ(:PATH)%', spawn_upstream_span: true }),
    traced('tries', {
      provider: otel(),
      spawn_upstream_span: true,
      verbose: true,
      max_path_tag_length: 5,
      custom_tags: [
        { tag: 'lit', literal: { value: 'manager' } },
        { tag: 'env', environment: { name: 'OUTRIGGER_NOT_SET', default_value: 'default' } },
        { tag: 'env-none', environment: { name: 'OUTRIGGER_NOT_SET' } },
        { tag: 'header', request_header: { name: 'user-agent' } },
        { tag: 'header-none', request_header: { name: 'x-none' } },
        { tag: 'team', metadata: { kind: { route: {} }, metadata_key: { key: 'shop', path: [{ key: 'team' }] } } },
        { tag: 'size', metadata: { kind: { route: {} }, metadata_key: { key: 'shop', path: [{ key: 'size' }] } } },
        { tag: 'absent', metadata: { kind: { request: {} }, metadata_key: { key: 'shop', path: [{ key: 'x' }] }, default_value: 'd' } },
        { tag: 'made', value: '%REQ(:METHOD)%-%PROTOCOL%' },
        { tag: 'node_id', literal: { value: 'mine' } },
      ],
    }),
    traced(
      'seldom',
      { provider: otel(), ...none },
      {
        manager: { internal_address_config: { cidr_ranges: [{ address_prefix: '127.0.0.0', prefix_len: 8 }] }, use_remote_address: true },
      },
    ),
    traced('never', { provider: otel(), overall_sampling: { value: 0 } }),
    traced('edge', { provider: otel() }, { manager: { use_remote_address: true, preserve_external_request_id: true } }),
    traced(
      'unpacked',
      { provider: otel() },
      {
        manager: {
          always_set_request_id_in_response: true,
          request_id_extension: {
            typed_config: {
              '@type': 'type.googleapis.com/envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig',
              pack_trace_reason: false,
              use_request_id_for_trace_sampling: false,
            },
          },
        },
      },
    ),
    traced('alone', { provider: otel(), no_context_propagation: true }),
    traced('always', { provider: otel({ sampler: sampler('AlwaysOnSampler') }) }),
    traced('half', { provider: otel({ sampler: sampler('TraceIdRatioBasedSampler', { sampling_percentage: { numerator: 50 } }) }) }),
    traced('parent', {
      provider: otel({
        sampler: sampler('ParentBasedSampler', {
          wrapped_sampler: sampler('TraceIdRatioBasedSampler', { sampling_percentage: { numerator: 0 } }),
        }),
      }),
    }),
    traced('zipkin', {}),
    traced('zipkin-proto', {
      provider: zipkin({ collector_endpoint_version: 'HTTP_PROTO', trace_id_128bit: true }),
      spawn_upstream_span: true,
    }),
    traced('zipkin-w3c', { provider: zipkin({ trace_context_option: 'USE_B3_WITH_W3C_PROPAGATION', shared_span_context: false }) }),
    traced('zipkin-egress', { provider: zipkin() }, { listener: { traffic_direction: 'OUTBOUND' } }),
  ])
  proxy = await ProxyProcess.start({
    bootstrap: {
      node: { id: 'node-1', cluster: 'shop-proxy', locality: { zone: 'z1' } },
      tracing: { http: zipkin() },
      layered_runtime: {
        layers: [{ name: 'static', static_layer: { 'tracing.opentelemetry.min_flush_spans': 1, 'tracing.zipkin.min_flush_spans': 1 } }],
      },
      static_resources: {
        listeners,
        clusters: [
          staticCluster('app', origin.port, { alt_stat_name: 'app_alt' }),
          staticCluster('dead', await freePort()),
          staticCluster('collector', collector.port),
          staticCluster('collector-grpc', collector.grpcPort, http2Upstream),
        ],
      },
    },
  })
})

afterAll(async () => {
  await stopAll()
  await Promise.all([origin.close(), collector.close()])
})

interface Seen {
  readonly answer: Answer
  /** `%TRACE_ID%.%SPAN_ID%`. */
  readonly ids: string
  /** Of the last request that the application got. */
  readonly sent: ReadonlyMap<string, string>
}

async function ask(name: string, path: string, headers: Record<string, string> = {}): Promise<Seen> {
  const answer = await fetchOnce(ports.get(name)!, path, { host: 'shop', 'user-agent': 'test', ...headers })
  return { answer, ids: answer.headers.get('x-ids') ?? '', sent: origin.requests.at(-1)?.headers ?? new Map() }
}

function spanOf(seen: Seen): Promise<OtlpSpan> {
  const [traceId, id] = seen.ids.split('.')
  return until(`span ${seen.ids}`, () => collector.spans.find(span => span.traceId === traceId && span.id === id))
}

function zipkinOf(seen: Seen): Promise<ZipkinSpan> {
  const requestId = seen.sent.get('x-request-id')
  return until(`the span of ${requestId}`, () => collector.zipkin.find(({ tags }) => tags['guid:x-request-id'] === requestId))
}

/** Sent as sampled or not, or not at all. */
const flagOf = ({ sent }: Seen): string | undefined => sent.get('traceparent')?.slice(-2)

const tagsOf = (path: string, more: object): object => ({
  node_id: 'node-1',
  zone: 'z1',
  'guid:x-request-id': expect.stringMatching(/^[0-9a-f]{8}-/),
  'http.url': `http://shop${path}`,
  'http.method': 'GET',
  'http.protocol': 'HTTP/1.1',
  downstream_cluster: '-',
  user_agent: 'test',
  'peer.address': '127.0.0.1',
  request_size: '0',
  response_size: '5',
  component: 'proxy',
  upstream_cluster: 'app',
  'upstream_cluster.name': 'app_alt',
  'http.status_code': '200',
  response_flags: '-',
  ...more,
})

describe('OpenTelemetry', () => {
  it('says everything of a request, and tells the upstream whose child it is', async () => {
    const seen = await ask('plain', '/a?x=1', { 'x-client-trace-id': 'c' })
    const span = await spanOf(seen)
    expect(span).toMatchObject({ name: 'ingress', kind: 'server', parentId: '', state: '', error: false, flags: 0x101, events: [] })
    expect(span.tags).toEqual(tagsOf('/a?x=1', { 'guid:x-client-trace-id': 'c' }))
    expect(span.resource).toMatchObject({ 'service.name': 'shop', 'telemetry.sdk.name': isEnvoy ? 'envoy' : 'outrigger' })
    expect(span.ms).toBeGreaterThan(0)
    expect(seen.sent.get('traceparent')).toBe(`00-${span.traceId}-${span.id}-01`)
    expect(seen.sent.get('tracestate')).toBe('')
    const sent = collector.headers.find(headers => headers['x-token'] !== undefined)
    expect(sent).toMatchObject({ host: 'collector.example', 'content-type': 'application/x-protobuf', 'x-token': 'secret' })
  })

  it('by gRPC', async () => {
    expect((await spanOf(await ask('grpc', '/a'))).tags).toEqual(tagsOf('/a', {}))
  })

  it('continues what came with a context: sampled, not sampled, unreadable', async () => {
    const seen = await ask('plain', '/a', { ...SAMPLED, tracestate: 'k=v' })
    const span = await spanOf(seen)
    expect(span).toMatchObject({ traceId: TRACE, parentId: SPAN, state: 'k=v', flags: 0x301 })
    expect(seen.sent.get('traceparent')).toBe(`00-${TRACE}-${span.id}-01`)
    expect(seen.sent.get('tracestate')).toBe('k=v')
    const unsampled = await ask('plain', '/a', { traceparent: `00-${TRACE}-${SPAN}-00` })
    expect(flagOf(unsampled)).toBe('00')
    expect(unsampled.ids).toMatch(new RegExp(`^${TRACE}\\.`))
    const unreadable = await ask('plain', '/a', { traceparent: 'bad' })
    expect(unreadable.sent.get('traceparent')).toBe('bad')
    expect(unreadable.ids).toBe('.')
  })

  it('tells failures', async () => {
    const five = await spanOf(await ask('plain', '/five'))
    expect(five).toMatchObject({ error: true, tags: { 'http.status_code': '500', error: 'true' } })
    const dead = await spanOf(await ask('plain', '/nowhere'))
    expect(dead).toMatchObject({ error: true, tags: { 'http.status_code': '503', response_flags: 'UF', upstream_cluster: 'dead' } })
    const own = await spanOf(await ask('plain', '/own'))
    expect(own.tags).toMatchObject({ 'http.status_code': '418' })
    expect(own.tags['upstream_cluster']).toBeUndefined()
    const grpc = await spanOf(await ask('plain', '/own', { 'content-type': 'application/grpc', te: 'trailers' }))
    expect(grpc).toMatchObject({ error: true, tags: { 'grpc.path': '/own', 'grpc.authority': 'shop', 'grpc.status_code': '2' } })
  })

  it('names: of the route, of the request on the way in, of the answer on the way out, of the config', async () => {
    const named = await ask('plain', '/named')
    expect((await spanOf(named)).name).toBe('by-the-route')
    expect(named.answer.headers.get('x-envoy-decorator-operation')).toBe('by-the-route')
    const asked = await ask('plain', '/a', { 'x-envoy-decorator-operation': 'by-the-request' })
    expect((await spanOf(asked)).name).toBe('by-the-request')
    expect(asked.sent.has('x-envoy-decorator-operation')).toBe(false)
    const out = await ask('egress', '/named')
    expect(await spanOf(out)).toMatchObject({ name: 'by-the-answer', kind: 'client' })
    expect(out.sent.get('x-envoy-decorator-operation')).toBe('by-the-route')
    expect(out.answer.headers.has('x-envoy-decorator-operation')).toBe(false)
    const quiet = await ask('egress', '/quiet')
    expect((await spanOf(quiet)).name).toBe('by-the-route')
    expect(quiet.sent.has('x-envoy-decorator-operation')).toBe(false)
    expect((await spanOf(await ask('egress', '/a'))).name).toBe('egress shop')
    const formed = await ask('named', '/named')
    const span = await spanOf(formed)
    expect(span.name).toBe('op /named')
    expect(formed.answer.headers.get('x-envoy-decorator-operation')).toBe('by-the-answer')
    const child = await until('the span of the try', () => collector.spans.find(({ parentId }) => parentId === span.id))
    expect(child.name).toBe('up /named')
  })

  it('tries have spans, and custom tags are of every kind', async () => {
    const seen = await ask('tries', '/fail?long')
    const span = await spanOf(seen)
    const custom = {
      lit: 'manager',
      env: 'default',
      header: 'test',
      team: 'red',
      size: '3',
      absent: 'd',
      made: 'GET-HTTP/1.1',
      node_id: 'mine',
    }
    expect(span.tags).toEqual(tagsOf('/fail', custom))
    const children = await until('two tries', () => {
      const found = collector.spans.filter(({ parentId }) => parentId === span.id)
      return found.length === 2 ? found : null
    })
    const ofTry = {
      'http.protocol': 'HTTP/1.1',
      upstream_address: `127.0.0.1:${origin.port}`,
      'peer.address': `127.0.0.1:${origin.port}`,
      component: 'proxy',
      upstream_cluster: 'app',
      'upstream_cluster.name': 'app_alt',
      response_flags: '-',
      ...custom,
    }
    expect(children[0]).toMatchObject({ name: 'router app_alt egress', kind: 'client', traceId: span.traceId, error: true })
    const { canceled: _canceled, ...firstTags } = children[0]!.tags
    expect(firstTags).toEqual({ ...ofTry, 'http.status_code': '503', error: 'true' })
    expect(children[1]!.tags).toEqual({ ...ofTry, 'http.status_code': '200', 'retry.count': '1' })
    expect(seen.sent.get('traceparent')).toBe(`00-${span.traceId}-${children[1]!.id}-01`)
    expect(span.events).toEqual([
      'last_downstream_rx_byte_received',
      'first_upstream_tx_byte_sent',
      'last_upstream_tx_byte_sent',
      'first_upstream_rx_byte_received',
      'last_upstream_rx_byte_received',
      'first_downstream_tx_byte_sent',
      'last_downstream_tx_byte_sent',
    ])
    expect(children[1]!.events).toEqual(span.events.slice(1, 5))
  })

  it('a try that fails or is called off says so', async () => {
    const childOf = async (path: string): Promise<OtlpSpan> => {
      const { id } = await spanOf(await ask('tries', path))
      return until('the span of the try', () => collector.spans.find(({ parentId }) => parentId === id))
    }
    expect((await childOf('/nowhere')).tags).toMatchObject({
      error: 'true',
      'error.reason': 'remote connection failure',
      'http.protocol': '-',
      'http.status_code': '0',
      response_flags: 'UF',
    })
    expect((await childOf('/silent')).tags).toMatchObject({ canceled: 'true', 'http.status_code': '0', response_flags: '-' })
  })

  it('samples by the request id, by the client, by force, by what came before', async () => {
    const idOf = ({ sent }: Seen): string => sent.get('x-request-id')!
    const plain = await ask('plain', '/a', { 'x-request-id': UUID })
    expect([flagOf(plain), idOf(plain)]).toEqual(['01', UUID.replace('-4', '-9')])
    const odd = await ask('plain', '/a', { 'x-request-id': 'odd' })
    expect([flagOf(odd), idOf(odd)]).toEqual(['00', 'odd'])
    const byRoute = await ask('plain', '/seldom')
    expect([flagOf(byRoute), idOf(byRoute)[14]]).toEqual(['00', '4'])
    expect((await spanOf(await ask('plain', '/seldom', { 'x-client-trace-id': 'c' }))).tags['lit']).toBe('route')
    const seldom = await ask('seldom', '/a', SAMPLED)
    expect(flagOf(seldom)).toBe('00')
    const forced = await ask('seldom', '/a', { 'x-envoy-force-trace': 'true' })
    expect([flagOf(forced), idOf(forced)[14]]).toEqual(['01', 'a'])
    const client = await ask('seldom', '/a', { 'x-client-trace-id': 'c' })
    expect([flagOf(client), idOf(client)[14]]).toEqual(['01', 'b'])
    const before = await ask('seldom', '/a', { 'x-request-id': UUID.replace('-4', '-9') })
    expect(flagOf(before)).toBe('01')
    const never = await ask('never', '/a', { 'x-client-trace-id': 'c' })
    expect([flagOf(never), idOf(never)[14]]).toEqual(['00', '4'])
    const edge = await ask('edge', '/seldom', { 'x-request-id': UUID.replace('-4', '-b'), 'x-envoy-force-trace': '1' })
    expect([flagOf(edge), idOf(edge)]).toEqual(['00', UUID])
    const unpacked = await ask('unpacked', '/a', { 'x-request-id': 'odd' })
    expect([flagOf(unpacked), unpacked.answer.headers.get('x-request-id')]).toEqual(['01', 'odd'])
    expect(idOf(await ask('unpacked', '/a'))[14]).toBe('4')
    const alone = await ask('alone', '/a')
    await spanOf(alone)
    expect(alone.sent.has('traceparent')).toBe(false)
  })

  it('samplers', async () => {
    const low = { traceparent: `00-${TRACE}-${SPAN}-01` }
    const high = { traceparent: `00-ff${TRACE.slice(2)}-${SPAN}-01` }
    const unsampled = { traceparent: `00-${TRACE}-${SPAN}-00` }
    const flags = async (name: string, cases: readonly Record<string, string>[], path = '/a'): Promise<unknown[]> => {
      const found: unknown[] = []
      for (const headers of cases) found.push(flagOf(await ask(name, path, headers)))
      return found
    }
    expect(await flags('always', [{}, unsampled])).toEqual(['01', '01'])
    expect(await flags('always', [{}], '/seldom')).toEqual(['00'])
    expect(await flags('half', [low, high])).toEqual(['01', '00'])
    expect(await flags('parent', [{}, low, unsampled])).toEqual(['00', '01', '00'])
  })

  it('counts decisions and spans', async () => {
    expect(await proxy.stat('http.seldom.tracing.service_forced')).toBe(1)
    expect(await proxy.stat('http.seldom.tracing.client_enabled')).toBe(1)
    expect(await proxy.stat('http.seldom.tracing.not_traceable')).toBe(1)
    expect(await proxy.stat('http.seldom.tracing.random_sampling')).toBe(1)
    expect(await proxy.stat('tracing.opentelemetry.spans_sent')).toBeGreaterThan(10)
    expect(await proxy.stat('tracing.opentelemetry.spans_dropped')).toBe(0)
  })
})

describe('Zipkin', () => {
  it('is used by who names no provider, where the bootstrap does', async () => {
    const seen = await ask('zipkin', '/a?x=1')
    const span = await zipkinOf(seen)
    const [id, spanId] = seen.ids.split('.')
    if (!isEnvoy) expect(spanId).toBe(id)
    expect(span).toMatchObject({
      traceId: id,
      id,
      kind: 'SERVER',
      name: 'shop',
      shared: true,
      localEndpoint: { serviceName: 'shop-proxy' },
    })
    expect(span.parentId).toBeUndefined()
    expect(span.tags).toEqual(tagsOf('/a?x=1', {}))
    expect(span.annotations.map(({ value }) => value)).toEqual(['ss'])
    expect(b3Of(seen)).toEqual({ 'x-b3-traceid': id, 'x-b3-spanid': id, 'x-b3-sampled': '1' })
    expect((await zipkinOf(await ask('zipkin', '/named'))).name).toBe('by-the-route')
  })

  it('continues B3 of one header and of four; what cannot be read goes on as it is', async () => {
    const one = await ask('zipkin', '/a', { b3: '0123456789abcdef-1123456789abcdef-1' })
    expect(b3Of(one)).toEqual({ b3: '0123456789abcdef-1123456789abcdef-1' })
    expect(await zipkinOf(one)).toMatchObject({ traceId: '0123456789abcdef', id: '1123456789abcdef', shared: true })
    const four = { 'x-b3-traceid': TRACE, 'x-b3-spanid': SPAN, 'x-b3-parentspanid': '2222222222222222', 'x-b3-sampled': '1' }
    const many = await ask('zipkin', '/a', four)
    expect(b3Of(many)).toEqual(four)
    expect(await zipkinOf(many)).toMatchObject({ traceId: TRACE, id: SPAN, parentId: '2222222222222222' })
    expect(b3Of(await ask('zipkin', '/a', { b3: '0' }))).toEqual({ b3: expect.stringMatching(/^[0-9a-f]{16}-[0-9a-f]{16}-0$/) })
    expect(b3Of(await ask('zipkin', '/a', { 'x-b3-sampled': '0' }))).toMatchObject({ 'x-b3-sampled': '0' })
    expect(b3Of(await ask('zipkin', '/a', { b3: 'bad' }))).toEqual({ b3: 'bad' })
  })

  it('on the way out the span is the client’s own', async () => {
    const seen = await ask('zipkin-egress', '/a', { b3: '0123456789abcdef-1123456789abcdef-1' })
    const span = await zipkinOf(seen)
    expect(span).toMatchObject({ kind: 'CLIENT', traceId: '0123456789abcdef', parentId: '1123456789abcdef' })
    expect(span.shared).toBeUndefined()
    expect(b3Of(seen)).toEqual({ b3: `0123456789abcdef-${span.id}-1-1123456789abcdef` })
  })

  it('as protobuf, with ids of 128 bits and a span a try', async () => {
    const seen = await ask('zipkin-proto', '/a')
    const [traceId = ''] = seen.ids.split('.')
    expect(traceId).toMatch(/^[0-9a-f]{32}$/)
    const id = traceId.slice(16)
    const spans = await until('both spans', () => {
      const found = collector.zipkin.filter(span => span.traceId === traceId)
      return found.length === 2 ? found : null
    })
    expect(spans.map(({ kind, name }) => [kind, name])).toEqual([
      ['CLIENT', 'router app_alt egress'],
      ['SERVER', 'shop'],
    ])
    expect(spans[1]!.tags).toEqual(tagsOf('/a', {}))
    if (!isEnvoy) expect([spans[0]!.parentId, spans[1]!.id]).toEqual([id, id])
    expect(b3Of(seen)).toMatchObject({ 'x-b3-traceid': traceId, 'x-b3-parentspanid': id, 'x-b3-sampled': '1' })
  })

  it('W3C beside B3', async () => {
    const seen = await ask('zipkin-w3c', '/a', { ...SAMPLED, tracestate: 'k=v' })
    const span = await zipkinOf(seen)
    expect(span).toMatchObject({ traceId: TRACE, parentId: SPAN })
    expect(seen.sent.get('traceparent')).toBe(`00-${TRACE}-${span.id}-01`)
    expect(seen.sent.get('tracestate')).toBe('k=v')
    expect(b3Of(seen)).toEqual({ 'x-b3-traceid': TRACE, 'x-b3-spanid': span.id, 'x-b3-parentspanid': SPAN, 'x-b3-sampled': '1' })
    const short = await ask('zipkin-w3c', '/a', { b3: '0123456789abcdef-1123456789abcdef-1' })
    expect(short.sent.get('traceparent')).toMatch(/^00-00000000000000000123456789abcdef-[0-9a-f]{16}-01$/)
  })

  it('counts reports', async () => {
    await proxy.untilStat('tracing.zipkin.reports_sent', value => value > 5)
    expect(await proxy.stat('tracing.zipkin.reports_dropped')).toBe(0)
    expect(await proxy.stat('tracing.zipkin.spans_sent')).toBeGreaterThan(5)
  })
})

function b3Of({ sent }: Seen): Record<string, string> {
  return Object.fromEntries([...sent].filter(([name]) => name === 'b3' || name.startsWith('x-b3-')))
}

describe('access logs to OpenTelemetry', () => {
  it('have body, attributes, resource and the ids of the trace', async () => {
    const seen = await ask('plain', '/logged')
    const record = await until('the record', () => collector.records.find(({ attributes }) => attributes['path'] === '/logged'))
    expect(record).toEqual({
      body: 'GET 200 -',
      attributes: { path: '/logged', more: { list: ['HTTP/1.1'] }, tagged: 'yes' },
      resource: { log_name: 'requests', zone_name: 'z1', cluster_name: 'shop-proxy', node_name: 'node-1', region: 'north' },
      traceId: seen.ids.split('.')[0],
      spanId: seen.ids.split('.')[1],
    })
    expect(await proxy.stat('access_logs.open_telemetry_access_log.mine.logs_written')).toBeGreaterThan(0)
    expect(await proxy.stat('access_logs.open_telemetry_access_log.mine.logs_dropped')).toBe(0)
  })
})
