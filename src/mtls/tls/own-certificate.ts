// Our own certificates: chain and key parsed and matched, and the OCSP staple that goes with them by ocsp_staple_policy. Called by
// tls-material. Invariant: a pair that does not belong together is an error with its path, and no reason holds key material.

import { createPrivateKey, X509Certificate } from 'node:crypto'
import type { SecureContext } from 'node:tls'
import type { ConfigError } from '../../model/config-error.js'
import { CertificateIdentity } from '../peer/certificate-identity.js'
import { reasonOf } from '../x509/certificate-error.js'
import { keyKindProblem } from '../x509/certificate-pair.js'
import { certificatePems } from '../x509/der.js'
import { ContentCache, contentKey } from './content-cache.js'
import { needsStaple, type OcspStaple, readStaple } from './ocsp-staple.js'
import type { MaterialInput } from './tls-input.js'
import type { OwnSources } from './tls-sources.js'

export interface OwnCertificate {
  readonly identity: CertificateIdentity
  readonly context: SecureContext
  /** `<inline>` or the file's path, as Envoy's /certs shows it. */
  readonly path: string
  readonly staple: OcspStaple | null
  /** The certificate itself says that it is never shown without a staple. */
  readonly mustStaple: boolean
}

const ownIdentities = new ContentCache<CertificateIdentity>()

export function checkOwnCertificate(item: OwnSources, errors: ConfigError[]): CertificateIdentity | null {
  const memoKey = contentKey(JSON.stringify([item.chain, item.key, item.passphrase]))
  const known = ownIdentities.get(memoKey)
  if (known !== undefined) return known
  const before = errors.length
  let identity: CertificateIdentity | null = null
  try {
    identity = new CertificateIdentity(new X509Certificate(item.chain), true)
    for (const pem of certificatePems(item.chain)) new X509Certificate(pem)
    const { publicKey } = identity.x509
    // Envoy takes Ed25519 too, whether or not anybody can use it.
    const problem = publicKey.asymmetricKeyType === 'ed25519' ? undefined : keyKindProblem(publicKey)
    if (problem !== undefined) errors.push({ path: `${item.at}.certificate_chain`, reason: problem })
  } catch (error) {
    errors.push({ path: `${item.at}.certificate_chain`, reason: `is no certificate chain in PEM: ${reasonOf(error)}` })
  }
  try {
    const key = createPrivateKey(item.passphrase === '' ? item.key : { key: item.key, passphrase: item.passphrase })
    if (identity !== null && !identity.x509.checkPrivateKey(key))
      errors.push({ path: `${item.at}.private_key`, reason: 'does not belong to the certificate' })
  } catch (error) {
    errors.push({ path: `${item.at}.private_key`, reason: `is no private key in PEM: ${reasonOf(error)}` })
  }
  if (errors.length > before || identity === null) return null
  ownIdentities.put(memoKey, identity)
  return identity
}

export const NO_STAPLE = { staple: null, mustStaple: false }

export function staplesOf(
  { ocsp, at }: OwnSources,
  identity: CertificateIdentity | null,
  { staplePolicy }: MaterialInput,
  errors: ConfigError[],
): Pick<OwnCertificate, 'staple' | 'mustStaple'> {
  if (identity === null) return NO_STAPLE
  const mustStaple = needsStaple(identity.x509)
  const path = `${at}.ocsp_staple`
  if (ocsp === null || ocsp.length === 0) {
    if (mustStaple) errors.push({ path, reason: 'OCSP response is required for must-staple certificate' })
    else if (staplePolicy === 'MUST_STAPLE') errors.push({ path, reason: 'Required OCSP response is missing from TLS context' })
    return { staple: null, mustStaple }
  }
  try {
    return { staple: readStaple(ocsp, identity.x509), mustStaple }
  } catch (error) {
    errors.push({ path, reason: reasonOf(error) })
    return NO_STAPLE
  }
}
