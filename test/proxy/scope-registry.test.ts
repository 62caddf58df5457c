// A connection manager with scoped routes: requests that wait for a table on demand, when it comes and when it is given up.
import { expect, it } from 'vitest'
import { finish } from '../../src/io/slices.js'
import { EMPTY_RUNTIME } from '../../src/l7/match/runtime-fraction.js'
import { RouteScopes } from '../../src/l7/route/route-scopes.js'
import { StatsStore } from '../../src/metrics/stats-store.js'
import { adsStats } from '../../src/metrics/subscription-stats.js'
import type { ConfigSource } from '../../src/model/config-source.js'
import type { RouteScope } from '../../src/model/scoped-routes.js'
import { Demands } from '../../src/proxy/demands.js'
import { RouteRegistry } from '../../src/proxy/route-registry.js'
import { ScopeRegistry, ScopeUser } from '../../src/proxy/scope-registry.js'
import { head, route, routeTable, virtualHost } from '../l7/request-fixtures.js'
import { ManualClock } from '../support/manual-clock.js'

const ads: ConfigSource = { kind: 'ads' }
const lazy = (name: string, key: string): RouteScope => ({
  name,
  key: [key],
  onDemand: true,
  routes: { kind: 'rds', name: `table-${name}` },
})

function setUp() {
  const stats = new StatsStore()
  const routes = new RouteRegistry(EMPTY_RUNTIME, stats, new Demands(new ManualClock(), () => {}))
  const keyBuilder = [{ header: 'x-scope', separator: '', extract: { kind: 'index', index: 0 } } as const]
  const scopes = new RouteScopes(keyBuilder, routes.empty)
  const asked: string[] = []
  const user = new ScopeUser({
    scopedRoutes: { name: 's', keyBuilder, rdsSource: ads, scopes: { kind: 'dynamic', source: ads } },
    initialFetchTimeoutMs: 0,
    scopes,
    routes,
    runtime: EMPTY_RUNTIME,
    stats,
    statsOf: table => adsStats(stats).rds('http', table),
    onTableDemanded: (_, table) => asked.push(table),
  })
  user.update([lazy('a', 'red')])
  const woken: string[] = []
  const request = head('/', {}, [['x-scope', 'red']])
  const discover = (who: string) => scopes.discover(request, () => woken.push(who))
  return { routes, scopes, user, asked, woken, request, discover }
}

const turn = () => new Promise(resolve => setImmediate(resolve))
const table = { ...routeTable([virtualHost('v', ['*'], [route('r')])]), name: 'table-a' }

it('requests of a scope on demand wait for its table, which is asked for once', () => {
  const { routes, scopes, asked, woken, request, discover } = setUp()
  discover('one')
  discover('two')?.()
  discover('three')
  expect([asked, woken, routes.subscriptions().map(({ name }) => name)]).toEqual([['table-a'], [], ['table-a']])
  finish(routes.apply(table))
  expect(woken).toEqual(['one', 'three'])
  expect(scopes.tableFor(request).model.name).toBe('table-a')
})

it('they go on where the scope is taken back, or the listener has another version', () => {
  for (const end of ['scope', 'listener']) {
    const { user, woken, discover } = setUp()
    discover('one')
    if (end === 'scope') user.update([])
    else user.release()
    expect(woken).toEqual(['one'])
  }
})

it('a request on a connection of an old version goes on in the next turn, and asks for nothing', async () => {
  const { routes, user, woken, discover } = setUp()
  user.release()
  // From inside, who waits would not know yet that it does.
  expect(discover('late')).not.toBeNull()
  expect(woken).toEqual([])
  await turn()
  expect(woken).toEqual(['late'])
  expect(routes.subscriptions()).toEqual([])
})

it('of one update two scopes may not have one key, and of two updates the newer one counts', () => {
  const said: string[] = []
  const scopes = new ScopeRegistry(message => said.push(message))
  const { user } = setUp()
  scopes.hold(ads, user)
  expect(scopes.put(ads, lazy('a', 'red'))).toEqual([])
  expect(scopes.put(ads, lazy('b', 'red')).map(({ path }) => path)).toEqual(['key'])
  expect(scopes.put(ads, lazy('b', 'blue'))).toEqual([])
  scopes.settle(ads)
  expect(scopes.put(ads, lazy('c', 'red'))).toEqual([])
  expect(said).toEqual([])
  scopes.settle(ads)
  expect(said).toHaveLength(1)
  expect(said[0]).toContain("'c' and 'a'")
})
