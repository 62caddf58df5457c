// Certificate path validation of our own, for the rules that OpenSSL under Node can't be asked for: a bundle chosen by trust domain,
// expired certificates allowed, a depth limit, revocation of the leaf alone (revocation.ts). Called by PeerVerifier once per certificate (the verdict is
// cached); reads certificates by ca/x509. Invariant: a path is good only if each certificate is issued and signed by the next, each issuer
// may sign certificates within its path length, and it ends at a certificate of the bundle. Source: RFC 5280 sections 5 and 6.1.

import type { X509Certificate } from 'node:crypto'
import { CaError } from '../x509/certificate-error.js'
import { certificatePems } from '../x509/der.js'
import { type Certificate, isIssuedBy, readCertificate } from '../x509/x509.js'
import { issuersOf } from './certificate-identity.js'

/** Certificates between leaf and trust anchor, where the config sets no max_verify_depth (OpenSSL's and Envoy's limit is 100). */
export const MAX_INTERMEDIATES = 10
/** Signatures checked for one leaf; cross-signed loops end here. */
const MAX_SIGNATURE_CHECKS = 64

export type PathResult =
  /** `path`: leaf first, anchor last. */
  | { readonly ok: true; readonly path: readonly Certificate[]; readonly notBeforeMs: number; readonly notAfterMs: number }
  | { readonly ok: false; readonly code: 'chain' | 'expired' | 'not-yet-valid' | 'depth'; readonly reason: string }

export interface PathOptions {
  readonly anchors: readonly Certificate[]
  readonly allowExpired: boolean
  readonly maxIntermediates: number
  readonly nowMs: number
}

/** Trust anchors of a PEM text. Throws `DerError` or `CaError`. */
export function readAnchors(pem: string): Certificate[] {
  return certificatePems(pem).map(readCertificate)
}

export function checkPath(leaf: X509Certificate, options: PathOptions): PathResult {
  let start: Certificate
  const sent: Certificate[] = []
  try {
    start = readCertificate(leaf.toString())
    for (const issuer of issuersOf(leaf)) sent.push(readCertificate(issuer.toString()))
  } catch (error) {
    if (!(error instanceof CaError)) throw error
    return { ok: false, code: 'chain', reason: error.message }
  }
  return new PathSearch(options, sent).from(start)
}

class PathSearch {
  private checks = 0
  private worst: PathResult = { ok: false, code: 'chain', reason: 'no path to a trusted certificate' }

  constructor(
    private readonly options: PathOptions,
    private readonly sent: readonly Certificate[],
  ) {}

  from(leaf: Certificate): PathResult {
    if (this.options.anchors.some(anchor => anchor.der.equals(leaf.der))) return this.judge([leaf])
    return this.extend([leaf]) ?? this.worst
  }

  private extend(path: Certificate[]): PathResult | null {
    const last = path[path.length - 1]!
    for (const anchor of this.options.anchors) {
      if (!this.mayIssue(anchor, last, path.length - 1)) continue
      const result = this.judge([...path, anchor])
      if (result.ok) return result
      this.worst = result
    }
    if (path.length > MAX_INTERMEDIATES) return null
    for (const next of this.sent) {
      if (path.includes(next) || !this.mayIssue(next, last, path.length - 1)) continue
      const result = this.extend([...path, next])
      if (result !== null) return result
    }
    return null
  }

  private mayIssue(issuer: Certificate, child: Certificate, intermediatesBelow: number): boolean {
    if (!issuer.canSignCertificates) return false
    if (issuer.pathLength !== undefined && intermediatesBelow > issuer.pathLength) return false
    return ++this.checks <= MAX_SIGNATURE_CHECKS && isIssuedBy(child, issuer)
  }

  private judge(path: readonly Certificate[]): PathResult {
    const { allowExpired, maxIntermediates, nowMs } = this.options
    if (path.length - 2 > maxIntermediates)
      return { ok: false, code: 'depth', reason: `${path.length - 2} intermediate certificates, the limit is ${maxIntermediates}` }
    const notBeforeMs = Math.max(...path.map(item => item.notBeforeMs))
    const notAfterMs = Math.min(...path.map(item => item.notAfterMs))
    if (allowExpired) return { ok: true, path, notBeforeMs: 0, notAfterMs: Number.POSITIVE_INFINITY }
    if (nowMs > notAfterMs) return { ok: false, code: 'expired', reason: 'a certificate of the path has expired' }
    if (nowMs < notBeforeMs) return { ok: false, code: 'not-yet-valid', reason: 'a certificate of the path is not valid yet' }
    return { ok: true, path, notBeforeMs, notAfterMs }
  }
}
