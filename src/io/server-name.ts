// The name that a TLS client asks for (SNI) and judges the certificate by. Every client of ours whose name a user configures or that dials by
// address takes its options from here; the proxy's upstreams have Envoy's own rules (mtls/tls/upstream-tls.ts).
import { isIP } from 'node:net'
import { type ConnectionOptions, checkServerIdentity } from 'node:tls'

export type ServerNameOptions = Pick<ConnectionOptions, 'servername' | 'checkServerIdentity'>

/** RFC 6066 §3: an address is never asked for, only looked for in the certificate. Newer Nodes throw ERR_INVALID_ARG_VALUE for one (26). */
export function serverNameOptions(name: string): ServerNameOptions {
  if (isIP(name) === 0) return { servername: name }
  return { checkServerIdentity: (_host, certificate) => checkServerIdentity(name, certificate) }
}
