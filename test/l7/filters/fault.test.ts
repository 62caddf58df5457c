import { describe, expect, it } from 'vitest'
import { ResponseFlag } from '../../../src/l7/response-flags.js'
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
      responseRateLimitKbps: null,
      ...fields,
    },
  }
}

const DELAY = { fixedMs: 100, fromHeader: false, fraction: ALWAYS }
const ABORT = { httpStatus: 503, grpcStatus: null, fromHeader: false, fraction: ALWAYS }

describe('fault filter', () => {
  it('delays, then lets pass, and counts the fault while it is active', () => {
    const world = new FakeEnvironment()
    const call = new FakeCall(requestHead())
    const { filter: made, status } = runHead(world.factory(filter({ delay: DELAY })), call)
    expect(status).toBe('stop')
    expect(world.store.gauge('http.in.fault.active_faults').value).toBe(1)
    world.clock.advance(99)
    expect(call.resumed).toBe(0)
    world.clock.advance(1)
    expect(call.resumed).toBe(1)
    expect(call.info.responseFlags).toBe(ResponseFlag.DelayInjected)
    made!.finished!(call)
    expect(world.store.gauge('http.in.fault.active_faults').value).toBe(0)
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
    const grpc = new FakeCall(requestHead())
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
    expect(world.store.gauge('http.in.fault.active_faults').value).toBe(0)
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

  it('slows a response down to its rate, keeps every byte and pauses the upstream', () => {
    const world = new FakeEnvironment()
    const call = new FakeCall(requestHead())
    const { filter: made } = runHead(world.factory(filter({ responseRateLimitKbps: 20 })), call)
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
