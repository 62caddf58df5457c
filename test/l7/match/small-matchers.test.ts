import { describe, expect, it } from 'vitest'
import { compileCidr } from '../../../src/l7/match/cidr.js'
import { compileMetadataMatcher, metadataValue } from '../../../src/l7/match/metadata-matcher.js'
import { compileQueryParameters, queryParameter } from '../../../src/l7/match/query-parameter.js'
import { compileRuntimeFraction, EMPTY_RUNTIME } from '../../../src/l7/match/runtime-fraction.js'
import type { ValueMatcher } from '../../../src/model/matcher.js'
import type { JsonObject } from '../../../src/model/metadata.js'

describe('query parameters', () => {
  it('finds the first of a name, raw', () => {
    expect(queryParameter('/x?a=1&b=%20&a=2', 'a')).toBe('1')
    expect(queryParameter('/x?a=1&b=%20&a=2', 'b')).toBe('%20')
    expect(queryParameter('/x?ab=1', 'a')).toBeUndefined()
    expect(queryParameter('/x?a', 'a')).toBe('')
    expect(queryParameter('/x?b&a=1', 'a')).toBe('1')
    expect(queryParameter('/x', 'a')).toBeUndefined()
  })

  it('matches strings and presence', () => {
    const test = compileQueryParameters([
      { name: 'v', matcher: { kind: 'exact', value: '2', ignoreCase: false } },
      { name: 'debug', present: false },
    ])!
    expect(test('/?v=2')).toBe(true)
    expect(test('/?v=2&debug')).toBe(false)
    expect(test('/?debug=')).toBe(false)
    expect(compileQueryParameters([])).toBeNull()
  })
})

describe('metadata', () => {
  const struct: JsonObject = { claims: { iss: 'me', aud: ['a', 'b'], admin: true, level: 3, none: null, name: 'é' } }
  const test = (path: string[], value: ValueMatcher, invert = false) =>
    compileMetadataMatcher({ namespace: 'jwt', path, value, invert })(namespace => (namespace === 'jwt' ? struct : undefined))
  const exact = (value: string): ValueMatcher => ({ kind: 'string', matcher: { kind: 'exact', value, ignoreCase: false } })

  it('walks structs and matches every kind of value', () => {
    expect(test(['claims', 'iss'], exact('me'))).toBe(true)
    expect(test(['claims', 'name'], exact('é'))).toBe(true)
    expect(test(['claims', 'aud'], { kind: 'list', oneOf: exact('b') })).toBe(true)
    expect(test(['claims', 'aud'], exact('b'))).toBe(false)
    expect(test(['claims', 'admin'], { kind: 'bool', value: true })).toBe(true)
    expect(test(['claims', 'level'], { kind: 'doubleRange', start: 3, end: 4 })).toBe(true)
    expect(test(['claims', 'level'], { kind: 'double', exact: 4 })).toBe(false)
    expect(test(['claims', 'none'], { kind: 'null' })).toBe(true)
    expect(test(['claims', 'iss'], { kind: 'or', anyOf: [exact('x'), exact('me')] })).toBe(true)
  })

  it('finds nothing where there is nothing, and present false matches nothing (as Envoy)', () => {
    expect(test(['claims', 'sub'], exact(''))).toBe(false)
    expect(test(['claims', 'sub'], { kind: 'null' })).toBe(false)
    expect(test(['claims', 'sub'], { kind: 'present', value: false })).toBe(false)
    expect(test(['claims', 'iss'], { kind: 'present', value: false })).toBe(false)
    expect(test(['claims', 'sub'], exact('x'), true)).toBe(true)
  })

  it('looks at own keys only', () => {
    expect(metadataValue({}, ['__proto__'])).toBeUndefined()
    expect(metadataValue({}, ['constructor'])).toBeUndefined()
  })
})

describe('runtime fractions', () => {
  const half = { numerator: 50, denominator: 100, runtimeKey: '' }
  it('is null when it is always true', () => {
    expect(compileRuntimeFraction(null, EMPTY_RUNTIME)).toBeNull()
    expect(compileRuntimeFraction({ ...half, numerator: 100 }, EMPTY_RUNTIME)).toBeNull()
    expect(compileRuntimeFraction(half, EMPTY_RUNTIME)!(0.49)).toBe(true)
    expect(compileRuntimeFraction(half, EMPTY_RUNTIME)!(0.5)).toBe(false)
  })

  it('reads the runtime at each decision, integers as percent', () => {
    const values = new Map<string, number | boolean | string>()
    const test = compileRuntimeFraction({ ...half, runtimeKey: 'k' }, values)!
    expect(test(0.4)).toBe(true)
    values.set('k', 10)
    expect(test(0.4)).toBe(false)
    values.set('k', true)
    expect(test(0.99)).toBe(true)
    values.set('k', '0')
    expect(test(0)).toBe(false)
    values.set('k', 'odd')
    expect(test(0.4)).toBe(true)
  })
})

describe('CIDR ranges', () => {
  it.each([
    ['10.1.0.0', 16, '10.1.255.1', true],
    ['10.1.0.0', 16, '10.2.0.1', false],
    ['10.1.0.0', 17, '10.1.128.1', false],
    ['0.0.0.0', 0, '1.2.3.4', true],
    ['0.0.0.0', 0, '::1', false],
    ['10.1.2.3', 32, '10.1.2.3', true],
    ['2001:db8::', 33, '2001:db8:7fff::1', true],
    ['2001:db8::', 33, '2001:db8:8000::1', false],
    ['10.0.0.0', 8, '::ffff:10.1.2.3', true],
    ['::ffff:10.0.0.0', 104, '10.9.9.9', true],
    ['10.0.0.0', 8, '/run/app.sock', false],
    ['10.0.0.0', 8, '', false],
  ])('%s/%d holds %s: %s', (address, prefixLength, ip, expected) => {
    expect(compileCidr({ address, prefixLength })(ip)).toBe(expected)
  })

  it('survives scoped addresses (CVE-2026-26310, CVE-2026-73549)', () => {
    expect(compileCidr({ address: 'fe80::', prefixLength: 10 })('fe80::1%eth0')).toBe(true)
    expect(compileCidr({ address: 'fe80::', prefixLength: 10 })('%')).toBe(false)
  })
})
