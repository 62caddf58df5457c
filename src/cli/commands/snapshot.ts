// `outrigger snapshot save|restore|inspect|decode`: the whole state to a file and back. Declared for program.ts.
// Invariant: a file that was saved is whole, and readable by its owner alone, since it holds secrets.
import type { Command } from 'commander'
import { remote } from '../command-line/api-flags.js'
import { CliError, type CommandIo } from '../command-line/command-io.js'
import { writeSecret } from '../command-line/files.js'
import { FORMAT_OPTION, formatRows, formatTable, printAs } from '../command-line/print.js'

const SAVE_TIMEOUT_MS = 600_000

export function addSnapshot(program: Command, io: CommandIo): void {
  const snapshot = program.command('snapshot').description('the whole state as one file')
  const save = snapshot
    .command('save')
    .description('save the state to a file (- for standard output)')
    .argument('<file>')
    .option('--append-filename <parts>', 'comma-separated: version, dc, node or status put into the name')
  remote(save, io, async (api, { appendFilename }: { appendFilename?: string }, [file]) => {
    const { bytes, index } = await api.call({ method: 'GET', path: '/v1/snapshot', timeoutMs: SAVE_TIMEOUT_MS })
    const { inspectState } = await import('../../control/state-file/state-file.js')
    await inspectState(bytes).catch((error: Error) => {
      throw new CliError(`what was sent is damaged: ${error.message}`)
    })
    if (file === '-') return io.out(bytes)
    const path = appendFilename === undefined ? file! : await withParts(file!, appendFilename.split(','))
    writeSecret(path, bytes)
    io.out(`Saved and verified snapshot to index ${index}\n`)

    async function withParts(name: string, parts: readonly string[]): Promise<string> {
      const { Config } = await api.getJson<{ Config: Record<string, string> }>('/v1/agent/self')
      const known: Record<string, string> = {
        version: Config['Version']!,
        dc: Config['Datacenter']!,
        node: Config['NodeName']!,
        status: 'leader',
      }
      const values = parts.map(part => known[part] ?? bad(part))
      const dot = name.lastIndexOf('.')
      return dot > name.lastIndexOf('/') + 1 ? `${name.slice(0, dot)}-${values.join('-')}${name.slice(dot)}` : `${name}-${values.join('-')}`
    }
  })
  const restore = snapshot
    .command('restore')
    .description('put a saved state in place of the present one')
    .argument('<file>', '- for standard input')
  remote(restore, io, async (api, _flags: object, [file]) => {
    await api.call({ method: 'PUT', path: '/v1/snapshot', body: io.readBytes(file!), timeoutMs: SAVE_TIMEOUT_MS })
    io.out('Restored snapshot\n')
  })
  const inspect = snapshot
    .command('inspect')
    .description('what a saved state holds')
    .argument('<file>')
    .option(...FORMAT_OPTION)
    .allowExcessArguments(false)
  inspect.action(async (file: string) => {
    const { inspectState } = await import('../../control/state-file/state-file.js')
    const state = await inspectState(io.readBytes(file)).catch((error: Error) => {
      throw new CliError(`${file}: ${error.message}`)
    })
    const text = (): string =>
      `${formatRows([
        [' Version', String(state.Version)],
        [' Index', String(state.Index)],
        [' Size', String(state.Size)],
      ])}\n${formatTable(
        [' Type', 'Count'],
        Object.entries(state.Counts).map(([name, count]) => [` ${name}`, String(count)]),
      )}`
    printAs(inspect.opts<{ format?: string }>().format, state, text, io)
  })
}

function bad(part: string): never {
  throw new CliError(`--append-filename "${part}": version, dc, node and status are known`)
}
