// `outrigger gateway KIND`: registers a gateway on this node and runs it in this process. The short form of `connect envoy -gateway KIND
// -register`, declared for program.ts.
import type { Command } from 'commander'
import { DEFAULT_ADMIN } from '../../control/default-admin.js'
import { remote } from '../command-line/api-flags.js'
import type { CommandIo } from '../command-line/command-io.js'
import { type EnvoyFlags, runEnvoy } from './connect.js'
import { addGatewayFlags, GATEWAYS } from './gateway-registration.js'

export function addGateway(program: Command, io: CommandIo): void {
  const gateway = program.command('gateway').description('register a gateway on this node and run it')
  for (const [word, kind] of Object.entries(GATEWAYS)) {
    const command = gateway
      .command(word)
      .description(`a ${kind}; what stands after -- are the proxy's flags`)
      .argument('[args...]')
      .option('--proxy-id <id>', 'its ID (default: its name)')
      .option('--envoy-binary <file>', 'run this executable instead of our own proxy')
      .option('--admin-bind <host:port>', `the proxy's admin address (default: ${DEFAULT_ADMIN})`)
      .option('--grpc-addr <address>', 'where the proxy reaches the control plane (default: CONSUL_GRPC_ADDR)')
      .option('--bootstrap', 'print the bootstrap (JSON) and run nothing')
    addGatewayFlags(command)
    remote(command, io, (api, flags: EnvoyFlags, args) => runEnvoy({ ...flags, gateway: word, register: true }, args, api, io))
  }
}
