// envoy.config.core.v3.Address and CidrRange -> model. Called by listener.ts, endpoint.ts, cluster.ts, bootstrap.ts, matchers.ts.

import { isIP, isIPv4 } from 'node:net'
import type { Address, CidrRange } from '../../model/address.js'
import { type Address as AddressMessage, type SocketAddress, SocketAddress_Protocol } from '../gen/envoy/config/core/v3/address_pb.js'
import type { Ctx } from './field-path.js'

/** Stand-in after an error was recorded. */
export const NO_ADDRESS: Address = { kind: 'socket', host: '0.0.0.0', port: 0 }

/** `ip`: only literals (listeners, STATIC and EDS endpoints); `host`: DNS names too. */
export function decodeAddress(address: AddressMessage | undefined, ctx: Ctx, hosts: 'ip' | 'host'): Address {
  if (address === undefined) {
    ctx.error('value is required')
    return NO_ADDRESS
  }
  switch (address.address.case) {
    case 'pipe': {
      const { path, mode } = address.address.value
      // An abstract socket: Envoy writes '@name', Node '\0name'.
      if (path.length > 107) ctx.at('pipe').at('path').error('path of a unix socket is longer than 107 characters')
      return { kind: 'pipe', path, mode }
    }
    case 'socketAddress':
      return decodeSocketAddress(address.address.value, ctx.at('socket_address'), hosts)
    default:
      return NO_ADDRESS // the missing oneof, or an internal address: reported
  }
}

export function decodeSocketAddress(socket: SocketAddress, ctx: Ctx, hosts: 'ip' | 'host'): Address {
  if (socket.protocol === SocketAddress_Protocol.UDP) ctx.at('protocol').error('UDP is not supported')
  const port = socket.portSpecifier.case === 'portValue' ? socket.portSpecifier.value : 0
  const host = canonicalIp(socket.address) ?? socket.address
  if (hosts === 'ip' && socket.address !== '' && isIP(host) === 0) {
    ctx.at('address').error(`malformed IP address: ${socket.address}. A DNS name needs cluster type STRICT_DNS or LOGICAL_DNS`)
  }
  return { kind: 'socket', host, port }
}

/** Canonical text of an IP literal (lower case, zeros compressed), or null for anything else. */
export function canonicalIp(text: string): string | null {
  if (isIPv4(text)) return text
  if (isIP(text) === 0) return null
  const [address, zone] = text.split('%') as [string, string | undefined]
  const host = new URL(`http://[${address}]/`).hostname.slice(1, -1)
  return zone === undefined ? host : `${host}%${zone}`
}

/** Envoy's message and that of the xds package are alike. */
interface AnyCidrRange {
  readonly addressPrefix: string
  readonly prefixLen?: number | undefined
}

/** An absent prefix length is 0, as in Envoy: the whole address space. */
export function decodeCidr(range: AnyCidrRange, ctx: Ctx): CidrRange {
  const address = canonicalIp(range.addressPrefix)
  if (address === null) {
    if (range.addressPrefix !== '') ctx.at('address_prefix').error(`malformed IP address: ${range.addressPrefix}`)
    return { address: '0.0.0.0', prefixLength: 0 }
  }
  const bits = isIPv4(address) ? 32 : 128
  // Envoy cuts a longer prefix (the constraint allows 128 for IPv4 too) down to the address's bits.
  return { address, prefixLength: Math.min(range.prefixLen ?? 0, bits) }
}

export function decodeCidrs(ranges: readonly AnyCidrRange[], ctx: Ctx, field: string): CidrRange[] {
  return ranges.map((range, i) => decodeCidr(range, ctx.at(field, i)))
}
