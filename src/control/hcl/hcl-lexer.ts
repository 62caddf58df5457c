// HCL text to tokens, for read-hcl.ts. Knows what both generations of the language share: names, quoted strings with escapes, heredocs,
// numbers, punctuation, three forms of comments. `${…}` in a string is kept as text: nothing is ever evaluated.
// Invariant: every position is in the text, and each token is consumed once; a text that ends inside a token is an error with its line.

export interface HclToken {
  readonly kind: 'name' | 'string' | 'number' | 'punctuation' | 'newline' | 'end'
  readonly text: string
  readonly line: number
  readonly column: number
}

/** What is wrong with a text, with where: `line 3, column 7: …`. */
export class HclError extends Error {
  constructor(line: number, column: number, reason: string) {
    super(`line ${line}, column ${column}: ${reason}`)
  }
}

const NAME = /[A-Za-z_][A-Za-z0-9_.-]*/y
const NUMBER = /-?(?:0[xX][0-9a-fA-F]+|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)/y
const BLANK = /[ \t\r\uFEFF]+/y
const LINE_COMMENT = /(?:#|\/\/)[^\n]*/y
const HEREDOC = /<<(-?)([A-Za-z_][A-Za-z0-9_.-]*)[ \t]*\r?\n/y
const PUNCTUATION = new Set(['{', '}', '[', ']', '=', ':', ','])
const ESCAPES: ReadonlyMap<string, string> = new Map([
  ['n', '\n'],
  ['r', '\r'],
  ['t', '\t'],
  ['"', '"'],
  ['\\', '\\'],
  // JSON's.
  ['/', '/'],
  ['a', '\x07'],
  ['b', '\b'],
  ['f', '\f'],
  ['v', '\v'],
])
/** Digits after the letter of an escape. */
const CODE_ESCAPES: ReadonlyMap<string, number> = new Map([
  ['x', 2],
  ['u', 4],
  ['U', 8],
])
const MAX_CODE_POINT = 0x10ffff

export class HclLexer {
  private readonly text: string
  private at = 0
  private line = 1
  private lineStart = 0

  constructor(text: string) {
    this.text = text
  }

  /** The next token; at the end `end`, again and again. Throws `HclError`. */
  next(): HclToken {
    this.skip(BLANK)
    while (this.skip(LINE_COMMENT) || this.skipBlockComment()) this.skip(BLANK)
    const { text, at } = this
    if (at >= text.length) return this.token('end', '')
    const char = text[at]!
    if (char === '\n') {
      const token = this.token('newline', '\n')
      this.newline(at)
      this.at++
      return token
    }
    if (char === '"') return this.string()
    if (char === '<') return this.heredoc()
    if (PUNCTUATION.has(char)) return this.take('punctuation', char)
    const number = this.match(NUMBER)
    if (number !== null) return this.take('number', number[0])
    const name = this.match(NAME)
    if (name !== null) return this.take('name', name[0])
    throw this.error(`${JSON.stringify(char)} is not expected here`)
  }

  error(reason: string): HclError {
    return new HclError(this.line, this.at - this.lineStart + 1, reason)
  }

  private token(kind: HclToken['kind'], text: string): HclToken {
    return { kind, text, line: this.line, column: this.at - this.lineStart + 1 }
  }

  private take(kind: HclToken['kind'], text: string): HclToken {
    const token = this.token(kind, text)
    this.at += text.length
    return token
  }

  private match(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.at
    return pattern.exec(this.text)
  }

  private skip(pattern: RegExp): boolean {
    const found = this.match(pattern)
    if (found === null) return false
    this.at += found[0].length
    return true
  }

  private newline(at: number): void {
    this.line++
    this.lineStart = at + 1
  }

  private skipBlockComment(): boolean {
    if (!this.text.startsWith('/*', this.at)) return false
    const end = this.text.indexOf('*/', this.at + 2)
    if (end === -1) throw this.error('this comment does not end')
    this.countLines(this.at, end)
    this.at = end + 2
    return true
  }

  private countLines(from: number, to: number): void {
    for (let at = this.text.indexOf('\n', from); at !== -1 && at < to; at = this.text.indexOf('\n', at + 1)) this.newline(at)
  }

  private string(): HclToken {
    const { text } = this
    const begin = this.token('string', '')
    let value = ''
    let from = ++this.at
    // In HCL a quote inside `${…}` does not end the string.
    let depth = 0
    for (;;) {
      const char = text[this.at]
      if (char === undefined || (char === '\n' && depth === 0)) throw new HclError(begin.line, begin.column, 'this string does not end')
      if (char === '"' && depth === 0) break
      if (char === '\n') this.newline(this.at)
      if (char === '$' && text[this.at + 1] === '{') {
        depth++
        this.at += 2
        continue
      }
      if (char === '}' && depth > 0) depth--
      if (char === '\\' && depth === 0) {
        value += text.slice(from, this.at) + this.escape()
        from = this.at
        continue
      }
      this.at++
    }
    value += text.slice(from, this.at++)
    return { ...begin, text: value }
  }

  /** At a backslash: what it stands for; moves behind it. */
  private escape(): string {
    const letter = this.text[this.at + 1] ?? ''
    const plain = ESCAPES.get(letter)
    if (plain !== undefined) {
      this.at += 2
      return plain
    }
    const digits = CODE_ESCAPES.get(letter)
    if (digits === undefined) throw this.error(`\\${letter} is no escape`)
    const hex = this.text.slice(this.at + 2, this.at + 2 + digits)
    const code = /^[0-9a-fA-F]+$/.test(hex) && hex.length === digits ? Number.parseInt(hex, 16) : Number.NaN
    if (!(code <= MAX_CODE_POINT)) throw this.error(`\\${letter} needs ${digits} hexadecimal digits of a character`)
    this.at += 2 + digits
    return String.fromCodePoint(code)
  }

  private heredoc(): HclToken {
    const begin = this.token('string', '')
    const opening = this.match(HEREDOC)
    if (opening === null) throw this.error('"<" begins a heredoc: <<NAME and the end of the line')
    const [whole, indented, name] = opening
    const first = this.at + whole.length
    this.newline(first - 1)
    const lines: string[] = []
    for (let from = first; ; ) {
      const end = this.text.indexOf('\n', from)
      const line = this.text.slice(from, end === -1 ? undefined : end).replace(/\r$/, '')
      if (line.trim() === name) {
        this.at = from + line.length
        break
      }
      if (end === -1) throw new HclError(begin.line, begin.column, `this heredoc does not end with ${name}`)
      lines.push(line)
      this.newline(end)
      from = end + 1
    }
    const indent = indented === '-' ? Math.min(...lines.filter(line => line.trim() !== '').map(line => /^[ \t]*/.exec(line)![0].length)) : 0
    const text = lines.map(line => `${line.slice(Number.isFinite(indent) ? indent : 0)}\n`).join('')
    return { ...begin, text }
  }
}
