// Filter expressions (Consul's go-bexpr grammar): what a resolver's `Subsets.<name>.Filter`, `?filter=` of the HTTP API and the selectors of
// binding rules are written in. `compileFilter` parses once and returns a predicate over subjects whose fields a selector table names; by
// default these are service instances in the form of Consul's health entries.
// Called by the resolver's rules (syntax), by the snapshot (who is in a subset), by the HTTP API and by logins.
// Invariant: an expression that compiles never throws; selectors and the operators they allow are checked when compiling.
//
//   or    := and ('or' and)*            match := selector ('=='|'!='|['not'] 'contains'|['not'] 'matches') value
//   and   := not ('and' not)*                  | selector 'is' ['not'] 'empty'
//   not   := 'not' not | '(' or ')' | match    | value ['not'] 'in' selector
import { RE2JS } from 're2js'
import { type FilterInstance, resolveSelector, type SelectedField, type SelectorTable } from './filter-selectors.js'

export type { FilterInstance } from './filter-selectors.js'

type Predicate<T> = (subject: T) => boolean

export type CompiledFilter<T = FilterInstance> = { readonly predicate: Predicate<T> } | { readonly error: string }

/** Deepest nesting of parentheses and `not`, and longest expression: both bound the parser's recursion. */
const MAX_DEPTH = 100
const MAX_LENGTH = 16_384

export function compileFilter(expression: string): CompiledFilter
export function compileFilter<T>(expression: string, selectors: SelectorTable<T>): CompiledFilter<T>
export function compileFilter<T>(expression: string, selectors = resolveSelector as SelectorTable<T>): CompiledFilter<T> {
  if (expression.length > MAX_LENGTH) return { error: `expression is longer than ${MAX_LENGTH} characters` }
  const tokens = tokenize(expression)
  if ('error' in tokens) return tokens
  const parser = new Parser(expression, tokens.tokens, selectors)
  const predicate = parser.expression(0)
  if (predicate !== undefined && !parser.atEnd()) parser.fail('expected "and", "or" or the end')
  return parser.error !== undefined || predicate === undefined ? { error: parser.error ?? 'empty expression' } : { predicate }
}

/** Who is in a subset with that filter; undefined: everybody. One that does not compile is refused when written; should it be here, the subset is empty. */
export function subsetFilter(expression: string | undefined): Predicate<FilterInstance> | undefined {
  if (!expression) return undefined
  const compiled = compileFilter(expression)
  return 'predicate' in compiled ? compiled.predicate : () => false
}

/** `word` is a bare selector or keyword, kept with its dots and indexes; `path` its parts. */
interface Token {
  readonly type: 'word' | 'string' | 'number' | 'symbol' | 'end'
  readonly text: string
  readonly path?: readonly string[]
  readonly at: number
}

const WORD = /[A-Za-z][A-Za-z0-9_/]*/y
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?/y
const INDEX = /\[[ \t\r\n]*(?:"([^"]*)"|`([^`]*)`)[ \t\r\n]*\]/y
const DOT_NAME = /\.([A-Za-z][A-Za-z0-9_/]*)/y
const DOT_INDEX = /\.([0-9]+)/y
const SPACE = /[ \t\r\n]+/y

function tokenize(source: string): { tokens: Token[] } | { error: string } {
  const tokens: Token[] = []
  let at = 0
  const match = (pattern: RegExp) => {
    pattern.lastIndex = at
    const found = pattern.exec(source)
    if (found !== null) at += found[0].length
    return found
  }
  while (at < source.length) {
    const start = at
    if (match(SPACE)) continue
    const char = source[at]!
    if (char === '(' || char === ')') {
      tokens.push({ type: 'symbol', text: char, at: at++ })
      continue
    }
    if (source.startsWith('==', at) || source.startsWith('!=', at)) {
      tokens.push({ type: 'symbol', text: source.slice(at, at + 2), at })
      at += 2
      continue
    }
    if (char === '"' || char === '`') {
      const close = source.indexOf(char, at + 1)
      if (close < 0) return { error: `unterminated string at position ${at + 1}` }
      at = close + 1
      tokens.push({ type: 'string', text: source.slice(start + 1, close), at: start })
      continue
    }
    const word = match(WORD)
    if (word !== null) {
      const path = [word[0]]
      for (;;) {
        const part = match(DOT_NAME) ?? match(DOT_INDEX) ?? match(INDEX)
        if (part === null) break
        path.push(part[1] ?? part[2] ?? '')
      }
      if (source[at] === '[') return { error: `invalid index at position ${at + 1}: expected ["name"]` }
      if (source[at] === '.') return { error: `expected a name after "." at position ${at + 1}` }
      tokens.push({ type: 'word', text: source.slice(start, at), path, at: start })
    } else if (match(NUMBER) !== null) {
      if (at < source.length && !/[ \t\r\n)]/.test(source[at]!)) return { error: `invalid number at position ${start + 1}` }
      tokens.push({ type: 'number', text: source.slice(start, at), at: start })
    } else {
      return { error: `unexpected ${JSON.stringify(char)} at position ${at + 1}` }
    }
  }
  tokens.push({ type: 'end', text: '', at: source.length })
  return { tokens }
}

const KEYWORDS: ReadonlySet<string> = new Set(['and', 'or', 'not', 'in', 'is', 'contains', 'matches', 'empty'])

/** Recursive descent; the first failure is kept in `error` and every method returns undefined from then on. */
class Parser<T> {
  error: string | undefined
  private readonly source: string
  private readonly tokens: readonly Token[]
  private readonly selectors: SelectorTable<T>
  private next = 0

  constructor(source: string, tokens: readonly Token[], selectors: SelectorTable<T>) {
    this.source = source
    this.tokens = tokens
    this.selectors = selectors
  }

  atEnd() {
    return this.peek().type === 'end'
  }

  fail(expected: string, token = this.peek()): undefined {
    const found = token.type === 'end' ? 'the end' : JSON.stringify(this.source.slice(token.at, token.at + 20))
    this.error ??= `${expected}, found ${found} at position ${token.at + 1}`
    return undefined
  }

  expression(depth: number): Predicate<T> | undefined {
    return this.chain('or', () => this.chain('and', () => this.not(depth), every), some)
  }

  private chain(
    keyword: string,
    operand: () => Predicate<T> | undefined,
    join: (all: Predicate<T>[]) => Predicate<T>,
  ): Predicate<T> | undefined {
    const all: Predicate<T>[] = []
    do {
      const predicate = operand()
      if (predicate === undefined) return undefined
      all.push(predicate)
    } while (this.take('word', keyword))
    return all.length === 1 ? all[0] : join(all)
  }

  private not(depth: number): Predicate<T> | undefined {
    if (depth > MAX_DEPTH) return this.fail(`more than ${MAX_DEPTH} nested "not" and parentheses`)
    if (this.take('word', 'not')) {
      const operand = this.not(depth + 1)
      return operand && (subject => !operand(subject))
    }
    if (!this.take('symbol', '(')) return this.match()
    const inner = this.expression(depth + 1)
    if (inner === undefined) return undefined
    return this.take('symbol', ')') ? inner : this.fail('unmatched parentheses: expected ")"')
  }

  private match(): Predicate<T> | undefined {
    const first = this.tokens[this.next]!
    if (first.type === 'symbol' || first.type === 'end' || (first.type === 'word' && KEYWORDS.has(first.text))) {
      return this.fail('expected a selector, a value or "("')
    }
    this.next++
    if (this.take('symbol', '==')) return this.comparison(first, 'equal', false)
    if (this.take('symbol', '!=')) return this.comparison(first, 'equal', true)
    if (this.take('word', 'is')) {
      const negated = this.take('word', 'not')
      return this.take('word', 'empty') ? this.compile(first, 'empty', '', negated) : this.fail('expected "empty"')
    }
    const negated = this.take('word', 'not')
    if (this.take('word', 'in')) {
      const selector = this.tokens[this.next++]!
      return this.compile(selector, 'has', first.text, negated)
    }
    if (this.take('word', 'contains')) return this.comparison(first, 'has', negated)
    if (this.take('word', 'matches')) return this.comparison(first, 'matches', negated)
    return this.fail('expected an operator')
  }

  private comparison(selector: Token, operator: Operator, negated: boolean): Predicate<T> | undefined {
    const value = this.tokens[this.next]!
    if (value.type === 'symbol' || value.type === 'end') return this.fail('expected a value')
    this.next++
    return this.compile(selector, operator, value.text, negated)
  }

  private compile(selector: Token, operator: Operator, value: string, negated: boolean): Predicate<T> | undefined {
    if (selector.type !== 'word' && !(selector.type === 'string' && selector.text.startsWith('/'))) {
      return this.fail('expected a selector', selector)
    }
    // A JSON pointer ("/Service/Meta/version") names the same fields.
    const path = selector.path ?? selector.text.slice(1).split('/')
    const field = this.selectors(path)
    if (field === undefined) {
      this.error ??= `unknown selector ${JSON.stringify(selector.text)} at position ${selector.at + 1}`
      return undefined
    }
    const test = compileTest(field, operator, value)
    if (typeof test === 'string') {
      this.error ??= `${test}, at position ${selector.at + 1}`
      return undefined
    }
    // Of several values (Checks) one is enough, also for the negated operators: go-bexpr asks each element the whole question.
    return subject => field.read(subject).some(found => test(found) !== negated)
  }

  private peek() {
    return this.tokens[Math.min(this.next, this.tokens.length - 1)]!
  }

  private take(type: Token['type'], text: string): boolean {
    const token = this.peek()
    if (token.type !== type || token.text !== text) return false
    this.next++
    return true
  }
}

const every =
  <T>(all: Predicate<T>[]): Predicate<T> =>
  subject =>
    all.every(predicate => predicate(subject))
const some =
  <T>(all: Predicate<T>[]): Predicate<T> =>
  subject =>
    all.some(predicate => predicate(subject))

type Operator = 'equal' | 'has' | 'matches' | 'empty'

/** A test of one value; a missing map key equals nothing, has nothing, matches nothing and is empty. Or why the operator does not fit. */
function compileTest(field: Pick<SelectedField, 'kind'>, operator: Operator, value: string): ((found: unknown) => boolean) | string {
  switch (operator) {
    case 'equal':
      return compileEqual(field, value)
    case 'has':
      if (field.kind === 'number' || field.kind === 'boolean') return `"in" and "contains" do not apply to a ${field.kind}`
      if (field.kind === 'list') return found => Array.isArray(found) && found.includes(value)
      if (field.kind === 'map') return found => typeof found === 'object' && found !== null && Object.hasOwn(found, value)
      return found => typeof found === 'string' && found.includes(value)
    case 'matches': {
      if (field.kind !== 'string') return `"matches" does not apply to a ${field.kind}`
      try {
        const regex = RE2JS.compile(value)
        return found => typeof found === 'string' && regex.matcher(found).find()
      } catch (error) {
        return `not an RE2 expression: ${error instanceof Error ? error.message : String(error)}`
      }
    }
    case 'empty':
      if (field.kind === 'number' || field.kind === 'boolean') return `"is empty" does not apply to a ${field.kind}`
      return found => found === undefined || (typeof found === 'object' && found !== null ? Object.keys(found).length === 0 : found === '')
    default: {
      const never: never = operator
      return never
    }
  }
}

function compileEqual(field: Pick<SelectedField, 'kind'>, value: string): ((found: unknown) => boolean) | string {
  switch (field.kind) {
    case 'string':
      return found => found === value
    case 'number': {
      const number = Number(value)
      return value.trim() === '' || Number.isNaN(number) ? `${JSON.stringify(value)} is not a number` : found => found === number
    }
    case 'boolean':
      if (value !== 'true' && value !== 'false') return `${JSON.stringify(value)} is not true or false`
      return found => found === (value === 'true')
    default:
      return `"==" and "!=" do not apply to a ${field.kind}`
  }
}
