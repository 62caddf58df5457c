import { describe, expect, it } from 'vitest'
import { EMPTY_RUNTIME } from '../../../src/l7/match/runtime-fraction.js'
import { RouteHolder } from '../../../src/l7/route/route-holder.js'
import { RouteScopes } from '../../../src/l7/route/route-scopes.js'
import { compileRouteTable } from '../../../src/l7/route/route-table.js'
import { NO_ROUTES } from '../../../src/model/route.js'
import type { ScopeFragment } from '../../../src/model/scoped-routes.js'
import { head, route, routeTable, virtualHost } from '../request-fixtures.js'

const empty = compileRouteTable(NO_ROUTES, { runtime: EMPTY_RUNTIME })
const holder = (name: string) =>
  new RouteHolder(compileRouteTable({ ...routeTable([virtualHost(name, ['*'], [route(name)])]), name }, { runtime: EMPTY_RUNTIME }))

function scopes(builder: readonly ScopeFragment[], keys: readonly (readonly string[])[]): RouteScopes {
  const made = new RouteScopes(builder, empty)
  made.replace(keys.map(key => ({ key, holder: holder(key.join('|')) })))
  return made
}

const whole = (header: string): ScopeFragment => ({ header, separator: '', extract: { kind: 'index', index: 0 } })
const at = (header: string, separator: string, index: number): ScopeFragment => ({ header, separator, extract: { kind: 'index', index } })
const element = (header: string, separator: string, key: string): ScopeFragment => ({
  header,
  separator,
  extract: { kind: 'element', key, separator: '=' },
})

const tableOf = (made: RouteScopes, headers: Record<string, string>, authority = 'a.example') =>
  made.tableFor(head('/', { authority }, Object.entries(headers))).model.name

describe('the key of a request', () => {
  it.each([
    ['the whole value', [whole('x-scope')], ['a'], { 'x-scope': 'a' }, 'a'],
    ['the host', [whole('host')], ['a.example'], {}, 'a.example'],
    ['an element by index', [at('x-scope', ',', 1)], ['b'], { 'x-scope': 'a,b,c' }, 'b'],
    ['an index that is not there', [at('x-scope', ',', 3)], ['b'], { 'x-scope': 'a,b,c' }, ''],
    ['an element by key', [element('x-scope', ';', 'vip')], ['10.0.0.1'], { 'x-scope': 'a=b;vip=10.0.0.1;c' }, '10.0.0.1'],
    ['the first of several elements with the key', [element('x-scope', ';', 'k')], ['1'], { 'x-scope': 'k=1;k=2' }, '1'],
    ['an element whose value holds the separator', [element('x-scope', ';', 'k')], ['1=2'], { 'x-scope': 'k=1=2' }, '1=2'],
    ['an element without a value', [element('x-scope', ';', 'k')], [''], { 'x-scope': 'a;k' }, ''],
    ['an element that is not there', [element('x-scope', ';', 'k')], ['1'], { 'x-scope': 'kk=1' }, ''],
    ['a field that is not there', [whole('x-scope')], ['a'], {}, ''],
    ['several parts', [whole('x-a'), at('x-b', ',', 1)], ['1', '2'], { 'x-a': '1', 'x-b': '0,2' }, '1|2'],
    ['several parts, one of them missing', [whole('x-a'), whole('x-b')], ['1', ''], { 'x-a': '1' }, ''],
    ['a key that no scope has', [whole('x-scope')], ['a'], { 'x-scope': 'A' }, ''],
  ] as [string, ScopeFragment[], string[], Record<string, string>, string][])('%s', (_name, builder, key, headers, expected) => {
    expect(tableOf(scopes(builder, [key]), headers)).toBe(expected)
  })

  it('is the first value of a field that stands there twice', () => {
    const request = head('/', {}, [
      ['x-scope', 'a'],
      ['x-scope', 'b'],
    ])
    expect(scopes([whole('x-scope')], [['a'], ['b'], ['a,b']]).tableFor(request).model.name).toBe('a')
  })

  it('has as many parts as the builder: scopes with other keys are nobody’s', () => {
    const made = scopes([whole('x-a')], [['1', '2'], []])
    expect(tableOf(made, { 'x-a': '1' })).toBe('')
    expect(tableOf(made, { 'x-a': '' })).toBe('')
  })
})

it('serves from the tables as they are swapped, and from the newest scopes', () => {
  const made = new RouteScopes([whole('x-scope')], empty)
  const table = holder('one')
  made.replace([{ key: ['a'], holder: table }])
  table.current = holder('two').current
  expect(tableOf(made, { 'x-scope': 'a' })).toBe('two')
  made.replace([])
  expect(tableOf(made, { 'x-scope': 'a' })).toBe('')
})
