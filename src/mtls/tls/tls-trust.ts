// Whom a TLS context trusts: trusted_ca, SPIFFE trust bundles, CRLs and SAN matchers checked and parsed, and the choice who judges a
// peer's path, OpenSSL or we (`ownPath`). Called by tls-material. Invariant: what can't be checked is an error, never skipped.

import { X509Certificate } from 'node:crypto'
import { RE2JS } from 're2js'
import type { ConfigError } from '../../model/config-error.js'
import { readAnchors } from '../peer/certificate-path.js'
import { type RevocationList, readRevocationLists, revocationPems } from '../peer/revocation.js'
import { reasonOf } from '../x509/certificate-error.js'
import { certificatePems } from '../x509/der.js'
import type { Certificate } from '../x509/x509.js'
import { ContentCache, contentKey } from './content-cache.js'
import type { TlsSources } from './tls-sources.js'

const bundles = new ContentCache<string[]>()

interface Trust {
  readonly caPems: string[]
  readonly first: X509Certificate | null
  readonly ownPath: boolean
  readonly anchors: readonly Certificate[]
  readonly revocations: readonly RevocationList[]
  readonly domainAnchors: ReadonlyMap<string, readonly Certificate[]> | null
  readonly opensslCrls: string[]
  readonly hasLists: boolean
}

export function readTrust(resolved: TlsSources, errors: ConfigError[]): Trust | null {
  const { validation } = resolved
  const at = 'common_tls_context.validation_context'
  const before = errors.length
  const caPems = readBundle(resolved.trustedCa, `${at}.trusted_ca`, errors)
  const domainPems = new Map<string, string[]>()
  for (const [name, pem] of resolved.domains ?? [])
    domainPems.set(name, readBundle(pem, `${at}.custom_validator_config.trust_domains[${name}].trust_bundle`, errors))
  for (const [i, { matcher }] of (validation?.sanMatchers ?? []).entries()) {
    if (matcher.kind !== 'regex') continue
    try {
      RE2JS.compile(matcher.value)
    } catch (error) {
      errors.push({ path: `${at}.match_typed_subject_alt_names[${i}].matcher.safe_regex`, reason: reasonOf(error) })
    }
  }
  const checksNames = (validation?.sanMatchers.length ?? 0) > 0
  if (checksNames && resolved.trustedCa === null && resolved.domains === null && validation?.trustChainVerification !== 'ACCEPT_UNTRUSTED')
    errors.push({ path: at, reason: 'SAN matchers without a trusted_ca would be matched against names that nobody vouches for' })
  if (errors.length > before) return null
  // Lists may stand in the bundle too, as OpenSSL's and Envoy's readers have it.
  const crlText = `${resolved.trustedCa ?? ''}\n${resolved.crl ?? ''}`
  const leafCrl = validation?.onlyVerifyLeafCertCrl === true && crlText.includes('X509 CRL')
  const ownPath =
    resolved.domains !== null ||
    (resolved.trustedCa !== null &&
      validation !== null &&
      (validation.allowExpiredCertificate || validation.maxVerifyDepth !== null || leafCrl))
  let anchors: Certificate[] = []
  let revocations: RevocationList[] = []
  const domainAnchors = resolved.domains === null ? null : new Map<string, Certificate[]>()
  try {
    if (ownPath) anchors = readAnchors(caPems.join(''))
    for (const [name, pems] of domainPems) domainAnchors!.set(name, readAnchors(pems.join('')))
  } catch (error) {
    errors.push({ path: `${at}.trusted_ca`, reason: reasonOf(error) })
  }
  let crlPems: string[] = []
  try {
    revocations = readRevocationLists(crlText)
    crlPems = revocationPems(crlText)
    if (resolved.crl !== null && !resolved.crl.includes('X509 CRL')) errors.push({ path: `${at}.crl`, reason: 'holds no CRL in PEM' })
  } catch (error) {
    errors.push({ path: `${at}.crl`, reason: reasonOf(error) })
  }
  if (errors.length > before) return null
  return {
    caPems: [...caPems, ...[...domainPems.values()].flat()],
    first: caPems[0] === undefined ? null : new X509Certificate(caPems[0]),
    ownPath,
    anchors,
    revocations: ownPath ? revocations : [],
    domainAnchors,
    opensslCrls: ownPath ? [] : crlPems,
    hasLists: crlPems.length > 0,
  }
}

function readBundle(pem: string | null, path: string, errors: ConfigError[]): string[] {
  if (pem === null) return []
  const memoKey = contentKey(pem)
  const known = bundles.get(memoKey)
  if (known !== undefined) return known
  try {
    const pems = certificatePems(pem)
    if (pems.length === 0) errors.push({ path, reason: 'holds no certificate in PEM' })
    for (const item of pems) new X509Certificate(item)
    if (pems.length > 0) bundles.put(memoKey, pems)
    return pems
  } catch (error) {
    errors.push({ path, reason: `is no list of certificates in PEM: ${reasonOf(error)}` })
    return []
  }
}
