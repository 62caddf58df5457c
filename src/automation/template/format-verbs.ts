// Go's fmt.Sprintf: verbs, flags, widths, precisions, argument indexes, and what it prints in the place of a verb that does not fit.
// Called by the function `printf`. Invariant: as Go's, it never fails; a wrong format shows in the text.
import { GoMap, GoStruct, type GoValue, isList, typeName } from './go-value.js'
import { infinite, printValue, shortestFloat, withExponent } from './print-value.js'

interface Flags {
  plus: boolean
  minus: boolean
  sharp: boolean
  space: boolean
  zero: boolean
  width: number | undefined
  precision: number | undefined
}

/** Go refuses larger ones as well. */
const MAX_WIDTH = 1_000_000
/** Of JavaScript's own conversions. */
const MAX_DIGITS = 100

export function sprintf(format: string, args: readonly GoValue[]): string {
  return new Formatter(format, args).run()
}

class Formatter {
  private out = ''
  private at = 0
  private argument = 0
  private reordered = false
  private goodIndex = true

  constructor(
    private readonly format: string,
    private readonly args: readonly GoValue[],
  ) {}

  run(): string {
    const { format } = this
    for (;;) {
      const percent = format.indexOf('%', this.at)
      this.out += format.slice(this.at, percent === -1 ? undefined : percent)
      if (percent === -1) break
      this.at = percent + 1
      this.verb()
    }
    if (!this.reordered && this.argument < this.args.length)
      this.out += `%!(EXTRA ${this.args
        .slice(this.argument)
        .map(value => (value === undefined || value === null ? '<nil>' : `${typeName(value)}=${printValue(value)}`))
        .join(', ')})`
    return this.out
  }

  private verb(): void {
    const flags: Flags = { plus: false, minus: false, sharp: false, space: false, zero: false, width: undefined, precision: undefined }
    this.goodIndex = true
    let afterIndex = false
    for (let more = true; more; ) {
      switch (this.format[this.at]) {
        case '#':
          flags.sharp = true
          break
        case '0':
          flags.zero = true
          break
        case '+':
          flags.plus = true
          break
        case '-':
          flags.minus = true
          break
        case ' ':
          flags.space = true
          break
        default:
          more = false
      }
      if (more) this.at++
    }
    afterIndex = this.index()
    if (this.format[this.at] === '*') {
      this.at++
      const width = this.star()
      if (width === undefined) this.out += '%!(BADWIDTH)'
      else {
        flags.width = Math.abs(width)
        if (width < 0) flags.minus = true
      }
      afterIndex = false
    } else {
      flags.width = this.digits()
      if (afterIndex && flags.width !== undefined) this.goodIndex = false
    }
    if (this.format[this.at] === '.') {
      this.at++
      if (afterIndex) this.goodIndex = false
      afterIndex = this.index()
      if (this.format[this.at] === '*') {
        this.at++
        const precision = this.star()
        if (precision === undefined) this.out += '%!(BADPREC)'
        else if (precision >= 0) flags.precision = precision
        afterIndex = false
      } else flags.precision = this.digits() ?? 0
    }
    if (!afterIndex) this.index()
    const verb = String.fromCodePoint(this.format.codePointAt(this.at) ?? 0)
    if (this.at >= this.format.length) {
      this.out += '%!(NOVERB)'
      return
    }
    this.at += verb.length
    if (verb === '%') this.out += '%'
    else if (!this.goodIndex) this.out += `%!${verb}(BADINDEX)`
    else if (this.argument >= this.args.length) this.out += `%!${verb}(MISSING)`
    else this.out += formatOne(verb, flags, this.args[this.argument++])
  }

  private digits(): number | undefined {
    const found = /^\d+/.exec(this.format.slice(this.at, this.at + 20))?.[0]
    if (found === undefined) return undefined
    this.at += found.length
    return Math.min(Number(found), MAX_WIDTH)
  }

  private star(): number | undefined {
    const value = this.args[this.argument++]
    const count = typeof value === 'bigint' ? Number(value) : undefined
    return count === undefined || Math.abs(count) > MAX_WIDTH ? undefined : count
  }

  /** `[2]` */
  private index(): boolean {
    if (this.format[this.at] !== '[') return false
    this.reordered = true
    const end = this.format.indexOf(']', this.at)
    const number = end === -1 ? Number.NaN : Number(this.format.slice(this.at + 1, end))
    this.at = end === -1 ? this.at + 1 : end + 1
    if (Number.isInteger(number) && number >= 1 && number <= this.args.length) this.argument = number - 1
    else this.goodIndex = false
    return true
  }
}

function formatOne(verb: string, flags: Flags, value: GoValue): string {
  if (verb === 'T') return pad(typeName(value), flags)
  if (value === undefined || value === null) return verb === 'v' ? pad('<nil>', flags) : `%!${verb}(<nil>)`
  if (typeof value === 'boolean') return verb === 't' || verb === 'v' ? pad(String(value), flags) : misfit(verb, flags, value)
  if (typeof value === 'bigint') return formatInt(verb, flags, value)
  if (typeof value === 'number') return formatFloat(verb, flags, value)
  if (typeof value === 'string') return formatText(verb, flags, value)
  return formatMany(verb, flags, value)
}

/** What stands there is printed as `%v` would, by the same flags. */
function misfit(verb: string, flags: Flags, value: GoValue): string {
  return `%!${verb}(${typeName(value)}=${formatOne('v', flags, value)})`
}

/** Each of its members by the same verb. */
function formatMany(verb: string, flags: Flags, value: GoValue): string {
  if (verb === 'v' && flags.sharp) return goSyntax(value)
  const each = (member: GoValue): string => (member === undefined || member === null ? pad('<nil>', flags) : formatOne(verb, flags, member))
  if (isList(value)) return `[${value.map(each).join(' ')}]`
  if (value instanceof GoMap)
    return `map[${value
      .sorted()
      .map(([key, member]) => `${each(key)}:${each(member)}`)
      .join(' ')}]`
  return value instanceof GoStruct ? printValue(value, flags.plus) : ''
}

function goSyntax(value: GoValue): string {
  if (typeof value === 'string') return quote(value)
  if (isList(value)) return `${typeName(value)}{${value.map(goSyntax).join(', ')}}`
  if (value instanceof GoMap)
    return `${typeName(value)}{${value
      .sorted()
      .map(([key, member]) => `${goSyntax(key)}:${goSyntax(member)}`)
      .join(', ')}}`
  if (value instanceof GoStruct)
    return `&${value.type}{${[...value.fields].map(([name, member]) => `${name}:${goSyntax(member)}`).join(', ')}}`
  return value === undefined || value === null ? 'interface {}(nil)' : printValue(value)
}

const RADIX: Readonly<Record<string, number>> = { b: 2, o: 8, O: 8, d: 10, v: 10, x: 16, X: 16 }

function formatInt(verb: string, flags: Flags, value: bigint): string {
  if (verb === 'c') return pad(character(value), { ...flags, zero: false })
  if (verb === 'q') return pad(quoteCharacter(character(value)), { ...flags, zero: false })
  if (verb === 'U')
    return pad(`U+${value.toString(16).toUpperCase().padStart(4, '0')}${flags.sharp ? ` '${character(value)}'` : ''}`, {
      ...flags,
      zero: false,
    })
  const radix = RADIX[verb]
  if (radix === undefined) return misfit(verb, flags, value)
  let digits = (value < 0n ? -value : value).toString(radix)
  if (verb === 'X') digits = digits.toUpperCase()
  const sign = value < 0n ? '-' : flags.plus ? '+' : flags.space ? ' ' : ''
  if (flags.precision !== undefined) {
    if (flags.precision === 0 && value === 0n) return pad('', { ...flags, zero: false })
    digits = digits.padStart(flags.precision, '0')
  }
  const prefix =
    verb === 'O'
      ? '0o'
      : !flags.sharp
        ? ''
        : verb === 'x' || verb === 'X'
          ? `0${verb}`
          : verb === 'b'
            ? '0b'
            : verb === 'o' && !digits.startsWith('0')
              ? '0'
              : ''
  if (flags.zero && !flags.minus && flags.width !== undefined && flags.precision === undefined)
    return sign + prefix + digits.padStart(flags.width - sign.length, '0')
  return pad(sign + prefix + digits, { ...flags, zero: false })
}

function character(value: bigint): string {
  return value < 0n || value > 0x10ffffn || (value >= 0xd800n && value < 0xe000n) ? '�' : String.fromCodePoint(Number(value))
}

function formatFloat(verb: string, flags: Flags, value: number): string {
  const text = floatText(verb, flags, Math.abs(value))
  if (text === undefined) return misfit(verb, flags, value)
  const negative = value < 0 || Object.is(value, -0)
  const sign = negative ? '-' : flags.plus || text === '+Inf' ? '+' : flags.space ? ' ' : ''
  const body = text.replace(/^\+/, '')
  if (flags.zero && !flags.minus && flags.width !== undefined && Number.isFinite(value))
    return sign + body.padStart(flags.width - sign.length, '0')
  return pad(
    (Number.isNaN(value) || (text === '+Inf' && !flags.plus && !negative) ? (flags.plus ? '+' : Number.isNaN(value) ? '' : '+') : sign) +
      body,
    { ...flags, zero: false },
  )
}

/** The text of a number that is not negative; undefined where the verb is none of a float's. */
function floatText(verb: string, { precision }: Flags, value: number): string | undefined {
  if (!'eEfFgGv'.includes(verb)) return undefined
  if (!Number.isFinite(value)) return infinite(value)
  if (verb === 'f' || verb === 'F') return fixed(value, precision ?? 6)
  if (verb === 'e' || verb === 'E') {
    const text = exponential(value, precision ?? 6)
    return verb === 'E' ? text.toUpperCase() : text
  }
  const text = precision === undefined ? shortestFloat(value) : general(value, precision)
  return verb === 'G' ? text.toUpperCase() : text
}

function fixed(value: number, precision: number): string {
  if (value < 1e21 && precision <= MAX_DIGITS) return halfToEven(value.toFixed(precision), value.toFixed(MAX_DIGITS), precision)
  return `${BigInt(Math.trunc(value))}${precision > 0 ? `.${'0'.repeat(precision)}` : ''}`
}

/** JavaScript rounds what lies in the middle up, Go to the even digit. */
function halfToEven(rounded: string, exact: string, precision: number): string {
  const point = exact.indexOf('.')
  if (!/^50*$/.test(exact.slice(point + 1 + precision))) return rounded
  const cut = precision === 0 ? exact.slice(0, point) : exact.slice(0, point + 1 + precision)
  return /[02468]$/.test(cut) ? cut : rounded
}

function exponential(value: number, precision: number): string {
  const digits = Math.min(precision, MAX_DIGITS)
  const [mantissa, power] = value.toExponential(digits).split('e') as [string, string]
  const [exact, exactPower] = value.toExponential(MAX_DIGITS).split('e') as [string, string]
  return withExponent(power === exactPower ? halfToEven(mantissa, exact, digits) : mantissa, Number(power))
}

/** `%.3g`: significant digits, zeros at the end dropped. */
function general(value: number, precision: number): string {
  const digits = Math.min(Math.max(precision, 1), 100)
  const [mantissa, exponent] = value.toExponential(digits - 1).split('e') as [string, string]
  const power = Number(exponent)
  const significant = mantissa.replace('.', '').replace(/0+$/, '').length
  const limit = digits > significant && significant >= power + 1 ? significant : digits
  if (power < -4 || power >= Math.max(limit, 1)) return withExponent(mantissa.replace(/\.?0+$/, ''), power)
  const text = value.toFixed(Math.min(100, Math.max(0, digits - 1 - power)))
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text
}

function formatText(verb: string, flags: Flags, value: string): string {
  const { precision } = flags
  const cut = precision === undefined ? value : [...value].slice(0, precision).join('')
  switch (verb) {
    case 'v':
      return flags.sharp ? pad(quote(value), flags) : pad(cut, flags)
    case 's':
      return pad(cut, flags)
    case 'q':
      return pad(
        flags.sharp && !value.includes('`') && !/[\u0000-\u0008\u000a-\u001f\u007f]/.test(value) ? `\`${cut}\`` : quote(cut),
        flags,
      )
    case 'x':
    case 'X': {
      const bytes = Buffer.from(value).subarray(0, precision)
      const pairs = [...bytes].map(byte => byte.toString(16).padStart(2, '0'))
      const prefix = flags.sharp ? '0x' : ''
      const hex = flags.space ? pairs.map(pair => prefix + pair).join(' ') : pairs.length === 0 ? '' : prefix + pairs.join('')
      return pad(verb === 'X' ? hex.toUpperCase() : hex, flags)
    }
    default:
      return misfit(verb, flags, value)
  }
}

const QUOTE_ESCAPES: Readonly<Record<string, string>> = {
  '\x07': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
  '"': '\\"',
  '\\': '\\\\',
}

/** strconv.Quote */
function quote(text: string): string {
  let quoted = ''
  for (const char of text) {
    const code = char.codePointAt(0)!
    const escaped = QUOTE_ESCAPES[char]
    if (escaped !== undefined) quoted += escaped
    else if (code < 0x20 || code === 0x7f) quoted += `\\x${code.toString(16).padStart(2, '0')}`
    else if (/[\p{L}\p{M}\p{N}\p{P}\p{S} ]/u.test(char)) quoted += char
    else quoted += code < 0x10000 ? `\\u${code.toString(16).padStart(4, '0')}` : `\\U${code.toString(16).padStart(8, '0')}`
  }
  return `"${quoted}"`
}

/** strconv.QuoteRune */
function quoteCharacter(char: string): string {
  return `'${char === "'" ? "\\'" : char === '"' ? '"' : quote(char).slice(1, -1)}'`
}

/** Widths count characters. */
function pad(text: string, { width, minus, zero }: Flags): string {
  if (width === undefined) return text
  const missing = width - [...text].length
  if (missing <= 0) return text
  return minus ? text + ' '.repeat(missing) : (zero ? '0' : ' ').repeat(missing) + text
}
