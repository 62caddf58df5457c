// Targets of google_grpc as clusters apart: they are shared, bounded, and go when nobody uses them.
import { describe, expect, it } from 'vitest'
import { type GrpcTargetCall, GrpcTargets, MAX_GRPC_TARGETS } from '../../../src/l7/client/grpc-targets.js'
import { googleGrpcStats } from '../../../src/metrics/reporting-stats.js'
import { StatsStore } from '../../../src/metrics/stats-store.js'
import type { GrpcService } from '../../../src/model/grpc-service.js'
import type { ClusterRegistry } from '../../../src/upstream/cluster/cluster-registry.js'
import { ManualClock } from '../../support/manual-clock.js'
import { testRegistry } from '../../upstream/fixtures.js'

const service = (port: number, host = '10.0.0.1'): GrpcService => ({
  cluster: '',
  target: `${host}:${port}`,
  google: { endpoints: [{ kind: 'socket', host, port }], serverName: host, statPrefix: 'p', channelArgs: {} },
  authority: `${host}:${port}`,
  timeoutMs: null,
  initialMetadata: [],
})

function world() {
  const clock = new ManualClock()
  const store = new StatsStore()
  let registry: ClusterRegistry | null = null
  const answers: (() => void)[] = []
  const resolver = {
    resolve: (_name: string, _family: unknown, _config: unknown, done: (result: object) => void) =>
      void answers.push(() => done({ ok: true, answer: { addresses: ['10.0.0.9'], ttlSeconds: null, stale: false } })),
  }
  const targets = new GrpcTargets({
    newClusters: () => (registry = testRegistry({ clock, resolver: resolver as never }).registry),
    pools: { poolFor: () => ({ acquire: () => {} }) } as never,
    clock,
    readSource: source => (source.kind === 'inline' ? source.text : null),
    stats: prefix => googleGrpcStats(store, prefix),
  })
  const call = (of: GrpcService): GrpcTargetCall => {
    const made = targets.call(of)
    if (typeof made === 'string') throw new Error(made)
    return made
  }
  return { clock, targets, call, answers, stats: googleGrpcStats(store, 'p'), names: () => registry?.names() ?? [] }
}

describe('targets', () => {
  it('that are equal are one, whatever names them', () => {
    const { call, names, stats } = world()
    call(service(1))
    call(service(1))
    call(service(2))
    expect(names()).toEqual(['10.0.0.1:1#1', '10.0.0.1:2#2'])
    expect(stats.streams_total.value).toBe(3)
    expect(stats.google_grpc_client_creation.value).toBe(3)
  })

  it('go when no call has used them for a while', () => {
    const { call, names, clock } = world()
    const first = call(service(1))
    const second = call(service(2))
    first.release()
    first.release()
    clock.advance(100_001)
    expect(names()).toEqual(['10.0.0.1:2#2'])
    second.release()
    clock.advance(100_001)
    expect(names()).toEqual([])
    expect(clock.pending).toBe(0)
    call(service(1))
    expect(names()).toEqual(['10.0.0.1:1#3'])
  })

  it('no more than MAX_GRPC_TARGETS are in use at once', () => {
    const { call, targets, stats } = world()
    const calls = Array.from({ length: MAX_GRPC_TARGETS }, (_, i) => call(service(i + 1)))
    expect(targets.call(service(60_000))).toMatch(/more than 1000 targets/)
    expect(stats.streams_closed_8.value).toBe(1)
    calls[5]!.release()
    expect(typeof targets.call(service(60_000))).toBe('object')
  })

  it('are waited for until DNS has answered, but not by who has given up', () => {
    const { call, answers } = world()
    const said: string[] = []
    const first = call(service(1, 'a.example'))
    const second = call(service(1, 'a.example'))
    first.whenReady(() => said.push('first'))
    second.whenReady(() => said.push('second'))
    first.release()
    expect(said).toEqual([])
    for (const answer of answers) answer()
    expect(said).toEqual(['second'])
    const third = call(service(1, 'a.example'))
    third.whenReady(() => said.push('third'))
    expect(said).toEqual(['second', 'third'])
    expect(third.next({} as never)?.host.address).toMatchObject({ host: '10.0.0.9', port: 1 })
    expect(third.next({} as never)).toBeNull()
  })

  it('count a status that is none of gRPC as unknown, none at all as internal', () => {
    const { call, stats } = world()
    call(service(1)).closed(99)
    call(service(1)).closed(16)
    call(service(1)).closed(null)
    expect([stats.streams_closed_2.value, stats.streams_closed_16.value, stats.streams_closed_13.value]).toEqual([1, 1, 1])
  })
})
