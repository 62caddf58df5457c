// `outrigger config write|read|list|delete`: config entries one by one, as Consul's command. Declared for program.ts.
import type { Command } from 'commander'
import { remote } from '../command-line/api-flags.js'
import { CliError, type CommandIo } from '../command-line/command-io.js'
import { formatJson } from '../command-line/print.js'
import { entryName } from './apply.js'
import { field, readObjects } from './documents.js'

interface CasFlags {
  readonly cas?: boolean
  readonly modifyIndex?: string
}

export function addConfig(program: Command, io: CommandIo): void {
  const config = program.command('config').description('config entries: write, read, list, delete')
  const write = config
    .command('write')
    .description('write the config entry of a file')
    .argument('<file>', 'HCL, JSON or YAML; - for standard input')
    .option('--cas', 'only where --modify-index is still that of the entry (0: where there is none)')
    .option('--modify-index <n>', 'for --cas')
  remote(write, io, async (api, flags: CasFlags, [file]) => {
    const [entry, ...more] = readObjects(io.readText(file!), file!)
    if (entry === undefined || more.length > 0) throw new CliError(`${file}: must hold one entry ("outrigger apply" takes several)`)
    const kind = field(entry.value, 'Kind')
    if (typeof kind !== 'string') throw new CliError(`${file}: Kind: missing`)
    const { text, warnings } = await api.put(`/v1/config${casQuery(flags)}`, entry.value)
    for (const warning of warnings) io.err(`warning: ${warning}\n`)
    const shown = `${kind}/${entryName(kind, entry.value)}`
    if (text.trim() !== 'true') throw new CliError(`Config entry not updated: ${shown}: it was changed meanwhile`)
    io.out(`Config entry written: ${shown}\n`)
  })
  const read = config
    .command('read')
    .description('print one entry as JSON')
    .requiredOption('--kind <kind>', 'for example service-defaults')
    .requiredOption('--name <name>', 'its name')
  remote(read, io, async (api, { kind, name }: { kind: string; name: string }) => {
    io.out(formatJson(await api.getJson(entryPath(kind, name))))
  })
  const list = config
    .command('list')
    .description('print the names of all entries of a kind')
    .requiredOption('--kind <kind>', 'for example service-defaults')
    .option('--filter <expression>', 'only those it holds for')
    .option('--json', 'print the entries as JSON')
  remote(list, io, async (api, { kind, filter, json }: { kind: string; filter?: string; json?: boolean }) => {
    const query = filter === undefined ? '' : `?${new URLSearchParams({ filter })}`
    const entries = await api.getJson<{ Name: string }[]>(`/v1/config/${encodeURIComponent(kind)}${query}`)
    io.out(json === true ? formatJson(entries) : entries.map(({ Name }) => `${Name}\n`).join(''))
  })
  const remove = config
    .command('delete')
    .description('delete one entry')
    .option('--kind <kind>', 'for example service-defaults')
    .option('--name <name>', 'its name')
    .option('--filename <file>', 'kind and name of the entry in this file')
    .option('--cas', 'only where --modify-index is still that of the entry')
    .option('--modify-index <n>', 'for --cas')
  remote(remove, io, async (api, flags: CasFlags & { kind?: string; name?: string; filename?: string }) => {
    const { kind, name } = flags.filename === undefined ? flags : ofFile(flags.filename, io)
    if (kind === undefined || name === undefined) throw new CliError('--kind and --name, or --filename, are needed')
    const { text } = await api.delete(`${entryPath(kind, name)}${casQuery(flags)}`)
    if (flags.cas === true && text.trim() !== 'true')
      throw new CliError(`Config entry not deleted: ${kind}/${name}: it was changed meanwhile`)
    io.out(`Config entry deleted: ${kind}/${name}\n`)
  })
}

function ofFile(file: string, io: CommandIo): { readonly kind: string; readonly name: string } {
  const [entry] = readObjects(io.readText(file), file)
  const kind = entry && field(entry.value, 'Kind')
  if (typeof kind !== 'string') throw new CliError(`${file}: Kind: missing`)
  return { kind, name: entryName(kind, entry!.value) }
}

function entryPath(kind: string, name: string): string {
  return `/v1/config/${encodeURIComponent(kind)}/${encodeURIComponent(name)}`
}

function casQuery({ cas, modifyIndex }: CasFlags): string {
  if (cas !== true && modifyIndex !== undefined) throw new CliError('--modify-index needs --cas')
  return cas === true ? `?cas=${encodeURIComponent(modifyIndex ?? '0')}` : ''
}
