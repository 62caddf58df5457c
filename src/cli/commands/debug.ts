// `outrigger debug`: what helps to understand an agent (its configuration and host, members, metrics over some time, its log) as one archive.
// Declared for program.ts. Invariant: no token or key is asked for, and the archive is its owner's alone.
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import type { Command } from 'commander'
import { parseDuration } from '../../control/config-entries/duration.js'
import { remote } from '../command-line/api-flags.js'
import { collect } from '../command-line/collect.js'
import { CliError, type CommandIo } from '../command-line/command-io.js'
import type { ControlApi } from '../command-line/control-api.js'
import { writeSecret } from '../command-line/files.js'
import { writeTar } from '../command-line/tar.js'

interface DebugFlags {
  readonly duration: string
  readonly interval: string
  readonly output?: string
  readonly capture?: readonly string[]
}

const TARGETS = ['agent', 'host', 'members', 'metrics', 'logs'] as const
const PATHS = { agent: '/v1/agent/self', host: '/v1/agent/host', members: '/v1/agent/members?wan=1' } as const
const MIN_INTERVAL_MS = 1_000
const MAX_LOG_CHARS = 64 * 1024 * 1024

export function addDebug(program: Command, io: CommandIo): void {
  const debug = program
    .command('debug')
    .description('collect what helps to understand an agent, as an archive')
    .option('--duration <duration>', 'how long to collect', '5m')
    .option('--interval <duration>', 'between two readings of the metrics', '30s')
    .option('--output <path>', 'of the archive, without .tar.gz (default: outrigger-debug-<time>)')
    .option('--capture <what>', `one of ${TARGETS.join(', ')}; may be given several times (default: all)`, collect)
  remote(debug, io, (api, flags: DebugFlags) => runDebug(flags, api, io))
}

async function runDebug(flags: DebugFlags, api: ControlApi, io: CommandIo): Promise<void> {
  const durationMs = milliseconds(flags.duration, '--duration')
  const intervalMs = Math.max(MIN_INTERVAL_MS, milliseconds(flags.interval, '--interval'))
  const unknown = (flags.capture ?? []).find(name => !(TARGETS as readonly string[]).includes(name))
  if (unknown !== undefined)
    throw new CliError(
      `--capture ${unknown}: must be one of ${TARGETS.join(', ')}${unknown === 'pprof' ? ' (there are no profiles: this is no Go program)' : ''}`,
    )
  const wanted = new Set<string>(flags.capture ?? TARGETS)
  const name = flags.output ?? `outrigger-debug-${new Date().toISOString().replace(/[:.]/g, '-')}`
  const folder = name.slice(name.lastIndexOf('/') + 1)
  const files = new Map<string, string>()
  const add = (path: string, text: string): void => void files.set(`${folder}/${path}`, text)
  io.out(`==> Starting debugger and capturing static information...\n`)
  for (const [target, path] of Object.entries(PATHS)) if (wanted.has(target)) add(`${target}.json`, await pretty(api, path))
  const stop = new AbortController()
  const logs = wanted.has('logs') ? collectLog(api, stop.signal) : Promise.resolve('')
  logs.catch(() => {})
  const end = Date.now() + durationMs
  io.out('==> Beginning capture\n')
  for (let reading = 1; ; reading++) {
    if (wanted.has('metrics')) add(`metrics/${String(reading).padStart(5, '0')}.json`, await pretty(api, '/v1/agent/metrics'))
    const left = end - Date.now()
    if (left <= 0) break
    await new Promise(resolve => setTimeout(resolve, Math.min(left, intervalMs)))
  }
  stop.abort()
  if (wanted.has('logs')) add('outrigger.log', await logs)
  add('index.json', `${JSON.stringify({ Interval: flags.interval, Duration: flags.duration, Targets: [...wanted] }, null, 2)}\n`)
  const archive = `${name}.tar.gz`
  writeSecret(archive, await promisify(gzip)(writeTar(files)))
  io.out(`Saved debug archive: ${archive}\n`)
}

async function pretty(api: ControlApi, path: string): Promise<string> {
  return `${JSON.stringify(await api.getJson(path), null, 2)}\n`
}

async function collectLog(api: ControlApi, signal: AbortSignal): Promise<string> {
  let text = ''
  await api.stream({ method: 'GET', path: '/v1/agent/monitor?loglevel=debug', signal }, part => {
    if (text.length < MAX_LOG_CHARS) text += part
  })
  return text
}

function milliseconds(text: string, flag: string): number {
  const ns = parseDuration(text)
  if (ns === undefined || ns < 0) throw new CliError(`${flag} "${text}": must be a duration such as 30s`)
  return ns / 1e6
}
