// The `outrigger` command: parses argv, hands each command to its file under commands/. Called by bin/outrigger and by tests.
// Invariant: whatever goes wrong ends in lines on stderr that begin with `outrigger:` and exit code 1, never in a stack trace.
// Exit code 2 is an answer: `explain --exit-code` where it is denied.
import { Command, CommanderError } from 'commander'
import { AnswerCode, CliError, type CommandIo, processIo } from './commands/command-io.js'
import { type ControlApi, controlApiFromFlags } from './commands/control-api.js'
import { OUTRIGGER_VERSION } from './version.js'

/** Runs the command line `argv` (without node and script) and sets the process' exit code. */
export async function outriggerMain(argv: readonly string[]): Promise<void> {
  process.stdout.on('error', ignoreClosedPipe)
  process.exitCode = await runOutrigger(argv, processIo())
}

/** Resolves with the exit code. */
export async function runOutrigger(argv: readonly string[], io: CommandIo): Promise<number> {
  try {
    await buildProgram(io).parseAsync([...argv], { from: 'user' })
    return 0
  } catch (error) {
    // Help and version end by an error as well, with code 0; the rest has been written by commander.
    if (error instanceof AnswerCode) return error.code
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 1
    const message = error instanceof CliError ? error.message : `internal error: ${(error as Error).stack ?? String(error)}`
    for (const line of message.split('\n')) io.err(`outrigger: ${line}\n`)
    return 1
  }
}

function buildProgram(io: CommandIo): Command {
  const program = new Command('outrigger')
  program
    .description('Control plane of an Outrigger mesh, and the commands that talk to it.')
    .version(OUTRIGGER_VERSION, '--version')
    .exitOverride()
    .configureOutput({
      writeOut: text => io.out(text),
      writeErr: text => io.err(text),
      outputError: (text, write) => write(text.replace(/^error: /, 'outrigger: ')),
    })
    .showSuggestionAfterError(true)
  addControl(program, io)

  const apply = program.command('apply').description('write config entries (YAML or JSON; several documents, lists)')
  fileOption(apply)
  remote(apply, io, async (api, flags: FileFlags, operands) =>
    (await import('./commands/apply.js')).apply(filesOf(flags, operands), api, io),
  )

  const register = program.command('register').description("register services (Consul's service definitions, YAML or JSON)")
  fileOption(register)
  remote(register, io, async (api, flags: FileFlags, operands) =>
    (await import('./commands/apply.js')).register(filesOf(flags, operands), api, io),
  )

  const bootstrap = program
    .command('bootstrap')
    .description('print the Envoy bootstrap (JSON) of a sidecar')
    .requiredOption('--proxy-id <id>', 'for example web-sidecar-proxy')
    .option('--grpc-addr <host:port>', 'where the sidecar reaches the control plane (default: as the control plane says)')
    .option('--admin-bind <host:port>', "the sidecar's admin address (default: 127.0.0.1:19000)")
  remote(bootstrap, io, async (api, flags: { proxyId: string }) => (await import('./commands/proxies.js')).printBootstrap(flags, api, io))

  addCa(program, io)

  const explain = program
    .command('explain')
    .description('would this request be allowed, and by which intention')
    .requiredOption('--from <service>', 'the caller')
    .requiredOption('--to <service>', 'the service called')
    .option('--method <method>', 'HTTP method')
    .option('--path <path>', 'HTTP path')
    .option('--exit-code', 'exit with 2 where it is denied (without: 0 for either answer)')
    .option('--json', 'print JSON')
  remote(explain, io, async (api, flags: { from: string; to: string }) =>
    (await import('./commands/intentions.js')).explain(flags, api, io),
  )

  const intention = program.command('intention').description('intentions: who may call whom')
  const list = intention
    .command('list')
    .description('all intentions in order of precedence')
    .option('--effective', 'what the sidecars of each service go by: wildcards and default included, shadowed ones left out')
    .option('--json', 'print JSON')
  remote(list, io, async (api, flags: object) => (await import('./commands/intentions.js')).listIntentions(flags, api, io))

  for (const action of ['allow', 'deny'] as const) {
    const write = intention
      .command(action)
      .description(`${action} calls from a source (* for any) to a destination, in place of what was said for this pair`)
      .argument('<source>')
      .argument('<destination>')
    remote(write, io, async (api, _flags: object, [source, destination]) =>
      (await import('./commands/intentions.js')).writeIntention({ action, source: source!, destination: destination! }, api, io),
    )
  }
  const remove = intention
    .command('delete')
    .description('remove what was said for this pair; the other intentions and the default decide again')
    .argument('<source>')
    .argument('<destination>')
  remote(remove, io, async (api, _flags: object, [source, destination]) =>
    (await import('./commands/intentions.js')).deleteIntention({ source: source!, destination: destination! }, api, io),
  )

  const proxies = program.command('proxies').description('state of the sidecars').option('--json', 'print JSON')
  remote(proxies, io, async (api, flags: object) => (await import('./commands/proxies.js')).showProxies(flags, api, io))
  return program
}

function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value]
}

function addControl(program: Command, io: CommandIo): void {
  program
    .command('control')
    .description('run the control plane')
    .option('-c, --config <mesh.yaml>', 'services, config entries and default_intention_policy; watched for changes')
    .option('--http-addr <host:port>', "HTTP API, in Consul's form (default: 127.0.0.1:8500)")
    .option('--grpc-addr <host:port>', 'xDS for the sidecars (default: 127.0.0.1:8502)')
    .option('--dns-addr <host:port>', 'DNS by UDP and TCP, or off (default: 127.0.0.1:8600)')
    .option('--domain <name>', 'the domain that DNS answers for (default: consul)')
    .option('--alt-domain <name>', 'a second one')
    .option('--recursor <ip[:port]>', 'a DNS server to ask for other names; may be given more than once', collect)
    .option('--dns-only-passing', 'leave out instances with a check that warns')
    .option('--dns-node-ttl <duration>', 'TTL of answers about nodes (default: 0s)')
    .option('--dns-service-ttl <name=duration>', 'TTL of answers about a service, prefix* or *; may be given more than once', collect)
    .option('--enable-local-script-checks', 'run script checks that the mesh file names (never those of the HTTP API)')
    .option('--data-dir <dir>', 'where the state lives (default: in memory only)')
    .option('--restore <file>', 'go back to this snapshot file of the state; the files of before are kept aside')
    .option('--accept-loss', 'start with what can be read of a damaged state; the damaged files are kept aside')
    .option('--datacenter <name>', 'default: dc1')
    .option('--node-name <name>', 'default: the host name')
    .option('--node-address <ip>', 'where services without an address of their own are reached (default: 127.0.0.1)')
    .option('--token <token>', 'required of HTTP clients; better by --token-file or OUTRIGGER_HTTP_TOKEN')
    .option('--token-file <file>', 'the same, read from a file')
    .option('--grpc-token <token>', 'required of sidecars; better by --grpc-token-file or OUTRIGGER_GRPC_TOKEN')
    .option('--grpc-token-file <file>', 'the same, read from a file')
    .option('--grpc-tls-cert <file>', 'serve xDS over TLS with this certificate (PEM)')
    .option('--grpc-tls-key <file>', 'its private key (PEM)')
    .option('--grpc-tls-ca <file>', 'bundle that bootstraps verify it with (default: the certificate itself)')
    .option('--grpc-tls-client-ca <file>', 'require client certificates of this CA')
    .option('--acl', 'ACLs on: tokens, policies and roles decide who may do what')
    .option('--acl-default-policy <policy>', 'allow or deny what no rule speaks of (default: deny)')
    .option(
      '--acl-initial-management-file <file>',
      'holds the secret (a UUID) of a management token that exists from the start (or OUTRIGGER_ACL_INITIAL_MANAGEMENT)',
    )
    .option('--ca-files-by-api', 'let API clients name paths of this host for the CA provider files')
    .option('--ca-config <file>', "the mesh CA's configuration in Consul's form (Provider, Config; YAML or JSON)")
    .option('--ca-key-file <file>', 'key that encrypts private keys in the data directory (or OUTRIGGER_CA_KEY)')
    .option('--sidecar-min-port <port>', 'first port given to sidecars without one (default: 21000)')
    .option('--sidecar-max-port <port>', 'last of them (default: 21255)')
    .option('--log-level <level>', 'trace, debug, info, warn, error, fatal, silent (default: info)')
    .allowExcessArguments(false)
    .action(async (flags: object) => (await import('./commands/control.js')).control(flags, io))
}

function addCa(program: Command, io: CommandIo): void {
  const ca = program.command('ca').description("the mesh's certificate authority")
  const rotateLeaf = ca
    .command('rotate-leaf')
    .description('issue a new leaf certificate for a service; its sidecars swap it in without dropping a connection')
    .requiredOption('--service <name>', 'for example api')
    .option('--json', 'print JSON')
  remote(rotateLeaf, io, async (api, flags: { service: string }) => (await import('./commands/ca.js')).rotateLeaf(flags, api, io))
  const rotateRoot = ca
    .command('rotate-root')
    .description('replace the root certificate')
    .option('--force', 'although the old root cannot sign the new one')
    .option('--json', 'print JSON')
  remote(rotateRoot, io, async (api, flags: object) => (await import('./commands/ca.js')).rotateRoot(flags, api, io))
  const roots = ca
    .command('roots')
    .description('the trusted roots')
    .option('--pem', 'print the bundle as PEM')
    .option('--json', 'print JSON')
  remote(roots, io, async (api, flags: object) => (await import('./commands/ca.js')).showRoots(flags, api, io))
}

interface FileFlags {
  readonly file?: readonly string[]
}

function fileOption(command: Command): void {
  command
    .argument('[files...]', 'files, as with -f')
    .option('-f, --file <file>', 'file, or - for standard input; may be given several times', (file: string, before?: string[]) => [
      ...(before ?? []),
      file,
    ])
}

function filesOf({ file = [] }: FileFlags, operands: readonly string[]): readonly string[] {
  if (file.length + operands.length === 0) throw new CliError('name a file: -f FILE, or - for standard input')
  return [...file, ...operands]
}

/** A command that talks to a control plane: adds the flags that say to which. */
function remote<F extends object>(
  command: Command,
  io: CommandIo,
  run: (api: ControlApi, flags: F, operands: string[]) => Promise<void>,
): void {
  command
    .option('--http-addr <addr>', 'HTTP API of the control plane (default: CONSUL_HTTP_ADDR, or 127.0.0.1:8500)')
    .option('--token <token>', 'its token (default: CONSUL_HTTP_TOKEN)')
    .allowExcessArguments(false)
    .action(() => {
      const flags = command.opts<F & { httpAddr?: string; token?: string }>()
      return run(controlApiFromFlags(flags, io), flags, command.args)
    })
}

/** `outrigger ... | head` closes the pipe early. */
function ignoreClosedPipe(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error
}
