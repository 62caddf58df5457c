// Creates, changes and deletes what the ACL system keeps: judged against what is there, in one turn of the store. Called by
// http-api/acl.ts and login.ts. Invariants: nothing refers to what is not there (a deleted policy or role leaves its links with it), what is
// built in stays as it is, and the bootstrap happens once.
import { randomUUID } from 'node:crypto'
import { formatDuration, parseDuration } from '../config-entries/duration.js'
import { put, remove, type Store, type StoreWrite, type Turn } from '../store/store.js'
import type { HeldLease } from '../store/task-leases.js'
import { AclError } from './acl-error.js'
import { flagOf, GRANT_FIELDS, type Input, invalid, readGrants, readLinks, readObject, refused, text, texts } from './acl-input.js'
import { type AclCollection, type AclTable, MAX_ACL_OBJECTS } from './acl-table.js'
import {
  type AclPolicy,
  type AclRole,
  type AclToken,
  ANONYMOUS_ACCESSOR_ID,
  ANONYMOUS_SECRET_ID,
  type AuthMethod,
  BIND_TYPES,
  type BindingRule,
  type BindType,
  BUILTIN_POLICIES,
  GLOBAL_MANAGEMENT_ID,
  type Grants,
  type Indexed,
} from './acl-types.js'
import type { BootstrapReset } from './bootstrap-reset.js'
import { parseRules } from './rules.js'

/** One slash at most, inside: `builtin/` is how Consul names its own. */
const POLICY_NAME = /^(?=.{1,128}$)[A-Za-z0-9_-]+(?:\/[A-Za-z0-9_-]+)?$/
const ROLE_NAME = /^[A-Za-z0-9_-]{1,256}$/
const METHOD_NAME = /^[A-Za-z0-9_-]{1,128}$/
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i
const MAX_RULES_CHARS = 512 * 1024
const MAX_DESCRIPTION_CHARS = 16 * 1024
const MINUTE_MS = 60_000
const DAY_MS = 24 * 60 * MINUTE_MS
const BOOTSTRAP_KEY = 'acl-bootstrap'

export interface AclWritesOptions {
  readonly store: Store
  readonly table: AclTable
  /** The operator's way back in when every management token is lost; undefined where there is no place for it. */
  readonly reset?: BootstrapReset | undefined
  nowMs(): number
  /** What an auth method of a type is configured with: problems as one line, null when it is right. */
  methodProblem(type: string, config: Readonly<Record<string, unknown>>): string | null
  /** Whether a selector of a binding rule can be read: its problem, or null. */
  selectorProblem(type: string, selector: string): string | null
}

export class AclWrites {
  private readonly options: AclWritesOptions

  constructor(options: AclWritesOptions) {
    this.options = options
  }

  // ---- bootstrap ----------------------------------------------------------------------------------------------------------------

  /** The first management token, once, and once more for each reset that an operator asks for. `secret` is the operator's own choice of it, or undefined. */
  async bootstrap(secret: string | undefined): Promise<Indexed<AclToken>> {
    if (secret !== undefined && !UUID.test(secret)) throw invalid('failed to decode request body: BootstrapSecret: must be a UUID')
    const token: AclToken = {
      AccessorID: randomUUID(),
      SecretID: secret ?? randomUUID(),
      Description: 'Bootstrap Token (Global Management)',
      Policies: [{ ID: GLOBAL_MANAGEMENT_ID, Name: 'global-management' }],
      Roles: [],
      ServiceIdentities: [],
      NodeIdentities: [],
      TemplatedPolicies: [],
      Local: false,
      CreateTime: this.now(),
    }
    const { store, table, reset } = this.options
    const last = (await store.get('meta', BOOTSTRAP_KEY))?.modifyIndex ?? 0
    const isAllowed = last === 0 || (await reset?.index()) === last
    // After a reset there are tokens already.
    if (isAllowed && table.tokenOfSecret(token.SecretID) !== undefined) throw refused('Invalid Token: SecretID is already in use')
    const writes = [put('acl-token', token.AccessorID, token), put('meta', BOOTSTRAP_KEY, token.AccessorID)]
    const result = isAllowed && (await store.transaction(writes, [{ collection: 'meta', key: BOOTSTRAP_KEY, modifyIndex: last }]))
    if (result === false || !result.ok) throw new AclError(403, `Permission denied: ACL bootstrap no longer allowed (reset index: ${last})`)
    if (last !== 0) await reset?.used()
    return table.get('acl-token', token.AccessorID)!
  }

  /** Tokens that the configuration names (`initial_management`) and the anonymous one exist from the start. */
  ensure(initialManagement: string | undefined): Promise<void> {
    return this.options.store.exclusive(async turn => {
      const { table } = this.options
      const writes: StoreWrite[] = []
      const fixed = (accessor: string, secret: string, description: string, policies: AclToken['Policies']): void => {
        const token: AclToken = {
          ...NO_GRANTS,
          AccessorID: accessor,
          SecretID: secret,
          Description: description,
          Policies: policies,
          Roles: [],
          Local: false,
          CreateTime: this.now(),
        }
        writes.push(put('acl-token', accessor, token))
      }
      if (table.get('acl-token', ANONYMOUS_ACCESSOR_ID) === undefined)
        fixed(ANONYMOUS_ACCESSOR_ID, ANONYMOUS_SECRET_ID, 'Anonymous Token', [])
      if (initialManagement !== undefined && table.tokenOfSecret(initialManagement) === undefined) {
        fixed(randomUUID(), initialManagement, 'Initial Management Token', [{ ID: GLOBAL_MANAGEMENT_ID, Name: 'global-management' }])
        writes.push(put('meta', BOOTSTRAP_KEY, 'configured'))
      }
      if (writes.length > 0) await turn.transaction(writes)
    })
  }

  // ---- tokens -------------------------------------------------------------------------------------------------------------------

  createToken(body: unknown): Promise<Indexed<AclToken>> {
    return this.options.store.exclusive(async turn => {
      const { table } = this.options
      const input = readObject(body ?? {}, TOKEN_FIELDS)
      const accessor = text(input, 'AccessorID')
      const secret = text(input, 'SecretID')
      for (const [name, value] of [
        ['AccessorID', accessor],
        ['SecretID', secret],
      ] as const)
        if (value !== '' && !UUID.test(value)) throw refused(`Invalid Token: ${name}: must be a UUID`)
      if (accessor !== '' && table.get('acl-token', accessor) !== undefined) throw refused('Invalid Token: AccessorID is already in use')
      if (secret !== '' && table.tokenOfSecret(secret) !== undefined) throw refused('Invalid Token: SecretID is already in use')
      if (text(input, 'AuthMethod') !== '') throw refused('AuthMethod field is disallowed outside of Login')
      const token: AclToken = {
        ...this.tokenBody(input),
        AccessorID: accessor || randomUUID(),
        SecretID: secret || randomUUID(),
        Local: flagOf(input, 'Local'),
        CreateTime: this.now(),
        ...this.expiry(input),
      }
      return this.keep(turn, 'acl-token', token.AccessorID, token)
    })
  }

  updateToken(accessor: string, body: unknown): Promise<Indexed<AclToken>> {
    return this.options.store.exclusive(async turn => {
      const before = this.there('acl-token', accessor)
      const input = readObject(body ?? {}, TOKEN_FIELDS)
      const own = text(input, 'AccessorID', accessor)
      if (own !== '' && own.toLowerCase() !== accessor.toLowerCase()) throw invalid('Token Accessor ID in URL and payload do not match')
      const secret = text(input, 'SecretID', before.SecretID)
      if (secret !== '' && secret !== before.SecretID) throw refused('Changing a tokens SecretID is not permitted')
      if (flagOf(input, 'Local', before.Local) !== before.Local) throw refused(`cannot toggle local mode of ${accessor}`)
      const method = text(input, 'AuthMethod', before.AuthMethod ?? '')
      if (method !== '' && method !== (before.AuthMethod ?? '')) throw refused('Cannot change AuthMethod of a token')
      const expires = text(input, 'ExpirationTime', before.ExpirationTime ?? '')
      if (Date.parse(expires) !== Date.parse(before.ExpirationTime ?? '') && (expires !== '' || before.ExpirationTime !== undefined))
        throw refused('Cannot change expiration time of a token')
      const { CreateIndex: _created, ModifyIndex: _modified, ...kept } = before
      return this.keep(turn, 'acl-token', before.AccessorID, { ...kept, ...this.tokenBody(input) })
    })
  }

  cloneToken(accessor: string, body: unknown): Promise<Indexed<AclToken>> {
    return this.options.store.exclusive(async turn => {
      const before = this.there('acl-token', accessor)
      if (accessor === ANONYMOUS_ACCESSOR_ID) throw refused('Cannot clone the anonymous token')
      if (before.AuthMethod !== undefined) throw refused('Cannot clone a token created from an auth method')
      const { CreateIndex: _created, ModifyIndex: _modified, ...kept } = before
      const description = text(readObject(body ?? {}, ['Description']), 'Description', before.Description)
      const token: AclToken = {
        ...kept,
        Description: description,
        AccessorID: randomUUID(),
        SecretID: randomUUID(),
        CreateTime: this.now(),
      }
      return this.keep(turn, 'acl-token', token.AccessorID, token)
    })
  }

  /** `asking`: whose request it is; only a logout takes out its own. */
  deleteToken(accessor: string, asking?: string): Promise<void> {
    return this.options.store.exclusive(async turn => {
      if (accessor === ANONYMOUS_ACCESSOR_ID) throw refused('Delete operation not permitted on the anonymous token')
      if (accessor.toLowerCase() === asking?.toLowerCase()) throw refused("Deletion of the request's authorization token is not permitted")
      const token = this.options.table.get('acl-token', accessor)
      if (token === undefined) return
      await turn.transaction([remove('acl-token', token.AccessorID)])
    })
  }

  /** A token of a login: what the binding rules gave, for as long as the method allows. */
  loginToken(grants: Grants & { readonly Roles: AclToken['Roles'] }, method: AuthMethod, description: string): Promise<Indexed<AclToken>> {
    return this.options.store.exclusive(async turn => {
      const ttlMs = durationMsOf(method.MaxTokenTTL)
      const token: AclToken = {
        ...grants,
        AccessorID: randomUUID(),
        SecretID: randomUUID(),
        Description: description,
        AuthMethod: method.Name,
        Local: method.TokenLocality !== 'global',
        CreateTime: this.now(),
        ...(ttlMs > 0 ? { ExpirationTime: new Date(this.options.nowMs() + ttlMs).toISOString() } : {}),
      }
      return this.keep(turn, 'acl-token', token.AccessorID, token)
    })
  }

  /** Deletes what has expired; called now and then by who holds the lease. Returns how many there were. */
  reap(lease: HeldLease): Promise<number> {
    const { table, store, nowMs } = this.options
    return store.exclusive(async turn => {
      const expired = table
        .list('acl-token')
        .filter(({ ExpirationTime }) => ExpirationTime !== undefined && Date.parse(ExpirationTime) <= nowMs())
      if (expired.length > 0) await turn.transaction(expired.map(({ AccessorID }) => remove('acl-token', AccessorID)))
      return expired.length
    }, lease)
  }

  private tokenBody(input: Input): Pick<AclToken, 'Description' | 'Roles' | keyof Grants> {
    const { table } = this.options
    return { Description: description(input), ...readGrants(input, table), Roles: readLinks(input, 'Roles', 'acl-role', table) }
  }

  private expiry(input: Input): { ExpirationTime?: string } {
    const ttl = text(input, 'ExpirationTTL')
    const time = text(input, 'ExpirationTime')
    if (ttl !== '' && ttl !== '0s' && time !== '') throw refused('Token Expiration TTL and Expiration Time cannot both be set')
    const ttlMs = ttl === '' ? 0 : durationMsOf(ttl)
    if (!(ttlMs >= 0)) throw refused(`Token Expiration TTL '${ttl}' should be > 0`)
    if (ttlMs === 0 && time === '') return {}
    const now = this.options.nowMs()
    const at = ttlMs > 0 ? now + ttlMs : Date.parse(time)
    if (!Number.isFinite(at)) throw invalid('ExpirationTime: must be a time of RFC 3339')
    if (at - now < MINUTE_MS) throw refused('expiration time cannot be less than 1m0s in the future')
    if (at - now > DAY_MS) throw refused('expiration time cannot be more than 24h0m0s in the future')
    return { ExpirationTime: new Date(at).toISOString() }
  }

  // ---- policies and roles ---------------------------------------------------------------------------------------------------------

  createPolicy(body: unknown): Promise<Indexed<AclPolicy>> {
    return this.options.store.exclusive(async turn => {
      const input = readObject(body, POLICY_FIELDS)
      if (text(input, 'ID') !== '') throw invalid('Cannot specify the ID when creating a new policy')
      const policy: AclPolicy = { ID: randomUUID(), ...this.policyBody(input, undefined) }
      return this.keep(turn, 'acl-policy', policy.ID, policy)
    })
  }

  updatePolicy(id: string, body: unknown): Promise<Indexed<AclPolicy>> {
    return this.options.store.exclusive(async turn => {
      const before = this.there('acl-policy', id)
      refuseBuiltin(id, 'Changing')
      const input = readObject(body, POLICY_FIELDS)
      if (text(input, 'ID', id) !== id && text(input, 'ID') !== '') throw invalid('Policy ID in URL and payload do not match')
      return this.keep(turn, 'acl-policy', id, { ID: id, ...this.policyBody({ ...input, Name: input['Name'] ?? before.Name }, id) })
    })
  }

  async deletePolicy(id: string): Promise<void> {
    refuseBuiltin(id, 'Delete')
    await this.deleteLinked('acl-policy', id)
  }

  private policyBody(input: Input, id: string | undefined): Omit<AclPolicy, 'ID'> {
    const name = text(input, 'Name')
    if (name === '') throw refused('Invalid Policy: no Name is set')
    if (!POLICY_NAME.test(name))
      throw refused("Invalid Policy: invalid Name. Only alphanumeric characters, a single '/', '-' and '_' are allowed")
    const other = this.options.table.byName('acl-policy', name)
    if (other !== undefined && other.ID !== id) throw refused(`Invalid Policy: A Policy with Name "${name}" already exists`)
    const rules = text(input, 'Rules')
    if (rules.length > MAX_RULES_CHARS) throw invalid(`Rules: has ${rules.length} characters, the limit is ${MAX_RULES_CHARS}`)
    const parsed = parseRules(rules)
    if ('problems' in parsed) throw refused(`Failed to parse ACL rules: ${parsed.problems.join('; ')}`)
    const datacenters = texts(input, 'Datacenters')
    return { Name: name, Description: description(input), Rules: rules, ...(datacenters.length > 0 ? { Datacenters: datacenters } : {}) }
  }

  createRole(body: unknown): Promise<Indexed<AclRole>> {
    return this.options.store.exclusive(async turn => {
      const input = readObject(body, ROLE_FIELDS)
      if (text(input, 'ID') !== '') throw invalid('Cannot specify the ID when creating a new role')
      const role: AclRole = { ID: randomUUID(), ...this.roleBody(input, undefined) }
      return this.keep(turn, 'acl-role', role.ID, role)
    })
  }

  updateRole(id: string, body: unknown): Promise<Indexed<AclRole>> {
    return this.options.store.exclusive(async turn => {
      const before = this.there('acl-role', id)
      const input = readObject(body, ROLE_FIELDS)
      if (text(input, 'ID', id) !== id && text(input, 'ID') !== '') throw invalid('Role ID in URL and payload do not match')
      return this.keep(turn, 'acl-role', id, { ID: id, ...this.roleBody({ ...input, Name: input['Name'] ?? before.Name }, id) })
    })
  }

  deleteRole(id: string): Promise<void> {
    return this.deleteLinked('acl-role', id)
  }

  private roleBody(input: Input, id: string | undefined): Omit<AclRole, 'ID'> {
    const { table } = this.options
    const name = text(input, 'Name')
    if (name === '') throw refused('Invalid Role: no Name is set')
    if (!ROLE_NAME.test(name)) throw refused("Invalid Role: invalid Name. Only alphanumeric characters, '-' and '_' are allowed")
    const other = table.byName('acl-role', name)
    if (other !== undefined && other.ID !== id) throw refused(`Invalid Role: A Role with Name "${name}" already exists`)
    return { Name: name, Description: description(input), ...readGrants(input, table) }
  }

  /** The object and every link to it, in one transaction. */
  private deleteLinked(collection: 'acl-policy' | 'acl-role', id: string): Promise<void> {
    return this.options.store.exclusive(async turn => {
      const { table } = this.options
      if (table.get(collection, id) === undefined) return
      const field = collection === 'acl-policy' ? 'Policies' : 'Roles'
      const writes: StoreWrite[] = [remove(collection, id)]
      const unlink = (from: AclCollection, key: string, value: Indexed<Partial<AclToken & AclRole>>): void => {
        const links = value[field as 'Policies'] ?? []
        if (!links.some(link => link.ID === id)) return
        const { CreateIndex: _created, ModifyIndex: _modified, ...kept } = value
        writes.push(put(from, key, { ...kept, [field]: links.filter(link => link.ID !== id) }))
      }
      for (const token of table.list('acl-token')) unlink('acl-token', token.AccessorID, token)
      if (collection === 'acl-policy') for (const role of table.list('acl-role')) unlink('acl-role', role.ID, role)
      await turn.transaction(writes)
    })
  }

  // ---- auth methods and binding rules -----------------------------------------------------------------------------------------------

  putMethod(name: string | undefined, body: unknown): Promise<Indexed<AuthMethod>> {
    return this.options.store.exclusive(async turn => {
      const { table, methodProblem } = this.options
      const input = readObject(body, METHOD_FIELDS)
      const own = text(input, 'Name', name ?? '')
      if (name !== undefined && own !== name) throw invalid('Cannot change the name of an auth method')
      if (!METHOD_NAME.test(own)) throw refused("Invalid Auth Method: invalid Name. Only alphanumeric characters, '-' and '_' are allowed")
      // Both verbs write, whether it is there or not, as in Consul: installers create theirs at every start.
      const before = table.get('acl-auth-method', own)
      const type = text(input, 'Type', before?.Type ?? '')
      if (before !== undefined && type !== before.Type)
        throw refused(`Changing an auth method's type from "${before.Type}" to "${type}" is not permitted.`)
      const config = input['Config'] ?? {}
      if (typeof config !== 'object' || config === null || Array.isArray(config)) throw invalid('Config: must be an object')
      const problem = methodProblem(type, config as Readonly<Record<string, unknown>>)
      if (problem !== null) throw refused(`Invalid Auth Method: ${problem}`)
      const locality = text(input, 'TokenLocality')
      if (locality !== '' && locality !== 'local' && locality !== 'global')
        throw refused(`Invalid Auth Method: TokenLocality "${locality}" must be "local" or "global"`)
      const method: AuthMethod = {
        Name: own,
        Type: type,
        DisplayName: text(input, 'DisplayName'),
        Description: description(input),
        MaxTokenTTL: ttlOf(input),
        TokenLocality: locality,
        Config: config as Readonly<Record<string, unknown>>,
      }
      return this.keep(turn, 'acl-auth-method', own, method)
    })
  }

  /** With its binding rules and the tokens that came from it. */
  deleteMethod(name: string): Promise<void> {
    return this.options.store.exclusive(async turn => {
      const { table } = this.options
      if (table.get('acl-auth-method', name) === undefined) return
      const rules = table.list('acl-binding-rule').filter(({ AuthMethod: method }) => method === name)
      const tokens = table.list('acl-token').filter(({ AuthMethod: method }) => method === name)
      await turn.transaction([
        remove('acl-auth-method', name),
        ...rules.map(({ ID }) => remove('acl-binding-rule', ID)),
        ...tokens.map(({ AccessorID }) => remove('acl-token', AccessorID)),
      ])
    })
  }

  putBindingRule(id: string | undefined, body: unknown): Promise<Indexed<BindingRule>> {
    return this.options.store.exclusive(async turn => {
      const { table, selectorProblem } = this.options
      const before = id === undefined ? undefined : this.there('acl-binding-rule', id)
      const input = readObject(body, BINDING_FIELDS)
      if (id === undefined && text(input, 'ID') !== '') throw invalid('Cannot specify the ID when creating a new binding rule')
      const methodName = text(input, 'AuthMethod', before?.AuthMethod ?? '')
      if (before !== undefined && methodName !== before.AuthMethod) throw refused('the AuthMethod field of a Binding Rule is immutable')
      const method = table.get('acl-auth-method', methodName)
      if (method === undefined) throw refused(`cannot find auth method with name "${methodName}"`)
      const selector = text(input, 'Selector')
      const problem = selector === '' ? null : selectorProblem(method.Type, selector)
      if (problem !== null) throw refused(`invalid Binding Rule: Selector is invalid: ${problem}`)
      const bindType = text(input, 'BindType')
      if (!(BIND_TYPES as readonly string[]).includes(bindType)) throw refused(`Invalid Binding Rule: unknown BindType "${bindType}"`)
      const bindName = text(input, 'BindName')
      if (bindName === '') throw refused('Invalid Binding Rule: no BindName is set')
      const variables =
        input['BindVars'] === undefined || input['BindVars'] === null ? '' : text(readObject(input['BindVars'], ['Name']), 'Name')
      const rule: BindingRule = {
        ID: id ?? randomUUID(),
        Description: description(input),
        AuthMethod: methodName,
        Selector: selector,
        BindType: bindType as BindType,
        BindName: bindName,
        ...(variables === '' ? {} : { BindVars: { Name: variables } }),
      }
      return this.keep(turn, 'acl-binding-rule', rule.ID, rule)
    })
  }

  deleteBindingRule(id: string): Promise<void> {
    return this.options.store.exclusive(async turn => {
      if (this.options.table.get('acl-binding-rule', id) !== undefined) await turn.transaction([remove('acl-binding-rule', id)])
    })
  }

  // ---- shared -------------------------------------------------------------------------------------------------------------------

  private async keep<C extends AclCollection>(
    turn: Turn,
    collection: C,
    key: string,
    value: object,
  ): Promise<NonNullable<ReturnType<AclTable['get']>> & never> {
    const { table } = this.options
    if (table.get(collection, key) === undefined && table.size(collection) >= MAX_ACL_OBJECTS)
      throw new AclError(500, `there are ${MAX_ACL_OBJECTS} already, which is the limit`)
    await turn.transaction([put(collection, key, value)])
    return table.get(collection, key) as never
  }

  private there<C extends AclCollection>(collection: C, key: string): NonNullable<ReturnType<typeof this.options.table.get<C>>> {
    const value = this.options.table.get(collection, key)
    if (value === undefined) throw refused(`cannot find ${NOUNS[collection]} ${key}`)
    return value as never
  }

  private now(): string {
    return new Date(this.options.nowMs()).toISOString()
  }
}

const NO_GRANTS: Grants = { Policies: [], ServiceIdentities: [], NodeIdentities: [], TemplatedPolicies: [] }
const TOKEN_FIELDS = [
  'AccessorID',
  'SecretID',
  'Description',
  'Roles',
  'Local',
  'AuthMethod',
  'ExpirationTime',
  'ExpirationTTL',
  ...GRANT_FIELDS,
]
const POLICY_FIELDS = ['ID', 'Name', 'Description', 'Rules', 'Datacenters']
const ROLE_FIELDS = ['ID', 'Name', 'Description', ...GRANT_FIELDS]
const METHOD_FIELDS = ['Name', 'Type', 'DisplayName', 'Description', 'MaxTokenTTL', 'TokenLocality', 'Config']
const BINDING_FIELDS = ['ID', 'Description', 'AuthMethod', 'Selector', 'BindType', 'BindName', 'BindVars']
const NOUNS: Readonly<Record<AclCollection, string>> = {
  'acl-token': 'token',
  'acl-policy': 'policy',
  'acl-role': 'role',
  'acl-auth-method': 'auth method',
  'acl-binding-rule': 'binding rule',
}

function description(input: Input): string {
  const value = text(input, 'Description')
  if (value.length > MAX_DESCRIPTION_CHARS)
    throw invalid(`Description: has ${value.length} characters, the limit is ${MAX_DESCRIPTION_CHARS}`)
  return value
}

function refuseBuiltin(id: string, what: 'Changing' | 'Delete'): void {
  const builtin = BUILTIN_POLICIES.find(({ ID }) => ID === id)
  if (builtin === undefined) return
  throw refused(
    what === 'Delete'
      ? `Delete operation not permitted on the builtin ${builtin.Name} policy`
      : `Changing the builtin ${builtin.Name} policy is not permitted`,
  )
}

function ttlOf(input: Input): string {
  const value = input['MaxTokenTTL']
  const ns = value === undefined || value === null || value === '' ? 0 : typeof value === 'number' ? value : parseDuration(String(value))
  if (ns === undefined || ns < 0) throw invalid('MaxTokenTTL: must be a duration such as "1h"')
  if (ns !== 0 && (ns < MINUTE_MS * 1e6 || ns > DAY_MS * 1e6))
    throw refused(`MaxTokenTTL ${formatDuration(ns)} must be between 1m0s and 24h0m0s`)
  return formatDuration(ns)
}

function durationMsOf(value: string): number {
  return (parseDuration(value) ?? Number.NaN) / 1e6
}
