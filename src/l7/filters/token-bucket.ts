// A token bucket without a timer: tokens of the intervals that have passed are added when someone asks. Used by local_ratelimit and
// the fault filter's response rate limit.

import type { Clock } from '../../upstream/clock.js'

export interface TokenBucketConfig {
  readonly maxTokens: number
  readonly tokensPerFill: number
  /** 0: never refilled. */
  readonly fillIntervalMs: number
}

export class TokenBucket {
  readonly config: TokenBucketConfig
  private tokens: number
  private filledAt: number
  private readonly clock: Clock

  /** Starts full. */
  constructor(config: TokenBucketConfig, clock: Clock) {
    this.config = config
    this.clock = clock
    this.tokens = config.maxTokens
    this.filledAt = clock.now()
  }

  /** HOT: once per limited request. */
  take(): boolean {
    this.fill()
    if (this.tokens < 1) return false
    this.tokens--
    return true
  }

  /** Takes up to `wanted` tokens; returns how many. */
  takeUpTo(wanted: number): number {
    this.fill()
    const taken = Math.min(Math.floor(this.tokens), wanted)
    this.tokens -= taken
    return taken
  }

  get remaining(): number {
    this.fill()
    return Math.floor(this.tokens)
  }

  /** Until the next refill. */
  get msToFill(): number {
    const { fillIntervalMs } = this.config
    if (fillIntervalMs === 0) return 0
    return Math.max(0, fillIntervalMs - (this.clock.now() - this.filledAt))
  }

  private fill(): void {
    const { fillIntervalMs, tokensPerFill, maxTokens } = this.config
    if (fillIntervalMs === 0) return
    const intervals = Math.floor((this.clock.now() - this.filledAt) / fillIntervalMs)
    if (intervals <= 0) return
    this.filledAt += intervals * fillIntervalMs
    this.tokens = Math.min(maxTokens, this.tokens + intervals * tokensPerFill)
  }
}
