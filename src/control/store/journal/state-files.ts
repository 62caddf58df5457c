// The two kinds of files that hold a data directory's state, read and written as checked lines (checked-lines.ts):
//
//   snapshot-<index>.jsonl   every record as it was at that index; its last line says how many there are
//   journal-<index>.jsonl    the transactions since that index, one a line, appended to
//
// Used by state-directory.ts, which knows which of them make up the state, and by `JournalStore`, which appends.
import { open, readFile, rename, rm } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { LineWriter, readLines } from './checked-lines.js'
import { type Kept, type RecordRow, RecordTable, type WriteRow } from './record-table.js'

export const FORMAT = 2
const NAME = /^(snapshot|journal)-(\d{12})\.jsonl$/
/** Written at once; then other work has its turn. */
const CHUNK_BYTES = 256 * 1024

export interface FileHeader {
  readonly format: number
  readonly kind: 'snapshot' | 'journal'
  readonly generation: string
  readonly index: number
}

/** One transaction of a journal. */
export interface JournalLine {
  readonly index: number
  readonly writes: readonly WriteRow[]
}

export interface StateFileName {
  readonly kind: 'snapshot' | 'journal'
  readonly index: number
  readonly name: string
}

export function parseFileName(name: string): StateFileName | undefined {
  const match = NAME.exec(name)
  return match === null ? undefined : { kind: match[1] as StateFileName['kind'], index: Number(match[2]), name }
}

export function fileName(kind: StateFileName['kind'], index: number): string {
  return `${kind}-${String(index).padStart(12, '0')}.jsonl`
}

/** Durable and complete, or not there under its name. Resolves with its length. */
export async function writeSnapshot(path: string, header: FileHeader, rows: readonly (readonly [string, string, Kept])[]): Promise<number> {
  let bytes = 0
  const temporary = `${path}.new`
  const file = await open(temporary, 'w', 0o600)
  try {
    const lines = new LineWriter()
    let chunk = lines.line(header)
    for (const [collection, key, { text, createIndex, modifyIndex }] of rows) {
      chunk += lines.line([collection, key, JSON.parse(text), createIndex, modifyIndex])
      if (chunk.length < CHUNK_BYTES) continue
      await file.writeFile(chunk)
      chunk = ''
    }
    await file.writeFile(chunk + lines.line({ end: rows.length }))
    await file.datasync()
    bytes = (await file.stat()).size
  } catch (error) {
    // On a full disk the half of a snapshot would be in the way of the journal.
    await rm(temporary, { force: true })
    throw error
  } finally {
    await file.close()
  }
  await rename(temporary, path)
  await syncDirectory(dirname(path))
  return bytes
}

/** A rename or a new name is durable only once its directory is. */
export async function syncDirectory(dir: string): Promise<void> {
  const handle = await open(dir)
  await handle.sync().finally(() => handle.close())
}

export type ReadSnapshot = { readonly header: FileHeader; readonly records: RecordTable } | { readonly problem: string }

export async function readSnapshot(path: string): Promise<ReadSnapshot> {
  const name = basename(path)
  const lines = readLines(await readFile(path))
  const problem = lines.problem
  if (problem !== undefined) return { problem: `${name} line ${problem.line} (byte ${problem.byte}) ${problem.reason}` }
  const [header, ...rest] = lines.values as [FileHeader | undefined, ...unknown[]]
  const end = rest.pop() as { readonly end?: number } | undefined
  if (header?.kind !== 'snapshot') return { problem: `${name} is no snapshot` }
  if (header.format > FORMAT)
    return { problem: `${name} was written by a newer version (format ${header.format}, this one reads ${FORMAT})` }
  if (end?.end !== rest.length) return { problem: `${name} ends too early` }
  const records = new RecordTable()
  records.index = header.index
  for (const row of rest as RecordRow[]) records.restore(row)
  return { header, records }
}

export interface ReadJournal {
  readonly header: FileHeader | undefined
  readonly transactions: readonly JournalLine[]
  /** Length of the good part, and the checksum at its end: where to go on. */
  readonly bytes: number
  readonly checksum: string
  /** What is wrong after the good part. */
  readonly problem: string | undefined
  /** The bad part is one line at the very end: what a write that was cut off leaves behind. */
  readonly torn: boolean
}

export async function readJournal(path: string): Promise<ReadJournal> {
  const { values, bytes, checksum, problem } = readLines(await readFile(path))
  const [header, ...transactions] = values as [FileHeader | undefined, ...JournalLine[]]
  const name = basename(path)
  const newer = header !== undefined && header.format > FORMAT
  return {
    header,
    transactions,
    bytes,
    checksum,
    problem:
      problem !== undefined
        ? `${name} line ${problem.line} (byte ${problem.byte}) ${problem.reason}`
        : header === undefined
          ? `${name} is empty`
          : newer
            ? `${name} was written by a newer version (format ${header.format}, this one reads ${FORMAT})`
            : undefined,
    torn: (problem?.last ?? header === undefined) && !newer,
  }
}
