// What was renewed at one replica and counts for all: sessions, agents of other machines, checks by heartbeat. Whoever keeps the timers hears of
// it within a moment. Made by the tables that have such timers; says what was renewed lately, so that a note that replaces another loses nothing.
import type { Store } from './store.js'

const PAUSE_MS = 250
/** Said again for so long. */
const LATELY_MS = 2_000

export class Renewals {
  private readonly lately = new Map<string, number>()
  private timer: NodeJS.Timeout | undefined
  private readonly end: () => void

  /** `onRenewed`: at another replica; it may be told of one renewal several times. */
  constructor(
    private readonly store: Store,
    private readonly topic: string,
    onRenewed: (id: string) => void,
  ) {
    this.end = store.notes.hear(topic, (_replica, note) => {
      for (const id of (note as readonly string[] | undefined) ?? []) onRenewed(id)
    })
  }

  /** Here. */
  renewed(id: string): void {
    if (!this.store.isShared) return
    this.lately.set(id, performance.now())
    this.timer ??= setTimeout(() => this.say(), PAUSE_MS).unref()
  }

  stop(): void {
    clearTimeout(this.timer)
    this.end()
  }

  private say(): void {
    this.timer = undefined
    const oldest = performance.now() - LATELY_MS
    for (const [id, at] of this.lately) if (at < oldest) this.lately.delete(id)
    this.store.notes.say(this.topic, [...this.lately.keys()])
  }
}
