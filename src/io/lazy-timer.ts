// A timeout that is set and cleared per request but touches Node's timers rarely: setting it later only moves a number; the
// underlying Timeout is re-armed when it fires too early; one that fires late lets sockets be read first (clock.ts). HOT: two stores a
// request.
// Used for route, idle and stream timeouts by l7, the pools and the listeners. Resolution 1 ms; early by no more than
// the read took in which it was set.

import { LATE_MS, MAX_TIMER_MS } from './clock.js'
import { eventNow } from './event-clock.js'

export class LazyTimer {
  private deadline = 0
  private armedUntil = 0
  private handle: NodeJS.Timeout | null = null
  private afterReads: NodeJS.Immediate | null = null
  /** Called when the time has passed; replaceable, so that timers can be pooled. */
  callback: () => void

  constructor(callback: () => void) {
    this.callback = callback
  }

  /** Fire once after `ms` from now, replacing an earlier deadline. */
  set(ms: number): void {
    const now = eventNow()
    this.deadline = now + ms
    if (this.handle === null) this.arm(now)
    else if (this.armedUntil > this.deadline) {
      clearTimeout(this.handle)
      this.arm(now)
    }
  }

  /** Fire so much later than set for, or earlier where negative; at once where that has passed. */
  shift(ms: number): void {
    if (this.deadline === 0) return
    this.set(Math.max(0, this.deadline + ms - eventNow()))
  }

  /** No firing until set again. The Node timer stays armed and is ignored. */
  clear(): void {
    this.deadline = 0
  }

  /** Give the Node timer back; the timer may be set again later. */
  dispose(): void {
    this.deadline = 0
    if (this.handle !== null) {
      clearTimeout(this.handle)
      this.handle = null
    }
    if (this.afterReads !== null) {
      clearImmediate(this.afterReads)
      this.afterReads = null
    }
  }

  private arm(now: number): void {
    const wait = Math.min(Math.max(1, Math.ceil(this.deadline - now)), MAX_TIMER_MS)
    this.armedUntil = now + wait
    this.handle = setTimeout(fire, wait, this)
    this.handle.unref()
  }

  /** Called by Node. */
  fired(): void {
    this.handle = null
    if (this.deadline === 0) return
    const now = performance.now()
    if (this.deadline - now > 0.5) {
      this.arm(now)
      return
    }
    if (now - this.deadline > LATE_MS) {
      this.afterReads ??= setImmediate(fireLate, this)
      return
    }
    this.deadline = 0
    this.callback()
  }

  /** What had come is read: whoever waited for it has cleared or set the timer. */
  firedLate(): void {
    this.afterReads = null
    if (this.deadline === 0 || this.deadline > performance.now()) return
    this.deadline = 0
    this.callback()
  }
}

function fire(timer: LazyTimer): void {
  timer.fired()
}

function fireLate(timer: LazyTimer): void {
  timer.firedLate()
}
