// `outrigger check`: one look at everything that is commonly wrong in a mesh, each finding with a hint. Asks the control plane, then each sidecar
// whose admin it knows. Declared for program.ts. Exit 0: nothing is wrong; 1: it could not be asked; 2: something is wrong.
import type { Command } from 'commander'
import { releaseOf, USER_AGENT_NAME } from '../../../sidecar/version.js'
import { remote } from '../../command-line/api-flags.js'
import { AnswerCode, CliError, type CommandIo } from '../../command-line/command-io.js'
import type { ControlApi } from '../../command-line/control-api.js'
import { nacks, type ProxyStatus } from '../proxies.js'
import { adminsOf, type KnownProxy } from './find-admin.js'
import { sidecarAdmin } from './sidecar-admin.js'

const WRONG = 2
const MAX_SKEW_MS = 5_000
/** Sidecars that are asked at the same time. */
const AT_ONCE = 32

type Proxy = ProxyStatus & KnownProxy

interface Finding {
  /** What was looked at. */
  readonly check: string
  readonly wrong: string
  readonly hint: string
}

interface Checked {
  readonly check: string
  readonly findings: readonly Finding[]
}

export function addCheck(program: Command, io: CommandIo): void {
  const command = program
    .command('check')
    .description(
      'what is wrong in the mesh: clock, ports, sidecars, refused configuration, certificates, versions, intentions, applications',
    )
    .option('--json', 'print JSON')
  remote(command, io, (api, flags: { readonly json?: boolean }) => check(flags, api, io))
}

async function check({ json }: { readonly json?: boolean }, api: ControlApi, io: CommandIo): Promise<void> {
  const proxies = await api.getJson<readonly Proxy[]>('/v1/outrigger/proxies')
  const critical = await api.getJson<readonly CriticalCheck[]>('/v1/health/state/critical')
  const checked: Checked[] = [
    await clock(api),
    ports(proxies, critical),
    sidecars(proxies),
    refusedConfig(proxies),
    await intentions(api),
    ...(await ofSidecars(proxies, critical, api)),
  ]
  if (json) io.out(`${JSON.stringify(checked, null, 2)}\n`)
  else for (const each of checked) io.out(shown(each))
  if (checked.some(({ findings }) => findings.length > 0)) throw new AnswerCode(WRONG)
}

function shown({ check: name, findings }: Checked): string {
  if (findings.length === 0) return `✓ ${name}\n`
  return findings.map(({ wrong, hint }) => `✗ ${name}: ${wrong}\n    ${hint}\n`).join('')
}

function result(check: string, findings: readonly Omit<Finding, 'check'>[]): Checked {
  return { check, findings: findings.map(finding => ({ check, ...finding })) }
}

async function clock(api: ControlApi): Promise<Checked> {
  const { dateMs } = await api.get('/v1/status/leader')
  const skewMs = dateMs === null ? 0 : Math.abs(Date.now() - dateMs)
  if (skewMs <= MAX_SKEW_MS) return result('clock', [])
  const wrong = `this machine and the control plane are ${Math.round(skewMs / 1000)} s apart`
  return result('clock', [{ wrong, hint: 'certificates are judged by the clock: keep it by NTP on every machine' }])
}

/** `GET /v1/health/state/critical`, as far as it is used. */
interface CriticalCheck {
  readonly Name: string
  readonly Type: string
  readonly ServiceID: string
  readonly Output: string
}

const firstLine = (text: string): string => text.split('\n')[0]!

/** Of sidecars that are there: those that are not are said below. An alias speaks of the application. */
function ports(proxies: readonly Proxy[], critical: readonly CriticalCheck[]): Checked {
  const running = new Set(proxies.flatMap(({ ID, Connected }) => (Connected ? [ID] : [])))
  return result(
    'ports',
    critical
      .filter(({ ServiceID, Type }) => running.has(ServiceID) && Type !== 'alias')
      .map(({ ServiceID, Output }) => ({
        wrong: `${ServiceID} does not answer where it is registered: ${firstLine(Output)}`,
        hint: 'the port is taken by somebody else, closed by a firewall, or another one than its listener has',
      })),
  )
}

function sidecars(proxies: readonly Proxy[]): Checked {
  return result(
    'sidecars',
    proxies.flatMap(({ ID, Connected, Synced }) => {
      if (!Connected)
        return [
          { wrong: `${ID} is not connected`, hint: `start it: outrigger connect envoy -sidecar-for ${ID.replace(/-sidecar-proxy$/, '')}` },
        ]
      return Synced
        ? []
        : [{ wrong: `${ID} has not taken all of its configuration`, hint: `outrigger proxy-config clusters ${ID}; its /config_status` }]
    }),
  )
}

function refusedConfig(proxies: readonly Proxy[]): Checked {
  return result(
    'configuration',
    proxies.flatMap(proxy => {
      const refused = nacks(proxy)
      return refused === ''
        ? []
        : [{ wrong: `${proxy.ID} refuses ${refused}`, hint: 'the config entry, or the escape hatch, that it is made from is wrong' }]
    }),
  )
}

interface NamedByIntention {
  readonly SourceName: string
  readonly SourcePeer?: string
  readonly DestinationName: string
}

async function intentions(api: ControlApi): Promise<Checked> {
  const [services, defaults, listed] = await Promise.all([
    api.getJson<Readonly<Record<string, unknown>>>('/v1/catalog/services'),
    api.getJson<readonly { readonly Name: string; readonly Destination?: object }[] | null>('/v1/config/service-defaults'),
    api.getJson<readonly NamedByIntention[] | null>('/v1/connect/intentions'),
  ])
  const all = listed ?? []
  // Addresses outside of the mesh are services that nobody registers.
  const outside = (defaults ?? []).filter(({ Destination }) => Destination !== undefined).map(({ Name }) => Name)
  const known = new Set(['*', ...Object.keys(services), ...outside])
  const named = all.flatMap(({ SourceName, SourcePeer, DestinationName }) =>
    SourcePeer === undefined ? [SourceName, DestinationName] : [DestinationName],
  )
  const unknown = [...new Set(named)].filter(name => !known.has(name))
  // What a peer's services are is the peer's to know; that there is such a peer is ours.
  const namedPeers = new Set(all.flatMap(({ SourcePeer }) => SourcePeer ?? []))
  const peers = namedPeers.size === 0 ? [] : await api.getJson<readonly { readonly Name: string }[]>('/v1/peerings')
  for (const { Name } of peers) namedPeers.delete(Name)
  return result('intentions', [
    ...unknown.map(name => ({
      wrong: `they name the service "${name}", which is not registered`,
      hint: 'a slip of the pen, or a service that is yet to come',
    })),
    ...[...namedPeers].map(name => ({
      wrong: `they name the peer "${name}", which there is not`,
      hint: `outrigger peering list shows those that there are; outrigger peering generate-token -name ${name} begins with a new one`,
    })),
  ])
}

/** What each sidecar says itself. */
async function ofSidecars(proxies: readonly Proxy[], critical: readonly CriticalCheck[], api: ControlApi): Promise<Checked[]> {
  const { Version: own } = await api.getJson<{ readonly Version: string }>('/v1/outrigger/console')
  const asked = proxies.flatMap(proxy => adminsOf(proxy).map(address => ({ id: proxy.ID, address })))
  const states: SidecarState[] = []
  for (let i = 0; i < asked.length; i += AT_ONCE)
    states.push(...(await Promise.all(asked.slice(i, i + AT_ONCE).map(({ id, address }) => stateOf(id, address)))))
  const reached = states.filter(state => state.unreachable === null)
  return [
    result(
      'admin addresses',
      states.flatMap(({ unreachable }) =>
        unreachable === null ? [] : [{ wrong: unreachable, hint: 'asked from this machine: an admin on loopback answers on its own' }],
      ),
    ),
    result(
      'certificates',
      reached.flatMap(({ id, detail }) =>
        /own certificate/.test(detail)
          ? [{ wrong: `${id}: ${detail}`, hint: 'whoever issues them does not: is the control plane, or SDS, in reach?' }]
          : [],
      ),
    ),
    result('versions', versionFindings(reached, own)),
    result('applications', [
      ...failingApps(proxies, critical),
      ...reached.flatMap(({ id, deadApp }) =>
        deadApp === ''
          ? []
          : [{ wrong: `${id} does not reach its application at ${deadApp}`, hint: 'start it, or register the port that it listens on' }],
      ),
    ]),
  ]
}

/** Nobody is sent to them, so that their sidecars cannot tell. */
function failingApps(proxies: readonly Proxy[], critical: readonly CriticalCheck[]): Omit<Finding, 'check'>[] {
  const sidecarIds = new Set(proxies.map(({ ID }) => ID))
  return critical
    .filter(({ ServiceID }) => ServiceID !== '' && !sidecarIds.has(ServiceID))
    .map(({ ServiceID, Name, Output }) => ({
      wrong: `${ServiceID} fails its check "${Name}"${Output === '' ? '' : `: ${firstLine(Output)}`}`,
      hint: 'nobody is sent to it until the check passes: start it, or register the port that it listens on',
    }))
}

/** `own`: the control plane's. Ours are held against one another and it, Envoys against one another. */
function versionFindings(reached: readonly SidecarState[], own: string): Omit<Finding, 'check'>[] {
  const of = (ours: boolean): string[] => [...new Set(reached.filter(({ isOurs }) => isOurs === ours).map(({ version }) => version))].sort()
  const [ours, envoys] = [of(true), of(false)]
  const hint = 'end the roll-out: restart the older ones'
  const findings: Omit<Finding, 'check'>[] = []
  if (ours.length > 1) findings.push({ wrong: `sidecars run Outrigger ${ours.join(' and ')}`, hint })
  else if (ours.length === 1 && ours[0] !== own)
    findings.push({
      wrong: `the control plane runs Outrigger ${own}, its sidecars ${ours[0]}`,
      hint: 'end the upgrade: the control plane first',
    })
  if (envoys.length > 1) findings.push({ wrong: `sidecars run Envoy ${envoys.join(' and ')}`, hint })
  return findings
}

interface SidecarState {
  readonly id: string
  readonly unreachable: string | null
  readonly version: string
  readonly isOurs: boolean
  readonly detail: string
  /** Address of an application that has refused every connection; '' = none. */
  readonly deadApp: string
}

interface ServerInfo {
  readonly version?: string
  readonly node?: { readonly user_agent_name?: string }
}

interface CountedHost {
  readonly address?: { readonly socket_address?: { readonly address: string; readonly port_value: number } }
  readonly stats?: readonly { readonly name: string; readonly value?: string }[]
}

async function stateOf(id: string, address: string): Promise<SidecarState> {
  const admin = sidecarAdmin(address)
  try {
    const [info, ready, clusters] = await Promise.all([
      admin.getJson<ServerInfo>('/server_info'),
      admin.get('/ready').catch(() => null),
      admin.getJson<{ readonly cluster_statuses?: readonly { readonly host_statuses?: readonly CountedHost[] }[] }>(
        '/clusters?format=json&filter=^local_app$',
      ),
    ])
    const hosts = (clusters.cluster_statuses ?? []).flatMap(({ host_statuses: list = [] }) => list)
    const dead = hosts.find(
      host => counted(host, 'cx_connect_fail') > 0 && counted(host, 'rq_success') === 0 && counted(host, 'cx_active') === 0,
    )
    const isOurs = info.node?.user_agent_name === USER_AGENT_NAME
    const at = dead?.address?.socket_address
    return {
      id,
      unreachable: null,
      version: releaseOf(info.version ?? '', isOurs),
      isOurs,
      detail: ready?.detail ?? '',
      deadApp: at === undefined ? '' : `${at.address}:${at.port_value}`,
    }
  } catch (error) {
    if (!(error instanceof CliError)) throw error
    return { id, unreachable: `${id}: ${error.message}`, version: '', isOurs: false, detail: '', deadApp: '' }
  }
}

function counted({ stats = [] }: CountedHost, name: string): number {
  return Number(stats.find(stat => stat.name === name)?.value ?? 0)
}
