// A token bucket without a timer: tokens flow in evenly, `tokensPerFill` in each interval (Envoy's AtomicTokenBucketImpl), and are added
// up when someone asks. Used by local_ratelimit, throttled bodies (of bytes) and the ADS client's limit of requests.
// Invariant: never more than `maxTokens`.

import type { Clock } from './clock.js'

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

  /** Starts full, unless told otherwise. */
  constructor(config: TokenBucketConfig, clock: Clock, tokens = config.maxTokens) {
    this.config = config
    this.clock = clock
    this.tokens = tokens
    this.filledAt = clock.now()
  }

  /** HOT: once per limited request. */
  take(): boolean {
    this.fill()
    if (this.tokens < 1) return false
    this.tokens--
    return true
  }

  /** All of `count`, or none. */
  takeAll(count: number): boolean {
    this.fill()
    if (this.tokens < count) return false
    this.tokens -= count
    return true
  }

  /** As many whole ones as there are; returns how many. */
  takeUpTo(count: number): number {
    this.fill()
    const taken = Math.min(count, Math.floor(this.tokens))
    this.tokens -= taken
    return taken
  }

  /** Gives back a token that was taken and not needed. */
  giveBack(): void {
    this.tokens = Math.min(this.config.maxTokens, this.tokens + 1)
  }

  get remaining(): number {
    this.fill()
    return Math.floor(this.tokens)
  }

  /** Until a whole token is there; 0 when one is. */
  get msToToken(): number {
    this.fill()
    const { fillIntervalMs, tokensPerFill } = this.config
    if (this.tokens >= 1 || fillIntervalMs === 0) return 0
    return ((1 - this.tokens) * fillIntervalMs) / tokensPerFill
  }

  private fill(): void {
    const { fillIntervalMs, tokensPerFill, maxTokens } = this.config
    if (fillIntervalMs === 0) return
    const now = this.clock.now()
    if (now <= this.filledAt) return
    this.tokens = Math.min(maxTokens, this.tokens + ((now - this.filledAt) * tokensPerFill) / fillIntervalMs)
    this.filledAt = now
  }
}
