// OCSP responses that the config gives for our own certificates (ocsp_staple): read once, sent with the handshake of a client that asks
// for one, by the rules of ocsp_staple_policy. Called by own-certificate.ts (reads) and DownstreamTlsContext (decides). Invariant: what is sent
// is byte for byte what was configured, belongs to the certificate, and has not expired. As in Envoy nobody checks its signature here: the
// client does. Source: RFC 6960 section 4.2.1, RFC 7633 (the feature that makes a certificate need one).

import type { X509Certificate } from 'node:crypto'
import { bytesOf, DerError, integerOf, isTagged, itemsOf, octetsOf, readDer, readTime, serialText, taggedItemsOf } from '../x509/der.js'

export type StaplePolicy = 'LENIENT' | 'STRICT' | 'MUST_STAPLE'
/** `fail`: the certificate must not be shown now. */
export type StapleAction = 'staple' | 'omit' | 'fail'

export interface OcspStaple {
  readonly der: Buffer
  /** Epoch ms; one that does not say counts as expired. */
  readonly nextUpdateMs: number
}

/** 1.3.6.1.5.5.7.1.24, and status_request (5) as its content. */
const mustStapleFeature = Buffer.from('06082b0601050507011804053003020105', 'hex')

export function needsStaple(certificate: X509Certificate): boolean {
  return certificate.raw.includes(mustStapleFeature)
}

/** Throws `DerError` with what is wrong, in the terms of the config. */
export function readStaple(der: Buffer, certificate: X509Certificate): OcspStaple {
  const [status, wrapped] = itemsOf(readDer(der))
  if (!bytesOf(status).equals(Buffer.from([0]))) throw new DerError('the OCSP response was unsuccessful')
  const [, basic] = itemsOf(wrapped === undefined ? undefined : taggedItemsOf(wrapped)[0])
  const data = itemsOf(itemsOf(readDer(octetsOf(basic)))[0])
  // [version] responderID producedAt responses
  const responses = itemsOf(data[isTagged(data[0], 0) ? 3 : 2])
  if (responses.length !== 1) throw new DerError(`the OCSP response is for ${responses.length} certificates, not for one only`)
  const [id, , , next] = itemsOf(responses[0])
  if (serialText(integerOf(itemsOf(id)[3])) !== serialText(Buffer.from(certificate.serialNumber, 'hex')))
    throw new DerError('the OCSP response does not match its TLS certificate')
  return { der, nextUpdateMs: isTagged(next, 0) ? readTime(taggedItemsOf(next)[0]!) : 0 }
}

export function stapleAction(
  own: { readonly staple: OcspStaple | null; readonly mustStaple: boolean },
  policy: StaplePolicy,
  nowMs: number,
): StapleAction {
  const { staple } = own
  if (staple !== null && nowMs <= staple.nextUpdateMs) return 'staple'
  if (policy === 'MUST_STAPLE' || own.mustStaple) return 'fail'
  return policy === 'STRICT' && staple !== null ? 'fail' : 'omit'
}
