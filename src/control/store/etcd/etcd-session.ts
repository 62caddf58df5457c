// This replica's life as etcd sees it: one lease, kept alive, under which all that goes with the replica lies (tasks that it holds, what it tells
// the others). Started and closed by `EtcdStore`; etcd-leases.ts and etcd-notes.ts put their keys under it.
//
//   begin -> alive --kept alive each third of its time--> alive
//              \-- not kept alive in time, or gone at etcd: over -> begin (another id; everything under it is put there again)
//
// Invariant: it is over here before it is over at etcd: its time counts from before the question that was answered.

import { RecurringProblem } from '../../recurring-problem.js'
import { type EtcdClient, EtcdError } from './etcd-client.js'

export interface SessionUser {
  onBegin(): void
  onOver(): void
}

/** A replica that was killed is missed for so long. */
const TTL_SECONDS = 5
const KEEP_ALIVE_MS = (TTL_SECONDS * 1_000) / 4
const RETRY_MS = 500

export class EtcdSession {
  private lease: bigint | undefined
  private validUntil = 0
  private timer: NodeJS.Timeout | undefined
  private overTimer: NodeJS.Timeout | undefined
  private readonly users: SessionUser[] = []
  private closed = false
  private readonly noLease: RecurringProblem

  constructor(
    private readonly client: EtcdClient,
    private readonly onProblem: (reason: string) => void,
  ) {
    this.noLease = new RecurringProblem(onProblem, 'lease: there is one again')
  }

  /** Undefined: nothing can be put under it now. */
  get id(): bigint | undefined {
    return this.lease !== undefined && performance.now() < this.validUntil ? this.lease : undefined
  }

  use(user: SessionUser): void {
    this.users.push(user)
  }

  /** Where etcd gives no lease (it is full) it is asked for one again: what needs none, as reads do, goes on meanwhile. */
  start(): Promise<void> {
    return this.keepAlive()
  }

  /** What lies under it goes. */
  async close(): Promise<void> {
    this.closed = true
    clearTimeout(this.timer)
    clearTimeout(this.overTimer)
    const { lease } = this
    this.over()
    if (lease !== undefined) await this.client.revokeLease(lease).catch(() => {})
  }

  private plan(afterMs: number): void {
    if (this.closed) return
    this.timer = setTimeout(() => void this.keepAlive(), afterMs)
    this.timer.unref()
  }

  private async keepAlive(): Promise<void> {
    try {
      if (this.lease === undefined) await this.begin()
      else {
        const asked = performance.now()
        const seconds = await this.client.keepLease(this.lease)
        if (seconds > 0) this.lives(asked, seconds)
        else {
          this.over()
          await this.begin()
        }
      }
      this.plan(KEEP_ALIVE_MS)
    } catch (error) {
      if (this.closed) return
      if (this.lease === undefined) this.noLease.failed(`lease: ${(error as Error).message}`)
      if (error instanceof EtcdError) this.client.next()
      this.plan(RETRY_MS)
    }
  }

  private async begin(): Promise<void> {
    const asked = performance.now()
    const lease = await this.client.grantLease(TTL_SECONDS)
    if (this.closed) return
    this.lease = lease
    this.lives(asked, TTL_SECONDS)
    this.noLease.wentWell()
    for (const user of this.users) user.onBegin()
  }

  private lives(since: number, seconds: number): void {
    this.validUntil = since + seconds * 1_000
    clearTimeout(this.overTimer)
    this.overTimer = setTimeout(() => {
      this.onProblem('lease: etcd has not prolonged it in time')
      this.over()
    }, this.validUntil - performance.now())
    this.overTimer.unref()
  }

  private over(): void {
    if (this.lease === undefined) return
    this.lease = undefined
    clearTimeout(this.overTimer)
    for (const user of this.users) user.onOver()
  }
}
