// Commits decisions about key/value pairs: those that wait at the same time go to the disk in one transaction, so that many clients
// share one fsync. Used by the KV and transaction endpoints and by the sessions.
//
//   decide -> queue -> [one exclusive task of the store: decide each, one transaction] -> answer each
//
// Invariants: a decision sees all that was acknowledged before it came, and is answered after its own commit; two decisions about one key
// are never in one commit.
import type { Store, StoreWrite } from '../store/store.js'
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
  decide(change: KvChange): Decision<unknown>
  resolve(committed: Committed<unknown>): void
  reject(error: Error): void
}

export class KvWriter {
  private queue: Job[] = []
  private isRunning = false

  constructor(
    private readonly store: Store,
    private readonly table: KvTable,
    private readonly sessions: Sessions,
  ) {}

  /** Decides and commits. Rejects with what `decide` throws, and when the state can't be written. */
  run<T>(decide: (change: KvChange) => Decision<T>): Promise<Committed<T>> {
    return new Promise((resolve, reject) => {
      this.queue.push({ decide, resolve: resolve as Job['resolve'], reject })
      if (!this.isRunning) void this.work()
    })
  }

  private async work(): Promise<void> {
    this.isRunning = true
    // Requests that were read in the same tick are queued before the first commit begins.
    await new Promise(resolve => setImmediate(resolve))
    while (this.queue.length > 0) await this.store.exclusive(() => this.commit())
    this.isRunning = false
  }

  private async commit(): Promise<void> {
    const taken = new Set<string>()
    const writes: StoreWrite[] = []
    const done: { readonly job: Job; readonly value: unknown }[] = []
    const later: Job[] = []
    const jobs = this.queue.splice(0, MAX_BATCH)
    for (const job of jobs) {
      // Once one has to wait, what came after it waits too: a client's writes keep their order.
      if (later.length > 0) {
        later.push(job)
        continue
      }
      const change = new KvChange(this.table, this.sessions, taken)
      try {
        const decision = job.decide(change)
        // What touches other collections stands in a commit of its own.
        if (decision.writes !== undefined && done.length > 0) throw new Blocked()
        done.push({ job, value: decision.value })
        if (decision.abandoned === true) continue
        writes.push(...change.writes(), ...(decision.writes ?? []))
        for (const key of change.keys) taken.add(key)
        if (decision.writes !== undefined) {
          later.push(...jobs.slice(jobs.indexOf(job) + 1))
          break
        }
      } catch (error) {
        if (error instanceof Blocked) later.push(job)
        else job.reject(error as Error)
      }
    }
    this.queue.unshift(...later)
    try {
      if (writes.length > 0) await this.store.transaction(writes)
      for (const { job, value } of done) job.resolve({ value, index: this.store.index })
    } catch (error) {
      for (const { job } of done) job.reject(error as Error)
    }
  }
}
