import { describe, expect, it } from 'vitest'
import { mersenneTwister } from '../../../src/upstream/hash/mersenne-twister.js'
import { murmurHash64 } from '../../../src/upstream/hash/murmur-hash.js'
import { xxHash64, xxHash64Into } from '../../../src/upstream/hash/xx-hash.js'
import { seeded } from '../fixtures.js'

const mask = 0xffffffffffffffffn
const primes = [0x9e3779b185ebca87n, 0xc2b2ae3d27d4eb4fn, 0x165667b19e3779f9n, 0x85ebca77c2b2ae63n, 0x27d4eb2f165667c5n] as const

/** The specification, step by step, in BigInt: slow and plain. */
function reference(bytes: Uint8Array, seed: bigint): bigint {
  const [p1, p2, p3, p4, p5] = primes
  const rotl = (value: bigint, bits: bigint): bigint => ((value << bits) | (value >> (64n - bits))) & mask
  const round = (acc: bigint, lane: bigint): bigint => (rotl((acc + lane * p2) & mask, 31n) * p1) & mask
  const lane = (at: number, size: number): bigint => {
    let value = 0n
    for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[at + i]!)
    return value
  }
  let at = 0
  let acc: bigint
  if (bytes.length >= 32) {
    const accs = [(seed + p1 + p2) & mask, (seed + p2) & mask, seed, (seed - p1) & mask]
    for (; at + 32 <= bytes.length; at += 32) for (let i = 0; i < 4; i++) accs[i] = round(accs[i]!, lane(at + 8 * i, 8))
    acc = (rotl(accs[0]!, 1n) + rotl(accs[1]!, 7n) + rotl(accs[2]!, 12n) + rotl(accs[3]!, 18n)) & mask
    for (const each of accs) acc = ((acc ^ round(0n, each)) * p1 + p4) & mask
  } else acc = (seed + p5) & mask
  acc = (acc + BigInt(bytes.length)) & mask
  for (; at + 8 <= bytes.length; at += 8) acc = (rotl(acc ^ round(0n, lane(at, 8)), 27n) * p1 + p4) & mask
  if (at + 4 <= bytes.length) {
    acc = (rotl(acc ^ ((lane(at, 4) * p1) & mask), 23n) * p2 + p3) & mask
    at += 4
  }
  for (; at < bytes.length; at++) acc = (rotl(acc ^ ((BigInt(bytes[at]!) * p5) & mask), 11n) * p1) & mask
  acc = ((acc ^ (acc >> 33n)) * p2) & mask
  acc = ((acc ^ (acc >> 29n)) * p3) & mask
  return acc ^ (acc >> 32n)
}

describe('xxHash64', () => {
  it.each([
    ['', 0, 0xef46db3751d8e999n],
    ['', 1, 0xd5afba1336a3be4bn],
    ['a', 0, 0xd24ec4f1a98c6e5bn],
    ['as', 0, 0x1c330fb2d66be179n],
    ['asd', 0, 0x631c37ce72a97393n],
    ['asdf', 0, 0x415872f599cea71en],
    ['abc', 0, 0x44bc2cf5ad770999n],
    ['Call me Ishmael. Some years ago--never mind how long precisely-', 0, 0x02a2e85470d6fd96n],
  ])('gives the published value for %j, seed %i', (text, seed, expected) => {
    expect(xxHash64(text, seed)).toBe(expected)
  })

  it('agrees with the specification for every length up to 300, any bytes, several seeds', () => {
    const random = seeded(64)
    for (let length = 0; length <= 300; length++) {
      const bytes = Uint8Array.from({ length }, () => Math.floor(random() * 256))
      const seed = [0, 1, 0x9e3779b1, 0xffffffff][length % 4]!
      expect(xxHash64(bytes, seed), `length ${length}`).toBe(reference(bytes, BigInt(seed)))
    }
  })

  it('hashes strings as latin1, also longer than its scratch space', () => {
    const text = 'é\xff'.repeat(700)
    expect(xxHash64(text)).toBe(reference(Buffer.from(text, 'latin1'), 0n))
    const out = { hi: 0, lo: 0 }
    xxHash64Into(out, text)
    expect((BigInt(out.hi) << 32n) | BigInt(out.lo)).toBe(xxHash64(text))
  })
})

describe('murmurHash64', () => {
  // Values of libstdc++'s std::hash<std::string>, 64 bit.
  it.each([
    ['', 0x553e93901e462a6en],
    ['a', 0x454ddee488c1ed6bn],
    ['hello', 0x26553298fdbe39c8n],
    ['12345678', 0x8c5b90a33a04dca5n],
    ['10.0.0.1:80_0', 0xbd8f6461ecffb28cn],
    ['abcdefghijklmnopqrstuvwxyz', 0x8a7ebd92a97321c3n],
  ])('gives the value of std::hash in 64-bit libstdc++ for %j', (text, expected) => {
    expect(murmurHash64(Buffer.from(text))).toBe(expected)
  })
})

describe('mersenneTwister', () => {
  it('gives the 10,000th number that the C++ standard demands of mt19937', () => {
    mersenneTwister.seed(5489)
    let last = 0
    for (let i = 0; i < 10_000; i++) last = mersenneTwister.next()
    expect(last).toBe(4123659995)
  })
})
