// Each resource kind alone, over a server that only notes what it is told: decoding, refusal, counting.
import { create, toBinary } from '@bufbuild/protobuf'
import { describe, expect, it } from 'vitest'
import { finish } from '../../../src/io/slices.js'
import { serverStats } from '../../../src/metrics/stat-names.js'
import { StatsStore } from '../../../src/metrics/stats-store.js'
import { adsStats } from '../../../src/metrics/subscription-stats.js'
import type { Bootstrap } from '../../../src/model/bootstrap.js'
import type { Server } from '../../../src/proxy/server.js'
import type { NamedSubscriptions } from '../../../src/sidecar/named-subscriptions.js'
import { ClusterKind } from '../../../src/sidecar/resource-kinds/cluster-kind.js'
import { dynamicDecoder } from '../../../src/sidecar/resource-kinds/dynamic-decoder.js'
import { EndpointKind } from '../../../src/sidecar/resource-kinds/endpoint-kind.js'
import { ListenerKind } from '../../../src/sidecar/resource-kinds/listener-kind.js'
import type { ResourceKind, UpdateOutcome } from '../../../src/sidecar/resource-kinds/resource-kind.js'
import { RouteKind } from '../../../src/sidecar/resource-kinds/route-kind.js'
import { RuntimeKind } from '../../../src/sidecar/resource-kinds/runtime-kind.js'
import { ScopedRouteKind } from '../../../src/sidecar/resource-kinds/scoped-route-kind.js'
import { SecretKind } from '../../../src/sidecar/resource-kinds/secret-kind.js'
import { VirtualHostKind } from '../../../src/sidecar/resource-kinds/virtual-host-kind.js'
import { TrackedResources } from '../../../src/sidecar/tracked-resources.js'
import type { XdsResource } from '../../../src/xds/client/client.js'
import { RuntimeSchema } from '../../../src/xds/gen/envoy/service/runtime/v3/rtds_pb.js'
import { decodeRuntime } from '../../../src/xds/resources/decode.js'

const rtds = { name: 'layer', source: { kind: 'ads' }, initialFetchTimeoutMs: 50 } as const

function setUp() {
  const store = new StatsStore()
  const told: string[] = []
  const tell =
    (what: string, answer: unknown = []) =>
    (...given: unknown[]): unknown => {
      told.push(`${what} ${typeof given[0] === 'string' ? given[0] : ''}`.trim())
      return answer
    }
  const server = {
    config: { removeCluster: tell('removeCluster'), removeListener: tell('removeListener') },
    clusters: { assignmentAbsent: tell('assignmentAbsent'), edsUsersOf: () => [], get: () => undefined },
    demands: { answer: () => {}, ready: () => {} },
    routes: { refused: tell('routes.refused') },
    runtime: { layers: [{ name: 'layer', rtds, values: new Map() }], set: tell('runtime.set') },
    secrets: {
      wanted: () => [{ name: 'leaf', source: { kind: 'ads' }, initialFetchTimeoutMs: 50 }],
      isSettled: () => false,
      giveUp: ({ name }: { name: string }) => told.push(`giveUp ${name}`),
      expire: ({ name }: { name: string }) => told.push(`expire ${name}`),
    },
    sourceSeen: tell('sourceSeen'),
  } as unknown as Server
  const named = { add: tell('add'), remove: tell('drop') } as unknown as NamedSubscriptions
  const bootstrap = { clusters: [], cds: { source: { kind: 'ads' } } } as unknown as Bootstrap
  const ads = adsStats(store)
  const timers: (() => void)[] = []
  const decode = dynamicDecoder({ unknownFields: 'count' }, serverStats(store), () => {}, new TrackedResources())
  return {
    store,
    told,
    timers,
    clusters: new ClusterKind(server, decode, bootstrap, ads, () => told.push('settled')),
    endpoints: new EndpointKind(server, decode),
    listeners: new ListenerKind(server, decode, bootstrap, ads),
    routes: new RouteKind(server, decode, bootstrap),
    scopes: new ScopedRouteKind(server, decode),
    virtualHosts: new VirtualHostKind(server, decode, bootstrap),
    secrets: new SecretKind({
      server,
      decode,
      named,
      ads,
      takesBack: () => false,
      after: (_ms, run) => {
        timers.push(run)
        return () => {}
      },
      log: () => {},
    }),
    runtime: new RuntimeKind(server, decode, named, store, (_ms, run) => timers.push(run)),
  }
}

const resource = (name: string, value: Uint8Array, version = '1'): XdsResource => ({ name, version, any: { typeUrl: '', value } })
const outcome = (resources: XdsResource[], refused: string[] = []): UpdateOutcome => ({
  update: { typeUrl: '', resources, removed: [], systemVersion: '7' },
  source: { kind: 'ads' },
  refused: new Set(refused),
  durationMs: 3,
})

describe('every resource kind', () => {
  const kinds = (made: ReturnType<typeof setUp>): ResourceKind[] => [
    made.clusters,
    made.endpoints,
    made.listeners,
    made.routes,
    made.secrets,
    made.runtime,
    made.scopes,
    made.virtualHosts,
  ]

  it('refuses bytes that are no message of its type, with a reason and without an exception', async () => {
    for (const kind of kinds(setUp())) {
      const applied = kind.apply(resource('x', Buffer.from([0xff, 0xff, 0xff])), { kind: 'ads' })
      const errors = await ('next' in applied ? finish(applied) : applied)
      expect(errors.length, kind.typeUrl).toBeGreaterThan(0)
      expect(errors[0]!.reason, kind.typeUrl).not.toBe('')
    }
  })

  it('has a type of its own', () => {
    const types = kinds(setUp()).map(({ typeUrl }) => typeUrl)
    expect(new Set(types).size).toBe(types.length)
  })
})

describe('an update counts', () => {
  it.each([
    ['clusters', 'cluster_manager.cds'],
    ['listeners', 'listener_manager.lds'],
  ] as const)('%s: accepted, then refused', (name, prefix) => {
    const made = setUp()
    const count = (stat: string): number => made.store.counter(`${prefix}.${stat}`).value
    made[name].settled(outcome([resource('a', new Uint8Array())]))
    expect([count('update_attempt'), count('update_success'), count('update_rejected')]).toEqual([1, 1, 0])
    made[name].settled(outcome([resource('a', new Uint8Array())], ['a']))
    expect([count('update_attempt'), count('update_success'), count('update_rejected')]).toEqual([2, 1, 1])
  })

  it('secrets by name, from the time they are wanted', () => {
    const made = setUp()
    made.secrets.start()
    expect(made.told).toEqual([expect.stringMatching(/^add .*tls\.v3\.Secret$/)])
    const sent = resource('leaf', new Uint8Array(), 'v9')
    made.secrets.settled(outcome([sent, resource('stranger', new Uint8Array())], ['leaf']))
    made.secrets.settled(outcome([sent]))
    const count = (stat: string): number => made.store.counter(`sds.leaf.${stat}`).value
    expect([count('update_attempt'), count('update_rejected'), count('update_success')]).toEqual([2, 1, 1])
  })
})

describe('what the start waits for', () => {
  it('a refused route or endpoint is waited for no longer', () => {
    const { routes, endpoints, told } = setUp()
    routes.refused('r')
    endpoints.refused('e')
    endpoints.remove('gone')
    expect(told).toEqual(['routes.refused r', 'assignmentAbsent e', 'assignmentAbsent gone'])
  })

  it('a secret that was refused, is not there, or does not come in time', () => {
    const { secrets, told, timers, store } = setUp()
    secrets.start()
    secrets.settled(outcome([resource('leaf', new Uint8Array()), resource('stranger', new Uint8Array())], ['leaf', 'stranger']))
    secrets.settled({ ...outcome([]), update: { typeUrl: '', resources: [], removed: ['leaf'], systemVersion: '' } })
    for (const run of timers) run()
    expect(told.slice(1)).toEqual(['giveUp leaf', 'giveUp leaf', 'expire leaf'])
    expect(store.counter('sds.leaf.init_fetch_timeout').value).toBe(1)
  })

  it('clusters and listeners are seen with their first update, the CDS acknowledgement held first', () => {
    const { clusters, listeners, told } = setUp()
    clusters.settled(outcome([]))
    listeners.settled(outcome([]))
    expect(told).toEqual(['settled', 'sourceSeen cds', 'sourceSeen lds'])
  })

  it('runtime layers, until they come', async () => {
    const { runtime, told } = setUp()
    let done = 0
    runtime.start(() => done++)
    expect(runtime.apply(resource('layer', toBinary(RuntimeSchema, create(RuntimeSchema, { name: 'layer' }))))).toEqual([])
    await Promise.resolve()
    expect(done).toBe(1)
    runtime.remove('layer')
    await Promise.resolve()
    expect(done).toBe(1)
    expect(told.filter(each => each.startsWith('runtime.set'))).toHaveLength(2)
  })

  it('runtime layers, until their time is over', async () => {
    const { runtime, timers, store } = setUp()
    let done = 0
    runtime.start(() => done++)
    timers[0]!()
    await Promise.resolve()
    expect(done).toBe(1)
    expect(store.counter('runtime.init_fetch_timeout').value).toBe(1)
  })
})

describe('fields that are not known', () => {
  // Field 9999 of a Runtime, which has none.
  const bytes = Buffer.concat([toBinary(RuntimeSchema, create(RuntimeSchema, { name: 'layer' })), Buffer.from([0xf8, 0xf0, 0x04, 0x01])])

  it.each([
    ['count', 1, true],
    ['ignore', 0, true],
    ['refuse', 0, false],
  ] as const)('%s', (rule, counted, taken) => {
    const store = new StatsStore()
    const said: string[] = []
    const decode = dynamicDecoder(
      { unknownFields: rule },
      serverStats(store),
      (_level, message) => said.push(message),
      new TrackedResources(),
    )
    const decoded = decode(decodeRuntime, resource('layer', bytes))
    expect(decoded.ok).toBe(taken)
    expect(store.counter('server.dynamic_unknown_fields').value).toBe(counted)
    expect(said).toHaveLength(counted)
  })
})
