// The store in a data directory: records in memory, every transaction appended to a journal and on disk before it is acknowledged, a snapshot
// of everything from time to time. Opened by `ControlPlane`. The files are state-files.ts, their reading at the start state-directory.ts.
//
//   transaction -> queue -> [batch: compare, encode -> append -> fdatasync -> head] -> memory -> subscribers -> promise
//
// Transactions that come while a batch is being written share the next one, so that many writers cost one flush. Durability: fdatasync before
// the answer, so neither `kill -9` nor a power failure loses what was acknowledged. A write that fails (a full disk) is cut off again and
// refused; memory has not changed. One that leaves the file in doubt ends writing until the next start.
// The files hold private keys, so they are readable by the owner only, and one process at a time may have them open.
import { randomUUID } from 'node:crypto'
import { chmod, type FileHandle, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { CommitFeed, leasedTurn } from '../commit-feed.js'
import { NoReplicas } from '../replica-notes.js'
import {
  ALONE,
  type Collection,
  type Commit,
  put,
  type RecordChange,
  remove,
  type Store,
  type StoreCompare,
  type StoredRecord,
  type StoreWrite,
  type TransactionResult,
  type Turn,
} from '../store.js'
import { type HeldLease, LocalLeases } from '../task-leases.js'
import { LineWriter } from './checked-lines.js'
import { DirectoryLock } from './directory-lock.js'
import { HeadFile } from './head-file.js'
import { makeFolder } from './make-folder.js'
import type { RecordTable, WriteRow } from './record-table.js'
import { type DirectoryOptions, type DirectoryState, HEAD_FILE, readDirectory } from './state-directory.js'
import { FORMAT, fileName, type JournalLine, parseFileName, syncDirectory, writeSnapshot } from './state-files.js'

/** A journal longer than this, and than twice the snapshot before it, ends in a new snapshot. */
const MIN_COMPACTION_BYTES = 4 * 1024 * 1024
/** Where anything has changed, there is a snapshot of no longer ago. */
const SNAPSHOT_INTERVAL_MS = 24 * 3_600_000
const SNAPSHOT_CHECK_MS = 3_600_000
/** Snapshots kept, with the journals since the oldest of them. */
const KEPT_SNAPSHOTS = 4
const MAX_BATCH_TRANSACTIONS = 1_024
/** A head that a power failure may have taken back lags by no more than this. */
const HEAD_SYNC_MS = 1_000
/** Of one transaction, as text. */
const MAX_TRANSACTION_CHARS = 64 * 1024 * 1024

export interface JournalStoreOptions extends DirectoryOptions {
  /** A snapshot could not be written: the journal goes on growing. */
  readonly onProblem?: (reason: string) => void
  readonly compactionBytes?: number
}

interface Waiting {
  readonly writes: readonly StoreWrite[]
  readonly texts: readonly string[]
  readonly compares: readonly StoreCompare[]
  resolve(result: TransactionResult): void
  reject(error: Error): void
}

interface Journal {
  readonly file: FileHandle
  bytes: number
  readonly lines: LineWriter
}

export class JournalStore implements Store {
  readonly leases = new LocalLeases()
  readonly notes = new NoReplicas()
  readonly contact = ALONE
  readonly isShared = false
  private readonly feed = new CommitFeed()
  private readonly queue: Waiting[] = []
  private readonly records: RecordTable
  private writing: Promise<void> | undefined
  private snapshotting: Promise<void> | undefined
  private snapshotBytes = 0
  private snapshotWanted = false
  private readonly snapshotTimer: NodeJS.Timeout
  private headTimer: NodeJS.Timeout | undefined
  /** Why nothing can be written any more. */
  private broken: string | undefined
  private closed = false

  private constructor(
    private readonly dir: string,
    private readonly lock: DirectoryLock,
    private readonly head: HeadFile,
    readonly generation: string,
    state: DirectoryState,
    private journal: Journal,
    private readonly options: JournalStoreOptions,
  ) {
    this.records = state.records
    this.snapshotTimer = setInterval(() => this.lookAtSnapshots(), SNAPSHOT_CHECK_MS).unref()
  }

  /**
   * Opens (or makes) the state in `dir`. Rejects with one clear line when the directory is in use, not writable, of a newer format, or when
   * its state is not whole; nothing has changed then.
   */
  static async open(dir: string, options: JournalStoreOptions = {}): Promise<JournalStore> {
    let lock: DirectoryLock | undefined
    try {
      await makeFolder(dir)
      lock = await DirectoryLock.take(dir)
      const state = await readDirectory(dir, options)
      const journal =
        state.journal === undefined ? await beginJournal(dir, state.generation, state.records.index) : await goOn(dir, state.journal)
      const head = await HeadFile.open(join(dir, HEAD_FILE))
      await chmod(join(dir, HEAD_FILE), 0o600)
      const store = new JournalStore(dir, lock, head, state.generation, state, journal, options)
      await store.promise(state.records.index, state.records.has('ca'))
      await head.sync()
      await syncDirectory(dir)
      await state.tidy()
      store.lookAtSnapshots()
      return store
    } catch (error) {
      await lock?.close()
      throw new Error(`data directory ${dir}: ${(error as Error).message}`)
    }
  }

  get index(): number {
    return this.records.index
  }

  /** All of it, as it is now. */
  get contents(): RecordTable {
    return this.records
  }

  async get(collection: Collection, key: string): Promise<StoredRecord | undefined> {
    return this.records.get(collection, key)
  }

  async list(collection: Collection, prefix = ''): Promise<StoredRecord[]> {
    return this.records.list(collection, prefix)
  }

  transaction(writes: readonly StoreWrite[], compares: readonly StoreCompare[] = []): Promise<TransactionResult> {
    return new Promise((resolve, reject) => {
      const texts = writes.map(write => (write.op === 'put' ? JSON.stringify(write.value) : ''))
      if (texts.reduce((sum, text) => sum + text.length, 0) > MAX_TRANSACTION_CHARS)
        throw new Error(`a transaction of more than ${MAX_TRANSACTION_CHARS} characters`)
      if (this.closed) throw new Error('the store is closed')
      this.queue.push({ writes, texts, compares, resolve, reject })
      this.pumpSoon()
    })
  }

  async put(collection: Collection, key: string, value: unknown): Promise<number> {
    return this.write(put(collection, key, value))
  }

  async delete(collection: Collection, key: string): Promise<number> {
    return this.write(remove(collection, key))
  }

  exclusive<T>(task: (turn: Turn) => Promise<T>, lease?: HeldLease): Promise<T> {
    return this.feed.exclusive(() => task(leasedTurn(this, lease)))
  }

  /** Nobody else writes. */
  async catchUp(): Promise<void> {}

  subscribe(collections: readonly Collection[], listener: (commit: Commit) => void): () => void {
    return this.feed.subscribe(collections, listener)
  }

  async close(): Promise<void> {
    if (this.closed) return
    this.closed = true
    clearInterval(this.snapshotTimer)
    clearTimeout(this.headTimer)
    await this.writing
    await this.snapshotting
    await this.head.sync().catch(() => {})
    await this.head.close()
    await this.journal.file.close()
    await this.lock.close()
  }

  private async write(write: StoreWrite): Promise<number> {
    const result = await this.transaction([write])
    return result.ok ? result.index : this.index
  }

  private pumpSoon(): void {
    this.writing ??= this.pump()
  }

  private lookAtSnapshots(): void {
    this.snapshotIfOld().catch((error: Error) => this.options.onProblem?.(`no snapshot: ${error.message}`))
  }

  /** Batch after batch, until nobody waits. */
  private async pump(): Promise<void> {
    // What is asked in this turn of the event loop shares a batch.
    await Promise.resolve()
    for (;;) {
      if (this.queue.length > 0) await this.writeBatch(this.queue.splice(0, MAX_BATCH_TRANSACTIONS))
      else if (this.snapshotWanted) await this.beginSnapshot()
      else {
        this.writing = undefined
        return
      }
    }
  }

  private async writeBatch(batch: readonly Waiting[]): Promise<void> {
    const { lines, text, accepted } = this.encode(batch)
    const { length } = accepted
    if (length > 0) {
      try {
        await this.append(text, lines)
        await this.promise(this.records.index + length, this.records.has('ca') || writesCa(accepted))
      } catch (error) {
        for (const { reject } of accepted) reject(error as Error)
        return
      }
      this.headTimer ??= setTimeout(() => this.syncHead(), HEAD_SYNC_MS).unref()
    }
    for (const { writes, texts, resolve } of accepted) {
      const index = ++this.records.index
      const changes = writes.map((write, i) => this.records.apply(write, texts[i]!, index)).filter(isChange)
      this.feed.publish(index, changes)
      resolve({ ok: true, index })
    }
    if (this.journal.bytes > Math.max(this.options.compactionBytes ?? MIN_COMPACTION_BYTES, 2 * this.snapshotBytes))
      await this.beginSnapshot()
  }

  /** Judges the compares, each transaction seeing those before it, and makes the lines of those that hold. */
  private encode(batch: readonly Waiting[]): { readonly lines: LineWriter; readonly text: string; readonly accepted: readonly Waiting[] } {
    const lines = new LineWriter(this.journal.lines.checksum)
    const changed = new Map<string, number>()
    const accepted: Waiting[] = []
    let text = ''
    for (const waiting of batch) {
      const conflict = waiting.compares.find(compare => this.modifyIndex(compare, changed) !== compare.modifyIndex)
      if (conflict !== undefined) {
        waiting.resolve({ ok: false, conflict })
        continue
      }
      accepted.push(waiting)
      const index = this.records.index + accepted.length
      for (const { op, collection, key } of waiting.writes) changed.set(`${collection}/${key}`, op === 'put' ? index : 0)
      text += lines.line({ index, writes: waiting.writes.map(toRow) } satisfies JournalLine)
    }
    return { lines, text, accepted }
  }

  private modifyIndex({ collection, key }: StoreCompare, changed: ReadonlyMap<string, number>): number {
    return changed.get(`${collection}/${key}`) ?? this.records.kept(collection, key)?.modifyIndex ?? 0
  }

  /** Durable once it resolves. Rejects with the journal as it was, or with writing at an end. */
  private async append(text: string, lines: LineWriter): Promise<void> {
    if (this.broken !== undefined) throw new Error(`data directory ${this.dir}: ${this.broken}; nothing is written until a restart`)
    const { file, bytes } = this.journal
    const buffer = Buffer.from(text)
    try {
      for (let written = 0; written < buffer.length; )
        written += (await file.write(buffer, written, buffer.length - written, bytes + written)).bytesWritten
    } catch (error) {
      // On the disk too: a power failure must not bring back what is said not to be there.
      const takenBack = file.truncate(bytes).then(() => file.datasync())
      await takenBack.catch(() => this.break(`a write failed and could not be taken back (${(error as Error).message})`))
      throw new Error(`data directory ${this.dir}: ${(error as Error).message}; nothing was changed`)
    }
    try {
      await file.datasync()
    } catch (error) {
      // What the kernel has thrown away by now can't be known.
      this.break(`a write did not reach the disk (${(error as Error).message})`)
      throw new Error(`data directory ${this.dir}: ${this.broken}; nothing is written until a restart`)
    }
    this.journal = { file, bytes: bytes + buffer.length, lines }
  }

  private break(reason: string): void {
    this.broken = reason
    this.options.onProblem?.(reason)
  }

  /** Notes in `head` what is about to be acknowledged. */
  private async promise(index: number, ca: boolean): Promise<void> {
    try {
      await this.head.write({ generation: this.generation, index, ca })
    } catch (error) {
      this.break(`head could not be written (${(error as Error).message})`)
      throw new Error(`data directory ${this.dir}: ${this.broken}; nothing is written until a restart`)
    }
  }

  private syncHead(): void {
    this.headTimer = undefined
    this.head.sync().catch((error: Error) => this.options.onProblem?.(error.message))
  }

  /** Where something has changed since, and the newest snapshot is of yesterday or there is none. */
  private async snapshotIfOld(): Promise<void> {
    const files = (await readdir(this.dir)).map(parseFileName).filter(file => file?.kind === 'snapshot')
    const newest = files.sort((a, b) => b!.index - a!.index)[0]
    if (newest?.index === this.records.index || this.records.index === 0) return
    if (newest !== undefined && (await stat(join(this.dir, newest.name))).mtimeMs > Date.now() - SNAPSHOT_INTERVAL_MS) return
    this.snapshotWanted = true
    this.pumpSoon()
  }

  /** Begins the next journal here and writes the snapshot beside the going on: until it is there, the old files and the new journal say all. */
  private async beginSnapshot(): Promise<void> {
    this.snapshotWanted = false
    if (this.snapshotting !== undefined || this.broken !== undefined || this.closed) return
    const { index } = this.records
    const before = this.journal.file
    try {
      this.journal = await beginJournal(this.dir, this.generation, index)
      await before.close()
    } catch (error) {
      this.options.onProblem?.(`no snapshot: ${(error as Error).message}`)
      return
    }
    this.snapshotting = this.writeSnapshot(index)
      .catch((error: Error) => this.options.onProblem?.(`no snapshot: ${error.message}`))
      .finally(() => (this.snapshotting = undefined))
  }

  private async writeSnapshot(index: number): Promise<void> {
    const path = join(this.dir, fileName('snapshot', index))
    this.snapshotBytes = await writeSnapshot(
      path,
      { format: FORMAT, kind: 'snapshot', generation: this.generation, index },
      this.records.rows(),
    )
    const files = (await readdir(this.dir)).map(parseFileName).filter(file => file !== undefined)
    const oldest = files
      .filter(({ kind }) => kind === 'snapshot')
      .map(file => file.index)
      .sort((a, b) => b - a)[KEPT_SNAPSHOTS - 1]
    if (oldest === undefined) return
    for (const file of files) if (file.index < oldest) await rm(join(this.dir, file.name), { force: true })
  }
}

async function beginJournal(dir: string, generation: string, index: number): Promise<Journal> {
  const path = join(dir, fileName('journal', index))
  const temporary = `${path}.${randomUUID().slice(0, 8)}.new`
  const file = await open(temporary, 'wx', 0o600)
  try {
    const lines = new LineWriter()
    const header = Buffer.from(lines.line({ format: FORMAT, kind: 'journal', generation, index }))
    // Whole, also where the disk takes it in pieces: what is appended goes to the place after it.
    await file.writeFile(header)
    await file.datasync()
    await rename(temporary, path)
    await syncDirectory(dir)
    return { file, bytes: header.length, lines }
  } catch (error) {
    await file.close()
    await rm(temporary, { force: true })
    throw error
  }
}

async function goOn(dir: string, { name, bytes, checksum }: NonNullable<DirectoryState['journal']>): Promise<Journal> {
  return { file: await open(join(dir, name), 'r+'), bytes, lines: new LineWriter(checksum) }
}

const toRow = (write: StoreWrite): WriteRow =>
  write.op === 'put' ? [write.collection, write.key, write.value] : [write.collection, write.key]

const isChange = (change: RecordChange | undefined): change is RecordChange => change !== undefined

const writesCa = (transactions: readonly Waiting[]): boolean =>
  transactions.some(({ writes }) => writes.some(({ op, collection }) => op === 'put' && collection === 'ca'))
