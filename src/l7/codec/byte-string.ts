// Byte strings: header values, paths and everything else from the wire are latin1 strings here, one character a byte. Config is
// Unicode text. Whoever compares the two converts the config side once, at compile time, so that a comparison is one of bytes, as
// Envoy's is. Called by the matchers and formatters.

import { isUtf8 } from 'node:buffer'

const NON_ASCII = /[^\x00-\x7f]/
const NON_LATIN1 = /[^\x00-\xff]/
const UPPER = /[A-Z]+/g

export function isAscii(text: string): boolean {
  return !NON_ASCII.test(text)
}

/** Unicode text as the latin1 view of its UTF-8 bytes. */
export function toByteString(text: string): string {
  return isAscii(text) ? text : Buffer.from(text, 'utf8').toString('latin1')
}

/** What the bytes say as UTF-8; bytes that are not UTF-8 stay as they are, a character each. */
export function fromByteString(bytes: string): string {
  if (isAscii(bytes) || NON_LATIN1.test(bytes)) return bytes
  const buffer = Buffer.from(bytes, 'latin1')
  return isUtf8(buffer) ? buffer.toString('utf8') : bytes
}

/** Lower-cases A–Z and nothing else: other letters' bytes are not letters here. */
export function asciiLower(text: string): string {
  return isAscii(text) ? text.toLowerCase() : text.replace(UPPER, upper => upper.toLowerCase())
}
