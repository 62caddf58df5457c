// Decisions that wait at the same time go to the store in one transaction, so that they share one flush of the disk. Used by the catalog for
// registrations; KvWriter does the same for keys, each of which must have an index of its own.
//
//   run -> queue -> [one exclusive task of the store: decide as many as go together, one transaction] -> answer each
//
// Invariants: what is decided sees all that was acknowledged before it came, and is answered after its own commit; they are decided in
// their order.
import type { Store, StoreWrite } from './store.js'

/** Of the first ones that wait, as many as there are values. */
export interface GroupDecision<T> {
  readonly values: readonly T[]
  readonly writes: readonly StoreWrite[]
}

interface Waiting<J, T> {
  readonly job: J
  resolve(value: T): void
  reject(error: Error): void
}

/** It bounds how long the first of them waits for the last, and how large their transaction grows. */
const MAX_GROUP = 32

export class GroupCommit<J, T> {
  private queue: Waiting<J, T>[] = []
  private isRunning = false

  constructor(
    private readonly store: Store,
    /** Decides the first of them at least; may be called again with the same. Nothing is kept of what it throws. */
    private readonly decide: (jobs: readonly J[]) => GroupDecision<T>,
  ) {}

  /** Rejects when the state can't be written. */
  run(job: J): Promise<T> {
    return new Promise((resolve, reject) => {
      this.queue.push({ job, resolve, reject })
      if (!this.isRunning) void this.work()
    })
  }

  private async work(): Promise<void> {
    this.isRunning = true
    while (this.queue.length > 0) await this.commit()
    this.isRunning = false
  }

  private async commit(): Promise<void> {
    let group: readonly Waiting<J, T>[] = []
    let values: readonly T[] = []
    try {
      await this.store.exclusive(async turn => {
        // Those too that came while others had the store.
        group = this.queue.slice(0, MAX_GROUP)
        const decision = this.decide(group.map(({ job }) => job))
        values = decision.values
        group = group.slice(0, values.length)
        if (decision.writes.length > 0) await turn.transaction(decision.writes)
      })
    } catch (error) {
      // What nothing could be decided for is not tried again.
      if (group.length === 0) group = this.queue.slice(0, MAX_GROUP)
      this.queue = this.queue.slice(group.length)
      for (const { reject } of group) reject(error as Error)
      return
    }
    this.queue = this.queue.slice(group.length)
    for (const [i, { resolve }] of group.entries()) resolve(values[i]!)
  }
}
