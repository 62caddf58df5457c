// `outrigger acl policy …` and `acl role …`: create, read, list, update, delete. Declared by acl.ts.
import type { Command } from 'commander'
import { remote } from '../../command-line/api-flags.js'
import { collect } from '../../command-line/collect.js'
import { CliError, type CommandIo } from '../../command-line/command-io.js'
import type { ControlApi } from '../../command-line/control-api.js'
import { FORMAT_OPTION, printAs } from '../../command-line/print.js'
import { type Policy, policyText, type Role, roleText } from './acl-shapes.js'
import { findId } from './find-id.js'
import { type GrantFlags, grantFields, grantOptions, mergedGrants } from './grant-flags.js'

interface Named {
  readonly id?: string
  readonly name?: string
}

interface PolicyFlags extends Named {
  readonly description?: string
  readonly rules?: string
  readonly validDatacenter?: readonly string[]
  readonly merge?: boolean
  readonly format?: string
}

export function addPolicy(acl: Command, io: CommandIo): void {
  const policy = acl.command('policy').description('policies: named sets of rules')
  const print = (format: string | undefined, value: Policy): void => printAs(format, value, () => policyText(value), io)
  const rulesOf = (given: string): string =>
    given === '-' ? io.readText('-') : given.startsWith('@') ? io.readText(given.slice(1)) : given
  const contentOptions = (command: Command): Command =>
    command
      .option('--description <text>', 'note of your own')
      .option('--rules <rules>', 'the rules (HCL or JSON), @file, or - for standard input')
      .option('--valid-datacenter <name>', 'datacenter that it holds in (default: all); may be given several times', collect)
      .option(...FORMAT_OPTION)

  const create = contentOptions(policy.command('create').description('create a policy').requiredOption('--name <name>', 'its name'))
  remote(create, io, async (api, flags: PolicyFlags) => {
    const body = {
      Name: flags.name,
      Description: flags.description ?? '',
      Rules: flags.rules === undefined ? '' : rulesOf(flags.rules),
      ...(flags.validDatacenter === undefined ? {} : { Datacenters: flags.validDatacenter }),
    }
    print(flags.format, await api.putJson<Policy>('/v1/acl/policy', body))
  })
  const update = contentOptions(
    policy
      .command('update')
      .description('change a policy')
      .option('--id <id>', 'its ID, or the beginning of it')
      .option('--name <name>', 'its name; with --id: its new name')
      .option('--no-merge', 'what no flag names is emptied'),
  )
  remote(update, io, async (api, flags: PolicyFlags) => {
    const id = await idOf('policy', 'policies', flags.id === undefined ? flags : { id: flags.id }, api)
    const before = await api.getJson<Policy>(`/v1/acl/policy/${id}`)
    const kept = flags.merge !== false
    const body = {
      ID: id,
      Name: flags.name ?? before.Name,
      Description: flags.description ?? (kept ? before.Description : ''),
      Rules: flags.rules === undefined ? (kept ? before.Rules : '') : rulesOf(flags.rules),
      Datacenters: flags.validDatacenter ?? (kept ? (before.Datacenters ?? []) : []),
    }
    print(flags.format, await api.putJson<Policy>(`/v1/acl/policy/${id}`, body))
  })
  addCommon<Policy>(policy, { noun: 'policy', plural: 'policies', title: 'Policy', text: policyText }, io)
}

interface RoleFlags extends GrantFlags, Named {
  readonly description?: string
  readonly merge?: boolean
  readonly format?: string
}

export function addRole(acl: Command, io: CommandIo): void {
  const role = acl.command('role').description('roles: rights that several tokens share')
  const print = (format: string | undefined, value: Role): void => printAs(format, value, () => roleText(value), io)
  const create = grantOptions(role.command('create').description('create a role').requiredOption('--name <name>', 'its name'))
    .option('--description <text>', 'note of your own')
    .option(...FORMAT_OPTION)
  remote(create, io, async (api, flags: RoleFlags) => {
    const grants = grantFields(flags, io)
    if (Object.keys(grants).length === 0) throw new CliError('a role needs a policy, identity or templated policy')
    print(flags.format, await api.putJson<Role>('/v1/acl/role', { Name: flags.name, Description: flags.description ?? '', ...grants }))
  })
  const update = grantOptions(role.command('update').description('change a role: what flags name comes to what it has'))
    .option('--id <id>', 'its ID, or the beginning of it')
    .option('--name <name>', 'its name; with --id: its new name')
    .option('--description <text>', 'note of your own')
    .option('--no-merge', 'what flags name stands in place of what it has')
    .option(...FORMAT_OPTION)
  remote(update, io, async (api, flags: RoleFlags) => {
    const id = await idOf('role', 'roles', flags.id === undefined ? flags : { id: flags.id }, api)
    const before = await api.getJson<Role>(`/v1/acl/role/${id}`)
    const { Policies, ServiceIdentities, NodeIdentities, TemplatedPolicies } = before
    const had = {
      Policies: Policies ?? [],
      ServiceIdentities: ServiceIdentities ?? [],
      NodeIdentities: NodeIdentities ?? [],
      TemplatedPolicies: TemplatedPolicies ?? [],
    }
    const grants = grantFields(flags, io)
    const body = {
      ID: id,
      Name: flags.name ?? before.Name,
      Description: flags.description ?? before.Description,
      ...(flags.merge === false ? grants : mergedGrants(had, grants)),
    }
    print(flags.format, await api.putJson<Role>(`/v1/acl/role/${id}`, body))
  })
  addCommon<Role>(role, { noun: 'role', plural: 'roles', title: 'Role', text: roleText }, io)
}

interface Kind<T> {
  readonly noun: 'policy' | 'role'
  readonly plural: 'policies' | 'roles'
  readonly title: string
  readonly text: (value: T) => string
}

function addCommon<T>(group: Command, { noun, plural, title, text }: Kind<T>, io: CommandIo): void {
  const by = (command: Command): Command =>
    command.option('--id <id>', 'its ID, or the beginning of it').option('--name <name>', 'its name')
  const read = by(group.command('read').description(`show a ${noun}`)).option(...FORMAT_OPTION)
  remote(read, io, async (api, flags: Named & { format?: string }) => {
    const value = await api.getJson<T>(`/v1/acl/${noun}/${await idOf(noun, plural, flags, api)}`)
    printAs(flags.format, value, () => text(value), io)
  })
  const list = group
    .command('list')
    .description(`all ${plural}`)
    .option(...FORMAT_OPTION)
  remote(list, io, async (api, { format }: { format?: string }) => {
    const values = await api.getJson<T[]>(`/v1/acl/${plural}`)
    printAs(format, values, () => values.map(text).join('\n'), io)
  })
  remote(by(group.command('delete').description(`delete a ${noun}`)), io, async (api, flags: Named) => {
    const id = await idOf(noun, plural, flags, api)
    await api.delete(`/v1/acl/${noun}/${id}`)
    io.out(`${title} "${id}" deleted successfully\n`)
  })
}

async function idOf(noun: string, plural: string, { id, name }: Named, api: ControlApi): Promise<string> {
  if ((id === undefined) === (name === undefined)) throw new CliError('one of --id and --name is needed')
  if (id !== undefined) return findId(id, `/v1/acl/${plural}`, 'ID', api)
  return (await api.getJson<{ ID: string }>(`/v1/acl/${noun}/name/${encodeURIComponent(name!)}`)).ID
}
