// The flags by which `connect envoy -gateway` and `gateway` name a gateway, and what they register of it: Consul's. Called by connect.ts and
// gateway.ts. Invariant: a gateway is registered under the address that others are to reach it by, with a check that it listens there.
import type { Command } from 'commander'
import { collect } from '../command-line/collect.js'
import { CliError, type CommandIo } from '../command-line/command-io.js'
import type { ControlApi } from '../command-line/control-api.js'

export interface GatewayFlags {
  readonly register?: boolean
  readonly service?: string
  readonly address?: string
  readonly wanAddress?: string
  readonly bindAddress?: readonly string[]
  readonly deregisterAfterCritical?: string
  readonly proxyId?: string
}

/** By the word of the flag. */
export const GATEWAYS: Readonly<Record<string, string>> = {
  terminating: 'terminating-gateway',
  api: 'api-gateway',
  ingress: 'ingress-gateway',
  mesh: 'mesh-gateway',
}
/** Others listen where their entries say: of them only a given address is checked. */
const ADDRESSED: ReadonlySet<string> = new Set(['terminating-gateway', 'mesh-gateway'])
const DEFAULT_PORT = 8_443
const DEFAULT_DEREGISTER_AFTER = '6h'

export function addGatewayFlags(command: Command): Command {
  return command
    .option('--service <name>', 'name to register it under (default: its kind)')
    .option('--address <address:port>', `where others reach it (default: the node's address, port ${DEFAULT_PORT})`)
    .option('--wan-address <address:port>', 'where other datacenters reach it')
    .option('--bind-address <name=address:port>', 'where it listens in place of that; may be given several times', collect)
    .option('--deregister-after-critical <duration>', `of its check (default: ${DEFAULT_DEREGISTER_AFTER})`)
}

export function gatewayKind(word: string): string {
  const kind = Object.hasOwn(GATEWAYS, word) ? GATEWAYS[word] : undefined
  if (kind === undefined) throw new CliError(`gateway must be one of ${Object.keys(GATEWAYS).join(', ')}, not "${word}"`)
  return kind
}

/** The ID of the gateway that the flags name: registered now, or the only one of its kind here. */
export async function gatewayId(kind: string, flags: GatewayFlags, api: ControlApi, io: CommandIo): Promise<string> {
  if (flags.register === true) return register(kind, flags, api, io)
  if (flags.proxyId !== undefined) return flags.proxyId
  const services = await api.getJson<Record<string, { Kind?: string; ID: string; Service: string }>>('/v1/agent/services')
  const found = Object.values(services).filter(
    ({ Kind, Service }) => Kind === kind && (flags.service === undefined || Service === flags.service),
  )
  if (found.length === 0) throw new CliError(`No ${kind} is registered on this node: -register registers one`)
  if (found.length > 1) throw new CliError(`More than one ${kind}: ${found.map(({ ID }) => ID).join(', ')}: name one by --proxy-id`)
  return found[0]!.ID
}

async function register(kind: string, flags: GatewayFlags, api: ControlApi, io: CommandIo): Promise<string> {
  const name = flags.service ?? kind
  const id = flags.proxyId ?? name
  const lan = flags.address === undefined ? await nodeAddress(api) : addressOf(flags.address, '--address')
  const wan = flags.wanAddress === undefined ? undefined : addressOf(flags.wanAddress, '--wan-address')
  const binds = (flags.bindAddress ?? []).map(bind => {
    const equals = bind.indexOf('=')
    if (equals <= 0) throw new CliError(`--bind-address ${bind}: must be name=address:port`)
    return [bind.slice(0, equals), addressOf(bind.slice(equals + 1), '--bind-address')] as const
  })
  const own = binds.length === 0 ? {} : { envoy_gateway_no_default_bind: true, envoy_gateway_bind_addresses: Object.fromEntries(binds) }
  const { warnings } = await api.put('/v1/agent/service/register?replace-existing-checks=true', {
    Kind: kind,
    ID: id,
    Name: name,
    Address: lan.Address,
    Port: lan.Port,
    TaggedAddresses: { lan, ...(wan === undefined ? {} : { wan }) },
    Proxy: { Config: own },
    ...(flags.address === undefined && !ADDRESSED.has(kind) ? {} : { Check: listeningCheck(kind, lan, flags) }),
  })
  for (const warning of warnings) io.err(`warning: ${warning}\n`)
  io.err(`Registered service: ${name}\n`)
  return id
}

function listeningCheck(kind: string, { Address, Port }: { Address: string; Port: number }, flags: GatewayFlags): object {
  return {
    Name: `${kind} listening`,
    TCP: `${Address.includes(':') ? `[${Address}]` : Address}:${Port}`,
    Interval: '10s',
    DeregisterCriticalServiceAfter: flags.deregisterAfterCritical ?? DEFAULT_DEREGISTER_AFTER,
  }
}

async function nodeAddress(api: ControlApi): Promise<{ Address: string; Port: number }> {
  const { Member } = await api.getJson<{ Member: { Addr: string } }>('/v1/agent/self')
  return { Address: Member.Addr, Port: DEFAULT_PORT }
}

function addressOf(text: string, flag: string): { Address: string; Port: number } {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:\s]+))(?::(\d{1,5}))?$/.exec(text)
  const port = match?.[3] === undefined ? DEFAULT_PORT : Number(match[3])
  if (match === null || port > 65_535) throw new CliError(`${flag} ${text}: must be address:port`)
  return { Address: match[1] ?? match[2]!, Port: port }
}
