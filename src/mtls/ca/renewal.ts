/**
 * When a leaf is replaced. Pure; called by whoever holds leaves (the control plane). Spread at random, so that leaves made together are
 * not renewed together. Source: Consul's leaf manager.
 */

/** The earliest and latest moment, as parts of a leaf's lifetime. */
const window = { from: 0.6, to: 0.9 } as const
/** After a root change every leaf is replaced within this time. */
const reissueWindowMs = 30_000

/** Epoch ms at which to replace a leaf: a random point of 60-90 % of its lifetime. `random` gives [0, 1). */
export function renewAt(leaf: { readonly notBefore: Date; readonly notAfter: Date }, random: () => number): number {
  const start = leaf.notBefore.getTime()
  const lifetimeMs = leaf.notAfter.getTime() - start
  return Math.round(start + lifetimeMs * (window.from + random() * (window.to - window.from)))
}

/** How long to wait, after `leaf-reissue`, before replacing a leaf: 0-30 s. */
export function reissueDelayMs(random: () => number): number {
  return Math.floor(random() * reissueWindowMs)
}
