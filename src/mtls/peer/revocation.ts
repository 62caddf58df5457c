// Certificate revocation lists, for paths that are judged by certificate-path.ts rather than by OpenSSL. Called by tls-trust.ts (reads)
// and PeerVerifier (asks, once per certificate). Invariant: a certificate that must be on no list is refused unless a list of its issuer is
// there, signed by that issuer and within its times: as OpenSSL's CRL_CHECK (leaf alone) and CRL_CHECK_ALL (the whole path) have it.
// Source: RFC 5280 sections 5 and 6.3. Delta and partitioned lists (a critical extension) are not understood and never count as good.

import { verify as verifySignature } from 'node:crypto'
import {
  DerError,
  integerOf,
  isBool,
  isSequence,
  isTagged,
  itemsOf,
  oidHex,
  oidHexOf,
  readDer,
  readPem,
  readTime,
  serialText,
  taggedItemsOf,
  wholeBitsOf,
  writeDer,
  writePem,
} from '../x509/der.js'
import type { Certificate } from '../x509/x509.js'

const SIGNATURE_HASHES = new Map([
  [oidHex('1.2.840.10045.4.3.2'), 'sha256'],
  [oidHex('1.2.840.10045.4.3.3'), 'sha384'],
  [oidHex('1.2.840.10045.4.3.4'), 'sha512'],
  [oidHex('1.2.840.113549.1.1.11'), 'sha256'],
  [oidHex('1.2.840.113549.1.1.12'), 'sha384'],
  [oidHex('1.2.840.113549.1.1.13'), 'sha512'],
])
const CRL_LABEL = 'X509 CRL'

/** One list as read; whether its issuer signed it is asked for when a path uses it. */
export class RevocationList {
  /** DER of the name. */
  readonly issuer: Buffer
  readonly thisUpdateMs: number
  /** Infinite where the list does not say. */
  readonly nextUpdateMs: number
  readonly hasCriticalExtension: boolean
  /** Lower-case hex without leading zeros. */
  private readonly serials: ReadonlySet<string>
  private readonly signed: Buffer
  private readonly hash: string | undefined
  private readonly signature: Buffer
  private readonly verdicts = new WeakMap<Certificate, boolean>()

  /** Throws `DerError`. */
  constructor(der: Buffer) {
    const [tbs, algorithm, signature] = itemsOf(readDer(der))
    const items = itemsOf(tbs)
    const at = isSequence(items[0]) ? 0 : 1
    this.issuer = writeDer(items[at + 1]!)
    this.thisUpdateMs = readTime(items[at + 2]!)
    const rest = items.slice(at + 3)
    const next = rest[0] !== undefined && !isSequence(rest[0]) && !isTagged(rest[0], 0) ? rest[0] : undefined
    this.nextUpdateMs = next === undefined ? Number.POSITIVE_INFINITY : readTime(next)
    const revoked = rest.find(isSequence)
    const entries = revoked === undefined ? [] : itemsOf(revoked).map(entry => itemsOf(entry))
    this.serials = new Set(entries.map(entry => serialText(integerOf(entry[0]))))
    const extensions = rest.find(item => isTagged(item, 0))
    const critical = (item: ReturnType<typeof readDer>): boolean => isBool(itemsOf(item)[1])
    this.hasCriticalExtension =
      (extensions !== undefined && itemsOf(taggedItemsOf(extensions)[0]).some(critical)) ||
      entries.some(entry => isSequence(entry[2]) && itemsOf(entry[2]).some(critical))
    this.signed = writeDer(tbs!)
    this.hash = SIGNATURE_HASHES.get(oidHexOf(itemsOf(algorithm)[0]))
    this.signature = wholeBitsOf(signature)
  }

  names(certificate: Certificate): boolean {
    return this.serials.has(serialText(certificate.serial))
  }

  isSignedBy(issuer: Certificate): boolean {
    let verdict = this.verdicts.get(issuer)
    if (verdict === undefined) {
      verdict = this.hash !== undefined && verifySignature(this.hash, this.signed, issuer.publicKey, this.signature)
      this.verdicts.set(issuer, verdict)
    }
    return verdict
  }
}

/** The lists of a PEM text, in its order. Throws `DerError`. */
export function readRevocationLists(pem: string): RevocationList[] {
  return crlBlocks(pem).map(block => new RevocationList(block.der))
}

/** Each list as PEM of its own: Node reads only the first of a text. Throws `DerError`. */
export function revocationPems(pem: string): string[] {
  return crlBlocks(pem).map(({ label, der }) => writePem(label, der))
}

function crlBlocks(pem: string): { label: string; der: Buffer }[] {
  return pem.includes(CRL_LABEL) ? readPem(pem).filter(({ label }) => label === CRL_LABEL) : []
}

export type RevocationResult =
  | { readonly ok: true; readonly fromMs: number; readonly untilMs: number }
  /** `timed`: another answer is possible later. */
  | { readonly ok: false; readonly timed: boolean; readonly reason: string }

/** `path`: leaf first, trust anchor last. The times are those within which the answer holds. */
export function checkRevocation(
  path: readonly Certificate[],
  lists: readonly RevocationList[],
  leafOnly: boolean,
  nowMs: number,
): RevocationResult {
  let fromMs = 0
  let untilMs = Number.POSITIVE_INFINITY
  for (const [i, certificate] of path.entries()) {
    if (leafOnly && i > 0) break
    const what = i === 0 ? 'the certificate' : `CA certificate ${i} of the path`
    const issuerName = issuerOf(certificate)
    // The last one of a path is judged by a list of its own, which only a self-issued one can have.
    const issuer = path[i + 1] ?? (writeDer(certificate.subject).equals(issuerName) ? certificate : undefined)
    const named = issuer === undefined ? [] : lists.filter(list => list.issuer.equals(issuerName))
    if (named.length === 0) return { ok: false, timed: false, reason: `there is no CRL of the issuer of ${what}` }
    const good = named.filter(list => list.isSignedBy(issuer!) && !list.hasCriticalExtension)
    if (good.length === 0)
      return { ok: false, timed: false, reason: `the CRL for ${what} is not signed by its issuer, or of a kind that is not understood` }
    const current = good.filter(list => nowMs >= list.thisUpdateMs && nowMs <= list.nextUpdateMs)
    if (current.length === 0) {
      const state = good.some(list => nowMs > list.nextUpdateMs) ? 'has expired' : 'is not valid yet'
      return { ok: false, timed: true, reason: `the CRL for ${what} ${state}` }
    }
    if (current.some(list => list.names(certificate))) return { ok: false, timed: false, reason: `${what} is revoked` }
    fromMs = Math.max(fromMs, ...current.map(list => list.thisUpdateMs))
    untilMs = Math.min(untilMs, ...current.map(list => list.nextUpdateMs))
  }
  return { ok: true, fromMs, untilMs }
}

function issuerOf(certificate: Certificate): Buffer {
  const items = itemsOf(itemsOf(readDer(certificate.der))[0])
  const issuer = items[isTagged(items[0], 0) ? 3 : 2]
  if (issuer === undefined) throw new DerError('the certificate has no issuer')
  return writeDer(issuer)
}
