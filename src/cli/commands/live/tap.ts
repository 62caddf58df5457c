// `outrigger tap [SERVICE]`: requests as they end, asked of the sidecars again and again (their `/recent_requests`). Declared for program.ts.
// Nothing is switched on for it: a sidecar keeps its last requests anyway, so tapping costs it no more than the asking, and of very many some
// are missed, which is said. Invariant: no header and no query of a path is shown.
import type { Command } from 'commander'
import type { RecentRequest } from '../../../sidecar/sidecar.js'
import { remote } from '../../command-line/api-flags.js'
import { CliError, type CommandIo } from '../../command-line/command-io.js'
import { type ControlApi, UnreachableError } from '../../command-line/control-api.js'
import { stopSignal } from '../process-life.js'
import type { ProxyStatus } from '../proxies.js'
import { adminsOf, type KnownProxy } from '../sidecar/find-admin.js'
import { sidecarAdmin } from '../sidecar/sidecar-admin.js'

const POLL_MS = 500
/** All that a sidecar keeps. */
const KEPT_GOOD = 128
const MAX_RECORDS = 2048
/** What ended so long before the last look may have been written down after it. */
const OVERLAP_MS = 1000
/** Sidecars that are tapped at the same time. */
const MAX_SIDECARS = 64
/** Which proxies there are is asked anew so often. */
const LIST_MS = 5000

interface TapFlags {
  readonly path?: string
  readonly method?: string
  readonly status?: string
  readonly identity?: string
  readonly direction?: string
  readonly count?: string
  readonly admin?: string
  readonly json?: boolean
}

interface Tapped {
  readonly proxy: string
  readonly admin: ControlApi
  /** Keys of the requests of the last look. */
  seen: Set<string>
  /** Milliseconds since the epoch. */
  readonly since: number
  lookedAt: number
  /** It could not be asked, which has been said. */
  silent: boolean
}

export function addTap(program: Command, io: CommandIo): void {
  const command = program
    .command('tap')
    .description('requests as they end, at the sidecars of a service (default: at all that can be reached); Ctrl-C ends it')
    .argument('[service]', 'whose sidecars are asked')
    .option('--path <prefix>', 'only paths that begin with it')
    .option('--method <method>', 'only this method')
    .option('--status <status>', 'a code, a class such as 5xx, or "failed": 5xx, refused, reset')
    .option('--identity <text>', 'only callers whose identity (or address) ends in it: /svc/web, or a service name')
    .option('--direction <direction>', 'inbound, outbound or all (default: inbound, so that a request is shown once)')
    .option('--count <number>', 'end after so many')
    .option('--admin <host:port>', 'the admin of one sidecar, in place of asking the control plane')
    .option('--json', 'print JSON, a line each')
  remote(command, io, (api, flags: TapFlags, [service]) => tap(flags, service, api, io))
}

async function tap(flags: TapFlags, service: string | undefined, api: ControlApi, io: CommandIo): Promise<void> {
  const wanted = filterOf(flags)
  const limit = countOf(flags.count)
  if (flags.admin !== undefined && service !== undefined) throw new CliError('a service and --admin exclude each other')
  const started = Date.now()
  let sidecars: Tapped[] = []
  let listedAt = 0
  let stopped = false
  let printed = 0
  const stop = stopSignal().then(() => {
    stopped = true
  })
  while (!stopped && printed < limit) {
    if (Date.now() - listedAt >= LIST_MS) {
      sidecars = await listed(sidecars, flags.admin, service, started, api, io)
      listedAt = Date.now()
    }
    const found = (await Promise.all(sidecars.map(sidecar => look(sidecar, io)))).flat()
    found.sort((a, b) => endOf(a.request) - endOf(b.request))
    for (const { proxy, request } of found) {
      if (printed >= limit || !wanted(request)) continue
      printed++
      io.out(flags.json ? `${JSON.stringify({ proxy, ...shown(request) })}\n` : lineOf(proxy, request))
    }
    if (printed < limit) await Promise.race([stop, new Promise(resolve => setTimeout(resolve, POLL_MS))])
  }
}

function countOf(text: string | undefined): number {
  const count = text === undefined ? Number.POSITIVE_INFINITY : Number(text)
  if (!(count >= 1)) throw new CliError(`--count "${text}": must be a number, 1 or more`)
  return count
}

/** Those that are tapped already go on. */
async function listed(
  before: readonly Tapped[],
  admin: string | undefined,
  service: string | undefined,
  since: number,
  api: ControlApi,
  io: CommandIo,
): Promise<Tapped[]> {
  const addresses: { proxy: string; address: string }[] = []
  if (admin !== undefined) addresses.push({ proxy: admin, address: admin })
  else {
    const proxies = await api.getJson<readonly (ProxyStatus & KnownProxy)[]>('/v1/outrigger/proxies')
    const wanted = proxies.filter(({ Service }) => service === undefined || Service === service)
    if (wanted.length === 0) throw new CliError(service === undefined ? 'there is no sidecar' : `service "${service}" has no sidecar`)
    for (const proxy of wanted) for (const address of adminsOf(proxy)) addresses.push({ proxy: proxy.ID, address })
    if (addresses.length === 0)
      throw new CliError('none of them has told where its admin listens (only our own sidecar does): name one by --admin')
  }
  if (addresses.length > MAX_SIDECARS && before.length === 0)
    io.err(`warning: ${MAX_SIDECARS} of ${addresses.length} sidecars are tapped: name a service\n`)
  return addresses.slice(0, MAX_SIDECARS).map(({ proxy, address }) => {
    const known = before.find(one => one.proxy === proxy && one.admin.address.endsWith(address))
    return known ?? { proxy, admin: sidecarAdmin(address), seen: new Set(), since, lookedAt: since, silent: false }
  })
}

async function look(sidecar: Tapped, io: CommandIo): Promise<{ readonly proxy: string; readonly request: RecentRequest }[]> {
  const { proxy, admin, seen } = sidecar
  const now = Date.now()
  const since = Math.max(sidecar.since, sidecar.lookedAt - OVERLAP_MS)
  let answer: { readonly requests: readonly RecentRequest[] }
  try {
    answer = await admin.getJson(`/recent_requests?limit=${MAX_RECORDS}&since=${since}`)
    sidecar.silent = false
  } catch (error) {
    if (!(error instanceof UnreachableError)) throw error
    if (!sidecar.silent) io.err(`warning: ${error.message}\n`)
    sidecar.silent = true
    return []
  }
  const { requests } = answer
  const fresh = requests.filter(request => !seen.has(keyOf(request)))
  if (fresh.filter(({ status, flags }) => status < 500 && flags === '-').length >= KEPT_GOOD)
    io.err(`warning: ${proxy} had more requests than it keeps: some are missing\n`)
  sidecar.seen = new Set(requests.map(keyOf))
  sidecar.lookedAt = now
  return fresh.map(request => ({ proxy, request }))
}

const keyOf = ({ request_id, started, listener, timings, path }: RecentRequest): string =>
  `${request_id} ${started} ${listener} ${timings['end']} ${path}`

const endOf = ({ started, timings }: RecentRequest): number => Date.parse(started) + (timings['end'] ?? 0)

function filterOf({ path, method, status, identity, direction = 'inbound' }: TapFlags): (request: RecentRequest) => boolean {
  if (!['inbound', 'outbound', 'all'].includes(direction))
    throw new CliError(`--direction "${direction}": must be inbound, outbound or all`)
  const hasStatus = statusFilter(status)
  return request =>
    (direction === 'all' || request.direction.toLowerCase() === direction) &&
    (path === undefined || request.path.startsWith(path)) &&
    (method === undefined || request.method.toUpperCase() === method.toUpperCase()) &&
    (identity === undefined ||
      request.source === identity ||
      request.source.endsWith(identity.startsWith('/') ? identity : `/${identity}`)) &&
    hasStatus(request)
}

function statusFilter(status: string | undefined): (request: RecentRequest) => boolean {
  if (status === undefined) return () => true
  if (status === 'failed') return request => request.status >= 500 || request.status === 0 || request.denied_by !== undefined
  if (/^[1-5]xx$/.test(status)) return request => Math.floor(request.status / 100) === Number(status[0])
  if (/^\d{3}$/.test(status)) return request => request.status === Number(status)
  throw new CliError(`--status "${status}": must be a code, a class such as 5xx, or "failed"`)
}

/** Without the query, which may hold secrets. */
function shown(request: RecentRequest): RecentRequest {
  return { ...request, path: request.path.replace(/\?.*$/s, '') }
}

function lineOf(proxy: string, request: RecentRequest): string {
  const { direction, source, method, authority, path, status, flags, details, timings, denied_by: denied, endpoint } = shown(request)
  const from = source.startsWith('spiffe://') ? source.slice(source.lastIndexOf('/svc/') + '/svc/'.length) : source
  const why = [flags === '-' ? '' : flags, denied === undefined ? '' : `denied: ${denied}`, status >= 500 ? details : ''].filter(Boolean)
  const fields = [
    new Date(endOf(request)).toISOString().slice(11, 23),
    proxy,
    direction === 'INBOUND' ? 'in' : direction === 'OUTBOUND' ? 'out' : '-',
    from,
    status || '-',
    method,
    `${authority}${path}`,
    `${(timings['end'] ?? 0).toFixed(1)}ms`,
    ...(endpoint === undefined ? [] : [endpoint]),
    ...why,
  ]
  return `${fields.join(' ')}\n`
}
