// Reads HCL as Consul's files and ACL rules are written in it, into plain values as JSON would give them. Called for `.hcl` files, ACL rules
// and agent configuration. A reader of our own because the published ones know HCL 2 alone, in which Consul's own documented examples (a
// block inside a list's object, several fields on one line) are errors; see docs/decisions/0007-hcl.md.
//
//   key = value | key "label" … { body } | key { body }      value = string | heredoc | number | true | false | null | [ … ] | { … }
//
// A key that is given once is its value; blocks given twice are a list, blocks with labels an object by label. Expressions, functions and
// templates are not evaluated: a name where a value belongs is an error. Invariant: nothing is dropped; what can't be kept is an error.
import { HclError, HclLexer, type HclToken } from './hcl-lexer.js'

export { HclError } from './hcl-lexer.js'

export type HclValue = string | number | boolean | null | HclValue[] | HclObject
export interface HclObject {
  [key: string]: HclValue
}

const MAX_DEPTH = 64
const LITERALS: ReadonlyMap<string, boolean | null> = new Map([
  ['true', true],
  ['false', false],
  ['null', null],
])

/** The text's body as an object. Throws `HclError` with line and column. */
export function readHcl(text: string): HclObject {
  return new Reader(text).document()
}

class Reader {
  private readonly lexer: HclLexer
  private token: HclToken

  constructor(text: string) {
    this.lexer = new HclLexer(text)
    this.token = this.lexer.next()
  }

  document(): HclObject {
    // The whole text may be one object, as JSON is: `{ … }`.
    this.skipNewlines()
    if (this.is('{')) {
      const value = this.object(0)
      this.skipNewlines()
      if (this.token.kind !== 'end') throw this.unexpected('the end of the text')
      return value
    }
    return this.body('end', 0)
  }

  private body(until: '}' | 'end', depth: number): HclObject {
    if (depth > MAX_DEPTH) throw this.lexer.error(`nested deeper than ${MAX_DEPTH}`)
    const result: HclObject = {}
    const blocks = new Set<string>()
    for (;;) {
      this.skipSeparators()
      if (until === 'end' ? this.token.kind === 'end' : this.is('}')) return result
      this.item(result, blocks, depth)
    }
  }

  private item(into: HclObject, blocks: Set<string>, depth: number): void {
    const key = this.key()
    if (this.is('=') || this.is(':')) {
      this.advance()
      this.skipNewlines()
      if (Object.hasOwn(into, key.text)) throw this.at(key, `${key.text} is given twice`)
      into[key.text] = this.value(depth)
      return
    }
    const labels: string[] = []
    while (this.token.kind === 'string' || this.token.kind === 'name') labels.push(this.advance().text)
    if (!this.is('{')) throw this.unexpected('"=" or "{"')
    const body = this.object(depth)
    if (Object.hasOwn(into, key.text) && !blocks.has(key.text)) throw this.at(key, `${key.text} is given twice`)
    blocks.add(key.text)
    if (labels.includes('__proto__')) throw this.at(key, '__proto__ is no name')
    let target = into
    for (const label of [key.text, ...labels].slice(0, -1)) {
      if (!Object.hasOwn(target, label)) target[label] = {}
      const inner: HclValue = target[label]!
      if (typeof inner !== 'object' || inner === null || Array.isArray(inner))
        throw this.at(key, `${key.text} has labels here and none before`)
      target = inner
    }
    const last = labels.at(-1) ?? key.text
    const before = Object.hasOwn(target, last) ? target[last] : undefined
    target[last] = before === undefined ? body : Array.isArray(before) ? [...before, body] : [before, body]
  }

  private key(): HclToken {
    const { token } = this
    if (token.kind !== 'name' && token.kind !== 'string') throw this.unexpected('a name')
    if (token.text === '__proto__') throw this.at(token, '__proto__ is no name')
    return this.advance()
  }

  private value(depth: number): HclValue {
    if (depth > MAX_DEPTH) throw this.lexer.error(`nested deeper than ${MAX_DEPTH}`)
    const { token } = this
    if (token.kind === 'string') return this.advance().text
    if (token.kind === 'number') return Number(this.advance().text)
    if (this.is('{')) return this.object(depth)
    if (this.is('[')) return this.list(depth)
    const literal = token.kind === 'name' ? LITERALS.get(token.text) : undefined
    if (literal === undefined) throw this.unexpected('a value')
    this.advance()
    return literal
  }

  private object(depth: number): HclObject {
    this.advance()
    const value = this.body('}', depth + 1)
    this.advance()
    return value
  }

  private list(depth: number): HclValue[] {
    const values: HclValue[] = []
    this.advance()
    for (;;) {
      this.skipNewlines()
      if (this.is(']')) break
      values.push(this.value(depth + 1))
      this.skipNewlines()
      if (this.is(',')) this.advance()
      else if (!this.is(']')) throw this.unexpected('"," or "]"')
    }
    this.advance()
    return values
  }

  private is(punctuation: string): boolean {
    return this.token.kind === 'punctuation' && this.token.text === punctuation
  }

  private advance(): HclToken {
    const { token } = this
    this.token = this.lexer.next()
    return token
  }

  private skipNewlines(): void {
    while (this.token.kind === 'newline') this.advance()
  }

  private skipSeparators(): void {
    while (this.token.kind === 'newline' || this.is(',')) this.advance()
  }

  private unexpected(wanted: string): Error {
    const { kind, text } = this.token
    return this.at(
      this.token,
      `${wanted} is expected, not ${kind === 'end' ? 'the end' : kind === 'newline' ? 'the end of the line' : JSON.stringify(text)}`,
    )
  }

  private at({ line, column }: HclToken, reason: string): Error {
    return new HclError(line, column, reason)
  }
}
