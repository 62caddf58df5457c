// Things made from key material, kept for reuse by content, so that a thousand clusters with one leaf have one context and parse it once.
// Used by secure-contexts, own-certificate and tls-trust. Invariant: bounded; what is dropped here lives on with whoever uses it.

import { createHash } from 'node:crypto'

/** Most OpenSSL contexts (and parsed certificates, and bundles) kept for reuse. */
const MAX_CACHED = 256

/** The values used last, by hash of what they were made from. */
export class ContentCache<V> {
  private readonly known = new Map<string, V>()

  get(key: string): V | undefined {
    const value = this.known.get(key)
    if (value !== undefined) {
      this.known.delete(key)
      this.known.set(key, value)
    }
    return value
  }

  put(key: string, value: V): void {
    if (this.known.size >= MAX_CACHED) this.known.delete(this.known.keys().next().value!)
    this.known.set(key, value)
  }
}

/** Keys hold a digest, never the material itself. */
export function contentKey(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
