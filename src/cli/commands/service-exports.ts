// `outrigger services export` and `services exported-services`: which services peers may call. Declared by services.ts, under its command.
import type { Command } from 'commander'
import { remote } from '../command-line/api-flags.js'
import { CliError, type CommandIo } from '../command-line/command-io.js'
import type { ControlApi } from '../command-line/control-api.js'
import { FORMAT_OPTION, formatTable, printAs } from '../command-line/print.js'

interface Consumers {
  readonly Peers?: readonly string[]
}

export function addServiceExports(services: Command, io: CommandIo): void {
  const exportTo = services
    .command('export')
    .description('export a service to peers, beside those that it is exported to already')
    .requiredOption('--name <service>', 'the service')
    .requiredOption('--consumer-peers <peers>', 'names of peers, with commas between')
  remote(exportTo, io, async (api, { name, consumerPeers }: { name: string; consumerPeers: string }) => {
    const peers = consumerPeers.split(',').map(peer => peer.trim())
    for (const warning of await exportService(name, peers, api)) io.err(`warning: ${warning}\n`)
    io.out(`Successfully exported service ${JSON.stringify(name)} to cluster peers ${JSON.stringify(peers.join(','))}\n`)
  })
  const list = services
    .command('exported-services')
    .description('all services that are exported, and to whom')
    .option(...FORMAT_OPTION)
  remote(list, io, async (api, { format }: { format?: string }) => {
    const exported = await api.getJson<{ Service: string; Consumers: Consumers }[]>('/v1/exported-services')
    const rows = exported.map(({ Service, Consumers: { Peers = [] } }) => [Service, Peers.join(', ')])
    printAs(
      format,
      exported,
      () => (rows.length === 0 ? 'There are no exported services.\n' : formatTable(['Service', 'Consumer Peers'], rows)),
      io,
    )
  })
}

interface ExportedServicesEntry {
  readonly Kind: 'exported-services'
  readonly Name: string
  readonly Services: readonly { readonly Name: string; readonly Consumers: readonly { readonly Peer?: string }[] }[]
  readonly ModifyIndex?: number
}

/** Checked against the entry that was read: of two at the same time one is told. */
async function exportService(name: string, peers: readonly string[], api: ControlApi): Promise<readonly string[]> {
  const before: ExportedServicesEntry = (await api.findJson<ExportedServicesEntry>('/v1/config/exported-services/default')) ?? {
    Kind: 'exported-services',
    Name: 'default',
    Services: [],
  }
  const known = before.Services.find(service => service.Name === name)
  const consumers = known?.Consumers ?? []
  const added = peers.filter(peer => !consumers.some(consumer => consumer.Peer === peer)).map(Peer => ({ Peer }))
  const after = { ...known, Name: name, Consumers: [...consumers, ...added] }
  const Services = [...before.Services.filter(service => service !== known), after]
  const { text, warnings } = await api.put(`/v1/config?cas=${before.ModifyIndex ?? 0}`, { Kind: before.Kind, Name: before.Name, Services })
  if (text.trim() !== 'true') throw new CliError('the exported-services entry was changed by somebody else meanwhile: try again')
  return warnings
}
