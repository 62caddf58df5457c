// `outrigger backup now|list|status|restore|drill`: backups of a control plane. Declared for program.ts. With --from, `list`, `restore` and `drill`
// read the place itself and need no control plane, which may be gone. Invariant: `drill` ends with exit code 2 where a backup is not good.
import type { Command } from 'commander'
import { remote } from '../command-line/api-flags.js'
import { AnswerCode, CliError, type CommandIo } from '../command-line/command-io.js'
import type { ControlApi } from '../command-line/control-api.js'
import { writeSecret } from '../command-line/files.js'
import { formatFields, formatJson, formatTable, JSON_OPTION, printDone } from '../command-line/print.js'
import type { PlaceFlags } from './backup-place.js'

interface Listed {
  readonly Name: string
  readonly At: string
  readonly Index: number
  readonly Bytes: number
}

interface Status {
  readonly Target: string
  readonly Schedule: string
  readonly Keep: string
  readonly Encrypted: boolean
  readonly Running: boolean
  readonly LastAt: string | null
  readonly LastMade: (Listed & { readonly Seconds: number }) | null
  readonly LastFailure: { readonly At: string; readonly Reason: string } | null
  readonly FailuresInARow: number
  readonly Next: string | null
}

const TIMEOUT_MS = 600_000
const NOT_GOOD = 2

export function addBackup(program: Command, io: CommandIo): void {
  const backup = program.command('backup').description('backups of the whole state: made, listed, put back, and tried out')
  const now = backup.command('now').description('make one now').option('--json', 'print JSON')
  remote(now, io, async (api, { json }: { json?: boolean }) => {
    const made = await parse<Listed & { Seconds: number }>(api, 'PUT', '/v1/outrigger/backups')
    io.out(json === true ? formatJson(made) : `Made ${made.Name}: ${made.Bytes} bytes, to index ${made.Index}\n`)
  })

  const status = backup.command('status').description('how backups go, and when the next one is due').option('--json', 'print JSON')
  remote(status, io, async (api, { json }: { json?: boolean }) => {
    const found = await api.getJson<Status>('/v1/outrigger/backups/status')
    io.out(json === true ? formatJson(found) : describe(found))
  })

  const list = place(backup.command('list').description('all backups of the mesh, newest first')).option('--json', 'print JSON')
  remote(list, io, async (api, flags: PlaceFlags & { json?: boolean }) => {
    const all =
      flags.from === undefined ? await parse<Listed[]>(api, 'GET', '/v1/outrigger/backups') : await (await offline()).listPlace(flags, io)
    if (flags.json === true) return io.out(formatJson(all))
    if (all.length === 0) return io.err('There are no backups.\n')
    const rows = all.map(({ Name, At, Index, Bytes }) => [Name, At, String(Index), String(Bytes)])
    io.out(formatTable(['Name', 'Made', 'Index', 'Bytes'], rows))
  })

  const restore = place(backup.command('restore').description('put a backup in place of the present state, or its state into a file'))
    .argument('[name]', 'default: the newest')
    .option('--output <file>', 'write the state to a file, for outrigger control --restore or outrigger snapshot restore')
    .option(...JSON_OPTION)
  remote(restore, io, async (api, flags: PlaceFlags & { output?: string; json?: boolean }, [name]) => {
    if (flags.from === undefined) {
      if (flags.output !== undefined) throw new CliError('--output needs --from: the state is taken out of the place itself')
      const path = `/v1/outrigger/backups/${encodeURIComponent(name ?? 'latest')}/restore`
      const { Restored } = await parse<{ Restored: string }>(api, 'PUT', path)
      return printDone(flags.json, { Restored }, `Restored ${Restored}`, io)
    }
    const taken = await (await offline()).takeState(flags, name, io)
    if (flags.output !== undefined) {
      writeSecret(flags.output, taken.state)
      const written = { Backup: taken.name, Output: flags.output }
      return printDone(flags.json, written, `Wrote the state of ${taken.name} to ${flags.output}`, io)
    }
    await api.call({ method: 'PUT', path: '/v1/snapshot', body: taken.state, timeoutMs: TIMEOUT_MS })
    printDone(flags.json, { Restored: taken.name }, `Restored ${taken.name}`, io)
  })

  const drill = place(
    backup
      .command('drill')
      .description('restore a backup into a control plane to throw away: exit code 0 where all is as it was, 2 where not'),
  )
    .argument('[name]', 'default: the newest')
    .option('--max-age <duration>', 'fail where it is older, such as 26h')
    .option('--ca-key-file <file>', 'key that the private keys in the state are encrypted with (or OUTRIGGER_CA_KEY)')
    .option('--json', 'print JSON')
    .allowExcessArguments(false)
  drill.action(async (name: string | undefined) => {
    const flags = drill.opts<PlaceFlags & { maxAge?: string; caKeyFile?: string; json?: boolean }>()
    const report = await (await offline()).drillPlace(flags, name, io)
    const rows = report.Steps.map(({ Step, OK, Detail, Seconds }) => [OK ? 'ok' : 'FAILED', Step, `${Seconds.toFixed(3)} s`, Detail])
    io.out(
      flags.json === true
        ? formatJson(report)
        : `${report.Backup || 'no backup'} of ${report.Target}\n${formatTable(['', 'Step', 'Time', 'Found'], rows)}`,
    )
    if (!report.OK) throw new AnswerCode(NOT_GOOD)
  })
}

/** Most of the control plane, so only where it is used. */
const offline = (): Promise<typeof import('./backup-place.js')> => import('./backup-place.js')

function place(command: Command): Command {
  return command
    .option('--from <place>', 'folder or s3://bucket/prefix?endpoint=… to read from, without a control plane')
    .option('--key-file <file>', 'keys that backups are encrypted with')
    .option('--s3-credentials-file <file>', 'credentials for S3 (default: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)')
    .option('--mesh <id>', 'of which mesh, where several keep theirs in one place: the eight digits in the names')
}

async function parse<T>(api: ControlApi, method: 'GET' | 'PUT', path: string): Promise<T> {
  return JSON.parse((await api.call({ method, path, timeoutMs: TIMEOUT_MS })).text) as T
}

function describe(status: Status): string {
  const { Target, Schedule, Keep, Encrypted, Running, LastAt, LastMade, LastFailure, FailuresInARow, Next } = status
  return formatFields([
    ['Place', Target],
    ['Schedule', Schedule || 'none: backups are made when asked for'],
    ['Kept', Keep],
    ['Encrypted', Encrypted ? 'yes' : 'no'],
    ['Newest', LastAt ?? 'none is known'],
    ['Last made here', LastMade === null ? undefined : `${LastMade.Name}: ${LastMade.Bytes} bytes in ${LastMade.Seconds.toFixed(3)} s`],
    ['Last failure', LastFailure === null ? undefined : `${LastFailure.At}: ${LastFailure.Reason}`],
    ['Failures in a row', FailuresInARow === 0 ? undefined : String(FailuresInARow)],
    ['Next', Running ? 'running' : (Next ?? undefined)],
  ])
}
