import { describe, expect, it } from 'vitest'
import { ResponseFlag } from '../../../src/l7/stream/response-flags.js'
import type { FaultConfig } from '../../../src/model/http-filter.js'
import { ALWAYS, FakeCall, FakeEnvironment, NEVER, requestHead, responseHead, runHead } from './fake-call.js'

function filter(fields: Partial<FaultConfig>) {
  return {
    kind: 'fault',
    config: {
      delay: null,
      abort: null,
      upstreamCluster: '',
      headers: [],
      downstreamNodes: [],
      maxActiveFaults: null,
      responseRateLimit: null,
      runtimeKeys: { delayDuration: 'd', abortHttpStatus: 'h', abortGrpcStatus: 'g', maxActiveFaults: 'fault.http.max_active_faults' },
      downstreamClusterStats: true,
      filterMetadata: null,
      ...fields,
    },
  }
}

const DELAY = { fixedMs: 100, fromHeader: false, fraction: ALWAYS }
const ABORT = { httpStatus: 503, grpcStatus: null, fromHeader: false, body: '', fraction: ALWAYS }

describe('fault filter', () => {
  it('delays, then lets pass, and counts the fault while it is active', () => {
    const world = new FakeEnvironment()
    const call = new FakeCall(requestHead())
    const { filter: made, status } = runHead(world.factory(filter({ delay: DELAY })), call)
    expect(status).toBe('stop')
    expect(world.store.scope('').gauge('http.in.fault.active_faults').value).toBe(1)
    world.clock.advance(99)
    expect(call.resumed).toBe(0)
    world.clock.advance(1)
    expect(call.resumed).toBe(1)
    expect(call.info.responseFlags).toBe(ResponseFlag.DelayInjected)
    made!.finished!(call)
    expect(world.store.scope('').gauge('http.in.fault.active_faults').value).toBe(0)
    expect(world.counter('http.in.fault.delays_injected')).toBe(1)
  })

  it('aborts after the delay, by status or gRPC status', () => {
    const world = new FakeEnvironment()
    const call = new FakeCall(requestHead())
    runHead(world.factory(filter({ delay: DELAY, abort: ABORT })), call)
    world.clock.advance(100)
    expect(call.reply).toMatchObject({
      status: 503,
      body: 'fault filter abort',
      details: 'fault_filter_abort',
      flags: ResponseFlag.FaultInjected,
    })
    const worded = new FakeCall(requestHead())
    runHead(world.factory(filter({ abort: { ...ABORT, body: 'later' } })), worded)
    expect(worded.reply?.body).toBe('later')
    const grpc = new FakeCall(requestHead({ method: 'POST' }, { 'content-type': 'application/grpc' }))
    runHead(world.factory(filter({ abort: { ...ABORT, httpStatus: null, grpcStatus: 14 } })), grpc)
    expect(grpc.reply?.headers?.get('grpc-status')).toBe('14')
  })

  it('a client that leaves during the delay leaves no timer behind', () => {
    const world = new FakeEnvironment()
    const call = new FakeCall(requestHead())
    const { filter: made } = runHead(world.factory(filter({ delay: DELAY })), call)
    call.ended = true
    made!.finished!(call)
    expect(world.clock.pending).toBe(0)
    expect(world.store.scope('').gauge('http.in.fault.active_faults').value).toBe(0)
  })

  it('x-envoy-fault-* headers of a client do nothing unless the config asks for them', () => {
    const world = new FakeEnvironment()
    const headers = {
      'x-envoy-fault-abort-request': '500',
      'x-envoy-fault-delay-request': '5000',
      'x-envoy-fault-abort-request-percentage': '100',
      'x-envoy-fault-delay-request-percentage': '100',
    }
    const call = new FakeCall(requestHead({}, headers))
    const factory = world.factory(filter({ delay: { ...DELAY, fraction: NEVER }, abort: { ...ABORT, fraction: NEVER } }))
    expect(runHead(factory, call).status).toBe('continue')
    expect(call.reply).toBeNull()
  })

  it('a header may lower the configured share but not raise it', () => {
    const world = new FakeEnvironment()
    world.randomValue = 0.3
    const half = { numerator: 50, denominator: 100, runtimeKey: '' }
    const factory = world.factory(filter({ abort: { ...ABORT, httpStatus: null, fromHeader: true, fraction: half } }))
    const statusWith = (headers: Record<string, string>) => {
      const call = new FakeCall(requestHead({}, headers))
      runHead(factory, call)
      return call.reply?.status
    }
    expect(statusWith({ 'x-envoy-fault-abort-request': '418' })).toBe(418)
    expect(statusWith({ 'x-envoy-fault-abort-request': '418', 'x-envoy-fault-abort-request-percentage': '20' })).toBeUndefined()
    world.randomValue = 0.6
    expect(statusWith({ 'x-envoy-fault-abort-request': '418', 'x-envoy-fault-abort-request-percentage': '100' })).toBeUndefined()
    world.randomValue = 0
    for (const bad of ['99', '600', '1e3', '-500', '']) expect(statusWith({ 'x-envoy-fault-abort-request': bad }), bad).toBeUndefined()
  })

  it('goes only for its upstream cluster, nodes and headers', () => {
    const world = new FakeEnvironment()
    const factory = world.factory(filter({ abort: ABORT, upstreamCluster: 'api', downstreamNodes: ['n1'] }))
    const run = (cluster: string, node: string) => {
      const call = new FakeCall(requestHead({}, { 'x-envoy-downstream-service-node': node }), undefined, { cluster })
      runHead(factory, call)
      return call.reply?.status
    }
    expect(run('api', 'n1')).toBe(503)
    expect(run('other', 'n1')).toBeUndefined()
    expect(run('api', 'n2')).toBeUndefined()
  })

  it('injects nothing above max_active_faults', () => {
    const world = new FakeEnvironment()
    const factory = world.factory(filter({ delay: DELAY, maxActiveFaults: 1 }))
    runHead(factory, new FakeCall(requestHead()))
    expect(runHead(factory, new FakeCall(requestHead())).status).toBe('continue')
    expect(world.counter('http.in.fault.faults_overflow')).toBe(1)
  })

  it('lets the runtime change the share', () => {
    const world = new FakeEnvironment()
    world.runtime.set('fault.http.abort.abort_percent', 0)
    const fraction = { ...ALWAYS, runtimeKey: 'fault.http.abort.abort_percent' }
    expect(runHead(world.factory(filter({ abort: { ...ABORT, fraction } })), new FakeCall(requestHead())).status).toBe('continue')
  })

  it('counts an overflow only where a fault would have been', () => {
    const world = new FakeEnvironment()
    const factory = world.factory(filter({ delay: { ...DELAY, fraction: NEVER }, maxActiveFaults: 0 }))
    expect(runHead(factory, new FakeCall(requestHead())).status).toBe('continue')
    expect(world.counter('http.in.fault.faults_overflow')).toBe(0)
  })

  it('takes the rate of a response from the header where the config says so, by its share', () => {
    const throttled = (headers: Record<string, string>, randomValue = 0) => {
      const world = new FakeEnvironment()
      world.randomValue = randomValue
      const half = { numerator: 5000, denominator: 10_000, runtimeKey: '' }
      runHead(world.factory(filter({ responseRateLimit: { kbps: null, fraction: half } })), new FakeCall(requestHead({}, headers)))
      return world.counter('http.in.fault.response_rl_injected')
    }
    expect(throttled({ 'x-envoy-fault-throughput-response': '10' })).toBe(1)
    expect(throttled({})).toBe(0)
    expect(throttled({ 'x-envoy-fault-throughput-response': '10' }, 0.5)).toBe(0)
    const asked = { 'x-envoy-fault-throughput-response': '10', 'x-envoy-fault-throughput-response-percentage': '1000' }
    expect([throttled(asked, 0.09), throttled(asked, 0.1)]).toEqual([1, 0])
  })

  it('lets the runtime change durations and statuses, for all or for one calling service', () => {
    const world = new FakeEnvironment()
    const factory = world.factory(filter({ delay: DELAY, abort: ABORT }))
    world.runtime.set('d', 0).set('h', 418)
    const status = (headers: Record<string, string> = {}) => {
      const call = new FakeCall(requestHead({}, headers))
      runHead(factory, call)
      return call.reply?.status
    }
    expect(status()).toBe(418)
    world.runtime.set('fault.http.web.abort.http_status', 404)
    expect(status({ 'x-envoy-downstream-service-cluster': 'web' })).toBe(404)
    world.runtime.set('fault.http.web.delay.fixed_duration_ms', 5)
    expect(status({ 'x-envoy-downstream-service-cluster': 'web' })).toBeUndefined()
    world.clock.advance(5)
    expect(world.counter('http.in.fault.web.delays_injected')).toBe(1)
    expect(world.counter('http.in.fault.web.aborts_injected')).toBe(2)
    const never = world.factory(filter({ abort: { ...ABORT, fraction: NEVER } }))
    world.runtime.set('fault.http.web.abort.abort_percent', 100)
    const call = new FakeCall(requestHead({}, { 'x-envoy-downstream-service-cluster': 'web' }))
    runHead(never, call)
    expect(call.reply?.status).toBe(404)
  })

  it('leaves its metadata on a request that it touched, and no counters by service where they are off', () => {
    const world = new FakeEnvironment()
    const factory = world.factory(filter({ abort: ABORT, filterMetadata: { experiment: 'x' }, downstreamClusterStats: false }))
    const call = new FakeCall(requestHead({}, { 'x-envoy-downstream-service-cluster': 'web' }))
    runHead(factory, call)
    expect(call.info.dynamicMetadata('envoy.filters.http.fault')).toEqual({ experiment: 'x' })
    expect(world.counter('http.in.fault.aborts_injected')).toBe(1)
    expect(world.store.has('counter', 'http.in.fault.web.aborts_injected')).toBe(false)
  })

  it('slows a response down to its rate, keeps every byte and pauses the upstream', () => {
    const world = new FakeEnvironment()
    const call = new FakeCall(requestHead())
    const { filter: made } = runHead(world.factory(filter({ responseRateLimit: { kbps: 20, fraction: ALWAYS } })), call)
    made!.responseHead!(call, responseHead(), false, false)
    const body = Buffer.alloc(100_000, 'x')
    expect(made!.responseData!(call, body, false)).toBeNull()
    expect(call.paused).toBe(true)
    world.clock.advance(0)
    expect(call.emitted).toHaveLength(1)
    expect(call.emitted[0]!.chunk.length).toBe(1024)
    expect(made!.responseData!(call, Buffer.from('end'), true)).toBeNull()
    world.clock.advance(5000)
    expect(Buffer.concat(call.emitted.map(part => part.chunk)).toString()).toBe(`${body.toString()}end`)
    expect(call.emitted.filter(part => part.end)).toEqual([call.emitted.at(-1)])
    expect(call.paused).toBe(false)
  })
})
