// The filters that work on bodies and headers, through the real proxy: buffer, compressor, header mutation; the filter's own config and
// what a route overrides.
import { brotliDecompressSync, gunzipSync, gzipSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { Front, Lettered, perFilter, to } from '../support/front-proxy.js'
import { Http1Client } from '../support/http1-client.js'
import { http } from '../support/origins.js'
import { staticCluster, stopAll, typed } from '../support/proxy-process.js'

const apps = new Lettered(1)
const app = apps.origins[0]!
let front: Front

const mutation = (mutations: object): object => perFilter('header_mutation', 'header_mutation.v3.HeaderMutationPerRoute', { mutations })
const append = (key: string, value: string, append_action = 'APPEND_IF_EXISTS_OR_ADD'): object => ({
  append: { header: { key, value }, append_action },
})
const compressor = (name: string, type: string): object =>
  typed(`envoy.filters.http.compressor.${name}`, 'filters.http.compressor.v3.Compressor', {
    response_direction_config: { common_config: { min_content_length: 100 }, disable_on_etag_header: true },
    compressor_library: typed(name, type),
  })

/** Switches on, for a route, a filter that is off by default. */
const enabled = { '@type': 'type.googleapis.com/envoy.config.route.v3.FilterConfig', config: {} }

const routes = [
  ...(
    [
      ['/buffer/small', perFilter('buffer', 'buffer.v3.BufferPerRoute', { buffer: { max_request_bytes: 10 } })],
      ['/buffer/off', perFilter('buffer', 'buffer.v3.BufferPerRoute', { disabled: true })],
      ['/plain', perFilter('compressor.gzip', 'compressor.v3.CompressorPerRoute', { disabled: true })],
      [
        '/mutate',
        mutation({
          request_mutations: [
            { remove: 'x-gone' },
            append('x-new', '%REQ(:METHOD)%'),
            append('x-over', 'w', 'OVERWRITE_IF_EXISTS_OR_ADD'),
            append('x-if', 'w', 'OVERWRITE_IF_EXISTS'),
            append('x-absent', 'w', 'ADD_IF_ABSENT'),
          ],
          response_mutations: [{ remove: 'x-origin' }, append('x-code', '%RESPONSE_CODE%')],
        }),
      ],
    ] as const
  ).map(([prefix, overrides]) => to(prefix, 'app', {}, { typed_per_filter_config: overrides })),
  to('/decompress', 'app', {}, { typed_per_filter_config: { decompressor: enabled } }),
  to('/', 'app'),
]

beforeAll(async () => {
  await apps.listen()
  front = await Front.start({
    routes,
    clusters: [staticCluster('app', app.port)],
    filters: [
      typed('envoy.filters.http.buffer', 'filters.http.buffer.v3.Buffer', { max_request_bytes: 5000 }),
      compressor('gzip', 'compression.gzip.compressor.v3.Gzip'),
      compressor('brotli', 'compression.brotli.compressor.v3.Brotli'),
      {
        ...typed('decompressor', 'filters.http.decompressor.v3.Decompressor', {
          decompressor_library: typed('gzip', 'compression.gzip.decompressor.v3.Gzip', { max_inflate_ratio: 50 }),
        }),
        disabled: true,
      },
      typed('envoy.filters.http.header_mutation', 'filters.http.header_mutation.v3.HeaderMutation', {
        mutations: { request_mutations: [append('x-filter', 'chain')] },
      }),
    ],
  })
})

afterAll(async () => {
  await stopAll()
  await apps.close()
})

beforeEach(() => apps.reset())

describe('buffer', () => {
  it.each([
    ['/buffer/small', 10, 200],
    ['/buffer/small', 11, 413],
    ['/x', 5000, 200],
    ['/x', 5001, 413],
    ['/buffer/off', 6000, 200],
  ])('%s with %i bytes: %i', async (path, length, status) => {
    expect(await front.status(path, { method: 'POST', body: 'x'.repeat(length) })).toBe(status)
    expect(app.requests.map(request => request.body.length)).toEqual(status === 200 ? [length] : [])
  })
})

describe('decompressor', () => {
  const text = 'all work and no play '.repeat(20)
  const post = async (body: Buffer): Promise<string> => {
    const client = await Http1Client.connect(front.port)
    try {
      const head = `POST /decompress HTTP/1.1\r\nhost: t\r\ncontent-encoding: gzip\r\ncontent-length: ${body.length}\r\n\r\n`
      const answer = client.send(head)
      client.socket.write(body.subarray(0, 15))
      client.socket.write(body.subarray(15))
      return `${(await answer).status}`
    } finally {
      client.destroy()
    }
  }

  it('a request reaches the application decoded, with the lengths in its trailers', async () => {
    expect(await post(gzipSync(text))).toBe('200')
    const request = app.requests.at(-1)!
    expect([request.body.toString(), request.headers.get('content-encoding')]).toEqual([text, undefined])
    expect(request.headers.get('accept-encoding')).toBe('gzip')
  })

  it('a request that swells too much is 413, a broken one 400', async () => {
    expect(await post(gzipSync(Buffer.alloc(100_000)))).toBe('413')
    expect(await post(Buffer.from('no gzip, whatever it says'))).toBe('400')
  })

  const answered = (body: Buffer): void => {
    app.respond = (_, socket) => {
      socket.write(`HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: ${body.length}\r\n\r\n`)
      socket.write(body)
    }
  }

  it('a response comes decoded', async () => {
    answered(gzipSync(text))
    const answer = await front.ask('/decompress')
    expect([answer.status, answer.body, answer.headers.get('content-encoding')]).toEqual([200, text, undefined])
  })

  it('a response that swells too much breaks off', async () => {
    answered(gzipSync(Buffer.alloc(1_000_000)))
    await expect(front.ask('/decompress')).rejects.toThrow()
  })
})

describe('compressor', () => {
  const text = 'all work and no play '.repeat(100)
  const raw = async (path: string, headers: Record<string, string>): Promise<{ coding: string; body: string; vary: string | null }> => {
    const response = await new Promise<{ head: string; body: Buffer }>((resolve, reject) => {
      void Http1Client.connect(front.port).then(client => {
        const chunks: Buffer[] = []
        client.socket.on('data', chunk => chunks.push(chunk))
        client.socket.on('close', () => {
          const all = Buffer.concat(chunks)
          const end = all.indexOf('\r\n\r\n')
          resolve({ head: all.toString('latin1', 0, end), body: all.subarray(end + 4) })
        })
        const lines = Object.entries({ host: 'test', connection: 'close', ...headers }).map(([name, value]) => `${name}: ${value}\r\n`)
        client.socket.write(`GET ${path} HTTP/1.1\r\n${lines.join('')}\r\n`)
      }, reject)
    })
    const field = (name: string): string | null => new RegExp(`^${name}: (.*)$`, 'im').exec(response.head)?.[1] ?? null
    const coding = field('content-encoding') ?? 'identity'
    const body = field('transfer-encoding') === 'chunked' ? dechunk(response.body) : response.body
    const plain = coding === 'gzip' ? gunzipSync(body) : coding === 'br' ? brotliDecompressSync(body) : body
    return { coding, body: plain.toString(), vary: field('vary') }
  }

  it.each([
    ['/x', 'gzip', 'gzip'],
    ['/x', 'br', 'br'],
    ['/x', 'gzip;q=0.2, br;q=0.9', 'br'],
    ['/x', 'gzip;q=0', 'identity'],
    ['/x', 'deflate', 'identity'],
    ['/plain', 'gzip', 'identity'],
  ])('%s accept-encoding %s: %s', async (path, accept, coding) => {
    app.respond = (_, socket) => void socket.write(http(text, '200 OK', { 'content-type': 'text/plain' }))
    const answer = await raw(path, { 'accept-encoding': accept })
    expect([answer.coding, answer.body]).toEqual([coding, text])
    if (coding !== 'identity') expect(answer.vary).toMatch(/accept-encoding/i)
  })

  it.each([
    ['a short body', { 'content-type': 'text/plain' }, 'short'],
    ['another type', { 'content-type': 'image/png' }, text],
    ['what is encoded already', { 'content-type': 'text/plain', 'content-encoding': 'zstd' }, text],
    ['no-transform', { 'content-type': 'text/plain', 'cache-control': 'no-transform' }, text],
    ['a body with an etag, where that is said', { 'content-type': 'text/plain', etag: '"1"' }, text],
  ])('leaves %s alone', async (_what, headers: Readonly<Record<string, string>>, body) => {
    app.respond = (_, socket) => void socket.write(http(body, '200 OK', headers))
    const answer = await raw('/x', { 'accept-encoding': 'gzip' })
    expect([answer.coding, answer.body]).toEqual([headers['content-encoding'] ?? 'identity', body])
  })
})

function dechunk(bytes: Buffer): Buffer {
  const parts: Buffer[] = []
  for (let at = 0; ; ) {
    const line = bytes.indexOf('\r\n', at)
    const size = Number.parseInt(bytes.toString('latin1', at, line), 16)
    if (!(size > 0)) return Buffer.concat(parts)
    parts.push(bytes.subarray(line + 2, line + 2 + size))
    at = line + 2 + size + 2
  }
}

it('header mutation: the route’s, with the filter’s own', async () => {
  app.respond = (_, socket) => void socket.write(http('ok', '201 Made', { 'x-origin': 'yes' }))
  const answer = await front.ask('/mutate', { headers: { 'x-gone': '1', 'x-over': 'o', 'x-absent': 'o' } })
  const { headers } = app.requests[0]!
  expect(['x-gone', 'x-new', 'x-over', 'x-if', 'x-absent', 'x-filter'].map(name => headers.get(name) ?? null)).toEqual([
    null,
    'GET',
    'w',
    null,
    'o',
    'chain',
  ])
  expect([answer.headers.get('x-origin') ?? null, answer.headers.get('x-code')]).toEqual([null, '201'])
})
