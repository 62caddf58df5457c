// `outrigger kv get|put|delete|export|import`: the key/value store, with Consul's flags, words and exit codes. Declared for program.ts.
import type { Command } from 'commander'
import { remote } from '../command-line/api-flags.js'
import { CliError, type CommandIo } from '../command-line/command-io.js'
import { type ControlApi, RefusedError } from '../command-line/control-api.js'
import { stopAtOperand } from '../command-line/go-flags.js'
import { formatJson, formatRows, JSON_OPTION } from '../command-line/print.js'

interface Pair {
  readonly Key: string
  /** Base64; null where it is empty. */
  readonly Value: string | null
  /** 64 bits, more than a number holds. */
  readonly Flags: string
  readonly CreateIndex: number
  readonly ModifyIndex: number
  readonly LockIndex: number
  readonly Session?: string
}

interface Exported {
  readonly key: string
  /** 64 bits; older files have none. */
  readonly flags?: string
  readonly value: string
}

export function addKv(program: Command, io: CommandIo): void {
  const kv = program.command('kv').description('key/value store')
  addGet(kv, io)
  addPut(kv, io)
  const remove = kv
    .command('delete')
    .description('delete a key, or with --recurse all that begin with it')
    .argument('[key]')
    .option('--recurse', 'all keys with this prefix')
    .option('--cas', 'only where --modify-index is still that of the key')
    .option('--modify-index <n>', 'for --cas')
  remote(stopAtOperand(remove), io, (api, flags: CasFlags & { recurse?: boolean }, [key]) => deleteKeys(key ?? '', flags, api, io))
  const exporting = kv.command('export').description('print keys as JSON, for `kv import`').argument('[prefix]', 'all keys, unless given')
  remote(exporting, io, async (api, _flags: object, [prefix]) => {
    const pairs = (await readPairs(`${keyPath(prefix ?? '')}?recurse`, api)) ?? []
    const exported = pairs.map(({ Key, Flags, Value }): Exported => ({ key: Key, flags: Flags, value: Value ?? '' }))
    io.out(`${JSON.stringify(exported, null, '\t').replace(/^(\t\t"flags": )"(\d+)"/gm, '$1$2')}\n`)
  })
  const importing = kv
    .command('import')
    .description('write keys that `kv export` has printed')
    .argument('[data]', 'JSON, @file, or - for standard input (the default)')
    .option('--prefix <prefix>', 'put before every key')
    .option(...JSON_OPTION)
  remote(stopAtOperand(importing), io, (api, flags: { prefix?: string; json?: boolean }, [data]) =>
    importKeys(dataOf(data ?? '-', io), flags, api, io),
  )
}

function addGet(kv: Command, io: CommandIo): void {
  const get = kv
    .command('get')
    .description('print the value of a key')
    .argument('[key]')
    .option('--base64', 'values as base64')
    .option('--detailed', 'indexes, flags and session as well')
    .option('--keys', 'names only, of all keys with this prefix')
    .option('--recurse', 'all keys with this prefix')
    .option('--separator <text>', 'with --keys: names end after it (default: /)')
  remote(stopAtOperand(get), io, async (api, flags: GetFlags, [operand]) => {
    const key = plainKey(operand ?? '')
    if (flags.keys === true) {
      const query = new URLSearchParams({ keys: '', separator: flags.separator ?? '/' })
      for (const name of (await api.findJson<string[]>(`${keyPath(key)}?${query}`)) ?? []) io.out(`${name}\n`)
      return
    }
    if (key === '' && flags.recurse !== true) throw new CliError('the name of a key is missing')
    const pairs = await readPairs(`${keyPath(key)}${flags.recurse === true ? '?recurse' : ''}`, api)
    if (flags.recurse !== true && pairs === undefined) throw new CliError(`Error! No key exists at: ${key}`)
    const show = (pair: Pair): Buffer | string => (flags.base64 === true ? (pair.Value ?? '') : Buffer.from(pair.Value ?? '', 'base64'))
    // Values are given on to other programs as they are.
    const print = io.terminal() === undefined ? io.draw : io.out
    for (const pair of pairs ?? []) {
      if (flags.detailed === true) print(`${detailed(pair, show(pair))}${flags.recurse === true ? '\n' : ''}`)
      else if (flags.recurse === true) print(`${pair.Key}:${show(pair)}\n`)
      else {
        // Any bytes may be a value.
        io.out(show(pair))
        io.out('\n')
      }
    }
  })
}

interface GetFlags {
  readonly base64?: boolean
  readonly detailed?: boolean
  readonly keys?: boolean
  readonly recurse?: boolean
  readonly separator?: string
}

function detailed(pair: Pair, value: Buffer | string): string {
  return formatRows([
    ['CreateIndex', String(pair.CreateIndex)],
    ['Flags', pair.Flags],
    ['Key', pair.Key],
    ['LockIndex', String(pair.LockIndex)],
    ['ModifyIndex', String(pair.ModifyIndex)],
    ['Session', pair.Session ?? '-'],
    ['Value', value.toString()],
  ])
}

interface CasFlags {
  readonly cas?: boolean
  readonly modifyIndex?: string
}

interface PutFlags extends CasFlags {
  readonly acquire?: boolean
  readonly release?: boolean
  readonly base64?: boolean
  readonly flags?: string
  readonly session?: string
}

function addPut(kv: Command, io: CommandIo): void {
  const put = kv
    .command('put')
    .description('write the value of a key')
    .argument('<key>')
    .argument('[data]', 'the value, @file, or - for standard input; none is an empty value')
    .option('--acquire', 'take the lock of the key for --session')
    .option('--release', 'give it back')
    .option('--session <id>', 'for --acquire and --release')
    .option('--base64', 'the data is base64')
    .option('--flags <n>', 'number of your own, 64 bits (default: 0)')
    .option('--cas', 'only where --modify-index is still that of the key (0: where there is none)')
    .option('--modify-index <n>', 'for --cas')
  remote(stopAtOperand(put), io, async (api, flags: PutFlags, [operand, data]) => {
    const key = plainKey(operand!)
    if (key === '') throw new CliError('the name of a key is missing')
    const { acquire, release, session } = flags
    if (acquire === true && release === true) throw new CliError('--acquire and --release exclude each other')
    if ((acquire === true || release === true) && session === undefined) throw new CliError('--acquire and --release need --session')
    const text = dataOf(data ?? '', io)
    const query = new URLSearchParams({
      ...(flags.flags === undefined ? {} : { flags: flags.flags }),
      ...casParameter(flags),
      ...(acquire === true ? { acquire: session! } : {}),
      ...(release === true ? { release: session! } : {}),
    })
    const body = flags.base64 === true ? base64Of(text.toString()) : text
    const { text: answer } = await api.call({ method: 'PUT', path: `${keyPath(key)}?${query}`, body })
    const done = answer.trim() === 'true'
    if (acquire === true) return report(done, `Lock acquired on: ${key}`, 'Did not acquire lock', io)
    if (release === true) return report(done, `Lock released on: ${key}`, `Did not release lock on: ${key}`, io)
    return report(done, `Data written to: ${key}`, `Did not write to ${key}: CAS failed`, io)
  })
}

async function deleteKeys(
  operand: string,
  flags: CasFlags & { readonly recurse?: boolean },
  api: ControlApi,
  io: CommandIo,
): Promise<void> {
  const key = plainKey(operand)
  if (key === '' && flags.recurse !== true) throw new CliError('the name of a key is missing (--recurse deletes all of them)')
  if (flags.recurse === true && flags.cas === true) throw new CliError('--cas and --recurse exclude each other')
  const query = flags.recurse === true ? 'recurse' : new URLSearchParams(casParameter(flags)).toString()
  const { text } = await api.delete(`${keyPath(key)}?${query}`)
  if (flags.recurse === true) io.out(`Success! Deleted keys with prefix: ${key}\n`)
  else report(text.trim() === 'true', `Deleted key: ${key}`, `Did not delete key ${key}: CAS failed`, io)
}

function casParameter({ cas, modifyIndex }: CasFlags): Record<string, string> {
  if (cas !== true) {
    if (modifyIndex !== undefined) throw new CliError('--modify-index needs --cas')
    return {}
  }
  return { cas: modifyIndex ?? '0' }
}

function report(done: boolean, success: string, failure: string, io: CommandIo): void {
  if (!done) throw new CliError(`Error! ${failure}`)
  io.out(`Success! ${success}\n`)
}

async function importKeys(
  data: Buffer,
  { prefix = '', json = false }: { readonly prefix?: string; readonly json?: boolean },
  api: ControlApi,
  io: CommandIo,
): Promise<void> {
  let entries: unknown
  try {
    entries = JSON.parse(data.toString('utf8').replace(/("flags"\s*:\s*)(\d+)/g, '$1"$2"'))
  } catch (error) {
    throw new CliError(`cannot be imported: not JSON: ${(error as Error).message}`)
  }
  if (!Array.isArray(entries)) throw new CliError('cannot be imported: a list, as `kv export` prints it, is expected')
  const pairs = (entries as readonly Partial<Exported>[]).map((entry, i) => {
    if (typeof entry?.key !== 'string' || typeof entry.value !== 'string')
      throw new CliError(`cannot be imported: [${i}]: key and value are needed`)
    return { key: plainKey(prefix + entry.key), flags: entry.flags ?? '0', value: base64Of(entry.value) }
  })
  for (const [done, { key, flags, value }] of pairs.entries()) {
    io.progress('keys', done, pairs.length)
    try {
      await api.call({ method: 'PUT', path: `${keyPath(key)}?flags=${flags}`, body: value })
    } catch (error) {
      throw error instanceof RefusedError
        ? new RefusedError(error.statusCode, `Error! Failed writing data for key ${key}: ${error.message}`)
        : error
    }
    if (!json) io.out(`Imported: ${key}\n`)
  }
  if (json) io.out(formatJson({ Imported: pairs.map(({ key }) => key) }))
}

/** Undefined where there are none. Flags keep all their digits: what is in quotes is escaped, so a bare `"Flags":` is the field itself. */
async function readPairs(path: string, api: ControlApi): Promise<Pair[] | undefined> {
  const { text, missing } = await api.call({ method: 'GET', path, allowMissing: true })
  return missing ? undefined : (JSON.parse(text.replace(/("Flags":\s*)(\d+)/g, '$1"$2"')) as Pair[])
}

function dataOf(operand: string, io: CommandIo): Buffer {
  if (operand === '-') return io.readBytes('-')
  return operand.startsWith('@') ? io.readBytes(operand.slice(1)) : Buffer.from(operand)
}

function base64Of(text: string): Buffer {
  if (!/^[A-Za-z0-9+/\s]*={0,2}\s*$/.test(text)) throw new CliError('the data is not base64')
  return Buffer.from(text, 'base64')
}

/** A slash before a key is a slip: no key begins with one. */
function plainKey(key: string): string {
  return key.replace(/^\//, '')
}

function keyPath(key: string): string {
  return `/v1/kv/${key.split('/').map(encodeURIComponent).join('/')}`
}
