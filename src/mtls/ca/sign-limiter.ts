// How often and how many at once the CA signs. Called by the authority before each signature.
// A rate (a token bucket of burst 1) where one is configured, else a bound on concurrent signatures, else no limit, as Consul's
// CSRMaxPerSecond and CSRMaxConcurrent. Invariant: nobody waits longer than `maxWaitMs`; who would have to is refused at once.

import type { Clock } from '../../io/clock.js'
import { CaError } from '../x509/certificate-error.js'

export interface SignLimits {
  /** 0 = no rate limit. */
  readonly csrMaxPerSecond: number
  /** Used only when there is no rate limit; 0 = unbounded. */
  readonly csrMaxConcurrent: number
}

/** How long a caller waits for its turn unless it says otherwise (Consul's csrLimitWait). */
export const DEFAULT_SIGN_WAIT_MS = 500

/** Callers that may wait for a slot at once; one more is refused at once. */
const MAX_WAITING = 1000

interface Waiter {
  admit(): void
}

export class SignLimiter {
  private readonly clock: Clock
  /** When the next token is there: on the monotonic clock, since a wall clock set back must not stop the CA from signing. */
  private nextAtMs = 0
  private active = 0
  private readonly waiting: Waiter[] = []

  constructor(clock: Clock) {
    this.clock = clock
  }

  /** Runs `work` when its turn comes. Throws `CaError` `rate-limited` when that would take longer than `maxWaitMs`. */
  async run<T>(limits: SignLimits, maxWaitMs: number, work: () => Promise<T> | T): Promise<T> {
    if (limits.csrMaxPerSecond > 0) {
      const now = this.clock.now()
      const at = Math.max(now, this.nextAtMs)
      const waitMs = at - now
      if (waitMs > maxWaitMs) throw rateLimited(`CSRMaxPerSecond ${limits.csrMaxPerSecond}`, maxWaitMs)
      this.nextAtMs = at + 1000 / limits.csrMaxPerSecond
      if (waitMs > 0) await new Promise<void>(resolve => this.clock.after(waitMs, resolve))
      return work()
    }
    if (limits.csrMaxConcurrent === 0) return work()
    if (this.active >= limits.csrMaxConcurrent) await this.waitForSlot(limits.csrMaxConcurrent, maxWaitMs)
    else this.active++
    try {
      return await work()
    } finally {
      this.release()
    }
  }

  private async waitForSlot(max: number, maxWaitMs: number): Promise<void> {
    if (this.waiting.length >= MAX_WAITING) throw rateLimited(`CSRMaxConcurrent ${max}`, 0)
    await this.slot(max, maxWaitMs)
  }

  private slot(max: number, maxWaitMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        admit: () => {
          timeout.cancel()
          resolve()
        },
      }
      const timeout = this.clock.after(maxWaitMs, () => {
        this.waiting.splice(this.waiting.indexOf(waiter), 1)
        reject(rateLimited(`CSRMaxConcurrent ${max}`, maxWaitMs))
      })
      this.waiting.push(waiter)
    })
  }

  /** A slot passes straight to the one that waits longest. */
  private release(): void {
    const next = this.waiting.shift()
    if (next === undefined) {
      this.active--
      return
    }
    next.admit()
  }
}

function rateLimited(limit: string, waitedMs: number): CaError {
  return new CaError('rate-limited', `rate limited: the CA signs no more now (${limit}, waited up to ${waitedMs} ms); try again later`)
}
