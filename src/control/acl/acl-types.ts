// What the ACL system keeps, in Consul's JSON form: tokens, policies, roles, auth methods and binding rules. Types and the ids that are
// fixed; read by everything in acl/ and by http-api/acl.ts. Times are RFC 3339 text, lengths of time Consul's (`1h30m`).

export interface PolicyLink {
  readonly ID: string
  readonly Name: string
}

export interface ServiceIdentity {
  readonly ServiceName: string
  readonly Datacenters?: readonly string[]
}

export interface NodeIdentity {
  readonly NodeName: string
  readonly Datacenter: string
}

export interface TemplatedPolicy {
  readonly TemplateName: string
  readonly TemplateVariables?: { readonly Name?: string }
  readonly Datacenters?: readonly string[]
}

/** What tokens and roles alike are given. */
export interface Grants {
  readonly Policies: readonly PolicyLink[]
  readonly ServiceIdentities: readonly ServiceIdentity[]
  readonly NodeIdentities: readonly NodeIdentity[]
  readonly TemplatedPolicies: readonly TemplatedPolicy[]
}

export interface AclPolicy {
  readonly ID: string
  readonly Name: string
  readonly Description: string
  readonly Rules: string
  readonly Datacenters?: readonly string[]
}

export interface AclRole extends Grants {
  readonly ID: string
  readonly Name: string
  readonly Description: string
}

export interface AclToken extends Grants {
  readonly AccessorID: string
  readonly SecretID: string
  readonly Description: string
  readonly Roles: readonly PolicyLink[]
  readonly Local: boolean
  /** Of tokens made by a login. */
  readonly AuthMethod?: string
  readonly CreateTime: string
  readonly ExpirationTime?: string
}

export interface AuthMethod {
  readonly Name: string
  readonly Type: string
  readonly DisplayName: string
  readonly Description: string
  readonly MaxTokenTTL: string
  readonly TokenLocality: '' | 'local' | 'global'
  readonly Config: Readonly<Record<string, unknown>>
}

export const BIND_TYPES = ['service', 'role', 'node', 'policy', 'templated-policy'] as const
export type BindType = (typeof BIND_TYPES)[number]

export interface BindingRule {
  readonly ID: string
  readonly Description: string
  readonly AuthMethod: string
  readonly Selector: string
  readonly BindType: BindType
  readonly BindName: string
  readonly BindVars?: { readonly Name?: string }
}

/** With what the store knows of it, as clients see it. */
export type Indexed<T> = T & { readonly CreateIndex: number; readonly ModifyIndex: number }

export const GLOBAL_MANAGEMENT_ID = '00000000-0000-0000-0000-000000000001'
export const GLOBAL_READ_ONLY_ID = '00000000-0000-0000-0000-000000000002'
export const ANONYMOUS_ACCESSOR_ID = '00000000-0000-0000-0000-000000000002'
export const ANONYMOUS_SECRET_ID = 'anonymous'

const READ_ALL = ['agent', 'event', 'key', 'node', 'query', 'service', 'session'].map(name => `${name}_prefix "" {\n\tpolicy = "read"\n}`)
const WRITE_ALL = READ_ALL.map(rule => rule.replace('"read"', '"write"'))
const singles = (access: string): string =>
  ['acl', 'keyring', 'operator', 'mesh', 'peering'].map(name => `${name} = "${access}"`).join('\n')

/** Policies that are there from the start and cannot be changed or deleted. */
export const BUILTIN_POLICIES: readonly AclPolicy[] = [
  {
    ID: GLOBAL_MANAGEMENT_ID,
    Name: 'global-management',
    Description: 'Builtin Policy that grants unlimited access',
    Rules: `${singles('write')}\n${WRITE_ALL.join('\n').replace(/service_prefix "" \{\n\tpolicy = "write"/, '$&\n\tintentions = "write"')}`,
  },
  {
    ID: GLOBAL_READ_ONLY_ID,
    Name: 'builtin/global-read-only',
    Description: 'Builtin Policy that grants unlimited read-only access to all components',
    Rules: `${singles('read')}\n${READ_ALL.join('\n')}`,
  },
]
