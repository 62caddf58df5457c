// Tokens to nodes, by the grammar of Go's text/template: pipelines, control structures, templates by name. Called by template.ts.
// Invariant: a function or variable that is not there is an error here, before anything is executed; nothing is skipped.
import { charCode, numberOf, unquote } from './go-literal.js'
import type { TemplateError } from './go-value.js'
import { type Delimiters, TemplateLexer, type Token } from './template-lexer.js'
import type { Command, Operand, ParsedTemplate, Pipeline, TemplateNode } from './template-nodes.js'

const MAX_DEPTH = 500

/** Throws `TemplateError`. */
export function parseTemplate(text: string, name: string, functions: ReadonlySet<string>, delimiters: Delimiters): ParsedTemplate {
  const lexer = new TemplateLexer(text, name, delimiters)
  return new Parser(lexer.read(), lexer, name, functions).parse()
}

interface ListEnd {
  readonly nodes: TemplateNode[]
  readonly word: 'end' | 'else' | 'eof'
}

class Parser {
  private at = 0
  private depth = 0
  private loops = 0
  private variables: string[] = ['$']
  private readonly templates = new Map<string, readonly TemplateNode[]>()

  constructor(
    private readonly tokens: readonly Token[],
    private readonly lexer: TemplateLexer,
    private readonly name: string,
    private readonly functions: ReadonlySet<string>,
  ) {}

  parse(): ParsedTemplate {
    const { nodes, word } = this.list(true)
    if (word !== 'eof') throw this.fail(`unexpected {{${word}}}`)
    return { name: this.name, root: nodes, templates: this.templates }
  }

  private get token(): Token {
    return this.tokens[Math.min(this.at, this.tokens.length - 1)]!
  }

  private fail(reason: string): TemplateError {
    const error = this.lexer.fail(reason)
    error.message = `template: ${this.name}:${this.token.line}: ${reason}`
    return error
  }

  private next(): Token {
    const { token } = this
    this.at++
    return token
  }

  private skipSpace(): void {
    while (this.token.kind === 'space') this.at++
  }

  private is(punctuation: string): boolean {
    return this.token.kind === 'punctuation' && this.token.text === punctuation
  }

  private expectClose(where: string): void {
    this.skipSpace()
    if (this.token.kind !== 'close') throw this.fail(`unexpected ${shown(this.token)} in ${where}`)
    this.at++
  }

  /** Up to `end`, `else` or the end of the text; `else` leaves the parser behind the word. */
  private list(atTop: boolean): ListEnd {
    const nodes: TemplateNode[] = []
    for (;;) {
      const token = this.next()
      if (token.kind === 'end') return { nodes, word: 'eof' }
      if (token.kind === 'text') {
        nodes.push({ kind: 'text', text: token.text })
        continue
      }
      this.skipSpace()
      const word = this.token.kind === 'keyword' ? this.token.text : ''
      if (word === 'end') {
        this.at++
        this.expectClose('end')
        return { nodes, word }
      }
      if (word === 'else') {
        this.at++
        return { nodes, word }
      }
      if (word === 'define') {
        this.at++
        if (!atTop) throw this.fail('unexpected {{define}}')
        this.define()
        continue
      }
      if (++this.depth > MAX_DEPTH) throw this.fail(`nested deeper than ${MAX_DEPTH}`)
      nodes.push(this.action(word))
      this.depth--
    }
  }

  private action(word: string): TemplateNode {
    if (word !== '') this.at++
    switch (word) {
      case '':
        return { kind: 'action', pipe: this.pipeline('command', 'close') }
      case 'if':
      case 'with':
      case 'range':
        return this.control(word)
      case 'break':
      case 'continue':
        if (this.loops === 0) throw this.fail(`{{${word}}} outside {{range}}`)
        this.expectClose(`{{${word}}}`)
        return { kind: word }
      case 'template': {
        const { line } = this.token
        const name = this.templateName('template clause')
        this.skipSpace()
        if (this.token.kind !== 'close') return { kind: 'template', name, line, pipe: this.pipeline('template clause', 'close') }
        this.at++
        return { kind: 'template', name, line, pipe: null }
      }
      case 'block': {
        const { line } = this.token
        const name = this.templateName('block clause')
        const pipe = this.pipeline('block clause', 'close')
        this.inNewScope(() => this.add(name, this.bodyToEnd('block')))
        return { kind: 'template', name, line, pipe }
      }
      default:
        throw this.fail(`unexpected {{${word}}}`)
    }
  }

  private control(kind: 'if' | 'with' | 'range'): TemplateNode {
    const outer = this.variables
    this.variables = [...outer]
    const pipe = this.pipeline(kind, 'close')
    if (kind === 'range') this.loops++
    const inner = this.list(false)
    if (kind === 'range') this.loops--
    let otherwise: TemplateNode[] = []
    if (inner.word === 'else') {
      this.skipSpace()
      const again = this.token.kind === 'keyword' && (this.token.text === 'if' || this.token.text === 'with') ? this.token.text : ''
      if (again !== '' && again === kind) {
        this.at++
        if (++this.depth > MAX_DEPTH) throw this.fail(`nested deeper than ${MAX_DEPTH}`)
        otherwise = [this.control(again)]
        this.depth--
      } else {
        this.expectClose('else')
        const rest = this.list(false)
        if (rest.word !== 'end') throw this.fail(rest.word === 'else' ? 'expected end; found {{else}}' : 'unexpected EOF')
        otherwise = rest.nodes
      }
    } else if (inner.word === 'eof') throw this.fail('unexpected EOF')
    this.variables = outer
    return { kind, pipe, body: inner.nodes, otherwise }
  }

  private define(): void {
    const name = this.templateName('define clause')
    this.expectClose('define clause')
    this.inNewScope(() => this.add(name, this.bodyToEnd('define clause')))
  }

  /** A template sees `$` alone of the variables, and its loops are its own. */
  private inNewScope(body: () => void): void {
    const { variables, loops } = this
    this.variables = ['$']
    this.loops = 0
    body()
    this.variables = variables
    this.loops = loops
  }

  private bodyToEnd(where: string): readonly TemplateNode[] {
    const { nodes, word } = this.list(false)
    if (word !== 'end') throw this.fail(`unexpected ${word === 'eof' ? 'EOF' : '{{else}}'} in ${where}`)
    return nodes
  }

  /** An empty one never takes the place of another. */
  private add(name: string, nodes: readonly TemplateNode[]): void {
    const before = this.templates.get(name)
    if (before === undefined || isEmpty(before)) this.templates.set(name, nodes)
    else if (!isEmpty(nodes)) throw this.fail(`multiple definition of template ${JSON.stringify(name)}`)
  }

  private templateName(where: string): string {
    this.skipSpace()
    const { kind, text } = this.token
    const name = kind === 'string' ? unquote(text) : undefined
    if (name === undefined) throw this.fail(`unexpected ${shown(this.token)} in ${where}`)
    this.at++
    return name
  }

  private pipeline(where: string, until: 'close' | ')'): Pipeline {
    this.skipSpace()
    const { line } = this.token
    const { variables, declares } = this.declaration(where)
    const commands: Command[] = []
    for (;;) {
      this.skipSpace()
      if (until === 'close' ? this.token.kind === 'close' : this.is(')')) {
        this.at++
        if (commands.length === 0) throw this.fail(`missing value for ${where}`)
        commands.slice(1).forEach((command, i) => {
          if (command[0].kind === 'constant' || command[0].kind === 'nil' || command[0].kind === 'dot')
            throw this.fail(`non executable command in pipeline stage ${i + 2}`)
        })
        return { line, variables, declares, commands }
      }
      commands.push(this.command(until))
    }
  }

  /** `$x :=`, `$x =`, in a range `$i, $x :=` too. */
  private declaration(where: string): Pick<Pipeline, 'variables' | 'declares'> {
    const start = this.at
    const variables: string[] = []
    while (this.token.kind === 'variable') {
      variables.push(this.next().text)
      this.skipSpace()
      if (this.is(':=') || this.is('=')) {
        const declares = this.next().text === ':='
        for (const variable of variables)
          if (declares) this.variables.push(variable)
          else if (!this.variables.includes(variable)) throw this.fail(`undefined variable ${JSON.stringify(variable)}`)
        return { variables, declares }
      }
      if (!this.is(',') || where !== 'range' || variables.length > 1) {
        if (this.is(',')) throw this.fail(`too many declarations in ${where}`)
        break
      }
      this.at++
      this.skipSpace()
    }
    this.at = start
    return { variables: [], declares: false }
  }

  private command(until: 'close' | ')'): Command {
    const operands: Operand[] = []
    for (;;) {
      this.skipSpace()
      if (this.is('|') && operands.length > 0) {
        this.at++
        break
      }
      if (until === 'close' ? this.token.kind === 'close' : this.is(')')) break
      operands.push(this.operand())
      if (this.token.kind !== 'space' && !this.is('|') && this.token.kind !== 'close' && !this.is(')'))
        throw this.fail(`unexpected ${shown(this.token)} in operand`)
    }
    const [first, ...rest] = operands
    if (first === undefined) throw this.fail('empty command')
    return [first, ...rest]
  }

  private operand(): Operand {
    const term = this.term()
    const path: string[] = []
    while (this.token.kind === 'field') path.push(this.next().text.slice(1))
    if (path.length === 0) return term
    switch (term.kind) {
      case 'field':
        return { kind: 'field', path: [...term.path, ...path] }
      case 'variable':
        return { ...term, path: [...term.path, ...path] }
      case 'constant':
      case 'nil':
      case 'dot':
        throw this.fail(`unexpected . after term ${JSON.stringify(term.kind === 'constant' ? term.source : term.kind)}`)
      default:
        return { kind: 'chain', of: term, path }
    }
  }

  private term(): Operand {
    const { kind, text } = this.next()
    switch (kind) {
      case 'name':
        if (!this.functions.has(text)) throw this.fail(`function ${JSON.stringify(text)} not defined`)
        return { kind: 'function', name: text }
      case 'dot':
        return { kind: 'dot' }
      case 'nil':
        return { kind: 'nil' }
      case 'bool':
        return { kind: 'constant', value: text === 'true', source: text }
      case 'field':
        return { kind: 'field', path: [text.slice(1)] }
      case 'variable':
        if (!this.variables.includes(text)) throw this.fail(`undefined variable ${JSON.stringify(text)}`)
        return { kind: 'variable', name: text, path: [] }
      case 'string':
      case 'char':
      case 'number': {
        const value = kind === 'string' ? unquote(text) : kind === 'char' ? charCode(text) : numberOf(text)
        if (value === undefined) throw this.fail(`illegal ${kind} constant ${text}`)
        return { kind: 'constant', value, source: text }
      }
      case 'punctuation':
        if (text === '(') {
          if (++this.depth > MAX_DEPTH) throw this.fail(`nested deeper than ${MAX_DEPTH}`)
          const pipe = this.pipeline('parenthesized pipeline', ')')
          this.depth--
          return { kind: 'pipe', pipe }
        }
    }
    this.at--
    throw this.fail(`unexpected ${shown(this.token)} in operand`)
  }
}

function isEmpty(nodes: readonly TemplateNode[]): boolean {
  return nodes.every(node => node.kind === 'text' && node.text.trim() === '')
}

function shown({ kind, text }: Token): string {
  return kind === 'end' ? 'EOF' : `<${text}>`
}
