// From a TLS model to what a handshake needs: OpenSSL contexts, our own identity, the verifier of peers, the keys that sessions are filed
// under. Called by the upstream and downstream contexts when they are made and when a secret changes, and by checkTlsModel when a listener
// or cluster is compiled. Invariant: contexts with the same content are one object (a thousand clusters share one leaf), and a failed build
// is a list of {path, reason} that never holds key material.

import { constants, createPrivateKey, X509Certificate } from 'node:crypto'
import tls, { type SecureContext, type SecureContextOptions } from 'node:tls'
import type { ConfigError } from '../model/config-error.js'
import type { CommonTlsContext, DownstreamTls, Secret, UpstreamTls } from '../model/tls.js'
import { reasonOf } from './ca/ca-error.js'
import { certificatePems } from './ca/der.js'
import { CertificateIdentity } from './certificate-identity.js'
import { ContentCache, contentKey } from './content-cache.js'
import { PeerVerifier, strictTrustDomains } from './peer-verification.js'
import { SecretRegistry } from './secret-registry.js'
import type { SessionCache } from './session-cache.js'
import { checkParameters, parameterOptions } from './tls-parameters.js'
import { type OwnSources, resolveSources, type TlsSources } from './tls-sources.js'
import { readTrust } from './tls-trust.js'

export interface OwnCertificate {
  readonly identity: CertificateIdentity
  readonly context: SecureContext
  /** `<inline>` or the file's path, as Envoy's /certs shows it. */
  readonly path: string
}

export interface TlsMaterial {
  readonly common: CommonTlsContext
  /** Used unless SNI names another of `own`. */
  readonly context: SecureContext
  readonly own: readonly OwnCertificate[]
  readonly verifier: PeerVerifier
  readonly trustedCa: { readonly certificate: X509Certificate; readonly path: string } | null
  /** Hash of everything a peer is verified against: not of our own leaf. */
  readonly verifyKey: string
  /** Hash of verifyKey and our own certificate: what a client's session may be resumed under. */
  readonly resumptionKey: string
  readonly requestsPeer: boolean
}

export type MaterialResult =
  | { readonly ok: true; readonly material: TlsMaterial }
  /** `missing`: SDS secrets that have not come; then `errors` is empty. */
  | { readonly ok: false; readonly errors: readonly ConfigError[]; readonly missing: readonly string[] }

export interface MaterialInput {
  readonly role: 'client' | 'server'
  readonly common: CommonTlsContext
  readonly requireClientCertificate: boolean
  readonly allowRenegotiation: boolean
  readonly tickets: boolean
  readonly sessionTimeoutMs: number | null
  /** What else a connection is verified against, e.g. SNI and whether it must be among the names. */
  readonly extraKey: string
}

export function downstreamInput(model: DownstreamTls): MaterialInput {
  return {
    role: 'server',
    common: model.common,
    requireClientCertificate: model.requireClientCertificate,
    allowRenegotiation: false,
    tickets: !model.disableStatelessSessionResumption,
    sessionTimeoutMs: model.sessionTimeoutMs,
    extraKey: String(model.requireClientCertificate),
  }
}

export function upstreamInput(model: UpstreamTls, autoSan: boolean): MaterialInput {
  return {
    role: 'client',
    common: model.common,
    requireClientCertificate: false,
    allowRenegotiation: model.allowRenegotiation,
    tickets: model.maxSessionKeys > 0,
    sessionTimeoutMs: null,
    extraKey: JSON.stringify([model.sni, model.autoHostSni, autoSan || model.autoSniSanValidation]),
  }
}

/**
 * Every problem of a model that only key material and this OpenSSL can show; paths are relative to the TLS context. Secrets that SDS has yet
 * to deliver are no problem.
 */
export function checkTlsModel(
  model: DownstreamTls | UpstreamTls,
  registry: SecretRegistry = new SecretRegistry(),
  sessions: SessionCache | null = null,
): readonly ConfigError[] {
  const input = 'requireClientCertificate' in model ? downstreamInput(model) : upstreamInput(model, false)
  const errors: ConfigError[] = []
  const sni = 'sni' in model ? model.sni : ''
  // OpenSSL takes C strings: a NUL would cut the name that is verified (CVE-2026-48930, CVE-2026-105482).
  if (/[\0-\x20\x7f]/.test(sni)) errors.push({ path: 'sni', reason: 'holds a control character or a space' })
  if (Buffer.byteLength(sni) > 255) errors.push({ path: 'sni', reason: 'is longer than 255 bytes' })
  const result = buildMaterial(input, registry, sessions)
  return result.ok ? errors : [...errors, ...result.errors]
}

/**
 * What is wrong with a delivered secret by itself, so that it can be refused (NACK) and the last good one stays. Secrets that point to
 * files are judged when they are used: a half-written file is read again, not refused.
 */
export function checkSecret(secret: Secret, registry: SecretRegistry): readonly ConfigError[] {
  const isCertificate = secret.kind === 'certificate'
  if (!isCertificate && secret.kind !== 'validation') return []
  const sources = isCertificate
    ? [secret.certificate.certificateChain, secret.certificate.privateKey, secret.certificate.password]
    : [secret.validation.trustedCa, secret.validation.crl, ...(secret.validation.spiffeTrustDomains?.values() ?? [])]
  if (sources.some(source => source !== null && source.kind !== 'inline')) return []
  const common: CommonTlsContext = {
    minVersion: 'TLSv1.2',
    maxVersion: 'TLSv1.3',
    cipherSuites: [],
    ecdhCurves: [],
    signatureAlgorithms: [],
    alpnProtocols: [],
    certificates: isCertificate ? [secret.certificate] : [],
    certificateSds: [],
    validation: isCertificate ? null : secret.validation,
    validationSds: null,
  }
  const input: MaterialInput = {
    role: 'client',
    common,
    requireClientCertificate: false,
    allowRenegotiation: false,
    tickets: false,
    sessionTimeoutMs: null,
    extraKey: '',
  }
  const result = buildMaterial(input, registry, null)
  return result.ok ? [] : result.errors
}

export function buildMaterial(input: MaterialInput, registry: SecretRegistry, sessions: SessionCache | null): MaterialResult {
  const errors: ConfigError[] = []
  const missing: string[] = []
  const resolved = resolveSources(input.common, registry, errors, missing)
  if (missing.length > 0) return { ok: false, errors, missing }
  checkParameters(input.common, errors)
  if (input.role === 'server' && resolved.certificates.length === 0 && errors.length === 0)
    errors.push({ path: 'common_tls_context.tls_certificates', reason: 'a server needs a certificate' })
  const identities = resolved.certificates.map(item => checkOwnCertificate(item, errors))
  const trust = readTrust(resolved, errors)
  if (errors.length > 0 || trust === null) return { ok: false, errors, missing }

  const ownUris = identities.flatMap(item => item?.uriSans ?? [])
  const trustDomains = strictTrustDomains(ownUris, resolved.validation)
  const { validation } = resolved
  const verifyKey = contentKey(
    JSON.stringify([
      input.role,
      input.extraKey,
      input.common.minVersion,
      input.common.maxVersion,
      input.common.cipherSuites,
      input.common.ecdhCurves,
      input.common.signatureAlgorithms,
      input.common.alpnProtocols,
      validation === null ? null : { ...validation, trustedCa: null, crl: null, spiffeTrustDomains: null },
      resolved.trustedCa,
      resolved.crl,
      resolved.domains === null ? null : [...resolved.domains],
      trustDomains === null ? null : [...trustDomains],
    ]),
  )
  const ownNames = JSON.stringify(identities.map(item => [item?.uriSans, item?.dnsSans, item?.subject]))
  const ticketKey = contentKey(verifyKey + ownNames)
  const verifier = new PeerVerifier({
    usage: input.role === 'server' ? 'clientAuth' : 'serverAuth',
    required: input.role === 'client' || input.requireClientCertificate,
    validation,
    hasTrustedCa: resolved.trustedCa !== null,
    ownPath: trust.ownPath,
    anchors: trust.anchors,
    revocations: trust.revocations,
    domainAnchors: trust.domainAnchors,
    trustDomains,
  })
  const requestsPeer =
    input.role === 'client' ||
    input.requireClientCertificate ||
    resolved.trustedCa !== null ||
    resolved.domains !== null ||
    (validation !== null && validation.verifyCertificateHash.length + validation.verifyCertificateSpki.length > 0)
  // A resumed client has no intermediates to show, so where the path is judged here every handshake of a server is a full one.
  const tickets = input.tickets && !(input.role === 'server' && trust.ownPath)
  const options: SecureContextOptions = {
    ...parameterOptions(input.common),
    // An empty list rather than none: without it Node would trust the public roots.
    ca: trust.caPems,
    ...(trust.opensslCrl === null ? {} : { crl: trust.opensslCrl }),
    secureOptions: (input.allowRenegotiation ? 0 : constants.SSL_OP_NO_RENEGOTIATION) | (tickets ? 0 : constants.SSL_OP_NO_TICKET),
    ...(input.role === 'server' ? { sessionIdContext: ticketKey.slice(0, 32), honorCipherOrder: true } : {}),
    ...(input.role === 'server' && sessions !== null ? { ticketKeys: sessions.ticketKeys(ticketKey) } : {}),
    ...(input.sessionTimeoutMs === null ? {} : { sessionTimeout: Math.max(1, Math.floor(input.sessionTimeoutMs / 1000)) }),
  }
  try {
    const own = resolved.certificates.map((item, i) => ({
      identity: identities[i]!,
      path: item.path,
      context: obtainContext({
        ...options,
        cert: item.chain,
        key: item.key,
        ...(item.passphrase === '' ? {} : { passphrase: item.passphrase }),
      }),
    }))
    const material: TlsMaterial = {
      common: input.common,
      context: combinedContext(options, resolved, own) ?? obtainContext(options),
      own,
      verifier,
      trustedCa: trust.first === null ? null : { certificate: trust.first, path: resolved.caPath },
      verifyKey,
      resumptionKey: contentKey(verifyKey + identities.map(item => item!.sha256).join()),
      requestsPeer,
    }
    return { ok: true, material }
  } catch (error) {
    // The parts were checked one by one, so this names the whole.
    return { ok: false, errors: [{ path: 'common_tls_context', reason: reasonOf(error) }], missing }
  }
}

/** Several certificates of different key types stand in one context (OpenSSL picks by the client's algorithms); else the first is meant. */
function combinedContext(options: SecureContextOptions, resolved: TlsSources, own: readonly OwnCertificate[]): SecureContext | null {
  if (own.length <= 1) return own[0]?.context ?? null
  const types = new Set<string | undefined>()
  const chosen = resolved.certificates.filter((item, i) => {
    const type = own[i]!.identity.x509.publicKey.asymmetricKeyType
    if (types.has(type) || item.passphrase !== '') return false
    types.add(type)
    return true
  })
  if (chosen.length <= 1) return own[0]!.context
  return obtainContext({ ...options, cert: chosen.map(item => item.chain), key: chosen.map(item => item.key) })
}

function checkOwnCertificate(item: OwnSources, errors: ConfigError[]): CertificateIdentity | null {
  const memoKey = contentKey(JSON.stringify([item.chain, item.key, item.passphrase]))
  const known = ownIdentities.get(memoKey)
  if (known !== undefined) return known
  const before = errors.length
  let identity: CertificateIdentity | null = null
  try {
    identity = new CertificateIdentity(new X509Certificate(item.chain), true)
    for (const pem of certificatePems(item.chain)) new X509Certificate(pem)
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

// ---- contexts by content ----------------------------------------------------------------------------------------------------------

const contexts = new ContentCache<SecureContext>()
const ownIdentities = new ContentCache<CertificateIdentity>()

/** Throws what OpenSSL says. */
function obtainContext(options: SecureContextOptions): SecureContext {
  const key = contentKey(JSON.stringify(options))
  let context = contexts.get(key)
  if (context === undefined) {
    context = tls.createSecureContext({ ...options, allowPartialTrustChain: true } as SecureContextOptions)
    contexts.put(key, context)
  }
  return context
}
