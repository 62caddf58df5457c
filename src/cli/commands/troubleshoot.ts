// `outrigger troubleshoot upstreams|proxy|ports`: what a sidecar's admin endpoint says about why an upstream does not answer, and whether the
// ports of a control plane can be reached. Works on ours and on Envoy alike. Declared for program.ts.
import { connect } from 'node:net'
import type { Command } from 'commander'
import { DEFAULT_ADMIN } from '../../control/default-admin.js'
import { AnswerCode, CliError, type CommandIo } from '../command-line/command-io.js'
import { ControlApi } from '../command-line/control-api.js'
import { formatJson, JSON_OPTION } from '../command-line/print.js'

const DEFAULT_PORTS = '8500,8501,8502,8503,8600'
const DIAL_TIMEOUT_MS = 5_000

interface ListenerStatus {
  readonly name: string
}
interface ClusterStatus {
  readonly name: string
  readonly host_statuses?: readonly {
    readonly health_status?: {
      readonly eds_health_status?: string
      readonly failed_active_health_check?: boolean
      readonly failed_outlier_check?: boolean
    }
  }[]
}

export function addTroubleshoot(program: Command, io: CommandIo): void {
  const group = program.command('troubleshoot').description('why does an upstream not answer')
  const adminOption = (command: Command): Command =>
    command
      .option('--envoy-admin-endpoint <host:port>', "the sidecar's admin address", DEFAULT_ADMIN)
      .option(...JSON_OPTION)
      .allowExcessArguments(false)
  const upstreams = adminOption(group.command('upstreams').description('the upstreams that a sidecar knows'))
  upstreams.action(async () => {
    const flags = upstreams.opts<AdminFlags>()
    const names = await upstreamNames(adminOf(flags))
    if (flags.json === true) return void io.out(formatJson(names))
    io.out(`==> Upstreams (explicit upstreams only) (${names.length})\n${names.map(name => `${name}\n`).join('')}`)
  })
  const proxy = adminOption(group.command('proxy').description('checks a sidecar, and the way to one upstream'))
    .option('--upstream-envoy-id <name>', 'an upstream, as `troubleshoot upstreams` names it')
    .option('--upstream-ip <ip>', 'refused: traffic is not redirected here')
  proxy.action(() => checkProxy(proxy.opts(), io))
  const ports = group
    .command('ports')
    .description('which ports of a control plane can be reached by TCP')
    .requiredOption('--host <host>', 'its name or address')
    .option('--ports <list>', 'comma-separated', DEFAULT_PORTS)
    .option(...JSON_OPTION)
    .allowExcessArguments(false)
  ports.action(() => checkPorts(ports.opts(), io))
}

interface AdminFlags {
  readonly envoyAdminEndpoint: string
  readonly json?: boolean
}

function adminOf({ envoyAdminEndpoint: address }: AdminFlags): ControlApi {
  return new ControlApi({ address, subject: 'the sidecar', hint: '--envoy-admin-endpoint says where it is' })
}

/** Listeners of upstreams are named `<upstream>:<address>:<port>`; the sidecar's own are known by name. */
async function upstreamNames(admin: ControlApi): Promise<string[]> {
  const { listener_statuses: listeners = [] } = await admin.getJson<{ listener_statuses?: ListenerStatus[] }>('/listeners?format=json')
  return listeners
    .map(({ name }) => name.split(':')[0]!)
    .filter(name => !['public_listener', 'envoy_prometheus_metrics_listener', 'exposed_path'].some(own => name.startsWith(own)))
    .sort()
}

async function checkProxy(flags: AdminFlags & { upstreamEnvoyId?: string; upstreamIp?: string }, io: CommandIo): Promise<void> {
  const { upstreamEnvoyId: upstream, upstreamIp, json = false } = flags
  if (upstreamIp !== undefined)
    throw new CliError('--upstream-ip: traffic is not redirected here; name the upstream by --upstream-envoy-id')
  const admin = adminOf(flags)
  const said: { readonly Passed: boolean; readonly Message: string }[] = []
  const say = (good: boolean, text: string): void => {
    said.push({ Passed: good, Message: text })
    if (!json) io.out(` ${good ? '✓' : '✗'} ${text}\n`)
  }
  if (!json) io.out('==> Validation\n')
  const { certificates = [] } = await admin.getJson<{ certificates?: readonly CertificatePair[] }>('/certs')
  const expired = certificates.flatMap(({ ca_cert = [], cert_chain = [] }) => [...ca_cert, ...cert_chain]).filter(isExpired)
  say(
    certificates.length > 0 && expired.length === 0,
    expired.length === 0
      ? certificates.length === 0
        ? 'No certificates found'
        : 'Certificates are valid'
      : `${expired.length} certificates have expired`,
  )
  const stats = await counters(admin)
  const rejected = sum(stats, /update_rejected$/)
  say(rejected === 0, `Envoy has ${rejected} rejected configurations`)
  const failures = sum(stats, /upstream_cx_connect_fail$/)
  say(failures === 0, `Envoy has detected ${failures} connection failure(s)`)
  if (upstream !== undefined) {
    const names = await upstreamNames(admin)
    say(
      names.includes(upstream),
      names.includes(upstream)
        ? `Listener for upstream "${upstream}" found`
        : `No listener for upstream "${upstream}": there are ${names.join(', ') || 'none'}`,
    )
    const { cluster_statuses: clusters = [] } = await admin.getJson<{ cluster_statuses?: ClusterStatus[] }>('/clusters?format=json')
    const own = clusters.filter(({ name }) =>
      name
        .replace(/^[^~]*~/, '')
        .split('.')
        .includes(upstream),
    )
    say(own.length > 0, own.length > 0 ? `Cluster for upstream "${upstream}" found` : `No cluster for upstream "${upstream}"`)
    for (const { name, host_statuses: hosts = [] } of own) {
      const healthy = hosts.filter(
        ({ health_status: status = {} }) =>
          status.failed_active_health_check !== true &&
          status.failed_outlier_check !== true &&
          (status.eds_health_status ?? 'HEALTHY') === 'HEALTHY',
      )
      say(
        healthy.length > 0,
        `${healthy.length === 0 ? 'No healthy' : 'Healthy'} endpoints for cluster "${name}" (${healthy.length} of ${hosts.length})`,
      )
    }
  }
  if (json) io.out(formatJson(said))
  if (said.some(({ Passed }) => !Passed)) throw new AnswerCode(1)
}

interface CertificatePair {
  readonly ca_cert?: readonly Certificate[]
  readonly cert_chain?: readonly Certificate[]
}
interface Certificate {
  readonly expiration_time?: string
}

function isExpired({ expiration_time: end }: Certificate): boolean {
  return end !== undefined && Date.parse(end) <= Date.now()
}

async function counters(admin: ControlApi): Promise<ReadonlyMap<string, number>> {
  const { text } = await admin.get('/stats')
  return new Map(
    text
      .split('\n')
      .map((line): [string, number] => [line.slice(0, line.lastIndexOf(': ')), Number(line.slice(line.lastIndexOf(': ') + 2))])
      .filter(([, value]) => Number.isFinite(value)),
  )
}

function sum(stats: ReadonlyMap<string, number>, pattern: RegExp): number {
  let total = 0
  for (const [name, value] of stats) if (pattern.test(name)) total += value
  return total
}

interface PortFlags {
  readonly host: string
  readonly ports: string
  readonly json?: boolean
}

async function checkPorts({ host, ports, json = false }: PortFlags, io: CommandIo): Promise<void> {
  const numbers = ports.split(',').map(text => {
    const port = Number(text)
    if (!/^\d{1,5}$/.test(text) || port < 1 || port > 65_535) throw new CliError(`--ports "${text}": must be a port`)
    return port
  })
  const results = await Promise.all(numbers.map(async port => ({ port, problem: await dial(host, port) })))
  if (json) io.out(formatJson(results.map(({ port, problem = '' }) => ({ Port: port, Open: problem === '', Problem: problem }))))
  else
    for (const { port, problem } of results)
      io.out(`TCP: Port ${port} on ${host} is ${problem === undefined ? 'open' : `closed, ${problem}`}\n`)
  if (results.every(({ problem }) => problem !== undefined)) throw new AnswerCode(1)
}

function dial(host: string, port: number): Promise<string | undefined> {
  return new Promise(resolve => {
    const socket = connect({ host, port, timeout: DIAL_TIMEOUT_MS })
    const end = (problem: string | undefined): void => {
      socket.destroy()
      resolve(problem)
    }
    socket.once('connect', () => end(undefined))
    socket.once('timeout', () => end('timed out'))
    socket.once('error', (error: NodeJS.ErrnoException) => end(error.code === 'ECONNREFUSED' ? 'refused' : error.message))
  })
}
