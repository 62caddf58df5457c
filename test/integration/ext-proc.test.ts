// envoy.filters.http.ext_proc through the real process, with a processor that does what the request's `x-do` says; beside the real Envoy where
// ENVOY_BIN names it: the same answers.
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf'
import * as grpc from '@grpc/grpc-js'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  type ProcessingRequest,
  ProcessingRequestSchema,
  type ProcessingResponse,
  ProcessingResponseSchema,
} from '../../src/xds/gen/envoy/service/ext_proc/v3/external_processor_pb.js'
import { http2Upstream } from '../support/grpc-services.js'
import { Http1Client } from '../support/http1-client.js'
import { HttpOrigin, http } from '../support/origins.js'
import { freePort, hcm, listener, ProxyProcess, router, staticCluster, stopAll, typed } from '../support/proxy-process.js'

type Answer = MessageInitShape<typeof ProcessingResponseSchema>
type Stream = grpc.ServerDuplexStream<ProcessingRequest, ProcessingResponse>

const bytes = (text: string): Uint8Array => Buffer.from(text)
const text = (value: Uint8Array): string => Buffer.from(value).toString()
const set = (key: string, value: string, append = false) => ({ header: { key, rawValue: bytes(value) }, append })
/** Parts of the last request that the processor saw, one line each. */
let seen: string[] = []
/** Attributes that came with them, by part. */
let attributes: Record<string, object> = {}

const FIELDS = {
  requestHeaders: 'request head',
  responseHeaders: 'response head',
  requestBody: 'request body',
  responseBody: 'response body',
  requestTrailers: 'request trailers',
  responseTrailers: 'response trailers',
} as const

function note({ request, attributes: sent }: ProcessingRequest): void {
  if (request.case === undefined) return
  for (const [filter, struct] of Object.entries(sent)) attributes[`${FIELDS[request.case]} ${filter}`] = struct
  const value = request.value
  const end = 'endOfStream' in value && value.endOfStream ? ' end' : ''
  seen.push(`${FIELDS[request.case]}${'body' in value ? ` ${text(value.body)}` : ''}${end}`)
}

/** The plain answer to a part: go on. */
function goOn(part: keyof typeof FIELDS, response: object = {}): Answer {
  return { response: { case: part, value: part.endsWith('Trailers') ? {} : { response } } } as Answer
}

function processor(stream: Stream): void {
  let todo = ''
  stream.on('data', (message: ProcessingRequest) => {
    const { request } = message
    if (request.case === undefined) return
    if (request.case === 'requestHeaders') {
      seen = []
      const field = request.value.headers?.headers.find(({ key }) => key === 'x-do')
      todo = field === undefined ? '' : text(field.rawValue) || field.value
    }
    note(message)
    const answer = (of: Answer): void => void stream.write(create(ProcessingResponseSchema, of))
    const part = request.case
    if (todo === 'silent') return
    if (todo === 'leave') stream.end()
    else if (todo === 'fail') stream.emit('error', Object.assign(new Error('no'), { code: grpc.status.INTERNAL }))
    else if (todo === 'confuse' && part === 'requestHeaders') answer(goOn('responseBody'))
    else if (todo === 'deny')
      answer({
        response: {
          case: 'immediateResponse',
          value: { status: { code: 403 }, headers: { setHeaders: [set('x-why', 'rule 7')] }, body: bytes('not you'), details: 'rule_7' },
        },
      })
    else if (todo === 'deny-response' && part === 'responseHeaders')
      answer({ response: { case: 'immediateResponse', value: { status: { code: 502 }, body: bytes('bad answer') } } })
    else if (todo === 'heads' && part === 'requestHeaders')
      answer(
        goOn(part, {
          headerMutation: {
            setHeaders: [
              set('x-new', 'one'),
              set(':path', '/other?x=1'),
              set('x-envoy-secret', 'no'),
              set(':method', 'PUT'),
              set('x-old', 'two'),
            ],
            removeHeaders: ['x-gone'],
          },
        }),
      )
    else if (todo === 'heads' && part === 'responseHeaders')
      answer(goOn(part, { headerMutation: { setHeaders: [set('x-back', 'yes')], removeHeaders: ['x-origin'] } }))
    else if (todo === 'bodies' && (part === 'requestBody' || part === 'responseBody'))
      answer(
        goOn(part, {
          headerMutation: { setHeaders: [set('x-body', 'seen')] },
          bodyMutation: { mutation: { case: 'body', value: bytes(text(request.value.body).toUpperCase()) } },
        }),
      )
    else if (todo === 'whole' && part === 'requestHeaders')
      answer({ ...goOn(part), modeOverride: { requestBodyMode: 2, responseHeaderMode: 2 } } as Answer)
    else if (todo === 'clear' && part === 'requestBody')
      answer(goOn(part, { bodyMutation: { mutation: { case: 'clearBody', value: true } } }))
    else answer(goOn(part))
  })
  stream.on('error', () => {})
  stream.on('end', () => stream.end())
}

const LONG_BODY = 400_000
const server = new grpc.Server()
let processorPort = 0
const origin = new HttpOrigin((request, socket) => {
  const names = ['x-new', 'x-old', 'x-gone', 'x-body', 'x-envoy-secret', 'content-length']
  const fields = names.flatMap(name => (request.headers.has(name) ? [`${name}=${request.headers.get(name)}`] : []))
  const body =
    request.path === '/long' ? 'x'.repeat(LONG_BODY) : `${request.method} ${request.path} [${fields.join(' ')}] ${request.body.toString()}`
  socket.write(http(body, '200 OK', { 'x-origin': 'yes' }))
})

const extProc = (config: object): object =>
  typed('ext_proc', 'filters.http.ext_proc.v3.ExternalProcessor', {
    grpc_service: { envoy_grpc: { cluster_name: 'processor' }, timeout: '5s' },
    message_timeout: '10s',
    ...config,
  })
const REQUEST_ATTRIBUTES = [
  'request.path',
  'request.url_path',
  'request.query',
  'request.host',
  'request.scheme',
  'request.method',
  'request.protocol',
  'request.referer',
  'request.useragent',
  'request.size',
  'request.headers',
  "request.headers['x-who']",
  "request.headers['x-none']",
  "request.method == 'POST' && source.port > 0",
  'response.code',
  'response.flags',
  'upstream.address',
  'upstream.request_attempt_count',
  'connection.mtls',
  'connection.requested_server_name',
  'connection.tls_version',
  'connection.termination_details',
  'destination.port',
  'xds.cluster_name',
  'xds.route_name',
  'xds.listener_direction',
  'xds.filter_chain_name',
  'xds.route_metadata',
  '1.5',
  '2u',
  "duration('1.5s')",
  "['a']",
]
/** Of the request of the test below; what is not there is not sent. */
const SENT_ATTRIBUTES = {
  'request.path': '/a?b=c',
  'request.url_path': '/a',
  'request.query': 'b=c',
  'request.host': 'h',
  'request.scheme': 'http',
  'request.method': 'POST',
  'request.protocol': 'HTTP/1.1',
  'request.useragent': 'test',
  'request.size': 4,
  'request.headers': 'CelMap value',
  "request.headers['x-who']": 'Zoë',
  "request.method == 'POST' && source.port > 0": true,
  'response.flags': 0,
  'upstream.request_attempt_count': 0,
  'connection.mtls': false,
  'connection.requested_server_name': '',
  'xds.cluster_name': 'app',
  'xds.route_name': '',
  'xds.listener_direction': 0,
  'xds.filter_chain_name': '',
  '1.5': '1.5',
  '2u': 2,
  "duration('1.5s')": '1.5s',
  "['a']": 'CelList value',
}
const RESPONSE_ATTRIBUTES = [
  'request.path',
  'response.code',
  'response.code_details',
  'response.flags',
  'response.grpc_status',
  'response.headers',
  "response.headers['x-origin']",
  'response.trailers',
  'upstream.port',
  'upstream.request_attempt_count',
  'upstream.transport_failure_reason',
  'xds.cluster_name',
]
const ANSWERED_ATTRIBUTES = {
  'request.path': '/a?b=c',
  'response.code': 200,
  'response.code_details': 'via_upstream',
  'response.flags': 0,
  'response.grpc_status': 2,
  'response.headers': 'CelMap value',
  "response.headers['x-origin']": 'yes',
  'response.trailers': 'CelMap value',
  'upstream.request_attempt_count': 1,
  'upstream.transport_failure_reason': '',
  'xds.cluster_name': 'app',
}
const LISTENERS = {
  heads: {},
  hasty: { message_timeout: '0.2s' },
  open: { failure_mode_allow: true, message_timeout: '0.2s' },
  buffered: { processing_mode: { request_body_mode: 'BUFFERED', response_body_mode: 'BUFFERED' } },
  streamed: { processing_mode: { request_body_mode: 'STREAMED', response_body_mode: 'STREAMED' } },
  partial: { processing_mode: { request_body_mode: 'BUFFERED_PARTIAL', response_header_mode: 'SKIP' } },
  skip: { processing_mode: { request_header_mode: 'SKIP', response_header_mode: 'SEND' } },
  quiet: { disable_immediate_response: true },
  modes: { allow_mode_override: true },
  rest: { processing_mode: { response_body_mode: 'BUFFERED_PARTIAL' } },
  trailers: { processing_mode: { request_body_mode: 'STREAMED', request_trailer_mode: 'SEND' } },
  attributes: {
    request_attributes: REQUEST_ATTRIBUTES,
    response_attributes: RESPONSE_ATTRIBUTES,
    processing_mode: { request_body_mode: 'STREAMED', response_body_mode: 'STREAMED' },
  },
  late: {
    request_attributes: ['request.method', 'request.query', 'upstream.transport_failure_reason', 'response.code', 'response.code_details'],
    processing_mode: { request_header_mode: 'SKIP', request_body_mode: 'BUFFERED' },
  },
  strict: { mutation_rules: { disallow_is_error: true } },
} as const
type Mode = keyof typeof LISTENERS

beforeAll(async () => {
  await origin.listen()
  server.addService(
    {
      Process: {
        path: '/envoy.service.ext_proc.v3.ExternalProcessor/Process',
        requestStream: true,
        responseStream: true,
        requestDeserialize: (raw: Buffer) => fromBinary(ProcessingRequestSchema, raw),
        requestSerialize: (message: ProcessingRequest) => Buffer.from(toBinary(ProcessingRequestSchema, message)),
        responseDeserialize: (raw: Buffer) => fromBinary(ProcessingResponseSchema, raw),
        responseSerialize: (message: ProcessingResponse) => Buffer.from(toBinary(ProcessingResponseSchema, message)),
      },
    },
    { Process: processor as grpc.handleBidiStreamingCall<ProcessingRequest, ProcessingResponse> },
  )
  processorPort = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, port) =>
      error === null ? resolve(port) : reject(error),
    ),
  )
})

afterAll(async () => {
  await stopAll()
  server.forceShutdown()
  await origin.close()
})

const envoyBin = process.env['ENVOY_BIN']
const sides: readonly (readonly [name: string, bin: string | undefined])[] = [
  ['Outrigger', undefined],
  ...(envoyBin === undefined ? [] : [['Envoy', envoyBin] as const]),
]

describe.each(sides)('%s', (_name, bin) => {
  const ports = new Map<Mode, number>()
  let proxy: ProxyProcess

  beforeAll(async () => {
    for (const mode of Object.keys(LISTENERS) as Mode[]) ports.set(mode, await freePort())
    const own = (config: object): object => ({
      typed_per_filter_config: {
        ext_proc: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExtProcPerRoute', ...config },
      },
    })
    const route = { cluster: 'app' }
    const routes = [
      { match: { prefix: '/off' }, route, ...own({ disabled: true }) },
      { match: { prefix: '/whole' }, route, ...own({ overrides: { processing_mode: { request_body_mode: 'BUFFERED' } } }) },
      { match: { prefix: '/' }, route },
    ]
    const route_config = { name: 'r', virtual_hosts: [{ name: 'v', domains: ['*'], routes }] }
    const bootstrap = {
      static_resources: {
        listeners: [...ports].map(([mode, port]) =>
          listener(
            mode,
            port,
            [
              hcm({ stat_prefix: mode, route_config, http_protocol_options: { enable_trailers: true } }, [
                extProc(LISTENERS[mode]),
                router,
              ]),
            ],
            mode === 'rest' ? { per_connection_buffer_limit_bytes: 4096 } : {},
          ),
        ),
        clusters: [staticCluster('app', origin.port), staticCluster('processor', processorPort, http2Upstream)],
      },
    }
    proxy = await ProxyProcess.start({ bootstrap, ...(bin === undefined ? {} : { bin, flags: ['-l', 'error'] }) })
  })

  const ask = async (
    mode: Mode,
    headers: Record<string, string>,
    body?: string,
    path = '/a',
  ): Promise<{ status: number; body: string; headers: ReadonlyMap<string, string> }> => {
    const client = await Http1Client.connect(ports.get(mode)!)
    const length = body === undefined ? {} : { 'content-length': String(body.length) }
    const lines = Object.entries({ host: 'h', ...length, ...headers }).map(([name, value]) => `${name}: ${value}\r\n`)
    try {
      return await client.send(`${body === undefined ? 'GET' : 'POST'} ${path} HTTP/1.1\r\n${lines.join('')}\r\n${body ?? ''}`)
    } finally {
      client.destroy()
    }
  }

  it('the heads of request and response go to the processor, and nothing else', async () => {
    const answer = await ask('heads', {})
    expect([answer.status, answer.body, seen]).toEqual([200, 'GET /a [] ', ['request head end', 'response head']])
    await ask('heads', {}, 'body')
    expect(seen).toEqual(['request head', 'response head'])
  })

  it('the attributes that are asked for go with the first message of each direction', async () => {
    attributes = {}
    await ask('attributes', { 'x-who': 'Zoë', 'user-agent': 'test' }, 'body', '/a?b=c')
    const name = 'envoy.filters.http.ext_proc'
    // Of a map Envoy says no more either; metadata it prints as a message.
    const metadata = { 'xds.route_metadata': bin === undefined ? 'CelMap value' : '' }
    expect(attributes).toEqual({
      [`request head ${name}`]: { ...SENT_ATTRIBUTES, ...metadata, 'destination.port': ports.get('attributes') },
      [`response head ${name}`]: { ...ANSWERED_ATTRIBUTES, 'upstream.port': origin.port },
    })
    attributes = {}
    await ask('late', {}, 'body')
    expect(attributes).toEqual({
      [`request body ${name}`]: { 'request.method': 'POST', 'request.query': '', 'upstream.transport_failure_reason': '' },
    })
  })

  it('the processor changes heads, but not what is not its to change', async () => {
    const answer = await ask('heads', { 'x-do': 'heads', 'x-gone': '1', 'x-old': 'one' })
    expect(answer.body).toBe('GET /other?x=1 [x-new=one x-old=two] ')
    expect([answer.headers.get('x-back'), answer.headers.get('x-origin')]).toEqual(['yes', undefined])
    expect(await proxy.stat('http.heads.ext_proc.rejected_header_mutations')).toBeGreaterThan(0)
  })

  it('answers at once where the processor says so', async () => {
    const answer = await ask('heads', { 'x-do': 'deny' })
    expect([answer.status, answer.body, answer.headers.get('x-why')]).toEqual([403, 'not you', 'rule 7'])
    const late = await ask('heads', { 'x-do': 'deny-response' })
    expect([late.status, late.body]).toEqual([502, 'bad answer'])
  })

  it('a whole body is changed, and the heads with it', async () => {
    const answer = await ask('buffered', { 'x-do': 'bodies' }, 'hello')
    expect(seen).toEqual(['request head', 'request body hello end', 'response head', expect.stringContaining('response body POST /a')])
    expect(answer.body).toBe('POST /A [X-BODY=SEEN CONTENT-LENGTH=5] HELLO')
    expect(answer.headers.get('x-body')).toBe('seen')
  })

  // Envoy wants the processor to change content-length itself, and answers 500 where it did not.
  it('a body may be replaced by one of another length', async () => {
    const answer = await ask('buffered', { 'x-do': 'clear' }, 'hello')
    if (bin === undefined) expect([answer.status, answer.body]).toEqual([200, expect.stringMatching(/^POST \/a \[.*\] $/)])
    else expect(answer.status).toBe(500)
  })

  it('a streamed body is changed piece by piece', async () => {
    const answer = await ask('streamed', { 'x-do': 'bodies' }, 'hello')
    expect(answer.body).toContain('HELLO')
    expect(seen.filter(line => line.startsWith('request body')).join('|')).toMatch(/^request body hello( end|\|request body {2}end)$/)
  })

  it('a body that fits goes whole where a part of it would do', async () => {
    expect((await ask('partial', { 'x-do': 'bodies' }, 'hello')).body).toContain('HELLO')
    expect(seen).toEqual(['request head', 'request body hello end'])
  })

  it('the request head may be skipped', async () => {
    seen = []
    expect((await ask('skip', {})).status).toBe(200)
    expect(seen).toEqual(['response head'])
  })

  it('a processor that ends its stream lets everything go on', async () => {
    expect((await ask('heads', { 'x-do': 'leave' })).status).toBe(200)
  })

  it.each([
    ['silent', 'hasty', 504],
    ['fail', 'heads', 500],
    ['confuse', 'heads', 500],
  ] as const)('a processor that is %s costs the request, unless failures are allowed', async (todo, mode, status) => {
    expect((await ask(mode, { 'x-do': todo })).status).toBe(status)
    expect((await ask('open', { 'x-do': todo })).body).toContain('GET /a')
  })

  it('an answer changes which parts follow, where it may', async () => {
    await ask('modes', { 'x-do': 'whole' }, 'hello')
    expect(seen).toEqual(['request head', 'request body hello end'])
    await ask('heads', { 'x-do': 'whole' }, 'hello')
    expect(seen).toEqual(['request head', 'response head'])
  })

  it('a route may do without it, or in another mode', async () => {
    seen = []
    expect((await ask('heads', {}, undefined, '/off')).status).toBe(200)
    expect(seen).toEqual([])
    await ask('heads', {}, 'hello', '/whole')
    expect(seen).toEqual(['request head', 'request body hello end', 'response head'])
  })

  it('trailers follow the streamed body', async () => {
    const client = await Http1Client.connect(ports.get('trailers')!)
    const head = 'POST /a HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n'
    const answer = await client.send(`${head}5\r\nhello\r\n0\r\nx-trailer: 1\r\n\r\n`)
    client.destroy()
    expect([answer.status, seen[0], seen[1], seen.at(-2), seen.at(-1)]).toEqual([
      200,
      'request head',
      'request body hello',
      'request trailers',
      'response head',
    ])
  })

  it('of a long response the first part goes to the processor, and the rest follows unseen', async () => {
    const { body } = await ask('rest', { 'x-do': 'bodies' }, undefined, '/long')
    const changed = /^X*/.exec(body)![0].length
    expect([body.length, changed > 0, /^X+x*$/.test(body)]).toEqual([LONG_BODY, true, true])
    // Envoy's buffer of a response may take all of it, whatever the listener's limit.
    if (bin === undefined) expect(changed).toBeLessThan(LONG_BODY)
    expect(seen.filter(line => line.startsWith('response body'))).toHaveLength(1)
  })

  it('a change that the rules forbid costs the request where they say so', async () => {
    expect((await ask('strict', { 'x-do': 'heads' })).status).toBe(500)
  })

  it('an immediate response that is not allowed is a failure', async () => {
    expect((await ask('quiet', { 'x-do': 'deny' })).status).toBe(500)
  })

  it('counts its streams and timeouts', async () => {
    expect(await proxy.stat('http.heads.ext_proc.streams_started')).toBeGreaterThan(5)
    expect(await proxy.stat('http.hasty.ext_proc.message_timeouts')).toBe(1)
    expect(await proxy.stat('http.open.ext_proc.failure_mode_allowed')).toBeGreaterThan(0)
  })
})
