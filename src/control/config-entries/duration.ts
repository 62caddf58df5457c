// Durations as Consul's JSON has them: Go's strings (`1m30s`, `250ms`) or a number of nanoseconds.
// Used by the entry parser (to the canonical string) and by everyone who needs milliseconds of a canonical string.
// Invariant: `parseDuration(formatDuration(ns))` is `ns`, up to the 53 bits of a number (104 days in nanoseconds).

const UNIT_NS: ReadonlyMap<string, number> = new Map([
  ['ns', 1],
  ['us', 1e3],
  ['µs', 1e3],
  ['μs', 1e3],
  ['ms', 1e6],
  ['s', 1e9],
  ['m', 60e9],
  ['h', 3600e9],
])
const WHOLE = /^[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+$/
const PART = /(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g
/** Go's time.Duration is a signed 64-bit count of nanoseconds. */
const MAX_DURATION_NS = 2 ** 63

/** Nanoseconds of a Go duration string, or undefined if it is not one (Go `time.ParseDuration`). */
export function parseDuration(text: string): number | undefined {
  if (text === '0' || text === '+0' || text === '-0') return 0
  if (text.length > 64 || !WHOLE.test(text)) return undefined
  let ns = 0
  for (const [, count, unit] of text.matchAll(PART)) ns += Number(count) * UNIT_NS.get(unit!)!
  ns = Math.round(ns)
  if (ns >= MAX_DURATION_NS) return undefined
  return text.startsWith('-') ? -ns : ns
}

/** Go's `Duration.String()`: `1m30s`, `1h0m0s`, `1.5s`, `250ms`, `0s`. */
export function formatDuration(ns: number): string {
  if (ns === 0) return '0s'
  const sign = ns < 0 ? '-' : ''
  const abs = Math.abs(ns)
  if (abs < 1e3) return `${sign}${abs}ns`
  if (abs < 1e6) return `${sign}${decimal(abs, 1e3)}µs`
  if (abs < 1e9) return `${sign}${decimal(abs, 1e6)}ms`
  const minutes = Math.floor(abs / 60e9)
  const seconds = `${decimal(abs - minutes * 60e9, 1e9)}s`
  if (minutes === 0) return sign + seconds
  const hours = Math.floor(minutes / 60)
  return hours === 0 ? `${sign}${minutes}m${seconds}` : `${sign}${hours}h${minutes % 60}m${seconds}`
}

/** Milliseconds of a canonical duration; 0 for an absent one. */
export function durationMs(duration: string | undefined): number {
  return duration === undefined ? 0 : (parseDuration(duration) ?? 0) / 1e6
}

export function durationFromMs(ms: number): string {
  return formatDuration(Math.round(ms * 1e6))
}

/** `value / unit` without binary rounding noise: `unit` is a power of ten, so the digits are cut, not divided. */
function decimal(value: number, unit: number): string {
  const whole = Math.floor(value / unit)
  const rest = value - whole * unit
  if (rest === 0) return String(whole)
  const digits = String(rest).padStart(Math.log10(unit), '0').replace(/0+$/, '')
  return `${whole}.${digits}`
}
