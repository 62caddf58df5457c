// `outrigger acl …`: bootstrap, tokens, policies, roles, ways to log in and their rules, the agent's own tokens, templated policies; and
// `login` and `logout`. Declared for program.ts.
import type { Command } from 'commander'
import { remote } from '../../command-line/api-flags.js'
import { collect, keyValues } from '../../command-line/collect.js'
import { CliError, type CommandIo } from '../../command-line/command-io.js'
import { writeSecret } from '../../command-line/files.js'
import { FORMAT_OPTION, formatFields, printAs } from '../../command-line/print.js'
import { addAuthMethod, addBindingRule } from './acl-methods.js'
import { addPolicy, addRole } from './acl-policy.js'
import { type Policy, policyText, type Token, tokenText } from './acl-shapes.js'
import { addToken } from './acl-token.js'

const AGENT_TOKENS = ['default', 'agent', 'recovery', 'replication', 'config_file_service_registration', 'dns'] as const

export function addAcl(program: Command, io: CommandIo): void {
  const acl = program.command('acl').description('tokens, policies, roles, and ways to log in')
  const bootstrap = acl
    .command('bootstrap')
    .description('make the first management token, once')
    .argument('[secret]', 'file that holds its secret (a UUID), or - for standard input (default: a new secret)')
    .option(...FORMAT_OPTION)
  remote(bootstrap, io, async (api, { format }: { format?: string }, [file]) => {
    const secret = file === undefined ? undefined : io.readText(file).trim()
    const token = await api.putJson<Token>('/v1/acl/bootstrap', secret === undefined ? undefined : { BootstrapSecret: secret })
    printAs(format, token, () => tokenText(token), io)
  })
  const agentToken = acl
    .command('set-agent-token')
    .description('set a token that the agent itself uses, until its end (acl.tokens of its configuration keeps it for longer)')
    .argument('<kind>', AGENT_TOKENS.join(', '))
    .argument('<token>', "the token's secret; empty takes it away")
  remote(agentToken, io, async (api, _flags: object, [kind, token]) => {
    if (!(AGENT_TOKENS as readonly string[]).includes(kind!))
      throw new CliError(`Unknown token type "${kind}": must be one of ${AGENT_TOKENS.join(', ')}`)
    const name = kind === 'recovery' ? 'agent_recovery' : kind!
    await api.put(`/v1/agent/token/${name}`, { Token: token })
    io.out(`ACL token "${kind}" set successfully\n`)
  })
  addToken(acl, io)
  addPolicy(acl, io)
  addRole(acl, io)
  addAuthMethod(acl, io)
  addBindingRule(acl, io)
  addTemplates(acl, io)
  addLogin(program, io)
}

interface Template {
  readonly TemplateName: string
  readonly Template: string
  readonly Schema?: string
}

function addTemplates(acl: Command, io: CommandIo): void {
  const template = acl.command('templated-policy').description('rules by template')
  const text = (each: Template): string =>
    `${formatFields([['Name', each.TemplateName]])}Raw Template:\n${each.Template.replace(/\n*$/, '\n')}`
  const list = template
    .command('list')
    .description('their names')
    .option(...FORMAT_OPTION)
  remote(list, io, async (api, { format }: { format?: string }) => {
    const all = await api.getJson<Record<string, Template>>('/v1/acl/templated-policies')
    printAs(
      format,
      all,
      () =>
        Object.keys(all)
          .sort()
          .map(name => `${name}\n`)
          .join(''),
      io,
    )
  })
  const read = template
    .command('read')
    .description('show one')
    .requiredOption('--name <name>', 'for example builtin/service')
    .option(...FORMAT_OPTION)
  remote(read, io, async (api, { name, format }: { name: string; format?: string }) => {
    const found = await api.getJson<Template>(`/v1/acl/templated-policy/name/${name}`)
    printAs(format, found, () => text(found), io)
  })
  const preview = template
    .command('preview')
    .description('the policy that it makes')
    .requiredOption('--name <name>', 'for example builtin/service')
    .option('--var <name:value>', 'a variable; may be given several times', collect)
    .option(...FORMAT_OPTION)
  remote(preview, io, async (api, { name, var: variables, format }: { name: string; var?: readonly string[]; format?: string }) => {
    const values = Object.entries(keyValues(variables ?? [], '--var', ':')).map(([key, value]) => [
      key.toLowerCase() === 'name' ? 'Name' : key,
      value,
    ])
    const policy = await api.postJson<Policy>(`/v1/acl/templated-policy/preview/${name}`, Object.fromEntries(values))
    printAs(format, policy, () => policyText(policy), io)
  })
}

function addLogin(program: Command, io: CommandIo): void {
  const login = program
    .command('login')
    .description('log in by an auth method; the token lands in a file that its owner alone can read')
    .requiredOption('--method <name>', 'the auth method')
    .requiredOption('--token-sink-file <file>', 'where the token is to be written')
    .option('--bearer-token-file <file>', 'holds the JWT or service account token that proves who you are')
    .option('--type <type>', 'type of the auth method (jwt and kubernetes need none; aws and oidc are refused)')
    .option('--meta <key=value>', 'note for the token; may be given several times', collect)
  remote(
    login,
    io,
    async (api, flags: { method: string; tokenSinkFile: string; bearerTokenFile?: string; type?: string; meta?: readonly string[] }) => {
      if (flags.type !== undefined && !['jwt', 'kubernetes'].includes(flags.type))
        throw new CliError(`--type ${flags.type}: jwt and kubernetes are known here`)
      if (flags.bearerTokenFile === undefined) throw new CliError('--bearer-token-file is needed')
      const token = await api.postJson<Token>('/v1/acl/login', {
        AuthMethod: flags.method,
        BearerToken: io.readText(flags.bearerTokenFile).trim(),
        ...(flags.meta === undefined ? {} : { Meta: keyValues(flags.meta, '--meta') }),
      })
      writeSecret(flags.tokenSinkFile, token.SecretID!)
    },
  )
  remote(program.command('logout').description('give back the token of a login'), io, async api => {
    await api.call({ method: 'POST', path: '/v1/acl/logout' })
  })
}
