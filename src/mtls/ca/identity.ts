// What the CA checks of the identity that its caller authorises, before it looks at any request.
// Called by the authority. A mistake of the caller is refused here with codes of its own, apart from those of a bad request.
import { meshIdentityOf, parseSpiffeId } from '../spiffe.js'
import { CaError } from '../x509/certificate-error.js'

/** DNS SANs that one certificate may hold. */
export const MAX_DNS_SANS = 100

/** A DNS name of ASCII labels, lower case or not; the first label may be `*`. */
function isDnsName(name: string): boolean {
  if (name.length === 0 || name.length > 253) return false
  return name
    .split('.')
    .every((label, index) => (index === 0 && label === '*') || /^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$/.test(label))
}

/** Throws `CaError`: `identity-spiffe-syntax`, `identity-trust-domain`, `identity-kind`, `identity-datacenter`, `dns-name`. */
export function checkAuthorisation(identity: {
  readonly uri: string
  readonly dnsSans: readonly string[]
  readonly trustDomain: string
  readonly datacenter: string | undefined
}): void {
  const parsed = parseSpiffeId(identity.uri)
  if (!parsed.ok) throw new CaError('identity-spiffe-syntax', `the identity is no SPIFFE id: ${parsed.error.reason}`)
  if (parsed.id.trustDomain !== identity.trustDomain) {
    throw new CaError(
      'identity-trust-domain',
      `the identity is of the trust domain ${parsed.id.trustDomain}, this CA signs for ${identity.trustDomain}`,
    )
  }
  const mesh = meshIdentityOf(parsed.id)
  if (mesh === undefined || mesh.kind === 'signing') {
    throw new CaError('identity-kind', `${identity.uri} is no service, mesh gateway, agent or server`)
  }
  if (identity.datacenter !== undefined && mesh.datacenter !== identity.datacenter) {
    throw new CaError(
      'identity-datacenter',
      `the identity is of the datacenter ${mesh.datacenter}, this CA signs for ${identity.datacenter}`,
    )
  }
  if (identity.dnsSans.length > MAX_DNS_SANS)
    throw new CaError('dns-name', `${identity.dnsSans.length} DNS SANs are asked for, the limit is ${MAX_DNS_SANS}`)
  const bad = identity.dnsSans.find(name => !isDnsName(name))
  if (bad !== undefined) throw new CaError('dns-name', `${JSON.stringify(bad.slice(0, 255))} is no DNS name`)
}
