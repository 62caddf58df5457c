// Who is told of a store's commits, and the line in which exclusive tasks wait: what every store in this process needs and does the
// same way. Held by each `Store`.
import type { Collection, Commit, RecordChange, Turn } from './store.js'
import { type HeldLease, LeaseLost } from './task-leases.js'

interface Subscriber {
  readonly collections: ReadonlySet<Collection>
  readonly listener: (commit: Commit) => void
}

export class CommitFeed {
  private readonly subscribers = new Set<Subscriber>()
  private last: Promise<unknown> = Promise.resolve()

  subscribe(collections: readonly Collection[], listener: (commit: Commit) => void): () => void {
    const subscriber = { collections: new Set(collections), listener }
    this.subscribers.add(subscriber)
    return () => void this.subscribers.delete(subscriber)
  }

  /** Called in order of indexes. */
  publish(index: number, changes: readonly RecordChange[]): void {
    for (const { collections, listener } of this.subscribers) {
      const concerned = changes.filter(change => collections.has(change.collection))
      if (concerned.length > 0) listener({ index, changes: concerned })
    }
  }

  exclusive<T>(task: () => Promise<T>): Promise<T> {
    const run = this.last.then(task)
    this.last = run.catch(() => {})
    return run
  }
}

/** The turn of a task in this process: as long as the lease is held, where there is one. */
export function leasedTurn(store: Turn, lease: HeldLease | undefined): Turn {
  if (lease === undefined) return store
  return {
    transaction(writes, compares) {
      return lease.signal.aborted ? Promise.reject(new LeaseLost(lease)) : store.transaction(writes, compares)
    },
  }
}
