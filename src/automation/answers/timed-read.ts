// What has to be read again every so often, since nobody tells of its changes: secrets of Vault. Started by watch-hub.ts beside the blocking
// watches. Invariant: a failure keeps the last answer, and is tried again, later each time.
import { fullJitterMs } from '../../io/backoff.js'
import type { Clock } from '../../io/clock.js'
import { pause } from '../pause.js'

/** A path that is followed: its last answer, and why there is no newer one. */
export interface Watch {
  /** Undefined until there is an answer. */
  readonly value: unknown
  /** '' = all is well. */
  readonly problem: string
  stop(): void
}

export interface TimedReadContext {
  readonly clock: Clock
  readonly random: () => number
  readonly read: () => Promise<unknown>
  readonly onChange: () => void
}

/** consul-template's for secrets without a lease. */
const EVERY_MS = 300_000
const BACKOFF_BASE_MS = 500
const BACKOFF_MAX_MS = 60_000

export class TimedRead implements Watch {
  value: unknown
  problem = ''
  private readonly stopping = new AbortController()

  constructor(private readonly context: TimedReadContext) {
    void this.run()
  }

  stop(): void {
    this.stopping.abort()
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping
    const { clock, random, read, onChange } = this.context
    let text: string | undefined
    for (let failures = 0; !signal.aborted; ) {
      let waitMs = EVERY_MS
      const { problem } = this
      try {
        const value = await read()
        failures = 0
        this.value = value
        this.problem = ''
      } catch (error) {
        this.problem = (error as Error).message
        waitMs = fullJitterMs(failures++, BACKOFF_BASE_MS, BACKOFF_MAX_MS, random)
      }
      const next = JSON.stringify(this.value)
      if (!signal.aborted && (next !== text || this.problem !== problem)) onChange()
      text = next
      await pause(waitMs, clock, signal)
    }
  }
}
