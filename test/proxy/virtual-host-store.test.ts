// Virtual hosts of VHDS: which tables an update changes, and whose a domain is.
import { expect, it } from 'vitest'
import type { ConfigSource } from '../../src/model/config-source.js'
import { VirtualHostStore } from '../../src/proxy/virtual-host-store.js'
import { virtualHost } from '../l7/request-fixtures.js'

const ads: ConfigSource = { kind: 'ads' }
const NONE: ReadonlySet<string> = new Set()
const host = (...domains: string[]) => virtualHost('vh', domains, [])

it('says which tables an update changed: all at the first, none where it brought nothing new', () => {
  const store = new VirtualHostStore()
  store.hold(ads)
  expect(store.settle(ads)).toBeNull()
  expect(store.settle(ads)).toEqual(new Set())
  store.put(ads, 't/a', host('a'), NONE)
  store.put(ads, 'u/a', host('a'), NONE)
  expect(store.settle(ads)).toEqual(new Set(['t', 'u']))
  store.put(ads, 't/a', host('a'), NONE)
  store.remove(ads, 't/none')
  expect(store.settle(ads)).toEqual(new Set())
  store.put(ads, 't/a', host('b'), NONE)
  store.remove(ads, 'u/a')
  expect(store.settle(ads)).toEqual(new Set(['t', 'u']))
  expect(store.of(ads, 't')).toEqual([host('b')])
  expect(store.of(ads, 'u')).toEqual([])
})

it('two of one update may not share a domain in one table, nor one of the table itself', () => {
  const store = new VirtualHostStore()
  store.hold(ads)
  const taken = new Set(['own'])
  expect(store.put(ads, 't/a', host('a', 'both'), taken)).toEqual([])
  expect(store.put(ads, 't/b', host('b', 'both'), taken)).toEqual([{ path: 'domains[1]', reason: "duplicate entry 'both' in route 't'" }])
  expect(store.put(ads, 't/c', host('own'), taken)).toEqual([{ path: 'domains[0]', reason: "duplicate entry 'own' in route 't'" }])
  expect(store.put(ads, 'u/b', host('b', 'both'), NONE)).toEqual([])
  store.settle(ads)
  // It may move from one to another by two updates.
  expect(store.put(ads, 't/b', host('both'), taken)).toEqual([])
})
