// Numbers, times and shares as the console writes them. Pure.

const PLAIN = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })
const COMPACT = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 })

const SECOND_MS = 1_000
const MINUTE_MS = 60 * SECOND_MS
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS

export const count = (value: number): string => (Math.abs(value) < 10_000 ? PLAIN.format(value) : COMPACT.format(value))

/** Requests per second. */
export function rate(value: number): string {
  if (value === 0) return '0'
  if (value < 0.1) return '<0.1'
  return value < 10 ? value.toFixed(1) : count(value)
}

/** A share of 0 to 1; what is not quite all never looks like all. */
export function percent(share: number | null): string {
  if (share === null) return '–'
  const value = share * 100
  if (value === 100 || value === 0) return `${value} %`
  if (value > 99.9) return `${Math.min(99.99, Math.floor(value * 100) / 100).toFixed(2)} %`
  return `${value.toFixed(1)} %`
}

export function millis(value: number | null): string {
  if (value === null) return '–'
  if (value < 10) return `${value.toFixed(1)} ms`
  return value < SECOND_MS ? `${value.toFixed(0)} ms` : `${(value / SECOND_MS).toFixed(2)} s`
}

/** The largest unit of a time span: `3 d`, `4 h`, `12 min`, `5 s`. */
export function span(ms: number): string {
  const size = Math.abs(ms)
  if (size >= 2 * DAY_MS) return `${Math.floor(size / DAY_MS)} d`
  if (size >= 2 * HOUR_MS) return `${Math.floor(size / HOUR_MS)} h`
  if (size >= 2 * MINUTE_MS) return `${Math.floor(size / MINUTE_MS)} min`
  return `${Math.floor(size / SECOND_MS)} s`
}

export function ago(at: string, nowMs: number): string {
  const passed = nowMs - Date.parse(at)
  return passed < 2 * SECOND_MS ? 'now' : `${span(passed)} ago`
}

export const plural = (n: number, one: string, many = `${one}s`): string => `${count(n)} ${n === 1 ? one : many}`
