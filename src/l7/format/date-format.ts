// strftime as `%START_TIME(...)%` takes it: C's specifiers plus Envoy's `%f`, `%3f`, `%s` and absl's `%E3S`. Compiled once per format.
// Times have millisecond precision; further digits are zeros.

export type DateFormat = (ms: number) => string

const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday']
const MONTHS = ['January', 'February', 'March', 'April', 'May', 'June', 'July', 'August', 'September', 'October', 'November', 'December']

interface Fields {
  readonly ms: number
  readonly year: number
  readonly month: number
  readonly day: number
  readonly weekday: number
  readonly hour: number
  readonly minute: number
  readonly second: number
  readonly milli: number
  readonly offsetMinutes: number
}

const pad = (value: number, width: number, fill = '0') => String(value).padStart(width, fill)

function fraction(fields: Fields, digits: number): string {
  return pad(fields.milli, 3).padEnd(9, '0').slice(0, digits)
}

function zone(fields: Fields): string {
  const minutes = Math.abs(fields.offsetMinutes)
  return `${fields.offsetMinutes < 0 ? '-' : '+'}${pad(Math.floor(minutes / 60), 2)}${pad(minutes % 60, 2)}`
}

function dayOfYear(fields: Fields): number {
  return Math.floor((Date.UTC(fields.year, fields.month, fields.day) - Date.UTC(fields.year, 0, 1)) / 86_400_000) + 1
}

const SPECIFIERS: Readonly<Record<string, (f: Fields) => string>> = Object.assign(Object.create(null), {
  Y: (f: Fields) => String(f.year),
  y: (f: Fields) => pad(f.year % 100, 2),
  C: (f: Fields) => pad(Math.floor(f.year / 100), 2),
  m: (f: Fields) => pad(f.month + 1, 2),
  d: (f: Fields) => pad(f.day, 2),
  e: (f: Fields) => pad(f.day, 2, ' '),
  H: (f: Fields) => pad(f.hour, 2),
  I: (f: Fields) => pad(f.hour % 12 === 0 ? 12 : f.hour % 12, 2),
  k: (f: Fields) => pad(f.hour, 2, ' '),
  M: (f: Fields) => pad(f.minute, 2),
  S: (f: Fields) => pad(f.second, 2),
  p: (f: Fields) => (f.hour < 12 ? 'AM' : 'PM'),
  a: (f: Fields) => DAYS[f.weekday]!.slice(0, 3),
  A: (f: Fields) => DAYS[f.weekday]!,
  b: (f: Fields) => MONTHS[f.month]!.slice(0, 3),
  h: (f: Fields) => MONTHS[f.month]!.slice(0, 3),
  B: (f: Fields) => MONTHS[f.month]!,
  j: (f: Fields) => pad(dayOfYear(f), 3),
  u: (f: Fields) => String(f.weekday === 0 ? 7 : f.weekday),
  w: (f: Fields) => String(f.weekday),
  s: (f: Fields) => String(Math.floor(f.ms / 1000)),
  f: (f: Fields) => fraction(f, 9),
  z: zone,
  Z: (f: Fields) => (f.offsetMinutes === 0 ? 'UTC' : zone(f)),
  n: () => '\n',
  t: () => '\t',
  '%': () => '%',
})

const COMPOSITES: Readonly<Record<string, string>> = Object.assign(Object.create(null), {
  T: '%H:%M:%S',
  R: '%H:%M',
  F: '%Y-%m-%d',
  D: '%m/%d/%y',
  x: '%m/%d/%y',
  X: '%H:%M:%S',
  c: '%a %b %e %H:%M:%S %Y',
  r: '%I:%M:%S %p',
})

/** `format` '' is ISO 8601 in UTC with milliseconds. Specifiers that C does not have stay as they are. */
export function compileDateFormat(format: string, local: boolean): DateFormat {
  if (format === '' && !local) return ms => new Date(ms).toISOString()
  const parts = compileParts(format === '' ? '%Y-%m-%dT%H:%M:%S.%3f%z' : format)
  return ms => {
    const fields = local ? localFields(ms) : utcFields(ms)
    let out = ''
    for (const part of parts) out += typeof part === 'string' ? part : part(fields)
    return out
  }
}

function compileParts(format: string): (string | ((fields: Fields) => string))[] {
  const parts: (string | ((fields: Fields) => string))[] = []
  const specifier = /%(?:([1-9])f|E([0-9*])S|E([0-9*])f|(Ez)|([a-zA-Z%]))/g
  let from = 0
  for (const match of format.matchAll(specifier)) {
    if (match.index > from) parts.push(format.slice(from, match.index))
    from = match.index + match[0].length
    const [, digits, seconds, fractions, colonZone, letter] = match
    if (digits !== undefined) parts.push(fields => fraction(fields, Number(digits)))
    else if (seconds !== undefined) {
      const places = seconds === '*' ? 9 : Number(seconds)
      parts.push(fields => pad(fields.second, 2) + (places === 0 ? '' : `.${fraction(fields, places)}`))
    } else if (fractions !== undefined) {
      parts.push(fields => fraction(fields, fractions === '*' ? 9 : Number(fractions)))
    } else if (colonZone !== undefined) parts.push(fields => zone(fields).replace(/(..)$/, ':$1'))
    else if (COMPOSITES[letter!] !== undefined) parts.push(...compileParts(COMPOSITES[letter!]!))
    else parts.push(SPECIFIERS[letter!] ?? match[0])
  }
  if (from < format.length) parts.push(format.slice(from))
  return parts
}

function utcFields(ms: number): Fields {
  const date = new Date(ms)
  return {
    ms,
    year: date.getUTCFullYear(),
    month: date.getUTCMonth(),
    day: date.getUTCDate(),
    weekday: date.getUTCDay(),
    hour: date.getUTCHours(),
    minute: date.getUTCMinutes(),
    second: date.getUTCSeconds(),
    milli: date.getUTCMilliseconds(),
    offsetMinutes: 0,
  }
}

function localFields(ms: number): Fields {
  const date = new Date(ms)
  return {
    ms,
    year: date.getFullYear(),
    month: date.getMonth(),
    day: date.getDate(),
    weekday: date.getDay(),
    hour: date.getHours(),
    minute: date.getMinutes(),
    second: date.getSeconds(),
    milli: date.getMilliseconds(),
    offsetMinutes: -date.getTimezoneOffset(),
  }
}
