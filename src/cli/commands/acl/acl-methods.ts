// `outrigger acl auth-method …` and `acl binding-rule …`: how logins are verified, and which rights they get. Declared by acl.ts.
import type { Command } from 'commander'
import { remote } from '../../command-line/api-flags.js'
import { collect, keyValues } from '../../command-line/collect.js'
import { CliError, type CommandIo } from '../../command-line/command-io.js'
import { FORMAT_OPTION, printAs } from '../../command-line/print.js'
import { type AuthMethod, authMethodText, type BindingRule, bindingRuleText } from './acl-shapes.js'
import { findId } from './find-id.js'

interface MethodFlags {
  readonly name: string
  readonly type?: string
  readonly displayName?: string
  readonly description?: string
  readonly maxTokenTtl?: string
  readonly tokenLocality?: string
  readonly config?: string
  readonly kubernetesHost?: string
  readonly kubernetesCaCert?: string
  readonly kubernetesServiceAccountJwt?: string
  readonly merge?: boolean
  readonly format?: string
}

export function addAuthMethod(acl: Command, io: CommandIo): void {
  const method = acl.command('auth-method').description('ways to log in')
  const print = (format: string | undefined, value: AuthMethod): void => printAs(format, value, () => authMethodText(value), io)
  const options = (command: Command): Command =>
    command
      .requiredOption('--name <name>', 'its name')
      .option('--display-name <text>', 'name for people')
      .option('--description <text>', 'note of your own')
      .option('--max-token-ttl <duration>', 'how long tokens of logins are valid')
      .option('--token-locality <locality>', 'local or global')
      .option('--config <json>', 'configuration of the type: JSON, @file, or - for standard input')
      .option('--kubernetes-host <url>', 'of type kubernetes: its API server')
      .option('--kubernetes-ca-cert <pem>', 'of type kubernetes: CA of the API server; PEM, @file, or -')
      .option('--kubernetes-service-account-jwt <jwt>', 'of type kubernetes: token that may review others')
      .option(...FORMAT_OPTION)
  const create = options(
    method.command('create').description('create a way to log in').requiredOption('--type <type>', 'jwt or kubernetes'),
  )
  remote(create, io, async (api, flags: MethodFlags) =>
    print(flags.format, await api.putJson<AuthMethod>('/v1/acl/auth-method', methodBody(flags, { Type: flags.type! }, io))),
  )
  const update = options(
    method.command('update').description('change a way to log in').option('--no-merge', 'what no flag names is emptied'),
  )
  remote(update, io, async (api, flags: MethodFlags) => {
    const path = `/v1/acl/auth-method/${encodeURIComponent(flags.name)}`
    const before = await api.getJson<AuthMethod>(path)
    print(flags.format, await api.putJson<AuthMethod>(path, methodBody(flags, flags.merge === false ? { Type: before.Type } : before, io)))
  })
  const read = method
    .command('read')
    .description('show a way to log in')
    .requiredOption('--name <name>', 'its name')
    .option(...FORMAT_OPTION)
  remote(read, io, async (api, { name, format }: { name: string; format?: string }) =>
    print(format, await api.getJson<AuthMethod>(`/v1/acl/auth-method/${encodeURIComponent(name)}`)),
  )
  const list = method
    .command('list')
    .description('all ways to log in')
    .option(...FORMAT_OPTION)
  remote(list, io, async (api, { format }: { format?: string }) => {
    const methods = await api.getJson<AuthMethod[]>('/v1/acl/auth-methods')
    printAs(format, methods, () => methods.map(authMethodText).join('\n'), io)
  })
  const remove = method
    .command('delete')
    .description('delete a way to log in, with its rules and tokens')
    .requiredOption('--name <name>', 'its name')
  remote(remove, io, async (api, { name }: { name: string }) => {
    await api.delete(`/v1/acl/auth-method/${encodeURIComponent(name)}`)
    io.out(`Auth-method ${JSON.stringify(name)} deleted successfully\n`)
  })
}

function methodBody(flags: MethodFlags, before: Partial<AuthMethod>, io: CommandIo): object {
  const { name, displayName, description, maxTokenTtl, tokenLocality } = flags
  const config = configOf(flags, io)
  return {
    Name: name,
    Type: before.Type,
    DisplayName: displayName ?? before.DisplayName ?? '',
    Description: description ?? before.Description ?? '',
    ...((maxTokenTtl ?? before.MaxTokenTTL) ? { MaxTokenTTL: maxTokenTtl ?? before.MaxTokenTTL } : {}),
    ...((tokenLocality ?? before.TokenLocality) ? { TokenLocality: tokenLocality ?? before.TokenLocality } : {}),
    Config: config ?? before.Config ?? {},
  }
}

function configOf({ config, kubernetesHost, kubernetesCaCert, kubernetesServiceAccountJwt }: MethodFlags, io: CommandIo): unknown {
  const text = (given: string): string => (given === '-' ? io.readText('-') : given.startsWith('@') ? io.readText(given.slice(1)) : given)
  const kubernetes = {
    ...(kubernetesHost === undefined ? {} : { Host: kubernetesHost }),
    ...(kubernetesCaCert === undefined ? {} : { CACert: text(kubernetesCaCert) }),
    ...(kubernetesServiceAccountJwt === undefined ? {} : { ServiceAccountJWT: kubernetesServiceAccountJwt }),
  }
  const isKubernetes = Object.keys(kubernetes).length > 0
  if (config === undefined) return isKubernetes ? kubernetes : undefined
  if (isKubernetes) throw new CliError('--config and --kubernetes-… exclude each other')
  try {
    return JSON.parse(text(config))
  } catch (error) {
    throw new CliError(`--config: not JSON: ${(error as Error).message}`)
  }
}

interface RuleFlags {
  readonly id?: string
  readonly method?: string
  readonly description?: string
  readonly bindType?: string
  readonly bindName?: string
  readonly bindVars?: readonly string[]
  readonly selector?: string
  readonly merge?: boolean
  readonly format?: string
}

export function addBindingRule(acl: Command, io: CommandIo): void {
  const rule = acl.command('binding-rule').description('which rights logins get')
  const print = (format: string | undefined, value: BindingRule): void => printAs(format, value, () => bindingRuleText(value), io)
  const options = (command: Command): Command =>
    command
      .option('--description <text>', 'note of your own')
      .option('--bind-type <type>', 'service, role, node, policy or templated-policy')
      .option('--bind-name <name>', 'of what; may name values of the login as Consul does')
      .option('--bind-vars <name=value>', 'variable of a templated policy; may be given several times', collect)
      .option('--selector <expression>', 'only logins it holds for')
      .option(...FORMAT_OPTION)
  const create = options(rule.command('create').description('create a rule').requiredOption('--method <name>', 'the way to log in'))
  remote(create, io, async (api, flags: RuleFlags) =>
    print(flags.format, await api.putJson<BindingRule>('/v1/acl/binding-rule', ruleBody(flags, { AuthMethod: flags.method! }))),
  )
  const update = options(
    rule
      .command('update')
      .description('change a rule')
      .requiredOption('--id <id>', 'its ID, or the beginning of it')
      .option('--no-merge', 'what no flag names is emptied'),
  )
  remote(update, io, async (api, flags: RuleFlags) => {
    const path = `/v1/acl/binding-rule/${await findRule(flags.id!, api)}`
    const before = await api.getJson<BindingRule>(path)
    print(
      flags.format,
      await api.putJson<BindingRule>(path, ruleBody(flags, flags.merge === false ? { AuthMethod: before.AuthMethod } : before)),
    )
  })
  const read = rule
    .command('read')
    .description('show a rule')
    .requiredOption('--id <id>', 'its ID, or the beginning of it')
    .option(...FORMAT_OPTION)
  remote(read, io, async (api, { id, format }: { id: string; format?: string }) =>
    print(format, await api.getJson<BindingRule>(`/v1/acl/binding-rule/${await findRule(id, api)}`)),
  )
  const list = rule
    .command('list')
    .description('all rules, or those of one way to log in')
    .option('--method <name>', 'of this one')
    .option(...FORMAT_OPTION)
  remote(list, io, async (api, { method, format }: { method?: string; format?: string }) => {
    const query = method === undefined ? '' : `?${new URLSearchParams({ authmethod: method })}`
    const rules = await api.getJson<BindingRule[]>(`/v1/acl/binding-rules${query}`)
    printAs(format, rules, () => rules.map(bindingRuleText).join('\n'), io)
  })
  const remove = rule.command('delete').description('delete a rule').requiredOption('--id <id>', 'its ID, or the beginning of it')
  remote(remove, io, async (api, { id: given }: { id: string }) => {
    const id = await findRule(given, api)
    await api.delete(`/v1/acl/binding-rule/${id}`)
    io.out(`Binding rule "${id}" deleted successfully\n`)
  })
}

function findRule(given: string, api: Parameters<typeof findId>[3]): Promise<string> {
  return findId(given, '/v1/acl/binding-rules', 'ID', api)
}

function ruleBody(flags: RuleFlags, before: Partial<BindingRule>): object {
  const variables = flags.bindVars === undefined ? before.BindVars : keyValues(flags.bindVars, '--bind-vars')
  return {
    AuthMethod: before.AuthMethod,
    Description: flags.description ?? before.Description ?? '',
    BindType: flags.bindType ?? before.BindType ?? 'service',
    BindName: flags.bindName ?? before.BindName ?? '',
    ...(variables === undefined || variables === null ? {} : { BindVars: variables }),
    Selector: flags.selector ?? before.Selector ?? '',
  }
}
