// CEL in the configuration -> the text of an expression that l7 compiles. Access logs give text; RBAC conditions give the syntax tree
// (google.api.expr.v1alpha1.Expr), written here as the text that it stands for. Called by access-log.ts and rbac.ts. What does not parse,
// has an unknown attribute or gives no bool is an error.

import { parseCel } from '../../model/cel-expression.js'
import type { Constant, Expr, Expr_Call } from '../gen/google/api/expr/v1alpha1/syntax_pb.js'
import type { Ctx } from './field-path.js'

const MAX_DEPTH = 32

/** '' after an error was recorded. */
export function decodeCelText(text: string, ctx: Ctx, wants: 'bool' | 'value' = 'bool'): string {
  const parsed = parseCel(text, () => false, wants)
  if (parsed.ok) return text
  ctx.error(`invalid CEL expression: ${parsed.reason}`)
  return ''
}

export function decodeCelTree(expr: Expr, ctx: Ctx): string {
  try {
    return decodeCelText(textOf(expr, 0), ctx)
  } catch (error) {
    ctx.error((error as Error).message)
    return ''
  }
}

const BINARY: Readonly<Record<string, string>> = {
  '_&&_': '&&',
  '_||_': '||',
  '_==_': '==',
  '_!=_': '!=',
  '_<_': '<',
  '_<=_': '<=',
  '_>_': '>',
  '_>=_': '>=',
  '_+_': '+',
  '_-_': '-',
  '_*_': '*',
  '_/_': '/',
  '_%_': '%',
  '@in': 'in',
  in: 'in',
  _in_: 'in',
}
const IDENTIFIER = /^[_a-zA-Z][_a-zA-Z0-9]*$/

function textOf(expr: Expr | undefined, depth: number): string {
  if (depth > MAX_DEPTH) throw new Error(`a CEL expression may be ${MAX_DEPTH} deep at most`)
  const kind = expr?.exprKind
  const inner = (one: Expr | undefined): string => textOf(one, depth + 1)
  switch (kind?.case) {
    case 'constExpr':
      return constant(kind.value)
    case 'identExpr':
      return identifier(kind.value.name)
    case 'selectExpr': {
      const text = `${inner(kind.value.operand)}.${identifier(kind.value.field)}`
      return kind.value.testOnly ? `has(${text})` : text
    }
    case 'callExpr':
      return call(kind.value, inner)
    case 'listExpr':
      return `[${kind.value.elements.map(inner).join(', ')}]`
    case 'structExpr':
      if (kind.value.messageName !== '') throw new Error('messages in CEL expressions are not supported')
      return `{${kind.value.entries
        .map(
          ({ keyKind, value }) =>
            `${keyKind.case === 'mapKey' ? inner(keyKind.value) : JSON.stringify(keyKind.value ?? '')}: ${inner(value)}`,
        )
        .join(', ')}}`
    case 'comprehensionExpr':
      throw new Error('comprehensions (all, exists, map, filter) in the syntax tree of a CEL condition are not supported')
    default:
      throw new Error('the CEL expression is not complete')
  }
}

function call({ function: name, target, args }: Expr_Call, inner: (one: Expr | undefined) => string): string {
  const operator = Object.hasOwn(BINARY, name) ? BINARY[name] : undefined
  if (target === undefined && operator !== undefined && args.length === 2) return `(${inner(args[0])} ${operator} ${inner(args[1])})`
  if (name === '!_' && args.length === 1) return `!(${inner(args[0])})`
  if (name === '-_' && args.length === 1) return `-(${inner(args[0])})`
  if (name === '_?_:_' && args.length === 3) return `(${inner(args[0])} ? ${inner(args[1])} : ${inner(args[2])})`
  if (name === '_[_]' && args.length === 2) return `${inner(args[0])}[${inner(args[1])}]`
  const text = `${identifier(name)}(${args.map(inner).join(', ')})`
  return target === undefined ? text : `${inner(target)}.${text}`
}

function identifier(name: string): string {
  if (!IDENTIFIER.test(name)) throw new Error(`'${name}' is no name in a CEL expression`)
  return name
}

function constant({ constantKind }: Constant): string {
  switch (constantKind.case) {
    case 'nullValue':
      return 'null'
    case 'boolValue':
    case 'int64Value':
      return String(constantKind.value)
    case 'uint64Value':
      return `${constantKind.value}u`
    case 'doubleValue':
      return Number.isInteger(constantKind.value) ? `${constantKind.value}.0` : String(constantKind.value)
    case 'stringValue':
      return JSON.stringify(constantKind.value)
    default:
      throw new Error(`constants of the kind ${constantKind.case ?? 'none'} in CEL expressions are not supported`)
  }
}
