// Which of several certificates a server shows, as Envoy's default certificate selector does: by SNI (exact, then wildcard), and within a
// name by key type: ECDSA where the client can verify that curve, RSA otherwise. Made per material and called by DownstreamTlsContext for
// chains with more than one certificate. Invariant: always one of the certificates, and nothing that a client sends makes it throw.
//
//   SNI -> exact name -> wildcard of the first label -> [full_scan_certs_on_sni_mismatch: all in order] -> the first certificate
//   no SNI -----------------------------------------> all in order ----------------------------------> the first certificate

import type { X509Certificate } from 'node:crypto'
import { type ClientHello, wordsOf } from './client-hello.js'
import type { OwnCertificate } from './own-certificate.js'

/** OpenSSL's name of a curve -> what a client must offer: as signature (TLS 1.3) and as group (before). */
const CURVES = new Map([
  ['prime256v1', { signature: 0x0403, group: 23 }],
  ['secp384r1', { signature: 0x0503, group: 24 }],
  ['secp521r1', { signature: 0x0603, group: 25 }],
])
const TLS13 = 0x0304
/** Suites with ECDSA authentication that Envoy's default and BoringSSL know (IANA numbers). */
const ECDSA_SUITES = new Set([0xc02b, 0xc02c, 0xcca9, 0xc009, 0xc00a, 0xc023, 0xc024])

interface Candidate {
  readonly certificate: OwnCertificate
  /** null: not ECDSA. */
  readonly curve: string | null
}

export class CertificateChoice {
  /** Lower-case names; `.example.com` stands for `*.example.com`. */
  private readonly byName = new Map<string, Candidate[]>()
  private readonly all: readonly Candidate[]

  constructor(
    own: readonly OwnCertificate[],
    private readonly fullScanOnMismatch: boolean,
  ) {
    this.all = own.map(certificate => ({ certificate, curve: curveOf(certificate.identity.x509) }))
    for (const candidate of this.all) {
      for (const name of namesOf(candidate.certificate)) {
        const key = name.startsWith('*.') ? name.slice(1) : name
        const known = this.byName.get(key)
        if (known === undefined) this.byName.set(key, [candidate])
        // Of several with one name and key type the earlier one counts.
        else if (!known.some(({ curve }) => (curve === null) === (candidate.curve === null))) known.push(candidate)
      }
    }
  }

  /** `permits`: whether a certificate may be shown now (OCSP); the first one is the last resort even so. */
  choose(hello: ClientHello | null, permits: (certificate: OwnCertificate) => boolean): OwnCertificate {
    const first = this.all[0]!.certificate
    if (hello === null) return first
    const usable = usableCurves(hello)
    if (hello.sni !== '') {
      const named = pick(this.byName.get(hello.sni), usable, permits) ?? pick(this.byName.get(parentOf(hello.sni)), usable, permits)
      if (named !== null) return named
      if (!this.fullScanOnMismatch) return first
    }
    return pick(this.all, usable, permits) ?? first
  }
}

/** ECDSA that the client can use, else RSA, else null. */
function pick(
  all: readonly Candidate[] | undefined,
  usable: ReadonlySet<string>,
  permits: (certificate: OwnCertificate) => boolean,
): OwnCertificate | null {
  if (all === undefined) return null
  const candidates = all.filter(({ certificate }) => permits(certificate))
  const wanted = candidates.find(({ curve }) => curve !== null && usable.has(curve)) ?? candidates.find(({ curve }) => curve === null)
  return wanted?.certificate ?? null
}

/** `.example.com` for `www.example.com`; '' where nothing is left. */
function parentOf(name: string): string {
  const dot = name.indexOf('.', 1)
  return dot > 0 && dot < name.length - 1 ? name.slice(dot) : ''
}

/** The DNS SANs; the common name counts only where there are no SANs at all (RFC 6125 section 6.4.4). */
function namesOf({ identity }: OwnCertificate): string[] {
  if (identity.x509.subjectAltName !== undefined) return identity.dnsSans.map(name => name.toLowerCase())
  const common = /^CN=([^\n]+)$/m.exec(identity.x509.subject)?.[1]
  return common === undefined ? [] : [common.toLowerCase()]
}

function curveOf({ publicKey }: X509Certificate): string | null {
  return publicKey.asymmetricKeyType === 'ec' ? (publicKey.asymmetricKeyDetails?.namedCurve ?? 'unknown') : null
}

function usableCurves(hello: ClientHello): Set<string> {
  const usable = new Set<string>()
  const modern = hello.versions.includes(TLS13)
  if (!modern && !wordsOf(hello.suites).some(suite => ECDSA_SUITES.has(suite))) return usable
  const offered = new Set(wordsOf(modern ? hello.signatures : hello.groups))
  for (const [name, { signature, group }] of CURVES) if (offered.has(modern ? signature : group)) usable.add(name)
  return usable
}
