// `outrigger connect redirect-traffic`: the kernel hands the connections of this machine, or of one network namespace, to a transparent
// proxy. Flags are Consul's, and --dry-run and --undo. Declared by connect.ts; the rules are made in `redirect/`.
import { isIP } from 'node:net'
import type { Command } from 'commander'
import { IPV6_KEY } from '../../control/config-entries/proxy-config-keys.js'
import { type ApiFlags, remote } from '../command-line/api-flags.js'
import { collect } from '../command-line/collect.js'
import { CliError, type CommandIo } from '../command-line/command-io.js'
import type { ControlApi } from '../command-line/control-api.js'
import { applyRedirect, hasIpv6Rules, installedTool, redirectText } from '../redirect/apply-redirect.js'
import { DEFAULT_OUTBOUND_PORT, DNS_PORT, portOf, type RedirectPlan, rangeOf, userOf } from '../redirect/redirect-plan.js'

interface RedirectFlags extends ApiFlags {
  readonly proxyId?: string
  readonly proxyUid?: string
  readonly proxyInboundPort?: string
  readonly proxyOutboundPort?: string
  readonly excludeInboundPort?: readonly string[]
  readonly excludeOutboundPort?: readonly string[]
  readonly excludeOutboundCidr?: readonly string[]
  readonly excludeUid?: readonly string[]
  readonly consulDnsIp?: string
  readonly consulDnsPort?: string
  readonly ipv6?: boolean
  readonly netns?: string
  readonly dryRun?: boolean
  readonly undo?: boolean
}

const DNS_HOST = '127.0.0.1'

export function addRedirectTraffic(connect: Command, io: CommandIo): void {
  const redirect = connect
    .command('redirect-traffic')
    .description('hand the connections of this machine to a transparent proxy (Linux, as root)')
    .option('--proxy-id <id>', 'ID of the proxy, whose registration says its ports')
    .option('--proxy-uid <uid>', 'number of the user that the proxy runs as: what it sends is left alone')
    .option('--proxy-inbound-port <port>', "the proxy's port for what comes in (default: that of its registration)")
    .option('--proxy-outbound-port <port>', `its port for what goes out (default: that of its registration, or ${DEFAULT_OUTBOUND_PORT})`)
    .option('--exclude-inbound-port <port>', 'what comes in to this port is left alone; may be given several times', collect)
    .option('--exclude-outbound-port <port>', 'what goes out to this port is left alone; may be given several times', collect)
    .option('--exclude-outbound-cidr <range>', 'what goes out to these addresses is left alone; may be given several times', collect)
    .option('--exclude-uid <uid>', 'what this user sends is left alone; may be given several times', collect)
    .option('--consul-dns-ip <ip>', 'names are asked at this address')
    .option('--consul-dns-port <port>', `and at this port (default: ${DNS_PORT}; without an address that of ${DNS_HOST})`)
    .option('--ipv6', `connections to IPv6 addresses too (default: where Config of the proxy has ${IPV6_KEY})`)
    .option('--netns <file>', 'in this network namespace, such as /var/run/netns/web')
    .option('--dry-run', 'print the rules and do nothing')
    .option('--undo', 'take back what was done before')
  remote(redirect, io, (api, flags: RedirectFlags) => redirectTraffic(flags, api, io))
}

async function redirectTraffic(flags: RedirectFlags, api: ControlApi, io: CommandIo): Promise<void> {
  if (process.platform !== 'linux') throw new CliError(`traffic is redirected by the kernel of Linux, this is ${process.platform}`)
  if (flags.netns !== undefined && !flags.netns.startsWith('/')) throw new CliError(`--netns ${flags.netns}: must be an absolute path`)
  const plan = flags.undo === true ? null : await planOf(flags, api)
  const tool = installedTool()
  if (flags.dryRun === true) {
    io.out(redirectText(plan, tool, hasIpv6Rules(tool, flags.netns)))
    return
  }
  applyRedirect(plan, tool, flags.netns)
  io.out(plan === null ? 'Traffic is no longer redirected.\n' : 'Successfully applied traffic redirection rules\n')
}

async function planOf(flags: RedirectFlags, api: ControlApi): Promise<RedirectPlan> {
  if (flags.proxyUid === undefined) throw new CliError('-proxy-uid is required')
  if (flags.proxyId === undefined && flags.proxyInboundPort === undefined)
    throw new CliError('either -proxy-id or -proxy-inbound-port is required')
  if (flags.proxyId !== undefined && (flags.proxyInboundPort ?? flags.proxyOutboundPort) !== undefined)
    throw new CliError('-proxy-inbound-port and -proxy-outbound-port cannot be given together with -proxy-id')
  const registered = flags.proxyId === undefined ? undefined : await registeredPorts(flags.proxyId, api)
  const inboundPort = registered?.inbound ?? portOf('-proxy-inbound-port', flags.proxyInboundPort!)
  const own = flags.proxyOutboundPort === undefined ? DEFAULT_OUTBOUND_PORT : portOf('-proxy-outbound-port', flags.proxyOutboundPort)
  return {
    exemptUsers: [...new Set([userOf('-proxy-uid', flags.proxyUid), ...(flags.excludeUid ?? []).map(uid => userOf('-exclude-uid', uid))])],
    outboundPort: registered?.outbound ?? own,
    exemptOutboundPorts: ports('-exclude-outbound-port', flags.excludeOutboundPort),
    exemptOutboundRanges: [...new Set((flags.excludeOutboundCidr ?? []).map(range => rangeOf('-exclude-outbound-cidr', range)))],
    inboundPort,
    // Its own port is where what comes in goes anyway, and the others are of what it serves in the clear.
    exemptInboundPorts: [...new Set([...ports('-exclude-inbound-port', flags.excludeInboundPort), ...(registered?.exempt ?? [])])],
    ipv6: flags.ipv6 ?? registered?.ipv6 ?? false,
    dns: dnsOf(flags),
  }
}

function ports(flag: string, texts: readonly string[] | undefined): number[] {
  return [...new Set((texts ?? []).map(text => portOf(flag, text)))]
}

function dnsOf({ consulDnsIp, consulDnsPort }: RedirectFlags): RedirectPlan['dns'] {
  if (consulDnsIp === undefined && consulDnsPort === undefined) return null
  if (consulDnsIp !== undefined && isIP(consulDnsIp) !== 4) throw new CliError(`-consul-dns-ip ${consulDnsIp}: must be an IPv4 address`)
  return { host: consulDnsIp ?? DNS_HOST, port: consulDnsPort === undefined ? DNS_PORT : portOf('-consul-dns-port', consulDnsPort) }
}

interface RegisteredProxy {
  readonly Kind?: string
  readonly Port: number
  readonly Proxy?: {
    readonly DestinationServiceName?: string
    readonly DestinationServiceID?: string
    readonly Mode?: string
    readonly TransparentProxy?: { readonly OutboundListenerPort?: number }
    readonly Config?: Readonly<Record<string, unknown>>
    readonly Expose?: { readonly Paths?: readonly { readonly ListenerPort: number }[] }
  }
}

interface ProxyDefaults {
  readonly TransparentProxy?: { readonly OutboundListenerPort?: number }
  readonly Config?: Readonly<Record<string, unknown>>
}

interface RegisteredPorts {
  readonly inbound: number
  readonly outbound: number
  readonly ipv6: boolean
  readonly exempt: readonly number[]
}

/** Of the registration, and where it is silent of the config entries. */
async function registeredPorts(id: string, api: ControlApi): Promise<RegisteredPorts> {
  const { Kind, Port, Proxy: proxy } = await api.getJson<RegisteredProxy>(`/v1/agent/service/${encodeURIComponent(id)}`)
  if (Kind !== 'connect-proxy' || proxy === undefined) throw new CliError(`${id}: is no sidecar proxy`)
  const entry = async (path: string): Promise<ProxyDefaults> => (await api.findJson<ProxyDefaults>(`/v1/config/${path}`)) ?? {}
  const defaults = [
    await entry(`service-defaults/${encodeURIComponent(proxy.DestinationServiceName ?? '')}`),
    await entry('proxy-defaults/global'),
  ]
  const config = { ...defaults[1]!.Config, ...proxy.Config }
  const outbound = [proxy, ...defaults].find(source => source.TransparentProxy?.OutboundListenerPort)?.TransparentProxy
  return {
    inbound: typeof config['bind_port'] === 'number' && config['bind_port'] > 0 ? config['bind_port'] : Port,
    outbound: outbound?.OutboundListenerPort ?? DEFAULT_OUTBOUND_PORT,
    ipv6: config[IPV6_KEY] === true || config[IPV6_KEY] === 'true',
    exempt: [
      ...['envoy_prometheus_bind_addr', 'envoy_stats_bind_addr'].flatMap(key => portIn(config[key])),
      ...(proxy.Expose?.Paths ?? []).map(({ ListenerPort }) => ListenerPort),
      ...(await checkPorts(proxy.DestinationServiceID ?? '', api)),
    ],
  }
}

/** Those that the sidecar opens for checks of the service behind it. */
async function checkPorts(service: string, api: ControlApi): Promise<number[]> {
  const filter = encodeURIComponent(`ServiceID == ${JSON.stringify(service)}`)
  const checks = await api.getJson<Record<string, { readonly ExposedPort?: number }>>(`/v1/agent/checks?filter=${filter}`)
  return Object.values(checks).flatMap(({ ExposedPort: port = 0 }) => (port > 0 ? [port] : []))
}

/** Of `host:port`. */
function portIn(address: unknown): number[] {
  const match = typeof address === 'string' ? /:(\d{1,5})$/.exec(address) : null
  return match === null ? [] : [Number(match[1])]
}
