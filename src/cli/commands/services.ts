// `outrigger services register|deregister|export|exported-services`: services of this node, from files or flags. Declared for program.ts.
import type { Command } from 'commander'
import { remote } from '../command-line/api-flags.js'
import { collect, keyValues } from '../command-line/collect.js'
import { CliError, type CommandIo } from '../command-line/command-io.js'
import { formatJson, JSON_OPTION } from '../command-line/print.js'
import { readServices } from './apply.js'
import { field } from './documents.js'
import { addServiceExports } from './service-exports.js'

interface RegisterFlags {
  readonly id?: string
  readonly name?: string
  readonly address?: string
  readonly port?: string
  readonly kind?: string
  readonly tag?: readonly string[]
  readonly meta?: readonly string[]
  readonly taggedAddress?: readonly string[]
  readonly socketPath?: string
  readonly json?: boolean
}

export function addServices(program: Command, io: CommandIo): void {
  const services = program.command('services').description('register and deregister services of this node')
  const register = services
    .command('register')
    .description('register services from files, or one from flags')
    .argument('[files...]', 'service definitions (HCL, JSON, YAML); - for standard input')
    .option('--name <name>', 'of one service that flags describe')
    .option('--id <id>', 'its ID (default: the name)')
    .option('--address <address>', 'its address (default: that of the node)')
    .option('--port <port>', 'its port')
    .option('--kind <kind>', 'its kind (default: an ordinary service)')
    .option('--tag <tag>', 'a tag; may be given several times', collect)
    .option('--meta <key=value>', 'a note; may be given several times', collect)
    .option('--tagged-address <name=address:port>', 'a further address; may be given several times', collect)
    .option('--socket-path <path>', 'refused: services are reached by address')
    .option(...JSON_OPTION)
  remote(register, io, async (api, flags: RegisterFlags, files) => {
    const definitions = files.length > 0 ? files.flatMap(file => readServices(file, io).map(({ value }) => value)) : [fromFlags(flags)]
    const ids: string[] = []
    for (const definition of definitions) {
      const { warnings } = await api.put('/v1/agent/service/register?replace-existing-checks=true', definition)
      for (const warning of warnings) io.err(`warning: ${warning}\n`)
      ids.push(String(field(definition, 'ID') ?? field(definition, 'Name')))
      if (flags.json !== true) io.out(`Registered service: ${String(field(definition, 'Name'))}\n`)
    }
    if (flags.json === true) io.out(formatJson({ Registered: ids }))
  })
  const deregister = services
    .command('deregister')
    .description('deregister services: those of files, or one by its ID')
    .argument('[files...]', 'service definitions (HCL, JSON, YAML); - for standard input')
    .option('--id <id>', 'the ID of one service')
    .option(...JSON_OPTION)
  remote(deregister, io, async (api, { id, json }: { id?: string; json?: boolean }, files) => {
    if ((id === undefined) === (files.length === 0)) throw new CliError('name either --id or files')
    const ids =
      id === undefined
        ? files.flatMap(file => readServices(file, io).map(({ value }) => String(field(value, 'ID') ?? field(value, 'Name'))))
        : [id]
    for (const each of ids) {
      await api.put(`/v1/agent/service/deregister/${encodeURIComponent(each)}`)
      if (json !== true) io.out(`Deregistered service: ${each}\n`)
    }
    if (json === true) io.out(formatJson({ Deregistered: ids }))
  })
  addServiceExports(services, io)
}

function fromFlags(flags: RegisterFlags): Record<string, unknown> {
  const { id, name, address, port, kind, tag, meta, taggedAddress, socketPath } = flags
  if (name === undefined) throw new CliError('name a file, or the service by --name')
  if (socketPath !== undefined) throw new CliError('--socket-path: services are reached by address and port')
  if (port !== undefined && !/^\d{1,5}$/.test(port)) throw new CliError(`--port "${port}": must be a port`)
  return {
    Name: name,
    ...(id === undefined ? {} : { ID: id }),
    ...(kind === undefined ? {} : { Kind: kind }),
    ...(address === undefined ? {} : { Address: address }),
    ...(port === undefined ? {} : { Port: Number(port) }),
    ...(tag === undefined ? {} : { Tags: tag }),
    ...(meta === undefined ? {} : { Meta: keyValues(meta, '--meta') }),
    ...(taggedAddress === undefined
      ? {}
      : { TaggedAddresses: Object.fromEntries(Object.entries(keyValues(taggedAddress, '--tagged-address')).map(taggedAddressOf)) }),
  }
}

function taggedAddressOf([name, text]: [string, string]): [string, object] {
  const match = /^(.+):(\d{1,5})$/.exec(text)
  return [name, match === null ? { Address: text } : { Address: match[1], Port: Number(match[2]) }]
}
