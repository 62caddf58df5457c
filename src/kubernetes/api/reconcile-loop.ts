// Runs one reconciliation at a time: when asked to, again after a failure, and from time to time by itself, so that what somebody else undid
// is done again. Used by sync/ and resources/. Invariant: who asks while one runs gets another run after it; none overlap.
import { fullJitterMs } from '../../io/backoff.js'
import { KubeError } from './kube-client.js'

const GATHER_MS = 50
const BASE_WAIT_MS = 1_000
const MAX_WAIT_MS = 60_000

export interface ReconcileOptions {
  readonly reconcile: () => Promise<void>
  readonly everyMs: number
  readonly onProblem: (message: string) => void
}

export class ReconcileLoop {
  private timer: NodeJS.Timeout | null = null
  private dueAtMs = Number.POSITIVE_INFINITY
  /** After a failure: who asks meanwhile waits as well. */
  private heldUntilMs = 0
  private running: Promise<void> | null = null
  private askedAgain = false
  private stopped = false
  private failures = 0

  constructor(private readonly options: ReconcileOptions) {}

  ask(): void {
    if (this.running !== null) this.askedAgain = true
    else this.runIn(GATHER_MS)
  }

  async stop(): Promise<void> {
    this.stopped = true
    if (this.timer !== null) clearTimeout(this.timer)
    await this.running
  }

  private runIn(ms: number): void {
    const nowMs = performance.now()
    const dueAtMs = Math.max(nowMs + ms, this.heldUntilMs)
    if (this.stopped || dueAtMs >= this.dueAtMs) return
    if (this.timer !== null) clearTimeout(this.timer)
    this.dueAtMs = dueAtMs
    this.timer = setTimeout(() => {
      this.running = this.run()
    }, dueAtMs - nowMs)
  }

  private async run(): Promise<void> {
    this.timer = null
    this.dueAtMs = Number.POSITIVE_INFINITY
    this.askedAgain = false
    let waitMs = this.options.everyMs
    try {
      await this.options.reconcile()
      this.failures = 0
    } catch (error) {
      const askedMs = error instanceof KubeError ? error.retryAfterMs : 0
      this.heldUntilMs = performance.now() + askedMs + BASE_WAIT_MS
      waitMs = askedMs + BASE_WAIT_MS + fullJitterMs(this.failures++, BASE_WAIT_MS, MAX_WAIT_MS, Math.random)
      this.options.onProblem((error as Error).message)
    }
    this.running = null
    this.runIn(this.askedAgain ? GATHER_MS : waitMs)
  }
}
