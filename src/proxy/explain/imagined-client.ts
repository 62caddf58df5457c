// The TLS of a client that is only imagined: the identity that it would show, and what the handshake would have given. Used by explain.ts.

import type { TlsInfo } from '../../l7/stream/connection-info.js'
import type { PeerIdentity } from '../../mtls/peer/peer-identity.js'
import { formatMeshIdentity, meshIdentityOf, parseSpiffeId } from '../../mtls/spiffe.js'
import type { DownstreamTlsContext } from '../../mtls/tls/downstream-tls.js'

/** `source`: a SPIFFE id, or a service's name in our own mesh, namespace and datacenter. '' stays ''; null: it is neither. */
export function sourceIdentity(tls: DownstreamTlsContext, source: string): string | null {
  if (source === '' || parseSpiffeId(source).ok) return source
  for (const uri of tls.material?.own[0]?.identity.uriSans ?? []) {
    const own = parseSpiffeId(uri)
    const identity = own.ok ? meshIdentityOf(own.id) : undefined
    if (identity?.kind !== 'service') continue
    const named = formatMeshIdentity({ ...identity, service: source })
    if (parseSpiffeId(named).ok) return named
  }
  return null
}

export function imaginedTls(tls: DownstreamTlsContext, sni: string, source: string): TlsInfo {
  const local = tls.material?.own[0]?.identity ?? null
  return {
    sni,
    version: 'TLSv1.3',
    cipher: '',
    alpn: '',
    resumed: false,
    peer: source === '' ? null : imaginedPeer(sourceIdentity(tls, source) ?? source),
    localUriSans: local?.uriSans ?? [],
    localDnsSans: local?.dnsSans ?? [],
    localSubject: local?.subject ?? '',
    local,
  }
}

/** A certificate that would be accepted, with this one name. */
function imaginedPeer(uri: string): PeerIdentity {
  const now = Date.now()
  return {
    validated: true,
    uriSans: [uri],
    dnsSans: [],
    emailSans: [],
    ipSans: [],
    otherNames: [],
    subject: '',
    issuer: '',
    serialNumber: '',
    sha256: '',
    notBefore: new Date(now),
    notAfter: new Date(now),
    pem: '',
    chainPem: '',
    notAfterMs: now,
    x509: null,
  }
}
