// What `Backups` and the drill rely on, of every place that keeps backups.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { backupName } from '../../../src/control/backup/backup-name.js'
import type { BackupTarget } from '../../../src/control/backup/backup-target.js'
import { FolderTarget } from '../../../src/control/backup/folder-target.js'
import { parseS3Settings } from '../../../src/control/backup/s3/s3-settings.js'
import { S3Target } from '../../../src/control/backup/s3/s3-target.js'
import { ACCESS_KEY, S3Fake, SECRET_KEY } from '../../support/s3-fake.js'

interface Place {
  readonly target: BackupTarget
  /** Somebody else's object beside the backups. */
  leave(name: string): void
  end(): Promise<void>
}

async function folder(): Promise<Place> {
  const at = mkdtempSync(join(tmpdir(), 'outrigger-backup-target-'))
  const kept = join(at, 'made', 'at first use')
  const leave = (name: string): void => {
    mkdirSync(kept, { recursive: true })
    writeFileSync(join(kept, name), 'x')
  }
  return { target: new FolderTarget(kept), leave, end: async () => rmSync(at, { recursive: true }) }
}

async function bucket(): Promise<Place> {
  const fake = await S3Fake.start({ pageSize: 2 })
  const credentials = { accessKeyId: ACCESS_KEY, secretAccessKey: SECRET_KEY }
  const settings = parseS3Settings(fake.place('mesh'), 'us-east-1')
  const target = new S3Target({ settings, credentials: () => credentials })
  return { target, leave: name => void fake.objects.set(`mesh/${name}`, Buffer.from('x')), end: () => fake.stop() }
}

const NOON_MS = Date.parse('2026-11-29T12:00:00Z')
const nameAt = (second: number, index = second): string => backupName('dc1', 'a.consul', NOON_MS + second * 1_000, index)

describe.each([
  ['a folder', folder],
  ['an S3 bucket', bucket],
])('%s', (_, open) => {
  let place: Place
  let target: BackupTarget
  const names = async (): Promise<string[]> => (await target.list()).map(({ name }) => name)

  beforeEach(async () => {
    place = await open()
    target = place.target
  })
  afterEach(async () => {
    target.close()
    await place.end()
  })

  it('is empty at first', async () => {
    expect(await target.list()).toEqual([])
  })

  it('lists the newest first, by time and then by index, with what the name says and its size', async () => {
    for (const [second, index] of [[1], [3], [2, 8], [2, 10]] as const) await target.write(nameAt(second, index), Buffer.alloc(second))
    expect(await names()).toEqual([nameAt(3), nameAt(2, 10), nameAt(2, 8), nameAt(1)])
    expect((await target.list())[1]).toMatchObject({ datacenter: 'dc1', atMs: NOON_MS + 2_000, index: 10, bytes: 2 })
  })

  it('gives back what was written last under a name, to the byte', async () => {
    const state = Buffer.from(Array.from({ length: 1_000 }, (_, i) => i % 256))
    await target.write(nameAt(1), Buffer.from('before'))
    await target.write(nameAt(1), state)
    expect((await target.read(nameAt(1))).equals(state)).toBe(true)
    expect(await names()).toEqual([nameAt(1)])
  })

  it('removes one, also one that is not there, and says in a line that it cannot be read', async () => {
    await target.write(nameAt(1), Buffer.from('a'))
    await target.write(nameAt(2), Buffer.from('b'))
    await target.remove(nameAt(1))
    await target.remove(nameAt(1))
    expect(await names()).toEqual([nameAt(2)])
    await expect(target.read(nameAt(1))).rejects.toThrow(/^[^\n]+$/)
  })

  it('leaves what is no backup alone, and does not list it', async () => {
    for (const name of ['notes.txt', `.${nameAt(5)}.partial`, `${nameAt(5)}.old`]) place.leave(name)
    await target.write(nameAt(1), Buffer.from('a'))
    expect(await names()).toEqual([nameAt(1)])
  })
})
