import { expect, test } from 'vitest'
import { DatabaseCaStore } from '../../../src/control/certificates/database-ca-store.js'
import { MemoryStore } from '../../../src/control/store/memory-store.js'
import { decodeCaState, encodeCaState, StateSeal } from '../../../src/mtls/ca/store.js'
import { MemoryCaStore, makeCa } from '../../mtls/ca/support.js'

const SECRET = 'correct horse battery staple'

function open(database: MemoryStore, secret?: string): DatabaseCaStore {
  return new DatabaseCaStore(database, secret === undefined ? undefined : new StateSeal(secret))
}

async function filled(secret?: string) {
  const database = new MemoryStore()
  const made = makeCa({ store: open(database, secret) })
  await made.ca.init()
  return { database, ...made }
}

const textOf = async (database: MemoryStore) => (await database.get('ca', 'state'))!.value as string

/** Every run of a private key's base64 that could give it away. */
async function holdsKey(database: MemoryStore, keyPem: string): Promise<boolean> {
  const text = await textOf(database)
  const body = keyPem.split('\n').filter(line => line !== '' && !line.startsWith('-'))
  return (
    text.includes('PRIVATE KEY') ||
    body.some(line => text.includes(line)) ||
    text.includes(Buffer.from(keyPem).toString('base64').slice(40, 80))
  )
}

test('there is nothing at first, and then what was given', async () => {
  expect(await open(new MemoryStore()).load()).toBeUndefined()
  const { ca, database } = await filled()
  const again = makeCa({ store: open(database) })
  await again.ca.init()
  expect(again.ca.roots()).toEqual(ca.roots())
  expect((await again.leaf('web')).uri).toContain(ca.trustDomain)
})

test('no private key is in the clear when there is an encryption key, during a rotation either', async () => {
  const { ca, database } = await filled(SECRET)
  const state = (await open(database, SECRET).load())!
  for (const keyPem of [state.chain.rootKeyPem!, state.chain.intermediateKeyPem!]) expect(await holdsKey(database, keyPem)).toBe(false)
  let staged = 0
  const other = makeCa({
    store: open(database, SECRET),
    bundleSettled: async () => {
      const pending = (await open(database, SECRET).load())!.rotation!
      expect(await holdsKey(database, pending.chain.rootKeyPem!)).toBe(false)
      staged++
    },
  })
  await other.ca.init()
  await other.ca.rotateRoot()
  expect(staged).toBe(1)
  expect(other.ca.clusterId).toBe(ca.clusterId)
})

test('a state that was in the clear is sealed as soon as it is loaded with a key', async () => {
  const { ca, database } = await filled()
  const state = (await open(database).load())!
  expect(await holdsKey(database, state.chain.rootKeyPem!)).toBe(true)
  expect((await open(database, SECRET).load())!.clusterId).toBe(ca.clusterId)
  expect(await holdsKey(database, state.chain.rootKeyPem!)).toBe(false)
  await expect(open(database).load()).rejects.toMatchObject({ code: 'state-locked' })
})

test('another key, a changed byte and a short key are refused, and nothing starts afresh over them', async () => {
  const { database } = await filled(SECRET)
  const text = await textOf(database)
  await expect(open(database, `${SECRET}!`).load()).rejects.toMatchObject({ code: 'state-locked' })
  await expect(makeCa({ store: open(database, `${SECRET}!`) }).ca.init()).rejects.toMatchObject({ code: 'state-locked' })
  expect(() => new StateSeal('short')).toThrow('at least 16')
  const at = text.indexOf('"data":"') + 100
  await database.put('ca', 'state', text.slice(0, at) + (text[at] === 'A' ? 'B' : 'A') + text.slice(at + 1))
  await expect(open(database, SECRET).load()).rejects.toMatchObject({ code: 'state-locked' })
  await database.put('ca', 'state', text)
  expect(await open(database, SECRET).load()).toBeDefined()
})

test.each([
  '',
  '{"format":"outrigger-ca","vers',
  'null',
  '{"format":"other"}',
  '{"format":"outrigger-ca","version":2}',
  '{"format":"outrigger-ca","version":1}',
  '{"format":"outrigger-ca","version":1,"state":{"version":1}}',
])('%j is refused as corrupt and stays as it is', async text => {
  const database = new MemoryStore()
  await database.put('ca', 'state', text)
  await expect(makeCa({ store: open(database) }).ca.init()).rejects.toMatchObject({ code: 'state-corrupt' })
  expect(await textOf(database)).toBe(text)
})

test('a state is never sealed twice alike, and opens only in its own format', async () => {
  const store = new MemoryCaStore()
  await makeCa({ store }).ca.init()
  const state = (await store.load())!
  const seal = new StateSeal(SECRET)
  const [a, b] = [encodeCaState(state, seal), encodeCaState(state, seal)]
  expect(a).not.toBe(b)
  expect(decodeCaState(a, new StateSeal(SECRET))).toEqual(state)
  expect(decodeCaState(encodeCaState(state), seal)).toEqual(state)
  const cut = JSON.parse(a)
  cut.sealed.tag = cut.sealed.tag.slice(0, 8)
  expect(() => decodeCaState(JSON.stringify(cut), seal)).toThrow('does not open')
})
