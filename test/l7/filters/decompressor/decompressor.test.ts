import zlib from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { HeaderList } from '../../../../src/l7/codec/header-list.js'
import type { DecompressorConfig } from '../../../../src/model/http-filter.js'
import { FakeEnvironment, ON as IS_ON, OFF, requestHead, responseHead } from '../fake-call.js'
import { FakeChainHost } from '../fake-chain-host.js'

const GZIP = { kind: 'gzip' as const, windowBits: 15, chunkBytes: 4096, maxInflateRatio: 100 }
const ON = { enabled: IS_ON, ignoreNoTransform: false }
const TEXT = 'hello '.repeat(50)

const start = (headers: Record<string, string>, fields: Partial<DecompressorConfig> = {}) => {
  const world = new FakeEnvironment()
  const config = { library: GZIP, request: ON, response: ON, advertise: true, statPrefix: 'small', ...fields }
  const request = requestHead({ method: 'POST', contentLength: 30 }, { 'content-length': '30', ...headers })
  const host = new FakeChainHost(request, false, world.factories([{ kind: 'decompressor', config }]))
  host.chain.run()
  const stat = (name: string) => world.counter(`http.in.decompressor.small.${fields.library?.kind ?? 'gzip'}.${name}`)
  return { host, request, stat }
}
const send = (host: FakeChainHost, bytes: Buffer, end: boolean) => {
  if (end) host.body.ended = true
  host.chain.requestData(bytes, end)
}
const turnsUntil = async (done: () => boolean) => {
  while (!done()) await new Promise(resolve => setImmediate(resolve))
}
const upstream = (host: FakeChainHost) =>
  host.seen
    .filter(line => line.startsWith('up ') && line !== 'up trailers')
    .map(line => line.slice(3))
    .join('')

describe('requests', () => {
  it.each([
    ['gzip', GZIP, zlib.gzipSync],
    ['br', { kind: 'brotli' as const, chunkBytes: 4096 }, zlib.brotliCompressSync],
  ] as const)('in %s are decoded as they stream, ended by trailers with both lengths', async (coding, library, encode) => {
    const body = encode(Buffer.from(TEXT))
    const { host, request, stat } = start({ 'content-encoding': coding }, { library })
    expect([request.headers.has('content-encoding'), request.headers.has('content-length'), request.contentLength]).toEqual([
      false,
      false,
      -1,
    ])
    send(host, body.subarray(0, 10), false)
    send(host, body.subarray(10), true)
    await turnsUntil(() => host.seen.at(-1) === 'up trailers')
    expect(upstream(host)).toBe(TEXT)
    const { trailers } = host.body
    expect(['compressed', 'uncompressed'].map(kind => trailers?.get(`x-envoy-decompressor-small-${kind}-bytes`))).toEqual([
      String(body.length),
      '300',
    ])
    expect([stat('request.decompressed'), stat('request.total_compressed_bytes'), stat('request.total_uncompressed_bytes')]).toEqual([
      1,
      body.length,
      300,
    ])
  })

  it('keep their own trailers, after the last byte', async () => {
    const { host } = start({ 'content-encoding': 'gzip' })
    send(host, zlib.gzipSync(TEXT), false)
    host.trailers()
    await turnsUntil(() => host.seen.at(-1) === 'up trailers')
    expect([upstream(host), host.body.trailers?.get('x-t')]).toEqual([TEXT, '1'])
  })

  it('of several codings lose the outer one', async () => {
    const { host, request } = start({ 'content-encoding': 'br, GZIP' })
    expect(request.headers.get('content-encoding')).toBe('br')
    send(host, zlib.gzipSync(TEXT), true)
    await turnsUntil(() => host.seen.at(-1) === 'up trailers')
    expect(upstream(host)).toBe(TEXT)
  })

  it.each([
    ['another coding', { 'content-encoding': 'br' }, {}],
    ['another outer coding', { 'content-encoding': 'gzip, br' }, {}],
    ['no-transform', { 'content-encoding': 'gzip', 'cache-control': 'max-age=1, no-transform' }, {}],
    ['a direction that is off', { 'content-encoding': 'gzip' }, { request: { ...ON, enabled: OFF } }],
  ] as const)('with %s pass as they are', (_what, headers, fields) => {
    const { host, request, stat } = start(headers, fields)
    expect([request.headers.get('content-encoding'), request.headers.get('content-length')]).toEqual([headers['content-encoding'], '30'])
    host.data('abc', true)
    expect([host.seen, stat('request.not_decompressed')]).toEqual([['passed', 'up abc'], 1])
  })

  it('with no-transform are decoded where that is to be ignored', () => {
    const { request } = start(
      { 'content-encoding': 'gzip', 'cache-control': 'no-transform' },
      { request: { ...ON, ignoreNoTransform: true } },
    )
    expect(request.headers.has('content-encoding')).toBe(false)
  })

  it('ask for compressed answers where those are decoded', () => {
    const accepted = (headers: Record<string, string>, fields: Partial<DecompressorConfig> = {}) =>
      start(headers, fields).request.headers.get('accept-encoding')
    expect([accepted({}), accepted({ 'accept-encoding': 'deflate' })]).toEqual(['gzip', 'deflate,gzip'])
    expect([accepted({}, { advertise: false }), accepted({}, { response: { ...ON, enabled: OFF } })]).toEqual([undefined, undefined])
  })

  it.each([
    ['garbage', Buffer.from('no gzip at all'), 'zlib_data_error', 'head 400'],
    ['one cut short', zlib.gzipSync(TEXT).subarray(0, 20), 'zlib_buf_error', 'head 400'],
    ['a decompression bomb', zlib.gzipSync(Buffer.alloc(1_000_000)), 'zlib_data_error', 'head 413'],
  ])('%s is refused, never passed on as if it were whole', async (_what, body, counter, answer) => {
    const { host, stat } = start({ 'content-encoding': 'gzip' })
    send(host, body, true)
    await turnsUntil(() => host.ended)
    expect(host.seen).toContain(answer)
    expect([host.seen.includes('up trailers'), stat(`decompressor_library.${counter}`)]).toEqual([false, 1])
    expect(upstream(host).length).toBeLessThanOrEqual(100 * body.length)
  })

  it('a bomb of Brotli is refused by the same ratio', async () => {
    const { host, stat } = start({ 'content-encoding': 'br' }, { library: { kind: 'brotli', chunkBytes: 4096 } })
    send(host, zlib.brotliCompressSync(Buffer.alloc(1_000_000)), true)
    await turnsUntil(() => host.ended)
    expect([host.seen.includes('head 413'), stat('decompressor_library.brotli_output_overflow')]).toEqual([true, 1])
  })

  it('that end early leave nothing behind', async () => {
    const { host } = start({ 'content-encoding': 'gzip' })
    send(host, zlib.gzipSync(TEXT).subarray(0, 12), false)
    host.end()
    const { length } = host.seen
    await new Promise(resolve => setImmediate(resolve))
    expect(host.seen.length).toBe(length)
  })
})

describe('responses', () => {
  const answer = (headers: Record<string, string>, fields: Partial<DecompressorConfig> = {}) => {
    const made = start({}, fields)
    const head = responseHead(200, headers)
    made.host.chain.startResponse(head, false)
    return { ...made, head }
  }

  it('are decoded, their head made true', async () => {
    const { host, head, stat } = answer({ 'content-encoding': 'gzip', 'content-length': '30' })
    host.chain.responseData(zlib.gzipSync(TEXT), true)
    await turnsUntil(() => host.ended)
    expect([head.headers.has('content-encoding'), head.headers.has('content-length'), head.contentLength]).toEqual([false, false, -1])
    expect(host.seen.filter(line => line.startsWith('data')).join('')).toBe(`data ${TEXT}`)
    expect([host.seen.at(-1), stat('response.decompressed')]).toEqual(['trailers end', 1])
  })

  it('of a head alone keep it', () => {
    const { host } = start({})
    const head = responseHead(200, { 'content-encoding': 'gzip', 'content-length': '30' })
    host.chain.startResponse(head, true)
    expect([head.headers.get('content-encoding'), head.headers.get('content-length')]).toEqual(['gzip', '30'])
  })

  it('keep their trailers', async () => {
    const { host } = answer({ 'content-encoding': 'gzip' })
    host.chain.responseData(zlib.gzipSync(TEXT), false)
    host.chain.responseTrailers(HeaderList.of(['grpc-status', '0']))
    await turnsUntil(() => host.ended)
    expect(host.seen.at(-1)).toBe('trailers end')
  })
})
