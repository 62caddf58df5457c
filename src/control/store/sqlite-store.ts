// The store in a data directory: one embedded SQLite database (libsql). Opened by `ControlPlane`.
//
// Durability: write-ahead log with `synchronous = FULL`. NORMAL would survive `kill -9` as well, but could lose the last commits
// when power fails; writes are rare here (a registration, a config entry, a leaf), and FULL costs well under a millisecond each.
// The files hold private keys, so they are readable by the owner only, and one process at a time may have them open.
import { chmodSync, closeSync, mkdirSync, openSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'libsql'
import { CommitFeed } from './commit-feed.js'
import {
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
} from './store.js'

/** Format of the tables; a database of a newer format is refused, not guessed at. */
const SCHEMA_VERSION = 1
const DATABASE_FILE = 'outrigger.db'
/** Sorts after every key that begins with what stands before it. */
const AFTER_PREFIX = '\u{10ffff}\u{10ffff}'

interface Row {
  key: string
  value: string
  create_index: number
  modify_index: number
}

export class SqliteStore implements Store {
  private readonly db: Database.Database
  private readonly getStatement: Database.Statement
  private readonly listStatement: Database.Statement
  private readonly putStatement: Database.Statement
  private readonly deleteStatement: Database.Statement
  private readonly feed = new CommitFeed()
  private lastIndex: number
  private closed = false

  private constructor(db: Database.Database) {
    this.db = db
    const version = Number((db.pragma('user_version') as { user_version?: number }[])[0]?.user_version ?? 0)
    if (version > SCHEMA_VERSION)
      throw new Error(`data directory: written by a newer version (format ${version}, this one reads ${SCHEMA_VERSION})`)
    db.exec(
      `CREATE TABLE IF NOT EXISTS records (
         collection TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
         create_index INTEGER NOT NULL, modify_index INTEGER NOT NULL,
         PRIMARY KEY (collection, key)
       ) WITHOUT ROWID;
       PRAGMA user_version = ${SCHEMA_VERSION};`,
    )
    const columns = 'SELECT key, value, create_index, modify_index FROM records WHERE collection = ?'
    this.getStatement = db.prepare(`${columns} AND key = ?`)
    this.listStatement = db.prepare(`${columns} AND key >= ? AND key < ? ORDER BY key`)
    this.putStatement = db.prepare(
      `INSERT INTO records (collection, key, value, create_index, modify_index) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT (collection, key) DO UPDATE SET value = excluded.value, modify_index = excluded.modify_index`,
    )
    this.deleteStatement = db.prepare('DELETE FROM records WHERE collection = ? AND key = ?')
    this.lastIndex = Number(this.read('meta', 'index')?.value ?? 0)
  }

  /**
   * Opens (or makes) the database in `dataDir`. Throws one clear line when the directory is in use, not writable, or of a newer format.
   */
  static open(dataDir: string): SqliteStore {
    const file = join(dataDir, DATABASE_FILE)
    try {
      mkdirSync(dataDir, { recursive: true, mode: 0o700 })
      // Made here with the right mode: SQLite gives its -wal file the mode of the database.
      closeSync(openSync(file, 'a', 0o600))
      chmodSync(file, 0o600)
    } catch (error) {
      throw new Error(`data directory ${dataDir}: ${(error as Error).message}`)
    }
    const db = new Database(file)
    try {
      db.pragma('journal_mode = WAL')
      // After WAL was entered, so that `close` can leave it again; held from the next transaction on.
      db.pragma('locking_mode = EXCLUSIVE')
      db.pragma('synchronous = FULL')
      db.exec('BEGIN EXCLUSIVE; COMMIT')
      return new SqliteStore(db)
    } catch (error) {
      db.close()
      const message = (error as Error).message
      if (/locked|busy/i.test(message)) throw new Error(`data directory ${dataDir}: another process has it open`)
      throw new Error(message.startsWith('data directory') ? message : `data directory ${dataDir}: ${message}`)
    }
  }

  get index(): number {
    return this.lastIndex
  }

  async get(collection: Collection, key: string): Promise<StoredRecord | undefined> {
    return this.read(collection, key)
  }

  async list(collection: Collection, prefix = ''): Promise<StoredRecord[]> {
    return (this.listStatement.all(collection, prefix, prefix + AFTER_PREFIX) as Row[]).map(toRecord)
  }

  async transaction(writes: readonly StoreWrite[], compares: readonly StoreCompare[] = []): Promise<TransactionResult> {
    const conflict = compares.find(({ collection, key, modifyIndex }) => (this.read(collection, key)?.modifyIndex ?? 0) !== modifyIndex)
    if (conflict !== undefined) return { ok: false, conflict }
    const index = this.lastIndex + 1
    this.db.exec('BEGIN IMMEDIATE')
    let changes: RecordChange[]
    try {
      changes = writes.map(write => this.apply(write, index))
      this.putStatement.run('meta', 'index', String(index), index, index)
      this.db.exec('COMMIT')
    } catch (error) {
      this.db.exec('ROLLBACK')
      throw error
    }
    this.lastIndex = index
    this.feed.publish(index, changes)
    return { ok: true, index }
  }

  put(collection: Collection, key: string, value: unknown): Promise<number> {
    return this.write(put(collection, key, value))
  }

  delete(collection: Collection, key: string): Promise<number> {
    return this.write(remove(collection, key))
  }

  exclusive<T>(task: () => Promise<T>): Promise<T> {
    return this.feed.exclusive(task)
  }

  subscribe(collections: readonly Collection[], listener: (commit: Commit) => void): () => void {
    return this.feed.subscribe(collections, listener)
  }

  /** Gives the files back: the binding frees its handle only when collected, so the lock is let go explicitly. */
  async close(): Promise<void> {
    if (this.closed) return
    this.closed = true
    // SQLite leaves exclusive locking only outside of WAL, and at the next read.
    this.db.pragma('journal_mode = DELETE')
    this.db.pragma('locking_mode = NORMAL')
    this.getStatement.get('meta', 'index')
    this.db.close()
  }

  private async write(write: StoreWrite): Promise<number> {
    await this.transaction([write])
    return this.lastIndex
  }

  private read(collection: Collection, key: string): StoredRecord | undefined {
    const row = this.getStatement.get(collection, key) as Row | undefined
    return row === undefined ? undefined : toRecord(row)
  }

  private apply(write: StoreWrite, index: number): RecordChange {
    const { collection, key } = write
    if (write.op === 'delete') {
      this.deleteStatement.run(collection, key)
      return { collection, key, record: undefined }
    }
    this.putStatement.run(collection, key, JSON.stringify(write.value), index, index)
    return { collection, key, record: this.read(collection, key) }
  }
}

function toRecord(row: Row): StoredRecord {
  return { key: row.key, value: JSON.parse(row.value), createIndex: row.create_index, modifyIndex: row.modify_index }
}
