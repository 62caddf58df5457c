// Login and logout: a bearer token is shown to an auth method, who it is decides by the binding rules what an ACL token of limited life may
// do. Called by http-api/acl.ts and the dataplane API. Invariant: no binding rule that matches, no token.
import { AclError } from './acl-error.js'
import { readObject, text } from './acl-input.js'
import type { AclTable } from './acl-table.js'
import type { AclToken, AuthMethod, Grants, Indexed, PolicyLink } from './acl-types.js'
import type { AclWrites } from './acl-writes.js'
import type { IdentityVerifier, VerifiedIdentity } from './auth-methods.js'
import { selects } from './binding-selector.js'
import { identityProblem } from './templated-policies.js'

export interface LoginOptions {
  readonly table: AclTable
  readonly writes: AclWrites
  readonly verifier: IdentityVerifier
  readonly datacenter: string
}

type LoginGrants = Grants & { readonly Roles: readonly PolicyLink[] }

/** Each asks a cluster or a key server, and verifies a signature: a storm of them must leave room for everything else. */
const MAX_UNDER_WAY = 128
/** `${…}` of a bind name. */
const VARIABLE = /\$\{([^}]*)\}/g

export class Login {
  private readonly options: LoginOptions
  private underWay = 0

  constructor(options: LoginOptions) {
    this.options = options
  }

  /** `body`: `{AuthMethod, BearerToken, Meta}`. */
  async login(body: unknown): Promise<Indexed<AclToken>> {
    const input = readObject(body, ['AuthMethod', 'BearerToken', 'Meta'])
    const name = text(input, 'AuthMethod')
    if (name === '') throw new AclError(400, 'AuthMethod is missing')
    const bearerToken = text(input, 'BearerToken')
    if (bearerToken === '') throw new AclError(400, 'BearerToken is missing')
    const { table, writes, verifier } = this.options
    const method = table.get('acl-auth-method', name)
    if (method === undefined) throw new AclError(403, `auth method "${name}" not found: ACL not found`)
    const identity = await this.bounded(() => verifier.verify(method, bearerToken))
    const grants = this.bind(method, identity)
    const meta = input['Meta']
    return writes.loginToken(grants, method, `token created via login${meta ? `: ${JSON.stringify(meta)}` : ''}`)
  }

  private async bounded<T>(verify: () => Promise<T>): Promise<T> {
    if (this.underWay >= MAX_UNDER_WAY) throw new AclError(429, `too many logins under way (limit ${MAX_UNDER_WAY})`)
    this.underWay++
    try {
      return await verify()
    } finally {
      this.underWay--
    }
  }

  /** Deletes the token that the request showed; only tokens of a login can be logged out. */
  async logout(token: AclToken | undefined): Promise<void> {
    if (token === undefined) throw new AclError(403, 'ACL not found')
    if (token.AuthMethod === undefined) throw new AclError(403, 'Permission denied: token was not created via login')
    await this.options.writes.deleteToken(token.AccessorID)
  }

  private bind(method: AuthMethod, identity: VerifiedIdentity): LoginGrants {
    const policies = new Map<string, PolicyLink>()
    const roles = new Map<string, PolicyLink>()
    const serviceIdentities: Grants['ServiceIdentities'][number][] = []
    const nodeIdentities: Grants['NodeIdentities'][number][] = []
    const templatedPolicies: Grants['TemplatedPolicies'][number][] = []
    const { table, datacenter } = this.options
    for (const rule of table.list('acl-binding-rule')) {
      if (rule.AuthMethod !== method.Name) continue
      if (rule.Selector !== '' && !selects(method.Type, rule.Selector, identity)) continue
      const name = interpolated(rule.BindName, identity)
      switch (rule.BindType) {
        case 'service':
          serviceIdentities.push(usable({ ServiceName: name }))
          break
        case 'node':
          nodeIdentities.push(usable({ NodeName: name, Datacenter: datacenter }))
          break
        case 'templated-policy': {
          const variable = interpolated(rule.BindVars?.Name ?? '', identity)
          templatedPolicies.push(usable({ TemplateName: name, ...(variable === '' ? {} : { TemplateVariables: { Name: variable } }) }))
          break
        }
        case 'policy': {
          const policy = table.byName('acl-policy', name)
          if (policy !== undefined) policies.set(policy.ID, { ID: policy.ID, Name: policy.Name })
          break
        }
        case 'role': {
          // A role that is not there grants nothing, and is no error: rules may come before roles.
          const role = table.byName('acl-role', name)
          if (role !== undefined) roles.set(role.ID, { ID: role.ID, Name: role.Name })
        }
      }
    }
    if (serviceIdentities.length + nodeIdentities.length + templatedPolicies.length + policies.size + roles.size === 0)
      throw new AclError(403, 'Permission denied')
    return {
      Policies: [...policies.values()],
      Roles: [...roles.values()],
      ServiceIdentities: serviceIdentities,
      NodeIdentities: nodeIdentities,
      TemplatedPolicies: templatedPolicies,
    }
  }
}

function interpolated(template: string, identity: VerifiedIdentity): string {
  return template.replace(VARIABLE, (_whole, name: string) => {
    const value = identity.get(name.trim())
    if (typeof value !== 'string')
      throw new AclError(403, `cannot compute bind name for bind target: ${name.trim()} is not known of this identity`)
    return value
  })
}

function usable<T extends Parameters<typeof identityProblem>[0]>(identity: T): T {
  const problem = identityProblem(identity)
  if (problem !== null) throw new AclError(403, `Permission denied: ${problem}`)
  return identity
}
