// The times that figures are shown for: an hour from the control plane's memory, more where a Prometheus is named to it. Pure.

export const SHORT_RANGE = '1h'
export const RANGES = [SHORT_RANGE, '6h', '24h', '168h'] as const
export type Range = (typeof RANGES)[number]

export const RANGE_WORDS: Readonly<Record<Range, string>> = { '1h': 'an hour', '6h': '6 hours', '24h': 'a day', '168h': 'a week' }

const DAY_MS = 86_400_000

/** Of an address that somebody has typed, or of a server that has less. */
export function rangeOf(text: string | null, hasLong: boolean): Range {
  return RANGES.find(range => hasLong && range === text) ?? SHORT_RANGE
}

/** As precise as the span of a picture needs it. */
export function momentText(ms: number, spanMs: number): string {
  const at = new Date(ms)
  const clock = at.toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit' })
  return spanMs < DAY_MS / 2 ? clock : `${at.toLocaleDateString('en-GB', { day: 'numeric', month: 'short' })} ${clock}`
}
