// A CEL expression as a test of a connection or request (RBAC's conditions and matchers, access log filters), or for its value (`%CEL()%`). What
// an expression asks for and is not there makes it false, and nothing, as in Envoy; only the attributes that it names are read.

import { type CelContext, type CelRoot, type ParsedCel, parseCel } from '../../model/cel-expression.js'
import type { ConnectionInfo } from '../stream/connection-info.js'
import type { StreamInfo } from '../stream/stream-info.js'
import { celAttributes } from './cel-attributes.js'
import { compileRegex } from './regex.js'

export type CelTest = (connection: ConnectionInfo, info: StreamInfo | null) => boolean
/** Undefined: an error of the expression, for want of what it asks for. */
type CelValue = (connection: ConnectionInfo, info: StreamInfo | null) => unknown

/** Patterns that are kept compiled; they are literals of the config but for expressions that build them. */
const MAX_PATTERNS = 256
const patterns = new Map<string, ReturnType<typeof compileRegex>>()

export function compileCel(text: string): CelTest {
  const parsed = parseCel(text, matchesRe2)
  // One that does not parse was refused with the config.
  if (!parsed.ok) return () => false
  const value = evaluator(parsed)
  return (connection, info) => value(connection, info) === true
}

/** Or what is wrong with it. */
export function compileCelValue(text: string): CelValue | { readonly reason: string } {
  const parsed = parseCel(text, matchesRe2, 'value')
  return parsed.ok ? evaluator(parsed) : { reason: parsed.reason }
}

/** Several expressions over one reading of the attributes, by their text; those without a value are left out. */
export function compileCelValues(
  texts: readonly string[],
): (connection: ConnectionInfo, info: StreamInfo | null) => readonly (readonly [text: string, value: unknown])[] {
  const expressions: [string, Extract<ParsedCel, { ok: true }>['evaluate']][] = []
  const roots = new Set<CelRoot>()
  for (const text of new Set(texts)) {
    const parsed = parseCel(text, matchesRe2, 'value')
    // One that does not parse was refused with the config.
    if (!parsed.ok) continue
    expressions.push([text, parsed.evaluate])
    for (const root of parsed.roots) roots.add(root)
  }
  return (connection, info) => {
    const context = attributesOf(roots, connection, info)
    const values: [string, unknown][] = []
    for (const [text, evaluate] of expressions) {
      const value = resultOf(evaluate, context)
      if (value !== undefined) values.push([text, value])
    }
    return values
  }
}

function evaluator({ roots, evaluate }: Extract<ParsedCel, { ok: true }>): CelValue {
  return (connection, info) => resultOf(evaluate, attributesOf(roots, connection, info))
}

function attributesOf(roots: ReadonlySet<CelRoot>, connection: ConnectionInfo, info: StreamInfo | null): CelContext {
  const context: CelContext = {}
  for (const root of roots) context[root] = celAttributes(root, connection, info)
  return context
}

function resultOf(evaluate: (context: CelContext) => unknown, context: CelContext): unknown {
  try {
    return evaluate(context)
  } catch {
    return undefined
  }
}

/** Anywhere in the value, as CEL says; a pattern that RE2 does not take is an error of the expression. */
function matchesRe2(value: string, pattern: string): boolean {
  let regex = patterns.get(pattern)
  if (regex === undefined) {
    if (patterns.size >= MAX_PATTERNS) patterns.clear()
    regex = compileRegex(pattern)
    patterns.set(pattern, regex)
  }
  if (regex === null) throw new Error(`invalid regex '${pattern}'`)
  return regex.matcher(value).find()
}
