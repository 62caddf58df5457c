// Reads what clients send of tokens, policies, roles, auth methods and binding rules: JSON objects in Consul's form, field by field, with
// what a link names looked up. Called by acl-writes.ts. Throws `AclError`: 400 with the field's name for what can't be read, 500 for what can't be
// so; fields of Enterprise are refused where they say more than the default.
import { AclError } from './acl-error.js'
import type { AclTable } from './acl-table.js'
import type { Grants, NodeIdentity, PolicyLink, ServiceIdentity, TemplatedPolicy } from './acl-types.js'
import { identityProblem } from './templated-policies.js'

export type Input = Readonly<Record<string, unknown>>

/** Of each list in one object. */
const MAX_LINKS = 256
const DEFAULT_TENANCY = new Set(['', 'default', undefined])

/** The body as an object whose keys are all in `known` (names without case, as Go decodes them). */
export function readObject(body: unknown, known: readonly string[]): Input {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw invalid('Request decode failed: an object is expected')
  const names = new Map(known.map(name => [name.toLowerCase(), name]))
  const input: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(body)) {
    const name = names.get(key.toLowerCase())
    if (name !== undefined) {
      input[name] = value
      continue
    }
    if (/^(namespace|partition)$/i.test(key)) {
      if (!DEFAULT_TENANCY.has(value as string)) throw invalid(`${key}: is of Consul Enterprise`)
    } else if (!IGNORED.has(key.toLowerCase())) throw invalid(`Request decode failed: json: unknown field "${key}"`)
  }
  return input
}

/** What the API prints and clients send back. */
const IGNORED = new Set(['createindex', 'modifyindex', 'hash', 'legacy', 'expandedpolicies', 'expandedroles', 'createtime'])

export function text(input: Input, name: string, fallback = ''): string {
  const value = input[name]
  if (value === undefined || value === null) return fallback
  if (typeof value !== 'string') throw invalid(`${name}: must be a string`)
  return value
}

export function flagOf(input: Input, name: string, fallback = false): boolean {
  const value = input[name]
  if (value === undefined || value === null) return fallback
  if (typeof value !== 'boolean') throw invalid(`${name}: must be true or false`)
  return value
}

export function list(input: Input, name: string): readonly unknown[] {
  const value = input[name]
  if (value === undefined || value === null) return []
  if (!Array.isArray(value)) throw invalid(`${name}: must be a list`)
  if (value.length > MAX_LINKS) throw invalid(`${name}: has ${value.length} entries, the limit is ${MAX_LINKS}`)
  return value
}

export function texts(input: Input, name: string): readonly string[] {
  return list(input, name).map(value => {
    if (typeof value !== 'string') throw invalid(`${name}: must be a list of strings`)
    return value
  })
}

export const GRANT_FIELDS = ['Policies', 'ServiceIdentities', 'NodeIdentities', 'TemplatedPolicies'] as const

export function readGrants(input: Input, table: AclTable): Grants {
  const identity = <T extends ServiceIdentity | NodeIdentity | TemplatedPolicy>(value: T): T => {
    const problem = identityProblem(value)
    if (problem !== null) throw refused(problem)
    return value
  }
  return {
    Policies: readLinks(input, 'Policies', 'acl-policy', table),
    ServiceIdentities: list(input, 'ServiceIdentities').map(each => {
      const value = readObject(each, ['ServiceName', 'Datacenters'])
      const datacenters = texts(value, 'Datacenters')
      return identity({ ServiceName: text(value, 'ServiceName'), ...(datacenters.length > 0 ? { Datacenters: datacenters } : {}) })
    }),
    NodeIdentities: list(input, 'NodeIdentities').map(each => {
      const value = readObject(each, ['NodeName', 'Datacenter'])
      return identity({ NodeName: text(value, 'NodeName'), Datacenter: text(value, 'Datacenter') })
    }),
    TemplatedPolicies: list(input, 'TemplatedPolicies').map(each => {
      const value = readObject(each, ['TemplateName', 'TemplateVariables', 'Datacenters', 'TemplateID'])
      const datacenters = texts(value, 'Datacenters')
      const variables =
        value['TemplateVariables'] === undefined || value['TemplateVariables'] === null
          ? {}
          : readObject(value['TemplateVariables'], ['Name'])
      const name = text(variables, 'Name')
      return identity({
        TemplateName: text(value, 'TemplateName'),
        ...(name === '' ? {} : { TemplateVariables: { Name: name } }),
        ...(datacenters.length > 0 ? { Datacenters: datacenters } : {}),
      })
    }),
  }
}

/** Links by ID or by name to what is there. */
export function readLinks(input: Input, name: string, collection: 'acl-policy' | 'acl-role', table: AclTable): PolicyLink[] {
  const found = new Map<string, PolicyLink>()
  const kind = collection === 'acl-policy' ? 'policy' : 'role'
  for (const each of list(input, name)) {
    const value = readObject(each, ['ID', 'Name'])
    const [id, linkName] = [text(value, 'ID'), text(value, 'Name')]
    const target = id !== '' ? table.get(collection, id) : table.byName(collection as 'acl-policy', linkName)
    if (target === undefined) throw refused(`No such ACL ${kind} with ${id !== '' ? `ID "${id}"` : `name "${linkName}"`}`)
    found.set(target.ID, { ID: target.ID, Name: target.Name })
  }
  return [...found.values()]
}

/** What can't be read as what it should be. */
export function invalid(message: string): AclError {
  return new AclError(400, message)
}

/** What can be read and is not done: Consul's clients look for this status beside the words ("already exists"). */
export function refused(message: string): AclError {
  return new AclError(500, message)
}
