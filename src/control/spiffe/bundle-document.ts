// SPIFFE bundles as documents (SPIFFE Trust Domain and Bundle, section 4; X509-SVID, section 6): a JWK Set in which every key of use x509-svid
// holds one CA certificate. Written for our own bundle endpoint, read from others'. Pure. Invariant: what is read holds only certificates of
// CAs, at least one; keys of other uses and unknown types are ignored, as the specification wants it, and anything else that is wrong refuses
// the document whole.
import { X509Certificate } from 'node:crypto'
import { certificatePems } from '../../mtls/x509/der.js'
import type { FederatedBundle } from './federation-types.js'

/** Larger ones are not read. */
export const MAX_BUNDLE_BYTES = 1024 * 1024
const MAX_KEYS = 256
const X509_USE = 'x509-svid'
const KEY_TYPES: ReadonlySet<unknown> = new Set(['EC', 'RSA', 'OKP'])

export type ReadBundle = { readonly ok: true; readonly bundle: FederatedBundle } | { readonly ok: false; readonly reason: string }

export function writeBundleDocument({ rootPems, sequence, refreshHintSeconds }: FederatedBundle): object {
  const keys = rootPems.map(pem => {
    const certificate = new X509Certificate(pem)
    return { use: X509_USE, ...certificate.publicKey.export({ format: 'jwk' }), x5c: [certificate.raw.toString('base64')] }
  })
  return {
    keys,
    ...(sequence === undefined ? {} : { spiffe_sequence: sequence }),
    ...(refreshHintSeconds === undefined ? {} : { spiffe_refresh_hint: refreshHintSeconds }),
  }
}

/** `text`: a bundle document, or CA certificates in PEM. */
export function readBundleText(text: string): ReadBundle {
  if (text.length > MAX_BUNDLE_BYTES) return { ok: false, reason: `has more than ${MAX_BUNDLE_BYTES} bytes` }
  try {
    return text.includes('-----BEGIN ') ? ofCertificates(certificatePems(text)) : readDocument(JSON.parse(text))
  } catch (error) {
    return { ok: false, reason: `is neither a SPIFFE bundle in JSON nor certificates in PEM: ${(error as Error).message}` }
  }
}

function readDocument(document: unknown): ReadBundle {
  const { keys, spiffe_sequence: sequence, spiffe_refresh_hint: hint } = (document ?? {}) as Record<string, unknown>
  if (!Array.isArray(keys)) return { ok: false, reason: 'has no list "keys"' }
  if (keys.length > MAX_KEYS) return { ok: false, reason: `has ${keys.length} keys, the limit is ${MAX_KEYS}` }
  for (const [name, value] of [
    ['spiffe_sequence', sequence],
    ['spiffe_refresh_hint', hint],
  ] as const)
    if (value !== undefined && !(Number.isSafeInteger(value) && (value as number) >= 0))
      return { ok: false, reason: `${name} is no whole number` }
  const pems: string[] = []
  for (const [i, key] of keys.entries()) {
    const { use, kty, x5c } = (key ?? {}) as Record<string, unknown>
    if (use !== X509_USE || !KEY_TYPES.has(kty)) continue
    if (!Array.isArray(x5c) || x5c.length !== 1 || typeof x5c[0] !== 'string')
      return { ok: false, reason: `keys[${i}].x5c does not hold exactly one certificate` }
    try {
      pems.push(new X509Certificate(Buffer.from(x5c[0], 'base64')).toString())
    } catch {
      return { ok: false, reason: `keys[${i}].x5c[0] is no certificate` }
    }
  }
  const read = ofCertificates(pems)
  if (!read.ok) return read
  return {
    ok: true,
    bundle: {
      ...read.bundle,
      ...(sequence === undefined ? {} : { sequence: sequence as number }),
      ...(hint === undefined ? {} : { refreshHintSeconds: hint as number }),
    },
  }
}

function ofCertificates(pems: readonly string[]): ReadBundle {
  if (pems.length === 0) return { ok: false, reason: 'holds no certificate for X.509 identities' }
  if (pems.length > MAX_KEYS) return { ok: false, reason: `holds ${pems.length} certificates, the limit is ${MAX_KEYS}` }
  const leaf = pems.findIndex(pem => !new X509Certificate(pem).ca)
  if (leaf >= 0) return { ok: false, reason: `certificate ${leaf} is not one of a CA` }
  return { ok: true, bundle: { rootPems: pems.map(pem => new X509Certificate(pem).toString()) } }
}
