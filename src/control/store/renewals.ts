// What was renewed at one replica and counts for all: sessions, agents of other machines, checks by heartbeat. Whoever keeps the timers hears of
// it within a moment, and of what lives but a few seconds sooner: that has a note of its own, so that it is not said with all the rest each time.
// Made by the tables that have such timers. Invariant: an id is said until a note that has it was told, and a while longer, so that neither a
// note that replaces another nor an etcd that is away for a moment loses a renewal that was acknowledged here; then nothing of it is left in the
// note.
import type { Store } from './store.js'

const PAUSE_MS = 250
/** Each note stays in etcd's history until that is compacted, so the more there is to say, the seldomer it is said. Sessions and agents live 10 s. */
const MAX_PAUSE_MS = 1_500
/** What lives shorter is short-lived: it is said within a quarter of the shortest life among it. */
const SHORT_LIFE_MS = 4 * MAX_PAUSE_MS
const MAX_BYTES_A_SECOND = 32_000
/** Said again for so long. */
const LATELY_MS = 2_000
/** Of one note: etcd takes no value of more than 1.5 MiB, and one that it refused would be refused for ever. Beyond it the oldest go. */
const MAX_NOTE_BYTES = 1_000_000

export class Renewals {
  private readonly notes: Readonly<Record<'short' | 'long', RenewalNote>>

  /** `onRenewed`: at another replica; it may be told of one renewal several times. */
  constructor(store: Store, topic: string, onRenewed: (id: string) => void) {
    this.notes = {
      short: new RenewalNote(store, `short-${topic}`, onRenewed),
      long: new RenewalNote(store, topic, onRenewed),
    }
  }

  /** Here. `lifeMs`: when it would have ended without. */
  renewed(id: string, lifeMs: number): void {
    const note = lifeMs < SHORT_LIFE_MS ? this.notes.short : this.notes.long
    note.renewed(id, Math.min(lifeMs / 4, MAX_PAUSE_MS))
  }

  stop(): void {
    for (const note of Object.values(this.notes)) note.stop()
  }
}

/** One topic of the store's notes: what this replica has renewed lately. */
class RenewalNote {
  /** When each was renewed last, the oldest first. */
  private readonly lately = new Map<string, number>()
  /** What they take in a note. */
  private bytes = 0
  /** Whatever was renewed by then was told. */
  private toldUntil = Number.NEGATIVE_INFINITY
  private timer: NodeJS.Timeout | undefined
  /** When it is due. */
  private sayAt = 0
  private readonly end: () => void

  constructor(
    private readonly store: Store,
    private readonly topic: string,
    onRenewed: (id: string) => void,
  ) {
    this.end = store.notes.hear(topic, (_replica, note) => {
      for (const id of (note as readonly string[] | undefined) ?? []) onRenewed(id)
    })
  }

  renewed(id: string, withinMs: number): void {
    if (!this.store.isShared) return
    if (!this.lately.delete(id)) this.bytes += sizeInNote(id)
    this.lately.set(id, performance.now())
    this.plan(Math.min(Math.max((1_000 * this.bytes) / MAX_BYTES_A_SECOND, PAUSE_MS), withinMs))
  }

  stop(): void {
    clearTimeout(this.timer)
    this.end()
  }

  private plan(afterMs: number): void {
    const sayAt = performance.now() + afterMs
    if (this.timer !== undefined && this.sayAt <= sayAt) return
    clearTimeout(this.timer)
    this.sayAt = sayAt
    this.timer = setTimeout(() => this.say(), afterMs).unref()
  }

  private say(): void {
    this.timer = undefined
    const now = performance.now()
    const done = Math.min(now - LATELY_MS, this.toldUntil)
    for (const [id, at] of this.lately) {
      if (at >= done && this.bytes <= MAX_NOTE_BYTES) break
      this.lately.delete(id)
      this.bytes -= sizeInNote(id)
    }
    this.store.notes.say(this.topic, [...this.lately.keys()], () => {
      this.toldUntil = Math.max(this.toldUntil, now)
    })
    // Once more at least, though nothing is renewed any more.
    if (this.lately.size > 0) this.plan(LATELY_MS)
  }
}

/** With what stands between two of them. */
const sizeInNote = (id: string): number => Buffer.byteLength(JSON.stringify(id)) + 1
