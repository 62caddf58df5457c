// The last index at which each kind of state changed, and who waits for the next change: Consul's blocking queries
// (`?index=N&wait=10s`, `X-Consul-Index`). Bumped by `ControlPlane`, used by the HTTP API.
// Topics: `services`, `service:<name>`, `config`, `intentions`, `roots`, `leaf:<service>`.

/** Requests that wait at the same time; above it they are refused. */
export const MAX_BLOCKING_QUERIES = 4_096
export const DEFAULT_WAIT_MS = 300_000
export const MAX_WAIT_MS = 600_000

export class TopicIndexes {
  private readonly indexes = new Map<string, number>()
  /** Who waits for a topic: what ends each wait. */
  private readonly waiters = new Map<string, Set<() => void>>()
  private waitingCount = 0
  /** Stands for topics that are not (or no longer) known: the index of the last removal, so that it never goes back. */
  private unknown = 1

  get waiting(): number {
    return this.waitingCount
  }

  /** Never 0: a client that sends 0 back would not wait. */
  get(topic: string): number {
    return this.indexes.get(topic) ?? this.unknown
  }

  bump(topic: string, index: number): void {
    this.indexes.set(topic, Math.max(index, 1))
    this.wake(topic)
  }

  /** The topic's object is gone for good. */
  remove(topic: string, index: number): void {
    this.indexes.delete(topic)
    this.unknown = Math.max(this.unknown, index)
    this.wake(topic)
  }

  /** Resolves when the topic's index is above `index`, after `waitMs`, or when `signal` aborts. False: too many wait already. */
  async waitFor(topic: string, index: number, waitMs: number, signal: AbortSignal): Promise<boolean> {
    const current = this.get(topic)
    // An index from the future is one of another data directory: answer at once, as Consul does after a reset.
    if (current !== index || signal.aborted) return true
    if (this.waitingCount >= MAX_BLOCKING_QUERIES) return false
    await new Promise<void>(resolve => {
      const done = (): void => {
        clearTimeout(timer)
        signal.removeEventListener('abort', done)
        this.forget(topic, done)
        resolve()
      }
      const timer = setTimeout(done, waitMs)
      timer.unref()
      signal.addEventListener('abort', done, { once: true })
      const waiters = this.waiters.get(topic)
      if (waiters === undefined) this.waiters.set(topic, new Set([done]))
      else waiters.add(done)
      this.waitingCount++
    })
    return true
  }

  /** Lets everyone go (shutdown). */
  close(): void {
    for (const topic of [...this.waiters.keys()]) this.wake(topic)
  }

  private wake(topic: string): void {
    for (const done of [...(this.waiters.get(topic) ?? [])]) done()
  }

  private forget(topic: string, done: () => void): void {
    const waiters = this.waiters.get(topic)
    if (waiters?.delete(done) !== true) return
    this.waitingCount--
    if (waiters.size === 0) this.waiters.delete(topic)
  }
}
