// When backups are made: every so long (`6h`), or by a cron pattern (`0 3 * * *`, in UTC). Asked by `Backups`, which has the timer.
// A schedule goes by the last backup that there is, so a restart neither repeats nor forgets one; without any, one is due at once.
import { parseDuration } from '../config-entries/duration.js'

const MIN_EVERY_MS = 60_000

export interface BackupSchedule {
  /** As it was given. */
  readonly text: string
  /** When the next one is due, which may have passed already. */
  dueMs(lastMs: number | undefined): number
}

/** Rejects with one line. */
export async function parseSchedule(text: string): Promise<BackupSchedule> {
  const everyMs = (parseDuration(text) ?? Number.NaN) / 1e6
  if (everyMs >= MIN_EVERY_MS) return { text, dueMs: lastMs => (lastMs === undefined ? 0 : lastMs + everyMs) }
  if (!Number.isNaN(everyMs)) throw new Error(`"${text}": must be 1m or more`)
  if (text.trim().split(/\s+/).length !== 5) throw new Error(`"${text}": must be a duration such as 6h, or a cron pattern of five fields`)
  const { Cron } = await import('croner')
  const cron = cronOf(() => new Cron(text, { paused: true, timezone: 'UTC' }), text)
  if (cron.nextRun() === null) throw new Error(`"${text}": never comes`)
  return { text, dueMs: lastMs => (lastMs === undefined ? 0 : (cron.nextRun(new Date(lastMs))?.getTime() ?? Number.POSITIVE_INFINITY)) }
}

function cronOf<T>(make: () => T, text: string): T {
  try {
    return make()
  } catch (error) {
    throw new Error(`"${text}": ${(error as Error).message}`)
  }
}
