import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Store } from '../../../src/control/store/store.js'

let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'outrigger-store-'))
})
afterEach(() => {
  rmSync(dir, { recursive: true, force: true })
})

describe('Store', () => {
  it('keeps records and the index over a close and an open', () => {
    const first = Store.open(dir)
    first.put('service', 'a', { name: 'a' })
    first.transaction(index => {
      first.put('service', 'b', { index })
      first.put('check', 'b', 1)
    })
    expect(first.index).toBe(2)
    first.close()
    const second = Store.open(dir)
    expect(second.index).toBe(2)
    expect(second.list('service').map(r => [r.key, r.value, r.createIndex])).toEqual([
      ['a', { name: 'a' }, 1],
      ['b', { index: 2 }, 2],
    ])
    second.close()
  })

  it('keeps createIndex and moves modifyIndex when a record is overwritten', () => {
    const store = Store.open(undefined)
    store.put('service', 'a', 1)
    store.put('service', 'a', 2)
    expect(store.get('service', 'a')).toEqual({ key: 'a', value: 2, createIndex: 1, modifyIndex: 2 })
    store.close()
  })

  it('writes all of a transaction or nothing of it', () => {
    const store = Store.open(dir)
    store.put('service', 'a', 1)
    expect(() =>
      store.transaction(() => {
        store.put('service', 'a', 2)
        store.put('service', 'b', 2)
        throw new Error('refused')
      }),
    ).toThrow('refused')
    expect(store.index).toBe(1)
    expect(store.list('service').map(r => r.value)).toEqual([1])
    store.close()
  })

  it('is readable by its owner only', () => {
    const store = Store.open(dir)
    store.put('ca', 'key', 'secret')
    for (const file of ['outrigger.db', 'outrigger.db-wal']) expect(statSync(join(dir, file)).mode & 0o077).toBe(0)
    store.close()
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
    Store.open(dir).close()
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
    const store = Store.open(dir)
    expect(store.index).toBeGreaterThanOrEqual(acknowledged)
    expect(store.list('service')).toHaveLength(store.index)
    expect(store.list('check')).toHaveLength(store.index)
    store.close()
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
      expect(() => Store.open(dir)).toThrow(/another process has it open/)
    } finally {
      const gone = new Promise(resolve => child.once('exit', resolve))
      child.kill('SIGKILL')
      await gone
    }
    Store.open(dir).close()
  })
})
