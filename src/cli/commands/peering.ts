// `outrigger peering …`: clusters that call each other's services, as Consul's commands make, show and end them. Declared for program.ts.
import type { Command } from 'commander'
import { remote } from '../command-line/api-flags.js'
import { collect, keyValues } from '../command-line/collect.js'
import { CliError, type CommandIo } from '../command-line/command-io.js'
import type { ControlApi } from '../command-line/control-api.js'
import { FORMAT_OPTION, formatFields, formatTable, printAs } from '../command-line/print.js'

interface Peering {
  readonly ID: string
  readonly Name: string
  readonly State: string
  readonly Meta?: Readonly<Record<string, string>>
  readonly PeerID?: string
  readonly PeerServerName?: string
  readonly PeerCAPems?: readonly string[]
  readonly PeerServerAddresses?: readonly string[]
  readonly StreamStatus: {
    readonly ImportedServices: readonly string[]
    readonly ExportedServices: readonly string[]
    readonly LastHeartbeat: string | null
    readonly LastReceive: string | null
    readonly LastSend: string | null
  }
  readonly CreateIndex: number
  readonly ModifyIndex: number
}

export function addPeering(program: Command, io: CommandIo): void {
  const peering = program.command('peering').description('peerings: clusters that call each other’s services')
  const named = (name: string, description: string): Command =>
    peering.command(name).description(description).requiredOption('--name <peer>', 'the peer, by our name of it')
  const generate = named('generate-token', 'a token by which another cluster establishes a peering with this one; it serves once')
    .option(
      '--server-external-addresses <addresses>',
      'where the other cluster reaches this one, with commas between (default: as it is served)',
    )
    .option('--meta <key=value>', 'a note; may be given several times', collect)
    .option(...FORMAT_OPTION)
  remote(generate, io, async (api, flags: { name: string; serverExternalAddresses?: string; meta?: string[]; format?: string }) => {
    const addresses = flags.serverExternalAddresses?.split(',').map(address => address.trim())
    const body = {
      PeerName: flags.name,
      ...(addresses === undefined ? {} : { ServerExternalAddresses: addresses }),
      ...noted(flags.meta),
    }
    const answer = await api.postJson<{ PeeringToken: string }>('/v1/peering/token', body)
    printAs(flags.format, answer, () => `${answer.PeeringToken}\n`, io)
  })

  const establish = named('establish', 'establish a peering with the cluster that made a token')
    .requiredOption('--peering-token <token>', 'what `peering generate-token` printed there')
    .option('--meta <key=value>', 'a note; may be given several times', collect)
  remote(establish, io, async (api, { name, peeringToken, meta }: { name: string; peeringToken: string; meta?: string[] }) => {
    await api.postJson('/v1/peering/establish', { PeerName: name, PeeringToken: peeringToken, ...noted(meta) })
    io.out(`Successfully established peering connection with ${name}\n`)
  })

  remote(
    named('delete', 'end a peering: nothing that was imported or exported by it is reached any more'),
    io,
    async (api, { name }: { name: string }) => {
      await api.delete(`/v1/peering/${encodeURIComponent(name)}`)
      io.out(`Successfully submitted peering connection, ${name}, for deletion\n`)
    },
  )

  const list = peering
    .command('list')
    .description('all peerings, and how they are')
    .option(...FORMAT_OPTION)
  remote(list, io, async (api, { format }: { format?: string }) => {
    const peerings = await api.getJson<Peering[]>('/v1/peerings')
    const rows = peerings.map(({ Name, State, StreamStatus, Meta }) => [
      Name,
      State,
      String(StreamStatus.ImportedServices.length),
      String(StreamStatus.ExportedServices.length),
      pairs(Meta),
    ])
    const table = formatTable(['Name', 'State', 'Imported Svcs', 'Exported Svcs', 'Meta'], rows)
    printAs(format, peerings, () => (rows.length === 0 ? 'There are no peering connections.\n' : table), io)
  })

  remote(
    named('read', 'one peering, whole').option(...FORMAT_OPTION),
    io,
    async (api, { name, format }: { name: string; format?: string }) => {
      const found = await read(name, api)
      printAs(format, found, () => describe(found), io)
    },
  )

  const exported = named('exported-services', 'the services that the peer may call').option(...FORMAT_OPTION)
  remote(exported, io, async (api, { name, format }: { name: string; format?: string }) => {
    const { ExportedServices } = (await read(name, api)).StreamStatus
    printAs(
      format,
      ExportedServices,
      () =>
        formatTable(
          ['Service Name'],
          ExportedServices.map(service => [service]),
        ),
      io,
    )
  })
}

async function read(name: string, api: ControlApi): Promise<Peering> {
  const found = await api.findJson<Peering>(`/v1/peering/${encodeURIComponent(name)}`)
  if (found === undefined) throw new CliError(`no peering with name ${name}`)
  return found
}

function describe(peering: Peering): string {
  const { StreamStatus: stream } = peering
  const head: [string, string | undefined][] = [
    ['Name', peering.Name],
    ['ID', peering.ID],
    ['State', peering.State],
    ['Meta', pairs(peering.Meta) || undefined],
  ]
  const peer: [string, string | undefined][] = [
    ['Peer ID', peering.PeerID],
    ['Peer Server Name', peering.PeerServerName],
    ['Peer CA Pems', peering.PeerCAPems === undefined ? undefined : String(peering.PeerCAPems.length)],
    ['Peer Server Addresses', peering.PeerServerAddresses?.join(', ')],
  ]
  const streams: [string, string | undefined][] = [
    ['Imported Services', String(stream.ImportedServices.length)],
    ['Exported Services', String(stream.ExportedServices.length)],
    ['Last Heartbeat', stream.LastHeartbeat ?? 'never'],
    ['Last Send', stream.LastSend ?? 'never'],
    ['Last Receive', stream.LastReceive ?? 'never'],
  ]
  const indexes: [string, string | undefined][] = [
    ['Create Index', String(peering.CreateIndex)],
    ['Modify Index', String(peering.ModifyIndex)],
  ]
  return formatFields([...head, ...peer, ...streams, ...indexes])
}

function noted(meta: readonly string[] | undefined): { readonly Meta?: object } {
  return meta === undefined ? {} : { Meta: keyValues(meta, '--meta') }
}

const pairs = (meta: Readonly<Record<string, string>> = {}): string =>
  Object.entries(meta)
    .map(([key, value]) => `${key}=${value}`)
    .join(',')
