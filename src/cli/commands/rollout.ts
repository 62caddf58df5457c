// `outrigger rollout …`: rollouts listed, shown, followed and commanded. They are written by `outrigger apply`. Declared for program.ts.
// Invariant: `watch` ends when the rollout does, with exit code 0 where it succeeded and 2 where not.
import type { Command } from 'commander'
import { remote } from '../command-line/api-flags.js'
import { AnswerCode, CliError, type CommandIo } from '../command-line/command-io.js'
import type { ControlApi } from '../command-line/control-api.js'
import { formatFields, formatJson, formatTable, JSON_OPTION, printDone } from '../command-line/print.js'

/** `GET /v1/outrigger/rollouts`, as far as it is shown. */
interface Summary {
  readonly Name: string
  readonly Service: string
  readonly From: string
  readonly To: string
  readonly Phase: string
  readonly Active: boolean
  readonly Step: number
  readonly Steps: number
  readonly Weight: number
  readonly MirrorPercent: number
  readonly Since: string | null
  readonly Reason: string
  readonly Verdict: string
  readonly VerdictReason: string
}

interface Whole extends Summary {
  readonly Plan: readonly { readonly Weight: number; readonly Pause?: string; readonly Gate?: string }[]
  readonly Audit: readonly {
    readonly At: string
    readonly Event: string
    readonly From: string
    readonly To: string
    readonly Weight: number
    readonly Reason: string
    readonly By: string
  }[]
}

const ACTIONS = {
  start: 'begin it: all requests go to the old version, and the first step is made',
  promote: 'go on to the next step now, through a gate or before a pause is over',
  pause: 'stay at this step until it is resumed; a version that turns bad is rolled back all the same',
  resume: 'go on after a pause',
  abort: 'send everything back to the old version, whatever is waited for',
} as const
const NOT_SUCCEEDED = 2
const WAIT = '60s'

export function addRollout(program: Command, io: CommandIo): void {
  const rollout = program.command('rollout').description('rollouts: a new version gets its requests step by step, or goes back by itself')
  const list = rollout.command('list').description('all rollouts').option('--json', 'print JSON')
  remote(list, io, async (api, { json }: { json?: boolean }) => {
    const all = await api.getJson<Summary[]>('/v1/outrigger/rollouts')
    if (json === true) return io.out(formatJson(all))
    if (all.length === 0) return io.err('There are no rollouts.\n')
    const rows = all.map(each => [each.Name, each.Service, each.Phase, stepOf(each), weightOf(each), each.Reason])
    io.out(formatTable(['Name', 'Service', 'Phase', 'Step', 'Weight', 'Reason'], rows))
  })

  const status = rollout
    .command('status')
    .description('where a rollout stands, and what has happened')
    .argument('<name>')
    .option('--json', 'print JSON')
  remote(status, io, async (api, { json }: { json?: boolean }, [name]) => {
    const found = await api.getJson<Whole>(pathOf(name!))
    io.out(json === true ? formatJson(found) : describe(found))
  })

  const watch = rollout
    .command('watch')
    .description('print a line for all that happens, until the rollout ends: exit code 0 where it succeeded, 2 where not')
    .argument('<name>')
    .option('--json', 'print a line of JSON for each record')
  remote(watch, io, (api, { json }: { json?: boolean }, [name]) => follow(name!, json === true, api, io))

  for (const [action, description] of Object.entries(ACTIONS)) {
    const command = rollout
      .command(action)
      .description(description)
      .argument('<name>')
      .option('--reason <text>', 'why, for the audit trail')
      .option('--json', 'print JSON')
    remote(command, io, async (api, { reason, json }: { reason?: string; json?: boolean }, [name]) => {
      const query = reason === undefined ? '' : `?${new URLSearchParams({ reason })}`
      const now = await api.putJson<Summary>(`${pathOf(name!)}/${action}${query}`)
      io.out(json === true ? formatJson(now) : `${now.Name}: ${now.Phase}\n`)
    })
  }

  const remove = rollout
    .command('delete')
    .description('forget a rollout that does not run; its splitter stays as it is')
    .argument('<name>')
    .option(...JSON_OPTION)
  remote(remove, io, async (api, { json }: { json?: boolean }, [name]) => {
    // What is not there is said, so that a mistyped name does not pass for a change.
    await api.getJson<Summary>(pathOf(name!))
    await api.delete(pathOf(name!))
    printDone(json, { Deleted: name }, 'Rollout deleted.', io)
  })
}

const pathOf = (name: string): string => `/v1/outrigger/rollout/${encodeURIComponent(name)}`
const stepOf = ({ Step, Steps }: Summary): string => `${Step}/${Steps}`
const weightOf = ({ Weight, MirrorPercent }: Summary): string => `${Weight}%${MirrorPercent === 0 ? '' : ` (copies ${MirrorPercent}%)`}`

function describe(found: Whole): string {
  const plan = found.Plan.map(({ Weight, Pause, Gate }) =>
    [`${Weight}%`, Pause ?? '', Gate === undefined ? '' : 'gate'].filter(Boolean).join(' '),
  )
  const fields = formatFields([
    ['Name', found.Name],
    ['Service', `${found.Service}: ${found.From} -> ${found.To}`],
    ['Phase', found.Phase],
    ['Step', `${stepOf(found)} (${plan.join(', ')})`],
    ['Weight', weightOf(found)],
    ['Since', found.Since ?? undefined],
    ['Reason', found.Reason || undefined],
    ['Analysis', found.Verdict === '' ? undefined : `${found.Verdict}: ${found.VerdictReason}`],
  ])
  const rows = found.Audit.map(each => [each.At, each.Event, each.To, `${each.Weight}%`, each.By, each.Reason])
  return rows.length === 0 ? fields : `${fields}\n${formatTable(['Time', 'Event', 'Phase', 'Weight', 'By', 'Reason'], rows)}`
}

async function follow(name: string, json: boolean, api: ControlApi, io: CommandIo): Promise<void> {
  let index = '0'
  let last: string | undefined
  for (;;) {
    const path = index === '0' ? pathOf(name) : `${pathOf(name)}?index=${index}&wait=${WAIT}`
    const answer = await api.call({ method: 'GET', path, timeoutMs: 0 })
    const found = JSON.parse(answer.text) as Whole
    index = answer.indexText
    const records = found.Audit.map(record => JSON.stringify(record))
    // First what has happened since its last start, then what is new.
    const from = last === undefined ? found.Audit.findLastIndex(({ Event }) => Event === 'start') : records.lastIndexOf(last) + 1
    for (const record of found.Audit.slice(Math.max(from, 0)))
      io.out(json ? `${JSON.stringify(record)}\n` : `${record.At}  ${record.Event}  ${record.To}  ${record.Weight}%  ${record.Reason}\n`)
    last = records.at(-1) ?? last
    if (found.Active) continue
    if (found.Phase === 'Ready') throw new CliError(`rollout ${name} has not been started`)
    if (found.Phase !== 'Succeeded') throw new AnswerCode(NOT_SUCCEEDED)
    return
  }
}
