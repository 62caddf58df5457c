// Time, for everything that waits or measures: it takes a Clock, so that tests drive time by hand. `systemClock` is the real one, whose
// timers are unref'd (a pending health check never keeps the process alive); those of `heldClock` hold the process, for work that
// somebody awaits. Invariants: intervals are measured on the monotonic clock, which nobody can set; dates come from the wall clock alone.
// A timer that fires late does so after what has come meanwhile is read: Node looks at its timers before its sockets, so where the process
// was kept from running, what was there in time would otherwise be taken for missing. Envoy's event loop has that order by itself.

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

/** A timer later than this is late: sockets go first. Below, it is the granularity of timers. */
export const LATE_MS = 5

class NodeTimer implements Timer {
  readonly handle: NodeJS.Timeout
  private readonly due: number
  private readonly fn: () => void
  private afterReads: NodeJS.Immediate | null = null

  constructor(ms: number, fn: () => void) {
    const wait = Math.min(Math.max(ms, 0), MAX_TIMER_MS)
    this.fn = fn
    this.due = performance.now() + wait
    this.handle = setTimeout(fire, wait, this)
  }

  /** Called by Node. */
  fired(): void {
    if (performance.now() - this.due > LATE_MS) this.afterReads = setImmediate(this.fn)
    else this.fn()
  }

  cancel(): void {
    clearTimeout(this.handle)
    if (this.afterReads !== null) clearImmediate(this.afterReads)
  }
}

function fire(timer: NodeTimer): void {
  timer.fired()
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
