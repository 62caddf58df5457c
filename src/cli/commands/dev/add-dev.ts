// `outrigger dev`: its flags. What it does is in dev.ts, loaded when it runs, since the control plane is most of the program. Declared for program.ts.
import type { Command } from 'commander'
import { collect } from '../../command-line/collect.js'
import type { CommandIo } from '../../command-line/command-io.js'
import type { DevFlags } from './dev.js'

export function addDev(program: Command, io: CommandIo): void {
  const command = program
    .command('dev')
    .description('a mesh for developing: control plane, sidecars and the applications themselves, until Ctrl-C')
    .argument('[file-or-command...]', 'a file of services, or behind -- the command of the one service without one')
    .option('--service <name[=command]>', 'a service and how its application is started; may be given several times', collect)
    .option('--upstream <[service=]name[:port]>', 'what a service calls, on this port of 127.0.0.1', collect)
    .option('--port <[service=]port>', 'where an application listens (default: any; it is told by PORT)', collect)
    .option('--protocol <[service=]protocol>', 'http (the default), http2, grpc or tcp', collect)
    .option('--http-addr <host:port>', 'of the control plane (default: 127.0.0.1:8500)')
    .option('--grpc-addr <host:port>', 'where it serves the sidecars (default: any free port)')
  command.action(async () => {
    await (await import('./dev.js')).dev(command.opts<DevFlags>(), command.args, io)
  })
}
