// Policies, roles, auth methods, binding rules and tokens for `outrigger import`. Links go by name, since policies and roles get new ids; tokens
// keep their accessors and secrets, so that whoever shows one is known. What a server makes by itself stays behind.
import { contentOf, type Fields, type ImportItem, type ImportKind, type Source, withoutOwn } from './import-kind.js'

interface AclItem extends ImportItem {
  readonly value: Fields
}

const BUILTIN_POLICIES = new Set(['global-management', 'builtin/global-read-only'])
const HIDDEN = '<hidden>'

/** Undefined: ACLs are off there. */
async function listed(source: Source, path: string): Promise<readonly Fields[] | undefined> {
  try {
    return (await source.findJson<readonly Fields[]>(path)) ?? []
  } catch (error) {
    if (/ACL support disabled/.test((error as Error).message)) return undefined
    throw error
  }
}

/** Each of a list whole: lists leave rules and configurations out. */
async function whole(source: Source, path: string, one: (listed: Fields) => string): Promise<Fields[]> {
  const all: Fields[] = []
  for (const each of (await listed(source, path)) ?? []) {
    const found = await source.findJson<Fields>(one(each))
    if (found !== undefined) all.push(found)
  }
  return all
}

const links = (value: unknown): { readonly Name: unknown }[] | undefined =>
  Array.isArray(value) && value.length > 0 ? value.map(link => ({ Name: (link as Fields)['Name'] })) : undefined

/** As it is written and compared: linked by name, without its id. */
function portable({ ID: _id, Policies, Roles, ...rest }: Fields): Fields {
  const [policies, roles] = [links(Policies), links(Roles)]
  return {
    ...withoutOwn(rest),
    ...(policies === undefined ? {} : { Policies: policies }),
    ...(roles === undefined ? {} : { Roles: roles }),
  }
}

function named(name: string, plural: string, isOwn: (value: Fields) => boolean): ImportKind<AclItem> {
  const singular = { policies: 'policy', roles: 'role' }[plural]!
  const item = (value: Fields): AclItem => ({ key: String(value['Name']), content: contentOf(portable(value)), value })
  const read = async (source: Source): Promise<AclItem[]> =>
    (await whole(source, `/v1/acl/${plural}`, ({ ID }) => `/v1/acl/${singular}/${ID}`)).filter(value => !isOwn(value)).map(item)
  return {
    name,
    read: (source, _leave) => read(source),
    existing: read,
    write: (target, { value }, before) =>
      target.put(`/v1/acl/${singular}${before === undefined ? '' : `/${before.value['ID']}`}`, portable(value)),
  }
}

const POLICIES = named('ACL policies', 'policies', ({ Name }) => BUILTIN_POLICIES.has(String(Name)))
const ROLES = named('ACL roles', 'roles', () => false)

const method = (value: Fields): AclItem => ({ key: String(value['Name']), content: contentOf(value), value })
const readMethods = async (source: Source): Promise<AclItem[]> =>
  (await whole(source, '/v1/acl/auth-methods', ({ Name }) => `/v1/acl/auth-method/${encodeURIComponent(String(Name))}`)).map(method)
const AUTH_METHODS: ImportKind<AclItem> = {
  name: 'auth methods',
  read: readMethods,
  existing: readMethods,
  write: (target, { key, value }, before) =>
    target.put(`/v1/acl/auth-method${before === undefined ? '' : `/${encodeURIComponent(key)}`}`, withoutOwn(value)),
}

/** They have no names: a rule is what it says. */
function rule(value: Fields): AclItem {
  const content = contentOf(portable(value))
  return { key: JSON.stringify(content), content, value }
}
const readRules = async (source: Source): Promise<AclItem[]> => ((await listed(source, '/v1/acl/binding-rules')) ?? []).map(rule)
const BINDING_RULES: ImportKind<AclItem> = {
  name: 'binding rules',
  read: readRules,
  existing: readRules,
  write: (target, { value }) => target.put('/v1/acl/binding-rule', portable(value)),
}

/** The same for whoever shows it, whatever it is called. */
function token(value: Fields): AclItem {
  const { AccessorID, ...rest } = value
  return { key: String(value['SecretID']), label: String(AccessorID), content: contentOf(portable(rest)), value }
}
const readTokens = async (source: Source): Promise<AclItem[]> =>
  (await whole(source, '/v1/acl/tokens', ({ AccessorID }) => `/v1/acl/token/${AccessorID}`)).map(token)
const TOKENS: ImportKind<AclItem> = {
  name: 'ACL tokens',
  async read(source, leave) {
    const items: AclItem[] = []
    for (const each of await readTokens(source)) {
      const { AccessorID, AuthMethod, SecretID, Rules } = each.value
      if (AuthMethod) leave(`token ${AccessorID}`, `of a login by ${AuthMethod}: its holder logs in again`)
      else if (SecretID === undefined || SecretID === HIDDEN)
        leave(`token ${AccessorID}`, 'the source does not show its secret to this token')
      else if (Rules) leave(`token ${AccessorID}`, 'a legacy token, with rules of its own')
      else items.push(each)
    }
    return items
  },
  existing: readTokens,
  write(target, { value }, before) {
    if (before === undefined) return target.put('/v1/acl/token', portable(value))
    const { AccessorID } = before.value
    return target.put(`/v1/acl/token/${AccessorID}`, { ...portable(value), AccessorID })
  },
}

/** In the order in which they stand on each other. */
export const ACL_KINDS: readonly ImportKind<AclItem>[] = [POLICIES, ROLES, AUTH_METHODS, BINDING_RULES, TOKENS]

export async function hasAcls(source: Source): Promise<boolean> {
  return (await listed(source, '/v1/acl/policies')) !== undefined
}
