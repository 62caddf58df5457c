import { chmod, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { FileCaStore, type FileCaStoreOptions } from '../../../src/mtls/ca/file-store.js'
import { decodeCaState, encodeCaState, MemoryCaStore, StateSeal } from '../../../src/mtls/ca/store.js'
import { makeCa } from './support.js'

let directory: string
let path: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'ca-store-'))
  path = join(directory, 'ca.json')
})
afterEach(() => rm(directory, { recursive: true }))

const secret = 'correct horse battery staple'
const open = (encryptionKey?: FileCaStoreOptions['encryptionKey']) =>
  new FileCaStore(encryptionKey === undefined ? { path } : { path, encryptionKey })
const modeOf = async (file: string) => (await stat(file)).mode & 0o777

async function filled(encryptionKey?: FileCaStoreOptions['encryptionKey']) {
  const made = makeCa({ store: open(encryptionKey) })
  await made.ca.init()
  return made
}

/** Every run of a private key's base64 that could give it away. */
async function holdsKey(file: string, keyPem: string): Promise<boolean> {
  const text = await readFile(file, 'utf8')
  const body = keyPem.split('\n').filter(line => line !== '' && !line.startsWith('-'))
  return (
    text.includes('PRIVATE KEY') ||
    body.some(line => text.includes(line)) ||
    text.includes(Buffer.from(keyPem).toString('base64').slice(40, 80))
  )
}

describe('FileCaStore', () => {
  it('has nothing at first, and gives back what it was given', async () => {
    expect(await open().load()).toBeUndefined()
    const { ca } = await filled()
    const again = makeCa({ store: open() })
    await again.ca.init()
    expect(again.ca.roots()).toEqual(ca.roots())
    expect((await again.leaf('web')).uri).toContain(ca.trustDomain)
  })

  it('writes with mode 0600 whatever the umask, and makes a file that was opened up 0600 again', async () => {
    const before = process.umask(0)
    try {
      const { ca } = await filled()
      expect(await modeOf(path)).toBe(0o600)
      await ca.rotateRoot()
      expect(await modeOf(path)).toBe(0o600)
    } finally {
      process.umask(before)
    }
    await chmod(path, 0o644)
    await open().load()
    expect(await modeOf(path)).toBe(0o600)
    expect(await readdir(directory)).toEqual(['ca.json'])
  })

  it('holds no private key in the clear when an encryption key is given, during a rotation either', async () => {
    const { ca } = await filled(secret)
    const state = (await open(secret).load())!
    for (const keyPem of [state.chain.rootKeyPem!, state.chain.intermediateKeyPem!]) expect(await holdsKey(path, keyPem)).toBe(false)
    let staged = 0
    const other = makeCa({
      store: open(secret),
      bundleSettled: async () => {
        const pending = (await open(secret).load())!.rotation!
        expect(await holdsKey(path, pending.chain.rootKeyPem!)).toBe(false)
        staged++
      },
    })
    await other.ca.init()
    await other.ca.rotateRoot()
    expect(staged).toBe(1)
    expect(other.ca.clusterId).toBe(ca.clusterId)
  })

  it('the check above does find a key in the clear', async () => {
    await filled()
    expect(await holdsKey(path, (await open().load())!.chain.rootKeyPem!)).toBe(true)
  })

  it('takes the encryption key from a file too, its last newline aside', async () => {
    const { ca } = await filled(secret)
    const file = join(directory, 'key')
    await writeFile(file, `${secret}\n`)
    expect((await open({ file }).load())!.clusterId).toBe(ca.clusterId)
    await expect(open({ file: join(directory, 'none') }).load()).rejects.toMatchObject({ code: 'encryption-key' })
  })

  it('encrypts a state that was in the clear as soon as it is loaded with a key', async () => {
    const { ca } = await filled()
    const state = (await open(secret).load())!
    expect(state.clusterId).toBe(ca.clusterId)
    expect(await holdsKey(path, state.chain.rootKeyPem!)).toBe(false)
    await expect(open().load()).rejects.toMatchObject({ code: 'state-locked' })
  })

  it('refuses another key, a changed byte, a short key; and never starts afresh over them', async () => {
    await filled(secret)
    const text = await readFile(path, 'utf8')
    await expect(open(`${secret}!`).load()).rejects.toMatchObject({ code: 'state-locked' })
    await expect(makeCa({ store: open(`${secret}!`) }).ca.init()).rejects.toMatchObject({ code: 'state-locked' })
    expect(() => new StateSeal('short')).toThrow('at least 16')
    await expect(open('short').load()).rejects.toMatchObject({ code: 'encryption-key' })
    const at = text.indexOf('"data":"') + 100
    await writeFile(path, text.slice(0, at) + (text[at] === 'A' ? 'B' : 'A') + text.slice(at + 1))
    await expect(open(secret).load()).rejects.toMatchObject({ code: 'state-locked' })
    await writeFile(path, text)
    expect(await open(secret).load()).toBeDefined()
  })

  it.each([
    ['', 'state-corrupt'],
    ['{"format":"outrigger-ca","vers', 'state-corrupt'],
    ['null', 'state-corrupt'],
    ['{"format":"other"}', 'state-corrupt'],
    ['{"format":"outrigger-ca","version":2}', 'state-corrupt'],
    ['{"format":"outrigger-ca","version":1}', 'state-corrupt'],
    ['{"format":"outrigger-ca","version":1,"state":{"version":1}}', 'state-corrupt'],
  ])('refuses %j with %s and leaves it as it is', async (text, code) => {
    await writeFile(path, text)
    await expect(makeCa({ store: open() }).ca.init()).rejects.toMatchObject({ code })
    expect(await readFile(path, 'utf8')).toBe(text)
  })

  it('ignores and removes what a crash has left half-written, and does not follow a link in its place', async () => {
    const { ca } = await filled()
    const temporary = join(directory, '.ca.json.tmp')
    await writeFile(temporary, '{"format":"outrig')
    expect((await open().load())!.clusterId).toBe(ca.clusterId)
    expect(await readdir(directory)).toEqual(['ca.json'])
    const victim = join(directory, 'victim')
    await writeFile(victim, 'untouched')
    await symlink(victim, temporary)
    await ca.rotateRoot()
    expect(await readFile(victim, 'utf8')).toBe('untouched')
    expect((await open().load())!.roots).toHaveLength(2)
  })

  it('says so when the directory is gone', async () => {
    path = join(directory, 'none', 'ca.json')
    await expect(makeCa({ store: open() }).ca.init()).rejects.toThrow('ENOENT')
  })
})

describe('state text', () => {
  it('never seals twice alike, and opens only with its own format', async () => {
    const store = new MemoryCaStore()
    await makeCa({ store }).ca.init()
    const state = (await store.load())!
    const seal = new StateSeal(secret)
    const [a, b] = [encodeCaState(state, seal), encodeCaState(state, seal)]
    expect(a).not.toBe(b)
    expect(decodeCaState(a, new StateSeal(secret))).toEqual(state)
    expect(decodeCaState(encodeCaState(state), seal)).toEqual(state)
    const cut = JSON.parse(a)
    cut.sealed.tag = cut.sealed.tag.slice(0, 8)
    expect(() => decodeCaState(JSON.stringify(cut), seal)).toThrow('does not open')
  })
})
