// What can be said against a TLS model or a delivered secret before it is used, by building its material and throwing it away. Called when
// a listener or cluster is compiled and when SDS delivers. Invariant: every problem is a {path, reason}; nothing is kept.

import type { ConfigError } from '../../model/config-error.js'
import type { CommonTlsContext, DownstreamTls, Secret, UpstreamTls } from '../../model/tls.js'
import { SecretRegistry } from '../secrets/secret-registry.js'
import type { SessionCache } from './session-cache.js'
import { downstreamInput, type MaterialInput, upstreamInput } from './tls-input.js'
import { buildMaterial } from './tls-material.js'
import { readTicketKeys } from './tls-sources.js'

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
