// Numbers as Envoy's expositions print them. Used by stats-page.ts and prometheus.ts only.

const UINT64_LIMIT = 2 ** 64

/** Counter and gauge values: 64-bit unsigned in Envoy, so 2^64 and more (an unlimited breaker) prints as the largest of those. */
export function formatCount(value: number): string {
  if (value < Number.MAX_SAFE_INTEGER) return String(value)
  return value >= UINT64_LIMIT ? '18446744073709551615' : BigInt(Math.trunc(value)).toString()
}

/** printf's %.<digits>g without exponent padding differences that could matter to a parser; NaN prints as `nan`. */
export function formatG(value: number, digits: number): string {
  if (Number.isNaN(value)) return 'nan'
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf'
  if (Number.isInteger(value) && Math.abs(value) < 10 ** Math.min(digits, 15)) return String(value)
  const text = value.toPrecision(digits)
  const e = text.indexOf('e')
  const mantissa = trimZeros(e < 0 ? text : text.slice(0, e))
  if (e < 0) return mantissa
  const sign = text[e + 1]!
  return `${mantissa}e${sign}${text.slice(e + 2).padStart(2, '0')}`
}

/** Shortest text that reads back as the same number; NaN prints as `nan`. */
export function formatShortest(value: number): string {
  return Number.isNaN(value) ? 'nan' : String(value)
}

function trimZeros(text: string): string {
  if (!text.includes('.')) return text
  let end = text.length
  while (text[end - 1] === '0') end--
  if (text[end - 1] === '.') end--
  return text.slice(0, end)
}
