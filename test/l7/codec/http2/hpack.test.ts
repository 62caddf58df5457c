import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { HpackDecoder } from '../../../../src/l7/codec/http2/hpack-decoder.js'
import { HpackEncoder } from '../../../../src/l7/codec/http2/hpack-encoder.js'
import { decodeHuffman, HUFFMAN_CODES, HUFFMAN_LENGTHS } from '../../../../src/l7/codec/http2/huffman.js'
import { type Fields, huffmanText, integer, text } from '../../../support/http2-frames.js'

function hex(bytes: string): Buffer {
  return Buffer.from(bytes.replace(/\s+/g, ''), 'hex')
}

function decode(decoder: HpackDecoder, bytes: Buffer): Fields | null {
  if (!decoder.decode(bytes, 0, bytes.length)) return null
  const { names, values, count } = decoder.block
  return names.slice(0, count).map((name, i) => [name.name, values[i]!] as const)
}

function newDecoder(limit = 4096): HpackDecoder {
  const decoder = new HpackDecoder(1000, 1 << 20)
  decoder.setLimit(limit)
  return decoder
}

function encode(encoder: HpackEncoder, fields: Fields): Buffer {
  const buffer = Buffer.alloc(1 << 17)
  let pos = encoder.begin(buffer, 0)
  for (const [name, value] of fields) pos = encoder.write(buffer, pos, name, value)
  return Buffer.from(buffer.subarray(0, pos))
}

describe('RFC 7541 Appendix C', () => {
  it('C.1 integers', () => {
    expect(integer(0, 0x1f, 1337)).toEqual(hex('1f9a0a'))
    // Through the decoder: a size update of 42 after the 5-bit prefix, then a literal.
    expect(decode(newDecoder(), hex('3f 0b 82'))).toEqual([[':method', 'GET']])
  })

  it('C.2 single literals and an indexed field', () => {
    expect(decode(newDecoder(), hex('400a637573746f6d2d6b65790d637573746f6d2d686561646572'))).toEqual([['custom-key', 'custom-header']])
    expect(decode(newDecoder(), hex('040c2f73616d706c652f70617468'))).toEqual([[':path', '/sample/path']])
    expect(decode(newDecoder(), hex('100870617373776f726406736563726574'))).toEqual([['password', 'secret']])
    expect(decode(newDecoder(), hex('82'))).toEqual([[':method', 'GET']])
  })

  const requests: Fields[] = [
    [
      [':method', 'GET'],
      [':scheme', 'http'],
      [':path', '/'],
      [':authority', 'www.example.com'],
    ],
    [
      [':method', 'GET'],
      [':scheme', 'http'],
      [':path', '/'],
      [':authority', 'www.example.com'],
      ['cache-control', 'no-cache'],
    ],
    [
      [':method', 'GET'],
      [':scheme', 'https'],
      [':path', '/index.html'],
      [':authority', 'www.example.com'],
      ['custom-key', 'custom-value'],
    ],
  ]

  it.each([
    [
      'C.3 plain',
      [
        '828684410f7777772e6578616d706c652e636f6d',
        '828684be58086e6f2d6361636865',
        '828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565',
      ],
    ],
    ['C.4 Huffman', ['828684418cf1e3c2e5f23a6ba0ab90f4ff', '828684be5886a8eb10649cbf', '828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf']],
  ])('%s: three requests on one table', (_name, blocks) => {
    const decoder = newDecoder()
    for (let i = 0; i < 3; i++) {
      expect(decode(decoder, hex(blocks[i]!))).toEqual(requests[i])
    }
  })

  it('C.3: our encoder writes the first request byte for byte', () => {
    expect(encode(new HpackEncoder(4096), requests[0]!)).toEqual(hex('828684410f7777772e6578616d706c652e636f6d'))
  })

  const date1 = 'Mon, 21 Oct 2013 20:13:21 GMT'
  const date2 = 'Mon, 21 Oct 2013 20:13:22 GMT'
  const responses: Fields[] = [
    [
      [':status', '302'],
      ['cache-control', 'private'],
      ['date', date1],
      ['location', 'https://www.example.com'],
    ],
    [
      [':status', '307'],
      ['cache-control', 'private'],
      ['date', date1],
      ['location', 'https://www.example.com'],
    ],
    [
      [':status', '200'],
      ['cache-control', 'private'],
      ['date', date2],
      ['location', 'https://www.example.com'],
      ['content-encoding', 'gzip'],
      ['set-cookie', 'foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1'],
    ],
  ]

  it.each([
    [
      'C.5 plain',
      [
        '4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d546e1768747470733a2f2f7777772e6578616d706c652e636f6d',
        '4803333037c1c0bf',
        '88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31',
      ],
    ],
    [
      'C.6 Huffman',
      [
        '488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3',
        '4883640effc1c0bf',
        '88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007',
      ],
    ],
  ])('%s: three responses on a table of 256 bytes that evicts', (_name, blocks) => {
    const decoder = newDecoder(4096)
    for (let i = 0; i < 3; i++) {
      // The examples assume a table of 256 octets, which is agreed on here by a size update.
      const bytes = i === 0 ? Buffer.concat([integer(0x20, 0x1f, 256), hex(blocks[i]!)]) : hex(blocks[i]!)
      expect(decode(decoder, bytes)).toEqual(responses[i])
    }
  })
})

describe('Huffman', () => {
  it('is a complete prefix code that ends in thirty ones', () => {
    expect(HUFFMAN_LENGTHS.reduce((sum, length) => sum + 2 ** -length, 0)).toBe(1)
    expect(HUFFMAN_CODES[256]).toBe(0x3fffffff)
  })

  it('decodes what it encodes, for every octet', () => {
    const all = Buffer.from(Array.from({ length: 256 }, (_, i) => i)).toString('latin1')
    const literal = huffmanText(all)
    const start = literal.length - Math.ceil(HUFFMAN_LENGTHS.slice(0, 256).reduce((a, b) => a + b, 0) / 8)
    const into = Buffer.alloc(2000)
    expect(into.latin1Slice(0, decodeHuffman(literal, start, literal.length, into))).toBe(all)
  })

  it.each([
    ['eight bits of padding', '1fff'],
    ['padding of zeros', '18'],
    ['the EOS symbol', 'ffffffff'],
    ['EOS after a symbol', '1fffffffff'],
  ])('refuses %s', (_name, bytes) => {
    expect(decodeHuffman(hex(bytes), 0, bytes.length / 2, Buffer.alloc(64))).toBe(-1)
  })
})

describe('decoder', () => {
  it.each([
    ['index 0', '80'],
    ['an index beyond the table', 'be'],
    ['a literal whose name index is beyond the table', '7e0161'],
    ['an index that is cut off', 'ff'],
    ['an integer of more than 28 bits', 'ff ffffffff7f'],
    ['a string longer than the block', '00 05 61'],
    ['a missing value', '00 01 61'],
    ['a missing name', '40'],
    ['a size update after a field', '82 20'],
    ['a size update above our limit', '3f e2 1f'],
  ])('refuses %s', (_name, bytes) => {
    expect(decode(newDecoder(), hex(bytes))).toBeNull()
  })

  it('takes several size updates at the start of a block', () => {
    expect(decode(newDecoder(), hex('20 3f e1 1f 82'))).toEqual([[':method', 'GET']])
  })

  it('wants a size update first once our limit was lowered', () => {
    const decoder = newDecoder()
    decoder.setLimit(100)
    expect(decode(decoder, hex('82'))).toBeNull()
    const other = newDecoder()
    other.setLimit(100)
    expect(decode(other, hex('3f 45 82'))).toEqual([[':method', 'GET']])
    expect(decode(other, hex('82'))).toEqual([[':method', 'GET']])
  })

  it('empties the table for an entry larger than it', () => {
    const decoder = newDecoder()
    expect(decode(decoder, hex('3f 29 40 01 61 01 62'))).toEqual([['a', 'b']])
    expect(decode(decoder, hex('be'))).toEqual([['a', 'b']])
    const big = Buffer.concat([Buffer.from([0x40]), text('name'), text('v'.repeat(100))])
    expect(decode(decoder, big)).toEqual([['name', 'v'.repeat(100)]])
    expect(decode(decoder, hex('be'))).toBeNull()
  })

  it('gives the same string objects for a repeated indexed field, and remembers a repeated block', () => {
    const decoder = newDecoder()
    decode(decoder, Buffer.concat([Buffer.from([0x40]), text('x-name'), text('some value')]))
    expect(decode(decoder, hex('be82'))).toEqual([
      ['x-name', 'some value'],
      [':method', 'GET'],
    ])
    expect(decoder.repeated).toBe(false)
    decode(decoder, hex('be82'))
    expect(decoder.repeated).toBe(true)
    // The same bytes mean something else once the table has changed.
    decode(decoder, Buffer.concat([Buffer.from([0x40]), text('x-other'), text('new')]))
    expect(decode(decoder, hex('be82'))![0]).toEqual(['x-other', 'new'])
  })

  it('counts and stays in step a little beyond its limits, and stops far beyond (HPACK bomb)', () => {
    const decoder = new HpackDecoder(10, 1000)
    const value = 'v'.repeat(900)
    decode(decoder, Buffer.concat([Buffer.from([0x40]), text('bomb'), text(value)]))
    const fields = decode(decoder, Buffer.concat([Buffer.alloc(15, 0xbe), Buffer.from([0x40]), text('after'), text('x')]))
    expect(fields).toHaveLength(1)
    expect(decoder.block.overflow).toBe(true)
    expect(decoder.block.total).toBe(16)
    expect(decoder.block.bytes).toBe(15 * 904 + 6)
    expect(decode(decoder, hex('be'))).toEqual([['after', 'x']])
    expect(decode(decoder, Buffer.alloc(500, 0xbf))).toBeNull()
    expect(decoder.exceeded).toBe(true)
    expect(decoder.block.total).toBeLessThan(500)
  })

  it.each(['a\0', 'a\r', 'a\n', ' a', 'a ', '\ta', 'a\t', 'a\x7f', '\x01'])('marks the value %j', value => {
    for (const encoded of [text(value), huffmanText(value)]) {
      const decoder = newDecoder()
      decode(decoder, Buffer.concat([Buffer.from([0x40]), text('x'), encoded]))
      expect(decoder.block.badValue).toBe(true)
      // Also when it comes back from the table.
      decode(decoder, hex('be'))
      expect(decoder.block.badValue).toBe(true)
    }
  })
})

describe('encoder', () => {
  it('never indexes credentials and short cookies, indexes what repeats', () => {
    const encoder = new HpackEncoder(4096)
    const secret = encode(encoder, [
      ['authorization', 'Bearer x'],
      ['cookie', 'a=1'],
    ])
    expect(secret[0]! & 0xf0).toBe(0x10)
    encode(encoder, [['user-agent', 'x']])
    expect(encode(encoder, [['user-agent', 'x']])).toEqual(Buffer.from([0xbe]))
  })

  it('indexes a changing name only when its value repeats', () => {
    const encoder = new HpackEncoder(4096)
    encode(encoder, [[':path', '/a']])
    expect(encode(encoder, [[':path', '/b']]).length).toBeGreaterThan(1)
    expect(encode(encoder, [[':path', '/b']]).length).toBeGreaterThan(1)
    expect(encode(encoder, [[':path', '/b']])).toHaveLength(1)
  })

  it('announces the lowest and the last table size at the next block', () => {
    const encoder = new HpackEncoder(4096)
    encoder.setPeerLimit(0)
    encoder.setPeerLimit(1000)
    const bytes = encode(encoder, [['a', 'b']])
    expect(bytes.subarray(0, 4)).toEqual(Buffer.concat([Buffer.from([0x20]), integer(0x20, 0x1f, 1000)]))
  })

  it('leaves out connection-specific fields and any te but trailers', () => {
    const encoder = new HpackEncoder(4096)
    const bytes = encode(encoder, [
      ['connection', 'close'],
      ['keep-alive', '1'],
      ['transfer-encoding', 'chunked'],
      ['upgrade', 'h2c'],
      ['te', 'gzip'],
      ['te', 'trailers'],
    ])
    expect(decode(newDecoder(), bytes)).toEqual([['te', 'trailers']])
  })

  it('keeps to its own limit when the peer offers a huge table', () => {
    const encoder = new HpackEncoder(4096)
    encoder.setPeerLimit(0xffffffff)
    // A decoder of 4096 octets forgets where the encoder must: an entry that only one of them still has would be read as another field.
    const decoder = newDecoder(4096)
    for (let i = 0; i < 5000; i++) {
      const fields: [string, string][] = [
        [`name-${i}`, `value-${i}`],
        [`name-${i - 50}`, `value-${i - 50}`],
      ]
      expect(decode(decoder, encode(encoder, fields))).toEqual(fields)
    }
  })

  it('writes the same whether a block is as the one before it or not', () => {
    // Each field at places where another stood the time before, and more of them than are remembered.
    const names = Array.from({ length: 60 }, (_, i) => `x-field-${i}`)
    const blocks = [names, [...names].reverse(), names.slice(20), names, []].map(block =>
      block.map(name => [name, `of ${name}`] as [string, string]),
    )
    const encoder = new HpackEncoder(4096)
    const decoder = newDecoder()
    for (const block of blocks) expect(decode(decoder, encode(encoder, block))).toEqual(block)
  })

  it('round-trips any fields through any table sizes', () => {
    const name = fc.oneof(
      fc.constantFrom('cookie', 'date', 'x-a', 'x-b', ':path', ':status', 'content-type', 'authorization', 'x-long-name-for-a-header'),
      fc.stringMatching(/^[a-z][a-z0-9-]{0,12}$/),
    )
    const value = fc.oneof(
      fc.constantFrom('', 'a', 'b', '200', 'text/plain', 'v'.repeat(130), 'w'.repeat(1500)),
      fc.string({ unit: fc.integer({ min: 0x21, max: 0xff }).map(c => String.fromCharCode(c === 0x7f ? 0x80 : c)), maxLength: 40 }),
    )
    const forbidden = new Set(['te', 'upgrade', 'connection'])
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            limit: fc.option(fc.constantFrom(0, 40, 100, 500, 4096)),
            fields: fc.array(
              fc.tuple(
                name.filter(n => !forbidden.has(n)),
                value,
              ),
              { maxLength: 20 },
            ),
          }),
          { maxLength: 30 },
        ),
        messages => {
          const encoder = new HpackEncoder(4096)
          const decoder = newDecoder()
          for (const { limit, fields } of messages) {
            if (limit !== null) encoder.setPeerLimit(limit)
            expect(decode(decoder, encode(encoder, fields))).toEqual(fields)
          }
        },
      ),
      { seed: 7541, numRuns: 300 },
    )
  })
})
