// Which rules for judging servers include which: whoever was verified under one set of rules is good under another that is equal but for
// a trust bundle that has only grown. So connections outlive the first step of a root rotation, and no request waits for a handshake then.
// Owned by TlsContexts; told by UpstreamTlsContext, asked (through it) by l7/client/upstream-pools when a pool's key is no longer the current one.
// Invariant: what it has forgotten is covered by nothing.

/** Rules remembered, over all clusters; a mesh has one for each upstream service and bundle. */
export const MAX_REMEMBERED_RULES = 4096

export interface JudgingRules {
  /** Hash of everything but the bundle. */
  readonly rest: string
  /** Hashes of the certificates of the bundle; null where there is none, which covers nothing but itself. */
  readonly anchors: ReadonlySet<string> | null
}

export class TrustHistory {
  private readonly known = new Map<string, JudgingRules>()

  remember(key: string, rules: JudgingRules): void {
    if (!this.known.delete(key) && this.known.size >= MAX_REMEMBERED_RULES) this.known.delete(this.known.keys().next().value!)
    this.known.set(key, rules)
  }

  /** Whether everybody who was verified under the rules `before` would be under `now`. */
  covers(now: string, before: string): boolean {
    const [next, last] = [this.known.get(now), this.known.get(before)]
    if (next === undefined || last === undefined || next.rest !== last.rest || next.anchors === null || last.anchors === null) return false
    for (const anchor of last.anchors) if (!next.anchors.has(anchor)) return false
    return true
  }
}
