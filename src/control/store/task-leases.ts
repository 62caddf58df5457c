// Which replica of the control plane does what only one of them may do: reaping, rotation, rollouts, backups on a schedule. Each names its task
// and contends for it; whoever holds the lease is told, works until its signal is aborted, and says the lease with what it writes, so that
// the store refuses a holder that does not know yet that it is one no more. A store brings its leases along (`Store.leases`): those of this
// process here, where there is nobody to share with; those of a cluster in etcd/etcd-leases.ts.
//
//   contend -> (waits) -> held: `onHeld(lease)` -> the lease is lost: `lease.signal` aborts -> (waits) -> ...      the way out -> released
//
// Invariant: no two hold a task at the same time as far as the store's writes can tell.

export interface HeldLease {
  readonly task: string
  /** Aborted when the lease is lost or given up: timers end then, and nothing more is begun. */
  readonly signal: AbortSignal
}

export interface TaskLeases {
  /**
   * Stands in line for `task` from now on, also after a loss. `onHeld` is told each time the task is this replica's, perhaps before this
   * returns; it must not throw. Returns the way out, which resolves once others may have the task.
   */
  contend(task: string, onHeld: (lease: HeldLease) => void): () => Promise<void>
}

/** The lease can't be proven any more: whatever it was to write is another's to do. Nothing was written. */
export class LeaseLost extends Error {
  constructor({ task }: HeldLease) {
    super(`the task "${task}" is another's by now; nothing was written`)
  }
}

/** In one process: whoever comes first has the task until it gives it up. */
export class LocalLeases implements TaskLeases {
  private readonly lines = new Map<string, (() => void)[]>()

  contend(task: string, onHeld: (lease: HeldLease) => void): () => Promise<void> {
    const line = this.lines.get(task) ?? []
    this.lines.set(task, line)
    const abort = new AbortController()
    const begin = (): void => onHeld({ task, signal: abort.signal })
    line.push(begin)
    if (line.length === 1) begin()
    return async () => {
      const place = line.indexOf(begin)
      if (place < 0) return
      line.splice(place, 1)
      abort.abort()
      if (place === 0) line[0]?.()
    }
  }
}
