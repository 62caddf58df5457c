// From a TLS model to what a handshake needs: OpenSSL contexts, our own identity, the verifier of peers, the keys that sessions are filed
// under. Called by the upstream and downstream contexts when they are made and when a secret changes, and by tls-checks when a listener
// or cluster is compiled. Invariant: contexts with the same content are one object (a thousand clusters share one leaf), and a failed build
// is a list of {path, reason} that never holds key material.

import { constants, type X509Certificate } from 'node:crypto'
import type { SecureContext, SecureContextOptions } from 'node:tls'
import type { ConfigError } from '../../model/config-error.js'
import type { CommonTlsContext } from '../../model/tls.js'
import { PeerVerifier, strictTrustDomains } from '../peer/peer-verification.js'
import type { JudgingRules } from '../peer/trust-history.js'
import type { SecretRegistry } from '../secrets/secret-registry.js'
import { reasonOf } from '../x509/certificate-error.js'
import { contentKey } from './content-cache.js'
import { checkOwnCertificate, NO_STAPLE, type OwnCertificate, staplesOf } from './own-certificate.js'
import { checkParameters, obtainContext, parameterOptions } from './secure-contexts.js'
import type { SessionCache } from './session-cache.js'
import { TicketKeys } from './ticket-keys.js'
import type { MaterialInput } from './tls-input.js'
import { resolveSources } from './tls-sources.js'
import { readTrust } from './tls-trust.js'

export interface TlsMaterial {
  readonly common: CommonTlsContext
  /** Of the first of `own`, if there is one: a client's only one. */
  readonly context: SecureContext
  /**
   * What a server's sockets are made with before they get a certificate's own context: it trusts nobody, because to a leaf that stands alone
   * OpenSSL appends whatever issuers it finds in the context that the socket was made with.
   */
  readonly serving: SecureContext
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

export function buildMaterial(input: MaterialInput, registry: SecretRegistry, sessions: SessionCache | null): MaterialResult {
  const errors: ConfigError[] = []
  const missing: string[] = []
  const resolved = resolveSources(input, registry, errors, missing)
  if (missing.length > 0) return { ok: false, errors, missing }
  checkParameters(input.common, errors)
  if (input.role === 'server' && resolved.certificates.length === 0 && errors.length === 0)
    errors.push({ path: 'common_tls_context.tls_certificates', reason: 'a server needs a certificate' })
  const identities = resolved.certificates.map(item => checkOwnCertificate(item, errors))
  const staples = resolved.certificates.map((item, i) =>
    input.role === 'server' ? staplesOf(item, identities[i]!, input, errors) : NO_STAPLE,
  )
  const trust = readTrust(resolved, errors)
  if (errors.length > 0 || trust === null) return { ok: false, errors, missing }

  const ownUris = identities.flatMap(item => item?.uriSans ?? [])
  const trustDomains = strictTrustDomains(ownUris, resolved.validation)
  const { validation } = resolved
  const rest = contentKey(
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
  const verifyKey = contentKey(JSON.stringify([rest, resolved.trustedCa]))
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
  const configuredKeys = resolved.ticketKeys.length === 0 ? null : new TicketKeys(resolved.ticketKeys, ticketKey)
  const options: SecureContextOptions = {
    ...parameterOptions(input.common),
    // An empty list rather than none: without it Node would trust the public roots.
    ca: trust.caPems,
    ...(trust.opensslCrls.length === 0 ? {} : { crl: trust.opensslCrls }),
    secureOptions: (input.allowRenegotiation ? 0 : constants.SSL_OP_NO_RENEGOTIATION) | (tickets ? 0 : constants.SSL_OP_NO_TICKET),
    ...(input.role === 'server' ? { sessionIdContext: ticketKey.slice(0, 32), honorCipherOrder: true } : {}),
    ...(input.role === 'server' && sessions !== null && configuredKeys === null ? { ticketKeys: sessions.ticketKeys(ticketKey) } : {}),
    ...(input.sessionTimeoutMs === null ? {} : { sessionTimeout: sessionSeconds(input.sessionTimeoutMs) }),
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
    const context = own[0]?.context ?? obtainContext(options, configuredKeys)
    const { crl: _, ...trustless } = { ...options, ca: [] }
    const material: TlsMaterial = {
      common: input.common,
      context,
      serving: input.role === 'server' ? obtainContext(trustless, configuredKeys) : context,
      own,
      verifier,
      trustedCa: trust.first === null ? null : { certificate: trust.first, path: resolved.caPath },
      verifyKey,
      // A list of revocations in the bundle is no certificate that more of would only admit more.
      rules: { rest, anchors: trust.hasLists || resolved.trustedCa === null ? null : new Set(trust.caPems.map(contentKey)) },
      resumptionKey: contentKey(verifyKey + identities.map(item => item!.sha256).join()),
      requestsPeer,
    }
    return { ok: true, material }
  } catch (error) {
    // The parts were checked one by one, so this names the whole.
    return { ok: false, errors: [{ path: 'common_tls_context', reason: reasonOf(error) }], missing }
  }
}

/** Node's longest: Envoy takes as long as 32 bits without a sign can say. */
const MAX_SESSION_SECONDS = 2 ** 31 - 1

function sessionSeconds(timeoutMs: number): number {
  return Math.min(MAX_SESSION_SECONDS, Math.max(1, Math.floor(timeoutMs / 1000)))
}
