// `outrigger apply -f FILE`: writes config entries. `outrigger register -f FILE`: registers services. Called by program.ts.
// Entries are one change: all of them are written, or none. What is refused is reported line by line with the server's reason (write-report.ts).
import type { Command } from 'commander'
import { remote } from '../command-line/api-flags.js'
import { CliError, type CommandIo } from '../command-line/command-io.js'
import { type ControlApi, RefusedError } from '../command-line/control-api.js'
import { JSON_OPTION } from '../command-line/print.js'
import { field, type LabelledObject, readObjects } from './documents.js'
import { lineOf, type Refusal, WriteReport } from './write-report.js'

interface Write {
  readonly label: string
  readonly name: string
  send(): Promise<readonly string[]>
}

/** Kinds of which there is one, with its name. */
const SINGLETON_NAMES: Readonly<Record<string, string>> = { 'proxy-defaults': 'global', mesh: 'mesh' }
/** Kinds of config entries that no kind of service is named like. */
const CONFIG_ENTRY_KINDS = new Set(
  (
    'proxy-defaults service-defaults service-router service-splitter service-resolver service-intentions jwt-provider mesh ' +
    'exported-services sameness-group http-route tcp-route inline-certificate file-system-certificate control-plane-request-limit'
  ).split(' '),
)

const ROLLOUT = 'rollout'
const isRollout = ({ value }: LabelledObject): boolean => field(value, 'Kind') === ROLLOUT

export interface FileFlags {
  readonly file?: readonly string[]
}

interface WriteFlags extends FileFlags {
  readonly json?: boolean
}

export function addApply(program: Command, io: CommandIo): void {
  const applying = program.command('apply').description('write config entries and rollouts (YAML, JSON or HCL; several documents, lists)')
  remote(fileOption(applying).option(...JSON_OPTION), io, (api, flags: WriteFlags, operands) =>
    apply(filesOf(flags, operands), flags, api, io),
  )
  const registering = program.command('register').description("register services (Consul's service definitions; YAML, JSON or HCL)")
  remote(fileOption(registering).option(...JSON_OPTION), io, (api, flags: WriteFlags, operands) =>
    register(filesOf(flags, operands), flags, api, io),
  )
}

export function fileOption(command: Command): Command {
  return command
    .argument('[files...]', 'files, as with -f')
    .option('-f, --file <file>', 'file, or - for standard input; may be given several times', (file: string, before: string[] = []) => [
      ...before,
      file,
    ])
}

export function filesOf({ file = [] }: FileFlags, operands: readonly string[]): readonly string[] {
  if (file.length + operands.length === 0) throw new CliError('name a file: -f FILE, or - for standard input')
  return [...file, ...operands]
}

async function apply(files: readonly string[], { json = false }: WriteFlags, api: ControlApi, io: CommandIo): Promise<void> {
  const all = files.flatMap(file => readObjects(io.readText(file), file))
  const [rollouts, objects] = [all.filter(isRollout), all.filter(object => !isRollout(object))]
  const writes = objects.map(object => entryWrite(object, api))
  await new WriteReport('applied', json, io).telling(async report => {
    if (writes.length < 2 || !(await applyTogether(objects, writes, api, report))) await sendAll(writes, report)
    // They are no config entries, and judged by those that are there.
    await sendAll(
      rollouts.map(object => entryWrite(object, api)),
      report,
    )
  })
}

/** All or none, judged by the state after all of them. False where the server (Consul's) knows only single entries. */
async function applyTogether(
  objects: readonly LabelledObject[],
  writes: readonly Write[],
  api: ControlApi,
  report: WriteReport,
): Promise<boolean> {
  const concerned = (text: string): Refusal => {
    const [, index, rest] = /^\[(\d+)\]\.?:? ?(.*)$/s.exec(text) ?? []
    const write = writes[Number(index)]
    return write === undefined ? { From: '', Name: '', Reason: text } : { From: write.label, Name: write.name, Reason: rest! }
  }
  try {
    const { warnings } = await api.put(
      '/v1/outrigger/config-entries',
      objects.map(({ value }) => value),
    )
    for (const { name } of writes) report.written(name)
    for (const warning of warnings) report.warn(lineOf(concerned(warning)))
  } catch (error) {
    if (!(error instanceof RefusedError)) throw error
    if (error.statusCode === 404 || error.statusCode === 405) return false
    report.refuse(error.message.split('; ').map(concerned))
  }
  return true
}

export async function register(files: readonly string[], { json = false }: WriteFlags, api: ControlApi, io: CommandIo): Promise<void> {
  const services = files.flatMap(file => readServices(file, io))
  await new WriteReport('registered', json, io).telling(report =>
    sendAll(
      services.map(service => serviceWrite(service, api)),
      report,
    ),
  )
}

function entryWrite({ label, value }: LabelledObject, api: ControlApi): Write {
  const kind = field(value, 'Kind')
  if (typeof kind !== 'string')
    throw new CliError(`${label}: Kind: missing (a config entry is expected; services go to "outrigger register")`)
  const name = entryName(kind, value)
  return {
    label,
    name: `${kind}/${name}`,
    send: async () =>
      (await api.put(kind === ROLLOUT ? `/v1/outrigger/rollout/${encodeURIComponent(name)}` : '/v1/config', value)).warnings,
  }
}

function serviceWrite({ label, value }: LabelledObject, api: ControlApi): Write {
  return {
    label,
    name: String(field(value, 'ID') ?? field(value, 'Name')),
    send: async () => (await api.put('/v1/agent/service/register?replace-existing-checks=true', value)).warnings,
  }
}

export function entryName(kind: string, value: Readonly<Record<string, unknown>>): string {
  const name = field(value, 'Name')
  return typeof name === 'string' ? name : (SINGLETON_NAMES[kind] ?? '?')
}

/** The service definitions of a file. Throws `CliError` where it holds something else. */
export function readServices(file: string, io: CommandIo): LabelledObject[] {
  const services = readObjects(io.readText(file), file).flatMap(unwrapServices)
  for (const { label, value } of services) {
    const kind = field(value, 'Kind')
    if (typeof kind === 'string' && CONFIG_ENTRY_KINDS.has(kind))
      throw new CliError(`${label}: is a config entry (${kind}): use "outrigger apply"`)
    if (typeof field(value, 'Name') !== 'string')
      throw new CliError(`${label}: Name: missing (a service definition is expected; config entries go to "outrigger apply")`)
  }
  return services
}

/** Consul's files wrap definitions in `service` or `services`; both, and bare ones, are taken. */
function unwrapServices(object: LabelledObject): LabelledObject[] {
  const { label, value } = object
  const one = field(value, 'service')
  const many = field(value, 'services')
  if (one === undefined && many === undefined) return [object]
  const wrapped = [...(one === undefined ? [] : [{ at: 'service', value: one }]), ...listOf(many, label)]
  return wrapped.map(({ at, value: definition }) => {
    if (typeof definition !== 'object' || definition === null || Array.isArray(definition))
      throw new CliError(`${label}: ${at}: must be an object`)
    return { label: `${label}: ${at}`, value: definition as Record<string, unknown> }
  })
}

function listOf(many: unknown, label: string): { readonly at: string; readonly value: unknown }[] {
  if (many === undefined) return []
  if (!Array.isArray(many)) throw new CliError(`${label}: services: must be a list`)
  return many.map((value: unknown, index) => ({ at: `services[${index}]`, value }))
}

/** Entries may need each other in any order (a splitter its protocol), so what is refused is tried again after the rest. */
async function sendAll(writes: readonly Write[], report: WriteReport): Promise<void> {
  let pending = writes
  let refused: Refusal[] = []
  let done = 0
  for (let progress = true; progress && pending.length > 0; ) {
    progress = false
    refused = []
    const next: Write[] = []
    for (const write of pending) {
      try {
        const warnings = await write.send()
        progress = true
        report.written(write.name)
        report.progress(++done, writes.length)
        for (const warning of warnings) report.warn(`${write.name}: ${warning}`)
      } catch (error) {
        // Only a refusal of the content may pass when others have been written; the rest (unreachable, no permission) won't.
        if (!(error instanceof RefusedError) || error.statusCode === 403) throw error
        next.push(write)
        refused.push({ From: write.label, Name: write.name, Reason: error.message })
      }
    }
    pending = next
  }
  report.refuse(refused)
}
