// Ids of traces and spans: random bytes as lower-case hex, from a pool, so that a span costs no system call.

import { randomFillSync } from 'node:crypto'

const POOL = Buffer.alloc(4096)
const ID_BYTES = 8
let offset = POOL.length

/** 16 hex digits, not all 0. */
export function randomId(): string {
  if (offset === POOL.length) {
    randomFillSync(POOL)
    offset = 0
  }
  const id = POOL.toString('hex', offset, offset + ID_BYTES)
  offset += ID_BYTES
  return id === '0000000000000000' ? '0000000000000001' : id
}
