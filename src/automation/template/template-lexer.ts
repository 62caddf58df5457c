// A template's text as tokens, with Go text/template's rules: delimiters that trim the space beside them, comments, and inside of an action
// names, fields, constants and the spaces between them (which mean something: `.a.b` is one operand, `.a .b` are two).
// Called by template-parser.ts. Invariant: every character is in one token or was trimmed; what can't be one is a `TemplateError` with its line.
import { TemplateError } from './go-value.js'

export type TokenKind =
  | 'text'
  | 'open'
  | 'close'
  | 'space'
  | 'name'
  | 'keyword'
  | 'field'
  | 'variable'
  | 'dot'
  | 'string'
  | 'char'
  | 'number'
  | 'bool'
  | 'nil'
  | 'punctuation'
  | 'end'

export interface Token {
  readonly kind: TokenKind
  readonly text: string
  readonly line: number
}

export interface Delimiters {
  readonly left: string
  readonly right: string
}

export const GO_DELIMITERS: Delimiters = { left: '{{', right: '}}' }

const KEYWORDS = new Set(['block', 'break', 'continue', 'define', 'else', 'end', 'if', 'range', 'template', 'with'])
const SPACE = /[ \t\r\n]/
const WORD = /[\p{L}\p{Nd}_]*/uy
const NUMBER =
  /[+-]?(?:0[xX][0-9a-fA-F_]+(?:\.[0-9a-fA-F_]*)?(?:[pP][+-]?\d+)?|0[oO][0-7_]+|0[bB][01_]+|(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?[\d_]+)?)/y
const ENDS_WORD = /[\s.,|:)(]/
const MAX_TOKENS = 1_000_000

export class TemplateLexer {
  private at = 0
  private line = 1
  private parens = 0
  private readonly tokens: Token[] = []

  constructor(
    private readonly text: string,
    private readonly name: string,
    private readonly delimiters: Delimiters,
  ) {}

  /** All tokens; the last is the end. */
  read(): Token[] {
    for (;;) {
      const { left } = this.delimiters
      const found = this.text.indexOf(left, this.at)
      if (found === -1) {
        this.take('text', this.text.slice(this.at))
        this.take('end', '')
        return this.tokens
      }
      const trims = this.text[found + left.length] === '-' && SPACE.test(this.text[found + left.length + 1] ?? '')
      const before = this.text.slice(this.at, found)
      this.take('text', before, trims ? before.replace(/[ \t\r\n]+$/, '') : before)
      this.action(left.length + (trims ? 2 : 0))
    }
  }

  fail(reason: string): TemplateError {
    return new TemplateError(`template: ${this.name}:${this.line}: ${reason}`)
  }

  private take(kind: TokenKind, consumed: string, text = consumed): void {
    if (kind !== 'text' || text !== '') this.tokens.push({ kind, text, line: this.line })
    if (this.tokens.length > MAX_TOKENS) throw this.fail(`longer than ${MAX_TOKENS} tokens`)
    this.at += consumed.length
    for (let next = consumed.indexOf('\n'); next !== -1; next = consumed.indexOf('\n', next + 1)) this.line++
  }

  /** Moves over what is no token. */
  private skip(length: number): void {
    const consumed = this.text.slice(this.at, this.at + length)
    this.at += length
    this.line += consumed.split('\n').length - 1
  }

  private action(openLength: number): void {
    if (this.text.startsWith('/*', this.at + openLength)) return void this.comment(openLength)
    this.take('open', this.text.slice(this.at, this.at + openLength))
    this.parens = 0
    for (;;) {
      const closing = this.closing()
      if (closing !== undefined) {
        if (this.parens > 0) throw this.fail('unclosed left paren')
        this.take('close', closing)
        if (closing !== this.delimiters.right) this.trimAfter()
        return
      }
      this.inside()
    }
  }

  private comment(openLength: number): void {
    const end = this.text.indexOf('*/', this.at + openLength)
    if (end === -1) throw this.fail('unclosed comment')
    this.skip(end + 2 - this.at)
    const closing = this.closing()
    if (closing === undefined) throw this.fail('comment ends before closing delimiter')
    this.skip(closing.length)
    if (closing !== this.delimiters.right) this.trimAfter()
  }

  /** The right delimiter with its trim marker, where it stands here. */
  private closing(): string | undefined {
    const { right } = this.delimiters
    if (SPACE.test(this.text[this.at] ?? '') && this.text.startsWith(`-${right}`, this.at + 1))
      return this.text.slice(this.at, this.at + 2 + right.length)
    return this.text.startsWith(right, this.at) ? right : undefined
  }

  private trimAfter(): void {
    const space = /^[ \t\r\n]*/.exec(this.text.slice(this.at))![0]
    this.skip(space.length)
  }

  private inside(): void {
    const { text, at } = this
    const char = text[at]
    if (char === undefined) throw this.fail('unclosed action')
    if (SPACE.test(char)) return void this.space()
    if (char === '"') return void this.quoted('string', '"')
    if (char === "'") return void this.quoted('char', "'")
    if (char === '`') {
      const end = text.indexOf('`', at + 1)
      if (end === -1) throw this.fail('unterminated raw quoted string')
      return void this.take('string', text.slice(at, end + 1))
    }
    if (text.startsWith(':=', at)) return void this.take('punctuation', ':=')
    if (char === '=' || char === '|' || char === ',') return void this.take('punctuation', char)
    if (char === '(') {
      this.parens++
      return void this.take('punctuation', char)
    }
    if (char === ')') {
      if (--this.parens < 0) throw this.fail('unexpected right paren')
      return void this.take('punctuation', char)
    }
    if (char === '$') return void this.word('variable', 1)
    if (char === '.' && !/\d/.test(text[at + 1] ?? '')) {
      if (this.atWordEnd(at + 1)) this.take('dot', '.')
      else this.word('field', 1)
      return
    }
    if (/[\d.+-]/.test(char)) return void this.number()
    if (/[\p{L}_]/u.test(char)) return void this.word('name', 0)
    throw this.fail(`unexpected ${JSON.stringify(char)} in an action`)
  }

  private space(): void {
    let end = this.at
    while (SPACE.test(this.text[end] ?? '')) end++
    // The last one belongs to the marker that trims.
    if (this.text.startsWith(`-${this.delimiters.right}`, end)) end--
    if (end > this.at) this.take('space', this.text.slice(this.at, end))
  }

  private atWordEnd(at: number): boolean {
    const char = this.text[at]
    return char === undefined || ENDS_WORD.test(char) || this.text.startsWith(this.delimiters.right, at)
  }

  private word(kind: 'variable' | 'field' | 'name', prefix: number): void {
    WORD.lastIndex = this.at + prefix
    const text = this.text.slice(this.at, this.at + prefix) + WORD.exec(this.text)![0]
    if (!this.atWordEnd(this.at + text.length)) throw this.fail(`bad character ${JSON.stringify(this.text[this.at + text.length])}`)
    if (kind !== 'name') return void this.take(kind, text)
    this.take(KEYWORDS.has(text) ? 'keyword' : text === 'true' || text === 'false' ? 'bool' : text === 'nil' ? 'nil' : 'name', text)
  }

  private quoted(kind: 'string' | 'char', quote: string): void {
    const { text, at } = this
    let end = at + 1
    while (text[end] !== quote) {
      if (text[end] === undefined || text[end] === '\n')
        throw this.fail(kind === 'string' ? 'unterminated quoted string' : 'unterminated character constant')
      end += text[end] === '\\' && text[end + 1] !== '\n' && text[end + 1] !== undefined ? 2 : 1
    }
    this.take(kind, text.slice(at, end + 1))
  }

  private number(): void {
    NUMBER.lastIndex = this.at
    const found = NUMBER.exec(this.text)?.[0]
    if (found === undefined || /[\p{L}\p{Nd}_]/u.test(this.text[this.at + found.length] ?? ''))
      throw this.fail(`bad number syntax: ${JSON.stringify(this.text.slice(this.at, this.at + 12))}`)
    this.take('number', found)
  }
}
