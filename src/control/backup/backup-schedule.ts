// When backups are made: every so long (`6h`), or by a cron pattern (`0 3 * * *`, in UTC). Asked by `Backups`, which has the timer.
// A schedule goes by the last backup that there is, so a restart neither repeats nor forgets one; without any, one is due at once.
import { CronSchedule } from '../../io/cron.js'
import { parseDuration } from '../config-entries/duration.js'

const MIN_EVERY_MS = 60_000

export interface BackupSchedule {
  /** As it was given. */
  readonly text: string
  /** When the next one is due, which may have passed already. */
  dueMs(lastMs: number | undefined): number
}

/** Throws with one line. */
export function parseSchedule(text: string): BackupSchedule {
  const everyMs = (parseDuration(text) ?? Number.NaN) / 1e6
  if (everyMs >= MIN_EVERY_MS) return { text, dueMs: lastMs => (lastMs === undefined ? 0 : lastMs + everyMs) }
  if (!Number.isNaN(everyMs)) throw new Error(`"${text}": must be 1m or more`)
  if (text.trim().split(/\s+/).length !== 5) throw new Error(`"${text}": must be a duration such as 6h, or a cron pattern of five fields`)
  const cron = cronOf(text)
  if (cron.next(Date.now()) === undefined) throw new Error(`"${text}": never comes`)
  return { text, dueMs: lastMs => (lastMs === undefined ? 0 : (cron.next(lastMs) ?? Number.POSITIVE_INFINITY)) }
}

function cronOf(text: string): CronSchedule {
  try {
    return new CronSchedule(text)
  } catch (error) {
    throw new Error(`"${text}": ${(error as Error).message}`)
  }
}
