// `outrigger sidecar --consul HOST:PORT`: a proxy under a real Consul, or under our control plane by the same API, in one process: what
// consul-dataplane does, by its flags, and the proxy itself. Declared for program.ts; run-sidecar.ts runs it. What stands behind -- are flags
// of the proxy.
import type { Command } from 'commander'
import { DATAPLANE_FLAGS, type DataplaneFlag } from '../../../dataplane/settings/flag-table.js'
import { collect } from '../../command-line/collect.js'
import type { CommandIo } from '../../command-line/command-io.js'
import type { SidecarCommandFlags } from './run-sidecar.js'

export function addSidecar(program: Command, io: CommandIo): void {
  const command = program
    .command('sidecar')
    .description("a sidecar under Consul's servers in one process: consul-dataplane's flags (-) and variables (DP_*), and our proxy")
    .argument('[args...]', 'flags of the proxy, behind --')
    .option('--consul <host:port>', 'the servers and their gRPC port: -addresses and -grpc-port in one')
    .option('--config-file <file>', "the same settings as JSON, in consul-dataplane's form")
    .option('--check-proxy-health', 'ask the proxy that runs here whether it is ready: exit 0 or 1')
    .option('--version', 'print the version')
  const options = new Map<string, string>()
  for (const [name, flag] of Object.entries<DataplaneFlag>(DATAPLANE_FLAGS)) {
    const option = command
      .createOption(`--${name} ${PLACEHOLDERS[flag.kind]}`, help(flag))
      .helpGroup(flag.ours === true ? 'Ours:' : "consul-dataplane's:")
    command.addOption(flag.kind === 'map' ? option.argParser(collect) : option)
    options.set(name, option.attributeName())
  }
  command.action(async (args: string[]) => {
    const given = new Map<string, string | readonly string[]>()
    for (const [name, attribute] of options) {
      const value = command.getOptionValue(attribute) as string | readonly string[] | undefined
      if (value !== undefined) given.set(name, value)
    }
    await (await import('./run-sidecar.js')).runSidecar(command.opts<SidecarCommandFlags>(), given, args, io)
  })
}

/** A flag that may be said to be false takes a value, where one is given. */
const PLACEHOLDERS: Readonly<Record<DataplaneFlag['kind'], string>> = {
  text: '<text>',
  integer: '<number>',
  flag: '[bool]',
  duration: '<duration>',
  map: '<key=value>',
}

function help({ help: text, env, initial, kind }: DataplaneFlag): string {
  const variable = kind === 'map' ? `${env}1 to 9` : env
  return `${text} (${variable}${initial === undefined ? '' : `; default: ${initial}`})`
}
