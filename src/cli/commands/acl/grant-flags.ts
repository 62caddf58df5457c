// The flags by which tokens and roles are given rights, in Consul's form. Used by acl-token.ts and acl-policy.ts.
import type { Command } from 'commander'
import { collect, keyValues } from '../../command-line/collect.js'
import { CliError, type CommandIo } from '../../command-line/command-io.js'
import { readObjects } from '../documents.js'

export interface GrantFlags {
  readonly policyId?: readonly string[]
  readonly policyName?: readonly string[]
  readonly serviceIdentity?: readonly string[]
  readonly nodeIdentity?: readonly string[]
  readonly templatedPolicy?: string
  readonly templatedPolicyFile?: string
  readonly var?: readonly string[]
}

export interface GrantFields {
  readonly Policies?: readonly object[]
  readonly ServiceIdentities?: readonly object[]
  readonly NodeIdentities?: readonly object[]
  readonly TemplatedPolicies?: readonly object[]
}

export function grantOptions(command: Command): Command {
  return command
    .option('--policy-id <id>', 'ID of a policy; may be given several times', collect)
    .option('--policy-name <name>', 'name of a policy; may be given several times', collect)
    .option('--service-identity <name[:dc,…]>', 'the rights of a service; may be given several times', collect)
    .option('--node-identity <node:dc>', 'the rights of a node; may be given several times', collect)
    .option('--templated-policy <name>', 'rights by a template, with --var')
    .option('--templated-policy-file <file>', 'templates and their variables (HCL, JSON)')
    .option('--var <name:value>', 'variable of --templated-policy; may be given several times', collect)
}

/** Only the fields that flags speak of. */
export function grantFields(flags: GrantFlags, io: CommandIo): GrantFields {
  const policies = [...(flags.policyId ?? []).map(ID => ({ ID })), ...(flags.policyName ?? []).map(Name => ({ Name }))]
  const templates = templatedPolicies(flags, io)
  return {
    ...(policies.length === 0 ? {} : { Policies: policies }),
    ...(flags.serviceIdentity === undefined ? {} : { ServiceIdentities: flags.serviceIdentity.map(serviceIdentity) }),
    ...(flags.nodeIdentity === undefined ? {} : { NodeIdentities: flags.nodeIdentity.map(nodeIdentity) }),
    ...(templates.length === 0 ? {} : { TemplatedPolicies: templates }),
  }
}

function serviceIdentity(text: string): object {
  const [ServiceName, datacenters] = text.split(':')
  if (ServiceName === '' || text.split(':').length > 2) throw new CliError(`--service-identity "${text}": must be name or name:dc,dc`)
  return { ServiceName, ...(datacenters === undefined ? {} : { Datacenters: datacenters.split(',') }) }
}

function nodeIdentity(text: string): object {
  const [NodeName, Datacenter, ...more] = text.split(':')
  if (!NodeName || !Datacenter || more.length > 0) throw new CliError(`--node-identity "${text}": must be node:datacenter`)
  return { NodeName, Datacenter }
}

function templatedPolicies({ templatedPolicy, templatedPolicyFile, var: variables }: GrantFlags, io: CommandIo): object[] {
  if (templatedPolicy === undefined && variables !== undefined) throw new CliError('--var needs --templated-policy')
  if (templatedPolicy !== undefined && templatedPolicyFile !== undefined)
    throw new CliError('--templated-policy and --templated-policy-file exclude each other')
  if (templatedPolicyFile !== undefined) return fromFile(templatedPolicyFile, io)
  if (templatedPolicy === undefined) return []
  const { name } = Object.fromEntries(
    Object.entries(keyValues(variables ?? [], '--var', ':')).map(([key, value]) => [key.toLowerCase(), value]),
  )
  return [{ TemplateName: templatedPolicy, ...(name === undefined ? {} : { TemplateVariables: { Name: name } }) }]
}

/** `TemplatedPolicies { "builtin/service" { TemplateVariables { Name = "api" } } }` or the same in JSON. */
function fromFile(file: string, io: CommandIo): object[] {
  return readObjects(io.readText(file), file).flatMap(({ label, value }) => {
    const templates = value['TemplatedPolicies'] ?? value['templatedPolicies'] ?? value['templated_policies']
    if (typeof templates !== 'object' || templates === null) throw new CliError(`${label}: TemplatedPolicies: missing`)
    return Object.entries(templates).map(([TemplateName, given]): object => {
      const { TemplateVariables, Datacenters } = given as { TemplateVariables?: object; Datacenters?: unknown }
      return {
        TemplateName,
        ...(TemplateVariables === undefined ? {} : { TemplateVariables }),
        ...(Datacenters === undefined ? {} : { Datacenters }),
      }
    })
  })
}

/** `before` and `added` as one list, each thing once. */
export function mergedGrants(before: GrantFields, added: GrantFields): GrantFields {
  const join = (a: readonly object[] = [], b: readonly object[] = []): readonly object[] => [
    ...new Map([...a, ...b].map(each => [JSON.stringify(each), each])).values(),
  ]
  return {
    Policies: join(before.Policies, added.Policies),
    ServiceIdentities: join(before.ServiceIdentities, added.ServiceIdentities),
    NodeIdentities: join(before.NodeIdentities, added.NodeIdentities),
    TemplatedPolicies: join(before.TemplatedPolicies, added.TemplatedPolicies),
  }
}
