// The management servers of a bootstrap, which are always the same: tried in order, the next after each failure. Used by AdsClient.
import type { AdsTarget, AdsTargetSource } from './client-options.js'

export class TargetList implements AdsTargetSource {
  private index = 0

  constructor(private readonly targets: readonly AdsTarget[]) {
    if (targets.length === 0) throw new RangeError('targets: at least one is needed')
  }

  current(): AdsTarget {
    return this.targets[this.index]!
  }

  failed(): void {
    this.index = (this.index + 1) % this.targets.length
  }

  subscribe(): () => void {
    return () => {}
  }
}
