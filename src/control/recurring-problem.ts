// What goes wrong again each time it is tried, said once: what is new at once, what is known not again until it has gone well. Used by whatever tries
// something again and again for as long as the store is full or away: the etcd store itself, exposed checks. Invariant: MAX_TOLD reasons are
// remembered at most.

const MAX_TOLD = 100

export class RecurringProblem {
  private readonly told = new Set<string>()

  /** `onGone`: what to say where it goes well again. */
  constructor(
    private readonly onProblem: (reason: string) => void,
    private readonly onGone: string,
  ) {}

  /** One reason may come of several members in turn, and of several that ask. */
  failed(reason: string): void {
    if (this.told.has(reason)) return
    if (this.told.size >= MAX_TOLD) this.told.clear()
    this.told.add(reason)
    this.onProblem(reason)
  }

  wentWell(): void {
    if (this.told.size === 0) return
    this.told.clear()
    this.onProblem(this.onGone)
  }
}
