// The time as one read of a socket sees it: whoever asks during it gets the same number, so that the dozen marks and timers of a request
// cost one reading of the clock and not a dozen (70 ns each). Outside of a read it is performance.now(), or Date.now(). Read by l7 and by
// LazyTimer; readShared says when a read begins and ends.
// Invariant: the numbers are never ahead of the clocks, and no older than the read under way.

/** 0: no read is under way, or nobody has asked yet. */
let moment = 0
let date = 0
let reading = false

/** As performance.now(). HOT. */
export function eventNow(): number {
  if (!reading) return performance.now()
  if (moment === 0) moment = performance.now()
  return moment
}

/** As Date.now(). HOT. */
export function eventDate(): number {
  if (!reading) return Date.now()
  if (date === 0) date = Date.now()
  return date
}

/** A socket has bytes. */
export function beginRead(): void {
  reading = true
  moment = 0
  date = 0
}

/** They have been dealt with. A read inside another ends both, for the clock. */
export function endRead(): void {
  reading = false
}
