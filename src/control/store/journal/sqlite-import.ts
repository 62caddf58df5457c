// The database of version 0.1.0 (SQLite in `outrigger.db`), read once and put aside. Called by state-directory.ts where a data directory has
// one and nothing newer. libsql is loaded for this alone.
//
// The engine ends its process on some damaged files, so it reads in a child process, which says so by the way it ends.
import { spawn } from 'node:child_process'
import { rename } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { RecordRow } from './record-table.js'

export const SQLITE_FILE = 'outrigger.db'
const SCHEMA_VERSION = 1

const READER = `
const Database = require(process.argv[1])
const db = new Database(process.argv[2])
db.exec('BEGIN EXCLUSIVE; COMMIT')
const version = Number(db.pragma('user_version')[0]?.user_version ?? 0)
const tables = db.prepare("SELECT name FROM sqlite_master WHERE name = 'records'").all()
const check = db.pragma('integrity_check')[0]?.integrity_check
const rows = tables.length === 0 ? [] : db.prepare('SELECT collection, key, value, create_index, modify_index FROM records').all()
process.stdout.write(JSON.stringify({ version, check, rows }))
`

interface Row {
  readonly collection: string
  readonly key: string
  readonly value: string
  readonly create_index: number
  readonly modify_index: number
}

export async function importSqlite(dir: string): Promise<{ readonly index: number; readonly rows: readonly RecordRow[] }> {
  const file = join(dir, SQLITE_FILE)
  const { version, check, rows } = JSON.parse(await readInChild(file)) as { version: number; check: string; rows: Row[] }
  if (version !== SCHEMA_VERSION) throw new Error(`${file} is no database of version 0.1.0 (format ${version})`)
  if (check !== 'ok') throw new Error(`${file} is damaged: ${String(check).split('\n')[0]}`)
  const imported = rows.map(
    (row): RecordRow => [row.collection as RecordRow[0], row.key, parsedValue(row, file), row.create_index, row.modify_index],
  )
  const index = Number(imported.find(([collection, key]) => collection === 'meta' && key === 'index')?.[2] ?? 0)
  const records = imported.filter(([collection, key]) => collection !== 'meta' || key !== 'index')
  const last = Math.max(0, ...records.map(([, , , , modifyIndex]) => modifyIndex))
  if (last > index) throw new Error(`${file} is damaged: its last write is ${last}, its index ${index}`)
  return { index, rows: records }
}

function parsedValue(row: Row, file: string): unknown {
  try {
    return JSON.parse(row.value)
  } catch (error) {
    throw new Error(`${file} is damaged: the value of ${row.collection} "${row.key}": ${(error as Error).message}`)
  }
}

/** Out of the way of the next start, and there for whoever wants to go back to version 0.1.0. */
export async function putAside(dir: string): Promise<void> {
  for (const suffix of ['', '-wal', '-shm'])
    await rename(join(dir, SQLITE_FILE + suffix), join(dir, `${SQLITE_FILE}.0.1.0${suffix}`)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error
    })
}

function readInChild(file: string): Promise<string> {
  const libsql = createRequire(import.meta.url).resolve('libsql')
  const child = spawn(process.execPath, ['-e', READER, libsql, file], { stdio: ['ignore', 'pipe', 'pipe'] })
  let out = ''
  let problem = ''
  child.stdout.setEncoding('utf8').on('data', chunk => (out += chunk))
  child.stderr.setEncoding('utf8').on('data', chunk => (problem += chunk))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => {
      if (code === 0) return resolve(out)
      const reason = /locked|busy/i.test(problem)
        ? 'another process has it open'
        : (/Error: (.*)/.exec(problem)?.[1] ?? `its reader ended by ${signal ?? code}`)
      reject(new Error(reason === 'another process has it open' ? reason : `${file} can't be read: ${reason}`))
    })
  })
}
