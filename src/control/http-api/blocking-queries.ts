// Consul's blocking queries (`?index=N&wait=10s`, `?hash=`): who waits until what was read has another index. Used by `respond.ts`;
// what can be waited for says so itself (`Watched`): topics, keys and prefixes of the KV store, sessions, events.
// Invariant: nobody is asked again and again; a wait ends by a change, its time, the client's leaving or the shutdown, and leaves nothing.

/** Requests that wait at the same time; above it they are refused. */
export const MAX_BLOCKING_QUERIES = 4_096
export const DEFAULT_WAIT_MS = 300_000
export const MAX_WAIT_MS = 600_000

export interface Watched {
  /** Never 0: a client that sends 0 back would not wait. */
  index(): number
  /** Calls `wake` when the index may have changed. Returns the way out. */
  watch(wake: () => void): () => void
}

export class BlockingQueries {
  private readonly waits = new Set<() => void>()

  get waiting(): number {
    return this.waits.size
  }

  /**
   * Resolves when `isOver`, which is asked again at every change of `watched`, or after `waitMs`, or when `signal` aborts.
   * False: too many wait already.
   */
  async wait(watched: Watched, isOver: () => boolean, waitMs: number, signal: AbortSignal): Promise<boolean> {
    if (signal.aborted || isOver()) return true
    if (this.waits.size >= MAX_BLOCKING_QUERIES) return false
    await new Promise<void>(resolve => {
      const end = (): void => {
        clearTimeout(timer)
        signal.removeEventListener('abort', end)
        unwatch()
        this.waits.delete(end)
        resolve()
      }
      const timer = setTimeout(end, waitMs)
      timer.unref()
      signal.addEventListener('abort', end, { once: true })
      this.waits.add(end)
      const unwatch = watched.watch(() => {
        if (isOver()) end()
      })
    })
    return true
  }

  /** Lets everyone go (shutdown). */
  close(): void {
    for (const end of [...this.waits]) end()
  }
}
