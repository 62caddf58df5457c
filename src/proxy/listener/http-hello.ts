// Which HTTP a client speaks, from its first bytes: what Envoy's http_inspector finds for `application_protocols` of clear text. Pure;
// called by the listener's inspectors. Invariant: decides within MAX_LINE_BYTES.

export type HttpHello = 'http/1.0' | 'http/1.1' | 'h2c' | 'none' | 'more'

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1')
/** A request line that is longer is not waited for (Envoy looks at 64 KiB too). */
const MAX_LINE_BYTES = 64 * 1024
/** Octets that a method may hold (RFC 9110 §5.6.2). */
const METHOD = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const LONGEST_METHOD = 32

export function readHttpHello(bytes: Buffer): HttpHello {
  const shown = Math.min(bytes.length, PREFACE.length)
  if (bytes.compare(PREFACE, 0, shown, 0, shown) === 0) return shown === PREFACE.length ? 'h2c' : 'more'
  const space = bytes.subarray(0, LONGEST_METHOD + 1).indexOf(0x20)
  const method = bytes.latin1Slice(0, space === -1 ? Math.min(bytes.length, LONGEST_METHOD + 1) : space)
  if (!METHOD.test(method)) return 'none'
  if (space === -1) return bytes.length > LONGEST_METHOD ? 'none' : 'more'
  const end = bytes.subarray(0, MAX_LINE_BYTES).indexOf(0x0a)
  if (end === -1) return bytes.length >= MAX_LINE_BYTES ? 'none' : 'more'
  const line = bytes.latin1Slice(space + 1, bytes[end - 1] === 0x0d ? end - 1 : end)
  const version = line.slice(line.lastIndexOf(' ') + 1)
  return version === 'HTTP/1.1' ? 'http/1.1' : version === 'HTTP/1.0' ? 'http/1.0' : 'none'
}
