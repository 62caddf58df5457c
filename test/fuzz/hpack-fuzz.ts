// Fuzz target for HPACK, called in a loop by the fuzz runner: random bytes never crash the decoder or make its table outgrow its limit,
// and random fields round-trip through encoder and decoder under changing table sizes.

import assert from 'node:assert/strict'
import { HpackDecoder } from '../../src/l7/codec/http2/hpack-decoder.js'
import { HpackEncoder } from '../../src/l7/codec/http2/hpack-encoder.js'

const NAMES = [':path', ':status', 'cookie', 'date', 'content-type', 'authorization', 'x-a', 'x-b', 'x-request-id', 'grpc-status']

/** One random case. @param random uniform in [0, 1), the only source of chance */
export function fuzzOnce(random: () => number): void {
  const below = (n: number): number => Math.floor(random() * n)
  if (random() < 0.5) decodeGarbage(below)
  else roundTrip(below)
}

function decodeGarbage(below: (n: number) => number): void {
  const decoder = new HpackDecoder(1 + below(200), 1 + below(100_000))
  const limit = [0, 64, 4096, 65536][below(4)]!
  decoder.setLimit(limit)
  for (let round = below(20); round >= 0; round--) {
    const bytes = Buffer.alloc(below(300))
    for (let i = 0; i < bytes.length; i++) {
      const kind = below(4)
      // Mostly opcodes that are likely to be legal, so that decoding gets somewhere.
      bytes[i] = kind === 0 ? below(256) : kind === 1 ? 0x80 | below(70) : kind === 2 ? below(8) : 0x40 | below(8)
    }
    const good = decoder.decode(bytes, 0, bytes.length)
    assert(decoder['size'] <= Math.max(limit, 4096))
    assert(decoder.block.count <= decoder.block.total)
    if (!good) return
  }
}

function roundTrip(below: (n: number) => number): void {
  const encoder = new HpackEncoder(below(2) === 0 ? 4096 : below(8192))
  const decoder = new HpackDecoder(1000, 1 << 22)
  decoder.setLimit(8192)
  const buffer = Buffer.alloc(1 << 16)
  for (let round = 0; round < 20; round++) {
    if (below(5) === 0) encoder.setPeerLimit(below(5000))
    const fields: [string, string][] = []
    for (let i = below(12); i > 0; i--) {
      const name = below(3) === 0 ? `x-${below(50)}` : NAMES[below(NAMES.length)]!
      fields.push([name, below(4) === 0 ? 'v'.repeat(below(2000)) : `value-${below(6)}`])
    }
    let pos = encoder.begin(buffer, 0)
    for (const [name, value] of fields) pos = encoder.write(buffer, pos, name, value)
    assert(decoder.decode(buffer, 0, pos), 'our own block does not decode')
    const { names, values, count } = decoder.block
    assert.equal(count, fields.length)
    for (let i = 0; i < count; i++) {
      assert.equal(names[i]!.name, fields[i]![0])
      assert.equal(values[i], fields[i]![1])
    }
    assert.equal(encoder['size'], decoder['size'])
  }
}
