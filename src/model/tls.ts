// TLS contexts as model (envoy.extensions.transport_sockets.tls.v3). Key material is held as text; DataSource files are read and
// watched by the secret registry, so that the model stays a value.

import type { ConfigSource } from './config-source.js'
import type { DataSource } from './data-source.js'
import type { StringMatcher } from './matcher.js'

export type { DataSource }

export type TlsVersion = 'TLSv1.0' | 'TLSv1.1' | 'TLSv1.2' | 'TLSv1.3'

export interface TlsCertificate {
  readonly certificateChain: DataSource
  readonly privateKey: DataSource
  readonly password: DataSource | null
  /** DER of an OCSP response to send along. */
  readonly ocspStaple?: DataSource | null
}

export type SanType = 'URI' | 'DNS' | 'EMAIL' | 'IP_ADDRESS' | 'OTHER_NAME' | 'ANY'

export interface SanMatcher {
  readonly sanType: SanType
  readonly matcher: StringMatcher
}

export interface ValidationContext {
  readonly trustedCa: DataSource | null
  readonly crl: DataSource | null
  /** OR-ed; empty = only the chain is validated. */
  readonly sanMatchers: readonly SanMatcher[]
  readonly verifyCertificateSpki: readonly string[]
  readonly verifyCertificateHash: readonly string[]
  readonly allowExpiredCertificate: boolean
  readonly trustChainVerification: 'VERIFY_TRUST_CHAIN' | 'ACCEPT_UNTRUSTED'
  readonly onlyVerifyLeafCertCrl: boolean
  readonly maxVerifyDepth: number | null
  /** SPIFFECertValidatorConfig: trust domain -> bundle; null when the default validator is used. */
  readonly spiffeTrustDomains: ReadonlyMap<string, DataSource> | null
  /** By chain and names as for any server: that our own certificate has a SPIFFE id asks none of the peer. Absent: false. */
  readonly outsideMesh?: boolean
}

/** A secret by name, fetched over SDS (`source`: the ADS stream, a gRPC stream of its own, or a file). */
export interface SdsSecretRef {
  readonly name: string
  readonly source: SecretSource
  /** How long what uses it waits for the first answer; 0 = for ever. */
  readonly initialFetchTimeoutMs: number
}
export type SecretSource = ConfigSource | { readonly kind: 'static' }

export interface CommonTlsContext {
  readonly minVersion: TlsVersion
  readonly maxVersion: TlsVersion
  /** OpenSSL names; empty = defaults. Only meaningful up to TLS 1.2. */
  readonly cipherSuites: readonly string[]
  /** OpenSSL group names; empty = defaults. */
  readonly ecdhCurves: readonly string[]
  readonly signatureAlgorithms: readonly string[]
  readonly alpnProtocols: readonly string[]
  readonly certificates: readonly TlsCertificate[]
  readonly certificateSds: readonly SdsSecretRef[]
  readonly validation: ValidationContext | null
  readonly validationSds: SdsSecretRef | null
}

/** DownstreamTlsContext. */
export interface DownstreamTls {
  readonly common: CommonTlsContext
  readonly requireClientCertificate: boolean
  readonly requireSni: boolean
  readonly disableStatelessSessionResumption: boolean
  readonly sessionTimeoutMs: number | null
  readonly ocspStaplePolicy: 'LENIENT' | 'STRICT' | 'MUST_STAPLE'
  /** A name that no certificate has: look through all of them, rather than show the first. */
  readonly fullScanCertsOnSniMismatch: boolean
  /** Keys of 80 bytes, the first seals; empty and no `ticketKeysSds` = keys of our own. */
  readonly ticketKeys: readonly DataSource[]
  readonly ticketKeysSds: SdsSecretRef | null
}

/** UpstreamTlsContext. */
export interface UpstreamTls {
  readonly common: CommonTlsContext
  readonly sni: string
  readonly autoHostSni: boolean
  readonly autoSniSanValidation: boolean
  readonly allowRenegotiation: boolean
  /** 0 disables client session caching; Envoy's default is 1. */
  readonly maxSessionKeys: number
}

/** A delivered secret (envoy.extensions.transport_sockets.tls.v3.Secret). */
export type Secret =
  | { readonly name: string; readonly kind: 'certificate'; readonly certificate: TlsCertificate }
  | { readonly name: string; readonly kind: 'validation'; readonly validation: ValidationContext }
  | { readonly name: string; readonly kind: 'ticketKeys'; readonly keys: readonly DataSource[] }
  /** For filters. */
  | { readonly name: string; readonly kind: 'generic'; readonly secret: DataSource }
