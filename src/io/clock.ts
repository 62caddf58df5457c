// Time as the upstream layer sees it. Everything here that waits or measures takes a Clock, so that tests drive time by hand.
// `systemClock` is the real one: monotonic milliseconds and unref'd timers (a pending health check never keeps the process alive).

export interface Timer {
  cancel(): void
}

export interface Clock {
  /** Monotonic milliseconds; only differences mean anything. */
  now(): number
  /** Calls `fn` once after `ms` (>= 0) unless cancelled. */
  after(ms: number, fn: () => void): Timer
}

/** Longest delay of a Node timer; longer ones would fire at once. */
const MAX_TIMER_MS = 2_147_483_647

class NodeTimer implements Timer {
  private readonly handle: NodeJS.Timeout
  constructor(ms: number, fn: () => void) {
    this.handle = setTimeout(fn, Math.min(Math.max(ms, 0), MAX_TIMER_MS))
    this.handle.unref()
  }
  cancel(): void {
    clearTimeout(this.handle)
  }
}

export const systemClock: Clock = {
  now: () => performance.now(),
  after: (ms, fn) => new NodeTimer(ms, fn),
}
