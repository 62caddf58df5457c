// `outrigger operator …` and `keyring`: one server's raft, autopilot and usage, as honestly as one server can. Declared for program.ts.
import type { Command } from 'commander'
import { remote } from '../command-line/api-flags.js'
import { CliError, type CommandIo } from '../command-line/command-io.js'
import type { ControlApi } from '../command-line/control-api.js'
import { FORMAT_OPTION, formatFields, formatJson, formatTable, JSON_OPTION, printAs } from '../command-line/print.js'

interface RaftServer {
  readonly ID: string
  readonly Node: string
  readonly Address: string
  readonly Leader: boolean
  readonly ProtocolVersion: string
  readonly Voter: boolean
  readonly LastIndex: number
}

export function addOperator(program: Command, io: CommandIo): void {
  const operator = program.command('operator').description('the servers: raft, autopilot, usage')
  const raft = operator.command('raft').description('the servers that keep the state')
  const list = raft
    .command('list-peers')
    .description('list them')
    .option('--detailed', 'with indexes')
    .option(...JSON_OPTION)
  remote(list, io, async (api, { json }: { json?: boolean }) => {
    const { Servers } = await api.getJson<{ Servers: RaftServer[] }>('/v1/operator/raft/configuration')
    if (json === true) return void io.out(formatJson(Servers))
    const rows = Servers.map(server => [
      server.Node,
      server.ID,
      server.Address,
      server.Leader ? 'leader' : 'follower',
      String(server.Voter),
      server.ProtocolVersion,
      String(server.LastIndex),
      server.Leader ? '-' : '0 commits',
    ])
    io.out(formatTable(['Node', 'ID', 'Address', 'State', 'Voter', 'RaftProtocol', 'Commit Index', 'Trails Leader By'], rows))
  })
  const removePeer = raft
    .command('remove-peer')
    .description('take a server out')
    .option('--address <host:port>', 'by address')
    .option('--id <id>', 'by ID')
  remote(removePeer, io, async (api, flags: { address?: string; id?: string }) => {
    await api.delete(`/v1/operator/raft/peer?${new URLSearchParams({ ...flags })}`)
  })
  const transfer = raft.command('transfer-leader').description('have another server lead').option('--id <id>', 'this one')
  remote(transfer, io, async (api, { id }: { id?: string }) => {
    await api.postJson(`/v1/operator/raft/transfer-leader${id === undefined ? '' : `?id=${encodeURIComponent(id)}`}`, undefined)
  })
  addAutopilot(operator, io)
  const usage = operator
    .command('usage')
    .description('how much is registered')
    .command('instances')
    .description('services and instances by kind')
    .option('--all-datacenters', 'of all datacenters')
    .option(...JSON_OPTION)
  remote(usage, io, async (api, { json }: { json?: boolean }) => {
    const { Usage } = await api.getJson<{
      Usage: Record<
        string,
        { Services: number; ServiceInstances: number; ConnectServiceInstances: Record<string, number>; BillableServiceInstances: number }
      >
    }>('/v1/operator/usage')
    if (json === true) return void io.out(formatJson(Usage))
    const rows = Object.entries(Usage).map(([dc, { Services, ServiceInstances }]) => [dc, String(Services), String(ServiceInstances)])
    io.out(`Service instances\n${formatTable(['Datacenter', 'Services', 'Service instances'], rows)}`)
    const connect = Object.entries(Usage).flatMap(([dc, { ConnectServiceInstances }]) =>
      Object.entries(ConnectServiceInstances ?? {}).map(([kind, count]) => [dc, kind, String(count)]),
    )
    io.out(`\nConnect instances\n${formatTable(['Datacenter', 'Type', 'Service instances'], connect)}`)
  })
  addKeyring(program, io)
}

function addAutopilot(operator: Command, io: CommandIo): void {
  const autopilot = operator
    .command('autopilot')
    .description('rules by which servers look after one another; here they are kept and have nothing to do')
  const path = '/v1/operator/autopilot/configuration'
  remote(
    autopilot
      .command('get-config')
      .description('show them')
      .option(...JSON_OPTION),
    io,
    async (api, { json }: { json?: boolean }) => {
      const config = await api.getJson<Record<string, unknown>>(path)
      if (json === true) return void io.out(formatJson(config))
      for (const [name, value] of Object.entries(config)) if (!/Index$/.test(name)) io.out(`${name} = ${String(value)}\n`)
    },
  )
  const set = autopilot
    .command('set-config')
    .description('change them')
    .option('--cleanup-dead-servers <bool>', 'true or false')
    .option('--last-contact-threshold <duration>', 'how long a server may be silent')
    .option('--max-trailing-logs <n>', 'how far a server may be behind')
    .option('--min-quorum <n>', 'servers that are never cleaned up')
    .option('--server-stabilization-time <duration>', 'how long a new server must be well')
  remote(set, io, async (api, flags: Record<string, string>) => {
    const { CreateIndex: _created, ModifyIndex: _modified, ...before } = await api.getJson<Record<string, unknown>>(path)
    const changes: [string, unknown][] = []
    if (flags['cleanupDeadServers'] !== undefined) changes.push(['CleanupDeadServers', flags['cleanupDeadServers'] === 'true'])
    if (flags['lastContactThreshold'] !== undefined) changes.push(['LastContactThreshold', flags['lastContactThreshold']])
    if (flags['maxTrailingLogs'] !== undefined) changes.push(['MaxTrailingLogs', Number(flags['maxTrailingLogs'])])
    if (flags['minQuorum'] !== undefined) changes.push(['MinQuorum', Number(flags['minQuorum'])])
    if (flags['serverStabilizationTime'] !== undefined) changes.push(['ServerStabilizationTime', flags['serverStabilizationTime']])
    await api.put(path, { ...before, ...Object.fromEntries(changes) })
    io.out('Configuration updated!\n')
  })
  const state = autopilot
    .command('state')
    .description('how the servers are')
    .option(...FORMAT_OPTION)
  remote(state, io, async (api, { format }: { format?: string }) => {
    const value = await api.getJson<{ Healthy: boolean; FailureTolerance: number; Leader: string; Voters: string[] }>(
      '/v1/operator/autopilot/state',
    )
    const text = (): string =>
      formatFields([
        ['Healthy', String(value.Healthy)],
        ['Failure Tolerance', String(value.FailureTolerance)],
        ['Leader', value.Leader],
        ['Voters', value.Voters.join(', ')],
      ])
    printAs(format, value, text, io)
  })
}

/** The control plane answers, and says why there are no keys. */
function addKeyring(program: Command, io: CommandIo): void {
  const keyring = program
    .command('keyring')
    .description('gossip keys, of which a control plane without gossip has none')
    .option('--list', 'list them')
    .option('--list-primary', 'list those in use')
    .option('--install <key>', 'add one')
    .option('--use <key>', 'use one')
    .option('--remove <key>', 'take one away')
    .option('--local-only', 'of the server asked')
    .option('--relay-factor <n>', 'no effect')
  remote(
    keyring,
    io,
    async (api: ControlApi, flags: { list?: boolean; listPrimary?: boolean; install?: string; use?: string; remove?: string }) => {
      const { install, use, remove } = flags
      const given = [flags.list === true || flags.listPrimary === true, install, use, remove].filter(Boolean)
      if (given.length !== 1) throw new CliError('exactly one of --list, --list-primary, --install, --use and --remove is needed')
      const method = install !== undefined ? 'POST' : use !== undefined ? 'PUT' : remove !== undefined ? 'DELETE' : 'GET'
      const key = install ?? use ?? remove
      const { text } = await api.call({
        method,
        path: '/v1/operator/keyring',
        ...(key === undefined ? {} : { body: JSON.stringify({ Key: key }) }),
      })
      io.out(text)
    },
  )
}
