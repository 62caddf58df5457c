// How long to wait before trying again: exponential, with full jitter, so that many who failed at once don't come back at once. Used by
// the ADS client and DNS discovery. Invariant: never longer than `maxMs`.

/** Before attempt number `attempt` (0 is the first retry): uniform between 0 and `baseMs` doubled `attempt` times, `maxMs` at most. */
export function fullJitterMs(attempt: number, baseMs: number, maxMs: number, random: () => number): number {
  return random() * Math.min(maxMs, baseMs * 2 ** Math.min(attempt, 30))
}
