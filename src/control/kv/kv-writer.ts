// Commits decisions about key/value pairs: those that wait at the same time go to the disk in one transaction, so that many clients
// share one fsync. Used by the KV and transaction endpoints and by the sessions.
//
//   decide -> queue -> [one exclusive task of the store: decide each, one transaction] -> answer each
//
// Invariants: a decision sees all that was acknowledged before it came, and is answered after its own commit; two decisions about one key
// are never in one commit.
import type { Store, StoreWrite } from '../store/store.js'
import type { HeldLease } from '../store/task-leases.js'
import { Blocked, KvChange, type Sessions } from './kv-change.js'
import type { KvTable } from './kv-table.js'

/** Decisions of one commit; it bounds how long the first of them waits for the last. */
const MAX_BATCH = 256

export interface Committed<T> {
  readonly value: T
  /** Of the commit; of the last one when nothing was written. */
  readonly index: number
}

/** What a decision writes besides key/value pairs. */
export interface Decision<T> {
  readonly value: T
  readonly writes?: readonly StoreWrite[]
  /** Nothing of it is kept; the value is answered all the same. */
  readonly abandoned?: boolean
}

interface Job {
  readonly lease: HeldLease | undefined
  decide(change: KvChange): Decision<unknown>
  resolve(committed: Committed<unknown>): void
  reject(error: Error): void
}

interface Answered {
  readonly job: Job
  readonly value: unknown
}

interface Refused {
  readonly job: Job
  readonly error: Error
}

/** What becomes of the jobs of one commit. */
interface Decided {
  readonly answered: readonly Answered[]
  readonly refused: readonly Refused[]
  readonly later: readonly Job[]
  readonly writes: readonly StoreWrite[]
}

export class KvWriter {
  private queue: Job[] = []
  private isRunning = false

  constructor(
    private readonly store: Store,
    private readonly table: KvTable,
    private readonly sessions: Sessions,
  ) {}

  /**
   * Decides and commits. Rejects with what `decide` throws, and when the state can't be written. `lease`: nothing is written once that is
   * another's.
   */
  run<T>(decide: (change: KvChange) => Decision<T>, lease?: HeldLease): Promise<Committed<T>> {
    return new Promise((resolve, reject) => {
      this.queue.push({ decide, lease, resolve: resolve as Job['resolve'], reject })
      if (!this.isRunning) void this.work()
    })
  }

  private async work(): Promise<void> {
    this.isRunning = true
    // Requests that were read in the same tick are queued before the first commit begins.
    await new Promise(resolve => setImmediate(resolve))
    while (this.queue.length > 0) await this.commit(this.queue.splice(0, MAX_BATCH))
    this.isRunning = false
  }

  private async commit(jobs: readonly Job[]): Promise<void> {
    // Those that nothing can be decided for share the failure.
    let decided: Decided = { answered: jobs.map(job => ({ job, value: undefined })), refused: [], later: [], writes: [] }
    let failure: Error | undefined
    try {
      await this.store.exclusive(async turn => {
        decided = this.decide(jobs)
        if (decided.writes.length > 0) await turn.transaction(decided.writes)
      }, jobs[0]!.lease)
    } catch (error) {
      failure = error as Error
    }
    const { index } = this.store
    this.queue.unshift(...decided.later)
    for (const { job, error } of decided.refused) job.reject(error)
    for (const { job, value } of decided.answered) {
      if (failure === undefined) job.resolve({ value, index })
      else job.reject(failure)
    }
  }

  /** Of those that fit in one commit; the others come later, in their order. Nothing has happened yet, so that it can be done again. */
  private decide(jobs: readonly Job[]): Decided {
    const taken = new Set<string>()
    const decided = { answered: [] as Answered[], refused: [] as Refused[], later: [] as Job[], writes: [] as StoreWrite[] }
    for (const [i, job] of jobs.entries()) {
      // A commit is of one lease, or of none.
      if (job.lease !== jobs[0]!.lease) return { ...decided, later: jobs.slice(i) }
      const change = new KvChange(this.table, this.sessions, taken)
      try {
        const decision = job.decide(change)
        // What touches other collections stands in a commit of its own.
        if (decision.writes !== undefined && decided.answered.length > 0) throw new Blocked()
        decided.answered.push({ job, value: decision.value })
        if (decision.abandoned === true) continue
        decided.writes.push(...change.writes(), ...(decision.writes ?? []))
        for (const key of change.keys) taken.add(key)
        if (decision.writes !== undefined) return { ...decided, later: jobs.slice(i + 1) }
      } catch (error) {
        // What came after one that has to wait waits too: a client's writes keep their order.
        if (error instanceof Blocked) return { ...decided, later: jobs.slice(i) }
        decided.refused.push({ job, error: error as Error })
      }
    }
    return decided
  }
}
