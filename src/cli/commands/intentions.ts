// `outrigger explain` and `outrigger intention ...`: who may call whom, and which rule says so. The control plane answers from the code
// that compiles what sidecars enforce; here it is only printed. Called by outrigger-main.ts.
import { AnswerCode, type CommandIo, formatTable } from './command-io.js'
import type { ControlApi } from './control-api.js'

interface ExplainAnswer {
  readonly allowed: boolean
  readonly reason: string
  readonly protocol: string
  readonly defaultPolicy: string
  readonly warnings: readonly string[]
  readonly precedence: readonly {
    readonly name: string
    readonly precedence: number
    readonly action: string
    readonly matches: boolean
    readonly decides: boolean
  }[]
}

interface ListedIntention {
  readonly SourceName: string
  readonly DestinationName: string
  readonly Action?: string
  readonly Permissions?: readonly unknown[]
  readonly Precedence: number
}

export interface ExplainOptions {
  readonly from: string
  readonly to: string
  readonly method?: string
  readonly path?: string
  readonly json?: boolean
  readonly exitCode?: boolean
}

/** The exit code of a denied request with `--exit-code`; 1 stays what it is for every command, a failure. */
const DENIED = 2

export async function explain(options: ExplainOptions, api: ControlApi, io: CommandIo): Promise<void> {
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
  io.out(`reason: ${answer.reason}\n\n`)
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

/** As written; with `effective`, what the sidecars of each registered service go by: wildcards included, shadowed ones left out. */
export async function listIntentions(
  options: { readonly effective?: boolean; readonly json?: boolean },
  api: ControlApi,
  io: CommandIo,
): Promise<void> {
  if (options.effective) return listEffective(options.json === true, api, io)
  const intentions = await api.getJson<ListedIntention[]>('/v1/connect/intentions')
  if (options.json) return io.out(`${JSON.stringify(intentions, null, 2)}\n`)
  const rows = intentions.map(row => [row.SourceName, row.DestinationName, row.Action ?? permissions(row), String(row.Precedence)])
  io.out(formatTable(['SOURCE', 'DESTINATION', 'ACTION', 'PRECEDENCE'], rows))
}

interface Pair {
  readonly source: string
  readonly destination: string
}

export async function writeIntention(
  { action, source, destination }: Pair & { readonly action: 'allow' | 'deny' },
  api: ControlApi,
  io: CommandIo,
): Promise<void> {
  const { warnings } = await api.put(exactPath({ source, destination }), { Action: action })
  for (const warning of warnings) io.err(`warning: ${warning}\n`)
  io.out(`${action}: ${source} -> ${destination}\n`)
}

/** Fails where there is none, so that a mistyped name does not pass for a change. */
export async function deleteIntention(pair: Pair, api: ControlApi, io: CommandIo): Promise<void> {
  await api.get(exactPath(pair))
  await api.delete(exactPath(pair))
  io.out(`deleted: ${pair.source} -> ${pair.destination}\n`)
}

function exactPath({ source, destination }: Pair): string {
  return `/v1/connect/intentions/exact?${new URLSearchParams({ source, destination })}`
}

async function listEffective(json: boolean, api: ControlApi, io: CommandIo): Promise<void> {
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

function ask({ from, to, method, path }: ExplainOptions, api: ControlApi): Promise<ExplainAnswer> {
  const query = new URLSearchParams({ from, to, ...(method === undefined ? {} : { method }), ...(path === undefined ? {} : { path }) })
  return api.getJson<ExplainAnswer>(`/v1/outrigger/explain?${query}`)
}

function permissions({ Permissions: list = [] }: ListedIntention): string {
  return `${list.length} permission${list.length === 1 ? '' : 's'}`
}
