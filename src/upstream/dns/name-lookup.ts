// The contract of one way to ask for names (c-ares, the system's getaddrinfo), and what they share. Implemented in cares-lookup and
// system-lookup; made and asked by DnsResolver, which keeps answers and bounds the questions under way.

import { isIP } from 'node:net'
import type { DnsOptions } from '../../model/cluster.js'

export type LookupFamily = DnsOptions['family']

export interface Records {
  readonly addresses: readonly string[]
  /** Smallest TTL; null where none applies. */
  readonly ttlSeconds: number | null
}

export interface NameLookup {
  /** Rejects when nobody could say; a name without addresses is an empty answer. */
  lookup(name: string, family: LookupFamily): Promise<Records>
  close(): void
}

/** Addresses taken of one answer. */
export const MAX_ADDRESSES = 10_000

/** Of addresses of both families, those that a lookup of `family` gives. */
export function byFamily(addresses: readonly string[], family: LookupFamily): string[] {
  const v4 = addresses.filter(address => isIP(address) === 4)
  const v6 = addresses.filter(address => isIP(address) === 6)
  switch (family) {
    case 'V4_ONLY':
      return v4
    case 'V6_ONLY':
      return v6
    case 'V4_PREFERRED':
      return v4.length > 0 ? v4 : v6
    case 'AUTO':
      return v6.length > 0 ? v6 : v4
    case 'ALL':
      return [...v4, ...v6]
  }
}
