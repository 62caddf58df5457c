// Which backups stay: a number of the newest, those of the last days, and grandfather, father and son (one for each of the last days, weeks,
// months). What one rule keeps stays, whatever the others say. Used by `Backups`. Invariant: the newest backup always stays.
import { parseDuration } from '../config-entries/duration.js'

const MAX_KEPT = 10_000
const DAY_MS = 24 * 3_600_000
const WEEK_MS = 7 * DAY_MS
/** 1970-01-05, a Monday: ISO weeks begin there. */
const FIRST_MONDAY_MS = 4 * DAY_MS

/** Names of periods -> what two moments of the same one have in common, by UTC. */
const PERIODS = {
  hourly: atMs => String(Math.floor(atMs / 3_600_000)),
  daily: atMs => String(Math.floor(atMs / DAY_MS)),
  weekly: atMs => String(Math.floor((atMs - FIRST_MONDAY_MS) / WEEK_MS)),
  monthly: atMs => new Date(atMs).toISOString().slice(0, 7),
  yearly: atMs => new Date(atMs).toISOString().slice(0, 4),
} satisfies Readonly<Record<string, (atMs: number) => string>>
type Period = keyof typeof PERIODS

export interface Retention {
  /** As it was given. */
  readonly text: string
  readonly last: number
  readonly withinMs: number
  readonly periods: ReadonlyMap<Period, number>
}

/** `14`, or `last=3,within=48h,daily=7,weekly=4,monthly=12`. Throws one line. */
export function parseRetention(text: string): Retention {
  let last = 0
  let withinMs = 0
  const periods = new Map<Period, number>()
  for (const part of (/^\d+$/.test(text) ? `last=${text}` : text).split(',')) {
    const [name = '', value = ''] = part.trim().split('=', 2)
    if (name === 'within') withinMs = ageMs(value, text)
    else {
      const count = Number(value)
      if (!/^\d{1,5}$/.test(value) || count < 1 || count > MAX_KEPT)
        throw new Error(`"${text}": ${name === '' ? 'a rule' : name} needs a number, 1 to ${MAX_KEPT}`)
      if (name === 'last') last = count
      else if (Object.hasOwn(PERIODS, name)) periods.set(name as Period, count)
      else throw new Error(`"${text}": "${name}" is no rule: last, within, ${Object.keys(PERIODS).join(', ')} are`)
    }
  }
  return { text, last, withinMs, periods }
}

/** Those to remove of `backups`, which are sorted newest first. */
export function expired<T extends { readonly atMs: number }>(backups: readonly T[], retention: Retention, nowMs: number): T[] {
  const kept = new Set<T>(backups.slice(0, Math.max(1, retention.last)))
  for (const backup of backups) if (nowMs - backup.atMs <= retention.withinMs) kept.add(backup)
  for (const [period, count] of retention.periods) {
    const seen = new Set<string>()
    for (const backup of backups) {
      const of = PERIODS[period](backup.atMs)
      if (seen.has(of)) continue
      if (seen.size === count) break
      seen.add(of)
      kept.add(backup)
    }
  }
  return backups.filter(backup => !kept.has(backup))
}

/** Go's durations, and days: `30d`. */
function ageMs(value: string, text: string): number {
  const days = /^(\d{1,5})d$/.exec(value)
  const ms = days === null ? (parseDuration(value) ?? Number.NaN) / 1e6 : Number(days[1]) * DAY_MS
  if (!(ms > 0)) throw new Error(`"${text}": within needs a duration such as 72h or 30d`)
  return ms
}
