// Notes between replicas, as keys under the lease of who says them (etcd-session.ts). Made by `EtcdStore`, whose mirror tells of the keys.
// Invariant: what is said is written soon, not more often than each `PAUSE_MS` a topic, and again under another lease when one is over.

import { RecurringProblem } from '../../recurring-problem.js'
import type { ReplicaNotes } from '../replica-notes.js'
import type { EtcdClient } from './etcd-client.js'
import { bytesOf, type EtcdLayout, putOp, textOf } from './etcd-layout.js'
import type { EtcdSession, SessionUser } from './etcd-session.js'
import type { OtherKey } from './load-state.js'

const PAUSE_MS = 250
const RETRY_MS = 1_000

interface Said {
  readonly note: unknown
  readonly onTold: (() => void) | undefined
  isWritten: boolean
}

interface Listener {
  readonly topic: string
  readonly tell: (replica: string, note: unknown) => void
}

export class EtcdNotes implements ReplicaNotes, SessionUser {
  private readonly said = new Map<string, Said>()
  private readonly heard = new Map<string, { readonly topic: string; readonly replica: string; readonly note: unknown }>()
  private readonly listeners = new Set<Listener>()
  private timer: NodeJS.Timeout | undefined
  private writing = false
  private readonly problem: RecurringProblem

  constructor(
    readonly replica: string,
    private readonly client: EtcdClient,
    private readonly layout: EtcdLayout,
    private readonly session: EtcdSession,
    private readonly onProblem: (reason: string) => void,
  ) {
    this.problem = new RecurringProblem(onProblem, 'notes are told again')
    session.use(this)
  }

  say(topic: string, note: unknown, onTold?: () => void): void {
    this.said.set(topic, { note, onTold, isWritten: false })
    this.plan(0)
  }

  hear(topic: string, tell: (replica: string, note: unknown) => void): () => void {
    const listener = { topic, tell }
    this.listeners.add(listener)
    for (const { topic: other, replica, note } of this.heard.values()) if (other === topic) this.tell(listener, replica, note)
    return () => void this.listeners.delete(listener)
  }

  /** A note's key has come or gone at etcd. */
  keyChanged(key: string, other: OtherKey | undefined): void {
    const [topic = '', replica = ''] = key.slice(this.layout.note.length).split('/')
    if (replica === this.replica) return
    let note: unknown
    try {
      note = other === undefined ? undefined : JSON.parse(textOf(other.value))
    } catch (error) {
      this.onProblem(`note ${key} is left alone: ${(error as Error).message}`)
      return
    }
    if (other === undefined) this.heard.delete(key)
    else this.heard.set(key, { topic, replica, note })
    for (const listener of this.listeners) if (listener.topic === topic) this.tell(listener, replica, note)
  }

  /** Another replica may be of another version, and whatever it says must not end the watch, by which commits come too. */
  private tell({ topic, tell }: Listener, replica: string, note: unknown): void {
    try {
      tell(replica, note)
    } catch (error) {
      this.onProblem(`note "${topic}" of replica ${replica} is left alone: ${(error as Error).message}`)
    }
  }

  onBegin(): void {
    for (const said of this.said.values()) said.isWritten = false
    this.plan(0)
  }

  onOver(): void {
    clearTimeout(this.timer)
    this.timer = undefined
  }

  private plan(afterMs: number): void {
    if (this.writing || this.timer !== undefined || this.session.id === undefined) return
    this.timer = setTimeout(() => void this.write(), afterMs)
    this.timer.unref()
  }

  private async write(): Promise<void> {
    this.timer = undefined
    this.writing = true
    let pauseMs = PAUSE_MS
    for (const [topic, said] of this.said) {
      const lease = this.session.id
      if (said.isWritten || lease === undefined) continue
      const key = `${this.layout.note}${topic}/${this.replica}`
      said.isWritten = true
      // One that etcd does not take holds up none of the others.
      await this.client.txn({ success: [putOp(key, bytesOf(JSON.stringify(said.note)), lease)] }).then(
        () => said.onTold?.(),
        (error: Error) => {
          said.isWritten = false
          pauseMs = RETRY_MS
          if (this.session.id !== undefined) this.problem.failed(`note "${topic}": ${error.message}`)
        },
      )
    }
    this.writing = false
    if ([...this.said.values()].some(({ isWritten }) => !isWritten)) this.plan(pauseMs)
    else this.problem.wentWell()
  }
}
