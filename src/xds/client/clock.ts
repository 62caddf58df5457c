// Time and chance as the ADS client sees them, so that tests can hold both still. Production code uses `systemClock` and Math.random.

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number
  /** Calls `fn` once after `ms`; the returned function cancels it. */
  after(ms: number, fn: () => void): () => void
}

export const systemClock: Clock = {
  now: () => Date.now(),
  after(ms, fn) {
    const timer = setTimeout(fn, ms)
    return () => clearTimeout(timer)
  },
}

/** Wait before attempt number `attempt` (0 is the first retry): exponential from `baseMs` to `maxMs`, with full jitter. */
export function fullJitterMs(attempt: number, baseMs: number, maxMs: number, random: () => number): number {
  return random() * Math.min(maxMs, baseMs * 2 ** Math.min(attempt, 30))
}

/** Token bucket (`rate_limit_settings`): starts full with `maxTokens`, gains `fillRate` tokens a second. */
export class TokenBucket {
  private tokens: number
  private filledAt: number

  constructor(
    private readonly maxTokens: number,
    private readonly fillRate: number,
    private readonly clock: Clock,
  ) {
    this.tokens = maxTokens
    this.filledAt = clock.now()
  }

  /** Takes a token and returns 0, or takes none and returns the milliseconds until there is one. */
  take(): number {
    const now = this.clock.now()
    this.tokens = Math.min(this.maxTokens, this.tokens + ((now - this.filledAt) / 1000) * this.fillRate)
    this.filledAt = now
    if (this.tokens >= 1) {
      this.tokens -= 1
      return 0
    }
    return Math.max(1, Math.ceil(((1 - this.tokens) / this.fillRate) * 1000))
  }

  /** Gives back a token that was taken and not needed. */
  giveBack(): void {
    this.tokens = Math.min(this.maxTokens, this.tokens + 1)
  }
}
