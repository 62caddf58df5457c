// xxHash64 without BigInt in its loops: the hash of Envoy's ring hash, maglev and route hash policies.
// Called per request by l7's hash policies (xxHash64Into), and per table entry by hash-ring and maglev-table.
// A 64-bit number is two 32-bit halves; products are built from 16-bit quarters, exact in doubles.
// Specification: xxHash, "XXH64 algorithm" (github.com/Cyan4973/xxHash).

/** Halves of an unsigned 64-bit number, each as an unsigned 32-bit number. */
export interface Hash64 {
  hi: number
  lo: number
}

const P1_HI = 0x9e3779b1
const P1_LO = 0x85ebca87
const P2_HI = 0xc2b2ae3d
const P2_LO = 0x27d4eb4f
const P3_HI = 0x165667b1
const P3_LO = 0x9e3779f9
const P4_HI = 0x85ebca77
const P4_LO = 0xc2b2ae63
const P5_HI = 0x27d4eb2f
const P5_LO = 0x165667c5

// The result registers of mul/add/rotl: returning a pair would allocate.
let hi = 0
let lo = 0

function mul(aHi: number, aLo: number, bHi: number, bLo: number): void {
  const a0 = aLo & 0xffff
  const a1 = aLo >>> 16
  const b0 = bLo & 0xffff
  const b1 = bLo >>> 16
  const low = a0 * b0
  const mid = a0 * b1 + a1 * b0 + (low >>> 16)
  lo = ((mid & 0xffff) << 16) | (low & 0xffff)
  hi = (a1 * b1 + Math.floor(mid / 65536) + Math.imul(aHi, bLo) + Math.imul(aLo, bHi)) | 0
}

function add(aHi: number, aLo: number, bHi: number, bLo: number): void {
  const low = (aLo >>> 0) + (bLo >>> 0)
  lo = low | 0
  hi = (aHi + bHi + (low > 0xffffffff ? 1 : 0)) | 0
}

/** 0 < bits < 32. */
function rotl(aHi: number, aLo: number, bits: number): void {
  hi = (aHi << bits) | (aLo >>> (32 - bits))
  lo = (aLo << bits) | (aHi >>> (32 - bits))
}

/** acc = rotl(acc + input * P2, 31) * P1, into the registers. */
function round(accHi: number, accLo: number, inHi: number, inLo: number): void {
  mul(inHi, inLo, P2_HI, P2_LO)
  add(accHi, accLo, hi, lo)
  rotl(hi, lo, 31)
  mul(hi, lo, P1_HI, P1_LO)
}

/** h = (h ^ round(0, v)) * P1 + P4, into the registers. */
function mergeRound(hHi: number, hLo: number, vHi: number, vLo: number): void {
  round(0, 0, vHi, vLo)
  mul(hHi ^ hi, hLo ^ lo, P1_HI, P1_LO)
  add(hi, lo, P4_HI, P4_LO)
}

function word(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
}

// Strings are copied here: header values and host keys are short; longer ones get a buffer of their own.
const scratch = new Uint8Array(1024)

function bytesOf(text: string): Uint8Array {
  const length = text.length
  if (length > scratch.length) return Buffer.from(text, 'latin1')
  for (let i = 0; i < length; i++) scratch[i] = text.charCodeAt(i)
  return scratch
}

// HOT: once a request with a hash policy. bench/micro/load-balancer.bench.ts.
function hashBytes(bytes: Uint8Array, length: number, seedHi: number, seedLo: number): void {
  let at = 0
  let hHi: number
  let hLo: number
  if (length >= 32) {
    add(seedHi, seedLo, P1_HI, P1_LO)
    add(hi, lo, P2_HI, P2_LO)
    let v1Hi = hi
    let v1Lo = lo
    add(seedHi, seedLo, P2_HI, P2_LO)
    let v2Hi = hi
    let v2Lo = lo
    let v3Hi = seedHi
    let v3Lo = seedLo
    add(seedHi, seedLo, ~P1_HI, ~P1_LO)
    add(hi, lo, 0, 1)
    let v4Hi = hi
    let v4Lo = lo
    for (; at + 32 <= length; at += 32) {
      round(v1Hi, v1Lo, word(bytes, at + 4), word(bytes, at))
      v1Hi = hi
      v1Lo = lo
      round(v2Hi, v2Lo, word(bytes, at + 12), word(bytes, at + 8))
      v2Hi = hi
      v2Lo = lo
      round(v3Hi, v3Lo, word(bytes, at + 20), word(bytes, at + 16))
      v3Hi = hi
      v3Lo = lo
      round(v4Hi, v4Lo, word(bytes, at + 28), word(bytes, at + 24))
      v4Hi = hi
      v4Lo = lo
    }
    rotl(v1Hi, v1Lo, 1)
    hHi = hi
    hLo = lo
    rotl(v2Hi, v2Lo, 7)
    add(hHi, hLo, hi, lo)
    hHi = hi
    hLo = lo
    rotl(v3Hi, v3Lo, 12)
    add(hHi, hLo, hi, lo)
    hHi = hi
    hLo = lo
    rotl(v4Hi, v4Lo, 18)
    add(hHi, hLo, hi, lo)
    mergeRound(hi, lo, v1Hi, v1Lo)
    mergeRound(hi, lo, v2Hi, v2Lo)
    mergeRound(hi, lo, v3Hi, v3Lo)
    mergeRound(hi, lo, v4Hi, v4Lo)
  } else {
    add(seedHi, seedLo, P5_HI, P5_LO)
  }
  add(hi, lo, Math.floor(length / 4294967296), length | 0)
  hHi = hi
  hLo = lo
  for (; at + 8 <= length; at += 8) {
    round(0, 0, word(bytes, at + 4), word(bytes, at))
    rotl(hHi ^ hi, hLo ^ lo, 27)
    mul(hi, lo, P1_HI, P1_LO)
    add(hi, lo, P4_HI, P4_LO)
    hHi = hi
    hLo = lo
  }
  if (at + 4 <= length) {
    mul(0, word(bytes, at), P1_HI, P1_LO)
    rotl(hHi ^ hi, hLo ^ lo, 23)
    mul(hi, lo, P2_HI, P2_LO)
    add(hi, lo, P3_HI, P3_LO)
    hHi = hi
    hLo = lo
    at += 4
  }
  for (; at < length; at++) {
    mul(0, bytes[at]!, P5_HI, P5_LO)
    rotl(hHi ^ hi, hLo ^ lo, 11)
    mul(hi, lo, P1_HI, P1_LO)
    hHi = hi
    hLo = lo
  }
  // Avalanche: h ^= h >> 33, h *= P2, h ^= h >> 29, h *= P3, h ^= h >> 32.
  mul(hHi, hLo ^ (hHi >>> 1), P2_HI, P2_LO)
  mul(hi ^ (hi >>> 29), lo ^ ((lo >>> 29) | (hi << 3)), P3_HI, P3_LO)
  lo ^= hi
}

/**
 * Writes the XXH64 of `input` into `out` (no allocation). A string is hashed as latin1, one byte a character: the form of header
 * values in this program. `seed` is 0 .. 2^32-1.
 */
export function xxHash64Into(out: Hash64, input: string | Uint8Array, seed = 0): void {
  if (typeof input === 'string') hashBytes(bytesOf(input), input.length, 0, seed | 0)
  else hashBytes(input, input.length, 0, seed | 0)
  out.hi = hi >>> 0
  out.lo = lo >>> 0
}

/** XXH64 as one unsigned 64-bit bigint; see xxHash64Into for the meaning of strings. The seed's halves are 0 .. 2^32-1. */
export function xxHash64(input: string | Uint8Array, seed = 0, seedHigh = 0): bigint {
  if (typeof input === 'string') hashBytes(bytesOf(input), input.length, seedHigh | 0, seed | 0)
  else hashBytes(input, input.length, seedHigh | 0, seed | 0)
  return toBigInt(hi >>> 0, lo >>> 0)
}

/** As Envoy hashes a list: the hash of each text is the seed of the next one's. */
export function xxHash64OfList(inputs: readonly string[]): bigint {
  let seedHi = 0
  let seedLo = 0
  for (const input of inputs) {
    hashBytes(bytesOf(input), input.length, seedHi, seedLo)
    seedHi = hi | 0
    seedLo = lo | 0
  }
  return toBigInt(seedHi >>> 0, seedLo >>> 0)
}

function toBigInt(high: number, low: number): bigint {
  return (BigInt(high) << 32n) | BigInt(low)
}
