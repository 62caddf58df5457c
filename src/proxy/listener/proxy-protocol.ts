// The PROXY protocol's header, versions 1 and 2 (haproxy.org, proxy-protocol.txt), at the begin of a connection: what the
// proxy_protocol listener filter reads. Pure: bytes to addresses. Called by Connection before anything else looks at the bytes.

import { isIP } from 'node:net'
import { ipText } from '../../io/ip-text.js'

export interface ProxiedAddresses {
  readonly sourceAddress: string
  readonly sourcePort: number
  readonly destinationAddress: string
  readonly destinationPort: number
}

/** `length`: bytes of the header. `addresses` null: the connection speaks for itself (LOCAL, UNKNOWN). */
export type ProxyHeader =
  | { readonly kind: 'more' }
  | { readonly kind: 'none' }
  | { readonly kind: 'bad'; readonly reason: string }
  | { readonly kind: 'found'; readonly length: number; readonly addresses: ProxiedAddresses | null }

const V2_SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')
const V1_SIGNATURE = Buffer.from('PROXY ', 'latin1')
/** A version 1 line with its CRLF. */
const MAX_V1_BYTES = 107
/** Address block and TLVs of a version 2 header. */
export const MAX_V2_BYTES = 16 * 1024

const MORE = { kind: 'more' } as const
const bad = (reason: string): ProxyHeader => ({ kind: 'bad', reason })

export function parseProxyHeader(bytes: Buffer): ProxyHeader {
  if (startsLike(bytes, V2_SIGNATURE)) return bytes.length < 16 ? MORE : parseV2(bytes)
  if (startsLike(bytes, V1_SIGNATURE)) return parseV1(bytes)
  return { kind: 'none' }
}

/** As far as there are bytes they are those of the signature. */
function startsLike(bytes: Buffer, signature: Buffer): boolean {
  const length = Math.min(bytes.length, signature.length)
  return length > 0 && bytes.compare(signature, 0, length, 0, length) === 0
}

function parseV1(bytes: Buffer): ProxyHeader {
  const end = bytes.indexOf('\r\n')
  if (end === -1) return bytes.length >= MAX_V1_BYTES ? bad('the line has no end') : MORE
  if (end + 2 > MAX_V1_BYTES) return bad('the line is too long')
  const [, family, source, destination, sourcePort, destinationPort, more] = bytes.latin1Slice(0, end).split(' ')
  const length = end + 2
  if (family === 'UNKNOWN') return { kind: 'found', length, addresses: null }
  const version = family === 'TCP4' ? 4 : family === 'TCP6' ? 6 : 0
  if (version === 0) return bad('neither TCP4, TCP6 nor UNKNOWN')
  if (more !== undefined || isIP(source ?? '') !== version || isIP(destination ?? '') !== version)
    return bad('not two addresses of that family')
  const from = portOf(sourcePort)
  const to = portOf(destinationPort)
  if (from === null || to === null) return bad('not two ports')
  return {
    kind: 'found',
    length,
    addresses: { sourceAddress: source!, sourcePort: from, destinationAddress: destination!, destinationPort: to },
  }
}

function portOf(text: string | undefined): number | null {
  return text !== undefined && /^\d{1,5}$/.test(text) && Number(text) <= 65_535 ? Number(text) : null
}

function parseV2(bytes: Buffer): ProxyHeader {
  const command = bytes[12]!
  const family = bytes[13]!
  const size = bytes.readUInt16BE(14)
  if (command >> 4 !== 2) return bad('unknown version')
  if ((command & 0x0f) > 1) return bad('unknown command')
  if (size > MAX_V2_BYTES) return bad('the header is too long')
  const length = 16 + size
  if (bytes.length < length) return MORE
  if ((command & 0x0f) === 0) return { kind: 'found', length, addresses: null }
  const width = family === 0x11 ? 4 : family === 0x21 ? 16 : 0
  if (width === 0) return bad('neither TCP over IPv4 nor over IPv6')
  if (size < 2 * width + 4) return bad('the addresses are cut off')
  const ports = 16 + 2 * width
  if (!areTlvs(bytes, ports + 4, length)) return bad('a TLV is cut off')
  return {
    kind: 'found',
    length,
    addresses: {
      sourceAddress: ipText(bytes.subarray(16, 16 + width)),
      sourcePort: bytes.readUInt16BE(ports),
      destinationAddress: ipText(bytes.subarray(16 + width, ports)),
      destinationPort: bytes.readUInt16BE(ports + 2),
    },
  }
}

/** Type, two bytes of length, value, and nothing behind the last one. */
function areTlvs(bytes: Buffer, from: number, end: number): boolean {
  let at = from
  while (at + 3 <= end) at += 3 + bytes.readUInt16BE(at + 1)
  return at === end
}
