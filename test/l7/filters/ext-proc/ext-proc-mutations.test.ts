import { describe, expect, it } from 'vitest'
import type { HeaderMutation } from '../../../../src/l7/filters/ext-proc/ext-proc-messages.js'
import { MutationChecker } from '../../../../src/l7/filters/ext-proc/ext-proc-mutations.js'
import { Counter } from '../../../../src/metrics/stat.js'
import type { HeaderMutationRules } from '../../../../src/model/http-filter.js'
import { head as requestHead } from '../../request-fixtures.js'

const DEFAULTS: HeaderMutationRules = {
  allowAllRouting: false,
  allowEnvoy: false,
  disallowSystem: false,
  disallowAll: false,
  allowExpression: null,
  disallowExpression: null,
  disallowIsError: false,
}

function apply(rules: Partial<HeaderMutationRules>, set: readonly [string, string][], remove: string[] = [], replaces = false) {
  const rejected = new Counter('')
  const head = requestHead('/a', { authority: 'h' }, [['x-old', '1']])
  const mutation: HeaderMutation = {
    set: set.map(([name, value]) => ({ name, value, action: 'OVERWRITE_IF_EXISTS_OR_ADD' })),
    remove,
  }
  const ok = new MutationChecker({ ...DEFAULTS, ...rules }, rejected).apply(mutation, head.headers, { kind: 'request', head }, replaces)
  const { method, path, authority } = head
  return { ok, rejected: rejected.value, method, path, authority, value: (name: string) => head.headers.get(name) }
}

describe('MutationChecker', () => {
  it('keeps host, method, scheme, x-envoy-* and framing from the processor, and counts what it tried', () => {
    const changed = apply({}, [
      ['x-new', '1'],
      [':path', '/b'],
      [':method', 'PUT'],
      [':authority', 'other'],
      ['host', 'other'],
      ['x-envoy-secret', '1'],
      ['content-length', '5'],
      ['bad name', '1'],
      ['x-bad', 'a\r\nb'],
    ])
    expect([changed.ok, changed.method, changed.path, changed.authority, changed.value('x-new'), changed.value('x-envoy-secret')]).toEqual([
      true,
      'GET',
      '/b',
      'h',
      '1',
      undefined,
    ])
    expect(changed.rejected).toBe(7)
  })

  it('lets routing fields and x-envoy-* be changed where the rules say so', () => {
    const changed = apply({ allowAllRouting: true, allowEnvoy: true }, [
      [':authority', 'other'],
      [':method', 'PUT'],
      ['x-envoy-secret', '1'],
    ])
    expect([changed.authority, changed.method, changed.value('x-envoy-secret'), changed.rejected]).toEqual(['other', 'PUT', '1', 0])
  })

  it('asks disallow_expression before allow_expression, and that before the rest', () => {
    const rules = { disallowAll: true, allowExpression: 'x-.*', disallowExpression: 'x-never' }
    const changed = apply(rules, [
      ['x-yes', '1'],
      ['x-never', '1'],
      ['other', '1'],
    ])
    expect([changed.value('x-yes'), changed.value('x-never'), changed.value('other'), changed.rejected]).toEqual([
      '1',
      undefined,
      undefined,
      2,
    ])
  })

  it('gives up at the first forbidden change with disallow_is_error', () => {
    const changed = apply({ disallowIsError: true }, [['x-envoy-secret', '1']])
    expect([changed.ok, changed.rejected]).toEqual([false, 1])
  })

  it('takes another method for a message that is replaced', () => {
    expect(apply({}, [[':method', 'POST']], [], true).method).toBe('POST')
  })

  it('removes fields, but no pseudo-header and not the host', () => {
    const changed = apply({ allowAllRouting: true }, [], ['x-old', ':path', 'host'])
    expect([changed.value('x-old'), changed.path, changed.authority, changed.rejected]).toEqual([undefined, '/a', 'h', 2])
  })

  it('refuses values that are no path, host or method', () => {
    const changed = apply({ allowAllRouting: true }, [
      [':path', '/a b'],
      [':authority', 'a/b'],
      [':method', 'GE T'],
      [':scheme', 'ftp'],
    ])
    expect([changed.path, changed.authority, changed.method, changed.rejected]).toEqual(['/a', 'h', 'GET', 4])
  })
})
