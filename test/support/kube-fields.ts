// The fields of Kubernetes' API objects (1.35) by test/kubernetes/api-fields.json, which was made by reflection over the published Go types of
// k8s.io/api: type -> field -> its type. An API server refuses what is not among them where it validates strictly, as kubectl asks it to.
import { readFileSync } from 'node:fs'

type Fields = Readonly<Record<string, string>>

const TYPES = JSON.parse(readFileSync(new URL('../kubernetes/api-fields.json', import.meta.url), 'utf8')) as Readonly<
  Record<string, Fields>
>
const QUANTITY = /^[+-]?\d+(\.\d+)?([numkMGTPE]|[KMGTPE]i|[eE][+-]?\d+)?$/

export const knownKinds: ReadonlySet<string> = new Set(Object.keys(TYPES))

/** What an object of the kind may not have, each with its path. */
export function fieldProblems(kind: string, value: unknown, path = kind): string[] {
  if (value === null || value === undefined) return []
  if (kind.startsWith('[]'))
    return Array.isArray(value)
      ? value.flatMap((item, i) => fieldProblems(kind.slice(2), item, `${path}[${i}]`))
      : [`${path}: must be a list`]
  if (kind.startsWith('{}')) {
    if (typeof value !== 'object' || Array.isArray(value)) return [`${path}: must be a map`]
    return Object.entries(value).flatMap(([key, item]) => fieldProblems(kind.slice(2), item, `${path}{${key}}`))
  }
  const right = scalar(kind, value)
  if (right !== undefined) return right ? [] : [`${path}: must be of type ${kind}`]
  if (typeof value !== 'object' || Array.isArray(value)) return [`${path}: must be an object`]
  const fields = TYPES[kind]!
  return Object.entries(value).flatMap(([name, item]) =>
    Object.hasOwn(fields, name) ? fieldProblems(fields[name]!, item, `${path}.${name}`) : [`${path}.${name}: there is no such field`],
  )
}

/** Undefined: an object. */
function scalar(kind: string, value: unknown): boolean | undefined {
  switch (kind) {
    case 'any':
      return true
    case 'string':
    case 'boolean':
      return typeof value === kind
    case 'integer':
      return Number.isSafeInteger(value)
    case 'intOrString':
      return Number.isSafeInteger(value) || typeof value === 'string'
    case 'quantity':
      return QUANTITY.test(String(value))
    default:
      return undefined
  }
}
