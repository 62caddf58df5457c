import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { makeBackup, openBackup } from '../../../src/control/backup/backup-file.js'
import { parseBackupKeys } from '../../../src/control/backup/backup-keys.js'

const FACTS = { createdAt: '2026-11-29T18:00:00.000Z', datacenter: 'dc1', trustDomain: 'a.consul', index: 7, counts: { kv: 2 } }
const newKey = (): string => randomBytes(32).toString('base64')
const keys = parseBackupKeys(newKey(), 'key')

describe('a backup file', () => {
  for (const bytes of [1, 64 * 1024 - 1, 64 * 1024, 64 * 1024 + 1, 5 * 64 * 1024])
    it(`gives back a state of ${bytes} bytes, encrypted or not`, async () => {
      const state = randomBytes(bytes)
      for (const given of [undefined, keys]) {
        const file = await makeBackup(FACTS, state, given?.current)
        const opened = await openBackup(file, given)
        expect(opened.state.equals(state)).toBe(true)
        expect(opened.head).toMatchObject(FACTS)
        if (bytes > 1) expect(file.includes(state)).toBe(given === undefined)
      }
    })

  it('is refused in one line when any byte differs, wherever it is cut, and with bytes behind it', async () => {
    const state = randomBytes(3 * 64 * 1024)
    for (const given of [undefined, keys]) {
      const file = await makeBackup(FACTS, state, given?.current)
      const head = file.indexOf(0x0a, file.indexOf(0x0a) + 1) + 1
      // Every byte of the head, and some of every part behind it.
      const places = [...Array(head).keys(), ...Array.from({ length: 40 }, (_, i) => head + Math.floor((i * (file.length - head)) / 40))]
      for (const at of [...places, file.length - 1]) {
        const damaged = Buffer.from(file)
        damaged[at] = damaged[at]! ^ 0x04
        const message = await openBackup(damaged, given).then(
          () => 'opened',
          (error: Error) => error.message,
        )
        expect(message, `byte ${at}`).toMatch(/^it (is|was) [^\n]*$/)
      }
      for (const length of [0, 5, head - 1, head, head + 1, head + 64 * 1024 + 16, file.length - 1])
        await expect(openBackup(file.subarray(0, length), given)).rejects.toThrow(/^it is (cut off|no backup)/)
      await expect(openBackup(Buffer.concat([file, Buffer.from('x')]), given)).rejects.toThrow('1 bytes follow its end')
    }
  })

  it('does not open when chunks change places', async () => {
    const state = randomBytes(3 * 64 * 1024)
    const file = await makeBackup(FACTS, state, keys.current)
    const head = file.indexOf(0x0a, file.indexOf(0x0a) + 1) + 1
    const chunk = 64 * 1024 + 16
    const [first, second, rest] = [
      file.subarray(head, head + chunk),
      file.subarray(head + chunk, head + 2 * chunk),
      file.subarray(head + 2 * chunk),
    ]
    await expect(openBackup(Buffer.concat([file.subarray(0, head), second, first, rest]), keys)).rejects.toThrow('it is damaged')
  })

  it('names the key that it needs, and opens with an old one that is still in the file', async () => {
    const [old, next] = [newKey(), newKey()]
    const before = parseBackupKeys(old, 'key')
    const file = await makeBackup(FACTS, Buffer.from('state'), before.current)
    await expect(openBackup(file, undefined)).rejects.toThrow(`it is encrypted with key ${before.current.id}, and no key was given`)
    await expect(openBackup(file, parseBackupKeys(next, 'key'))).rejects.toThrow(
      `encrypted with key ${before.current.id}, and the key file has`,
    )
    expect((await openBackup(file, parseBackupKeys(`# new\n${next}\n\n${old}\n`, 'key'))).state.toString()).toBe('state')
  })

  it('of a newer version is refused by its version', async () => {
    const file = await makeBackup(FACTS, Buffer.from('state'), undefined)
    const newer = Buffer.from(file.toString('latin1').replace('outrigger-backup 1 ', 'outrigger-backup 2 '), 'latin1')
    await expect(openBackup(newer, undefined)).rejects.toThrow('newer version (format 2, this one reads 1)')
  })
})

describe('a key file', () => {
  it('is refused without quoting it when a line is no key of 32 bytes', () => {
    const short = randomBytes(16).toString('base64')
    const message = (text: string): string => {
      try {
        parseBackupKeys(text, '/k')
        return ''
      } catch (error) {
        return (error as Error).message
      }
    }
    expect(message(`${newKey()}\n${short}`)).toMatch(/^\/k: line 2 is no key: 32 bytes as base64/)
    expect(message(short)).not.toContain(short)
    expect(message('# none\n')).toBe('/k: holds no key')
  })
})
