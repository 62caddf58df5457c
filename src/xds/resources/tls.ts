// DownstreamTlsContext, UpstreamTlsContext and what they hold (envoy.extensions.transport_sockets.tls.v3) -> model. Called by
// transport-socket.ts and secret.ts. Files named by DataSources are not read here: the secret registry reads and watches them.
// Invariant: whatever would make a peer's check weaker than the config says is an error, never skipped.

import { createSecureContext } from 'node:tls'
import type {
  CommonTlsContext,
  DataSource,
  DownstreamTls,
  SanMatcher,
  SanType,
  SdsSecretRef,
  TlsCertificate,
  TlsVersion,
  UpstreamTls,
  ValidationContext,
} from '../../model/tls.js'
import {
  type CertificateValidationContext,
  CertificateValidationContext_TrustChainVerification,
  SubjectAltNameMatcher_SanType,
  type TlsCertificate as TlsCertificateMessage,
  type TlsParameters,
  TlsParameters_TlsProtocol,
  type TlsSessionTicketKeys,
} from '../gen/envoy/extensions/transport_sockets/tls/v3/common_pb.js'
import type { SdsSecretConfig } from '../gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js'
import {
  type CommonTlsContext as CommonTlsContextMessage,
  type DownstreamTlsContext,
  DownstreamTlsContext_OcspStaplePolicy,
  type UpstreamTlsContext,
} from '../gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.js'
import { SPIFFECertValidatorConfigSchema } from '../gen/envoy/extensions/transport_sockets/tls/v3/tls_spiffe_validator_config_pb.js'
import { typeNameOf, unpackAs } from './any.js'
import { decodeConfigSource, initialFetchTimeoutMs } from './config-source.js'
import { decodeDataSource } from './data-source.js'
import type { Ctx } from './field-path.js'
import { decodeStringMatcher } from './matchers.js'
import { SYSTEM_ROOT_BUNDLES, systemRootsPath } from './system-roots.js'
import { durationMsOr } from './values.js'

const SPIFFE_VALIDATOR = 'envoy.tls.cert_validator.spiffe'

const VERSIONS: Record<TlsParameters_TlsProtocol, TlsVersion | null> = {
  [TlsParameters_TlsProtocol.TLS_AUTO]: null,
  [TlsParameters_TlsProtocol.TLSv1_0]: 'TLSv1.0',
  [TlsParameters_TlsProtocol.TLSv1_1]: 'TLSv1.1',
  [TlsParameters_TlsProtocol.TLSv1_2]: 'TLSv1.2',
  [TlsParameters_TlsProtocol.TLSv1_3]: 'TLSv1.3',
}

const STAPLE_POLICIES: Record<DownstreamTlsContext_OcspStaplePolicy, DownstreamTls['ocspStaplePolicy']> = {
  [DownstreamTlsContext_OcspStaplePolicy.LENIENT_STAPLING]: 'LENIENT',
  [DownstreamTlsContext_OcspStaplePolicy.STRICT_STAPLING]: 'STRICT',
  [DownstreamTlsContext_OcspStaplePolicy.MUST_STAPLE]: 'MUST_STAPLE',
}

/** Envoy's defaults for TLS_AUTO. */
const DEFAULT_MIN: TlsVersion = 'TLSv1.2'
const DEFAULT_MAX: Record<'server' | 'client', TlsVersion> = { server: 'TLSv1.3', client: 'TLSv1.3' }

const SAN_TYPES: Record<SubjectAltNameMatcher_SanType, SanType | null> = {
  [SubjectAltNameMatcher_SanType.SAN_TYPE_UNSPECIFIED]: null,
  [SubjectAltNameMatcher_SanType.EMAIL]: 'EMAIL',
  [SubjectAltNameMatcher_SanType.DNS]: 'DNS',
  [SubjectAltNameMatcher_SanType.URI]: 'URI',
  [SubjectAltNameMatcher_SanType.IP_ADDRESS]: 'IP_ADDRESS',
  [SubjectAltNameMatcher_SanType.OTHER_NAME]: 'OTHER_NAME',
}

/** The types an untyped (old) matcher stands for: Envoy expands each to these four. */
const UNTYPED_SANS: readonly SanType[] = ['DNS', 'URI', 'EMAIL', 'IP_ADDRESS']

export function decodeTlsCertificate(certificate: TlsCertificateMessage, ctx: Ctx): TlsCertificate | null {
  const directory = certificate.watchedDirectory
  const chain = decodeDataSource(certificate.certificateChain, ctx.at('certificate_chain'), directory)
  const key = decodeDataSource(certificate.privateKey, ctx.at('private_key'), directory)
  if (chain === null) ctx.at('certificate_chain').error('value is required')
  if (key === null && certificate.privateKeyProvider === undefined) ctx.at('private_key').error('value is required')
  if (chain === null || key === null) return null
  if (certificate.ocspStaple?.specifier.case === 'inlineString')
    ctx.at('ocsp_staple').error('OCSP staple cannot be provided via inline_string')
  return {
    certificateChain: chain,
    privateKey: key,
    password: decodeDataSource(certificate.password, ctx.at('password')),
    ...(certificate.ocspStaple === undefined ? {} : { ocspStaple: decodeDataSource(certificate.ocspStaple, ctx.at('ocsp_staple')) }),
  }
}

export function decodeValidationContext(context: CertificateValidationContext, ctx: Ctx): ValidationContext {
  const directory = context.watchedDirectory
  const trustedCa =
    context.systemRootCerts !== undefined && context.trustedCa === undefined
      ? systemRoots(ctx.at('system_root_certs'))
      : decodeDataSource(context.trustedCa, ctx.at('trusted_ca'), directory)
  const spiffe = context.customValidatorConfig === undefined ? null : decodeSpiffeValidator(context, ctx.at('custom_validator_config'))
  const sanMatchers = decodeSanMatchers(context, ctx)
  if (sanMatchers.length > 0 && trustedCa === null && spiffe === null) {
    ctx
      .at('match_typed_subject_alt_names')
      .error('SAN-based verification of peer certificates without a trusted CA is insecure and not allowed')
  }
  if (context.onlyVerifyLeafCertCrl && context.crl === undefined) ctx.at('only_verify_leaf_cert_crl').warn('has no effect without a crl')
  return {
    trustedCa,
    crl: decodeDataSource(context.crl, ctx.at('crl'), directory),
    sanMatchers,
    verifyCertificateSpki: context.verifyCertificateSpki,
    verifyCertificateHash: context.verifyCertificateHash.map((hash, i) => {
      const hex = hash.replaceAll(':', '').toLowerCase()
      if (!/^[0-9a-f]{64}$/.test(hex)) ctx.at('verify_certificate_hash', i).error('value must be a hex-encoded SHA-256 hash')
      return hex
    }),
    allowExpiredCertificate: context.allowExpiredCertificate,
    trustChainVerification:
      context.trustChainVerification === CertificateValidationContext_TrustChainVerification.ACCEPT_UNTRUSTED
        ? 'ACCEPT_UNTRUSTED'
        : 'VERIFY_TRUST_CHAIN',
    onlyVerifyLeafCertCrl: context.onlyVerifyLeafCertCrl,
    maxVerifyDepth: context.maxVerifyDepth ?? null,
    spiffeTrustDomains: spiffe,
  }
}

function systemRoots(ctx: Ctx): ValidationContext['trustedCa'] {
  const path = systemRootsPath()
  if (path === null) {
    ctx.error(`no bundle of system root certificates found (${SYSTEM_ROOT_BUNDLES.join(', ')})`)
    return null
  }
  return { kind: 'file', path, watchedDirectory: '' }
}

function decodeSanMatchers(context: CertificateValidationContext, ctx: Ctx): SanMatcher[] {
  const matchers: SanMatcher[] = []
  context.matchTypedSubjectAltNames.forEach((typed, i) => {
    const at = ctx.at('match_typed_subject_alt_names', i)
    const sanType = SAN_TYPES[typed.sanType]
    if (sanType === 'OTHER_NAME') at.at('san_type').error('OTHER_NAME is not supported')
    if (sanType === null || sanType === undefined || typed.matcher === undefined) return
    matchers.push({ sanType, matcher: decodeStringMatcher(typed.matcher, at.at('matcher')) })
  })
  if (context.matchTypedSubjectAltNames.length > 0) return matchers
  context.matchSubjectAltNames.forEach((untyped, i) => {
    const matcher = decodeStringMatcher(untyped, ctx.at('match_subject_alt_names', i))
    for (const sanType of UNTYPED_SANS) matchers.push({ sanType, matcher })
  })
  return matchers
}

function decodeSpiffeValidator(context: CertificateValidationContext, ctx: Ctx): ValidationContext['spiffeTrustDomains'] {
  const extension = context.customValidatorConfig!
  const at = ctx.at('typed_config')
  const name = typeNameOf(extension.typedConfig?.typeUrl ?? '')
  if (name !== SPIFFECertValidatorConfigSchema.typeName && !name.endsWith('TypedStruct')) {
    ctx.error(`unknown certificate validator '${extension.name}' (${extension.typedConfig?.typeUrl || 'no type'})`)
    return null
  }
  // Envoy finds its factory by name, whatever the type.
  if (extension.name !== SPIFFE_VALIDATOR) ctx.at('name').error(`must be '${SPIFFE_VALIDATOR}'`)
  const config = unpackAs(extension.typedConfig, SPIFFECertValidatorConfigSchema, at)
  if (config === null) return null
  const domains = new Map<string, NonNullable<ReturnType<typeof decodeDataSource>>>()
  config.trustDomains.forEach((domain, i) => {
    const source = decodeDataSource(domain.trustBundle, at.at('trust_domains', i).at('trust_bundle'))
    if (domains.has(domain.name)) at.at('trust_domains', i).at('name').error(`duplicate trust domain '${domain.name}'`)
    if (source === null) at.at('trust_domains', i).at('trust_bundle').error('value is required')
    else domains.set(domain.name, source)
  })
  return domains
}

export function decodeSdsRef(config: SdsSecretConfig, ctx: Ctx): SdsSecretRef {
  const { name, sdsConfig } = config
  if (sdsConfig === undefined) return { name, source: { kind: 'static' }, initialFetchTimeoutMs: 0 }
  const source = decodeConfigSource(sdsConfig, ctx.at('sds_config')) ?? { kind: 'ads' }
  return { name, source, initialFetchTimeoutMs: initialFetchTimeoutMs(sdsConfig) }
}

const rank = (version: TlsVersion): number => Number(version.slice(-1))

function decodeVersions(params: TlsParameters | undefined, ctx: Ctx, side: 'server' | 'client'): { min: TlsVersion; max: TlsVersion } {
  const max = VERSIONS[params?.tlsMaximumProtocolVersion ?? 0] ?? DEFAULT_MAX[side]
  const wanted = VERSIONS[params?.tlsMinimumProtocolVersion ?? 0] ?? DEFAULT_MIN
  if (params !== undefined && rank(wanted) > rank(max)) {
    ctx.at('tls_params').at('tls_minimum_protocol_version').error(`${wanted} is above the maximum, ${max}`)
  }
  return { min: wanted, max }
}

function decodeCommon(common: CommonTlsContextMessage | undefined, ctx: Ctx, side: 'server' | 'client'): CommonTlsContext {
  const params = common?.tlsParams
  const versions = decodeVersions(params, ctx, side)
  const certificates = (common?.tlsCertificates ?? [])
    .map((certificate, i) => decodeTlsCertificate(certificate, ctx.at('tls_certificates', i)))
    .filter(certificate => certificate !== null)
  const certificateSds = (common?.tlsCertificateSdsSecretConfigs ?? []).map((sds, i) =>
    decodeSdsRef(sds, ctx.at('tls_certificate_sds_secret_configs', i)),
  )
  if (side === 'client' && certificates.length + certificateSds.length > 1) {
    ctx.at('tls_certificates').error('multiple TLS certificates are not supported for client contexts')
  }
  const isInline = (common?.tlsCertificates ?? []).length > 0
  let validation: ValidationContext | null = null
  let validationSds: SdsSecretRef | null = null
  const type = common?.validationContextType
  switch (type?.case) {
    case 'validationContext':
      validation = decodeValidationContext(type.value, ctx.at('validation_context'))
      break
    case 'validationContextSdsSecretConfig':
      validationSds = decodeSdsRef(type.value, ctx.at('validation_context_sds_secret_config'))
      break
    case 'combinedValidationContext': {
      const at = ctx.at('combined_validation_context')
      if (type.value.defaultValidationContext !== undefined) {
        // The trusted CA may come with the secret: only then is a SAN matcher without one right, so the check is not done here.
        validation = decodeCombinedDefault(type.value.defaultValidationContext, at.at('default_validation_context'))
      }
      if (type.value.validationContextSdsSecretConfig !== undefined) {
        validationSds = decodeSdsRef(type.value.validationContextSdsSecretConfig, at.at('validation_context_sds_secret_config'))
      }
      break
    }
    default:
      break
  }
  return {
    minVersion: versions.min,
    maxVersion: versions.max,
    cipherSuites: params?.cipherSuites ?? [],
    // Each may be a list of its own, as SPIRE's tutorial has it: Envoy hands them to its TLS library joined by colons.
    ecdhCurves: usableGroups(
      (params?.ecdhCurves ?? []).flatMap(list => list.split(':')),
      ctx.at('tls_params').at('ecdh_curves'),
    ),
    signatureAlgorithms: params?.signatureAlgorithms ?? [],
    alpnProtocols: common?.alpnProtocols ?? [],
    certificates,
    // As Envoy: beside certificates of its own, a context looks at no secret.
    certificateSds: isInline ? [] : certificateSds,
    validation,
    validationSds,
  }
}

/** OpenSSL has it from 3.5 on, Node from 24. */
const YOUNG_GROUP = 'X25519MLKEM768'

/** Where Node has the group not, it is left out of a list with others, any of which the peer may choose, and listed; alone it is refused later. */
function usableGroups(groups: readonly string[], ctx: Ctx): readonly string[] {
  const others = groups.filter(group => group !== YOUNG_GROUP)
  if (others.length === groups.length || others.length === 0 || hasYoungGroup()) return groups
  ctx.unsupported()
  return others
}

let youngGroupIsThere: boolean | undefined

/** Asked once: it takes a whole TLS context. */
function hasYoungGroup(): boolean {
  youngGroupIsThere ??= accepts(YOUNG_GROUP)
  return youngGroupIsThere
}

function accepts(ecdhCurve: string): boolean {
  try {
    createSecureContext({ ecdhCurve, ca: [] })
    return true
  } catch {
    return false
  }
}

function decodeCombinedDefault(context: CertificateValidationContext, ctx: Ctx): ValidationContext {
  const errors = ctx.sink.errors.length
  const value = decodeValidationContext(context, ctx)
  const removed = ctx.sink.errors.findIndex((error, i) => i >= errors && error.reason.startsWith('SAN-based verification'))
  if (removed !== -1) ctx.sink.errors.splice(removed, 1)
  return value
}

export function decodeTicketKeys(message: TlsSessionTicketKeys, ctx: Ctx): DataSource[] {
  if (message.keys.length === 0) ctx.at('keys').error('at least one key is required')
  return message.keys.map((key, i) => decodeDataSource(key, ctx.at('keys', i))).filter(key => key !== null)
}

export function decodeDownstreamTls(context: DownstreamTlsContext, ctx: Ctx): DownstreamTls {
  const common = decodeCommon(context.commonTlsContext, ctx.at('common_tls_context'), 'server')
  if (common.certificates.length === 0 && common.certificateSds.length === 0) {
    ctx.at('common_tls_context').error('no TLS certificates found for server context')
  }
  if (common.certificates.length > 0 && common.certificateSds.length > 0)
    ctx
      .at('common_tls_context')
      .at('tls_certificate_sds_secret_configs')
      .error('may not be mixed with tls_certificates in a server context')
  const requireClientCertificate = context.requireClientCertificate ?? false
  const keys = context.sessionTicketKeysType
  return {
    common,
    requireClientCertificate,
    requireSni: context.requireSni ?? false,
    disableStatelessSessionResumption: keys.case === 'disableStatelessSessionResumption' ? keys.value : false,
    sessionTimeoutMs: durationMsOr(context.sessionTimeout, null),
    ocspStaplePolicy: STAPLE_POLICIES[context.ocspStaplePolicy] ?? 'LENIENT',
    fullScanCertsOnSniMismatch: context.fullScanCertsOnSniMismatch ?? false,
    ticketKeys: keys.case === 'sessionTicketKeys' ? decodeTicketKeys(keys.value, ctx.at('session_ticket_keys')) : [],
    ticketKeysSds:
      keys.case === 'sessionTicketKeysSdsSecretConfig' ? decodeSdsRef(keys.value, ctx.at('session_ticket_keys_sds_secret_config')) : null,
  }
}

export function decodeUpstreamTls(context: UpstreamTlsContext, ctx: Ctx): UpstreamTls {
  if (context.sni.length > 255) ctx.at('sni').error('value length must be at most 255 bytes')
  const common = decodeCommon(context.commonTlsContext, ctx.at('common_tls_context'), 'client')
  const autoSniSanValidation = context.autoSniSanValidation
  if (autoSniSanValidation && common.validation === null && common.validationSds === null) {
    ctx.at('auto_sni_san_validation').error('needs a validation context')
  }
  return {
    common,
    sni: context.sni,
    autoHostSni: context.autoHostSni,
    autoSniSanValidation,
    allowRenegotiation: context.allowRenegotiation,
    maxSessionKeys: context.maxSessionKeys ?? 1,
  }
}
