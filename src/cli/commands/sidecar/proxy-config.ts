// `outrigger proxy-config clusters|endpoints|listeners|routes|secrets|log PROXY`: what a running proxy has, from one place. Asks its admin, so
// it works on the real Envoy too (by --admin). Declared for program.ts.
import type { Command } from 'commander'
import { remote } from '../../command-line/api-flags.js'
import type { CommandIo } from '../../command-line/command-io.js'
import type { ControlApi } from '../../command-line/control-api.js'
import { formatTable } from '../../command-line/print.js'
import { findAdmin } from './find-admin.js'

/** Of the admin's answers, ours or Envoy's, what the tables show. */
interface AdminAnswer {
  readonly cluster_statuses?: readonly ClusterStatus[]
  readonly listener_statuses?: readonly { readonly name: string; readonly local_address?: Address }[]
  readonly configs?: readonly RouteDump[]
  readonly certificates?: readonly { readonly ca_cert?: readonly Certificate[]; readonly cert_chain?: readonly Certificate[] }[]
}

interface Address {
  readonly socket_address?: { readonly address: string; readonly port_value: number }
  readonly pipe?: { readonly path: string }
}

interface ClusterStatus {
  readonly name: string
  readonly added_via_api?: boolean
  readonly host_statuses?: readonly {
    readonly address?: Address
    readonly weight?: number
    /** `eds_health_status`, and a flag for each reason to be out. */
    readonly health_status?: Readonly<Record<string, unknown>>
  }[]
}

interface RouteDump {
  readonly static_route_configs?: readonly { readonly route_config?: RouteConfig }[]
  readonly dynamic_route_configs?: readonly { readonly route_config?: RouteConfig }[]
}

interface RouteConfig {
  readonly name?: string
  readonly virtual_hosts?: readonly { readonly name: string; readonly routes?: readonly Route[] }[]
}

interface Route {
  readonly name?: string
  readonly match?: Readonly<Record<string, unknown>>
  readonly redirect?: object
  readonly direct_response?: { readonly status?: number }
  readonly route?: {
    readonly cluster?: string
    readonly cluster_header?: string
    readonly weighted_clusters?: { readonly clusters?: readonly { readonly name: string; readonly weight?: number }[] }
  }
}

interface Certificate {
  readonly path?: string
  readonly serial_number?: string
  readonly expiration_time?: string
  readonly days_until_expiration?: string
  readonly subject_alt_names?: readonly { readonly uri?: string; readonly dns?: string }[]
}

interface View {
  readonly name: string
  readonly description: string
  readonly path: string
  readonly head: readonly string[]
  rows(answer: AdminAnswer): string[][]
}

interface Flags {
  readonly admin?: string
  readonly json?: boolean
  readonly level?: string
}

const text = (value: unknown): string => (value === undefined || value === null || value === '' ? '-' : String(value))

const address = (of: Address | undefined): string => {
  const socket = of?.socket_address
  return socket === undefined ? text(of?.pipe?.path) : `${socket.address}:${socket.port_value}`
}

/** Of a dump, static and dynamic. */
function routeConfigs({ configs = [] }: AdminAnswer): RouteConfig[] {
  return configs.flatMap(({ static_route_configs: fixed = [], dynamic_route_configs: dynamic = [] }) =>
    [...fixed, ...dynamic].flatMap(({ route_config: config }) => config ?? []),
  )
}

function routeTarget({ route, redirect, direct_response: direct }: Route): string {
  if (redirect !== undefined) return 'redirect'
  if (direct !== undefined) return `answer ${text(direct.status)}`
  const legs = route?.weighted_clusters?.clusters
  if (legs !== undefined) return legs.map(({ name, weight = 0 }) => `${name} (${weight})`).join(', ')
  return text(route?.cluster ?? route?.cluster_header)
}

function routeMatch(match: Readonly<Record<string, unknown>> = {}): string {
  const { headers, query_parameters: query, ...path } = match
  const [kind] = Object.entries(path).map(([name, value]) => `${name} ${typeof value === 'string' ? value : JSON.stringify(value)}`)
  return `${kind ?? '-'}${headers === undefined ? '' : ', headers'}${query === undefined ? '' : ', query'}`
}

const HEALTH_FLAGS = ['failed_active_health_check', 'failed_outlier_check', 'pending_dynamic_removal', 'pending_active_hc']

const VIEWS: readonly View[] = [
  {
    name: 'clusters',
    description: 'the clusters of a proxy',
    path: '/clusters?format=json',
    head: ['CLUSTER', 'ENDPOINTS', 'FROM'],
    rows: ({ cluster_statuses: clusters = [] }) =>
      clusters.map(({ name, host_statuses: hosts = [], added_via_api: dynamic }) => [
        name,
        String(hosts.length),
        dynamic === true ? 'xDS' : 'bootstrap',
      ]),
  },
  {
    name: 'endpoints',
    description: 'the endpoints of a proxy, with their health',
    path: '/clusters?format=json',
    head: ['CLUSTER', 'ENDPOINT', 'HEALTH', 'OUT BY', 'WEIGHT'],
    rows: ({ cluster_statuses: clusters = [] }) =>
      clusters.flatMap(({ name, host_statuses: hosts = [] }) =>
        hosts.map(host => [
          name,
          address(host.address),
          text(host.health_status?.eds_health_status),
          HEALTH_FLAGS.filter(flag => host.health_status?.[flag] === true).join(', ') || '-',
          text(host.weight),
        ]),
      ),
  },
  {
    name: 'listeners',
    description: 'the listeners of a proxy',
    path: '/listeners?format=json',
    head: ['LISTENER', 'ADDRESS'],
    rows: ({ listener_statuses: listeners = [] }) => listeners.map(({ name, local_address: local }) => [name, address(local)]),
  },
  {
    name: 'routes',
    description: 'the routes of a proxy, in order',
    path: '/config_dump',
    head: ['ROUTE CONFIG', 'VIRTUAL HOST', 'ROUTE', 'MATCH', 'TO'],
    rows: answer =>
      routeConfigs(answer).flatMap(({ name, virtual_hosts: hosts = [] }) =>
        hosts.flatMap(host =>
          (host.routes ?? []).map((route, i) => [
            text(name),
            host.name,
            route.name || `routes[${i}]`,
            routeMatch(route.match),
            routeTarget(route),
          ]),
        ),
      ),
  },
  {
    name: 'secrets',
    description: 'the certificates that a proxy uses, and when they end',
    path: '/certs',
    head: ['KIND', 'NAME', 'SERIAL', 'UNTIL', 'DAYS'],
    rows: ({ certificates = [] }) =>
      certificates.flatMap(({ ca_cert: roots = [], cert_chain: chain = [] }) => [
        ...roots.map(each => certificateRow('CA', each)),
        ...chain.map(each => certificateRow('own', each)),
      ]),
  },
]

function certificateRow(
  kind: string,
  { path, serial_number: serial, expiration_time: until, days_until_expiration: days, subject_alt_names: names }: Certificate,
): string[] {
  const [name] = names ?? []
  return [kind, text(name?.uri ?? name?.dns ?? path), text(serial), text(until), text(days ?? 0)]
}

export function addProxyConfig(program: Command, io: CommandIo): void {
  const group = program
    .command('proxy-config')
    .description('what a running proxy has: clusters, endpoints, listeners, routes, secrets, log levels')
  for (const view of VIEWS) {
    const command = proxyCommand(group, view.name, view.description).option('--json', 'print JSON, as the proxy answers')
    remote(command, io, (api, flags: Flags, [proxy]) => show(view, proxy, flags, api, io))
  }
  const log = proxyCommand(group, 'log', 'the log levels of a proxy, and how they are changed')
    .option('--level <level>', 'sets every logger, or one by name:level')
    .option('--json', 'print JSON')
  remote(log, io, (api, flags: Flags, [proxy]) => logLevels(proxy, flags, api, io))
}

function proxyCommand(group: Command, name: string, description: string): Command {
  return group
    .command(name)
    .description(description)
    .argument('[proxy]', 'as `outrigger proxies` names it, for example web-sidecar-proxy')
    .option('--admin <host:port>', 'its admin address, in place of its name')
}

async function show(view: View, proxy: string | undefined, flags: Flags, api: ControlApi, io: CommandIo): Promise<void> {
  const admin = await findAdmin(proxy, flags.admin, api)
  const answer = await admin.getJson<object>(view.path)
  io.out(flags.json ? `${JSON.stringify(answer, null, 2)}\n` : formatTable(view.head, view.rows(answer)))
}

async function logLevels(proxy: string | undefined, { admin: address, level, json }: Flags, api: ControlApi, io: CommandIo): Promise<void> {
  const admin = await findAdmin(proxy, address, api)
  const [logger, of] = level?.includes(':') ? level.split(':', 2) : ['level', level]
  const query = of === undefined ? '' : `?${encodeURIComponent(logger!)}=${encodeURIComponent(of)}`
  const { text: shown } = await admin.call({ method: 'POST', path: `/logging${query}` })
  io.out(json ? `${JSON.stringify(Object.fromEntries([...shown.matchAll(LOGGER)].map(([, name, at]) => [name, at])), null, 2)}\n` : shown)
}

/** A line of what the admin says: `  http: info`. */
const LOGGER = /^ +(\S+): (\S+)$/gm
