// Matching a request: one route against 1,000 routes of one virtual host or in 100 (the goal: at most 10 % of a request's cost more), and the
// path normalisation that comes before it. Each asserts its answer before it is timed.
import { strict as assert } from 'node:assert'
import { bench, describe } from 'vitest'
import { EMPTY_RUNTIME } from '../../src/l7/match/runtime-fraction.js'
import { normalizePath } from '../../src/l7/route/path-normalize.js'
import { type CompiledRouteTable, compileRouteTable } from '../../src/l7/route/route-table.js'
import { head, info, route, routeTable, virtualHost } from '../../test/l7/request-fixtures.js'

const PER_RUN = 1000
const prefix = (value: string) => ({ path: { kind: 'prefix', value, caseSensitive: true } }) as const

const single = compileRouteTable(routeTable([virtualHost('v', ['*'], [route('only')])]), { runtime: EMPTY_RUNTIME })
const many = compileRouteTable(
  routeTable(
    Array.from({ length: 100 }, (_host, h) =>
      virtualHost(
        `v${h}`,
        [`host${h}.example.com`, `*.host${h}.example.com`],
        Array.from({ length: 10 }, (_route, r) => route(`r${h}-${r}`, prefix(r === 9 ? '/' : `/service-${r}/`))),
      ),
    ),
  ),
  { runtime: EMPTY_RUNTIME },
)

const oneHost = compileRouteTable(
  routeTable([
    virtualHost(
      'v',
      ['*'],
      Array.from({ length: 1000 }, (_route, r) => route(`r${r}`, prefix(`/service-${999 - r}/`))),
    ),
  ]),
  { runtime: EMPTY_RUNTIME },
)

const random = () => 0.5
const requests = Array.from({ length: 16 }, (_request, i) =>
  head(`/service-${i % 9}/items/42?page=1`, { authority: `host${i * 6}.example.com` }),
)
const infos = requests.map(request => info(request))
function matchAll(table: CompiledRouteTable): number {
  let found = 0
  for (let i = 0; i < PER_RUN; i++) if (table.match(requests[i & 15]!, infos[i & 15]!, random).kind === 'route') found++
  return found
}

describe('match, 1000 a run', () => {
  assert.equal(matchAll(single), PER_RUN)
  assert.equal(matchAll(many), PER_RUN)
  assert.equal(matchAll(oneHost), PER_RUN)
  const last = many.match(head('/other', { authority: 'x.host99.example.com' }), info(), random)
  assert.equal(last.kind === 'route' && last.route.model.name, 'r99-9')
  bench('one route', () => {
    matchAll(single)
  })
  bench('1,000 routes of one virtual host', () => {
    matchAll(oneHost)
  })
  bench('1,000 routes in 100 virtual hosts', () => {
    matchAll(many)
  })
})

describe('normalizePath, 1000 a run', () => {
  const options = { normalizePath: true, mergeSlashes: true, pathWithEscapedSlashes: 'UNESCAPE_AND_FORWARD' } as const
  const clean = head('/service/items/42?page=1')
  const dirty = () => head('/service//x/../items/%34%32?page=1')
  const once = dirty()
  assert.equal(normalizePath(once, options), null)
  assert.equal(once.path, '/service/items/42?page=1')
  assert.equal(normalizePath(clean, options), null)
  bench('a clean path', () => {
    for (let i = 0; i < PER_RUN; i++) normalizePath(clean, options)
  })
  const work = dirty()
  bench('a path with work to do', () => {
    for (let i = 0; i < PER_RUN; i++) {
      work.path = '/service//x/../items/%34%32?page=1'
      normalizePath(work, options)
    }
  })
})
