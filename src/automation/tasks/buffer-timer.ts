// CTS's buffer period: many changes in a short time are one. Held by task-runner.ts.
// Invariant: it fires `minMs` after the last change, and `maxMs` after the first of them at the latest; never twice for one change.
import { type Clock, NO_TIMER, type Timer } from '../../io/clock.js'
import type { BufferPeriod } from '../config/sync-config.js'

export class BufferTimer {
  private timer: Timer = NO_TIMER
  private firstAt: number | undefined

  constructor(
    private readonly period: BufferPeriod | null,
    private readonly clock: Clock,
    private readonly fire: () => void,
  ) {}

  changed(): void {
    const { period, clock } = this
    if (period === null) return void this.fire()
    const now = clock.now()
    this.firstAt ??= now
    this.timer.cancel()
    this.timer = clock.after(Math.max(0, Math.min(period.minMs, this.firstAt + period.maxMs - now)), () => {
      this.firstAt = undefined
      this.fire()
    })
  }

  cancel(): void {
    this.timer.cancel()
    this.timer = NO_TIMER
    this.firstAt = undefined
  }
}
