// `outrigger edges` (who calls whom), `outrigger stat` (what comes into services) and `outrigger top` (both, drawn again and again): the traffic that
// the sidecars have reported to the control plane. Declared for program.ts.
import type { Command } from 'commander'
import { remote } from '../../command-line/api-flags.js'
import { CliError, type CommandIo } from '../../command-line/command-io.js'
import { type ControlApi, UnreachableError } from '../../command-line/control-api.js'
import { formatJson, formatTable } from '../../command-line/print.js'
import { visible } from '../../command-line/visible.js'
import { stopSignal } from '../process-life.js'
import {
  byRate,
  edgeCells,
  nothingSeen,
  readTraffic,
  TOTALS_HEAD,
  type Traffic,
  type TrafficFlags,
  totalsCells,
  WINDOW_OPTION,
} from './traffic-answer.js'

interface ShowFlags extends TrafficFlags {
  readonly json?: boolean
  readonly instances?: boolean
}

interface TopFlags extends ShowFlags {
  readonly interval?: string
}

const DEFAULT_INTERVAL_SECONDS = 2
const MAX_INTERVAL_SECONDS = 3600
/** Cursor to the corner; and what is below it goes. */
const HOME = '\x1b[H'
const CLEAR_BELOW = '\x1b[J'
const CLEAR_LINE = '\x1b[K'
/** A screen of its own, so that the one before is there again afterwards; without a cursor. */
const ENTER = '\x1b[?1049h\x1b[?25l'
const LEAVE = '\x1b[?25h\x1b[?1049l'

export function addTraffic(program: Command, io: CommandIo): void {
  const edges = program
    .command('edges')
    .description('who calls whom: success, rate and latencies of each edge of the mesh, and the identity that calls')
    .argument('[service]', 'only edges that begin or end there')
    .option(...WINDOW_OPTION)
    .option('--json', 'print JSON')
  remote(edges, io, (api, flags: ShowFlags, [service]) => showEdges(flags, service, api, io))

  const stat = program
    .command('stat')
    .description('what comes into services: success, rate and latencies')
    .argument('[service]', 'only this one')
    .option('--instances', 'of each instance')
    .option(...WINDOW_OPTION)
    .option('--json', 'print JSON')
  remote(stat, io, (api, flags: ShowFlags, [service]) => showStat(flags, service, api, io))

  const top = program
    .command('top')
    .description('the busiest services and edges; on a terminal drawn again until Ctrl-C, otherwise once')
    .argument('[service]', 'only what has to do with it')
    .option('--interval <seconds>', `how often it is drawn (default: ${DEFAULT_INTERVAL_SECONDS})`)
    .option(...WINDOW_OPTION)
    .option('--json', 'print JSON, once')
  remote(top, io, (api, flags: TopFlags, [service]) => showTop(flags, service, api, io))
}

async function showEdges(flags: ShowFlags, service: string | undefined, api: ControlApi, io: CommandIo): Promise<void> {
  const traffic = await readTraffic(flags, service, api)
  if (flags.json) return io.out(formatJson(traffic.Edges))
  if (traffic.Edges.length === 0) return io.err(nothingSeen(traffic))
  const rows = byRate(traffic.Edges).map(edge => [...edgeCells(edge), edge.Identity])
  io.out(formatTable(['SOURCE', 'DESTINATION', ...TOTALS_HEAD, 'IDENTITY'], rows))
}

async function showStat(flags: ShowFlags, service: string | undefined, api: ControlApi, io: CommandIo): Promise<void> {
  const traffic = await readTraffic(flags, service, api)
  // Edges that begin at the service bring no other into these lists.
  if (flags.json) return io.out(formatJson(flags.instances ? traffic.Inbound : traffic.Services))
  if (traffic.Services.length === 0) return io.err(nothingSeen(traffic))
  io.out(flags.instances ? instancesTable(traffic) : servicesTable(traffic))
}

function servicesTable({ Services }: Traffic): string {
  const rows = byRate(Services).map(({ Service, Instances, Totals }) => [Service, String(Instances), ...totalsCells(Totals)])
  return formatTable(['SERVICE', 'INSTANCES', ...TOTALS_HEAD], rows)
}

function instancesTable({ Inbound }: Traffic): string {
  const rows = byRate(Inbound).map(({ Service, Proxy: proxy, Node, Totals }) => [Service, proxy, Node ?? '-', ...totalsCells(Totals)])
  return formatTable(['SERVICE', 'PROXY', 'NODE', ...TOTALS_HEAD], rows)
}

async function showTop(flags: TopFlags, service: string | undefined, api: ControlApi, io: CommandIo): Promise<void> {
  const seconds = Number(flags.interval ?? DEFAULT_INTERVAL_SECONDS)
  if (!(seconds >= 0.1 && seconds <= MAX_INTERVAL_SECONDS))
    throw new CliError(`--interval "${flags.interval}": must be a number of seconds, from 0.1 to ${MAX_INTERVAL_SECONDS}`)
  const first = await readTraffic(flags, service, api)
  if (flags.json) return io.out(formatJson(first))
  if (io.terminal() === undefined) return io.out(screen(first, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY))
  let stopped = false
  const stop = stopSignal().then(() => {
    stopped = true
  })
  io.draw(ENTER)
  try {
    let shown = draw(first, '', io)
    while (!stopped) {
      await Promise.race([stop, new Promise(resolve => setTimeout(resolve, seconds * 1000))])
      if (stopped) break
      try {
        shown = draw(await readTraffic(flags, service, api), '', io)
      } catch (error) {
        // It may be restarted, and then goes on.
        if (!(error instanceof UnreachableError)) throw error
        draw(shown, error.message, io)
      }
    }
  } finally {
    io.draw(LEAVE)
  }
}

function draw(traffic: Traffic, problem: string, io: CommandIo): Traffic {
  const { columns = 80, rows = 24 } = io.terminal() ?? {}
  const head = `outrigger top  ${new Date().toISOString().slice(11, 19)}  ${problem || 'Ctrl-C ends'}`
  const lines = `${head.slice(0, columns)}\n\n${screen(traffic, columns, rows - 3)}`.split('\n').slice(0, rows - 1)
  io.draw(`${HOME}${lines.map(line => `${visible(line)}${CLEAR_LINE}`).join('\n')}${CLEAR_BELOW}`)
  return traffic
}

/** Cut to what fits: a third of the lines for services, the rest for edges. */
export function screen(traffic: Traffic, columns: number, lines: number): string {
  if (traffic.Services.length + traffic.Edges.length === 0) return nothingSeen(traffic)
  const few = Math.max(1, Math.floor(lines / 3) - 2)
  const services = { ...traffic, Services: byRate(traffic.Services).slice(0, few) }
  const many = Math.max(1, lines - Math.min(few, traffic.Services.length) - 3)
  const edges = formatTable(['SOURCE', 'DESTINATION', ...TOTALS_HEAD], byRate(traffic.Edges).slice(0, many).map(edgeCells))
  return `${servicesTable(services)}\n${edges}`
    .split('\n')
    .map(line => line.slice(0, columns))
    .join('\n')
}
