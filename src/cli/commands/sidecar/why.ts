// `outrigger why <x-request-id>`: what became of a request, hop by hop, as the sidecars that saw it remember it (GET /recent_requests), with
// the routes that it passed by (POST /explain, as the config is now). Declared for program.ts.
import type { Command } from 'commander'
import type { Explanation, RecentRequest } from '../../../sidecar/sidecar.js'
import { remote } from '../../command-line/api-flags.js'
import { collect } from '../../command-line/collect.js'
import { CliError, type CommandIo } from '../../command-line/command-io.js'
import type { ControlApi } from '../../command-line/control-api.js'
import { adminsOf, type KnownProxy } from './find-admin.js'
import { sidecarAdmin } from './sidecar-admin.js'

/** Sidecars that are asked at the same time. */
const AT_ONCE = 32
/** Of those that could not be asked. */
const MAX_SILENT = 5
/** Routes that were passed by, of each hop. */
const MAX_PASSED = 5

interface WhyFlags {
  readonly admin?: readonly string[]
  readonly json?: boolean
}

interface Hop {
  readonly admin: string
  readonly request: RecentRequest
  readonly passedOver: readonly string[]
}

export function addWhy(program: Command, io: CommandIo): void {
  const command = program
    .command('why')
    .description('what became of a request, hop by hop: which rule, route, endpoint and timer decided')
    .argument('<request-id>', 'its x-request-id')
    .option(
      '--admin <host:port>',
      'the admin address of a sidecar that saw it; may be repeated (default: those the control plane knows)',
      collect,
    )
    .option('--json', 'print JSON')
  remote(command, io, (api, flags: WhyFlags, [id]) => why(id!, flags, api, io))
}

async function why(id: string, flags: WhyFlags, api: ControlApi, io: CommandIo): Promise<void> {
  const addresses = flags.admin ?? (await knownAdmins(api))
  const hops: Hop[] = []
  const silent: string[] = []
  for (let i = 0; i < addresses.length; i += AT_ONCE) {
    const answers = await Promise.all(addresses.slice(i, i + AT_ONCE).map(address => hopsOf(address, id)))
    for (const answer of answers) {
      if (typeof answer === 'string') silent.push(answer)
      else hops.push(...answer)
    }
  }
  for (const reason of silent.slice(0, MAX_SILENT)) io.err(`warning: ${reason}\n`)
  if (hops.length === 0) {
    const asked =
      addresses.length === 0 ? 'no sidecar is known: name one by --admin' : `none of ${addresses.length} sidecars remembers ${id}`
    throw new CliError(`${asked}: each keeps its last 128 good requests, and its last 1,024 failed ones`)
  }
  hops.sort(inOrder)
  io.out(flags.json ? `${JSON.stringify(hops, null, 2)}\n` : hops.map(story).join('\n'))
}

/** As the sidecars said themselves when they asked for their configuration. */
async function knownAdmins(api: ControlApi): Promise<readonly string[]> {
  const proxies = await api.getJson<readonly KnownProxy[]>('/v1/outrigger/proxies')
  return [...new Set(proxies.flatMap(adminsOf))]
}

/** A text: why it could not be asked. */
async function hopsOf(address: string, id: string): Promise<Hop[] | string> {
  const admin = sidecarAdmin(address)
  try {
    const { requests } = await admin.getJson<{ readonly requests: readonly RecentRequest[] }>(
      `/recent_requests?id=${encodeURIComponent(id)}`,
    )
    return await Promise.all(requests.map(async request => ({ admin: address, request, passedOver: await passedOver(admin, request) })))
  } catch (error) {
    if (error instanceof CliError) return error.message
    throw error
  }
}

/** Without the headers of the request, which nobody keeps: what passes one by for its path is certain, for its headers a guess. */
async function passedOver(admin: ControlApi, { listener, method, authority, path, source }: RecentRequest): Promise<string[]> {
  const form = new URLSearchParams({ listener, method, host: authority, path, ...(source.startsWith('spiffe://') ? { source } : {}) })
  const explained = await admin.postForm<Explanation>('/explain', form).catch(() => null)
  const passed = explained?.listeners[0]?.http?.passed_over ?? []
  return passed.slice(-MAX_PASSED).map(({ route, match, missed }) => `${route} (${match}): ${missed}`)
}

/** The caller's sidecar before the callee's: its request began before. */
function inOrder(a: Hop, b: Hop): number {
  const outbound = (hop: Hop): number => (hop.request.direction === 'OUTBOUND' ? 0 : 1)
  return outbound(a) - outbound(b) || a.request.started.localeCompare(b.request.started)
}

function story({ admin, request, passedOver: passed }: Hop, index: number): string {
  const { timings } = request
  const chain = request.filter_chain === '' ? '' : `, filter chain ${request.filter_chain}`
  const marks = Object.entries(timings).map(([name, ms]) => `${name.replaceAll('_', ' ')} ${ms} ms`)
  const lines = [
    `hop ${index + 1}: ${request.method} ${request.authority}${request.path} -> ${request.status || 'no answer'}${request.flags === '-' ? '' : ` ${request.flags}`} (sidecar ${admin})`,
    `  ${request.started}, ${request.protocol} from ${request.source}`,
    `  listener ${request.listener}${chain}`,
    ...(request.denied_by === undefined ? [] : [`  denied: ${request.denied_by}`]),
    ...(request.route === undefined ? ['  no route'] : [`  route ${request.route} of virtual host ${request.virtual_host}`]),
    ...passed.map(text => `    passed over ${text}`),
    ...(request.cluster === undefined
      ? []
      : [`  cluster ${request.cluster}${request.endpoint === undefined ? '' : `, endpoint ${request.endpoint}`}`]),
    ...(request.tries > 1 ? [`  ${request.tries} tries`] : []),
    ...(request.failure === undefined ? [] : [`  failure: ${request.failure}`]),
    `  details ${request.details === '' ? '-' : request.details}; ${request.bytes_received} bytes in, ${request.bytes_sent} out`,
    `  ${marks.join(', ')}`,
  ]
  return `${lines.join('\n')}\n`
}
