import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { SqliteStore } from '../../../src/control/store/sqlite-store.js'
import { put } from '../../../src/control/store/store.js'
import { storeContract } from './store-contract.js'

let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'outrigger-store-'))
})
afterEach(() => {
  rmSync(dir, { recursive: true, force: true })
})

storeContract('SqliteStore', async () => SqliteStore.open(dir))

describe('SqliteStore', () => {
  it('keeps records and the index over a close and an open', async () => {
    const first = SqliteStore.open(dir)
    await first.put('service', 'a', { name: 'a' })
    await first.transaction([put('service', 'b', { name: 'b' }), put('check', 'b', 1)])
    expect(first.index).toBe(2)
    await first.close()
    const second = SqliteStore.open(dir)
    expect(second.index).toBe(2)
    expect((await second.list('service')).map(r => [r.key, r.value, r.createIndex])).toEqual([
      ['a', { name: 'a' }, 1],
      ['b', { name: 'b' }, 2],
    ])
    await second.close()
  })

  it('is readable by its owner only', async () => {
    const store = SqliteStore.open(dir)
    await store.put('ca', 'key', 'secret')
    for (const file of ['outrigger.db', 'outrigger.db-wal']) expect(statSync(join(dir, file)).mode & 0o077).toBe(0)
    await store.close()
  })

  it('loses no acknowledged write when the process is killed with SIGKILL, and keeps no half transaction', async () => {
    // A writer in a process of its own, which reports each commit only after it has returned. Plain SQL of the same form as
    // the store's own, because the child runs without a TypeScript loader.
    const script = `
      import Database from 'libsql'
      import { writeSync } from 'node:fs'
      const db = new Database(process.argv[1])
      db.pragma('journal_mode = WAL'); db.pragma('locking_mode = EXCLUSIVE'); db.pragma('synchronous = FULL')
      const put = db.prepare("INSERT INTO records VALUES (?, ?, ?, ?, ?) ON CONFLICT (collection, key) DO UPDATE SET value = excluded.value")
      for (let i = 1; ; i++) {
        db.exec('BEGIN IMMEDIATE')
        put.run('service', 's' + i, String(i), i, i)
        put.run('check', 's' + i, String(i), i, i)
        put.run('meta', 'index', String(i), i, i)
        db.exec('COMMIT')
        writeSync(1, i + '\\n')
      }`
    await SqliteStore.open(dir).close()
    const child = spawn(process.execPath, ['--input-type=module', '-e', script, join(dir, 'outrigger.db')], {
      cwd: join(import.meta.dirname, '../..'),
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let reported = ''
    child.stdout.on('data', chunk => {
      reported += chunk
      if (reported.includes('\n50\n')) child.kill('SIGKILL')
    })
    const signal = await new Promise(resolve => child.once('exit', (_code, name) => resolve(name)))
    await new Promise(resolve => (child.stdout.readableEnded ? resolve(null) : child.stdout.once('end', resolve)))
    expect(signal).toBe('SIGKILL')
    const acknowledged = reported.trimEnd().split('\n').length
    const store = SqliteStore.open(dir)
    expect(store.index).toBeGreaterThanOrEqual(acknowledged)
    expect(await store.list('service')).toHaveLength(store.index)
    expect(await store.list('check')).toHaveLength(store.index)
    await store.close()
  })

  it('refuses a directory that another process has open, by name', async () => {
    const script = `
      import Database from 'libsql'
      const db = new Database(process.argv[1])
      db.pragma('journal_mode = WAL'); db.pragma('locking_mode = EXCLUSIVE')
      db.exec('CREATE TABLE IF NOT EXISTS other (a)'); db.exec('INSERT INTO other VALUES (1)')
      process.stdout.write('open'); setInterval(() => {}, 1000)`
    const child = spawn(process.execPath, ['--input-type=module', '-e', script, join(dir, 'outrigger.db')], {
      cwd: join(import.meta.dirname, '../..'),
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await new Promise(resolve => child.stdout.once('data', resolve))
    try {
      expect(() => SqliteStore.open(dir)).toThrow(/another process has it open/)
    } finally {
      const gone = new Promise(resolve => child.once('exit', resolve))
      child.kill('SIGKILL')
      await gone
    }
    await SqliteStore.open(dir).close()
  })
})
