import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { AgentLeases } from '../../../src/control/agents/agent-leases.js'
import { Catalog } from '../../../src/control/catalog/catalog.js'
import { MemoryStore } from '../../../src/control/store/memory-store.js'
import { OWN } from '../../support/own-node.js'
import { until } from '../../support/proxy-process.js'
import { RefusingStore } from '../../support/refusing-store.js'

const node = { ID: 'a4a7c0de-0000-4000-8000-000000000001', Node: 'a1', Address: '10.0.0.1', TaggedAddresses: null, Meta: null }
const request = { node, secret: 'of a1', version: '0.1.0' }

let catalog: Catalog
let leases: AgentLeases
let notices: string[]
beforeEach(async () => {
  const store = new MemoryStore()
  catalog = await Catalog.open(store, { node: OWN, sidecarMinPort: 21_000, sidecarMaxPort: 21_255 })
  notices = []
  leases = await AgentLeases.open({
    store,
    catalog,
    onProblem: reason => notices.push(reason),
    onNotice: (name, what) => notices.push(`${name} ${what}`),
  })
})
afterEach(() => leases.stop())

const isThere = (): boolean => catalog.nodes().some(({ Node }) => Node === 'a1')

it('takes a node, and gives it up with all that is on it', async () => {
  expect(await leases.take(request)).toBe(true)
  expect(await leases.take(request)).toBe(false)
  expect(isThere()).toBe(true)
  await leases.leave('A1', 'of a1')
  expect([isThere(), leases.list()]).toEqual([false, []])
  expect(notices).toEqual(['a1 joined', 'a1 left'])
})

it.each(['take, leave', 'leave, take', 'take, leave, take', 'leave, take, leave'])(
  'of %s at once each sees what the one before has done',
  async order => {
    await leases.take(request)
    const outcomes = await Promise.allSettled(
      order.split(', ').map(each => (each === 'take' ? leases.take(request) : leases.leave('a1', 'of a1'))),
    )
    expect(outcomes.map(({ status }) => status)).not.toContain('rejected')
    const ends = order.endsWith('take')
    expect([isThere(), leases.list().length]).toEqual([ends, ends ? 1 : 0])
  },
)

it('a renewal that changes nothing waits for no turn of the store', async () => {
  await leases.take(request)
  const turns = vi.spyOn(catalog, 'change')
  expect(await leases.take(request)).toBe(false)
  expect(turns).not.toHaveBeenCalled()
  await leases.take({ ...request, node: { ...node, Address: '10.0.0.2' } })
  expect([turns.mock.calls.length, catalog.node('a1')?.Address]).toEqual([1, '10.0.0.2'])
})

it('refuses an agent that says another name', async () => {
  await leases.take(request)
  await expect(leases.take({ ...request, secret: 'of another' })).rejects.toThrow('node "a1" is held by another agent')
  await expect(leases.leave('a1', 'of another')).rejects.toThrow('node "a1" is held by another agent')
  await expect(leases.leave('a2', 'x')).rejects.toThrow('no agent holds node "a2"')
  expect(isThere()).toBe(true)
})

it('one that was lost while nothing could be written is told to be lost a moment later', async () => {
  await leases.stop()
  const store = new RefusingStore()
  catalog = await Catalog.open(store, { node: OWN, sidecarMinPort: 21_000, sidecarMaxPort: 21_255 })
  const problems: string[] = []
  leases = await AgentLeases.open({
    store,
    catalog,
    ttlMs: 30,
    onProblem: reason => {
      problems.push(reason)
    },
    onNotice: (name, what) => notices.push(`${name} ${what}`),
  })
  await leases.take(request)
  store.refusals = 1
  await until('it is lost', () => notices.includes('a1 is lost'))
  expect([problems, catalog.checkOn('a1', 'serfHealth')?.status]).toEqual([['node a1: etcd is away'], 'critical'])
})

it('one that another replica has renewed while the store was busy is not lost', async () => {
  await leases.stop()
  const store = new MemoryStore()
  let hear: (replica: string, note: unknown) => void = () => {}
  vi.spyOn(store.notes, 'hear').mockImplementation(((_topic: string, listener: typeof hear) => {
    hear = listener
    return () => {}
  }) as never)
  catalog = await Catalog.open(store, { node: OWN, sidecarMinPort: 21_000, sidecarMaxPort: 21_255 })
  const onNotice = (name: string, what: string): void => void notices.push(`${name} ${what}`)
  leases = await AgentLeases.open({ store, catalog, ttlMs: 30, onProblem: reason => notices.push(reason), onNotice })
  await leases.take(request)
  let free = (): void => {}
  const turns = vi.spyOn(store, 'exclusive')
  const busy = store.exclusive(() => new Promise<void>(resolve => (free = resolve)))
  await until('it is in line to be lost', () => turns.mock.calls.length === 2)
  hear('another', ['a1'])
  free()
  await busy
  await store.exclusive(async () => {})
  expect([notices, leases.list()[0]!.alive]).toEqual([['a1 joined'], true])
})
