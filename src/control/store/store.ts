// The control plane's state on disk: one embedded SQLite database (libsql) of small JSON records, grouped in collections.
// Opened by `ControlPlane`; written by the catalog, the config entries, the CA, the leaf certificates and the mesh file.
// Every change happens in a transaction and takes the next index (Consul's X-Consul-Index), which never goes back.
//
// Durability: write-ahead log with `synchronous = FULL`. NORMAL would survive `kill -9` as well, but could lose the last commits
// when power fails; writes are rare here (a registration, a config entry, a leaf), and FULL costs well under a millisecond each.
// The files hold private keys, so they are readable by the owner only, and one process at a time may have them open.
import { chmodSync, closeSync, mkdirSync, openSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'libsql'

/** What is kept. `meta` holds single values (index, node id), the others one record per object. */
export type Collection = 'meta' | 'service' | 'check' | 'config-entry' | 'mesh-file' | 'ca' | 'leaf'

export interface StoredRecord {
  readonly key: string
  readonly value: unknown
  readonly createIndex: number
  readonly modifyIndex: number
}

/** Format of the tables; a database of a newer format is refused, not guessed at. */
const SCHEMA_VERSION = 1
const DATABASE_FILE = 'outrigger.db'

interface Row {
  key: string
  value: string
  create_index: number
  modify_index: number
}

export class Store {
  private readonly db: Database.Database
  private readonly getStatement: Database.Statement
  private readonly all: Database.Statement
  private readonly putStatement: Database.Statement
  private readonly deleteStatement: Database.Statement
  private lastIndex: number
  private depth = 0

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
    this.getStatement = db.prepare('SELECT key, value, create_index, modify_index FROM records WHERE collection = ? AND key = ?')
    this.all = db.prepare('SELECT key, value, create_index, modify_index FROM records WHERE collection = ? ORDER BY key')
    this.putStatement = db.prepare(
      `INSERT INTO records (collection, key, value, create_index, modify_index) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT (collection, key) DO UPDATE SET value = excluded.value, modify_index = excluded.modify_index`,
    )
    this.deleteStatement = db.prepare('DELETE FROM records WHERE collection = ? AND key = ?')
    this.lastIndex = Number(this.get('meta', 'index')?.value ?? 0)
  }

  /**
   * Opens (or makes) the database in `dataDir`; without one the state is in memory only.
   * Throws one clear line when the directory is in use, not writable, or of a newer format.
   */
  static open(dataDir: string | undefined): Store {
    if (dataDir === undefined) return new Store(new Database(':memory:'))
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
      return new Store(db)
    } catch (error) {
      db.close()
      const message = (error as Error).message
      if (/locked|busy/i.test(message)) throw new Error(`data directory ${dataDir}: another process has it open`)
      throw new Error(message.startsWith('data directory') ? message : `data directory ${dataDir}: ${message}`)
    }
  }

  /** Index of the last committed write; 0 for a new store. */
  get index(): number {
    return this.lastIndex
  }

  /**
   * Runs `change` with the next index; all of its writes are kept or none. Nested calls join the outer transaction and its index.
   * What `change` throws is passed on after the rollback.
   */
  transaction<T>(change: (index: number) => T): T {
    if (this.depth > 0) return change(this.lastIndex + 1)
    const index = this.lastIndex + 1
    this.depth++
    try {
      this.db.exec('BEGIN IMMEDIATE')
      try {
        const result = change(index)
        this.putStatement.run('meta', 'index', String(index), index, index)
        this.db.exec('COMMIT')
        this.lastIndex = index
        return result
      } catch (error) {
        this.db.exec('ROLLBACK')
        throw error
      }
    } finally {
      this.depth--
    }
  }

  get(collection: Collection, key: string): StoredRecord | undefined {
    const row = this.getStatement.get(collection, key) as Row | undefined
    return row === undefined ? undefined : toRecord(row)
  }

  /** All records of a collection, ordered by key. */
  list(collection: Collection): StoredRecord[] {
    return (this.all.all(collection) as Row[]).map(toRecord)
  }

  /** Writes one record (in the current transaction, or in one of its own). `value` must be JSON. */
  put(collection: Collection, key: string, value: unknown): void {
    this.transaction(index => this.putStatement.run(collection, key, JSON.stringify(value), index, index))
  }

  delete(collection: Collection, key: string): void {
    this.transaction(() => this.deleteStatement.run(collection, key))
  }

  /** Gives the files back: the binding frees its handle only when collected, so the lock is let go explicitly. */
  close(): void {
    // SQLite leaves exclusive locking only outside of WAL, and at the next read.
    this.db.pragma('journal_mode = DELETE')
    this.db.pragma('locking_mode = NORMAL')
    this.getStatement.get('meta', 'index')
    this.db.close()
  }
}

function toRecord(row: Row): StoredRecord {
  return { key: row.key, value: JSON.parse(row.value), createIndex: row.create_index, modifyIndex: row.modify_index }
}
