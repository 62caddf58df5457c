// `outrigger import --from HOST:8500`: takes over what a running Consul keeps. Declared for program.ts; the work is import/'s.
import type { Command } from 'commander'
import { remote } from '../command-line/api-flags.js'
import { CliError, type CommandIo } from '../command-line/command-io.js'
import { ControlApi, type ControlApi as Target } from '../command-line/control-api.js'
import { formatJson, JSON_OPTION } from '../command-line/print.js'
import { type ImportReport, runImport } from '../import/run-import.js'

interface ImportFlags {
  readonly from?: string
  readonly fromToken?: string
  readonly fromTokenFile?: string
  readonly fromCaFile?: string
  readonly dryRun?: boolean
  readonly json?: boolean
}

export function addImport(program: Command, io: CommandIo): void {
  const command = program
    .command('import')
    .description('take over KV, config entries, intentions and ACLs of a running Consul')
    .requiredOption('--from <addr>', 'the Consul to read: host:port, http(s)://host:port or unix:///path')
    .option('--from-token <token>', 'its token; better by --from-token-file or OUTRIGGER_IMPORT_TOKEN')
    .option('--from-token-file <file>', 'the same, read from a file')
    .option('--from-ca-file <file>', 'PEM bundle that verifies an https address')
    .option('--dry-run', 'say what would be done, write nothing')
    .option(...JSON_OPTION)
  remote(command, io, (api, flags: ImportFlags) => importFrom(api, flags, io))
}

async function importFrom(target: Target, flags: ImportFlags, io: CommandIo): Promise<void> {
  const { from, fromToken, fromTokenFile, fromCaFile, dryRun = false, json = false } = flags
  const token = fromToken ?? (fromTokenFile === undefined ? io.env('OUTRIGGER_IMPORT_TOKEN') : io.readText(fromTokenFile).trim())
  const source = new ControlApi({
    address: from!,
    token,
    caPem: fromCaFile === undefined ? undefined : io.readText(fromCaFile),
  })
  if (source.address === target.address) throw new CliError(`--from ${from}: is the control plane that is written to (--http-addr)`)
  const report = await runImport({ source, target, dryRun, onProgress: io.progress })
  if (json) io.out(formatJson(jsonOf(report, dryRun)))
  else io.out(summaryOf(report, dryRun))
  for (const line of report.left) io.err(`left: ${line}\n`)
  for (const line of report.refusals) io.err(`not taken: ${line}\n`)
  if (report.refusals.length > 0) throw new CliError(`${report.refusals.length} not taken`)
}

function jsonOf({ counts, left, refusals }: ImportReport, dryRun: boolean): object {
  const Kinds = counts.map(({ kind, created, updated, unchanged, refused }) => ({
    Kind: kind,
    Created: created,
    Updated: updated,
    Unchanged: unchanged,
    Refused: refused,
  }))
  return { DryRun: dryRun, Kinds, Left: left, NotTaken: refusals }
}

function summaryOf({ counts }: ImportReport, dryRun: boolean): string {
  const lines = counts.map(({ kind, created, updated, unchanged, refused }) => {
    const parts = [`${created} created`, `${updated} updated`, `${unchanged} unchanged`, ...(refused > 0 ? [`${refused} refused`] : [])]
    return `${kind}: ${parts.join(', ')}\n`
  })
  return `${dryRun ? 'dry run, nothing is written:\n' : ''}${lines.join('')}`
}
