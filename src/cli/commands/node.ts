// Commands about one agent and its machine: members, info, monitor, reload, leave, join, force-leave, maint, event, rtt. Declared for program.ts.
import type { Command } from 'commander'
import { remote } from '../command-line/api-flags.js'
import { AnswerCode, CliError, type CommandIo } from '../command-line/command-io.js'
import type { ControlApi } from '../command-line/control-api.js'
import { stopAtOperand } from '../command-line/go-flags.js'
import { formatJson, formatTable, JSON_OPTION } from '../command-line/print.js'

interface Member {
  readonly Name: string
  readonly Addr: string
  readonly Port: number
  readonly Tags: Readonly<Record<string, string>>
  readonly Status: number
}

interface MemberFlags {
  readonly detailed?: boolean
  readonly status?: string
  readonly wan?: boolean
  readonly segment?: string
  readonly filter?: string
  readonly json?: boolean
}

const STATUSES = ['none', 'alive', 'leaving', 'left', 'failed']
/** The exit code of `members` where none matches, as Consul's. */
const NO_MEMBER = 2

export function addNode(program: Command, io: CommandIo): void {
  addMembers(program, io)
  addProcess(program, io)
  addMaint(program, io)

  const event = program
    .command('event')
    .description('fire an event that watchers see')
    .argument('[payload]', 'up to some hundred bytes of your own')
    .requiredOption('--name <name>', 'its name')
    .option('--node <regex>', 'only nodes whose names match')
    .option('--service <regex>', 'only nodes with such a service')
    .option('--tag <regex>', 'with --service: and such a tag')
  remote(stopAtOperand(event), io, async (api, flags: { name: string; node?: string; service?: string; tag?: string }, [payload]) => {
    if (flags.tag !== undefined && flags.service === undefined) throw new CliError('--tag needs --service')
    const query = new URLSearchParams()
    for (const key of ['node', 'service', 'tag'] as const) if (flags[key] !== undefined) query.set(key, flags[key])
    const path = `/v1/event/fire/${encodeURIComponent(flags.name)}?${query}`
    const { text } = await api.call({ method: 'PUT', path, ...(payload === undefined ? {} : { body: payload }) })
    io.out(`Event ID: ${(JSON.parse(text) as { ID: string }).ID}\n`)
  })

  const rtt = program
    .command('rtt')
    .description('round trip between two nodes, as far as coordinates are known')
    .argument('<node1>')
    .argument('[node2]', 'default: the node asked')
    .option('--wan', 'between datacenters')
  remote(rtt, io, async (api, { wan }: { wan?: boolean }, [first, second]) => {
    if (wan === true) throw new CliError('--wan: there is one datacenter')
    const { Config } = await api.getJson<{ Config: { NodeName: string } }>('/v1/agent/self')
    const other = second ?? Config.NodeName
    const known = await api.getJson<readonly { readonly Node: string; readonly Coord: Coordinate }[]>('/v1/coordinate/nodes')
    const [from, to] = [first!, other].map(name => {
      const found = known.find(({ Node }) => Node === name)
      if (found === undefined) throw new CliError(`Could not find a coordinate for node ${JSON.stringify(name)}`)
      return found.Coord
    })
    io.out(`Estimated ${first} <-> ${other} rtt: ${(distanceSeconds(from!, to!) * 1e3).toFixed(3)} ms (using LAN coordinates)\n`)
  })
}

interface Coordinate {
  readonly Vec: readonly number[]
  readonly Adjustment: number
  readonly Height: number
}

/** Vivaldi's: the way between the points, and up and down their heights. */
function distanceSeconds(a: Coordinate, b: Coordinate): number {
  const between = Math.hypot(...a.Vec.map((value, i) => value - (b.Vec[i] ?? 0)))
  const plain = between + a.Height + b.Height
  const adjusted = plain + a.Adjustment + b.Adjustment
  return adjusted > 0 ? adjusted : plain
}

function addMembers(program: Command, io: CommandIo): void {
  const members = program
    .command('members')
    .description('the members of the cluster')
    .option('--detailed', 'with their tags')
    .option('--status <regex>', 'only those in such a state (alive, left, failed; default: all)')
    .option('--wan', 'the servers of all datacenters')
    .option('--segment <name>', 'refused: segments are of Consul Enterprise')
    .option('--filter <expression>', 'only those it holds for')
    .option(...JSON_OPTION)
  remote(members, io, async (api, flags: MemberFlags) => {
    if (flags.segment !== undefined && flags.segment !== '_all') throw new CliError('--segment: network segments are of Consul Enterprise')
    const query = new URLSearchParams({
      ...(flags.wan === true ? { wan: '1' } : {}),
      ...(flags.filter === undefined ? {} : { filter: flags.filter }),
    })
    const pattern = regex(flags.status ?? '.*', '--status')
    const found = (await api.getJson<Member[]>(`/v1/agent/members?${query}`))
      .filter(member => pattern.test(STATUSES[member.Status] ?? ''))
      .sort((a, b) => (a.Name < b.Name ? -1 : 1))
    if (found.length === 0) throw new AnswerCode(NO_MEMBER)
    if (flags.json === true) return void io.out(formatJson(found))
    if (flags.detailed === true) {
      const rows = found.map(member => [member.Name, addressOf(member), STATUSES[member.Status] ?? '', tags(member)])
      return void io.out(formatTable(['Node', 'Address', 'Status', 'Tags'], rows))
    }
    const head = ['Node', 'Address', 'Status', 'Type', 'Build', 'Protocol', 'DC', 'Partition', 'Segment']
    io.out(formatTable(head, found.map(memberRow)))
  })
}

function memberRow(member: Member): string[] {
  const { role, build = '', vsn = '', dc = '', ap = 'default', segment = '' } = member.Tags
  const isServer = role === 'consul'
  return [
    member.Name,
    addressOf(member),
    STATUSES[member.Status] ?? '',
    isServer ? 'server' : 'client',
    build.split(':')[0]!,
    vsn,
    dc,
    ap,
    segment === '' ? (isServer ? '<all>' : '<default>') : segment,
  ]
}

function addressOf({ Addr, Port }: Member): string {
  return Addr.includes(':') ? `[${Addr}]:${Port}` : `${Addr}:${Port}`
}

function tags(member: Member): string {
  return Object.entries(member.Tags)
    .map(([name, value]) => `${name}=${value}`)
    .sort()
    .join(',')
}

function addProcess(program: Command, io: CommandIo): void {
  remote(
    program
      .command('info')
      .description('figures of the agent')
      .option(...JSON_OPTION),
    io,
    async (api, { json }: { json?: boolean }) => {
      const { Stats } = await api.getJson<{ Stats: Readonly<Record<string, Readonly<Record<string, string>>>> }>('/v1/agent/self')
      if (json === true) return void io.out(formatJson(Stats))
      for (const section of Object.keys(Stats).sort()) {
        io.out(`${section}:\n`)
        for (const [name, value] of Object.entries(Stats[section]!).sort(([a], [b]) => (a < b ? -1 : 1))) io.out(`\t${name} = ${value}\n`)
      }
    },
  )

  const monitor = program
    .command('monitor')
    .description('print the log of the agent as it is written, until interrupted')
    .option('--log-level <level>', 'trace, debug, info, warn, err (default: info)')
    .option('--log-json', 'as JSON')
  remote(monitor, io, async (api, { logLevel = 'info', logJson }: { logLevel?: string; logJson?: boolean }) => {
    const query = new URLSearchParams({ loglevel: logLevel, ...(logJson === true ? { logjson: 'true' } : {}) })
    await api.stream({ method: 'GET', path: `/v1/agent/monitor?${query}` }, text => io.out(text))
  })

  remote(program.command('reload').description('have the agent read its configuration again'), io, async api => {
    await api.put('/v1/agent/reload')
    io.out('Configuration reload triggered\n')
  })
  remote(program.command('leave').description('have the agent leave and end'), io, async api => {
    await api.put('/v1/agent/leave')
    io.out('Graceful leave complete\n')
  })
  const join = program
    .command('join')
    .description('have the agent join a cluster by the address of a member')
    .argument('<address...>')
    .option('--wan', 'a server of another datacenter')
  remote(join, io, async (api, { wan }: { wan?: boolean }, addresses) => {
    for (const address of addresses) await api.put(`/v1/agent/join/${encodeURIComponent(address)}${wan === true ? '?wan=1' : ''}`)
    io.out(`Successfully joined cluster by contacting ${addresses.length} nodes.\n`)
  })
  const forceLeave = program
    .command('force-leave')
    .description('declare a member gone')
    .argument('<node>')
    .option('--prune', 'and forget it')
    .option('--wan', 'in the pool of all datacenters')
  remote(forceLeave, io, async (api, { prune, wan }: { prune?: boolean; wan?: boolean }, [node]) => {
    const query = new URLSearchParams({ ...(prune === true ? { prune: '1' } : {}), ...(wan === true ? { wan: '1' } : {}) })
    await api.put(`/v1/agent/force-leave/${encodeURIComponent(node!)}?${query}`)
  })
}

function addMaint(program: Command, io: CommandIo): void {
  const maint = program
    .command('maint')
    .description('take the node or a service out of service and back; without flags: what is out of service')
    .option('--enable', 'take it out of service')
    .option('--disable', 'take it back')
    .option('--reason <text>', 'with --enable: why')
    .option('--service <id>', 'this instance instead of the node')
  remote(maint, io, async (api, flags: { enable?: boolean; disable?: boolean; reason?: string; service?: string }) => {
    const { enable, disable, reason, service } = flags
    if (enable === true && disable === true) throw new CliError('only one of --enable and --disable may be given')
    if (enable !== true && disable !== true) {
      if (reason !== undefined || service !== undefined) throw new CliError('--reason and --service need --enable or --disable')
      return listMaintenance(api, io)
    }
    if (reason !== undefined && enable !== true) throw new CliError('--reason needs --enable')
    const query = new URLSearchParams({ enable: String(enable === true), ...(reason === undefined ? {} : { reason }) })
    await api.put(
      service === undefined ? `/v1/agent/maintenance?${query}` : `/v1/agent/service/maintenance/${encodeURIComponent(service)}?${query}`,
    )
    const state = enable === true ? 'enabled' : 'disabled'
    io.out(
      service === undefined ? `Node maintenance is now ${state}\n` : `Service maintenance is now ${state} for ${JSON.stringify(service)}\n`,
    )
  })
}

async function listMaintenance(api: ControlApi, io: CommandIo): Promise<void> {
  const checks = await api.getJson<Record<string, { CheckID: string; ServiceID: string; Notes: string }>>('/v1/agent/checks')
  const { Config } = await api.getJson<{ Config: { NodeName: string } }>('/v1/agent/self')
  for (const { CheckID, ServiceID, Notes } of Object.values(checks)) {
    if (CheckID === '_node_maintenance') io.out(`Node:\n  Name:   ${Config.NodeName}\n  Reason: ${Notes}\n\n`)
    else if (CheckID.startsWith('_service_maintenance:')) io.out(`Service:\n  ID:     ${ServiceID}\n  Reason: ${Notes}\n\n`)
  }
}

function regex(text: string, flag: string): RegExp {
  try {
    return new RegExp(text)
  } catch (error) {
    throw new CliError(`${flag} "${text}": ${(error as Error).message}`)
  }
}
