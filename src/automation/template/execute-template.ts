// Executes a parsed template: evaluates pipelines with Go text/template's rules, walks the control structures, writes the text.
// Called by template.ts. Invariant: what it writes, the steps it takes and how deep templates call each other are bounded, so that a
// template that never ends is an error and not a hang.
import { type GoFunction, GoMap, GoStruct, type GoValue, isList, isTrue, TemplateError, typeName } from './go-value.js'
import { printResult } from './print-value.js'
import type { Command, ControlNode, Operand, ParsedTemplate, Pipeline, TemplateNode } from './template-nodes.js'

const MAX_OUTPUT_BYTES = 16 * 1024 * 1024
const MAX_STEPS = 5_000_000
const MAX_CALLS = 1_000

export interface Execution {
  readonly template: ParsedTemplate
  readonly functions: ReadonlyMap<string, GoFunction>
  /** A key that a map has not is an error. */
  readonly missingKeyFails: boolean
}

interface Variable {
  readonly name: string
  value: GoValue
}

type Ended = 'done' | 'break' | 'continue'

export class TemplateExecutor {
  private readonly out: string[] = []
  private bytes = 0
  private steps = 0
  private calls = 0
  private line = 0
  private variables: Variable[] = []

  constructor(private readonly execution: Execution) {}

  /** Throws `TemplateError`. */
  run(data: GoValue): string {
    this.body(this.execution.template.root, data)
    return this.out.join('')
  }

  /** Executes a template that has been defined, for `executeTemplate`; its text is not written here. */
  runDefined(name: string, data: GoValue): string {
    const nodes = this.defined(name)
    const start = this.out.length
    this.body(nodes, data)
    return this.out.splice(start).join('')
  }

  private body(nodes: readonly TemplateNode[], data: GoValue): void {
    const outer = this.variables
    this.variables = [{ name: '$', value: data }]
    if (++this.calls > MAX_CALLS) throw this.fail(`templates call each other deeper than ${MAX_CALLS}`)
    this.list(nodes, data)
    this.calls--
    this.variables = outer
  }

  private defined(name: string): readonly TemplateNode[] {
    const { template } = this.execution
    const nodes = template.templates.get(name) ?? (name === template.name ? template.root : undefined)
    if (nodes === undefined) throw this.fail(`template ${JSON.stringify(name)} not defined`)
    return nodes
  }

  private fail(reason: string): TemplateError {
    return new TemplateError(`template: ${this.execution.template.name}:${this.line}: ${reason}`)
  }

  private write(text: string): void {
    this.bytes += text.length
    if (this.bytes > MAX_OUTPUT_BYTES) throw this.fail(`writes more than ${MAX_OUTPUT_BYTES} bytes`)
    this.out.push(text)
  }

  private step(): void {
    if (++this.steps > MAX_STEPS) throw this.fail(`takes more than ${MAX_STEPS} steps`)
  }

  private list(nodes: readonly TemplateNode[], dot: GoValue): Ended {
    for (const node of nodes) {
      const ended = this.node(node, dot)
      if (ended !== 'done') return ended
    }
    return 'done'
  }

  private node(node: TemplateNode, dot: GoValue): Ended {
    this.step()
    switch (node.kind) {
      case 'text':
        this.write(node.text)
        return 'done'
      case 'action': {
        const value = this.pipeline(node.pipe, dot)
        if (node.pipe.variables.length === 0) this.write(printResult(value))
        return 'done'
      }
      case 'if':
      case 'with': {
        const { length } = this.variables
        const value = this.pipeline(node.pipe, dot)
        const ended = isTrue(value) ? this.list(node.body, node.kind === 'with' ? value : dot) : this.list(node.otherwise, dot)
        this.variables.length = length
        return ended
      }
      case 'range': {
        const { length } = this.variables
        const ended = this.range(node, dot)
        this.variables.length = length
        return ended
      }
      case 'template': {
        this.line = node.line
        const nodes = this.defined(node.name)
        this.body(nodes, node.pipe === null ? undefined : this.pipeline(node.pipe, dot))
        return 'done'
      }
      default:
        return node.kind
    }
  }

  private range(node: ControlNode, dot: GoValue): Ended {
    const { pipe } = node
    const over = this.pipeline({ ...pipe, variables: [] }, dot)
    const [first, second] = pipe.variables
    if (typeof over === 'bigint' && second !== undefined) throw this.fail(`can't use ${over} to iterate over more than one variable`)
    const bind = (name: string, value: GoValue): void => {
      if (pipe.declares) this.variables.push({ name, value })
      else this.set(name, value)
    }
    const outer = this.variables.length
    let ran = false
    for (const [key, value] of this.members(over)) {
      this.step()
      ran = true
      this.variables.length = outer
      if (first !== undefined) bind(first, second === undefined ? value : key)
      if (second !== undefined) bind(second, value)
      if (this.list(node.body, value) === 'break') return 'done'
    }
    this.variables.length = outer
    return ran ? 'done' : this.list(node.otherwise, dot)
  }

  private *members(over: GoValue): Iterable<readonly [GoValue, GoValue]> {
    if (over === undefined || over === null) return
    if (isList(over)) for (const [i, value] of over.entries()) yield [BigInt(i), value]
    else if (over instanceof GoMap) yield* over.sorted()
    else if (typeof over === 'bigint') for (let i = 0n; i < over; i++) yield [i, i]
    else throw this.fail(`range can't iterate over ${printResult(over)}`)
  }

  private set(name: string, value: GoValue): void {
    for (let i = this.variables.length - 1; i >= 0; i--) {
      const variable = this.variables[i]!
      if (variable.name !== name) continue
      variable.value = value
      return
    }
    throw this.fail(`undefined variable: ${name}`)
  }

  private pipeline(pipe: Pipeline, dot: GoValue): GoValue {
    this.line = pipe.line
    let value: GoValue
    let piped: readonly GoValue[] = []
    for (const command of pipe.commands) {
      value = this.command(command, dot, piped)
      piped = [value]
    }
    for (const name of pipe.variables)
      if (pipe.declares) this.variables.push({ name, value })
      else this.set(name, value)
    return value
  }

  /** `piped` is the value of the command before, the last argument of this one. */
  private command([first, ...rest]: Command, dot: GoValue, piped: readonly GoValue[]): GoValue {
    this.step()
    if (first.kind === 'function') return this.callNamed(first.name, rest, dot, piped)
    const args = (): GoValue[] => [...rest.map(operand => this.operand(operand, dot)), ...piped]
    const hasArgs = rest.length + piped.length > 0
    if (first.kind === 'nil') throw this.fail('nil is not a command')
    if (first.kind === 'field') return this.path(dot, first.path, hasArgs ? args() : [])
    if (first.kind === 'chain') return this.path(this.operand(first.of, dot), first.path, hasArgs ? args() : [])
    if (first.kind === 'variable' && first.path.length > 0) return this.path(this.variable(first.name), first.path, hasArgs ? args() : [])
    if (hasArgs) throw this.fail(`can't give argument to non-function ${first.kind === 'constant' ? first.source : first.kind}`)
    return this.operand(first, dot)
  }

  private operand(operand: Operand, dot: GoValue): GoValue {
    switch (operand.kind) {
      case 'constant':
        return operand.value
      case 'nil':
        return null
      case 'dot':
        return dot
      case 'function':
        return this.callNamed(operand.name, [], dot, [])
      case 'field':
        return this.path(dot, operand.path, [])
      case 'variable':
        return this.path(this.variable(operand.name), operand.path, [])
      case 'chain':
        return this.path(this.operand(operand.of, dot), operand.path, [])
      case 'pipe':
        return this.pipeline(operand.pipe, dot)
    }
  }

  private variable(name: string): GoValue {
    for (let i = this.variables.length - 1; i >= 0; i--) if (this.variables[i]!.name === name) return this.variables[i]!.value
    throw this.fail(`undefined variable: ${name}`)
  }

  /** `.a.b.c` of a value; the last may be a method with arguments. */
  private path(of: GoValue, path: readonly string[], args: readonly GoValue[]): GoValue {
    let value = of
    path.forEach((name, i) => {
      value = this.field(value, name, i === path.length - 1 ? args : [])
    })
    return value
  }

  private field(of: GoValue, name: string, args: readonly GoValue[]): GoValue {
    if (of === undefined) {
      if (this.execution.missingKeyFails) throw this.fail(`nil data; no entry for key ${JSON.stringify(name)}`)
      return undefined
    }
    if (of === null) throw this.fail(`nil pointer evaluating interface {}.${name}`)
    const method = of instanceof GoStruct ? of.methods.get(name) : undefined
    if (method !== undefined) return this.call(name, method, args)
    const isKnown = of instanceof GoMap || (of instanceof GoStruct && of.fields.has(name))
    if (!isKnown) throw this.fail(`can't evaluate field ${name} in type ${typeName(of)}`)
    if (args.length > 0) throw this.fail(`${name} is not a method but has arguments`)
    if (of instanceof GoStruct) return of.fields.get(name)
    if (!of.entries.has(name) && this.execution.missingKeyFails) throw this.fail(`map has no entry for key ${JSON.stringify(name)}`)
    return of.entries.get(name)
  }

  /** `and` and `or` evaluate no more than they need; everything else gets all its arguments. */
  private callNamed(name: string, operands: readonly Operand[], dot: GoValue, piped: readonly GoValue[]): GoValue {
    if (name === 'and' || name === 'or') {
      if (operands.length + piped.length === 0) throw this.fail(`wrong number of args for ${name}: want at least 1 got 0`)
      let value: GoValue
      for (const operand of operands) {
        value = this.operand(operand, dot)
        if (isTrue(value) === (name === 'or')) return value
      }
      return piped.length > 0 ? piped[0] : value
    }
    const named = this.execution.functions.get(name)
    if (named === undefined) throw this.fail(`${JSON.stringify(name)} is not a defined function`)
    return this.call(name, named, [...operands.map(operand => this.operand(operand, dot)), ...piped])
  }

  private call(name: string, { params, rest, call }: GoFunction, args: readonly GoValue[]): GoValue {
    if (args.length < params.length || (rest === undefined && args.length > params.length))
      throw this.fail(`wrong number of args for ${name}: want ${rest === undefined ? '' : 'at least '}${params.length} got ${args.length}`)
    args.forEach((value, i) => {
      const type = params[i] ?? rest!
      if (!FITS[type](value)) throw this.fail(`wrong type for value; expected ${TYPE_NAMES[type]}; got ${typeName(value)} (${name})`)
    })
    try {
      return call(args)
    } catch (error) {
      if (!(error instanceof TemplateError) || error.message.startsWith('template: ')) throw error
      throw this.fail(`error calling ${name}: ${error.message}`)
    }
  }
}

const isNothing = (value: GoValue): boolean => value === undefined || value === null

const FITS: Readonly<Record<GoFunction['params'][number], (value: GoValue) => boolean>> = {
  any: () => true,
  string: value => typeof value === 'string',
  int: value => typeof value === 'bigint',
  bool: value => typeof value === 'boolean',
  list: value => isNothing(value) || isList(value),
  strings: value => isNothing(value) || (isList(value) && value.every(each => typeof each === 'string')),
  map: value => isNothing(value) || value instanceof GoMap,
}

const TYPE_NAMES: Readonly<Record<GoFunction['params'][number], string>> = {
  any: 'interface {}',
  string: 'string',
  int: 'int',
  bool: 'bool',
  list: '[]interface {}',
  strings: '[]string',
  map: 'map[string]interface {}',
}
