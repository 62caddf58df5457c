// What requests ask for: what is wanted, who is woken, what ends, and the bound.
import { describe, expect, it } from 'vitest'
import type { ConfigSource } from '../../src/model/config-source.js'
import { type Demand, Demands, MAX_DEMANDED_LENGTH, MAX_DEMANDS } from '../../src/proxy/demands.js'
import { ManualClock } from '../support/manual-clock.js'

const ads: ConfigSource = { kind: 'ads' }
const host = (name: string): Demand => ({ kind: 'virtual-host', source: ads, name })
const cluster = (name: string): Demand => ({ kind: 'cluster', source: ads, name })

function setUp() {
  const clock = new ManualClock()
  const said: string[] = []
  const demands = new Demands(clock, message => said.push(message))
  demands.onWanted = ({ name }) => said.push(`+${name}`)
  demands.onUnwanted = ({ name }) => said.push(`-${name}`)
  return { clock, said, demands, wake: (name: string) => () => said.push(name) }
}

describe('a virtual host', () => {
  it('is asked for once, wakes all who wait, and is not asked for while it is there', () => {
    const { demands, said, wake } = setUp()
    expect(demands.ask(host('t/a'), wake('one'))).not.toBeNull()
    const left = demands.ask(host('t/a'), wake('two'))!
    demands.ask(host('t/a'), wake('three'))
    left()
    demands.answer('virtual-host', ads, { found: new Map([['t/a', 't/vh']]), missing: [] })
    expect(said).toEqual(['+t/a', 'one', 'three'])
    expect(demands.ask(host('t/a'), wake('four'))).toBeNull()
    // By the name of what came.
    demands.answer('virtual-host', ads, { found: new Map(), missing: ['t/vh'] })
    expect(said.slice(3)).toEqual(['-t/a'])
    expect(demands.ask(host('t/a'), wake('five'))).not.toBeNull()
  })

  it('that is missing ends with the answer, and one that nobody answers after a while', () => {
    const { demands, said, wake, clock } = setUp()
    demands.ask(host('t/a'), wake('one'))
    demands.answer('virtual-host', ads, { found: new Map(), missing: ['t/a'] })
    expect(said).toEqual(['+t/a', '-t/a', 'one'])
    demands.ask(host('t/b'), wake('two'))
    clock.advance(59_000)
    // Another request begins the time anew.
    demands.ask(host('t/b'), wake('three'))
    clock.advance(59_000)
    expect(said.slice(3)).toEqual(['+t/b'])
    clock.advance(1000)
    expect(said.slice(4)).toEqual(['-t/b', 'two', 'three'])
  })

  it('goes with its table, and answers of other sources are none', () => {
    const { demands, said, wake } = setUp()
    demands.ask(host('t/a'), wake('one'))
    demands.ask(host('u/a'), wake('two'))
    demands.answer(
      'virtual-host',
      { kind: 'path', path: '/x', watchedDirectory: '' },
      { found: new Map([['t/a', 't/a']]), missing: ['u/a'] },
    )
    demands.drop('virtual-host', ads, name => name.startsWith('t/'))
    expect(said).toEqual(['+t/a', '+u/a', '-t/a', 'one'])
    expect([...demands.of('virtual-host')].map(({ name }) => name)).toEqual(['u/a'])
  })
})

it('a cluster wakes who waits for it once it is ready, not when it comes', () => {
  const { demands, said, wake } = setUp()
  demands.ask(cluster('c'), wake('one'), true)
  demands.answer('cluster', ads, { found: new Map([['c', 'c']]), missing: [] })
  expect(demands.ask(cluster('c'), wake('two'), true)).not.toBeNull()
  expect(said).toEqual(['+c'])
  demands.ready('cluster', 'other')
  demands.ready('cluster', 'c')
  expect(said).toEqual(['+c', 'one', 'two'])
})

it('no more than MAX_DEMANDS names are wanted, which is said once', () => {
  const { demands, said, wake } = setUp()
  for (let i = 0; i < MAX_DEMANDS; i++) demands.ask(host(`t/${i}`), wake('x'))
  said.length = 0
  expect(demands.ask(host('t/more'), wake('x'))).toBeNull()
  expect(demands.ask(host('t/even-more'), wake('x'))).toBeNull()
  expect(said).toEqual([`${MAX_DEMANDS} names are asked for on demand (MAX_DEMANDS): further ones are not`])
  demands.answer('virtual-host', ads, { found: new Map(), missing: ['t/0'] })
  expect(demands.ask(host('t/more'), wake('x'))).not.toBeNull()
})

it('a name that is longer than any host is not wanted', () => {
  const { demands, said, wake } = setUp()
  expect(demands.ask(cluster('c'.repeat(MAX_DEMANDED_LENGTH + 1)), wake('x'))).toBeNull()
  expect(said).toEqual([])
  expect(demands.ask(cluster('c'.repeat(MAX_DEMANDED_LENGTH)), wake('x'))).not.toBeNull()
})

it('what takes the place of an answer ends it, and the one before ends nothing any more', () => {
  const { demands, said, wake } = setUp()
  demands.ask(host('t/a'), wake('one'))
  demands.ask(host('t/b'), wake('two'))
  demands.answer('virtual-host', ads, {
    found: new Map([
      ['t/a', 't/old'],
      ['t/b', 't/old'],
    ]),
    missing: [],
  })
  demands.answer('virtual-host', ads, { found: new Map([['t/a', 't/new']]), missing: [] })
  demands.answer('virtual-host', ads, { found: new Map(), missing: ['t/old'] })
  expect(said).toEqual(['+t/a', '+t/b', 'one', 'two', '-t/b'])
  demands.answer('virtual-host', ads, { found: new Map(), missing: ['t/new'] })
  expect(said.slice(5)).toEqual(['-t/a'])
})

it('an answer looks at the names in it alone, however many others are wanted', () => {
  let compared = 0
  const counting: ConfigSource = {
    kind: 'path',
    watchedDirectory: '',
    get path() {
      compared++
      return '/x'
    },
  }
  const { demands } = setUp()
  for (let i = 0; i < 1000; i++) demands.want({ kind: 'virtual-host', source: counting, name: `t/${i}` })
  compared = 0
  demands.answer('virtual-host', counting, { found: new Map(), missing: ['t/1', 't/2'] })
  demands.ready('virtual-host', 't/3')
  expect([...demands.of('virtual-host')]).toHaveLength(998)
  expect(compared).toBeLessThan(10)
})
