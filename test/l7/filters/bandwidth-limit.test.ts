// bandwidth_limit: bodies pass as fast as the bucket that they share allows. Compared with Envoy in integration/response-filters-differential.test.ts.
import { expect, it } from 'vitest'
import { HeaderList } from '../../../src/l7/codec/header-list.js'
import type { BandwidthLimitConfig } from '../../../src/model/bandwidth-limit.js'
import { FakeCall, FakeEnvironment, requestHead, responseHead, runHead } from './fake-call.js'

const TRAILERS = {
  requestDelay: 'bandwidth-request-delay-ms',
  requestFilterDelay: 'bandwidth-request-filter-delay-ms',
  responseDelay: 'bandwidth-response-delay-ms',
  responseFilterDelay: 'bandwidth-response-filter-delay-ms',
}
const CONFIG: BandwidthLimitConfig = {
  statPrefix: 'p',
  request: true,
  response: true,
  kilobytesPerSecond: 20,
  fillIntervalMs: 50,
  enabled: { defaultValue: true, runtimeKey: 'on' },
  trailers: null,
}
/** Of one interval. */
const SHARE = 1024

const world = (config: Partial<BandwidthLimitConfig> = {}) => {
  const env = new FakeEnvironment()
  return { env, factory: env.factory({ kind: 'bandwidthLimit', config: { ...CONFIG, ...config } }) }
}
const sizes = (parts: readonly { readonly chunk: Buffer }[]): number[] => parts.map(({ chunk }) => chunk.length)

it('lets what the bucket has pass at once, keeps the rest for the next intervals, and pauses the sender', () => {
  const { env, factory } = world({ request: false })
  const call = new FakeCall(requestHead())
  const { filter } = runHead(factory, call)
  filter!.responseHead!(call, responseHead(), false, false)
  const first = Buffer.alloc(SHARE / 2, 'a')
  expect(filter!.responseData!(call, first, false)).toBe(first)
  expect(filter!.responseData!(call, Buffer.alloc(SHARE, 'b'), false)).toBeNull()
  env.clock.advance(0)
  expect(sizes(call.emitted)).toEqual([SHARE / 2])
  expect(filter!.responseData!(call, Buffer.alloc(70_000, 'c'), false)).toBeNull()
  expect(call.paused).toBe(true)
  env.clock.advance(50)
  expect(sizes(call.emitted)).toEqual([SHARE / 2, SHARE])
  expect(filter!.responseData!(call, Buffer.from('end'), true)).toBeNull()
  env.clock.advance(10_000)
  expect(Buffer.concat(call.emitted.map(({ chunk }) => chunk)).length).toBe(SHARE + 70_000 + 3)
  expect(call.emitted.filter(({ end }) => end)).toEqual([call.emitted.at(-1)])
  expect(call.paused).toBe(false)
  const total = SHARE / 2 + SHARE + 70_000 + 3
  expect(env.counter('p.http_bandwidth_limit.response_incoming_total_size')).toBe(total)
  expect(env.counter('p.http_bandwidth_limit.response_allowed_total_size')).toBe(total)
  expect(env.counter('p.http_bandwidth_limit.response_enabled')).toBe(1)
  expect(env.counter('p.http_bandwidth_limit.request_enabled')).toBe(0)
  expect(env.counter('p.http_bandwidth_limit.response_enforced')).toBeGreaterThan(60)
})

it('has one bucket for all requests and both directions', () => {
  const { env, factory } = world()
  const one = new FakeCall(requestHead())
  const two = new FakeCall(requestHead())
  const [a, b] = [one, two].map(call => runHead(factory, call, false).filter!)
  expect(a!.requestData!(one, Buffer.alloc(SHARE), true)).not.toBeNull()
  b!.responseHead!(two, responseHead(), false, false)
  expect(b!.responseData!(two, Buffer.alloc(10), true)).toBeNull()
  env.clock.advance(0)
  expect(two.emitted).toEqual([])
  expect(env.store.scope('').gauge('p.http_bandwidth_limit.response_pending').value).toBe(1)
  env.clock.advance(50)
  expect(two.emitted).toEqual([{ chunk: Buffer.alloc(10), end: true }])
  expect(env.store.scope('').gauge('p.http_bandwidth_limit.response_pending').value).toBe(0)
})

it('keeps request bodies back too, their trailers behind them', () => {
  const { env, factory } = world()
  const call = new FakeCall(requestHead())
  const { filter } = runHead(factory, call, false)
  expect(filter!.requestData!(call, Buffer.alloc(3 * SHARE), false)).toBeNull()
  expect(filter!.requestTrailers!(call, HeaderList.of(['x-t', '1']))).toBeNull()
  env.clock.advance(50)
  expect([sizes(call.emittedUpstream), call.requestTrailers]).toEqual([[SHARE, SHARE], null])
  env.clock.advance(50)
  expect([sizes(call.emittedUpstream), call.requestTrailers?.get('x-t')]).toEqual([[SHARE, SHARE, SHARE], '1'])
  expect(call.emittedUpstream.every(({ end }) => !end)).toBe(true)
})

it('tells the waits in trailers, and nothing where there were none', () => {
  const { env, factory } = world({ trailers: TRAILERS })
  const call = new FakeCall(requestHead())
  const { filter } = runHead(factory, call, false)
  filter!.requestData!(call, Buffer.alloc(2 * SHARE), true)
  env.clock.advance(50)
  filter!.responseHead!(call, responseHead(), false, false)
  env.clock.advance(50)
  filter!.responseData!(call, Buffer.alloc(3 * SHARE), true)
  env.clock.advance(1000)
  const told = call.emittedTrailers!
  expect(told.lower.map((name, i) => [name, told.values[i]])).toEqual([
    ['bandwidth-request-delay-ms', '50'],
    ['bandwidth-request-filter-delay-ms', '50'],
    ['bandwidth-response-delay-ms', '100'],
    ['bandwidth-response-filter-delay-ms', '100'],
  ])
  const idle = new FakeCall(requestHead())
  const { filter: fresh } = runHead(factory, idle)
  fresh!.responseHead!(idle, responseHead(), false, false)
  expect(fresh!.responseData!(idle, Buffer.alloc(10), true)).toBeNull()
  env.clock.advance(0)
  expect([idle.emitted, idle.emittedTrailers]).toEqual([[{ chunk: Buffer.alloc(10), end: true }], null])
})

it('tells nothing behind a tunnel, which has no trailers', () => {
  const { env, factory } = world({ request: false, trailers: TRAILERS })
  const call = new FakeCall(requestHead())
  const { filter } = runHead(factory, call)
  filter!.responseHead!(call, { ...responseHead(101), upgraded: true }, false, false)
  expect(filter!.responseData!(call, Buffer.alloc(2 * SHARE), false)).toBeNull()
  expect(filter!.responseData!(call, Buffer.alloc(0), true)).toBeNull()
  env.clock.advance(1000)
  expect([call.emitted.at(-1)!.end, call.emittedTrailers]).toEqual([true, null])
})

it('is switched by the runtime, and has a limit of its own on a route', () => {
  const { env, factory } = world()
  env.runtime.set('on', false)
  expect(factory.create(new FakeCall(requestHead()))).toBeNull()
  env.runtime.set('on', true)
  const config = { ...CONFIG, statPrefix: 'r', kilobytesPerSecond: 200 }
  const call = new FakeCall(requestHead(), undefined, { overrides: { f: { disabled: false, kind: 'bandwidthLimit', config } } })
  expect(runHead(factory, call, false).filter!.requestData!(call, Buffer.alloc(10 * SHARE), true)).not.toBeNull()
  expect(env.counter('r.http_bandwidth_limit.request_allowed_total_size')).toBe(10 * SHARE)
  expect(env.counter('p.http_bandwidth_limit.request_enabled')).toBe(0)
})

it('leaves no request pending that ends early', () => {
  const { env, factory } = world()
  const call = new FakeCall(requestHead())
  const { filter } = runHead(factory, call, false)
  filter!.requestData!(call, Buffer.alloc(5 * SHARE), false)
  filter!.finished!(call)
  expect(env.store.scope('').gauge('p.http_bandwidth_limit.request_pending').value).toBe(0)
  env.clock.advance(1000)
  expect(call.emittedUpstream).toEqual([])
})
