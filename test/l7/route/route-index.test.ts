import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { EMPTY_RUNTIME } from '../../../src/l7/match/runtime-fraction.js'
import { INDEXED_FROM } from '../../../src/l7/route/route-index.js'
import { type CompiledRouteTable, compileRouteTable } from '../../../src/l7/route/route-table.js'
import type { HeaderMatcher } from '../../../src/model/matcher.js'
import type { RouteMatch } from '../../../src/model/route-match.js'
import { head, info, route, routeTable, virtualHost } from '../request-fixtures.js'

type Match = Partial<RouteMatch>
const prefix = (value: string): Match => ({ path: { kind: 'prefix', value, caseSensitive: true } })

function tableOf(matches: readonly Match[]): CompiledRouteTable {
  const routes = matches.map((match, i) => route(`r${i}`, match))
  return compileRouteTable(routeTable([virtualHost('v', ['*'], routes)]), { runtime: EMPTY_RUNTIME })
}

/** Without a trace the index answers, with one each route is asked in turn. */
function routed(table: CompiledRouteTable, path: string, asked: 'by index' | 'in order', headers: [string, string][] = []): string {
  const request = head(path, {}, headers)
  const result = table.match(request, info(request), () => 0, asked === 'by index' ? null : { passedOver: () => {} })
  return result.kind === 'route' ? result.route.model.name : result.kind
}

describe('routes found by their paths', () => {
  const filler = Array.from({ length: INDEXED_FROM }, (_, i) => prefix(`/filler-${i}/`))

  it('takes the first in the order of the config, not the longest', () => {
    const table = tableOf([...filler, prefix('/a'), prefix('/a/b'), prefix('/'), prefix('')])
    expect(routed(table, '/a/b/c', 'by index')).toBe(`r${INDEXED_FROM}`)
    expect(routed(table, '/other', 'by index')).toBe(`r${INDEXED_FROM + 2}`)
    expect(routed(table, '*', 'by index')).toBe(`r${INDEXED_FROM + 3}`)
    expect(routed(table, '', 'by index')).toBe('no-route')
  })

  it('goes on to the next where another condition fails', () => {
    const matcher: HeaderMatcher = { name: 'x-test', match: { kind: 'present', present: true }, invert: false, treatMissingAsEmpty: false }
    const table = tableOf([...filler, { ...prefix('/a/b'), headers: [matcher] }, prefix('/a')])
    expect(routed(table, '/a/b', 'by index')).toBe(`r${INDEXED_FROM + 1}`)
    expect(routed(table, '/a/b', 'by index', [['x-test', '1']])).toBe(`r${INDEXED_FROM}`)
  })

  it('takes prefixes that each begin with the one before, two thousand of them', () => {
    const table = tableOf(Array.from({ length: 2000 }, (_, i) => prefix(`/${'a'.repeat(2000 - i)}`)))
    expect(routed(table, `/${'a'.repeat(7)}b`, 'by index')).toBe('r1993')
  })

  it('answers as asking all in order does, whatever the routes', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b', 'A', '/', 'é'), maxLength: 5 }).map(rest => `/${rest}`)
    const path = fc.oneof(
      fc.record({
        kind: fc.constantFrom('prefix' as const, 'path' as const, 'pathSeparatedPrefix' as const),
        value: text,
        caseSensitive: fc.boolean(),
      }),
      fc.record({ kind: fc.constant('regex' as const), value: fc.constantFrom('/a.*', '/[ab]+', '.*/b') }),
      fc.constant({ kind: 'connect' as const }),
    )
    const paths = fc.array(path, { minLength: INDEXED_FROM, maxLength: 60 })
    fc.assert(
      fc.property(paths, fc.array(text, { minLength: 1, maxLength: 20 }), (given, asked) => {
        const table = tableOf(given.map(each => ({ path: each })))
        for (const each of asked.map(one => Buffer.from(one).toString('latin1')))
          expect(routed(table, each, 'by index'), each).toBe(routed(table, each, 'in order'))
      }),
      { seed: 11, numRuns: 200 },
    )
  })
})
