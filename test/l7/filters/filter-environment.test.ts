// FilterContext: what filters take of the statistics goes with them, and does not grow with updates of routes.
import { expect, it } from 'vitest'
import { FilterContext } from '../../../src/l7/filters/filter-environment.js'
import { FakeEnvironment } from './fake-call.js'

it('gives one scope for a prefix however often it is asked, and releases it once', () => {
  const world = new FakeEnvironment()
  const ctx = new FilterContext(world.env)
  const scope = ctx.scope('p')
  expect(ctx.scope('p')).toBe(scope)
  expect(ctx.httpScope('p')).toBe(ctx.httpScope('p'))
  expect(ctx.httpScope('p').prefix).toBe('http.in.p.')
  scope.counter('c').value++
  expect(world.store.has('counter', 'p.c')).toBe(true)
  ctx.release()
  expect(world.store.has('counter', 'p.c')).toBe(false)
})
