// --log-format: spdlog's patterns, as Envoy's launchers write them, with Envoy's own `%_` and `%j`. Compiled once by the logger. What a
// pattern cannot know here (source file and line, function) is empty; unknown letters stand as they are, as in spdlog.

export interface LogLine {
  readonly at: Date
  /** Envoy's name of the level. */
  readonly level: string
  readonly component: string
  readonly message: string
}

export type LogFormat = (line: LogLine) => string

type Part = (line: LogLine) => string

const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday']
const MONTHS = ['January', 'February', 'March', 'April', 'May', 'June', 'July', 'August', 'September', 'October', 'November', 'December']
const two = (value: number): string => String(value).padStart(2, '0')
const three = (value: number): string => String(value).padStart(3, '0')
const hour12 = (at: Date): number => at.getHours() % 12 || 12
const half = (at: Date): string => (at.getHours() < 12 ? 'AM' : 'PM')
const time = (at: Date): string => `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`
const day = (at: Date): string => `${two(at.getMonth() + 1)}/${two(at.getDate())}/${two(at.getFullYear() % 100)}`
const empty = (): string => ''

function zone(at: Date): string {
  const minutes = -at.getTimezoneOffset()
  const size = Math.abs(minutes)
  return `${minutes < 0 ? '-' : '+'}${two(Math.floor(size / 60))}:${two(size % 60)}`
}

const LETTERS: Readonly<Record<string, Part>> = {
  v: ({ message }) => message,
  _: ({ message }) => message.replaceAll('\n', '\\n'),
  j: ({ message }) => JSON.stringify(message).slice(1, -1),
  l: ({ level }) => level,
  L: ({ level }) => level.charAt(0).toUpperCase(),
  n: ({ component }) => component,
  t: () => String(process.pid),
  P: () => String(process.pid),
  Y: ({ at }) => String(at.getFullYear()),
  C: ({ at }) => two(at.getFullYear() % 100),
  m: ({ at }) => two(at.getMonth() + 1),
  d: ({ at }) => two(at.getDate()),
  H: ({ at }) => two(at.getHours()),
  I: ({ at }) => two(hour12(at)),
  M: ({ at }) => two(at.getMinutes()),
  S: ({ at }) => two(at.getSeconds()),
  e: ({ at }) => three(at.getMilliseconds()),
  f: ({ at }) => `${three(at.getMilliseconds())}000`,
  F: ({ at }) => `${three(at.getMilliseconds())}000000`,
  E: ({ at }) => String(Math.floor(at.getTime() / 1000)),
  p: ({ at }) => half(at),
  T: ({ at }) => time(at),
  X: ({ at }) => time(at),
  R: ({ at }) => time(at).slice(0, 5),
  r: ({ at }) => `${two(hour12(at))}:${two(at.getMinutes())}:${two(at.getSeconds())} ${half(at)}`,
  D: ({ at }) => day(at),
  x: ({ at }) => day(at),
  z: ({ at }) => zone(at),
  a: ({ at }) => DAYS[at.getDay()]!.slice(0, 3),
  A: ({ at }) => DAYS[at.getDay()]!,
  b: ({ at }) => MONTHS[at.getMonth()]!.slice(0, 3),
  h: ({ at }) => MONTHS[at.getMonth()]!.slice(0, 3),
  B: ({ at }) => MONTHS[at.getMonth()]!,
  c: ({ at }) => `${DAYS[at.getDay()]!.slice(0, 3)} ${MONTHS[at.getMonth()]!.slice(0, 3)} ${at.getDate()} ${time(at)} ${at.getFullYear()}`,
  g: empty,
  s: empty,
  '#': empty,
  '!': empty,
  '@': empty,
  '^': empty,
  $: empty,
  '%': () => '%',
}

/** A width stands between `%` and the letter: `%-8l` pads on the right, `%8l` on the left, `%=8l` on both sides, `!` cuts what is longer. */
const DIRECTIVE = /%([-=]?)(\d{0,2})(!?)([A-Za-z_#!@^$%])/g

export function compileLogFormat(pattern: string): LogFormat {
  const parts: Part[] = []
  let last = 0
  for (const { 0: text, 1: align, 2: width, 3: cut, 4: letter, index } of pattern.matchAll(DIRECTIVE)) {
    if (index > last) parts.push(literal(pattern.slice(last, index)))
    last = index + text.length
    const part = LETTERS[letter!] ?? literal(text)
    parts.push(width === '' ? part : padded(part, align!, Number(width), cut === '!'))
  }
  if (last < pattern.length) parts.push(literal(pattern.slice(last)))
  return line => parts.map(part => part(line)).join('')
}

function literal(text: string): Part {
  return () => text
}

function padded(part: Part, align: string, width: number, cut: boolean): Part {
  return line => {
    const text = part(line)
    if (text.length >= width) return cut ? text.slice(0, width) : text
    if (align === '-') return text.padEnd(width)
    return align === '=' ? text.padStart(text.length + Math.floor((width - text.length) / 2)).padEnd(width) : text.padStart(width)
  }
}
