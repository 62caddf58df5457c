// The last index at which each kind of state changed, and who is to be told of the next change. Bumped by `change-topics.ts`, watched by
// the blocking queries of the HTTP API.
// Topics: `services`, `health`, `service:<name in lower case>`, `config`, `intentions`, `roots`, `ca-config`, `nodes`, `leaf:<service>`, `queries`,
// `peerings`, `import:<peer>/<service in lower case>`.
// Invariant: an index never goes back, also over a restart: what is not known stands at the index of the start or of the last removal.

/** What changes with a service, by its name in any case. */
export const serviceTopic = (name: string): string => `service:${name.toLowerCase()}`

/** What changes with a service of a peer, by its name in any case. */
export const importTopic = (peer: string, service: string): string => `import:${peer}/${service.toLowerCase()}`

export class TopicIndexes {
  private readonly indexes = new Map<string, number>()
  private readonly watchers = new Map<string, Set<() => void>>()
  private unknown: number

  /** `index`: of the store at the start. */
  constructor(index = 1) {
    this.unknown = Math.max(index, 1)
  }

  /** Never 0: a client that sends 0 back would not wait. */
  get(topic: string): number {
    return this.indexes.get(topic) ?? this.unknown
  }

  bump(topic: string, index: number): void {
    this.indexes.set(topic, Math.max(index, this.get(topic)))
    this.wake(topic)
  }

  /** The topic's object is gone for good. */
  remove(topic: string, index: number): void {
    this.indexes.delete(topic)
    this.unknown = Math.max(this.unknown, index)
    this.wake(topic)
  }

  isWatched(topic: string): boolean {
    return this.watchers.has(topic)
  }

  watch(topic: string, wake: () => void): () => void {
    const watchers = this.watchers.get(topic) ?? new Set()
    this.watchers.set(topic, watchers.add(wake))
    return () => {
      watchers.delete(wake)
      if (watchers.size === 0 && this.watchers.get(topic) === watchers) this.watchers.delete(topic)
    }
  }

  private wake(topic: string): void {
    for (const wake of [...(this.watchers.get(topic) ?? [])]) wake()
  }
}
