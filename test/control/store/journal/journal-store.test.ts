import { execFileSync, spawn } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'libsql'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { JournalStore, type JournalStoreOptions } from '../../../../src/control/store/journal/journal-store.js'
import { put, remove } from '../../../../src/control/store/store.js'
import { storeContract } from '../store-contract.js'

let root: string
let dir: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'outrigger-store-'))
  dir = join(root, 'data')
})
afterEach(() => {
  rmSync(root, { recursive: true, force: true })
})

const open = (options: JournalStoreOptions = {}): Promise<JournalStore> => JournalStore.open(dir, options)

/** Opens, looks, closes. */
async function state(options: JournalStoreOptions = {}): Promise<{ index: number; services: unknown[]; ca: unknown }> {
  const store = await open(options)
  const found = {
    index: store.index,
    services: (await store.list('service')).map(({ key }) => key),
    ca: (await store.get('ca', 'state'))?.value,
  }
  await store.close()
  return found
}

/** A state of 41 writes: a CA, then s1 to s40. */
async function filled(options: JournalStoreOptions = {}): Promise<void> {
  const store = await open(options)
  await store.put('ca', 'state', 'secret')
  for (let i = 1; i <= 40; i++) await store.put('service', `s${i}`, { number: i })
  await store.close()
}

const files = (prefix: string): string[] =>
  readdirSync(dir)
    .filter(name => name.startsWith(prefix))
    .sort()
const file = (prefix: string): string => join(dir, files(prefix).at(-1)!)

/** mulberry32 */
function seeded(seed: number): () => number {
  let value = seed
  return () => {
    value = (value + 0x6d2b79f5) | 0
    let t = Math.imul(value ^ (value >>> 15), 1 | value)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

storeContract('JournalStore', async () => JournalStore.open(join(root, `contract-${Math.random()}`)))

describe('JournalStore', () => {
  it('keeps records and the index over a close and an open', async () => {
    const store = await open()
    await store.put('service', 'a', { name: 'a' })
    await store.transaction([put('service', 'b', { name: 'b' }), put('check', 'b', 1)])
    await store.transaction([remove('check', 'b')])
    await store.close()
    const again = await open()
    expect(again.index).toBe(3)
    expect(await again.list('service')).toEqual([
      { key: 'a', value: { name: 'a' }, createIndex: 1, modifyIndex: 1 },
      { key: 'b', value: { name: 'b' }, createIndex: 2, modifyIndex: 2 },
    ])
    expect(await again.get('check', 'b')).toBeUndefined()
    expect(await again.put('service', 'a', 2)).toBe(4)
    await again.close()
  })

  it('is readable by its owner only', async () => {
    await filled({ compactionBytes: 500 })
    expect(statSync(dir).mode & 0o077).toBe(0)
    for (const name of readdirSync(dir)) expect(statSync(join(dir, name)).mode & 0o077, name).toBe(0)
  })

  it('writes what comes at once in few flushes, each with its own index and in order', async () => {
    const store = await open()
    const indexes = await Promise.all(Array.from({ length: 500 }, (_, i) => store.put('service', `s${i}`, i)))
    expect(indexes).toEqual(Array.from({ length: 500 }, (_, i) => i + 1))
    await store.close()
    expect((await state()).index).toBe(500)
  })

  it('says the same after any number of snapshots, keeps the newest four and the journals since', async () => {
    const store = await open({ compactionBytes: 300 })
    for (let i = 1; i <= 100; i++) await store.put('service', `s${i % 3}`, { number: i })
    await store.close()
    expect(files('snapshot').length).toBe(4)
    expect(await state()).toMatchObject({ index: 100, services: ['s0', 's1', 's2'] })
    const oldest = files('snapshot')[0]!.slice('snapshot'.length)
    expect(files('journal')[0]).toBe(`journal${oldest}`)
  })

  it('reads an older snapshot and the journals since where the newest is damaged: nothing is lost', async () => {
    await filled({ compactionBytes: 300 })
    for (const name of files('snapshot').slice(-2)) writeFileSync(join(dir, name), 'nonsense')
    expect(await state()).toMatchObject({ index: 41, ca: 'secret' })
  })

  it('drops a last line that was cut off, of which nobody has been told, at whatever byte', async () => {
    await filled()
    const before = join(root, 'before')
    cpSync(dir, before, { recursive: true })
    const store = await open()
    await store.transaction([put('service', 'late', 1), put('check', 'late', 2)])
    await store.close()
    const whole = readFileSync(file('journal'))
    const acknowledged = statSync(join(before, files('journal').at(-1)!)).size
    rmSync(dir, { recursive: true })
    for (let length = acknowledged; length < whole.length; length += 7) {
      cpSync(before, dir, { recursive: true })
      writeFileSync(file('journal'), whole.subarray(0, length))
      expect(await state(), `${length}`).toMatchObject({ index: 41 })
      rmSync(dir, { recursive: true })
    }
    cpSync(before, dir, { recursive: true })
    writeFileSync(file('journal'), whole)
    expect(await state()).toMatchObject({ index: 42 })
  })

  describe('where acknowledged writes are missing', () => {
    const refused = async (reason: RegExp): Promise<void> => {
      const names = readdirSync(dir)
      await expect(open()).rejects.toThrow(reason)
      expect(readdirSync(dir)).toEqual(names)
    }

    it('refuses a journal cut off anywhere, names what is missing and the ways out, and changes nothing', async () => {
      await filled()
      const { size } = statSync(file('journal'))
      truncateSync(file('journal'), Math.floor(size / 2))
      await refused(
        /^data directory .*\/data: the state is damaged: journal-0+\.jsonl line \d+ \(byte \d+\) is not complete; the last \d+ of 41 acknowledged writes are missing\. Nothing was changed\. Start with --restore .* or with --accept-loss/,
      )
      const notices: string[] = []
      const after = await state({ acceptLoss: true, onNotice: text => notices.push(text) })
      expect(after.ca).toBe('secret')
      expect(after.services.length).toBeGreaterThan(10)
      expect(after.services.length).toBeLessThan(40)
      expect(after.index).toBeGreaterThan(41)
      expect(notices[0]).toMatch(/^loss accepted \(journal.*; the last .*; the damaged files are in .*replaced-/)
      expect(await state()).toEqual(after)
    })

    it('refuses every flipped byte, and names the line and the record', async () => {
      await filled()
      const whole = readFileSync(file('journal'))
      for (let i = 0; i < whole.length; i += 13) {
        const damaged = Buffer.from(whole)
        damaged[i]! ^= 0x01
        writeFileSync(file('journal'), damaged)
        await expect(open(), `byte ${i}`).rejects.toThrow(/the state is damaged: journal-0+\.jsonl line \d+ \(byte \d+\)/)
      }
      const text = whole.toString().replace('{"number":20}', '{"number":21}')
      writeFileSync(file('journal'), text)
      await refused(/line 22 \(byte \d+\) does not match its checksum \(service "s20"\)/)
    })

    it('refuses 64 random bytes wherever they fall, or has lost nothing', async () => {
      await filled({ compactionBytes: 700 })
      const kept = join(root, 'kept')
      cpSync(dir, kept, { recursive: true })
      const random = seeded(12)
      let refusals = 0
      for (let i = 0; i < 40; i++) {
        const name = readdirSync(dir)[Math.floor(random() * readdirSync(dir).length)]!
        const bytes = readFileSync(join(dir, name))
        const at = Math.floor(random() * Math.max(bytes.length - 64, 1))
        for (let j = 0; j < 64 && at + j < bytes.length; j++) bytes[at + j] = Math.floor(random() * 256)
        writeFileSync(join(dir, name), bytes)
        const outcome = await state().catch((error: Error) => error.message)
        if (typeof outcome === 'string') {
          refusals++
          expect(outcome).toMatch(/the state is damaged/)
        } else expect(outcome).toMatchObject({ index: 41, ca: 'secret' })
        rmSync(dir, { recursive: true })
        cpSync(kept, dir, { recursive: true })
      }
      expect(refusals).toBeGreaterThan(0)
    })

    it.each([
      ['the journal', 'journal', /the last 41 of 41 acknowledged writes are missing/],
      ['head', 'head', /head is missing/],
    ])('refuses when %s is deleted or empty', async (_what, prefix, reason) => {
      await filled()
      const path = file(prefix)
      writeFileSync(path, '')
      await refused(reason)
      rmSync(path)
      await refused(reason)
    })

    it('never goes on without the certificate authority that there was', async () => {
      await filled()
      const backup = join(root, 'backup')
      cpSync(dir, backup, { recursive: true })
      rmSync(file('journal'))
      await expect(open({ acceptLoss: true })).rejects.toThrow(/holds no certificate authority, and a new one would refuse every identity/)
      rmSync(dir, { recursive: true })
      cpSync(backup, dir, { recursive: true })
      // Cut off before the line that holds it, and head gone as well: nothing says that there was none.
      truncateSync(file('journal'), readFileSync(file('journal')).indexOf(0x0a) + 1)
      rmSync(join(dir, 'head'))
      writeFileSync(join(dir, 'snapshot-000000000007.jsonl'), 'nonsense')
      await expect(open({ acceptLoss: true })).rejects.toThrow(/certificate authority|damaged/)
    })

    it('goes back to a backup by name, with an index that never goes back, and keeps the files of before', async () => {
      await filled({ compactionBytes: 700 })
      const backup = join(root, 'backup.jsonl')
      cpSync(join(dir, files('snapshot')[0]!), backup)
      rmSync(file('head'))
      const after = await state({ restore: backup })
      expect(after).toMatchObject({ ca: 'secret' })
      expect(after.index).toBeGreaterThan(41)
      expect(files('replaced-')).toHaveLength(1)
      expect(await state()).toEqual(after)
      truncateSync(backup, 300)
      await expect(open({ restore: backup })).rejects.toThrow(/--restore .*backup\.jsonl: backup\.jsonl line \d+/)
      await expect(open({ restore: join(root, 'nobody') })).rejects.toThrow(/--restore .*no such file/)
      expect(await state()).toEqual(after)
    })

    it('refuses the state of a newer version', async () => {
      await filled()
      const { LineWriter } = await import('../../../../src/control/store/journal/checked-lines.js')
      writeFileSync(file('journal'), new LineWriter().line({ format: 3, kind: 'journal', generation: 'x', index: 0 }))
      await refused(/was written by a newer version \(format 3, this one reads 2\)/)
    })
  })

  it('refuses a directory that another process has open, also by a long name, and takes it over when that one was killed', async () => {
    dir = join(root, 'x'.repeat(90), 'data')
    mkdirSync(dir, { recursive: true })
    const script = `
      require('node:net').createServer(s => s.destroy()).listen('lock', () => process.stdout.write('open'))`
    const child = spawn(process.execPath, ['-e', script], { cwd: dir, stdio: ['ignore', 'pipe', 'inherit'] })
    await new Promise(resolve => child.stdout.once('data', resolve))
    await expect(open()).rejects.toThrow(/another process has it open/)
    const gone = new Promise(resolve => child.once('exit', resolve))
    child.kill('SIGKILL')
    await gone
    expect(existsSync(join(dir, 'lock'))).toBe(true)
    const store = await open()
    await expect(open()).rejects.toThrow(/another process has it open/)
    await store.close()
    await (await open()).close()
  })

  it('refuses a write that the disk has no room for, keeps what was there, and goes on once there is room', async context => {
    mkdirSync(dir)
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', dir], { stdio: 'ignore' })
    } catch {
      return context.skip('a small tmpfs can only be mounted by root')
    }
    try {
      const store = await open()
      await store.put('service', 'before', 1)
      writeFileSync(join(dir, 'ballast'), Buffer.alloc(120_000))
      const big = 'x'.repeat(100_000)
      await expect(store.put('service', 'big', big).then(() => store.put('service', 'bigger', big))).rejects.toThrow(
        /^data directory .*: ENOSPC: no space left on device.*; nothing was changed$/,
      )
      const { index } = store
      expect(await store.get('service', 'bigger')).toBeUndefined()
      rmSync(join(dir, 'ballast'))
      expect(await store.put('service', 'after', 1)).toBe(index + 1)
      await store.close()
      expect((await state()).services).toContain('after')
    } finally {
      execFileSync('umount', [dir])
    }
  })

  it('gives back what a snapshot took that found no room, and loses nothing', async context => {
    mkdirSync(dir)
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', dir], { stdio: 'ignore' })
    } catch {
      return context.skip('a small tmpfs can only be mounted by root')
    }
    try {
      let noSnapshot = (_reason: string): void => {}
      const problem = new Promise<string>(resolve => (noSnapshot = resolve))
      const store = await open({ compactionBytes: 60_000, onProblem: reason => noSnapshot(reason) })
      writeFileSync(join(dir, 'ballast'), Buffer.alloc(150_000))
      for (let i = 1; i <= 2; i++) await store.put('service', `s${i}`, 'x'.repeat(30_000))
      expect(await problem).toMatch(/^no snapshot: ENOSPC/)
      expect(readdirSync(dir).filter(name => name.endsWith('.new'))).toEqual([])
      await store.put('service', 's3', 'x'.repeat(20_000))
      await store.close()
      rmSync(join(dir, 'ballast'))
      expect((await state()).services).toEqual(['s1', 's2', 's3'])
    } finally {
      execFileSync('umount', [dir])
    }
  })

  describe('taking over the database of version 0.1.0', () => {
    const schema = `CREATE TABLE records (collection TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
      create_index INTEGER NOT NULL, modify_index INTEGER NOT NULL, PRIMARY KEY (collection, key)) WITHOUT ROWID; PRAGMA user_version = 1;`
    function old(): void {
      mkdirSync(dir)
      const db = new Database(join(dir, 'outrigger.db'))
      db.pragma('journal_mode = WAL')
      db.exec(schema)
      const insert = db.prepare('INSERT INTO records VALUES (?, ?, ?, ?, ?)')
      insert.run('ca', 'state', '"secret"', 1, 1)
      for (let i = 2; i <= 60; i++) insert.run('service', `s${i}`, JSON.stringify({ number: i, padding: 'x'.repeat(200) }), i, i)
      insert.run('meta', 'index', '60', 1, 60)
      db.pragma('wal_checkpoint(TRUNCATE)')
      db.close()
    }

    it('keeps records and indexes, puts the old files aside, and does it once', async () => {
      old()
      expect(await state()).toMatchObject({ index: 60, ca: 'secret' })
      expect(existsSync(join(dir, 'outrigger.db'))).toBe(false)
      expect(existsSync(join(dir, 'outrigger.db.0.1.0'))).toBe(true)
      const store = await open()
      expect(await store.get('service', 's7')).toMatchObject({ value: { number: 7 }, createIndex: 7, modifyIndex: 7 })
      await store.close()
    })

    it('refuses a damaged one in one line, whatever it does to the engine, and leaves it as it is', async () => {
      old()
      const bytes = readFileSync(join(dir, 'outrigger.db'))
      const random = seeded(5)
      let refusals = 0
      for (let i = 0; i < 6; i++) {
        const damaged = Buffer.from(bytes)
        const at = 4096 + Math.floor(random() * (damaged.length - 4096 - 64))
        for (let j = 0; j < 64; j++) damaged[at + j] = Math.floor(random() * 256)
        writeFileSync(join(dir, 'outrigger.db'), damaged)
        const outcome = await state().catch((error: Error) => error.message)
        // Version 0.1.0 had no checksums: bytes that hit the inside of a value alone can't be told from others.
        if (typeof outcome !== 'string') {
          expect(outcome).toMatchObject({ index: 60, ca: 'secret' })
          rmSync(dir, { recursive: true })
          mkdirSync(dir)
          continue
        }
        refusals++
        expect(outcome).toMatch(/outrigger\.db (is damaged|can't be read)/)
        expect(readFileSync(join(dir, 'outrigger.db')).equals(damaged)).toBe(true)
      }
      expect(refusals).toBeGreaterThan(0)
    })
  })
})
