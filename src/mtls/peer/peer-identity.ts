// What a peer's certificate says about it, read once per connection and lazily: most connections only need the URI SANs.
// Made by the TLS contexts after verification; read by RBAC, XFCC, access logs and `%DOWNSTREAM_PEER_*%` formatters.

import type { X509Certificate } from 'node:crypto'

export interface PeerIdentity {
  /** Validated against the trust bundle (and SAN matchers, and SPIFFE rules where they hold). */
  readonly validated: boolean
  readonly uriSans: readonly string[]
  readonly dnsSans: readonly string[]
  readonly emailSans: readonly string[]
  readonly ipSans: readonly string[]
  /** otherName SANs whose value is text. */
  readonly otherNames: readonly string[]
  /** RFC 2253 form, as Envoy's `%DOWNSTREAM_PEER_SUBJECT%`. */
  readonly subject: string
  readonly issuer: string
  /** Lower-case hex without separators. */
  readonly serialNumber: string
  /** Lower-case hex SHA-256 of the DER certificate. */
  readonly sha256: string
  readonly notBefore: Date
  readonly notAfter: Date
  /** PEM of the leaf, and of the leaf with its chain. */
  readonly pem: string
  readonly chainPem: string
  /** Milliseconds since the epoch. */
  readonly notAfterMs: number
  /** With its issuers linked, for what only formatters ask. */
  readonly x509: X509Certificate | null
}
