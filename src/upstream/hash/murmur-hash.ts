// MurmurHash64A with the seed of libstdc++'s std::hash: the MURMUR_HASH_2 option of Envoy's ring hash.
// Called by hash-ring once per table entry and cached there, so plain BigInt arithmetic is fast enough.

const MULTIPLIER = 0xc6a4a7935bd1e995n
const MASK = 0xffffffffffffffffn
const STD_HASH_SEED = 0xc70f6907n

function shiftMix(value: bigint): bigint {
  return value ^ (value >> 47n)
}

/** 64-bit hash of `bytes` (MurmurHash2 by Austin Appleby, variant 64A). */
export function murmurHash64(bytes: Uint8Array, seed: bigint = STD_HASH_SEED): bigint {
  const aligned = bytes.length & ~7
  let hash = seed ^ ((BigInt(bytes.length) * MULTIPLIER) & MASK)
  for (let at = 0; at < aligned; at += 8) {
    const mixed = (shiftMix((littleEndian(bytes, at, 8) * MULTIPLIER) & MASK) * MULTIPLIER) & MASK
    hash = ((hash ^ mixed) * MULTIPLIER) & MASK
  }
  if (aligned !== bytes.length) hash = ((hash ^ littleEndian(bytes, aligned, bytes.length - aligned)) * MULTIPLIER) & MASK
  return shiftMix((shiftMix(hash) * MULTIPLIER) & MASK)
}

function littleEndian(bytes: Uint8Array, at: number, count: number): bigint {
  let value = 0n
  for (let i = count - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[at + i]!)
  return value
}
