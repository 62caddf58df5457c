// Time, for everything that waits or measures: it takes a Clock, so that tests drive time by hand. `systemClock` is the real one, whose
// timers are unref'd (a pending health check never keeps the process alive); those of `heldClock` hold the process, for work that
// somebody awaits. Invariant: intervals are measured on the monotonic clock, which nobody can set; dates come from the wall clock alone.

export interface Timer {
  cancel(): void
}

export interface Clock {
  /** Monotonic milliseconds; only differences mean anything. */
  now(): number
  /** Calls `fn` once after `ms` unless cancelled. */
  after(ms: number, fn: () => void): Timer
}

/** A clock that knows the date too. */
export interface WallClock extends Clock {
  /** Milliseconds since the epoch; jumps when the system's clock is set. */
  wallNow(): number
}

/** Longest delay of a Node timer; longer ones would fire at once. */
export const MAX_TIMER_MS = 2_147_483_647

/** In the place of a timer that is not armed. */
export const NO_TIMER: Timer = { cancel() {} }

class NodeTimer implements Timer {
  readonly handle: NodeJS.Timeout
  constructor(ms: number, fn: () => void) {
    this.handle = setTimeout(fn, Math.min(Math.max(ms, 0), MAX_TIMER_MS))
  }
  cancel(): void {
    clearTimeout(this.handle)
  }
}

export const heldClock: WallClock = {
  now: () => performance.now(),
  wallNow: () => Date.now(),
  after: (ms, fn) => new NodeTimer(ms, fn),
}

export const systemClock: WallClock = {
  ...heldClock,
  after(ms, fn) {
    const timer = new NodeTimer(ms, fn)
    timer.handle.unref()
    return timer
  },
}
