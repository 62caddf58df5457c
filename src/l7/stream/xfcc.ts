// x-forwarded-client-cert: who the mTLS client is, told to the upstream (Envoy ConnectionManagerUtility::mutateXfccRequestHeader).
// Called by request-headers once a request, before any filter. Invariant: without a client certificate on this very connection the
// header is never passed on, except in the mode that says so by name.

import type { XfccDetails, XfccMode } from '../../model/http-connection-manager.js'
import type { PeerIdentity } from '../../mtls/peer/peer-identity.js'
import { toByteString } from '../codec/byte-string.js'
import type { RequestHead } from '../codec/codec.js'
import type { ConnectionInfo, TlsInfo } from './connection-info.js'

const NAME = 'x-forwarded-client-cert'
const RAW_NAME = 'X-Forwarded-Client-Cert'

/** One element per TLS connection and set of details: a keep-alive connection builds it once. */
const elements = new WeakMap<TlsInfo, { readonly details: XfccDetails; readonly text: string }>()

export function applyXfcc(head: RequestHead, connection: ConnectionInfo, mode: XfccMode, details: XfccDetails): void {
  if (mode === 'ALWAYS_FORWARD_ONLY') return
  const { tls } = connection
  if (mode === 'SANITIZE' || tls === null || tls.peer === null) {
    head.headers.remove(NAME)
    return
  }
  if (mode === 'FORWARD_ONLY') return
  let cached = elements.get(tls)
  if (cached === undefined || cached.details !== details) {
    cached = { details, text: xfccElement(tls, tls.peer, details) }
    elements.set(tls, cached)
  }
  const before = mode === 'APPEND_FORWARD' ? head.headers.getJoined(NAME) : undefined
  head.headers.set(RAW_NAME, before === undefined || before === '' ? cached.text : `${before},${cached.text}`)
}

/** `By=…;Hash=…;Cert="…";Chain="…";Subject="…";URI=…;DNS=…` in Envoy's order. */
function xfccElement(tls: TlsInfo, peer: PeerIdentity, details: XfccDetails): string {
  const parts: string[] = []
  for (const uri of tls.localUriSans) parts.push(`By=${encodeValue(uri)}`)
  if (peer.sha256 !== '') parts.push(`Hash=${peer.sha256}`)
  if (details.cert && peer.pem !== '') parts.push(`Cert="${urlEncodePem(peer.pem)}"`)
  if (details.chain && peer.chainPem !== '') parts.push(`Chain="${urlEncodePem(peer.chainPem)}"`)
  // Subject and URI stand there even when the certificate has none.
  if (details.subject) parts.push(`Subject="${quotedValue(peer.subject)}"`)
  if (details.uri) {
    if (peer.uriSans.length === 0) parts.push('URI=')
    for (const uri of peer.uriSans) parts.push(`URI=${encodeValue(uri)}`)
  }
  if (details.dns) for (const dns of peer.dnsSans) parts.push(`DNS=${encodeValue(dns)}`)
  return parts.join(';')
}

/** As Envoy's urlEncodedPemEncodedPeerCertificate: what a PEM holds that a quoted header value should not. */
export function urlEncodePem(pem: string): string {
  const text = pem.endsWith('\n') ? pem : `${pem}\n`
  return text
    .replaceAll('\r\n', '\n')
    .replaceAll('%', '%25')
    .replaceAll('\n', '%0A')
    .replaceAll(' ', '%20')
    .replaceAll('+', '%2B')
    .replaceAll('/', '%2F')
    .replaceAll('=', '%3D')
}

/**
 * A name out of a certificate, unquoted. Control characters would split the header (CVE-2023-27493), separators would add fields or
 * elements that nobody vouched for: all are percent-encoded, which for URIs means the same.
 */
function encodeValue(text: string): string {
  const bytes = toByteString(text)
  if (!/[\x00-\x20",;\x7f-\xff]/.test(bytes)) return bytes
  return bytes.replace(/[\x00-\x20",;\x7f-\xff]/g, percentEncoded)
}

/** Inside quotes only the quote needs a backslash; the RFC 2253 form has escaped the others. A backslash already there escapes. */
function quotedValue(text: string): string {
  const bytes = toByteString(text)
  if (!/["\\\x00-\x1f\x7f]/.test(bytes)) return bytes
  let out = ''
  for (let i = 0; i < bytes.length; i++) {
    const char = bytes[i]!
    const code = bytes.charCodeAt(i)
    if (char === '\\') {
      const next = bytes[i + 1]
      if (next === undefined) out += '\\\\'
      else if (next >= ' ' && next !== '\x7f') {
        out += char + next
        i++
      } else out += char
    } else if (char === '"') out += '\\"'
    else if (code < 0x20 || code === 0x7f) out += percentEncoded(char)
    else out += char
  }
  return out
}

function percentEncoded(char: string): string {
  return `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`
}
