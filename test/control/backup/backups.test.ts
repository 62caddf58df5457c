import { randomBytes } from 'node:crypto'
import { beforeEach, describe, expect, it } from 'vitest'
import { openBackup } from '../../../src/control/backup/backup-file.js'
import { parseBackupKeys } from '../../../src/control/backup/backup-keys.js'
import { backupName, parseBackupName } from '../../../src/control/backup/backup-name.js'
import { parseSchedule } from '../../../src/control/backup/backup-schedule.js'
import type { BackupTarget } from '../../../src/control/backup/backup-target.js'
import { newestFirst } from '../../../src/control/backup/backup-target.js'
import { type BackupParts, Backups } from '../../../src/control/backup/backups.js'
import { parseRetention } from '../../../src/control/backup/retention.js'
import { MemoryStore } from '../../../src/control/store/memory-store.js'
import { ManualClock } from '../../support/manual-clock.js'

const MINUTE_MS = 60_000
const NOW = Date.parse('2026-11-29T18:00:00Z')
const keys = parseBackupKeys(randomBytes(32).toString('base64'), 'key')

class MemoryTarget implements BackupTarget {
  readonly description = 'memory'
  readonly files = new Map<string, Buffer>()
  failure: string | undefined
  /** What a write waits for. */
  gate: Promise<void> | undefined

  async list() {
    this.refuse()
    return newestFirst([...this.files].map(([name, file]) => ({ ...parseBackupName(name)!, bytes: file.length })))
  }
  async read(name: string) {
    return this.files.get(name)!
  }
  async write(name: string, file: Buffer) {
    await this.gate
    this.refuse()
    this.files.set(name, file)
  }
  async remove(name: string) {
    this.files.delete(name)
  }
  close() {}
  private refuse(): void {
    if (this.failure !== undefined) throw new Error(this.failure)
  }
}

let clock: ManualClock
let target: MemoryTarget
let store: MemoryStore
let counts: { made: number; failed: number }
let lines: string[]
beforeEach(() => {
  clock = new ManualClock(NOW)
  target = new MemoryTarget()
  store = new MemoryStore()
  counts = { made: 0, failed: 0 }
  lines = []
})

async function backups(every?: string, more: Partial<BackupParts> = {}): Promise<Backups> {
  const log = (_fields: object, message: string): void => void lines.push(message)
  return new Backups({
    store,
    datacenter: 'dc1',
    trustDomain: 'a.consul',
    target,
    keys: async () => keys,
    schedule: every === undefined ? undefined : parseSchedule(every),
    retention: parseRetention('3'),
    clock,
    log: { debug: log, info: log, warn: log, error: log },
    onMade: () => counts.made++,
    onFailure: () => counts.failed++,
    ...more,
  })
}

/** Saving takes turns of the event loop and a thread that compresses. */
async function until(what: () => boolean): Promise<void> {
  while (!what()) await new Promise(resolve => setImmediate(resolve))
}

describe('the schedule', () => {
  it('makes one at once where there is none, then in time, and removes what is not kept', async () => {
    const each = await backups('10m')
    each.start()
    await until(() => counts.made === 1)
    for (let made = 2; made <= 5; made++) {
      await clock.settle(9 * MINUTE_MS)
      expect(counts.made).toBe(made - 1)
      await store.put('kv', 'a', made)
      // Looked at in steps, as a clock does: each look arms the next.
      for (let at = 0; at < 4; at++) await clock.settle(15_000)
      await until(() => counts.made === made)
    }
    await until(() => target.files.size === 3)
    expect([...target.files.keys()].map(name => parseBackupName(name)!.index)).toEqual([2, 3, 4])
    expect((await openBackup([...target.files.values()].at(-1)!, keys)).head).toMatchObject({ index: 4, counts: { kv: 1 } })
    await each.stop()
  })

  it('goes by what another replica, or this one before, has made', async () => {
    target.files.set(backupName('dc1', 'a.consul', NOW - 5 * MINUTE_MS, 1), Buffer.from('x'))
    const each = await backups('10m')
    each.start()
    await until(() => each.status.lastAtMs !== undefined)
    expect(each.status).toMatchObject({ lastAtMs: NOW - 5 * MINUTE_MS, nextMs: NOW + 5 * MINUTE_MS })
    target.files.set(backupName('dc1', 'a.consul', NOW + 4 * MINUTE_MS, 2), Buffer.from('x'))
    for (let at = 0; at < 6 * 4; at++) await clock.settle(15_000)
    expect(each.status.lastAtMs).toBe(NOW + 4 * MINUTE_MS)
    expect(counts).toEqual({ made: 0, failed: 0 })
    await each.stop()
  })

  it('goes on where a wrong clock has left a backup from the future, and keeps what it made', async () => {
    const future = backupName('dc1', 'a.consul', NOW + 24 * 60 * MINUTE_MS, 9)
    target.files.set(future, Buffer.from('x'))
    const each = await backups('10m', { retention: parseRetention('1') })
    each.start()
    await until(() => counts.made === 1)
    await until(() => !each.status.running)
    const first = each.status.lastMade!.name
    expect([...target.files.keys()]).toEqual([future, first])
    for (let at = 0; at < 10 * 4; at++) await clock.settle(15_000)
    await until(() => counts.made === 2)
    await until(() => !each.status.running)
    expect([...target.files.keys()]).toEqual([future, each.status.lastMade!.name])
    expect(each.status.lastMade!.name).not.toBe(first)
    await each.stop()
  })

  it('tries again in time although the date is set back meanwhile', async () => {
    const each = await backups('10m')
    target.failure = 'the disk is gone'
    each.start()
    await until(() => counts.failed === 1)
    const wallNow = clock.wallNow.bind(clock)
    clock.wallNow = () => wallNow() - 24 * 60 * MINUTE_MS
    target.failure = undefined
    expect(each.status.nextMs).toBe(clock.wallNow() + MINUTE_MS)
    for (let at = 0; at < 4; at++) await clock.settle(15_000)
    await until(() => counts.made === 1)
    await each.stop()
  })

  it('counts, logs and tries again with growing pauses when the place fails, and goes on when it is back', async () => {
    const each = await backups('10m')
    target.failure = 'the disk is gone'
    each.start()
    await until(() => counts.failed === 1)
    for (let at = 0; at < 4; at++) await clock.settle(15_000)
    await until(() => counts.failed === 2)
    for (let at = 0; at < 7; at++) await clock.settle(15_000)
    expect(counts.failed).toBe(2)
    expect(each.status).toMatchObject({ failuresInARow: 2, lastFailure: { reason: 'the disk is gone' } })
    expect(lines).toEqual(Array(2).fill('backup failed: the disk is gone (none is known)'))
    target.failure = undefined
    for (let at = 0; at < 2; at++) await clock.settle(15_000)
    await until(() => counts.made === 1)
    expect(each.status).toMatchObject({ failuresInARow: 0, lastAtMs: expect.any(Number) })
    await each.stop()
  })
})

describe('a backup that is asked for', () => {
  it('waits for the one under way, and holds what was written before it was asked for', async () => {
    const each = await backups()
    let open = (): void => {}
    target.gate = new Promise(resolve => {
      open = resolve
    })
    const first = each.now()
    await until(() => each.status.running)
    // Until the first one has taken the state, it may or may not hold this.
    await store.put('kv', 'a', 1)
    const [second, third] = [each.now(), each.now()]
    open()
    await first
    expect(await second).toBe(await third)
    expect((await second).index).toBe(store.index)
    expect(counts.made).toBe(2)
  })

  it('that fails changes nothing and says why', async () => {
    const each = await backups()
    target.failure = 'no space is left on the device'
    await expect(each.now()).rejects.toThrow('no space is left on the device')
    expect(target.files.size).toBe(0)
    expect(counts).toEqual({ made: 0, failed: 1 })
  })
})

describe('a restore', () => {
  it('brings the state back, and nothing of it from a file that is damaged', async () => {
    const each = await backups()
    await store.put('kv', 'a', 'before')
    const { name } = await each.now()
    await store.put('kv', 'a', 'after')
    await store.put('kv', 'b', 'new')
    const file = target.files.get(name)!
    for (const damaged of [file.subarray(0, file.length - 1), Buffer.from(file).fill(0, file.length - 40, file.length - 39)]) {
      target.files.set(name, damaged)
      await expect(each.restore(name)).rejects.toThrow(new RegExp(`^${name}: it is (cut off|damaged)`))
    }
    expect((await store.get('kv', 'a'))?.value).toBe('after')
    target.files.set(name, file)
    expect(await each.restore('latest')).toBe(name)
    expect((await store.get('kv', 'a'))?.value).toBe('before')
    expect(await store.get('kv', 'b')).toBeUndefined()
    await expect(each.restore('../../etc/passwd')).rejects.toThrow('is no name of a backup')
  })

  it('takes the latest of its own mesh only', async () => {
    target.files.set(backupName('dc1', 'b.consul', NOW, 1), Buffer.from('x'))
    const each = await backups()
    expect(await each.list()).toEqual([])
    await expect(each.restore('latest')).rejects.toThrow('there is no backup of this mesh')
  })
})
