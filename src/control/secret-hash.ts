// Secrets that this control plane has given out and only needs to know again: kept as hashes, compared in constant time. Used by the leases of
// agents and by peerings.
import { createHash, timingSafeEqual } from 'node:crypto'

export function hashOf(secret: string): string {
  return createHash('sha256').update(secret).digest('hex')
}

/** Of two hashes. */
export function isSameHash(a: string, b: string): boolean {
  return timingSafeEqual(Buffer.from(a), Buffer.from(b))
}
