// A clock that tests move by hand, in place of io/clock's systemClock: timers fire in the order of their times, inside `advance`.

import type { Timer, WallClock } from '../../src/io/clock.js'

interface ManualTimer {
  readonly at: number
  readonly fn: () => void
}

export class ManualClock implements WallClock {
  private time = 1_000_000
  private readonly wallOffset: number
  private timers: ManualTimer[] = []

  /** `wallMs`: the date at the start. */
  constructor(wallMs = Date.now()) {
    this.wallOffset = wallMs - this.time
  }

  now(): number {
    return this.time
  }

  wallNow(): number {
    return this.time + this.wallOffset
  }

  after(ms: number, fn: () => void): Timer {
    const timer = { at: this.time + ms, fn }
    this.timers.push(timer)
    return {
      cancel: () => {
        this.timers = this.timers.filter(each => each !== timer)
      },
    }
  }

  /** Timers that are armed. */
  get pending(): number {
    return this.timers.length
  }

  /** How long each of them has to run. */
  get delays(): number[] {
    return this.timers.map(({ at }) => at - this.time)
  }

  advance(ms: number): void {
    const end = this.time + ms
    for (;;) {
      let due: ManualTimer | undefined
      for (const timer of this.timers) if (timer.at <= end && (due === undefined || timer.at < due.at)) due = timer
      if (due === undefined) break
      const fired = due
      this.timers = this.timers.filter(timer => timer !== fired)
      this.time = Math.max(this.time, fired.at)
      fired.fn()
    }
    this.time = end
  }

  /** Moves on and lets everybody who was woken finish. */
  async settle(ms: number): Promise<void> {
    this.advance(ms)
    await new Promise(resolve => setImmediate(resolve))
  }
}
