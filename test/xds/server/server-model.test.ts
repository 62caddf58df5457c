// Random walks of AdsStream against a model of a client: whatever snapshots come, however late and whether or not the client accepts,
// the client ends with exactly what it is subscribed to, and never holds a route to a cluster that it does not have.

import { create, fromBinary } from '@bufbuild/protobuf'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import {
  type DeltaDiscoveryRequest,
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryResponse,
  DeltaDiscoveryResponseSchema,
  type DiscoveryRequest,
  DiscoveryRequestSchema,
  type DiscoveryResponse,
  DiscoveryResponseSchema,
} from '../../../src/xds/gen/envoy/service/discovery/v3/discovery_pb.js'
import { StatusSchema } from '../../../src/xds/gen/google/rpc/status_pb.js'
import type { DiscoveryStream, DiscoveryStreamEvents } from '../../../src/xds/server/discovery-stream.js'
import { AdsStream, type StreamEvents, type XdsProtocol } from '../../../src/xds/server/server-stream.js'
import { makeResource, makeSnapshot, type Resource, resourcesOf, type Snapshot } from '../../../src/xds/server/snapshot.js'
import { CLUSTER_TYPE, ENDPOINT_TYPE, ROUTE_TYPE, SECRET_TYPE } from '../../../src/xds/type-urls.js'

// Contents are plain text: "name|mark", and for a route "name|mark|cluster it needs".
function text(name: string, type: string, content: string, children: Resource['children'] = []): Resource {
  return makeResource(name, type, Buffer.from(content), children)
}

const clusterNames = ['a', 'b', 'c', 'd']
const routeNames = ['r', 's']

interface Plan {
  clusters: { name: string; mark: number; endpointMark: number }[]
  routes: { name: string; target: number }[]
}

function snapshotOf(plan: Plan): Snapshot {
  const resources: Resource[] = []
  for (const { name, mark, endpointMark } of plan.clusters) {
    resources.push(text(name, CLUSTER_TYPE, `${name}|${mark}`, [{ typeUrl: ENDPOINT_TYPE, names: [name] }]))
    resources.push(text(name, ENDPOINT_TYPE, `${name}|${endpointMark}`))
  }
  for (const { name, target } of plan.routes) {
    const needs = plan.clusters[target % Math.max(1, plan.clusters.length)]
    if (needs) resources.push(text(name, ROUTE_TYPE, `${name}|${needs.mark}|${needs.name}`))
  }
  return makeSnapshot(resources)
}

type Request = DeltaDiscoveryRequest | DiscoveryRequest
type Response = DeltaDiscoveryResponse | DiscoveryResponse

/** The model: holds what was accepted, answers when told to, subscribes to the endpoints of its clusters as they come and go. */
class ModelClient {
  readonly held = new Map<string, Map<string, string>>([CLUSTER_TYPE, ENDPOINT_TYPE, ROUTE_TYPE].map(type => [type, new Map()]))
  readonly unanswered: Response[] = []
  sent = 0
  /** Routes that a snapshot left out: state-of-the-world cannot say so, the listener that named them is gone. */
  private readonly exempt = new Set<string>()
  private snapshot: Snapshot = new Map()
  private events!: DiscoveryStreamEvents<Request>
  readonly stream: AdsStream
  private first = true
  private readonly told = new Map<string, Set<string>>()
  private readonly lastNonce = new Map<string, string>()

  constructor(readonly protocol: XdsProtocol) {
    const call: DiscoveryStream<Request> = {
      peer: 'model',
      metadata: () => undefined,
      listen: heard => {
        this.events = heard
      },
      send: bytes => {
        this.sent++
        const message = fromBinary(protocol === 'delta' ? DeltaDiscoveryResponseSchema : DiscoveryResponseSchema, bytes)
        const same = this.unanswered.filter(one => one.typeUrl === message.typeUrl)
        expect(same, 'one response in flight a type').toHaveLength(0)
        this.unanswered.push(message)
      },
      end() {},
    }
    const events: StreamEvents = { identify: () => null, settled() {}, nacked() {}, closed() {} }
    const limits = { maxSubscriptions: 100, maxTypes: 10, maxResponseBytes: 1000, offerSecretsAgainMs: 10_000, identifier: '' }
    this.stream = new AdsStream({ protocol, stream: call as never }, null, limits, events)
  }

  setSnapshot(snapshot: Snapshot): void {
    if (this.protocol === 'sotw') {
      for (const name of routeNames) if (!resourcesOf(snapshot, ROUTE_TYPE).has(name)) this.exempt.add(name)
    }
    this.snapshot = snapshot
    this.stream.setSnapshot(snapshot, '')
  }

  request(typeUrl: string, names: string[] | null, nonce = '', refuse = false): void {
    const node = this.first ? { id: 'model' } : undefined
    this.first = false
    const errorDetail = refuse ? create(StatusSchema, { code: 3 }) : undefined
    const before = this.told.get(typeUrl) ?? new Set()
    const now = new Set(names ?? [])
    this.told.set(typeUrl, now)
    if (this.protocol === 'sotw') {
      const responseNonce = nonce || (this.lastNonce.get(typeUrl) ?? '')
      this.events.onRequest(create(DiscoveryRequestSchema, { node, typeUrl, resourceNames: [...now], responseNonce, errorDetail }))
      return
    }
    const resourceNamesSubscribe = [...now].filter(name => !before.has(name))
    const resourceNamesUnsubscribe = [...before].filter(name => !now.has(name))
    const init = { node, typeUrl, resourceNamesSubscribe, resourceNamesUnsubscribe, responseNonce: nonce, errorDetail }
    this.events.onRequest(create(DeltaDiscoveryRequestSchema, init))
  }

  answer(index: number, refuse: boolean): void {
    const [response] = this.unanswered.splice(index % this.unanswered.length, 1)
    if (!response) return
    const { typeUrl, nonce } = response
    this.lastNonce.set(typeUrl, nonce)
    if (!refuse) this.accept(response)
    if (typeUrl === CLUSTER_TYPE && !refuse) this.followClusters()
    this.request(typeUrl, typeUrl === CLUSTER_TYPE ? null : [...(this.told.get(typeUrl) ?? [])], nonce, refuse)
  }

  private accept(response: Response): void {
    const held = this.held.get(response.typeUrl)!
    if ('removedResources' in response) {
      for (const { name, resource } of response.resources) held.set(name, Buffer.from(resource!.value).toString())
      for (const name of response.removedResources) held.delete(name)
    } else {
      if (response.typeUrl === CLUSTER_TYPE) held.clear()
      for (const any of response.resources) {
        const content = Buffer.from(any.value).toString()
        const name = content.split('|')[0]!
        held.set(name, content)
        if (response.typeUrl === ROUTE_TYPE && resourcesOf(this.snapshot, ROUTE_TYPE).has(name)) this.exempt.delete(name)
      }
    }
    for (const [name, content] of this.held.get(ROUTE_TYPE)!) {
      if (this.exempt.has(name)) continue
      expect(this.held.get(CLUSTER_TYPE)!.has(content.split('|')[2]!), `route ${content} has its cluster`).toBe(true)
    }
  }

  private followClusters(): void {
    const clusters = [...this.held.get(CLUSTER_TYPE)!.keys()]
    const told = this.told.get(ENDPOINT_TYPE)
    const endpoints = this.held.get(ENDPOINT_TYPE)!
    for (const name of [...endpoints.keys()]) if (!clusters.includes(name)) endpoints.delete(name)
    if (told && clusters.length === told.size && clusters.every(name => told.has(name))) return
    if (clusters.length > 0 || told) this.request(ENDPOINT_TYPE, clusters)
  }

  settle(): void {
    for (let i = 0; this.unanswered.length > 0; i++) {
      expect(i, 'answers end').toBeLessThan(100)
      this.answer(0, false)
    }
  }
}

const plan: fc.Arbitrary<Plan> = fc.record({
  clusters: fc
    .uniqueArray(fc.constantFrom(...clusterNames), { minLength: 1 })
    .chain(names => fc.tuple(...names.map(name => fc.record({ name: fc.constant(name), mark: fc.nat(2), endpointMark: fc.nat(2) })))),
  routes: fc.uniqueArray(fc.record({ name: fc.constantFrom(...routeNames), target: fc.nat(9) }), { selector: one => one.name }),
})

const step = fc.oneof(
  { weight: 2, arbitrary: fc.record({ do: fc.constant('snapshot' as const), plan }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('answer' as const), index: fc.nat(5), refuse: fc.boolean() }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('answer' as const), index: fc.nat(5), refuse: fc.constant(false) }) },
)

function contents(map: ReadonlyMap<string, Resource>): Record<string, string> {
  return Object.fromEntries([...map.values()].map(one => [one.name, Buffer.from(one.any.value).toString()]))
}

describe.each(['delta', 'sotw'] as const)('AdsStream by %s against a model client', protocol => {
  it('converges on every snapshot and breaks nothing on the way', () => {
    fc.assert(
      fc.property(plan, fc.array(step, { maxLength: 25 }), plan, (start, steps, end) => {
        const client = new ModelClient(protocol)
        client.setSnapshot(snapshotOf(start))
        client.request(CLUSTER_TYPE, null)
        client.request(ROUTE_TYPE, routeNames)
        client.settle()
        for (const one of steps) {
          if (one.do === 'snapshot') client.setSnapshot(snapshotOf(one.plan))
          // A refused cluster leaves its routes without one, which is the refuser's doing: only the others are refused here.
          else if (client.unanswered.length > 0) {
            const target = client.unanswered[one.index % client.unanswered.length]!
            client.answer(one.index, one.refuse && target.typeUrl !== CLUSTER_TYPE)
          }
        }
        client.setSnapshot(makeSnapshot([]))
        const last = snapshotOf(end)
        client.setSnapshot(last)
        client.settle()
        for (const type of [CLUSTER_TYPE, ENDPOINT_TYPE]) {
          expect(Object.fromEntries(client.held.get(type)!), type).toEqual(contents(resourcesOf(last, type)))
        }
        const routes = Object.fromEntries(client.held.get(ROUTE_TYPE)!)
        // State-of-the-world cannot take a route away by name; what is there must be right.
        if (protocol === 'delta') expect(routes).toEqual(contents(resourcesOf(last, ROUTE_TYPE)))
        else expect(routes).toMatchObject(contents(resourcesOf(last, ROUTE_TYPE)))
        const { sent } = client
        client.setSnapshot(snapshotOf(end))
        expect(client.sent, 'an equal snapshot sends nothing').toBe(sent)
        expect(client.stream.isSynced()).toBe(true)
      }),
      { seed: 20261, numRuns: 300 },
    )
  })
})

describe('a refused secret', () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())
  const secrets = (...marks: string[]): Snapshot => makeSnapshot(marks.map(mark => text(`s${mark}`, SECRET_TYPE, mark)))

  function refuse(client: ModelClient): void {
    for (const { nonce } of client.unanswered.splice(0, 1)) client.request(SECRET_TYPE, ['s1', 's2'], nonce, true)
  }

  /** Seconds until it is offered again, and refused again. */
  function secondsToNext(client: ModelClient): number {
    const { sent } = client
    let seconds = 0
    while (client.sent === sent) {
      expect(++seconds, 'it is offered again').toBeLessThan(1_000)
      vi.advanceTimersByTime(1_000)
    }
    refuse(client)
    return seconds
  }

  it('is offered again after twice as long each time, up to a minute, and soon again after a change', () => {
    const client = new ModelClient('delta')
    client.setSnapshot(secrets('1'))
    client.request(SECRET_TYPE, ['s1', 's2'])
    refuse(client)
    expect(Array.from({ length: 5 }, () => secondsToNext(client))).toEqual([10, 20, 40, 60, 60])
    client.setSnapshot(secrets('1', '2'))
    refuse(client)
    expect([secondsToNext(client), secondsToNext(client)]).toEqual([10, 20])
    client.stream.close(null)
  })
})
