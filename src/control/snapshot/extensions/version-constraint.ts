// Version constraints as HashiCorp writes them (`>= 1.16, < 2.0`, `~> 1.17`): does a version meet all of them. Called by read-extensions.ts.

const PART = /^\s*(=|!=|>=|<=|>|<|~>)?\s*v?(\d+(?:\.\d+){0,2})\s*$/

/** Undefined: not a constraint. */
export function meetsConstraint(version: string, constraint: string): boolean | undefined {
  const have = numbers(version)
  let meets = true
  for (const part of constraint.split(',')) {
    const match = PART.exec(part)
    if (match === null) return undefined
    meets &&= holds(match[1] ?? '=', have, match[2]!)
  }
  return meets
}

function holds(operator: string, have: readonly number[], text: string): boolean {
  const wanted = numbers(text)
  const order = compare(have, wanted)
  switch (operator) {
    case '!=':
      return order !== 0
    case '>':
      return order > 0
    case '>=':
      return order >= 0
    case '<':
      return order < 0
    case '<=':
      return order <= 0
    case '~>':
      return order >= 0 && isWithin(have, text.split('.').map(Number))
    default:
      return order === 0
  }
}

/** `~> 1.2.3`: below 1.3; `~> 1.2`: below 2. */
function isWithin(have: readonly number[], given: readonly number[]): boolean {
  return given.slice(0, Math.max(given.length - 1, 1)).every((part, i) => have[i] === part)
}

function numbers(version: string): number[] {
  const parts = version.split(/[.+-]/).map(Number)
  return [parts[0] || 0, parts[1] || 0, parts[2] || 0]
}

function compare(a: readonly number[], b: readonly number[]): number {
  for (const [i, part] of a.entries()) if (part !== b[i]) return part - b[i]!
  return 0
}
