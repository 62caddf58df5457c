// The flags of every command that talks to a control plane (Consul's, with Consul's environment variables behind them), and what makes a
// `ControlApi` of them. Called by every file of commands/ that declares such a command.
// Invariant: a flag stands over its environment variable; a secret named by a file is read from there, never from the command line.
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from 'commander'
import { CliError, type CommandIo } from './command-io.js'
import { ControlApi } from './control-api.js'

export interface ApiFlags {
  readonly httpAddr?: string
  readonly token?: string
  readonly tokenFile?: string
  readonly caFile?: string
  readonly caPath?: string
  readonly clientCert?: string
  readonly clientKey?: string
  readonly tlsServerName?: string
  readonly datacenter?: string
  readonly stale?: boolean
  readonly namespace?: string
  readonly partition?: string
}

const DEFAULT_HTTP_ADDR = '127.0.0.1:8500'
const GROUP = 'API options:'

/** Adds the flags, and runs `run` with the client that they make. */
export function remote<F extends object>(
  command: Command,
  io: CommandIo,
  run: (api: ControlApi, flags: F, operands: string[]) => Promise<void> | void,
): Command {
  const option = (flags: string, description: string): void => {
    command.addOption(command.createOption(flags, description).helpGroup(GROUP))
  }
  option('--http-addr <addr>', 'host:port, http(s)://host:port or unix:///path (default: CONSUL_HTTP_ADDR, or 127.0.0.1:8500)')
  option('--token <token>', 'ACL token (default: CONSUL_HTTP_TOKEN)')
  option('--token-file <file>', 'the same, read from a file (default: CONSUL_HTTP_TOKEN_FILE)')
  option('--ca-file <file>', 'PEM bundle that verifies an https address (default: CONSUL_CACERT)')
  option('--ca-path <dir>', 'folder of such files (default: CONSUL_CAPATH)')
  option('--client-cert <file>', 'certificate to present (default: CONSUL_CLIENT_CERT)')
  option('--client-key <file>', 'its private key (default: CONSUL_CLIENT_KEY)')
  option('--tls-server-name <name>', 'name that the certificate must have (default: CONSUL_TLS_SERVER_NAME)')
  option('--datacenter <name>', 'datacenter to ask (default: that of the control plane)')
  option('--stale', 'any server may answer, not the leader alone')
  option('--namespace <name>', 'Consul Enterprise; the control plane refuses others than default (default: CONSUL_NAMESPACE)')
  option('--partition <name>', 'the same (default: CONSUL_PARTITION)')
  return command.allowExcessArguments(command.registeredArguments.at(-1)?.variadic === true).action(async () => {
    const flags = command.opts<F & ApiFlags>()
    await run(apiFromFlags(flags, io), flags, command.args)
  })
}

export function apiFromFlags(flags: ApiFlags, io: CommandIo): ControlApi {
  const address = flags.httpAddr ?? io.env('CONSUL_HTTP_ADDR') ?? DEFAULT_HTTP_ADDR
  const tls = isTrue(io.env('CONSUL_HTTP_SSL'))
  const read = (file: string | undefined): string | undefined => (file === undefined ? undefined : io.readText(file))
  const caFile = flags.caFile ?? io.env('CONSUL_CACERT')
  const caPath = flags.caPath ?? io.env('CONSUL_CAPATH')
  const [certPem, keyPem] = [flags.clientCert ?? io.env('CONSUL_CLIENT_CERT'), flags.clientKey ?? io.env('CONSUL_CLIENT_KEY')].map(read)
  if ((certPem === undefined) !== (keyPem === undefined)) throw new CliError('--client-cert and --client-key go together')
  return new ControlApi({
    address: tls && !address.includes('://') ? `https://${address}` : address,
    token: tokenOf(flags, io),
    basicAuth: io.env('CONSUL_HTTP_AUTH'),
    caPem: read(caFile) ?? (caPath === undefined ? undefined : folderPem(caPath, io)),
    certPem,
    keyPem,
    serverName: flags.tlsServerName ?? io.env('CONSUL_TLS_SERVER_NAME'),
    verify: !isFalse(io.env('CONSUL_HTTP_SSL_VERIFY')),
    parameters: {
      ...(flags.datacenter === undefined ? {} : { dc: flags.datacenter }),
      ...(flags.stale === true ? { stale: '' } : {}),
      ...tenancy('ns', flags.namespace ?? io.env('CONSUL_NAMESPACE')),
      ...tenancy('partition', flags.partition ?? io.env('CONSUL_PARTITION')),
    },
  })
}

/** The token that a command hands on as well (`connect envoy`); undefined where there is none. */
export function tokenOf(flags: ApiFlags, io: CommandIo): string | undefined {
  const text = (file: string | undefined): string | undefined => (file === undefined ? undefined : io.readText(file).trim())
  return flags.token ?? text(flags.tokenFile) ?? io.env('CONSUL_HTTP_TOKEN') ?? text(io.env('CONSUL_HTTP_TOKEN_FILE'))
}

function tenancy(name: string, value: string | undefined): Record<string, string> {
  return value === undefined ? {} : { [name]: value }
}

function folderPem(folder: string, io: CommandIo): string {
  let names: string[]
  try {
    names = readdirSync(folder).sort()
  } catch (error) {
    throw new CliError(`${folder}: ${(error as NodeJS.ErrnoException).code === 'ENOENT' ? 'no such folder' : (error as Error).message}`)
  }
  const pems = names.filter(name => /\.(pem|crt|cer)$/.test(name)).map(name => io.readText(join(folder, name)))
  if (pems.length === 0) throw new CliError(`${folder}: holds no .pem, .crt or .cer file`)
  return pems.join('\n')
}

function isTrue(text: string | undefined): boolean {
  return /^(1|t|true)$/i.test(text ?? '')
}

function isFalse(text: string | undefined): boolean {
  return /^(0|f|false)$/i.test(text ?? '')
}
