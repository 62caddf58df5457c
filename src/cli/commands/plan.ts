// `outrigger analyze FILES…` (would these config entries be taken, and what is doubtful in them, against the live state: for CI) and
// `outrigger diff FILES…` (what they would change in which proxy, before they are written). Declared for program.ts.
// Exit 0: nothing to say; 1: it could not be asked; 2: `analyze` found something wrong, or with --exit-code `diff` a change.
import type { Command } from 'commander'
import { remote } from '../command-line/api-flags.js'
import { AnswerCode, CliError, type CommandIo } from '../command-line/command-io.js'
import type { ControlApi } from '../command-line/control-api.js'
import { ofOurs } from '../command-line/of-ours.js'
import { formatJson } from '../command-line/print.js'
import { entryName, type FileFlags, fileOption, filesOf } from './apply.js'
import { field, type LabelledObject, readObjects } from './documents.js'

const FOUND = 2

/** Of an entry by its place; -1 = of none alone. */
interface Finding {
  readonly Entry: number
  readonly Path: string
  readonly Reason: string
}

/** `PUT /v1/outrigger/plan` */
interface Plan {
  readonly Errors: readonly Finding[]
  readonly Warnings: readonly Finding[]
  readonly Entries: readonly { readonly Kind: string; readonly Name: string; readonly Change: 'none' | 'added' | 'changed' }[]
  readonly Proxies: readonly {
    readonly ID: string
    readonly Node: string
    readonly Service: string
    readonly Problem: string
    readonly Resources: readonly { readonly Type: string; readonly Name: string; readonly Change: 'added' | 'removed' | 'changed' }[]
  }[]
}

interface PlanFlags extends FileFlags {
  readonly json?: boolean
  readonly strict?: boolean
  readonly exitCode?: boolean
}

const SIGNS = { none: '=', added: '+', changed: '~', removed: '-' } as const

export function addPlan(program: Command, io: CommandIo): void {
  const analyze = fileOption(program.command('analyze').description('would these config entries be taken? against the live state, for CI'))
    .option('--strict', 'warnings count too')
    .option('--json', 'print JSON')
  remote(analyze, io, (api, flags: PlanFlags, operands) => analyzeFiles(flags, operands, api, io))
  const diff = fileOption(program.command('diff').description('what these config entries would change in which proxy; nothing is written'))
    .option('--exit-code', 'exit with 2 where something would change')
    .option('--json', 'print JSON')
  remote(diff, io, (api, flags: PlanFlags, operands) => diffFiles(flags, operands, api, io))
}

async function analyzeFiles(flags: PlanFlags, operands: readonly string[], api: ControlApi, io: CommandIo): Promise<void> {
  const { objects, plan } = await planOf(flags, operands, api, io)
  const problems = plan.Proxies.filter(({ Problem }) => Problem !== '')
  if (flags.json) io.out(formatJson(plan))
  else {
    for (const each of plan.Errors) io.out(`✗ ${placed(each, objects)}\n`)
    for (const { ID, Problem } of problems) io.out(`✗ ${ID} would get no configuration: ${Problem}\n`)
    for (const each of plan.Warnings) io.out(`! ${placed(each, objects)}\n`)
    if (plan.Errors.length + plan.Warnings.length + problems.length === 0)
      io.out(`✓ ${objects.length} ${objects.length === 1 ? 'entry' : 'entries'}: nothing is wrong\n`)
  }
  if (plan.Errors.length + problems.length > 0 || (flags.strict === true && plan.Warnings.length > 0)) throw new AnswerCode(FOUND)
}

async function diffFiles(flags: PlanFlags, operands: readonly string[], api: ControlApi, io: CommandIo): Promise<void> {
  const { objects, plan } = await planOf(flags, operands, api, io)
  if (plan.Errors.length > 0) throw new CliError(plan.Errors.map(each => placed(each, objects)).join('\n'))
  const changes = plan.Entries.some(({ Change }) => Change !== 'none')
  if (flags.json) io.out(formatJson({ Entries: plan.Entries, Proxies: plan.Proxies }))
  else {
    for (const { Kind, Name, Change } of plan.Entries) io.out(`${SIGNS[Change]} ${Kind}/${Name}\n`)
    for (const { ID, Problem, Resources } of plan.Proxies) {
      io.out(`\n${ID}${Problem === '' ? '' : ` would get no configuration: ${Problem}`}\n`)
      for (const { Type, Name, Change } of Resources) io.out(`  ${SIGNS[Change]} ${Type} ${Name}\n`)
    }
    if (plan.Proxies.length === 0) io.out(changes ? '\nNo proxy would change.\n' : '\nNothing would change.\n')
  }
  if (flags.exitCode === true && changes) throw new AnswerCode(FOUND)
}

async function planOf(
  flags: PlanFlags,
  operands: readonly string[],
  api: ControlApi,
  io: CommandIo,
): Promise<{ readonly objects: readonly LabelledObject[]; readonly plan: Plan }> {
  const objects = filesOf(flags, operands).flatMap(file => readObjects(io.readText(file), file))
  for (const { label, value } of objects)
    if (typeof field(value, 'Kind') !== 'string') throw new CliError(`${label}: Kind: missing (a config entry is expected)`)
  const entries = objects.map(({ value }) => value)
  return { objects, plan: await ofOurs('cannot plan', api.putJson<Plan>('/v1/outrigger/plan', entries)) }
}

function placed({ Entry, Path, Reason }: Finding, objects: readonly LabelledObject[]): string {
  const object = objects[Entry]
  const path = Path === '' ? '' : `${Path}: `
  if (object === undefined) return `${path}${Reason}`
  const kind = String(field(object.value, 'Kind'))
  return `${object.label}: ${kind}/${entryName(kind, object.value)}: ${path}${Reason}`
}
