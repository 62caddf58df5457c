// When certificates are replaced. Pure. Leaves: called by whoever holds them (the control plane), spread at random, so that leaves made
// together are not renewed together (Consul's leaf manager). Intermediate and root: called by the authority's maintenance; the
// intermediate is renewed past half its life, as Consul does; the root is rotated in time too, which Consul leaves to the operator.

import type { Certificate } from '../x509/x509.js'
import type { CaConfig } from './config.js'

/** The earliest and latest moment, as parts of a leaf's lifetime. */
const WINDOW = { from: 0.6, to: 0.9 } as const
/** After a root change every leaf is replaced within this time, where there are not so many that signing them takes longer. */
const REISSUE_WINDOW_MS = 30_000

/** Epoch ms at which to replace a leaf: a random point of 60-90 % of its lifetime. `random` gives [0, 1). */
export function renewAt(leaf: { readonly notBefore: Date; readonly notAfter: Date }, random: () => number): number {
  const start = leaf.notBefore.getTime()
  const lifetimeMs = leaf.notAfter.getTime() - start
  return Math.round(start + lifetimeMs * (WINDOW.from + random() * (WINDOW.to - WINDOW.from)))
}

/** How long to wait, after `leaf-reissue`, before replacing a leaf: 0-30 s, or up to `leastWindowMs` where that is more. */
export function reissueDelayMs(random: () => number, leastWindowMs = 0): number {
  return Math.floor(random() * Math.max(REISSUE_WINDOW_MS, leastWindowMs))
}

export type CaRenewal =
  | { readonly kind: 'none' | 'intermediate' | 'root' }
  /** Only the operator can renew it; `reason` is one line that changes once a day. */
  | { readonly kind: 'operator'; readonly reason: string }

const DAY_MS = 24 * 3_600_000

/**
 * What is due now. The root is rotated when an intermediate is due and would no longer get its whole IntermediateCertTTL under it: with
 * the default lifetimes half a year to a year before the root's end, and never less than 1.5 x LeafCertTTL before it.
 */
export function caRenewal(state: {
  readonly root: Certificate
  readonly intermediate: Certificate
  readonly config: CaConfig
  readonly nowMs: number
}): CaRenewal {
  const { root, intermediate, config, nowMs } = state
  const { provider } = config
  const due = nowMs >= (intermediate.notBeforeMs + intermediate.notAfterMs) / 2
  const rootEnds = nowMs > root.notAfterMs - config.intermediateCertTtlMs
  if (provider.kind === 'consul' && provider.rootCertPem === '') return { kind: !due ? 'none' : rootEnds ? 'root' : 'intermediate' }
  const ends = (certificate: Certificate): string => {
    const days = Math.floor((certificate.notAfterMs - nowMs) / DAY_MS)
    return `ends at ${new Date(certificate.notAfterMs).toISOString()} (${days < 0 ? 'over' : `days left: ${days}`})`
  }
  if (provider.kind !== 'files') {
    // Under the same end of the root nothing would be gained.
    if (due && intermediate.notAfterMs < root.notAfterMs && nowMs < root.notAfterMs) return { kind: 'intermediate' }
    const remedy = provider.kind === 'vault' ? 'RootPKIPath' : 'RootCert and PrivateKey'
    return rootEnds ? { kind: 'operator', reason: `the root ${ends(root)}; give a new ${remedy}` } : { kind: 'none' }
  }
  const reasons: string[] = []
  if (nowMs > (root.notBeforeMs + 9 * root.notAfterMs) / 10)
    reasons.push(`nine tenths of the life of the root are over, it ${ends(root)}; replace it in ${provider.rootFile}`)
  if (due)
    reasons.push(`more than half the life of the intermediate is over, it ${ends(intermediate)}; renew it in ${provider.intermediateFile}`)
  return reasons.length === 0 ? { kind: 'none' } : { kind: 'operator', reason: reasons.join('; ') }
}
