// This host's own address, as it tells it to the next hop in x-forwarded-for: Envoy's local info address. Looked up once.

import { networkInterfaces } from 'node:os'

let ownAddress = ''

/** First address of this host that is not loopback, IPv4 first (Envoy's local info address); 127.0.0.1 when there is none. */
export function localAddress(): string {
  if (ownAddress !== '') return ownAddress
  const all = Object.values(networkInterfaces())
    .flatMap(addresses => addresses ?? [])
    .filter(address => !address.internal)
  ownAddress = (all.find(address => address.family === 'IPv4') ?? all[0])?.address ?? '127.0.0.1'
  return ownAddress
}
