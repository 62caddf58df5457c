// From a TLS model to what a handshake needs: OpenSSL contexts, our own identity, the verifier of peers, the keys that sessions are filed
// under. Called by the upstream and downstream contexts when they are made and when a secret changes, and by checkTlsModel when a listener
// or cluster is compiled. Invariant: contexts with the same content are one object (a thousand clusters share one leaf), and a failed build
// is a list of {path, reason} that never holds key material.

import { constants, createPrivateKey, X509Certificate } from 'node:crypto'
import type { SecureContext, SecureContextOptions } from 'node:tls'
import { RE2JS } from 're2js'
import type { ConfigError } from '../model/config-error.js'
import type {
  CommonTlsContext,
  DataSource,
  DownstreamTls,
  SdsSecretRef,
  Secret,
  TlsCertificate,
  UpstreamTls,
  ValidationContext,
} from '../model/tls.js'
import { certificatePems } from './ca/der.js'
import type { Certificate } from './ca/x509.js'
import { CertificateIdentity } from './certificate-identity.js'
import { readAnchors } from './certificate-path.js'
import { needsStaple, type OcspStaple, readStaple, type StaplePolicy } from './ocsp-staple.js'
import { PeerVerifier, strictTrustDomains } from './peer-verification.js'
import { type RevocationList, readRevocationLists, revocationPems } from './revocation.js'
import { SecretRegistry } from './secret-registry.js'
import { ContentCache, checkParameters, hash, MAX_CACHED_CONTEXTS, obtainContext, parameterOptions } from './secure-contexts.js'
import type { SessionCache } from './session-cache.js'
import { CONFIGURED_KEY_BYTES, TicketKeys } from './ticket-keys.js'
import type { JudgingRules } from './trust-history.js'

export interface OwnCertificate {
  readonly identity: CertificateIdentity
  readonly context: SecureContext
  /** `<inline>` or the file's path, as Envoy's /certs shows it. */
  readonly path: string
  readonly staple: OcspStaple | null
  /** The certificate itself says that it is never shown without a staple. */
  readonly mustStaple: boolean
}

export interface TlsMaterial {
  readonly common: CommonTlsContext
  /** Of the first of `own`, if there is one: a client's only one. */
  readonly context: SecureContext
  readonly own: readonly OwnCertificate[]
  readonly verifier: PeerVerifier
  readonly trustedCa: { readonly certificate: X509Certificate; readonly path: string } | null
  /** Hash of everything a peer is verified against: not of our own leaf. */
  readonly verifyKey: string
  readonly rules: JudgingRules
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
  readonly ticketKeys: readonly DataSource[]
  readonly ticketKeysSds: SdsSecretRef | null
  readonly staplePolicy: StaplePolicy
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
    ticketKeys: model.ticketKeys,
    ticketKeysSds: model.ticketKeysSds,
    staplePolicy: model.ocspStaplePolicy,
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
    ticketKeys: [],
    ticketKeysSds: null,
    staplePolicy: 'LENIENT',
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
  if (secret.kind === 'ticketKeys') {
    const errors: ConfigError[] = []
    if (secret.keys.every(({ kind }) => kind === 'inline')) readTicketKeys(secret.keys, 'session_ticket_keys', registry, errors)
    return errors
  }
  const isCertificate = secret.kind === 'certificate'
  if (!isCertificate && secret.kind !== 'validation') return []
  const sources = isCertificate
    ? [
        secret.certificate.certificateChain,
        secret.certificate.privateKey,
        secret.certificate.password,
        secret.certificate.ocspStaple ?? null,
      ]
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
    ticketKeys: [],
    ticketKeysSds: null,
    staplePolicy: 'LENIENT',
    extraKey: '',
  }
  const result = buildMaterial(input, registry, null)
  return result.ok ? [] : result.errors
}

interface Resolved {
  readonly certificates: readonly { chain: string; key: string; passphrase: string; ocsp: Buffer | null; path: string; at: string }[]
  readonly validation: ValidationContext | null
  readonly trustedCa: string | null
  readonly caPath: string
  readonly crl: string | null
  readonly domains: ReadonlyMap<string, string> | null
  /** Empty: keys of our own. */
  readonly ticketKeys: readonly Buffer[]
}

/** Sources and secrets that a model names, for SecretRegistry.depend. */
export function dependenciesOf(
  { common, ticketKeys, ticketKeysSds }: MaterialInput,
  registry: SecretRegistry,
): { sources: DataSource[]; refs: SdsSecretRef[] } {
  const sources: DataSource[] = [...ticketKeys]
  const refs = [...common.certificateSds, common.validationSds, ticketKeysSds].filter(ref => ref !== null)
  const addCertificate = (item: TlsCertificate): void => {
    sources.push(...[item.certificateChain, item.privateKey, item.password, item.ocspStaple ?? null].filter(source => source !== null))
  }
  const addValidation = (item: ValidationContext | null): void => {
    if (item === null) return
    for (const source of [item.trustedCa, item.crl]) if (source !== null) sources.push(source)
    if (item.spiffeTrustDomains !== null) sources.push(...item.spiffeTrustDomains.values())
  }
  common.certificates.forEach(addCertificate)
  addValidation(common.validation)
  for (const ref of refs) {
    const secret = registry.secret(ref)
    if (secret?.kind === 'certificate') addCertificate(secret.certificate)
    if (secret?.kind === 'validation') addValidation(secret.validation)
    if (secret?.kind === 'ticketKeys') sources.push(...secret.keys)
  }
  return { sources, refs }
}

export function buildMaterial(input: MaterialInput, registry: SecretRegistry, sessions: SessionCache | null): MaterialResult {
  const errors: ConfigError[] = []
  const missing: string[] = []
  const resolved = resolve(input, registry, errors, missing)
  if (missing.length > 0) return { ok: false, errors, missing }
  checkParameters(input.common, errors)
  if (input.role === 'server' && resolved.certificates.length === 0 && errors.length === 0)
    errors.push({ path: 'common_tls_context.tls_certificates', reason: 'a server needs a certificate' })
  const identities = resolved.certificates.map(item => checkOwnCertificate(item, errors))
  const staples = resolved.certificates.map((item, i) =>
    input.role === 'server' ? staplesOf(item, identities[i]!, input, errors) : noStaple,
  )
  const trust = readTrust(resolved, errors)
  if (errors.length > 0 || trust === null) return { ok: false, errors, missing }

  const ownUris = identities.flatMap(item => item?.uriSans ?? [])
  const trustDomains = strictTrustDomains(ownUris, resolved.validation)
  const { validation } = resolved
  const rest = hash(
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
      resolved.crl,
      resolved.domains === null ? null : [...resolved.domains],
      trustDomains === null ? null : [...trustDomains],
    ]),
  )
  const verifyKey = hash(JSON.stringify([rest, resolved.trustedCa]))
  const ownNames = JSON.stringify(identities.map(item => [item?.uriSans, item?.dnsSans, item?.subject]))
  const ticketKey = hash(verifyKey + ownNames)
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
  const configuredKeys = resolved.ticketKeys.length === 0 ? null : new TicketKeys(resolved.ticketKeys, ticketKey)
  const options: SecureContextOptions = {
    ...parameterOptions(input.common),
    // An empty list rather than none: without it Node would trust the public roots.
    ca: trust.caPems,
    ...(trust.opensslCrls.length === 0 ? {} : { crl: trust.opensslCrls }),
    secureOptions: (input.allowRenegotiation ? 0 : constants.SSL_OP_NO_RENEGOTIATION) | (tickets ? 0 : constants.SSL_OP_NO_TICKET),
    ...(input.role === 'server' ? { sessionIdContext: ticketKey.slice(0, 32), honorCipherOrder: true } : {}),
    ...(input.role === 'server' && sessions !== null && configuredKeys === null ? { ticketKeys: sessions.ticketKeys(ticketKey) } : {}),
    ...(input.sessionTimeoutMs === null ? {} : { sessionTimeout: Math.max(1, Math.floor(input.sessionTimeoutMs / 1000)) }),
  }
  try {
    const own = resolved.certificates.map((item, i) => ({
      identity: identities[i]!,
      path: item.path,
      ...staples[i]!,
      context: obtainContext(
        {
          ...options,
          cert: item.chain,
          key: item.key,
          ...(item.passphrase === '' ? {} : { passphrase: item.passphrase }),
        },
        configuredKeys,
      ),
    }))
    const material: TlsMaterial = {
      common: input.common,
      context: own[0]?.context ?? obtainContext(options, configuredKeys),
      own,
      verifier,
      trustedCa: trust.first === null ? null : { certificate: trust.first, path: resolved.caPath },
      verifyKey,
      // A list of revocations in the bundle is no certificate that more of would only admit more.
      rules: { rest, anchors: trust.hasLists || resolved.trustedCa === null ? null : new Set(trust.caPems.map(hash)) },
      resumptionKey: hash(verifyKey + identities.map(item => item!.sha256).join()),
      requestsPeer,
    }
    return { ok: true, material }
  } catch (error) {
    // The parts were checked one by one, so this names the whole.
    return { ok: false, errors: [{ path: 'common_tls_context', reason: reasonOf(error) }], missing }
  }
}

// ---- sources ----------------------------------------------------------------------------------------------------------------------

function resolve(input: MaterialInput, registry: SecretRegistry, errors: ConfigError[], missing: string[]): Resolved {
  const { common } = input
  const read = (source: DataSource | null, path: string): string => {
    if (source === null) return ''
    const result = registry.read(source)
    if (result.ok) return result.text
    errors.push({ path, reason: result.reason })
    return ''
  }
  const readOcsp = (source: DataSource | null, path: string): Buffer | null => {
    if (source === null) return null
    const result = registry.readBytes(source)
    if (result.ok) return result.bytes
    errors.push({ path, reason: result.reason })
    return null
  }
  const listed = common.certificates.map((certificate, i) => ({ certificate, at: `common_tls_context.tls_certificates[${i}]` }))
  common.certificateSds.forEach((ref, i) => {
    const at = `common_tls_context.tls_certificate_sds_secret_configs[${i}]`
    const secret = registry.secret(ref)
    if (secret === null) missing.push(ref.name)
    else if (secret.kind !== 'certificate') errors.push({ path: at, reason: `the secret ${ref.name} is no certificate` })
    else listed.push({ certificate: secret.certificate, at })
  })
  let { validation } = common
  let validationAt = 'common_tls_context.validation_context'
  if (common.validationSds !== null) {
    validationAt = 'common_tls_context.validation_context_sds_secret_config'
    const secret = registry.secret(common.validationSds)
    if (secret === null) missing.push(common.validationSds.name)
    else if (secret.kind !== 'validation') errors.push({ path: validationAt, reason: `the secret ${secret.name} is no validation context` })
    else validation = validation === null ? secret.validation : mergeValidation(validation, secret.validation)
  }
  const text = (source: DataSource | null, path: string): string | null => (source === null ? null : read(source, path))
  const domains = validation?.spiffeTrustDomains ?? null
  return {
    certificates: listed.map(({ certificate, at }) => ({
      chain: read(certificate.certificateChain, `${at}.certificate_chain`),
      key: read(certificate.privateKey, `${at}.private_key`),
      passphrase: read(certificate.password, `${at}.password`).trimEnd(),
      ocsp: readOcsp(certificate.ocspStaple ?? null, `${at}.ocsp_staple`),
      path: pathOf(certificate.certificateChain),
      at,
    })),
    validation,
    trustedCa: text(validation?.trustedCa ?? null, `${validationAt}.trusted_ca`),
    caPath: validation?.trustedCa ? pathOf(validation.trustedCa) : '',
    crl: text(validation?.crl ?? null, `${validationAt}.crl`),
    ticketKeys: resolveTicketKeys(input, registry, errors, missing),
    domains:
      domains === null
        ? null
        : new Map(
            [...domains].map(([name, source]) => [name, read(source, `${validationAt}.custom_validator_config.trust_domains[${name}]`)]),
          ),
  }
}

function resolveTicketKeys(
  { ticketKeys, ticketKeysSds: ref }: MaterialInput,
  registry: SecretRegistry,
  errors: ConfigError[],
  missing: string[],
): readonly Buffer[] {
  if (ref === null) return readTicketKeys(ticketKeys, 'session_ticket_keys', registry, errors)
  const at = 'session_ticket_keys_sds_secret_config'
  const secret = registry.secret(ref)
  if (secret?.kind === 'ticketKeys') return readTicketKeys(secret.keys, at, registry, errors)
  if (secret === null) missing.push(ref.name)
  else errors.push({ path: at, reason: `the secret ${ref.name} holds no session ticket keys` })
  return []
}

function readTicketKeys(sources: readonly DataSource[], at: string, registry: SecretRegistry, errors: ConfigError[]): readonly Buffer[] {
  return sources.flatMap((source, i) => {
    const result = registry.readBytes(source)
    if (result.ok && result.bytes.length === CONFIGURED_KEY_BYTES) return [result.bytes]
    const reason = result.ok ? `a key has ${CONFIGURED_KEY_BYTES} bytes, this one ${result.bytes.length}` : result.reason
    errors.push({ path: `${at}.keys[${i}]`, reason })
    return []
  })
}

function pathOf(source: DataSource): string {
  return source.kind === 'file' ? source.path : '<inline>'
}

/** combined_validation_context: the SDS part wins, lists are joined (protobuf's MergeFrom). */
function mergeValidation(base: ValidationContext, sds: ValidationContext): ValidationContext {
  return {
    trustedCa: sds.trustedCa ?? base.trustedCa,
    crl: sds.crl ?? base.crl,
    sanMatchers: [...base.sanMatchers, ...sds.sanMatchers],
    verifyCertificateSpki: [...base.verifyCertificateSpki, ...sds.verifyCertificateSpki],
    verifyCertificateHash: [...base.verifyCertificateHash, ...sds.verifyCertificateHash],
    allowExpiredCertificate: base.allowExpiredCertificate || sds.allowExpiredCertificate,
    trustChainVerification: sds.trustChainVerification === 'ACCEPT_UNTRUSTED' ? 'ACCEPT_UNTRUSTED' : base.trustChainVerification,
    onlyVerifyLeafCertCrl: base.onlyVerifyLeafCertCrl || sds.onlyVerifyLeafCertCrl,
    maxVerifyDepth: sds.maxVerifyDepth ?? base.maxVerifyDepth,
    spiffeTrustDomains: sds.spiffeTrustDomains ?? base.spiffeTrustDomains,
  }
}

function checkOwnCertificate(item: Resolved['certificates'][number], errors: ConfigError[]): CertificateIdentity | null {
  const memoKey = hash(JSON.stringify([item.chain, item.key, item.passphrase]))
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

const noStaple = { staple: null, mustStaple: false }

function staplesOf(
  { ocsp, at }: Resolved['certificates'][number],
  identity: CertificateIdentity | null,
  { staplePolicy }: MaterialInput,
  errors: ConfigError[],
): Pick<OwnCertificate, 'staple' | 'mustStaple'> {
  if (identity === null) return noStaple
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
    return noStaple
  }
}

// ---- trust ------------------------------------------------------------------------------------------------------------------------

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

function readTrust(resolved: Resolved, errors: ConfigError[]): Trust | null {
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
  const memoKey = hash(pem)
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

const ownIdentities = new ContentCache<CertificateIdentity>(MAX_CACHED_CONTEXTS)
const bundles = new ContentCache<string[]>(MAX_CACHED_CONTEXTS)

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
