// Values as Go's fmt prints them: Print, Println, and what a bare `{{ … }}` writes. Called by execute-template.ts, format-verbs.ts and the
// functions. Invariant: a floating number prints Go's shortest form (`1e+06`), a map in the order of its keys.
import { GoMap, GoStruct, type GoValue, isList } from './go-value.js'

/** Go takes exponents from here on where the shortest form is asked for. */
const SHORTEST_DIGITS = 6
const SHORTEST_LOW = -4

/** What an action writes: a value that is not there is named, not left out. */
export function printResult(value: GoValue): string {
  return value === undefined || value === null ? '<no value>' : printValue(value)
}

/** `%v`. */
export function printValue(value: GoValue, plus = false, depth = 0): string {
  if (value === undefined || value === null) return '<nil>'
  if (typeof value === 'string') return value
  if (typeof value === 'number') return shortestFloat(value)
  if (typeof value === 'bigint' || typeof value === 'boolean') return String(value)
  if (value instanceof GoMap)
    return `map[${value
      .sorted()
      .map(([key, each]) => `${key}:${printValue(each, plus, depth + 1)}`)
      .join(' ')}]`
  if (value instanceof GoStruct) {
    const fields = [...value.fields].map(([name, each]) => `${plus ? `${name}:` : ''}${printValue(each, plus, depth + 1)}`)
    return `${depth === 0 ? '&' : ''}{${fields.join(' ')}}`
  }
  return isList(value) ? `[${value.map(each => printValue(each, plus, depth + 1)).join(' ')}]` : ''
}

/** A space between two of which neither is a string. */
export function sprint(values: readonly GoValue[]): string {
  let text = ''
  values.forEach((value, i) => {
    if (i > 0 && typeof value !== 'string' && typeof values[i - 1] !== 'string') text += ' '
    text += printValue(value)
  })
  return text
}

export function sprintln(values: readonly GoValue[]): string {
  return `${values.map(value => printValue(value)).join(' ')}\n`
}

/** strconv's form `g` with as many digits as it takes. */
export function shortestFloat(value: number): string {
  if (!Number.isFinite(value)) return infinite(value)
  const [digits, exponent] = value.toExponential().split('e') as [string, string]
  const power = Number(exponent)
  if (value !== 0 && (power < SHORTEST_LOW || power >= SHORTEST_DIGITS)) return withExponent(digits, power)
  return plainDecimal(value)
}

export function withExponent(mantissa: string, power: number): string {
  return `${mantissa}e${power < 0 ? '-' : '+'}${String(Math.abs(power)).padStart(2, '0')}`
}

export function infinite(value: number): string {
  return Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf'
}

/** Without an exponent, which JavaScript takes below 1e-6 and Go below 1e-4. */
function plainDecimal(value: number): string {
  return Object.is(value, -0) ? '-0' : String(value)
}
