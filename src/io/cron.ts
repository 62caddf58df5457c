// Cron expressions as CTS takes them: five fields (minute … day of week), six (with a year behind) or seven (with seconds before), names of
// months and days, lists, ranges, steps, `@hourly` and the like. All in UTC. Asked by the tasks of `outrigger sync` and by the schedule of backups.
// Invariant: `next` is later than what it was asked with, or undefined where no such moment will come.

interface FieldShape {
  readonly name: string
  readonly least: number
  readonly most: number
  readonly words?: readonly string[]
}

const SHAPES: readonly FieldShape[] = [
  { name: 'second', least: 0, most: 59 },
  { name: 'minute', least: 0, most: 59 },
  { name: 'hour', least: 0, most: 23 },
  { name: 'day of month', least: 1, most: 31 },
  { name: 'month', least: 1, most: 12, words: ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'] },
  { name: 'day of week', least: 0, most: 7, words: ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'] },
  { name: 'year', least: 1970, most: 2099 },
]
const SHORT: Readonly<Record<string, string>> = {
  '@yearly': '0 0 1 1 *',
  '@annually': '0 0 1 1 *',
  '@monthly': '0 0 1 * *',
  '@weekly': '0 0 * * 0',
  '@daily': '0 0 * * *',
  '@hourly': '0 * * * *',
}
const PART = /^(\*|\?|[a-z0-9]+)(?:-([a-z0-9]+))?(?:\/(\d+))?$/
const MS_PER_SECOND = 1_000

export class CronError extends Error {}

export class CronSchedule {
  private readonly fields: readonly ReadonlySet<number>[]
  private readonly anyDay: boolean
  private readonly anyWeekday: boolean

  /** Throws `CronError`. */
  constructor(readonly text: string) {
    const words = (SHORT[text.trim()] ?? text).trim().toLowerCase().split(/\s+/)
    if (words.length < 5 || words.length > 7) throw new CronError(`has ${words.length} fields: 5, 6 or 7 are wanted`)
    const whole = words.length === 7 ? words : ['0', ...words, ...(words.length === 5 ? ['*'] : [])]
    this.fields = whole.map((word, i) => parseField(word, SHAPES[i]!))
    this.anyDay = isAny(whole[3]!)
    this.anyWeekday = isAny(whole[5]!)
  }

  /** The first moment behind `afterMs` (both since the epoch). */
  next(afterMs: number): number | undefined {
    const [seconds, minutes, hours, , months, , years] = this.fields as ReadonlySet<number>[]
    const date = new Date(Math.floor(afterMs / MS_PER_SECOND) * MS_PER_SECOND + MS_PER_SECOND)
    while (date.getUTCFullYear() <= SHAPES[6]!.most) {
      if (!years!.has(date.getUTCFullYear())) date.setTime(Date.UTC(date.getUTCFullYear() + 1, 0))
      else if (!months!.has(date.getUTCMonth() + 1)) date.setTime(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1))
      else if (!this.isDay(date)) date.setTime(Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate() + 1))
      else if (!hours!.has(date.getUTCHours())) date.setUTCHours(date.getUTCHours() + 1, 0, 0)
      else if (!minutes!.has(date.getUTCMinutes())) date.setUTCMinutes(date.getUTCMinutes() + 1, 0)
      else if (!seconds!.has(date.getUTCSeconds())) date.setUTCSeconds(date.getUTCSeconds() + 1)
      else return date.getTime()
    }
    return undefined
  }

  /** Where both days are given, either will do, as everywhere in cron. */
  private isDay(date: Date): boolean {
    const day = this.fields[3]!.has(date.getUTCDate())
    const weekday = this.fields[5]!.has(date.getUTCDay())
    if (this.anyDay || this.anyWeekday) return day && weekday
    return day || weekday
  }
}

function isAny(word: string): boolean {
  return word === '*' || word === '?'
}

function parseField(word: string, shape: FieldShape): ReadonlySet<number> {
  const values = new Set<number>()
  for (const part of word.split(',')) {
    const match = PART.exec(part)
    if (match === null) throw new CronError(`"${part}" is no ${shape.name}`)
    const [, first, last, step] = match
    const from = isAny(first!) ? shape.least : wordValue(first!, shape)
    const open = isAny(first!) || (step !== undefined && last === undefined)
    const to = last !== undefined ? wordValue(last, shape) : open ? shape.most : from
    const by = Number(step ?? 1)
    if (by < 1 || to < from) throw new CronError(`"${part}" is no ${shape.name}`)
    for (let value = from; value <= to; value += by) values.add(shape.name === 'day of week' ? value % 7 : value)
  }
  return values
}

function wordValue(word: string, { name, least, most, words }: FieldShape): number {
  const named = words?.findIndex(each => word.startsWith(each)) ?? -1
  const value = named >= 0 ? named + (name === 'month' ? 1 : 0) : /^\d+$/.test(word) ? Number(word) : Number.NaN
  if (!(value >= least && value <= most)) throw new CronError(`"${word}" is no ${name}`)
  return value
}
