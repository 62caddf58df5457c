// The one error the CA throws: a code for programs and tests, a message of one line for people.
// Thrown by everything under mtls/ca; the control plane maps `code` to an HTTP status. Messages never hold key material.

export type CaErrorCode =
  // what is wrong with a certificate request
  | 'csr-malformed'
  | 'csr-too-large'
  | 'csr-signature'
  | 'csr-signature-algorithm'
  | 'csr-key-type'
  | 'csr-key-size'
  | 'csr-ca-requested'
  | 'csr-no-uri-san'
  | 'csr-several-uri-sans'
  | 'csr-san-type'
  | 'csr-dns-san'
  | 'csr-spiffe-syntax'
  | 'csr-trust-domain'
  | 'csr-identity'
  // what is wrong with the identity that the caller authorises
  | 'identity-spiffe-syntax'
  | 'identity-kind'
  | 'identity-trust-domain'
  | 'identity-datacenter'
  | 'dns-name'
  | 'ttl'
  // the CA cannot sign now
  | 'rate-limited'
  | 'not-initialised'
  | 'signer-unavailable'
  | 'root-expired'
  | 'intermediate-expired'
  // configuration, rotation, state
  | 'config'
  | 'key-mismatch'
  | 'root-invalid'
  | 'intermediate-invalid'
  | 'files-unreadable'
  | 'rotation-not-possible'
  | 'cross-sign-unsupported'
  | 'too-many-roots'
  | 'state-corrupt'
  | 'state-locked'
  | 'encryption-key'
  | 'certificate-malformed'

export class CaError extends Error {
  readonly code: CaErrorCode

  constructor(code: CaErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'CaError'
    this.code = code
  }
}

/** The message of anything thrown, on one line. */
export function reasonOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replace(/\s+/g, ' ')
}
