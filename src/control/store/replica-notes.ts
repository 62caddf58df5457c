// What the replicas of a control plane tell each other beside the state: who they are, whose session has been renewed, which proxies they serve.
// A note is said in place of the one before, is no part of the state (no index, no snapshot), and goes with its replica. A store brings them along
// (`Store.notes`): nobody to talk to here, etcd/etcd-notes.ts where replicas share one.

export interface ReplicaNotes {
  /** Of this replica, among those that run. */
  readonly replica: string
  /** `note` must be JSON. Several in a short time may be told as the last of them. `onTold`: where this one was told, others hear it. */
  say(topic: string, note: unknown, onTold?: () => void): void
  /** `listener` is told of what others say, and have said; `note` undefined: that replica is gone. Must not throw. Returns the way out. */
  hear(topic: string, listener: (replica: string, note: unknown) => void): () => void
}

/** The only one. */
export class NoReplicas implements ReplicaNotes {
  readonly replica = 'only'

  say(): void {}

  hear(): () => void {
    return () => {}
  }
}
