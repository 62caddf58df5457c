// Reads a data directory: which snapshot and journals make up the state, whether all that was ever acknowledged is there, and what to do where
// it is not. Called by `JournalStore.open`, with the directory's lock held.
//
//   no file of state                      a new state, or the database of version 0.1.0 taken over (sqlite-import.ts)
//   newest good snapshot + its journals   the state, if it reaches the index of `head`; a torn last line is a write nobody was told of
//   anything else                         refused, with what is wrong and the ways out: `restore` a backup, or `acceptLoss`
//
// Invariant: what is refused is left as it is; a way out moves the old files aside and deletes nothing. Where a certificate authority has
// been, none of them leads to a state without one.
import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readdir, rename, rm, truncate } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { type Head, readHead } from './head-file.js'
import { RecordTable } from './record-table.js'
import { importSqlite, putAside, SQLITE_FILE } from './sqlite-import.js'
import {
  FORMAT,
  fileName,
  parseFileName,
  type ReadJournal,
  readJournal,
  readSnapshot,
  syncDirectory,
  writeSnapshot,
} from './state-files.js'

export const HEAD_FILE = 'head'

export interface DirectoryOptions {
  /** A snapshot file to go back to. */
  readonly restore?: string
  /** Reads that file where it may be of another form than a snapshot. */
  readonly readRestored?: (path: string) => Promise<{ readonly records: RecordTable } | { readonly problem: string }>
  /** Go on with what can be read. */
  readonly acceptLoss?: boolean
  /** What was found and mended without loss, and what a way out has done. */
  readonly onNotice?: (text: string) => void
}

export interface DirectoryState {
  readonly records: RecordTable
  readonly generation: string
  /** The journal that is appended to; undefined: a new one is to be begun. */
  readonly journal: { readonly name: string; readonly bytes: number; readonly checksum: string } | undefined
  /** Puts what this state replaces out of the way; called once `head` stands for this one. */
  tidy(): Promise<void>
}

const nothing = async (): Promise<void> => {}

/** What a set of files amounts to. */
interface Reading {
  readonly records: RecordTable
  readonly generation: string | undefined
  readonly journal: DirectoryState['journal']
  /** What ends the last journal as a write that was cut off would. */
  readonly torn: string | undefined
  readonly problems: readonly string[]
}

/** Whether there is anything of a state in it, whole or not: for who must not make one where there is none. */
export async function holdsState(dir: string): Promise<boolean> {
  const names = await readdir(dir)
  return names.some(name => name === HEAD_FILE || name === SQLITE_FILE || parseFileName(name) !== undefined)
}

/** Rejects with one line when the state is not whole. */
export async function readDirectory(dir: string, options: DirectoryOptions): Promise<DirectoryState> {
  const head = await readHead(join(dir, HEAD_FILE))
  const names = await readdir(dir)
  for (const name of names) if (name.endsWith('.new')) await rm(join(dir, name), { force: true })
  const files = names.map(parseFileName).filter(file => file !== undefined)
  if (options.restore !== undefined) return restore(dir, options.restore, head, options)
  const sqlite = existsSync(join(dir, SQLITE_FILE))
  if (head === undefined && sqlite)
    return takeOver(
      dir,
      files.map(({ name }) => name),
      options,
    )
  if (head === undefined && files.length === 0)
    return { records: new RecordTable(), generation: randomUUID(), journal: undefined, tidy: nothing }

  const reading = await bestReading(dir, files)
  const problems = [...reading.problems]
  // A directory that was being made when its process ended has a journal that says nothing yet.
  if (head === undefined && reading.records.index > 0) problems.push("head is missing, or can't be read")
  if (head !== undefined && reading.generation !== undefined && reading.generation !== head.generation)
    problems.push('head is of another generation of the state')
  if (head !== undefined && reading.records.index < head.index) {
    if (reading.torn !== undefined) problems.push(reading.torn)
    problems.push(`the last ${head.index - reading.records.index} of ${head.index} acknowledged writes are missing`)
  }
  if (problems.length === 0) {
    // The line of a write that nobody has been told of.
    if (reading.torn !== undefined && reading.journal !== undefined) await truncate(join(dir, reading.journal.name), reading.journal.bytes)
    return {
      records: reading.records,
      generation: reading.generation ?? head?.generation ?? randomUUID(),
      journal: reading.journal,
      tidy: sqlite ? () => putAside(dir) : nothing,
    }
  }
  if (options.acceptLoss === true) return acceptLoss(dir, reading, head, problems, options)
  throw new Error(`the state is damaged: ${problems.join('; ')}. ${waysOut(dir, files)}`)
}

function waysOut(dir: string, files: readonly { readonly kind: string; readonly name: string }[]): string {
  const newest = files
    .filter(({ kind }) => kind === 'snapshot')
    .map(({ name }) => name)
    .sort()
    .at(-1)
  const backup = newest === undefined ? 'FILE (a copy of a snapshot-*.jsonl)' : join(dir, newest)
  return `Nothing was changed. Start with --restore ${backup} to go back to a backup, or with --accept-loss to go on with what can be read`
}

/** From the newest snapshot that is good, or from nothing where the journals go back to the beginning. */
async function bestReading(dir: string, files: readonly { kind: string; index: number; name: string }[]): Promise<Reading> {
  const byIndex = (kind: string) => files.filter(file => file.kind === kind).sort((a, b) => a.index - b.index)
  const journals = byIndex('journal')
  const bad: string[] = []
  for (const { name } of byIndex('snapshot').reverse()) {
    const snapshot = await readSnapshot(join(dir, name))
    if ('problem' in snapshot) bad.push(snapshot.problem)
    else {
      const reading = await replay(dir, snapshot.records, snapshot.header.generation, journals)
      // An older snapshot and all the journals since it say the same as the newest one would have.
      return { ...reading, problems: reading.problems.length === 0 ? [] : [...bad, ...reading.problems] }
    }
  }
  const reading = await replay(dir, new RecordTable(), undefined, journals)
  return { ...reading, problems: reading.problems.length === 0 && reading.records.index > 0 ? [] : [...bad, ...reading.problems] }
}

async function replay(
  dir: string,
  records: RecordTable,
  startGeneration: string | undefined,
  journals: readonly { readonly index: number; readonly name: string }[],
): Promise<Reading> {
  let generation = startGeneration
  let journal: DirectoryState['journal']
  let torn: string | undefined
  const problems: string[] = []
  const following = journals.filter(({ index }) => index >= records.index)
  for (const [i, { name }] of following.entries()) {
    const read = await readJournal(join(dir, name))
    const { header } = read
    if (header !== undefined && (header.index !== records.index || (generation !== undefined && header.generation !== generation))) {
      problems.push(
        `${name} does not follow what is before it (it begins after write ${header.index}, which is followed by ${records.index})`,
      )
      break
    }
    generation ??= header?.generation
    const gap = apply(records, read)
    if (gap !== undefined) problems.push(`${name}: ${gap}`)
    const isLast = i === following.length - 1
    if (read.problem !== undefined && !(isLast && read.torn)) problems.push(read.problem)
    if (problems.length > 0) break
    if (!isLast) continue
    torn = read.problem
    // Without a header there is nothing to go on from: a new one takes its name.
    if (header !== undefined) journal = { name, bytes: read.bytes, checksum: read.checksum }
  }
  return { records, generation, journal, torn, problems }
}

function apply(records: RecordTable, { transactions }: ReadJournal): string | undefined {
  for (const { index, writes } of transactions) {
    if (index !== records.index + 1) return `write ${records.index + 1} is missing`
    records.index = index
    for (const [collection, key, ...value] of writes) {
      if (value.length === 0) records.apply({ op: 'delete', collection, key }, '', index)
      else records.apply({ op: 'put', collection, key, value: value[0] }, JSON.stringify(value[0]), index)
    }
  }
  return undefined
}

async function restore(dir: string, file: string, head: Head | undefined, options: DirectoryOptions): Promise<DirectoryState> {
  const snapshot = await (options.readRestored ?? readSnapshot)(resolve(file)).catch((error: Error) => ({ problem: error.message }))
  if ('problem' in snapshot) throw new Error(`--restore ${file}: ${snapshot.problem}`)
  const { records } = snapshot
  if (head?.ca === true && !records.has('ca'))
    throw new Error(`--restore ${file}: it holds no certificate authority, and there has been one here`)
  const text = `restored ${records.size} records of write ${records.index} from ${file}`
  const before = await bestReading(
    dir,
    (await readdir(dir)).map(parseFileName).filter(name => name !== undefined),
  )
  records.index = Math.max(records.index, before.records.index)
  return beginAgain(dir, records, head, aside => options.onNotice?.(`${text}; the files of before are in ${aside}`))
}

async function acceptLoss(
  dir: string,
  { records }: Reading,
  head: Head | undefined,
  problems: readonly string[],
  options: DirectoryOptions,
): Promise<DirectoryState> {
  const damage = problems.join('; ')
  if (head?.ca !== false && !records.has('ca'))
    throw new Error(
      `the state is damaged: ${damage}. What can be read holds no certificate authority, and a new one would refuse every identity that there is: start with --restore FILE`,
    )
  const text = `loss accepted (${damage}): going on with ${records.size} records of write ${records.index}`
  return beginAgain(dir, records, head, aside => options.onNotice?.(`${text}; the damaged files are in ${aside}`))
}

/** A generation of its own; the index goes on from where it may have been. */
async function beginAgain(
  dir: string,
  records: RecordTable,
  head: Head | undefined,
  done: (aside: string) => void,
): Promise<DirectoryState> {
  const old = (await readdir(dir)).filter(name => name.startsWith(SQLITE_FILE) || parseFileName(name) !== undefined)
  records.index = Math.max(records.index, head?.index ?? 0, ...old.map(name => parseFileName(name)?.index ?? 0)) + 1
  return begin(dir, records, async () => {
    const aside = join(dir, `replaced-${new Date().toISOString().replaceAll(':', '')}`)
    await mkdir(aside, { mode: 0o700 })
    for (const name of old) await rename(join(dir, name), join(aside, name))
    await syncDirectory(dir)
    done(aside)
  })
}

async function begin(dir: string, records: RecordTable, tidy: () => Promise<void>): Promise<DirectoryState> {
  const generation = randomUUID()
  const { index } = records
  await writeSnapshot(join(dir, fileName('snapshot', index)), { format: FORMAT, kind: 'snapshot', generation, index }, records.rows())
  return { records, generation, journal: undefined, tidy }
}

/** A takeover that was interrupted left files that nothing has been acknowledged by: it is done again. */
async function takeOver(dir: string, leftovers: readonly string[], options: DirectoryOptions): Promise<DirectoryState> {
  for (const name of leftovers) await rm(join(dir, name))
  const records = new RecordTable()
  const { index, rows } = await importSqlite(dir)
  records.index = index
  for (const row of rows) records.restore(row)
  options.onNotice?.(`took over ${records.size} records of version 0.1.0`)
  return begin(dir, records, () => putAside(dir))
}
