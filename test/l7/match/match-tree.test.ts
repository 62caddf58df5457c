import { describe, expect, it } from 'vitest'
import { actionsOf, compileMatchTree } from '../../../src/l7/match/match-tree.js'
import type { MatchInput, MatchPredicate, MatchTree, OnMatch } from '../../../src/model/match-tree.js'

const PORT: MatchInput = { kind: 'destinationPort' }
const IP: MatchInput = { kind: 'sourceIp' }
const end = (action: string): OnMatch<string> => ({ kind: 'action', action })
const below = (matcher: MatchTree<string>): OnMatch<string> => ({ kind: 'matcher', matcher })
const is = (input: MatchInput, value: string): MatchPredicate => ({
  kind: 'value',
  input,
  matcher: { kind: 'exact', value, ignoreCase: false },
})
const list = (...matchers: [MatchPredicate, OnMatch<string>][]): MatchTree<string> => ({
  kind: 'list',
  matchers: matchers.map(([predicate, onMatch]) => ({ predicate, onMatch })),
  onNoMatch: null,
})
const compiled = (tree: MatchTree<string>) => {
  const decide = compileMatchTree<Partial<Record<MatchInput['kind'], string>>, string>(tree, {
    input: input => subject => subject[input.kind] ?? null,
    test: () => () => false,
  })
  return (port: string | undefined, ip?: string) =>
    decide({ ...(port === undefined ? {} : { destinationPort: port }), ...(ip === undefined ? {} : { sourceIp: ip }) })
}

describe('a list', () => {
  it('gives the first that matches', () => {
    const decide = compiled(list([is(PORT, '1'), end('a')], [is(PORT, '1'), end('b')], [is(PORT, '2'), end('c')]))
    expect([decide('1'), decide('2'), decide('3')]).toEqual(['a', 'c', null])
  })

  it('goes on where a branch leads nowhere, and ends in on_no_match', () => {
    const inner = list([is(IP, '10.0.0.1'), end('inner')])
    const decide = compiled({ ...list([is(PORT, '1'), below(inner)], [is(PORT, '1'), end('next')]), onNoMatch: end('none') })
    expect([decide('1', '10.0.0.1'), decide('1', '10.0.0.2'), decide('2')]).toEqual(['inner', 'next', 'none'])
  })

  it('an absent input matches nothing; its negation does', () => {
    const decide = compiled(list([is(PORT, ''), end('empty')], [{ kind: 'not', predicate: is(PORT, '1') }, end('other')]))
    expect([decide(undefined), decide('1')]).toEqual(['other', null])
  })

  it('and, or, ranges of addresses', () => {
    const inside: MatchPredicate = {
      kind: 'ip',
      input: IP,
      ranges: [
        { address: '10.0.0.0', prefixLength: 8 },
        { address: '::1', prefixLength: 128 },
      ],
    }
    const decide = compiled(
      list(
        [{ kind: 'and', predicates: [is(PORT, '1'), inside] }, end('both')],
        [{ kind: 'or', predicates: [is(PORT, '2'), inside] }, end('either')],
      ),
    )
    expect([decide('1', '10.9.9.9'), decide('2'), decide('3', '::1'), decide('3', '11.0.0.1')]).toEqual(['both', 'either', 'either', null])
  })
})

describe('a map', () => {
  it('is exact, or by the longest prefix that leads somewhere', () => {
    const map = new Map([
      ['1', end('one')],
      ['12', below(list([is(IP, '10.0.0.1'), end('twelve')]))],
    ])
    const exact = compiled({ kind: 'exact', input: PORT, map, onNoMatch: end('none') })
    expect([exact('1'), exact('12', '10.0.0.1'), exact('12'), exact('123')]).toEqual(['one', 'twelve', 'none', 'none'])
    const prefix = compiled({ kind: 'prefix', input: PORT, map, onNoMatch: null })
    expect([prefix('123', '10.0.0.1'), prefix('123'), prefix('19'), prefix('2'), prefix(undefined)]).toEqual([
      'twelve',
      'one',
      'one',
      null,
      null,
    ])
  })
})

describe('ranges', () => {
  const tree = (exclusive: boolean): MatchTree<string> => ({
    kind: 'ranges',
    input: IP,
    ranges: [
      { ranges: [{ address: '0.0.0.0', prefixLength: 0 }], onMatch: end('any'), exclusive: false },
      { ranges: [{ address: '10.1.0.0', prefixLength: 16 }], onMatch: below(list([is(PORT, '1'), end('deep')])), exclusive: false },
      { ranges: [{ address: '10.0.0.0', prefixLength: 8 }], onMatch: end('ten'), exclusive },
    ],
    onNoMatch: null,
  })

  it('the longest that holds the address wins, and where it leads nowhere the next', () => {
    const decide = compiled(tree(false))
    expect([decide('1', '10.1.2.3'), decide('2', '10.1.2.3'), decide('1', '10.2.2.3'), decide('1', '9.9.9.9')]).toEqual([
      'deep',
      'ten',
      'ten',
      'any',
    ])
  })

  it('an exclusive one counts only where no longer one holds the address', () => {
    const decide = compiled(tree(true))
    expect([decide('2', '10.1.2.3'), decide('2', '10.2.2.3')]).toEqual(['any', 'ten'])
  })
})

it('domains: the exact name, then the longest suffix, then the asterisk', () => {
  const decide = compiled({
    kind: 'domains',
    input: PORT,
    domains: [
      { domains: ['*'], onMatch: end('any') },
      { domains: ['*.a.com', 'b.com'], onMatch: end('a') },
      { domains: ['x.a.com'], onMatch: end('exact') },
      { domains: ['*.y.a.com'], onMatch: end('longer') },
    ],
    onNoMatch: null,
  })
  expect(['x.a.com', 'z.a.com', 'z.y.a.com', 'a.com', 'b.com'].map(name => decide(name))).toEqual(['exact', 'a', 'longer', 'any', 'a'])
})

it('all actions of a tree are found, nested ones and that of no match', () => {
  const inner: MatchTree<string> = { kind: 'exact', input: PORT, map: new Map([['1', end('c')]]), onNoMatch: end('d') }
  expect(actionsOf({ ...list([is(PORT, '1'), end('a')], [is(PORT, '2'), below(inner)]), onNoMatch: end('b') }).sort()).toEqual([
    'a',
    'b',
    'c',
    'd',
  ])
})
