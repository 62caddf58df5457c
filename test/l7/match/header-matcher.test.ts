import { describe, expect, it } from 'vitest'
import { HeaderList } from '../../../src/l7/codec/header-list.js'
import { compileHeaderMatcher, compileHeaderMatchers, compileResponseHeaderMatcher } from '../../../src/l7/match/header-matcher.js'
import type { HeaderMatcher, HeaderValueMatch } from '../../../src/model/matcher.js'
import { head } from '../request-fixtures.js'

const matcher = (name: string, match: HeaderValueMatch, fields: Partial<HeaderMatcher> = {}): HeaderMatcher => ({
  name,
  match,
  invert: false,
  treatMissingAsEmpty: false,
  ...fields,
})
const exact = (value: string): HeaderValueMatch => ({ kind: 'string', matcher: { kind: 'exact', value, ignoreCase: false } })
const regex = (value: string): HeaderValueMatch => ({ kind: 'string', matcher: { kind: 'regex', value } })
const meets = (list: HeaderMatcher[], request = head()) => compileHeaderMatchers(list)!(request, null)

describe('compileHeaderMatchers', () => {
  it('is null for an empty list and needs all of a longer one', () => {
    expect(compileHeaderMatchers([])).toBeNull()
    const both = [matcher('a', exact('1')), matcher('b', exact('2'))]
    expect(
      meets(
        both,
        head('/', {}, [
          ['A', '1'],
          ['b', '2'],
        ]),
      ),
    ).toBe(true)
    expect(meets(both, head('/', {}, [['a', '1']]))).toBe(false)
  })

  it.each([
    [':method', 'GET'],
    [':path', '/x?q=1'],
    [':authority', 'api.example.com'],
    ['host', 'api.example.com'],
    [':scheme', 'http'],
  ])('reads %s from the head', (name, value) => {
    expect(meets([matcher(name, exact(value))], head('/x?q=1'))).toBe(true)
  })

  it('sees the upgrade that the codec took out of the fields', () => {
    expect(meets([matcher('upgrade', exact('websocket'))], head('/', { upgrade: 'websocket' }))).toBe(true)
    expect(meets([matcher('upgrade', { kind: 'present', present: false })])).toBe(true)
  })

  it('reads ranges as whole base-10 integers, end exclusive', () => {
    const range = matcher('n', { kind: 'range', start: -10n, end: 0n })
    for (const [value, expected] of [
      ['-1', true],
      ['-10', true],
      ['0', false],
      ['', false],
      ['-1x', false],
      ['10.9', false],
    ] as const)
      expect({ value, met: meets([range], head('/', {}, [['n', value]])) }).toEqual({ value, met: expected })
  })

  it('matches nothing where the field is missing, inverted or not, unless it reads it as empty', () => {
    expect(meets([matcher('x', exact('a'), { invert: true })])).toBe(false)
    expect(meets([matcher('x', exact('a'), { invert: true, treatMissingAsEmpty: true })])).toBe(true)
    expect(meets([matcher('x', exact(''), { treatMissingAsEmpty: true })])).toBe(true)
    expect(meets([matcher('x', { kind: 'present', present: true }, { invert: true })])).toBe(true)
  })
})

describe('repeated fields', () => {
  const request = head('/', {}, [
    ['x-role', 'user'],
    ['X-Role', 'admin'],
  ])

  it('lets a denying rule see each value and the joined list (CVE-2020-25017, CVE-2026-26308)', () => {
    expect(compileHeaderMatcher(matcher('x-role', exact('admin')), 'possible')(request)).toBe(true)
    expect(compileHeaderMatcher(matcher('x-role', exact('user,admin')), 'possible')(request)).toBe(true)
    expect(compileHeaderMatcher(matcher('x-role', exact('guest')), 'possible')(request)).toBe(false)
  })

  it('lets an allowing rule see single values only: no list that nobody sent gives a permission', () => {
    expect(compileHeaderMatcher(matcher('x-role', exact('admin')), 'certain')(request)).toBe(true)
    expect(compileHeaderMatcher(matcher('x-role', exact('user,admin')), 'certain')(request)).toBe(false)
  })

  it('turns certainty around under invert: allowing "not admin" is refused when one value is admin', () => {
    expect(compileHeaderMatcher(matcher('x-role', exact('admin'), { invert: true }), 'certain')(request)).toBe(false)
    expect(compileHeaderMatcher(matcher('x-role', exact('admin'), { invert: true }), 'possible')(request)).toBe(false)
    expect(compileHeaderMatcher(matcher('x-role', exact('user,admin'), { invert: true }), 'possible')(request)).toBe(true)
  })

  it('evaluates regexes over obs-text, so that a negated rule is not passed by confusing it (CVE-2026-73552)', () => {
    const odd = head('/', {}, [['x-id', 'admin\xff']])
    expect(compileHeaderMatcher(matcher('x-id', regex('admin.*')), 'possible')(odd)).toBe(true)
    expect(compileHeaderMatcher(matcher('x-id', regex('admin.*'), { invert: true }), 'certain')(odd)).toBe(false)
  })
})

it('treats a connection without a request as a head without fields', () => {
  expect(compileHeaderMatcher(matcher('x', exact('a'), { invert: true }), 'certain')(null)).toBe(false)
  expect(compileHeaderMatcher(matcher('x', { kind: 'present', present: false }), 'certain')(null)).toBe(true)
})

it('matches response heads, :status included', () => {
  const status = compileResponseHeaderMatcher(matcher(':status', exact('503')))
  expect([status(HeaderList.of(), 503), status(HeaderList.of(), 500)]).toEqual([true, false])
  const field = compileResponseHeaderMatcher(matcher('retry-after', { kind: 'present', present: true }))
  expect([field(HeaderList.of(['Retry-After', '1']), 503), field(HeaderList.of(), 503)]).toEqual([true, false])
})
