import fc from 'fast-check'
import { RE2JS } from 're2js'
import { describe, expect, it } from 'vitest'
import { asciiLower, fromByteString, toByteString } from '../../../src/l7/codec/byte-string.js'
import { compileFullMatch, compileSubstitution, literalOf } from '../../../src/l7/match/regex.js'
import { compileStringMatcher, compileStringMatchers } from '../../../src/l7/match/string-matcher.js'

describe('compileStringMatcher', () => {
  it.each([
    ['exact', 'abc', 'abc', true],
    ['exact', 'abc', 'ABC', false],
    ['prefix', 'ab', 'abc', true],
    ['suffix', 'bc', 'abc', true],
    ['contains', 'b', 'abc', true],
    ['contains', 'x', 'abc', false],
  ] as const)('%s %s against %s is %s', (kind, value, text, expected) => {
    expect(compileStringMatcher({ kind, value, ignoreCase: false })(text)).toBe(expected)
  })

  it('folds A–Z only when it ignores case', () => {
    expect(compileStringMatcher({ kind: 'exact', value: 'aBc', ignoreCase: true })('AbC')).toBe(true)
    expect(compileStringMatcher({ kind: 'prefix', value: 'AB', ignoreCase: true })('abc')).toBe(true)
    // The bytes C3 and E3 differ by the case bit and are no letters.
    expect(compileStringMatcher({ kind: 'exact', value: '\u00c3', ignoreCase: true })(toByteString('\u00e3'))).toBe(false)
  })

  it('compares config text with header bytes as UTF-8', () => {
    const test = compileStringMatcher({ kind: 'exact', value: 'é', ignoreCase: false })
    expect(test('\xc3\xa9')).toBe(true)
    expect(test('\xe9')).toBe(false)
  })

  it('matches a list when one member does', () => {
    const test = compileStringMatchers([
      { kind: 'exact', value: 'a', ignoreCase: false },
      { kind: 'prefix', value: 'b', ignoreCase: false },
    ])
    expect(test?.('bx')).toBe(true)
    expect(test?.('x')).toBe(false)
    expect(compileStringMatchers([])).toBeNull()
  })
})

describe('compileFullMatch', () => {
  it('needs the whole value, anchors or not', () => {
    expect(compileFullMatch('a+')('aa')).toBe(true)
    expect(compileFullMatch('a+')('xaa')).toBe(false)
    expect(compileFullMatch('^/v[12]/x$')('/v1/x')).toBe(true)
  })

  it('evaluates obs-text bytes instead of failing on them (CVE-2026-73552)', () => {
    const notLower = compileFullMatch('[^a-z]*')
    expect(notLower('\x80\xff')).toBe(true)
    expect(compileFullMatch('.*')('\xc3\xa9\xff')).toBe(true)
    expect(compileFullMatch('(a|b)[a-z]*')('\xffb')).toBe(false)
  })

  it('counts a UTF-8 character as one', () => {
    expect(compileFullMatch('^.[x]$')('\xc3\xa9x')).toBe(true)
  })

  it('answers whenFailing for a pattern that does not compile', () => {
    expect(compileFullMatch('(', false)('x')).toBe(false)
    expect(compileFullMatch('(', true)('x')).toBe(true)
  })

  const PATTERNS = [
    '^/a$',
    '/a',
    'GET|POST',
    '^GET$|^POST$',
    '(GET|POST)',
    '^(?:GET|POST)$',
    '/v1/.*',
    '^/v1/.+$',
    '.*\\.js',
    '.*mid.*',
    '.*',
    '.+',
    'a\\.b',
    'a.b',
    '\\^x\\$',
    'x\\\\',
    '/a|/b/.*',
    '(?i)abc',
    '(a)|(b)',
    '.*.*',
    'a\\.*',
    '.+x',
    'a$b',
    '^^a',
    'a$$',
    '',
    'a{2}',
    '\\Qa.b\\E',
    'x|',
    '[|]',
  ]
  const VALUES = [
    '',
    '/a',
    '/A',
    'GET',
    'POST',
    'GETPOST',
    '/v1/',
    '/v1/x',
    '/v1/x\n',
    'x.js',
    '.js',
    'amidb',
    'mid',
    'a.b',
    'axb',
    '^x$',
    'x\\',
    '/b/c',
    'abc',
    'ABC',
    'a',
    'b',
    'aa',
    'a....',
    'x',
    '|',
    '\n',
    'xa|',
  ]
  it.each(PATTERNS)('takes short cuts only where RE2 agrees: %s', pattern => {
    const test = compileFullMatch(pattern)
    const regex = RE2JS.compile(pattern)
    for (const value of VALUES) expect({ value, match: test(value) }).toEqual({ value, match: regex.matches(value) })
  })

  it('agrees with RE2 on random patterns of literals, dots, stars and bars', () => {
    const piece = fc.constantFrom('a', 'b', '/', '\\.', '.*', '.+', '|', '^', '$', '(', ')', '(?:')
    const value = fc.string({ unit: fc.constantFrom('a', 'b', '/', '.', '\n'), maxLength: 5 })
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 7 }), fc.array(value, { minLength: 1, maxLength: 6 }), (pieces, values) => {
        const pattern = pieces.join('')
        let regex: RE2JS
        try {
          regex = RE2JS.compile(pattern)
        } catch {
          return
        }
        const test = compileFullMatch(pattern)
        for (const text of values) expect({ pattern, text, match: test(text) }).toEqual({ pattern, text, match: regex.matches(text) })
      }),
      { seed: 7, numRuns: 2000 },
    )
  })
})

it('knows which patterns are literals', () => {
  expect(literalOf('^a\\.b$')).toBe('a.b')
  expect(literalOf('a\\d')).toBeNull()
  expect(literalOf('a.b')).toBeNull()
  expect(literalOf('a\\$')).toBe('a$')
})

it('substitutes groups, and leaves values without a match alone', () => {
  expect(compileSubstitution('^/service/([^/]+)(/.*)$', '\\2/instance/\\1')('/service/foo/v1/api')).toBe('/v1/api/instance/foo')
  expect(compileSubstitution('one', 'two')('/xxx/one/yyy/one/zzz')).toBe('/xxx/two/yyy/two/zzz')
  expect(compileSubstitution('x', '$1\\\\')('axb')).toBe('a$1\\b')
  expect(compileSubstitution('nothing', 'y')('\xff\xfe')).toBe('\xff\xfe')
})

it('converts between text and bytes without loss', () => {
  expect(fromByteString(toByteString('grüße ☃'))).toBe('grüße ☃')
  expect(fromByteString('\xff')).toBe('\xff')
  expect(asciiLower('ÀB')).toBe('Àb')
})
