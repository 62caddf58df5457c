// The index of a kind of state, and who waits for it to change: what blocking reads ask for (`Watched` of the HTTP API). Tables and rings that
// hold one kind of state extend it and say `advance` after each change. Invariant: whoever is woken sees the change and the new index.

export class WatchedIndex {
  private readonly watchers = new Set<() => void>()
  private last: number

  /** `index`: of the store at the start. */
  constructor(index = 1) {
    this.last = Math.max(index, 1)
  }

  /** Never 0: a client that sends 0 back would not wait. */
  index(): number {
    return this.last
  }

  watch(wake: () => void): () => void {
    this.watchers.add(wake)
    return () => void this.watchers.delete(wake)
  }

  protected advance(index: number): void {
    this.last = index
    for (const wake of [...this.watchers]) wake()
  }
}
