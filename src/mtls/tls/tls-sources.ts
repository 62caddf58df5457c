// What a TLS context names, read: data sources and SDS secrets become the texts that contexts and verifiers are made from. Called by
// tls-material (the texts), tls-context (what to watch) and tls-checks (ticket keys by themselves). Secrets that have not come are
// `missing`, not errors.

import type { ConfigError } from '../../model/config-error.js'
import type { DataSource, SdsSecretRef, TlsCertificate, ValidationContext } from '../../model/tls.js'
import type { SecretRegistry } from '../secrets/secret-registry.js'
import { CONFIGURED_KEY_BYTES } from './ticket-keys.js'
import type { MaterialInput } from './tls-input.js'

export const CERTIFICATE_SDS_PATH = 'common_tls_context.tls_certificate_sds_secret_configs'

export const certificateSdsPath = (i: number): string => `${CERTIFICATE_SDS_PATH}[${i}]`

/** One own certificate; `at` is its path in the config, `path` the file's (or `<inline>`). */
export interface OwnSources {
  readonly chain: string
  readonly key: string
  readonly passphrase: string
  readonly ocsp: Buffer | null
  readonly path: string
  readonly at: string
}

export interface TlsSources {
  readonly certificates: readonly OwnSources[]
  readonly validation: ValidationContext | null
  readonly trustedCa: string | null
  readonly caPath: string
  readonly crl: string | null
  readonly domains: ReadonlyMap<string, string> | null
  /** Empty: keys of our own. */
  readonly ticketKeys: readonly Buffer[]
}

/** The secrets that a model names. */
export function secretRefsOf({ common, ticketKeysSds }: Pick<MaterialInput, 'common' | 'ticketKeysSds'>): SdsSecretRef[] {
  return [...common.certificateSds, common.validationSds, ticketKeysSds].filter(ref => ref !== null)
}

/** Sources and secrets that a model names, for SecretRegistry.depend. */
export function dependenciesOf(input: MaterialInput, registry: SecretRegistry): { sources: DataSource[]; refs: SdsSecretRef[] } {
  const { common, ticketKeys } = input
  const sources: DataSource[] = [...ticketKeys]
  const refs = secretRefsOf(input)
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

export function resolveSources(input: MaterialInput, registry: SecretRegistry, errors: ConfigError[], missing: string[]): TlsSources {
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
    const at = certificateSdsPath(i)
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

/** Session ticket keys; one of another length than OpenSSL takes is an error under `at`. */
export function readTicketKeys(
  sources: readonly DataSource[],
  at: string,
  registry: SecretRegistry,
  errors: ConfigError[],
): readonly Buffer[] {
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
