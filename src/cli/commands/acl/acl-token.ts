// `outrigger acl token create|clone|read|list|update|delete`. Declared by acl.ts.
import type { Command } from 'commander'
import { remote } from '../../command-line/api-flags.js'
import { collect } from '../../command-line/collect.js'
import { CliError, type CommandIo } from '../../command-line/command-io.js'
import type { ControlApi } from '../../command-line/control-api.js'
import { FORMAT_OPTION, printAs } from '../../command-line/print.js'
import { type Token, tokenText } from './acl-shapes.js'
import { findId } from './find-id.js'
import { type GrantFields, type GrantFlags, grantFields, grantOptions, mergedGrants } from './grant-flags.js'

interface TokenFlags extends GrantFlags {
  readonly format?: string
  readonly accessor?: string
  readonly secret?: string
  readonly description?: string
  readonly roleId?: readonly string[]
  readonly roleName?: readonly string[]
  readonly expiresTtl?: string
  readonly local?: boolean
}

export function addToken(acl: Command, io: CommandIo): void {
  const token = acl.command('token').description('tokens')
  const print = (format: string | undefined, value: Token): void => printAs(format, value, () => tokenText(value), io)

  const create = grantOptions(token.command('create').description('create a token'))
    .option('--accessor <id>', 'its accessor ID (default: a new one)')
    .option('--secret <id>', 'its secret ID (default: a new one)')
    .option('--description <text>', 'note of your own')
    .option('--role-id <id>', 'ID of a role; may be given several times', collect)
    .option('--role-name <name>', 'name of a role; may be given several times', collect)
    .option('--expires-ttl <duration>', 'how long it is valid')
    .option('--local', 'for this datacenter only')
    .option(...FORMAT_OPTION)
  remote(create, io, async (api, flags: TokenFlags) => {
    const grants = { ...grantFields(flags, io), ...roles(flags) }
    if (Object.keys(grants).length === 0) throw new CliError('a token needs a policy, role, identity or templated policy')
    const { accessor, secret, expiresTtl, local, description = '' } = flags
    const body = {
      ...grants,
      Description: description,
      ...(accessor === undefined ? {} : { AccessorID: accessor }),
      ...(secret === undefined ? {} : { SecretID: secret }),
      ...(expiresTtl === undefined ? {} : { ExpirationTTL: expiresTtl }),
      ...(local === true ? { Local: true } : {}),
    }
    print(flags.format, await api.putJson<Token>('/v1/acl/token', body))
  })

  const clone = token
    .command('clone')
    .description('create a token with the rights of another')
    .requiredOption('--accessor-id <id>', 'accessor ID of the other, or its beginning')
    .option('--description <text>', 'note of your own (default: that of the other)')
    .option(...FORMAT_OPTION)
  remote(clone, io, async (api, { accessorId, description, format }: { accessorId: string; description?: string; format?: string }) => {
    const id = await findAccessor(accessorId, api)
    const body = description === undefined ? {} : { Description: description }
    print(format, await api.putJson<Token>(`/v1/acl/token/${id}/clone`, body))
  })

  const read = token
    .command('read')
    .description('show a token')
    .option('--accessor-id <id>', 'its accessor ID, or the beginning of it')
    .option('--id <id>', 'the same, as older versions have it')
    .option('--self', 'the token that asks')
    .option('--expanded', 'with the policies behind its rights')
    .option(...FORMAT_OPTION)
  remote(read, io, async (api, flags: { accessorId?: string; id?: string; self?: boolean; expanded?: boolean; format?: string }) => {
    const given = flags.accessorId ?? flags.id
    if ((given === undefined) === (flags.self !== true)) throw new CliError('one of --accessor-id and --self is needed')
    const path = given === undefined ? '/v1/acl/token/self' : `/v1/acl/token/${await findAccessor(given, api)}`
    print(flags.format, await api.getJson<Token>(`${path}${flags.expanded === true ? '?expanded=true' : ''}`))
  })

  const list = token
    .command('list')
    .description('all tokens')
    .option(...FORMAT_OPTION)
  remote(list, io, async (api, { format }: { format?: string }) => {
    const tokens = await api.getJson<Token[]>('/v1/acl/tokens')
    printAs(format, tokens, () => tokens.map(tokenText).join('\n'), io)
  })

  const update = grantOptions(token.command('update').description('change a token'))
    .option('--accessor-id <id>', 'its accessor ID, or the beginning of it')
    .option('--id <id>', 'the same, as older versions have it')
    .option('--description <text>', 'note of your own')
    .option('--role-id <id>', 'ID of a role; may be given several times', collect)
    .option('--role-name <name>', 'name of a role; may be given several times', collect)
    .option('--append-policy-id <id>', 'a policy besides those it has', collect)
    .option('--append-policy-name <name>', 'a policy besides those it has', collect)
    .option('--append-role-id <id>', 'a role besides those it has', collect)
    .option('--append-role-name <name>', 'a role besides those it has', collect)
    .option('--append-service-identity <name[:dc,…]>', 'besides those it has', collect)
    .option('--append-node-identity <node:dc>', 'besides those it has', collect)
    .option('--append-templated-policy <name>', 'besides those it has')
    .option('--merge-policies', 'what flags name comes to the policies it has')
    .option('--merge-roles', 'what flags name comes to the roles it has')
    .option('--merge-service-identities', 'what flags name comes to those it has')
    .option('--merge-node-identities', 'what flags name comes to those it has')
    .option(...FORMAT_OPTION)
  remote(update, io, (api, flags: UpdateFlags) => updateToken(flags, api, io).then(value => print(flags.format, value)))

  const remove = token
    .command('delete')
    .description('delete a token')
    .option('--accessor-id <id>', 'its accessor ID, or the beginning of it')
    .option('--id <id>', 'the same, as older versions have it')
  remote(remove, io, async (api, { accessorId, id: older }: { accessorId?: string; id?: string }) => {
    const id = await findAccessor(needed(accessorId ?? older), api)
    await api.delete(`/v1/acl/token/${id}`)
    io.out(`Token "${id}" deleted successfully\n`)
  })
}

interface UpdateFlags extends TokenFlags {
  readonly accessorId?: string
  readonly id?: string
  readonly appendPolicyId?: readonly string[]
  readonly appendPolicyName?: readonly string[]
  readonly appendRoleId?: readonly string[]
  readonly appendRoleName?: readonly string[]
  readonly appendServiceIdentity?: readonly string[]
  readonly appendNodeIdentity?: readonly string[]
  readonly appendTemplatedPolicy?: string
  readonly mergePolicies?: boolean
  readonly mergeRoles?: boolean
  readonly mergeServiceIdentities?: boolean
  readonly mergeNodeIdentities?: boolean
}

/** What flags name stands in place of what was there; what they append, or merge, besides it; the rest stays. */
async function updateToken(flags: UpdateFlags, api: ControlApi, io: CommandIo): Promise<Token> {
  const id = await findAccessor(needed(flags.accessorId ?? flags.id), api)
  const before = await api.getJson<Token>(`/v1/acl/token/${id}`)
  const named = { ...grantFields(flags, io), ...roles(flags) }
  const appended = {
    ...grantFields(
      {
        ...(flags.appendPolicyId === undefined ? {} : { policyId: flags.appendPolicyId }),
        ...(flags.appendPolicyName === undefined ? {} : { policyName: flags.appendPolicyName }),
        ...(flags.appendServiceIdentity === undefined ? {} : { serviceIdentity: flags.appendServiceIdentity }),
        ...(flags.appendNodeIdentity === undefined ? {} : { nodeIdentity: flags.appendNodeIdentity }),
        ...(flags.appendTemplatedPolicy === undefined ? {} : { templatedPolicy: flags.appendTemplatedPolicy }),
      },
      io,
    ),
    ...roles({
      ...(flags.appendRoleId === undefined ? {} : { roleId: flags.appendRoleId }),
      ...(flags.appendRoleName === undefined ? {} : { roleName: flags.appendRoleName }),
    }),
  }
  const base = {
    Policies: named.Policies === undefined || flags.mergePolicies === true ? (before.Policies ?? []) : [],
    ServiceIdentities:
      named.ServiceIdentities === undefined || flags.mergeServiceIdentities === true ? (before.ServiceIdentities ?? []) : [],
    NodeIdentities: named.NodeIdentities === undefined || flags.mergeNodeIdentities === true ? (before.NodeIdentities ?? []) : [],
    TemplatedPolicies: named.TemplatedPolicies === undefined ? (before.TemplatedPolicies ?? []) : [],
  }
  const keptRoles = named.Roles === undefined || flags.mergeRoles === true ? (before.Roles ?? []) : []
  return api.putJson<Token>(`/v1/acl/token/${id}`, {
    AccessorID: id,
    Description: flags.description ?? before.Description,
    Local: before.Local,
    ...mergedGrants(mergedGrants(base, named), appended),
    Roles: [...keptRoles, ...(named.Roles ?? []), ...(appended.Roles ?? [])],
  })
}

function roles({ roleId, roleName }: Pick<TokenFlags, 'roleId' | 'roleName'>): GrantFields & { readonly Roles?: readonly object[] } {
  const links = [...(roleId ?? []).map(ID => ({ ID })), ...(roleName ?? []).map(Name => ({ Name }))]
  return links.length === 0 ? {} : { Roles: links }
}

function needed(id: string | undefined): string {
  if (id === undefined) throw new CliError('--accessor-id is needed')
  return id
}

function findAccessor(given: string, api: ControlApi): Promise<string> {
  return findId(given, '/v1/acl/tokens', 'AccessorID', api)
}
