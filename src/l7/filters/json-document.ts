// A JSON document as Envoy reads it: what stands at a path, and numbers as they are written, which JSON.parse does not tell (`1e3` and `1.0`
// are doubles to Envoy, and a whole number may have more digits than a double holds). Called by json-to-metadata.ts.

const QUOTE = 0x22
const BACKSLASH = 0x5c
const MAX_INT64 = 2n ** 63n - 1n
/** A longer number is none of 64 bits. */
const MAX_INT64_LENGTH = 20
/** What a number beyond all doubles has; others may have it too. */
const MAY_OVERFLOW = /\d{200}|[eE]\+?\d{3}/

export type JsonScalar = string | number | boolean

export class JsonDocument {
  private readonly text: string
  private readonly root: unknown
  private numbersAsTexts: unknown

  /** Throws if it is no JSON, which a number beyond all doubles is not either. */
  constructor(text: string) {
    this.text = text
    this.root = MAY_OVERFLOW.test(text) ? JSON.parse(text, finite) : JSON.parse(text)
  }

  /** What the last key is asked of is there. */
  has(path: readonly string[]): boolean {
    return parentOf(this.root, path) !== undefined
  }

  /** What stands there, where it is no object, list or null. `asText`: numbers as they are printed. */
  scalar(path: readonly string[], asText: boolean): JsonScalar | undefined {
    const value = scalarAt(this.root, path)
    if (!asText || typeof value !== 'number') return value
    this.numbersAsTexts ??= parseNumbersAsTexts(this.text)
    return numberText(String(scalarAt(this.numbersAsTexts, path)))
  }
}

function finite(_key: string, value: unknown): unknown {
  if (typeof value === 'number' && !Number.isFinite(value)) throw new RangeError('a number is out of range')
  return value
}

/** What the last key of the path is asked of: an object, or as in Envoy a list that is the whole document. */
function parentOf(document: unknown, path: readonly string[]): object | undefined {
  let node = document
  for (const key of path.slice(0, -1)) {
    node = isObject(node) && Object.hasOwn(node, key) ? (node as Record<string, unknown>)[key] : undefined
    if (!isObject(node)) return undefined
  }
  return typeof node === 'object' && node !== null ? node : undefined
}

const isObject = (node: unknown): node is object => typeof node === 'object' && node !== null && !Array.isArray(node)

function scalarAt(document: unknown, path: readonly string[]): JsonScalar | undefined {
  const parent = parentOf(document, path)
  const key = path.at(-1)!
  const node = isObject(parent) && Object.hasOwn(parent, key) ? (parent as Record<string, unknown>)[key] : undefined
  return typeof node === 'string' || typeof node === 'number' || typeof node === 'boolean' ? node : undefined
}

/** The document, which must be valid, with its numbers as the texts that they are written as. */
function parseNumbersAsTexts(json: string): unknown {
  let out = ''
  let from = 0
  let at = 0
  while (at < json.length) {
    const code = json.charCodeAt(at)
    if (code === QUOTE) at = endOfString(json, at)
    else if (isNumberStart(code)) {
      const start = at
      while (isNumberPart(json.charCodeAt(at))) at++
      out += `${json.slice(from, start)}"${json.slice(start, at)}"`
      from = at
    } else at++
  }
  return JSON.parse(out + json.slice(from))
}

/** As Envoy prints it: whole numbers as such, doubles with six digits after the point. */
function numberText(written: string): string {
  if (written.length <= MAX_INT64_LENGTH && !/[.eE]/.test(written)) {
    const whole = BigInt(written)
    if (whole <= MAX_INT64 && whole >= -MAX_INT64 - 1n) return String(whole)
  }
  const value = Number(written)
  if (Math.abs(value) >= 1e21) return `${BigInt(value)}.000000`
  return Object.is(value, -0) ? '-0.000000' : value.toFixed(6)
}

function endOfString(json: string, quote: number): number {
  let at = quote + 1
  while (at < json.length && json.charCodeAt(at) !== QUOTE) at += json.charCodeAt(at) === BACKSLASH ? 2 : 1
  return at + 1
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39
}

function isNumberStart(code: number): boolean {
  return isDigit(code) || code === 0x2d
}

/** Digits, `+`, `-`, `.`, `E` and `e`. */
function isNumberPart(code: number): boolean {
  return isNumberStart(code) || code === 0x2b || code === 0x2e || code === 0x45 || code === 0x65
}
