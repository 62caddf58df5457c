// IP addresses as the bytes of A and AAAA records, and as the labels of `.addr` names. Pure; used in this folder.
import { isIPv4, isIPv6 } from 'node:net'

/** 4 or 16 bytes; undefined when the text is no IP literal. */
export function addressBytes(text: string): Buffer | undefined {
  if (isIPv4(text)) return Buffer.from(text.split('.').map(Number))
  if (!isIPv6(text) || text.includes('%')) return undefined
  // The URL parser writes every IPv6 literal in one way: hexadecimal groups, at most one `::`.
  const plain = new URL(`http://[${text}]/`).hostname.slice(1, -1)
  const [head, tail] = plain.split('::')
  const left = head === '' || head === undefined ? [] : head.split(':')
  const right = tail === '' || tail === undefined ? [] : tail.split(':')
  const groups = [...left, ...Array<string>(8 - left.length - right.length).fill('0'), ...right]
  const bytes = Buffer.alloc(16)
  groups.forEach((group, i) => void bytes.writeUInt16BE(Number.parseInt(group, 16), i * 2))
  return bytes
}

/** `0a000001` for 10.0.0.1; 32 digits for IPv6. */
export function addressLabel(bytes: Buffer): string {
  return bytes.toString('hex')
}

/** The inverse; undefined for anything else. */
export function bytesOfLabel(label: string): Buffer | undefined {
  return /^(?:[0-9a-f]{8}|[0-9a-f]{32})$/.test(label) ? Buffer.from(label, 'hex') : undefined
}
