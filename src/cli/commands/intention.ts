// `outrigger intention …`: Consul's create, check, match, get, list and delete, and our short allow and deny. Declared for program.ts.
// Invariant: what narrows an intention (permissions) is never thrown away by `allow` or `deny` unless the user has said so.
import type { Command } from 'commander'
import { remote } from '../command-line/api-flags.js'
import { collect } from '../command-line/collect.js'
import { AnswerCode, CliError, type CommandIo } from '../command-line/command-io.js'
import { type ControlApi, RefusedError } from '../command-line/control-api.js'
import { FORMAT_OPTION, formatFields, formatJson, formatTable, printAs } from '../command-line/print.js'
import { field, readObjects } from './documents.js'
import { listEffective } from './explain.js'
import { DRY_RUN, type PreviewFlags, previewIntention } from './intention-preview.js'

interface Intention {
  readonly ID: string
  readonly SourceName: string
  readonly SourcePeer?: string
  readonly DestinationName: string
  readonly Action?: string
  readonly Permissions?: readonly Permission[]
  readonly Description?: string
  readonly Precedence: number
  readonly Meta?: Readonly<Record<string, string>> | null
  readonly CreatedAt?: string
}

interface Permission {
  readonly Action: string
  readonly HTTP?: {
    readonly PathExact?: string
    readonly PathPrefix?: string
    readonly PathRegex?: string
    readonly Methods?: readonly string[]
    readonly Header?: readonly unknown[]
  }
}

interface Pair {
  readonly source: string
  readonly destination: string
}

/** The exit code of `check` where the answer is no, as Consul's. */
const DENIED = 2
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

export function addIntention(program: Command, io: CommandIo): void {
  const intention = program.command('intention').description('intentions: who may call whom')
  addReads(intention, io)
  const create = intention
    .command('create')
    .description('create intentions; of a pair, or of files with pairs of names')
    .argument('[source]', 'who calls, or with --file a file')
    .argument('[destination]', 'who is called')
    .argument('[files...]', 'with --file: more files')
    .option('--allow', 'allow it (the default)')
    .option('--deny', 'deny it')
    .option('--file', 'the operands are files of intentions (HCL, JSON or YAML)')
    .option('--meta <key=value>', 'refused: an intention has no notes of its own; its service-intentions entry has', collect)
    .option('--description <text>', 'note of your own')
    .option('--replace', 'in place of what there is for the same pair')
    .option(...DRY_RUN)
    .option('--json', 'print JSON')
  remote(create, io, (api, flags: CreateFlags, operands) => createIntentions(flags, operands, api, io))

  for (const action of ['allow', 'deny'] as const) {
    const write = intention
      .command(action)
      .description(`${action} calls from a source (* for any) to a destination, in place of what was said for this pair`)
      .argument('<source>')
      .argument('<destination>')
      .option('--force', 'without asking, although narrower permissions are replaced')
      .option(...DRY_RUN)
      .option('--json', 'print JSON')
    remote(write, io, (api, flags: SetFlags, [source, destination]) =>
      setAction({ source: source!, destination: destination! }, action, flags, api, io),
    )
  }
  const remove = intention
    .command('delete')
    .description('remove what was said for this pair; the other intentions and the default decide again')
    .argument('<source>', 'who calls, or the ID of an intention')
    .argument('[destination]', 'who is called')
    .option(...DRY_RUN)
    .option('--json', 'print JSON')
  remote(remove, io, async (api, flags: PreviewFlags, operands) => {
    const found = await findIntention(operands, api)
    if (flags.dryRun === true) return previewIntention(found, undefined, flags, api, io)
    await api.delete(exactPath(found))
    io.out(flags.json === true ? formatJson(found.intention) : 'Intention deleted.\n')
  })
}

function addReads(intention: Command, io: CommandIo): void {
  const list = intention
    .command('list')
    .description('all intentions in order of precedence')
    .option('--effective', 'what the sidecars of each service go by: wildcards and default included, shadowed ones left out')
    .option('--json', 'print JSON')
    .option('--filter <expression>', 'only those it holds for')
  remote(list, io, async (api, { effective, json, filter }: { effective?: boolean; json?: boolean; filter?: string }) => {
    if (effective === true) return listEffective(json === true, api, io)
    const query = filter === undefined ? '' : `?${new URLSearchParams({ filter })}`
    const intentions = await api.getJson<Intention[]>(`/v1/connect/intentions${query}`)
    if (json === true) return io.out(formatJson(intentions))
    if (intentions.length === 0) return io.err('There are no intentions.\n')
    const rows = intentions.map(row => [row.ID, sourceOf(row), actionOf(row), row.DestinationName, String(row.Precedence)])
    io.out(formatTable(['ID', 'Source', 'Action', 'Destination', 'Precedence'], rows))
  })

  const check = intention
    .command('check')
    .description('whether a connection would be allowed: exit code 0 where it is, 2 where not')
    .argument('<source>')
    .argument('<destination>')
    .option('--json', 'print JSON')
  remote(check, io, async (api, { json }: { json?: boolean }, [source, destination]) => {
    const query = new URLSearchParams({ source: source!, destination: destination!, 'source-type': 'consul' })
    const { Allowed } = await api.getJson<{ Allowed: boolean }>(`/v1/connect/intentions/check?${query}`)
    io.out(json === true ? formatJson({ Source: source, Destination: destination, Allowed }) : Allowed ? 'Allowed\n' : 'Denied\n')
    if (!Allowed) throw new AnswerCode(DENIED)
  })

  const match = intention
    .command('match')
    .description('the intentions that match a service as destination (or source), in the order in which they are looked at')
    .argument('<service>')
    .option('--source', 'match it as the source')
    .option('--destination', 'match it as the destination (the default)')
    .option('--json', 'print JSON')
  remote(match, io, async (api, { source, destination, json }: { source?: boolean; destination?: boolean; json?: boolean }, [name]) => {
    if (source === true && destination === true) throw new CliError('--source and --destination exclude each other')
    const query = new URLSearchParams({ by: source === true ? 'source' : 'destination', name: name! })
    const answer = await api.getJson<Record<string, Intention[]>>(`/v1/connect/intentions/match?${query}`)
    if (json === true) return io.out(formatJson(answer[name!] ?? []))
    for (const each of answer[name!] ?? []) io.out(`${describe(each)}\n`)
  })

  const get = intention
    .command('get')
    .description('show one intention')
    .argument('<source>', 'who calls, or the ID of an intention')
    .argument('[destination]', 'who is called')
    .option(...FORMAT_OPTION)
  remote(get, io, async (api, { format }: { format?: string }, operands) => {
    const { intention: found } = await findIntention(operands, api)
    printAs(format, found, () => showIntention(found), io)
  })
}

interface SetFlags extends PreviewFlags {
  readonly force?: boolean
}

interface CreateFlags extends PreviewFlags {
  readonly allow?: boolean
  readonly deny?: boolean
  readonly file?: boolean
  readonly meta?: readonly string[]
  readonly description?: string
  readonly replace?: boolean
}

async function createIntentions(flags: CreateFlags, operands: readonly string[], api: ControlApi, io: CommandIo): Promise<void> {
  const { allow, deny, file, meta, description, replace, dryRun } = flags
  if (meta !== undefined) throw new CliError('--meta: an intention has no notes of its own: set Meta of its service-intentions entry')
  if (allow === true && deny === true) throw new CliError('--allow and --deny exclude each other')
  const Action = deny === true ? 'deny' : 'allow'
  const wanted = file === true ? operands.flatMap(name => fromFile(name, io)) : [fromPair(operands)]
  if (wanted.length === 0) throw new CliError('name at least one file')
  for (const { source, destination, action, rest } of wanted) {
    const body = {
      ...rest,
      ...(action === undefined && rest['Permissions'] === undefined ? { Action } : action === undefined ? {} : { Action: action }),
      ...(description === undefined ? {} : { Description: description }),
    }
    const pair = { source, destination }
    if (dryRun === true) {
      await previewIntention(pair, body, flags, api, io)
      continue
    }
    if (replace !== true && (await exact(pair, api)) !== undefined)
      throw new CliError(`an intention ${source} => ${destination} exists: --replace writes over it`)
    const { warnings } = await api.put(exactPath(pair), body)
    for (const warning of warnings) io.err(`warning: ${warning}\n`)
    const made = { SourceName: source, DestinationName: destination, ...body }
    io.out(flags.json === true ? formatJson(made) : `Created: ${describe(made)}\n`)
  }
}

interface Wanted extends Pair {
  readonly action: string | undefined
  readonly rest: Readonly<Record<string, unknown>>
}

function fromPair(operands: readonly string[]): Wanted {
  const [source, destination] = operands
  if (source === undefined || destination === undefined || operands.length !== 2)
    throw new CliError('two names are needed: SOURCE and DESTINATION')
  return { source, destination, action: undefined, rest: {} }
}

function fromFile(name: string, io: CommandIo): Wanted[] {
  return readObjects(io.readText(name), name).map(({ label, value }) => {
    const text = (key: string): string | undefined => {
      const found = field(value, key)
      return typeof found === 'string' ? found : undefined
    }
    const [source, destination] = [text('SourceName'), text('DestinationName')]
    if (source === undefined || destination === undefined) throw new CliError(`${label}: SourceName and DestinationName are needed`)
    const rest = Object.fromEntries(
      ['Permissions', 'Description'].map(key => [key, field(value, key)]).filter(([, given]) => given !== undefined),
    )
    return { source, destination, action: text('Action'), rest }
  })
}

/** What was narrower before is shown, and the person at the terminal asked. */
async function setAction(pair: Pair, action: 'allow' | 'deny', flags: SetFlags, api: ControlApi, io: CommandIo): Promise<void> {
  if (flags.dryRun === true) return previewIntention(pair, { Action: action }, flags, api, io)
  const before = await exact(pair, api)
  const permissions = before?.Permissions ?? []
  if (permissions.length > 0) {
    io.err(
      `${pair.source} -> ${pair.destination} has ${permissions.length} permission${permissions.length === 1 ? '' : 's'}, which this replaces:\n`,
    )
    for (const permission of permissions) io.err(`  ${permissionText(permission)}\n`)
    if (flags.force !== true) {
      const answer = await io.confirm(`${action} every request instead?`)
      if (answer === undefined) throw new CliError('nothing was changed: --force replaces them without asking')
      if (!answer) throw new CliError('nothing was changed')
    }
  }
  const { warnings } = await api.put(exactPath(pair), { Action: action })
  for (const warning of warnings) io.err(`warning: ${warning}\n`)
  const made = { SourceName: pair.source, DestinationName: pair.destination, Action: action }
  io.out(flags.json === true ? formatJson(made) : `${action}: ${pair.source} -> ${pair.destination}\n`)
}

function exact(pair: Pair, api: ControlApi): Promise<Intention | undefined> {
  return api.findJson<Intention>(exactPath(pair))
}

/** By two names, or by an ID. Fails where there is none, so that a mistyped name does not pass for a change. */
async function findIntention([first, second]: readonly string[], api: ControlApi): Promise<Pair & { readonly intention: Intention }> {
  if (second === undefined && !UUID.test(first!)) throw new CliError('two names are needed: SOURCE and DESTINATION, or an ID')
  const path =
    second === undefined ? `/v1/connect/intentions/${encodeURIComponent(first!)}` : exactPath({ source: first!, destination: second })
  const intention = await api.getJson<Intention>(path)
  if (intention.SourceName === undefined) throw new RefusedError(404, 'Intention not found')
  return { source: intention.SourceName, destination: intention.DestinationName, intention }
}

function exactPath({ source, destination }: Pair): string {
  return `/v1/connect/intentions/exact?${new URLSearchParams({ source, destination })}`
}

function showIntention(intention: Intention): string {
  const { Meta, Permissions = [] } = intention
  return formatFields([
    ['Source', sourceOf(intention)],
    ['Destination', intention.DestinationName],
    ['Action', intention.Action],
    ...Permissions.map((permission, i): readonly [string, string] => [`Permission ${i + 1}`, permissionText(permission)]),
    ['ID', intention.ID],
    ['Description', intention.Description || undefined],
    ...Object.entries(Meta ?? {}).map(([name, value]): readonly [string, string] => [`Meta[${name}]`, value]),
    ['Precedence', String(intention.Precedence)],
    ['Created At', intention.CreatedAt?.startsWith('0001-') === true ? undefined : intention.CreatedAt],
  ])
}

function permissionText({ Action, HTTP = {} }: Permission): string {
  const path =
    HTTP.PathExact !== undefined
      ? `path ${HTTP.PathExact}`
      : HTTP.PathPrefix !== undefined
        ? `paths from ${HTTP.PathPrefix}`
        : HTTP.PathRegex !== undefined
          ? `paths like ${HTTP.PathRegex}`
          : ''
  const headers = HTTP.Header?.length ?? 0
  const parts = [path, HTTP.Methods?.join(', ') ?? '', headers === 0 ? '' : `${headers} header condition${headers === 1 ? '' : 's'}`]
  return `${Action}: ${parts.filter(part => part !== '').join('; ') || 'every request'}`
}

function sourceOf({ SourceName, SourcePeer }: Pick<Intention, 'SourceName' | 'SourcePeer'>): string {
  return SourcePeer === undefined ? SourceName : `${SourceName} (peer ${SourcePeer})`
}

function describe(intention: Pick<Intention, 'SourceName' | 'SourcePeer' | 'DestinationName' | 'Action' | 'Permissions'>): string {
  return `${sourceOf(intention)} => ${intention.DestinationName} (${actionOf(intention)})`
}

function actionOf({ Action, Permissions = [] }: Pick<Intention, 'Action' | 'Permissions'>): string {
  return Action ?? `${Permissions.length} permission${Permissions.length === 1 ? '' : 's'}`
}
