// `outrigger explain` and `intention list --effective`: who may call whom, and which rule says so. The control plane answers from the code
// that compiles what sidecars enforce; here it is only printed. With --admin a running sidecar is asked instead (sidecar/explain-sidecar.ts).
// Declared for program.ts.
import type { Command } from 'commander'
import { remote } from '../command-line/api-flags.js'
import { collect } from '../command-line/collect.js'
import { AnswerCode, CliError, type CommandIo } from '../command-line/command-io.js'
import type { ControlApi } from '../command-line/control-api.js'
import { formatTable } from '../command-line/print.js'
import { type ExplainSidecarOptions, explainSidecar } from './sidecar/explain-sidecar.js'

interface ExplainAnswer {
  readonly allowed: boolean
  readonly reason: string
  readonly protocol: string
  readonly defaultPolicy: string
  readonly warnings: readonly string[]
  /** Of targets that nobody answers at; absent: the server does not say. */
  readonly unreached?: readonly string[]
  /** Absent: from an older control plane. */
  readonly localities?: readonly string[]
  readonly precedence: readonly {
    readonly name: string
    readonly precedence: number
    readonly action: string
    readonly matches: boolean
    readonly decides: boolean
  }[]
}

interface ExplainOptions {
  readonly from?: string
  readonly to?: string
  readonly method?: string
  readonly path?: string
  readonly json?: boolean
  readonly exitCode?: boolean
}

/** The exit code of a denied request with `--exit-code`; 1 stays what it is for every command, a failure. */
const DENIED = 2

export function addExplain(program: Command, io: CommandIo): void {
  const command = program
    .command('explain')
    .description('would this request be allowed, and by which intention; with --admin: where would a running sidecar send it, and why')
    .option('--from <service>', 'the caller (with --admin also a SPIFFE id)')
    .option('--to <service>', 'the service called')
    .option('--method <method>', 'HTTP method')
    .option('--path <path>', 'HTTP path')
    .option('--exit-code', 'exit with 2 where it is denied (without: 0 for either answer)')
    .option('--json', 'print JSON')
    .option('--admin <host:port>', 'the admin address of the sidecar that is asked')
    .option('--host <host>', 'with --admin: the host that the request asks for')
    .option('--header <name:value>', 'with --admin: a header of the request; may be repeated', collect)
    .option('--listener <name>', 'with --admin: this listener alone')
    .option('--port <port>', 'with --admin: the listener at this port alone')
    .option('--sni <name>', 'with --admin: the server name of a TLS client')
    .option('--source-address <ip>', 'with --admin: the address of the client')
  remote(command, io, (api, flags: ExplainOptions & ExplainSidecarOptions) => {
    if (flags.admin !== undefined) return explainSidecar(flags, io)
    const { from, to } = flags
    if (from === undefined || to === undefined) throw new CliError('explain needs --from and --to, or --admin and --host')
    return explain({ ...flags, from, to }, api, io)
  })
}

type Pair = ExplainOptions & { readonly from: string; readonly to: string }

async function explain(options: Pair, api: ControlApi, io: CommandIo): Promise<void> {
  const answer = await ask(options, api)
  if (options.json) io.out(`${JSON.stringify(answer, null, 2)}\n`)
  else print(answer, options, io)
  if (options.exitCode === true && !answer.allowed) throw new AnswerCode(DENIED)
}

function print(answer: ExplainAnswer, options: ExplainOptions, io: CommandIo): void {
  for (const warning of answer.warnings) io.err(`warning: ${warning}\n`)
  const what = [options.method?.toUpperCase(), options.path].filter(part => part !== undefined).join(' ')
  io.out(
    `${answer.allowed ? 'allowed' : 'denied'}: ${options.from} -> ${options.to}${what === '' ? '' : ` ${what}`} (${answer.protocol})\n`,
  )
  io.out(`reason: ${answer.reason}\n`)
  for (const line of answer.unreached ?? []) io.out(`503: ${line}\n`)
  for (const line of answer.localities ?? []) io.out(`nearest first: ${line}\n`)
  io.out('\n')
  const rows = answer.precedence.map(row => [
    row.decides ? '=>' : '',
    String(row.precedence),
    row.name,
    row.action,
    row.matches ? 'yes' : 'no',
  ])
  const byDefault = answer.precedence.every(row => !row.decides)
  rows.push([byDefault ? '=>' : '', '-', 'default policy', answer.defaultPolicy, byDefault ? 'yes' : ''])
  io.out(formatTable(['', 'PRECEDENCE', 'INTENTION', 'ACTION', 'SOURCE MATCHES'], rows))
}

/** What the sidecars of each registered service go by: wildcards included, shadowed ones left out. */
export async function listEffective(json: boolean, api: ControlApi, io: CommandIo): Promise<void> {
  const instances = await api.getJson<Record<string, { readonly Service: string; readonly Kind?: string }>>('/v1/agent/services')
  const names = new Set(
    Object.values(instances)
      .filter(({ Kind }) => Kind === undefined || Kind === '')
      .map(({ Service }) => Service),
  )
  const effective: { destination: string; source: string; action: string; precedence: number | null }[] = []
  for (const destination of [...names].sort()) {
    const answer = await ask({ from: '*', to: destination }, api)
    for (const { name, action, precedence } of answer.precedence)
      effective.push({ destination, source: name.slice(0, name.lastIndexOf(' -> ')), action, precedence })
    // A rule for every source leaves nothing to the default.
    if (!answer.precedence.some(row => row.matches))
      effective.push({ destination, source: '(any other)', action: answer.defaultPolicy, precedence: null })
  }
  if (json) return io.out(`${JSON.stringify(effective, null, 2)}\n`)
  const rows = effective.map(row => [row.destination, row.source, row.action, row.precedence === null ? 'default' : String(row.precedence)])
  io.out(formatTable(['DESTINATION', 'SOURCE', 'ACTION', 'PRECEDENCE'], rows))
}

function ask({ from, to, method, path }: Pair, api: ControlApi): Promise<ExplainAnswer> {
  const query = new URLSearchParams({ from, to, ...(method === undefined ? {} : { method }), ...(path === undefined ? {} : { path }) })
  return api.getJson<ExplainAnswer>(`/v1/outrigger/explain?${query}`)
}
