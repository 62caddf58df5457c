// A TLS 1.3 session in OpenSSL's DER form (SSL_SESSION_ASN1) without the server's certificate in it. Decoding that certificate and its
// key is most of what offering a session costs, once a connection; who the server is we keep beside the session anyway. Used by
// UpstreamTlsContext when a session comes. Invariant: whatever is not exactly such a session is handed back
// as it was (newer Node wraps it together with the server's name).

const SEQUENCE = 0x30
const INTEGER = 0x02
/** `[3] EXPLICIT X509 OPTIONAL`. */
const PEER = 0xa3
const TLS_1_3 = 0x0304

/** TLS 1.2 sessions keep it: there Node looks for the certificate before it says that a resumed connection is verified. */
export function sessionWithoutPeer(session: Buffer): Buffer {
  const whole = readHeader(session, 0)
  if (whole === null || session[0] !== SEQUENCE || whole.end !== session.length) return session
  const kept: Buffer[] = []
  let bytes = 0
  for (let at = whole.start, field = 0; at < whole.end; field++) {
    const item = readHeader(session, at)
    if (item === null || item.end > whole.end) return session
    // The second field is the protocol version.
    if (field === 1 && !(session[at] === INTEGER && item.end - item.start === 2 && session.readUInt16BE(item.start) === TLS_1_3))
      return session
    if (session[at] !== PEER) {
      kept.push(session.subarray(at, item.end))
      bytes += item.end - at
    }
    at = item.end
  }
  return Buffer.concat([header(bytes), ...kept])
}

/** Where the content of the DER element at `at` starts and ends; null where there is none. */
function readHeader(der: Buffer, at: number): { readonly start: number; readonly end: number } | null {
  const first = der[at + 1]
  if (first === undefined) return null
  if (first < 0x80) return { start: at + 2, end: at + 2 + first }
  const size = first & 0x7f
  if (size === 0 || size > 3 || at + 2 + size > der.length) return null
  const start = at + 2 + size
  return { start, end: start + der.readUIntBE(at + 2, size) }
}

function header(length: number): Buffer {
  if (length < 0x80) return Buffer.from([SEQUENCE, length])
  if (length < 0x100) return Buffer.from([SEQUENCE, 0x81, length])
  return Buffer.from([SEQUENCE, 0x82, length >> 8, length & 0xff])
}
