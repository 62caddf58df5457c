// A manual clock that does not wait between two tries: what is armed for a retry's few seconds fires at once, everything longer (time limits,
// renewals) is the test's to move.
import type { Timer } from '../../../src/io/clock.js'
import { ManualClock } from '../manual-clock.js'

const LONGEST_RETRY_MS = 5_000

export class ImpatientClock extends ManualClock {
  /** The retries' delays, in order. */
  readonly waits: number[] = []

  override after(ms: number, fn: () => void): Timer {
    if (ms > LONGEST_RETRY_MS) return super.after(ms, fn)
    this.waits.push(ms)
    const handle = setImmediate(fn)
    return { cancel: () => clearImmediate(handle) }
  }
}
