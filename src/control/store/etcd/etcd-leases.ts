// Tasks that one replica has at a time, as keys under that replica's lease (etcd-session.ts): whoever makes the key has the task, until the key goes.
// Made by `EtcdStore`, whose mirror tells of the keys, and which puts into each leased write a compare: the holder's key is there since it was made.
//
//   contend -> [key is there: wait until it goes] -> make it -> held -> (key gone | lease over | given up) -> contend ...
import { randomUUID } from 'node:crypto'
import { RecurringProblem } from '../../recurring-problem.js'
import type { HeldLease, TaskLeases } from '../task-leases.js'
import type { EtcdClient } from './etcd-client.js'
import { bytesOf, deleteOp, type EtcdLayout, foundBy, getOp, isAt, isSince, putOp, textOf } from './etcd-layout.js'
import type { EtcdSession, SessionUser } from './etcd-session.js'
import type { OtherKey } from './load-state.js'

const RETRY_MS = 500
const RELEASE_MS = 500

interface Contest {
  readonly task: string
  readonly key: string
  /** What the key says when it is ours. */
  readonly mark: string
  readonly onHeld: (lease: HeldLease) => void
  held: { readonly lease: HeldLease; readonly abort: AbortController; readonly since: bigint } | undefined
  attempt: Promise<void> | undefined
  ended: boolean
}

export class EtcdLeases implements TaskLeases, SessionUser {
  private readonly contests = new Set<Contest>()
  private readonly contestOf = new WeakMap<HeldLease, { readonly key: string; readonly since: bigint }>()
  /** Tasks that somebody has. */
  private readonly taken = new Map<string, OtherKey>()
  /** One for all tasks: what keeps one from being taken keeps the others. */
  private readonly problem: RecurringProblem

  constructor(
    private readonly client: EtcdClient,
    private readonly layout: EtcdLayout,
    private readonly session: EtcdSession,
    onProblem: (reason: string) => void,
  ) {
    this.problem = new RecurringProblem(onProblem, 'tasks can be taken again')
    session.use(this)
  }

  contend(task: string, onHeld: (lease: HeldLease) => void): () => Promise<void> {
    const key = `${this.layout.held}${task}`
    const contest: Contest = { task, key, mark: randomUUID(), onHeld, held: undefined, attempt: undefined, ended: false }
    this.contests.add(contest)
    this.tryFor(contest)
    return async () => {
      if (contest.ended) return
      contest.ended = true
      this.contests.delete(contest)
      await contest.attempt
      const since = contest.held?.since
      this.lose(contest)
      // Where etcd does not answer, the lease ends it.
      if (since !== undefined && this.session.id !== undefined)
        await this.client.txn({ compare: [isSince(key, since)], success: [deleteOp(key)] }, RELEASE_MS).catch(() => {})
    }
  }

  /** What a write of the holder compares. */
  keyOf(lease: HeldLease): { readonly key: string; readonly since: bigint } {
    const found = this.contestOf.get(lease)
    if (found === undefined) throw new Error(`the task "${lease.task}" is not of this store`)
    return found
  }

  /** A task's key has come or gone at etcd. */
  keyChanged(key: string, other: OtherKey | undefined): void {
    if (other === undefined) this.taken.delete(key)
    else this.taken.set(key, other)
    for (const contest of this.contests) {
      if (contest.key !== key) continue
      if (contest.held !== undefined && other?.createRevision !== contest.held.since) this.lose(contest)
      if (other === undefined) this.tryFor(contest)
    }
  }

  onBegin(): void {
    for (const contest of this.contests) this.tryFor(contest)
  }

  onOver(): void {
    for (const contest of this.contests) this.lose(contest)
  }

  private lose(contest: Contest): void {
    contest.held?.abort.abort()
    contest.held = undefined
  }

  private tryFor(contest: Contest): void {
    if (contest.held !== undefined || contest.attempt !== undefined || contest.ended || this.taken.has(contest.key)) return
    contest.attempt = this.attempt(contest)
      .catch((error: Error) => {
        if (!contest.ended) this.problem.failed(`tasks can't be taken: ${error.message}`)
      })
      .finally(() => {
        contest.attempt = undefined
        // It may have gone while it was asked for.
        if (contest.held === undefined && !this.taken.has(contest.key)) setTimeout(() => this.tryFor(contest), RETRY_MS).unref()
      })
  }

  private async attempt(contest: Contest): Promise<void> {
    const { key, task, mark } = contest
    const lease = this.session.id
    if (lease === undefined) return
    const { succeeded, header, responses } = await this.client.txn({
      compare: [isAt(key, 0n)],
      success: [putOp(key, bytesOf(mark), lease)],
      failure: [getOp(key)],
    })
    this.problem.wentWell()
    const found = succeeded ? undefined : foundBy(responses[0])
    // An earlier attempt whose answer got lost.
    const isOurs = succeeded || (found !== undefined && textOf(found.value) === mark && found.lease === lease)
    if (!isOurs || this.session.id !== lease) return
    const abort = new AbortController()
    const held: HeldLease = { task, signal: abort.signal }
    const since = succeeded ? header!.revision : found!.createRevision
    contest.held = { lease: held, abort, since }
    this.contestOf.set(held, { key, since })
    if (!contest.ended) contest.onHeld(held)
  }
}
