// An IP address out of its bytes, spelled as Node spells it: dotted, or RFC 5952. For addresses in certificates, of the PROXY protocol and
// of the kernel (socket-options.ts). Pure.

import { isIPv6 } from 'node:net'

/** '' when it is neither 4 nor 16 bytes long, which no matcher should name. */
export function ipText(bytes: Buffer): string {
  if (bytes.length === 4) return Array.from(bytes).join('.')
  if (bytes.length !== 16) return ''
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(2 * i))
  let best = 0
  let bestAt = -1
  for (let i = 0; i < 8; i++) {
    let end = i
    while (end < 8 && groups[end] === 0) end++
    if (end - i > best && end - i > 1) {
      best = end - i
      bestAt = i
    }
    if (end > i) i = end - 1
  }
  const hex = groups.map(group => group.toString(16))
  const text = bestAt === -1 ? hex.join(':') : `${hex.slice(0, bestAt).join(':')}::${hex.slice(bestAt + best).join(':')}`
  return isIPv6(text) ? text : ''
}
