// `outrigger wait --for=synced|connected [PROXY…]`: waits until proxies have all that they should have, for scripts and CI. Declared for program.ts.
// Exit 0: it is so; 2: it was not within the time, and stderr says which proxies were missing.
import type { Command } from 'commander'
import { parseDuration } from '../../../control/config-entries/duration.js'
import { remote } from '../../command-line/api-flags.js'
import { AnswerCode, CliError, type CommandIo } from '../../command-line/command-io.js'
import { type ControlApi, UnreachableError } from '../../command-line/control-api.js'
import { nacks, type ProxyStatus } from '../proxies.js'

const LATE = 2
const POLL_MS = 250

interface WaitFlags {
  readonly for: string
  readonly timeout?: string
  readonly index?: string
  readonly json?: boolean
}

/** Undefined: it is as wanted; otherwise what is missing. */
type Missing = (proxy: ProxyStatus) => string | undefined

export function addWait(program: Command, io: CommandIo): void {
  const command = program
    .command('wait')
    .description('wait until proxies are connected, or have taken all of their configuration')
    .argument('[proxies...]', 'as `outrigger proxies` names them (default: all of them)')
    .requiredOption('--for <state>', 'synced or connected')
    .option('--index <number>', 'with synced: have acknowledged the write of this X-Consul-Index')
    .option('--timeout <duration>', 'how long (default: 60s)')
    .option('--json', 'print JSON: the proxies, and what is missing')
  remote(command, io, (api, flags: WaitFlags, names) => wait(flags, names, api, io))
}

async function wait(flags: WaitFlags, names: readonly string[], api: ControlApi, io: CommandIo): Promise<void> {
  const missing = conditionOf(flags)
  const timeoutMs = (parseDuration(flags.timeout ?? '60s') ?? Number.NaN) / 1e6
  if (!(timeoutMs >= 0)) throw new CliError(`--timeout "${flags.timeout}": must be a duration such as 60s`)
  const until = Date.now() + timeoutMs
  for (;;) {
    const late = Date.now() >= until
    try {
      const states = await statesOf(names, api)
      const open = states.flatMap(({ name, proxy }) => {
        const why = proxy === undefined ? 'is not registered' : missing(proxy)
        return why === undefined ? [] : [{ Proxy: name, Missing: why }]
      })
      io.progress(flags.for, late ? states.length : states.length - open.length, states.length)
      if (open.length === 0 || late) return done(states.length, open, flags, io)
    } catch (error) {
      // It may be starting.
      if (!(error instanceof UnreachableError) || late) throw error
    }
    await new Promise(resolve => setTimeout(resolve, Math.max(1, Math.min(POLL_MS, until - Date.now()))))
  }
}

function conditionOf({ for: state, index }: WaitFlags): Missing {
  const connected: Missing = ({ Connected }) => (Connected ? undefined : 'is not connected')
  if (state === 'connected') {
    if (index !== undefined) throw new CliError('--index goes with --for=synced')
    return connected
  }
  if (state !== 'synced') throw new CliError(`--for "${state}": must be synced or connected`)
  const wanted = Number(index ?? 0)
  if (!Number.isSafeInteger(wanted) || wanted < 0) throw new CliError(`--index "${index}": must be an X-Consul-Index`)
  return proxy => {
    if (!proxy.Connected) return connected(proxy)
    const refused = nacks(proxy)
    if (refused !== '') return `refuses ${refused}`
    if (!proxy.Synced) return 'has not taken all of its configuration'
    return proxy.AcknowledgedIndex >= wanted ? undefined : `has acknowledged index ${proxy.AcknowledgedIndex}, not ${wanted}`
  }
}

async function statesOf(
  names: readonly string[],
  api: ControlApi,
): Promise<readonly { readonly name: string; readonly proxy: ProxyStatus | undefined }[]> {
  const proxies = await api.getJson<readonly ProxyStatus[]>('/v1/outrigger/proxies')
  if (names.length === 0) return proxies.map(proxy => ({ name: proxy.ID, proxy }))
  return names.map(name => ({ name, proxy: proxies.find(({ ID }) => ID === name) }))
}

function done(
  count: number,
  open: readonly { readonly Proxy: string; readonly Missing: string }[],
  { for: state, json }: WaitFlags,
  io: CommandIo,
): void {
  if (json) io.out(`${JSON.stringify({ Proxies: count, Missing: open }, null, 2)}\n`)
  else if (open.length === 0) io.out(`${count} ${count === 1 ? 'proxy is' : 'proxies are'} ${state}\n`)
  else for (const { Proxy: name, Missing } of open) io.err(`${name} ${Missing}\n`)
  if (open.length > 0) throw new AnswerCode(LATE)
}
