// CEL expressions (RBAC conditions, matchers, the access log's CEL filter, `%CEL()%`): their text parsed and type-checked against Envoy's attributes, within bounds.
// The decoders ask whether one is right; l7/match/cel-test.ts runs it. `matches()` is RE2 by whoever runs the expression, never the
// library's own engine: its input comes from the network.

import { type ASTNode, Environment, parse, serialize } from '@marcbachmann/cel-js'

/** Envoy's attributes, by their first name. */
export const CEL_ROOTS = ['request', 'response', 'connection', 'source', 'destination', 'upstream', 'metadata', 'xds'] as const
export type CelRoot = (typeof CEL_ROOTS)[number]
/** A map by attribute names; what is absent is an error of the expression. */
export type CelContext = Partial<Record<CelRoot, Record<string, unknown>>>

export const MAX_CEL_LENGTH = 8192
const LIMITS = { maxDepth: 32, maxAstNodes: 2000, maxListElements: 500, maxMapEntries: 500, maxCallArguments: 8 }
const MATCHES = 're2Matches'

export type ParsedCel =
  | { readonly ok: true; readonly roots: ReadonlySet<CelRoot>; readonly evaluate: (context: CelContext) => unknown }
  | { readonly ok: false; readonly reason: string }

/** `wants`: what its value must be, as far as that can be told before it runs. */
export function parseCel(text: string, matches: (value: string, pattern: string) => boolean, wants: 'bool' | 'value' = 'bool'): ParsedCel {
  if (text.length > MAX_CEL_LENGTH) return { ok: false, reason: `an expression may have ${MAX_CEL_LENGTH} characters at most` }
  const environment = new Environment({ limits: LIMITS })
  for (const root of CEL_ROOTS) environment.registerVariable(root, 'map')
  environment.registerFunction(`string.${MATCHES}(string): bool`, matches)
  environment.registerFunction('matches(string, string): bool', matches)
  try {
    const { ast } = parse(text)
    const roots = new Set<CelRoot>()
    rename(ast, roots)
    const renamed = serialize(ast)
    const checked = environment.check(renamed)
    if (!checked.valid) return { ok: false, reason: firstLine(checked.error) }
    if (wants === 'bool' && checked.type !== 'bool' && checked.type !== 'dyn')
      return { ok: false, reason: `it gives ${checked.type}, not bool` }
    return { ok: true, roots, evaluate: environment.parse(renamed) }
  } catch (error) {
    return { ok: false, reason: firstLine(error) }
  }
}

/** Method calls of matches() become ours; the attributes that occur are noted. */
function rename(node: unknown, roots: Set<CelRoot>): void {
  if (Array.isArray(node)) {
    for (const one of node) rename(one, roots)
    return
  }
  if (typeof node !== 'object' || node === null || !('op' in node)) return
  const { op, args } = node as ASTNode & { args: unknown[] }
  if (op === 'rcall' && args[0] === 'matches') args[0] = MATCHES
  if (op === 'id') {
    const root = CEL_ROOTS.find(name => name === (args as unknown))
    if (root !== undefined) roots.add(root)
  } else rename(args, roots)
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n', 1)[0]!
}
