import zlib from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { HeaderList } from '../../../../src/l7/codec/header-list.js'
import { chooseEncoding } from '../../../../src/l7/filters/compressor/accept-encoding.js'
import { GzipEncoder } from '../../../../src/l7/filters/compressor/content-encoder.js'
import type { CompressorConfig } from '../../../../src/model/http-filter.js'
import { FakeCall, FakeEnvironment, OFF, ON, requestHead, responseHead, runHead } from '../fake-call.js'

const GZIP = { kind: 'gzip' as const, level: 6, windowBits: 12, memLevel: 5, strategy: 0, chunkBytes: 4096 }
const BROTLI = {
  kind: 'brotli' as const,
  quality: 3,
  windowBits: 18,
  mode: 0,
  inputBlockBits: 0,
  literalContextModeling: true,
  chunkBytes: 4096,
}

const TEXTS = { enabled: ON, minContentLength: 30, contentTypes: ['text/plain', 'application/json'], contentTypeMatchers: [] }

function filter(fields: Partial<CompressorConfig> = {}) {
  return {
    kind: 'compressor',
    config: {
      library: GZIP,
      request: null,
      response: TEXTS,
      disableOnEtagHeader: false,
      weakenEtag: false,
      removeAcceptEncodingHeader: false,
      statusHeader: false,
      chooseFirst: false,
      uncompressibleResponseCodes: [],
      statPrefix: 'text',
      responseDirection: true,
      ...fields,
    },
  }
}

const run = (
  headers: Record<string, string>,
  request: Record<string, string> = { 'accept-encoding': 'gzip' },
  fields: Partial<CompressorConfig> = {},
  status = 200,
) => {
  const world = new FakeEnvironment()
  const call = new FakeCall(requestHead({}, request))
  const made = runHead(world.factory(filter(fields)), call).filter!
  const head = responseHead(status, headers)
  made.responseHead!(call, head, false, false)
  return { world, call, made, head, encoding: head.headers.get('content-encoding') }
}

const TEXT = { 'content-type': 'text/plain; charset=utf-8', 'content-length': '1000' }

describe('compressor filter', () => {
  it('compresses what the client accepts, chunk by chunk, and drops length and strong etag', () => {
    const { made, call, head, world } = run({ ...TEXT, etag: '"abc"' })
    expect(head.headers.get('content-encoding')).toBe('gzip')
    expect([head.headers.has('content-length'), head.contentLength, head.headers.has('etag'), head.headers.get('vary')]).toEqual([
      false,
      -1,
      false,
      'Accept-Encoding',
    ])
    const first = made.responseData!(call, Buffer.from('hello '.repeat(100)), false)!
    expect(zlib.gunzipSync(first, { finishFlush: zlib.constants.Z_SYNC_FLUSH }).toString()).toBe('hello '.repeat(100))
    const last = made.responseData!(call, Buffer.from('world'), true)!
    expect(zlib.gunzipSync(Buffer.concat([first, last])).toString()).toBe(`${'hello '.repeat(100)}world`)
    expect(world.counter('http.in.compressor.text.gzip.response.compressed')).toBe(1)
    expect(world.counter('http.in.compressor.text.gzip.response.total_uncompressed_bytes')).toBe(605)
  })

  it('keeps a weak etag, and ends before trailers', () => {
    const { made, call, head } = run({ ...TEXT, etag: 'W/"abc"' })
    expect(head.headers.get('etag')).toBe('W/"abc"')
    const first = made.responseData!(call, Buffer.from('x'), false)!
    const trailers = HeaderList.of(['t', '1'])
    expect(made.responseTrailers!(call, trailers)).toBe(trailers)
    expect(zlib.gunzipSync(Buffer.concat([first, ...call.emitted.map(part => part.chunk)])).toString()).toBe('x')
  })

  it.each<[string, Record<string, string>, Partial<CompressorConfig>, number]>([
    ['too short', { ...TEXT, 'content-length': '29' }, {}, 200],
    ['of another type', { ...TEXT, 'content-type': 'image/png' }, {}, 200],
    ['already encoded', { ...TEXT, 'content-encoding': 'br' }, {}, 200],
    ['marked no-transform', { ...TEXT, 'cache-control': 'private, No-Transform' }, {}, 200],
    ['a part of a range', { ...TEXT, 'content-range': 'bytes 0-9/10' }, {}, 206],
    ['tagged, where tags forbid it', { ...TEXT, etag: '"a"' }, { disableOnEtagHeader: true }, 200],
    ['of a status without body', TEXT, {}, 304],
  ])('leaves an answer alone that is %s', (_what, headers, fields, status) => {
    const { head, made, call } = run(headers, undefined, fields, status)
    expect(head.headers.get('content-encoding')).toBe(headers['content-encoding'])
    expect(head.headers.get('content-length')).toBe(headers['content-length'])
    const chunk = Buffer.from('x')
    expect(made.responseData!(call, chunk, true)).toBe(chunk)
  })

  it('says Vary also to a client that got it plain', () => {
    const { head, encoding } = run({ ...TEXT, vary: 'Origin' }, {})
    expect(encoding).toBeUndefined()
    expect(head.headers.get('vary')).toBe('Origin, Accept-Encoding')
  })

  it('reads codings in any case, x-gzip for gzip, and no weight beyond 1; leaves Vary: * and takes Accept-Ranges off', () => {
    const asked = (accept: string) => run(TEXT, { 'accept-encoding': accept }).encoding
    expect(['GZIP', 'x-gzip', 'gzip;q=2'].map(asked)).toEqual(['gzip', 'gzip', undefined])
    const { head } = run({ ...TEXT, vary: '*', 'accept-ranges': 'bytes' })
    expect([head.headers.get('vary'), head.headers.has('accept-ranges')]).toEqual(['*', false])
  })

  it('one of two compressors acts, whichever the client prefers', () => {
    const world = new FakeEnvironment()
    const factories = world.factories([filter({ removeAcceptEncodingHeader: true }), filter({ library: BROTLI })])
    const encodingFor = (accept: string) => {
      const call = new FakeCall(requestHead({}, { 'accept-encoding': accept }))
      const made = factories.map(factory => runHead(factory, call).filter!)
      const head = responseHead(200, TEXT)
      for (const one of made.reverse()) one.responseHead!(call, head, false, false)
      for (const one of made) one.finished?.(call)
      return head.headers.getAll('content-encoding')
    }
    expect(encodingFor('gzip, br')).toEqual(['gzip'])
    expect(encodingFor('gzip;q=0.5, br')).toEqual(['br'])
    expect(encodingFor('identity')).toEqual([])
  })

  it('brotli comes out whole and in order, before the trailers', async () => {
    const { made, call } = run(TEXT, { 'accept-encoding': 'br' }, { library: BROTLI })
    expect(made.responseData!(call, Buffer.from('hello '), false)).toBeNull()
    expect(made.responseData!(call, Buffer.from('world'), false)).toBeNull()
    const trailers = HeaderList.of(['t', '1'])
    expect(made.responseTrailers!(call, trailers)).toBeNull()
    while (call.emittedTrailers === null) await new Promise(resolve => setImmediate(resolve))
    expect(call.emittedTrailers).toBe(trailers)
    expect(zlib.brotliDecompressSync(Buffer.concat(call.emitted.map(part => part.chunk))).toString()).toBe('hello world')
  })

  it('requests stay as they are unless their direction is configured', () => {
    const post = { 'content-type': 'text/plain', 'content-length': '100' }
    const sent = (request: CompressorConfig['request'], more: Record<string, string> = {}) => {
      const call = new FakeCall(requestHead({ method: 'POST', contentLength: 100 }, { ...post, ...more }))
      const made = runHead(new FakeEnvironment().factory(filter({ request })), call, false).filter!
      const out = made.requestData!(call, Buffer.from('x'.repeat(100)), true)!
      return [call.request.headers.get('content-encoding'), call.request.headers.get('content-length'), out.length === 100]
    }
    expect(sent(null)).toEqual([undefined, '100', true])
    expect(sent({ ...TEXTS, enabled: OFF })).toEqual([undefined, '100', true])
    expect(sent(TEXTS)).toEqual(['gzip', undefined, false])
    expect(sent(TEXTS, { 'content-type': 'image/png' })).toEqual([undefined, '100', true])
    expect(sent(TEXTS, { 'content-encoding': 'br' })).toEqual(['br', '100', true])
    expect(sent({ ...TEXTS, minContentLength: 101 })).toEqual([undefined, '100', true])
  })

  it('says in a header what it did and why not', () => {
    const status = (headers: Record<string, string>, accept = 'gzip', code = 200) =>
      run(
        headers,
        { 'accept-encoding': accept },
        { statusHeader: true, disableOnEtagHeader: true, uncompressibleResponseCodes: [206] },
        code,
      ).head.headers.get('x-envoy-compression-status')
    expect(status(TEXT)).toBe('gzip;Compressed;OriginalLength=1000')
    expect(status({ 'content-type': 'text/plain' })).toBe('gzip;Compressed;OriginalLength=')
    expect(status({ ...TEXT, 'content-length': '5' })).toBe('gzip;ContentLengthTooSmall')
    expect(status({ ...TEXT, 'content-type': 'image/png' })).toBe('gzip;ContentTypeNotAllowed')
    expect(status({ ...TEXT, etag: '"a"' })).toBe('gzip;EtagNotAllowed')
    expect(status(TEXT, 'gzip', 206)).toBe('gzip;StatusCodeNotAllowed')
    expect([status(TEXT, 'br'), status({ ...TEXT, 'content-encoding': 'br' })]).toEqual([undefined, undefined])
  })

  it('a strong validator may be made weak in place of being dropped', () => {
    const etag = (value: string) => run({ ...TEXT, etag: value }, undefined, { weakenEtag: true }).head.headers.get('etag')
    expect([etag('"a"'), etag('W/"b"')]).toEqual(['W/"a"', 'W/"b"'])
  })

  it('a matcher of content types stands beside the list, and alone without one', () => {
    const matchers = [{ kind: 'suffix', value: '+json', ignoreCase: false }] as const
    const types = (contentTypes: string[]) => {
      const response = { ...TEXTS, contentTypes, contentTypeMatchers: matchers }
      return ['text/plain', 'application/x+json; charset=utf-8'].map(
        type => run({ ...TEXT, 'content-type': type }, undefined, { response }).encoding,
      )
    }
    expect(types(['text/plain'])).toEqual(['gzip', 'gzip'])
    expect(types([])).toEqual([undefined, 'gzip'])
  })

  it('a route may keep Accept-Encoding, or take it off', () => {
    const kept = (own: boolean, route: boolean | null) => {
      const override = { disabled: false, kind: 'compressor' as const, compressesResponses: false, removeAcceptEncodingHeader: route }
      const call = new FakeCall(requestHead({}, { 'accept-encoding': 'gzip' }), undefined, { overrides: { f: override } })
      runHead(new FakeEnvironment().factory(filter({ removeAcceptEncodingHeader: own })), call)
      return call.request.headers.has('accept-encoding')
    }
    expect([kept(true, null), kept(true, false), kept(false, true)]).toEqual([false, true, false])
  })

  it('the runtime switches each direction, unless a route has switched answers on', () => {
    const world = new FakeEnvironment()
    const direction = { ...TEXTS, enabled: { defaultValue: true, runtimeKey: 'gzip.on' } }
    const factory = world.factory(filter({ request: direction, response: direction, removeAcceptEncodingHeader: true }))
    const exchange = (compressesResponses: boolean) => {
      const override = { disabled: false, kind: 'compressor' as const, compressesResponses, removeAcceptEncodingHeader: null }
      const request = requestHead({ method: 'POST' }, { ...TEXT, 'accept-encoding': 'gzip' })
      const call = new FakeCall(request, undefined, { overrides: { f: override } })
      const made = runHead(factory, call, false).filter!
      const head = responseHead(200, TEXT)
      made.responseHead!(call, head, false, false)
      return [request.headers.get('content-encoding'), request.headers.get('accept-encoding'), head.headers.get('content-encoding')]
    }
    expect(exchange(false)).toEqual(['gzip', undefined, 'gzip'])
    world.runtime.set('gzip.on', false)
    expect(exchange(false)).toEqual([undefined, 'gzip', undefined])
    expect(exchange(true)).toEqual([undefined, undefined, 'gzip'])
    world.runtime.set('gzip.on', 0)
    expect(exchange(false)).toEqual(['gzip', undefined, 'gzip'])
  })
})

describe('GzipEncoder', () => {
  it('any split of any bytes decompresses to them', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 3000 }), { maxLength: 12 }),
        fc.integer({ min: 8, max: 15 }),
        (chunks, windowBits) => {
          const encoder = new GzipEncoder({ ...GZIP, windowBits })
          const out = chunks.map(chunk => encoder.encode(Buffer.from(chunk), false))
          out.push(encoder.encode(Buffer.alloc(0), true))
          expect(zlib.gunzipSync(Buffer.concat(out)).equals(Buffer.concat(chunks))).toBe(true)
        },
      ),
      { seed: 3, numRuns: 60 },
    )
  })

  it('refers back to earlier chunks', () => {
    const encoder = new GzipEncoder({ ...GZIP, windowBits: 15, memLevel: 8 })
    const noise = Buffer.from(Array.from({ length: 4000 }, (_unused, i) => (i * i * 31 + i * 7) % 251))
    encoder.encode(noise, false)
    expect(encoder.encode(noise, false).length).toBeLessThan(noise.length / 10)
  })
})

describe('chooseEncoding', () => {
  it.each([
    ['gzip', 'gzip'],
    ['x-gzip', 'gzip'],
    ['br;q=0.1, gzip;q=0.2', 'gzip'],
    ['*', 'gzip'],
    ['*;q=0', 'invalid'],
    ['gzip;q=0, *', 'br'],
    ['deflate', 'invalid'],
    ['deflate, identity', 'identity'],
    ['identity, gzip;q=0.5', 'identity'],
    ['GZIP ; Q=1.0', 'gzip'],
    ['gzip;q=two', 'invalid'],
    ['', 'invalid'],
  ])('%s', (header, expected) => {
    const choice = chooseEncoding(header, ['gzip', 'br'], false)
    expect(choice.kind === 'encoding' ? choice.encoding : choice.kind).toBe(expected)
  })
})
