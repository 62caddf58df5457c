// The verdict on a peer's certificate: chain, times, key usage, hashes, names, SPIFFE rules. Called by the upstream and downstream contexts
// on every handshake, resumed or not, before a byte of the application is read; reads certificates by certificate-identity and, where
// OpenSSL can't be asked, certificate-path. Invariant: what OpenSSL said about the chain is asked each time; what depends on the certificate
// and the rules alone is worked out once per certificate and cached; times are compared each time.
// Strict SPIFFE rules (exactly one `spiffe:` URI SAN, good syntax, a trust domain we know, no CA) hold where the config speaks SPIFFE: our
// own leaf has an id, a matcher names one, or the SPIFFE validator is set. URIs of other schemes may stand beside it, as Kuma issues them. A matcher that names an exact id admits that id's trust domain, since a
// cluster that stands for a peered mesh is such. Elsewhere Envoy's rules hold.

import { createHash, type X509Certificate } from 'node:crypto'
import { RE2JS } from 're2js'
import type { StringMatcher } from '../../model/matcher.js'
import type { SanMatcher, SanType, ValidationContext } from '../../model/tls.js'
import { parseSpiffeId } from '../spiffe.js'
import { DerError } from '../x509/der.js'
import type { Certificate } from '../x509/x509.js'
import { CertificateIdentity, fingerprintOf } from './certificate-identity.js'
import { checkPath, MAX_INTERMEDIATES } from './certificate-path.js'
import { checkRevocation, type RevocationList } from './revocation.js'

/** Certificates whose verdict one set of rules remembers. */
export const MAX_KNOWN_PEERS = 1024

/** Why a peer is refused. Bounded: each is the last part of a counter's name. */
export type RefusalCode =
  | 'no-certificate'
  | 'malformed'
  | 'chain'
  | 'expired'
  | 'not-yet-valid'
  | 'revoked'
  | 'key-usage'
  | 'ca-leaf'
  | 'depth'
  | 'certificate-hash'
  | 'san'
  | 'server-name'
  | 'uri-san-count'
  | 'spiffe-syntax'
  | 'trust-domain'
  | 'no-trust-bundle'
  | 'sni-missing'

export interface Refusal {
  readonly ok: false
  readonly code: RefusalCode
  readonly reason: string
}

export type PeerVerdict = { readonly ok: true; readonly peer: CertificateIdentity | null } | Refusal

/** Everything a peer is judged by. Anchors are parsed only where the path is validated here (`ownPath`). */
export interface PeerRules {
  readonly usage: 'serverAuth' | 'clientAuth'
  readonly required: boolean
  readonly validation: ValidationContext | null
  readonly hasTrustedCa: boolean
  readonly ownPath: boolean
  readonly anchors: readonly Certificate[]
  readonly revocations: readonly RevocationList[]
  /** Trust domain -> anchors, of the SPIFFE validator. */
  readonly domainAnchors: ReadonlyMap<string, readonly Certificate[]> | null
  /** Strict SPIFFE rules; null = off, a set = the trust domains admitted (empty: any). */
  readonly trustDomains: ReadonlySet<string> | null
}

type SanTest = (identity: CertificateIdentity) => boolean

interface Known {
  readonly identity: CertificateIdentity
  readonly refusal: Refusal | null
  /** Validity of the path judged here; without own path, infinite. */
  readonly fromMs: number
  readonly untilMs: number
}

function refuse(code: RefusalCode, reason: string): Refusal {
  return { ok: false, code, reason }
}

export const NO_CERTIFICATE: Refusal = refuse('no-certificate', 'the peer sent no certificate')

export class PeerVerifier {
  readonly rules: PeerRules
  private readonly sanTests: readonly SanTest[]
  private readonly hashes: ReadonlySet<string>
  private readonly spkis: ReadonlySet<string>
  private readonly verifies: boolean
  private readonly acceptUntrusted: boolean
  private readonly allowExpired: boolean
  private readonly known = new Map<string, Known>()

  constructor(rules: PeerRules) {
    const { validation } = rules
    this.rules = rules
    this.sanTests = (validation?.sanMatchers ?? []).map(compileSanMatcher)
    this.hashes = new Set(validation?.verifyCertificateHash.map(text => text.replaceAll(':', '').toLowerCase()))
    this.spkis = new Set(validation?.verifyCertificateSpki)
    this.verifies = rules.hasTrustedCa || rules.domainAnchors !== null
    this.acceptUntrusted = validation?.trustChainVerification === 'ACCEPT_UNTRUSTED'
    this.allowExpired = validation?.allowExpiredCertificate === true
  }

  /** No peer passes without a certificate. */
  get demandsCertificate(): boolean {
    return this.rules.required && !this.acceptUntrusted
  }

  /**
   * HOT: per handshake. `certificate` as Node gives it; `chainError` is OpenSSL's code for the chain or null; `serverName`: a DNS name that
   * must be among the SANs too (auto_sni_san_validation), '' for none.
   */
  judge(certificate: X509Certificate | undefined, chainError: string | null, serverName: string, nowMs: number): PeerVerdict {
    if (certificate === undefined) return this.withoutCertificate()
    const fingerprint = fingerprintOf(certificate)
    return this.decide(this.known.get(fingerprint) ?? this.learn(certificate, fingerprint, nowMs), chainError, serverName, nowMs)
  }

  /** A resumed session: the identity of its full handshake, judged again. */
  judgeAgain(identity: CertificateIdentity | null, chainError: string | null, serverName: string, nowMs: number): PeerVerdict {
    if (identity === null) return this.withoutCertificate()
    return this.decide(this.known.get(identity.sha256) ?? this.learn(identity.x509, identity.sha256, nowMs), chainError, serverName, nowMs)
  }

  private withoutCertificate(): PeerVerdict {
    return this.demandsCertificate ? NO_CERTIFICATE : { ok: true, peer: null }
  }

  private decide(known: Known | Refusal, chainError: string | null, serverName: string, nowMs: number): PeerVerdict {
    if (!('identity' in known)) return known
    if (nowMs > known.untilMs || nowMs < known.fromMs) {
      this.known.delete(known.identity.sha256)
      const again = this.learn(known.identity.x509, known.identity.sha256, nowMs)
      return 'identity' in again ? this.finish(again, chainError, serverName, nowMs) : again
    }
    return this.finish(known, chainError, serverName, nowMs)
  }

  private finish(known: Known, chainError: string | null, serverName: string, nowMs: number): PeerVerdict {
    const { identity } = known
    const refusal = this.chainRefusal(chainError) ?? this.timeRefusal(identity, nowMs) ?? known.refusal ?? nameRefusal(identity, serverName)
    if (refusal === null) return { ok: true, peer: identity }
    if (!this.acceptUntrusted) return refusal
    return { ok: true, peer: identity.validated ? new CertificateIdentity(identity.x509, false) : identity }
  }

  private chainRefusal(chainError: string | null): Refusal | null {
    if (chainError === null || this.rules.ownPath || !this.rules.hasTrustedCa) return null
    switch (chainError) {
      case 'CERT_HAS_EXPIRED':
        return refuse('expired', 'a certificate of the chain has expired')
      case 'CERT_NOT_YET_VALID':
        return refuse('not-yet-valid', 'a certificate of the chain is not valid yet')
      case 'CERT_REVOKED':
        return refuse('revoked', 'a certificate of the chain is revoked')
      case 'INVALID_PURPOSE':
        return refuse('key-usage', `the certificate is not for ${this.rules.usage}`)
      default:
        return refuse('chain', `the chain does not verify: ${chainError}`)
    }
  }

  private timeRefusal(identity: CertificateIdentity, nowMs: number): Refusal | null {
    if (!this.verifies || this.allowExpired) return null
    if (nowMs > identity.notAfterMs) return refuse('expired', `the certificate expired at ${identity.notAfter.toISOString()}`)
    // The second of notBefore has begun for whoever issued it; clocks differ by less than that.
    if (nowMs + 999 < identity.notBeforeMs)
      return refuse('not-yet-valid', `the certificate is valid from ${identity.notBefore.toISOString()}`)
    return null
  }

  private learn(certificate: X509Certificate, fingerprint: string, nowMs: number): Known | Refusal {
    let identity: CertificateIdentity
    try {
      identity = new CertificateIdentity(certificate, this.verifies || this.hashes.size > 0 || this.spkis.size > 0)
    } catch (error) {
      if (!(error instanceof DerError)) throw error
      return refuse('malformed', `the certificate can't be read: ${error.message}`)
    }
    let refusal = this.staticRefusal(identity)
    let fromMs = 0
    let untilMs = Number.POSITIVE_INFINITY
    if (refusal === null && this.rules.ownPath) {
      const path = checkPath(certificate, {
        anchors: this.anchorsFor(identity),
        allowExpired: this.allowExpired,
        maxIntermediates: this.rules.validation?.maxVerifyDepth ?? MAX_INTERMEDIATES,
        nowMs,
      })
      if (!path.ok) {
        // A refusal that time may change is not remembered.
        if (path.code !== 'chain') return this.acceptUntrusted ? { identity, refusal: path, fromMs, untilMs: nowMs } : path
        refusal = path
      } else {
        fromMs = path.notBeforeMs - 999
        untilMs = path.notAfterMs
        const { revocations, validation } = this.rules
        if (revocations.length > 0) {
          const revocation = checkRevocation(path.path, revocations, validation?.onlyVerifyLeafCertCrl === true, nowMs)
          if (revocation.ok) {
            fromMs = Math.max(fromMs, revocation.fromMs)
            untilMs = Math.min(untilMs, revocation.untilMs)
          } else {
            refusal = refuse('revoked', revocation.reason)
            if (revocation.timed) return this.acceptUntrusted ? { identity, refusal, fromMs, untilMs: nowMs } : refusal
          }
        }
      }
    }
    const known = { identity, refusal, fromMs, untilMs }
    if (this.known.size >= MAX_KNOWN_PEERS) this.known.delete(this.known.keys().next().value!)
    this.known.set(fingerprint, known)
    return known
  }

  private anchorsFor(identity: CertificateIdentity): readonly Certificate[] {
    const { domainAnchors, anchors } = this.rules
    if (domainAnchors === null) return anchors
    const id = parseSpiffeId(spiffeUris(identity)[0] ?? '')
    return id.ok ? (domainAnchors.get(id.id.trustDomain) ?? []) : []
  }

  private staticRefusal(identity: CertificateIdentity): Refusal | null {
    const { rules } = this
    if (!identity.allowsUsage(rules.usage) && (this.verifies || rules.trustDomains !== null))
      return refuse('key-usage', `the certificate is not for ${rules.usage}`)
    if (this.hashes.size > 0 || this.spkis.size > 0) {
      if (!this.hashes.has(identity.sha256) && !this.spkis.has(spkiHash(identity.x509)))
        return refuse('certificate-hash', 'neither the hash of the certificate nor that of its key is configured')
    }
    return this.spiffeRefusal(identity) ?? this.sanRefusal(identity)
  }

  private spiffeRefusal(identity: CertificateIdentity): Refusal | null {
    const { trustDomains, domainAnchors, hasTrustedCa, required, usage } = this.rules
    if (trustDomains === null) return null
    if (usage === 'clientAuth' && required && !hasTrustedCa && domainAnchors === null && this.hashes.size === 0 && this.spkis.size === 0)
      return refuse('no-trust-bundle', 'the mesh identity of the peer could not be verified: the config has no trust bundle')
    const ids = spiffeUris(identity)
    if (ids.length !== 1) return refuse('uri-san-count', `the certificate has ${ids.length} SPIFFE ids among its URI SANs, not exactly one`)
    const parsed = parseSpiffeId(ids[0]!)
    if (!parsed.ok) return refuse('spiffe-syntax', parsed.error.reason)
    if (identity.ca || identity.mayCertSign) return refuse('ca-leaf', 'the certificate is one of a CA')
    const { trustDomain } = parsed.id
    const admitted = domainAnchors !== null ? domainAnchors.has(trustDomain) : trustDomains.size === 0 || trustDomains.has(trustDomain)
    return admitted ? null : refuse('trust-domain', `the trust domain ${trustDomain} is not one of ours`)
  }

  private sanRefusal(identity: CertificateIdentity): Refusal | null {
    if (this.sanTests.length === 0) return null
    for (const test of this.sanTests) if (test(identity)) return null
    return refuse('san', `none of the names matches: ${describeNames(identity)}`)
  }
}

/** Schemes are equal in any case (RFC 3986 section 3.1), so `SPIFFE:` counts, and is then no id. */
function spiffeUris(identity: CertificateIdentity): string[] {
  return identity.uriSans.filter(uri => /^spiffe:/i.test(uri))
}

function nameRefusal(identity: CertificateIdentity, serverName: string): Refusal | null {
  if (serverName === '' || identity.dnsSans.some(san => dnsNameMatches(san, serverName))) return null
  return refuse('server-name', `no DNS name of the certificate is ${JSON.stringify(serverName)}`)
}

function describeNames(identity: CertificateIdentity): string {
  const names = [...identity.uriSans, ...identity.dnsSans, ...identity.emailSans, ...identity.ipSans]
  return names.length === 0 ? 'it has none' : JSON.stringify(names.slice(0, 4)).slice(0, 300)
}

function spkiHash(certificate: X509Certificate): string {
  return createHash('sha256')
    .update(certificate.publicKey.export({ type: 'spki', format: 'der' }))
    .digest('base64')
}

/** A DNS SAN against a host name: letters fold, a wildcard stands for exactly the whole first label (CVE-2020-15104). */
export function dnsNameMatches(san: string, name: string): boolean {
  const pattern = san.toLowerCase()
  const host = name.toLowerCase()
  if (pattern === host) return host !== ''
  if (!pattern.startsWith('*.') || pattern.length < 3) return false
  const dot = host.indexOf('.')
  return dot > 0 && host.slice(dot) === pattern.slice(1)
}

/** Each matcher sees only names of its own type (CVE-2022-21656); OTHER_NAME is never read, so it never matches (CVE-2025-66220). */
function compileSanMatcher({ sanType, matcher }: SanMatcher): SanTest {
  const matches = compileStringMatcher(matcher)
  const dns = matcher.kind === 'exact' ? (san: string) => dnsNameMatches(san, matcher.value) : matches
  switch (sanType) {
    case 'URI':
      return identity => identity.uriSans.some(matches)
    case 'DNS':
      return identity => identity.dnsSans.some(dns)
    case 'EMAIL':
      return identity => identity.emailSans.some(matches)
    case 'IP_ADDRESS':
      return identity => identity.ipSans.some(matches)
    case 'OTHER_NAME':
      return () => false
    case 'ANY':
      return identity =>
        identity.uriSans.some(matches) || identity.dnsSans.some(dns) || identity.emailSans.some(matches) || identity.ipSans.some(matches)
    default: {
      const never: never = sanType
      return never
    }
  }
}

function compileStringMatcher(matcher: StringMatcher): (text: string) => boolean {
  if (matcher.kind === 'regex') {
    const regex = RE2JS.compile(matcher.value)
    return text => regex.matches(text)
  }
  const fold = matcher.ignoreCase
  const value = fold ? matcher.value.toLowerCase() : matcher.value
  const prepare = (text: string): string => (fold ? text.toLowerCase() : text)
  switch (matcher.kind) {
    case 'exact':
      return text => prepare(text) === value
    case 'prefix':
      return text => prepare(text).startsWith(value)
    case 'suffix':
      return text => prepare(text).endsWith(value)
    case 'contains':
      return text => prepare(text).includes(value)
    default: {
      const never: never = matcher
      return never
    }
  }
}

const SPIFFE_TYPES: ReadonlySet<SanType> = new Set(['URI', 'ANY'])

/**
 * Whether strict SPIFFE rules hold and for which trust domains: null = off; empty = any. `ownUris`: URI SANs of our own leaf.
 */
export function strictTrustDomains(ownUris: readonly string[], validation: ValidationContext | null): ReadonlySet<string> | null {
  if (validation?.outsideMesh === true) return null
  const domains = new Set<string>()
  let strict = validation !== null && validation.spiffeTrustDomains !== null
  for (const uri of ownUris) {
    if (!uri.startsWith('spiffe://')) continue
    strict = true
    const parsed = parseSpiffeId(uri)
    if (parsed.ok) domains.add(parsed.id.trustDomain)
  }
  for (const { sanType, matcher } of validation?.sanMatchers ?? []) {
    if (!SPIFFE_TYPES.has(sanType) || !matcher.value.replace('^', '').startsWith('spiffe://')) continue
    strict = true
    const parsed = matcher.kind === 'exact' ? parseSpiffeId(matcher.value) : null
    if (parsed?.ok && domains.size > 0) domains.add(parsed.id.trustDomain)
  }
  return strict ? domains : null
}
