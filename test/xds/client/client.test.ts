import { mkdtempSync, rmSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { create, toBinary } from '@bufbuild/protobuf'
import * as grpc from '@grpc/grpc-js'
import { afterEach, describe, expect, it } from 'vitest'
import { AdsClient, type AdsClientOptions, type AdsClientStatus, type XdsUpdate, type XdsVerdict } from '../../../src/xds/client/client.js'
import { MAX_NACK_MESSAGE } from '../../../src/xds/client/decode-response.js'
import { NodeSchema } from '../../../src/xds/gen/envoy/config/core/v3/base_pb.js'
import { ResourceSchema } from '../../../src/xds/gen/envoy/service/discovery/v3/discovery_pb.js'
import { AdsServer } from '../../../src/xds/server/server.js'
import { makeSnapshot, type Resource } from '../../../src/xds/server/snapshot.js'
import {
  CLUSTER_TYPE,
  ENDPOINT_TYPE,
  LISTENER_TYPE,
  ROUTE_TYPE,
  SECRET_TYPE,
  VIRTUAL_HOST_TYPE,
  WRAPPED_RESOURCE_TYPE,
} from '../../../src/xds/type-urls.js'
import { eventually } from '../../support/eventually.js'
import { attachAds } from '../../support/grpc-js-ads.js'
import { ManualClock } from '../../support/manual-clock.js'
import { bind, cluster, DELTA_SECRETS, deltaServer, endpoints, Inbox, listener, RawServer, route, sotwServer, wire } from '../xds-peers.js'

/** Name -> version of the accepted resources of a type: what a reconnect claims to have. */
const heldVersions = (client: AdsClient, typeUrl: string) => client['types'].get(typeUrl)?.versions ?? new Map<string, string>()

const cleanups: (() => void)[] = []
afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup()
})

const node = create(NodeSchema, { id: 'web-1', userAgentName: 'outrigger' })

function connect(port: number | string, options: Partial<AdsClientOptions> = {}) {
  const updates = new Inbox<XdsUpdate>()
  const statuses = new Inbox<AdsClientStatus>()
  const judge = options.onUpdate
  const client = new AdsClient({
    targets: [{ address: typeof port === 'string' ? port : `127.0.0.1:${port}` }],
    node,
    apiType: 'DELTA_GRPC',
    backoff: { baseMs: 1, maxMs: 5 },
    ...options,
    onUpdate: update => {
      const verdict = judge?.(update)
      updates.put(update)
      return verdict
    },
    onStatus: status => statuses.put(status),
  })
  cleanups.push(() => client.close())
  const failed = async () => {
    for (;;) {
      const status = await statuses.next()
      if (!status.connected) return status
    }
  }
  return { client, updates, failed }
}

async function delta() {
  const server = await deltaServer().listen()
  cleanups.push(() => server.kill())
  return server
}

async function sotw() {
  const server = await sotwServer().listen()
  cleanups.push(() => server.kill())
  return server
}

const wildcard = { wildcard: true } as const
const ackOf = (request: { responseNonce: string; errorDetail?: { message: string } | undefined }) => [
  request.responseNonce,
  request.errorDetail?.message ?? '',
]
const updateNames = (update: XdsUpdate) => update.resources.map(resource => resource.name)

function rejectNamed(name: string): (update: XdsUpdate) => XdsVerdict | undefined {
  return update =>
    updateNames(update).includes(name)
      ? {
          rejected: [
            {
              name,
              errors: [
                { path: 'a.b[2]', reason: 'is wrong' },
                { path: 'c', reason: 'too' },
              ],
            },
          ],
        }
      : undefined
}

describe('delta', () => {
  it.each([
    [false, 'in each request'],
    [true, 'in the first request only'],
  ])('subscribes in the order CDS, EDS, LDS, RDS and names the node (set_node_on_first_message_only %s: %s)', async once => {
    const server = await delta()
    const { client } = connect(server.port, { setNodeOnFirstMessageOnly: once })
    client.subscribe(ROUTE_TYPE, ['r'])
    client.subscribe(LISTENER_TYPE, wildcard)
    client.subscribe(ENDPOINT_TYPE, ['api', 'db'])
    client.subscribe(CLUSTER_TYPE, wildcard)
    client.start()
    const stream = await server.streams.next()
    const requests = [await stream.next(), await stream.next(), await stream.next(), await stream.next()]
    expect(requests.map(request => [request.typeUrl, request.resourceNamesSubscribe])).toEqual([
      [CLUSTER_TYPE, []],
      [ENDPOINT_TYPE, ['api', 'db']],
      [LISTENER_TYPE, []],
      [ROUTE_TYPE, ['r']],
    ])
    expect(requests.map(request => request.node?.id)).toEqual(
      once ? ['web-1', undefined, undefined, undefined] : ['web-1', 'web-1', 'web-1', 'web-1'],
    )
  })

  it('hands over bytes, versions and removals, and answers with the nonce', async () => {
    const server = await delta()
    const { client, updates } = connect(server.port)
    client.subscribe(CLUSTER_TYPE, wildcard)
    client.start()
    const stream = await server.streams.next()
    await stream.next()
    const sent = cluster('a')
    const response = { typeUrl: CLUSTER_TYPE, resources: [wire(sent)], removedResources: ['b'] }
    stream.send({ ...response, nonce: 'n1', systemVersionInfo: 's1', controlPlane: { identifier: 'cp' } })
    const update = await updates.next()
    expect(update).toMatchObject({ typeUrl: CLUSTER_TYPE, removed: ['b'], systemVersion: 's1' })
    expect(update.resources[0]).toMatchObject({ name: 'a', version: sent.version, any: { typeUrl: CLUSTER_TYPE } })
    expect(Buffer.from(update.resources[0]!.any.value)).toEqual(Buffer.from(sent.any.value))
    const ack = await stream.next()
    expect(ack).toMatchObject({ typeUrl: CLUSTER_TYPE, responseNonce: 'n1' })
    expect(ack.errorDetail).toBeUndefined()
    expect(client.status()).toMatchObject({ connected: true, identifier: 'cp', failedAttempts: 0 })
    expect(client.status().lastUpdateAt).toBeGreaterThan(0)
  })

  it('refuses with every field by path, applies the good and keeps the old version of the bad', async () => {
    const server = await delta()
    const { client } = connect(server.port, { onUpdate: update => (update.systemVersion === '2' ? rejectNamed('bad')(update) : undefined) })
    client.subscribe(CLUSTER_TYPE, wildcard)
    client.start()
    const stream = await server.streams.next()
    await stream.next()
    stream.send({ typeUrl: CLUSTER_TYPE, nonce: '1', systemVersionInfo: '1', resources: [wire(cluster('bad')), wire(cluster('good'))] })
    await stream.next()
    const second = [wire(cluster('bad', '2')), wire(cluster('good', '2')), wire(cluster('new'))]
    stream.send({ typeUrl: CLUSTER_TYPE, nonce: '2', systemVersionInfo: '2', resources: second })
    const nack = await stream.next()
    expect(nack).toMatchObject({ responseNonce: '2', errorDetail: { code: 13, message: 'bad: a.b[2]: is wrong\nbad: c: too' } })
    expect(Object.fromEntries(heldVersions(client, CLUSTER_TYPE))).toEqual({
      bad: cluster('bad').version,
      good: cluster('good', '2').version,
      new: cluster('new').version,
    })
    stream.fail(grpc.status.UNAVAILABLE, 'moving')
    const again = await (await server.streams.next()).next()
    expect(again.initialResourceVersions).toEqual(Object.fromEntries(heldVersions(client, CLUSTER_TYPE)))
    expect(again).toMatchObject({ node: { id: 'web-1' }, resourceNamesSubscribe: [], responseNonce: '' })
  })

  it.each([
    ['two of one name', [wire(cluster('x', '1')), wire(cluster('x', '2'))], 'x: name: occurs more than once'],
    ['a resource of another type', [{ ...wire(cluster('x')), resource: route('x').any as never }], 'x: resource.type_url: is '],
    ['a name that is not the one inside', [{ ...wire(cluster('x')), name: 'y' }], 'y: name: is y, but the resource inside names itself x'],
    ['an alias', [wire(cluster('x'), { aliases: ['z'] })], 'x: aliases: '],
    ['no resource in the envelope', [{ name: 'x', version: '1' }], 'x: resource: is missing'],
    [
      'bytes that are not protobuf',
      [{ name: 'x', resource: { typeUrl: CLUSTER_TYPE, value: new Uint8Array([255]) } }],
      'x: resource.value: ',
    ],
    ['no name at all', [{ resource: { typeUrl: CLUSTER_TYPE, value: new Uint8Array() } }], 'resources[0]: name: is empty'],
    ['a heartbeat of an unknown resource', [{ name: 'x', ttl: { seconds: 1n } }], 'x: resource: is missing in a heartbeat'],
  ])('refuses %s and applies the rest', async (_, bad, message) => {
    const server = await delta()
    const { client, updates } = connect(server.port)
    client.subscribe(CLUSTER_TYPE, wildcard)
    client.start()
    const stream = await server.streams.next()
    await stream.next()
    stream.send({ typeUrl: CLUSTER_TYPE, nonce: '1', resources: [...bad, wire(cluster('good'))] })
    expect(updateNames(await updates.next())).toEqual(['good'])
    const nack = await stream.next()
    expect(nack.errorDetail!.message.startsWith(message), nack.errorDetail!.message).toBe(true)
    expect([...heldVersions(client, CLUSTER_TYPE).keys()]).toEqual(['good'])
  })

  it('waits for a verdict that takes longer: nothing is read or sent meanwhile', async () => {
    const server = await delta()
    let decide = (_verdict: XdsVerdict | undefined): void => {}
    const { client, updates } = connect(server.port, {
      onUpdate: update => (update.typeUrl === LISTENER_TYPE ? new Promise(resolve => (decide = resolve)) : undefined),
    })
    client.subscribe(LISTENER_TYPE, wildcard)
    client.subscribe(CLUSTER_TYPE, wildcard)
    client.start()
    const stream = await server.streams.next()
    await stream.next()
    await stream.next()
    stream.send({ typeUrl: LISTENER_TYPE, nonce: 'l1', resources: [wire(listener('bad'))] })
    stream.send({ typeUrl: CLUSTER_TYPE, nonce: 'c1', resources: [wire(cluster('a'))] })
    expect((await updates.next()).typeUrl).toBe(LISTENER_TYPE)
    client.subscribe(ROUTE_TYPE, ['r'])
    await new Promise(resolve => setImmediate(resolve))
    expect(updates.items).toEqual([])
    decide({ rejected: [{ name: 'bad', errors: [{ path: 'address', reason: 'is taken' }] }] })
    expect((await stream.next()).typeUrl).toBe(ROUTE_TYPE)
    expect(await stream.next()).toMatchObject({ responseNonce: 'l1', errorDetail: { message: 'bad: address: is taken' } })
    expect((await updates.next()).typeUrl).toBe(CLUSTER_TYPE)
    expect(ackOf(await stream.next())).toEqual(['c1', ''])
  })

  it('a verdict that fails refuses the update, and the stream that came meanwhile is served', async () => {
    const server = await delta()
    let fail = (_error: Error): void => {}
    let waits = true
    const { client, updates } = connect(server.port, {
      onUpdate: () => (waits ? new Promise((_resolve, reject) => (fail = reject)) : undefined),
    })
    client.subscribe(CLUSTER_TYPE, wildcard)
    client.start()
    const first = await server.streams.next()
    await first.next()
    first.send({ typeUrl: CLUSTER_TYPE, nonce: '1', resources: [wire(cluster('a'))] })
    await updates.next()
    first.fail(grpc.status.UNAVAILABLE, 'gone')
    const second = await server.streams.next()
    waits = false
    fail(new Error('no luck'))
    expect(await second.next()).toMatchObject({ typeUrl: CLUSTER_TYPE, responseNonce: '', initialResourceVersions: {} })
    second.send({ typeUrl: CLUSTER_TYPE, nonce: '2', resources: [wire(cluster('a'))] })
    expect(ackOf(await second.next())).toEqual(['2', ''])
  })

  it('refuses a name that is both sent and removed, and accepts aliases of virtual hosts', async () => {
    const server = await delta()
    const { client } = connect(server.port)
    client.subscribe(CLUSTER_TYPE, wildcard)
    client.subscribe(VIRTUAL_HOST_TYPE, ['t/a'])
    client.start()
    const stream = await server.streams.next()
    await stream.next()
    await stream.next()
    stream.send({ typeUrl: CLUSTER_TYPE, nonce: '1', resources: [wire(cluster('x'))], removedResources: ['x', 'y'] })
    expect((await stream.next()).errorDetail!.message).toBe('x: name: is both among resources and removed_resources')
    const virtualHost = { name: 't/a', aliases: ['t/b'], resource: { typeUrl: VIRTUAL_HOST_TYPE, value: new Uint8Array([10, 1, 97]) } }
    stream.send({ typeUrl: VIRTUAL_HOST_TYPE, nonce: '2', resources: [virtualHost] })
    expect((await stream.next()).errorDetail).toBeUndefined()
  })

  it('bounds the text of a NACK and the resources held', async () => {
    const server = await delta()
    const { client } = connect(server.port, { limits: { maxResourcesPerType: 2 } })
    client.subscribe(CLUSTER_TYPE, wildcard)
    client.start()
    const stream = await server.streams.next()
    await stream.next()
    stream.send({ typeUrl: CLUSTER_TYPE, nonce: '1', resources: Array.from({ length: 2000 }, (_, i) => wire(cluster(`c${i}`))) })
    const { message } = (await stream.next()).errorDetail!
    expect(message).toMatch(/c2: name: is more than maxResourcesPerType \(2\)/)
    expect(message).toMatch(/\.\.\. and \d+ more$/)
    expect(message.length).toBeLessThan(MAX_NACK_MESSAGE + 100)
    expect(heldVersions(client, CLUSTER_TYPE).size).toBe(2)
  })

  it('sends subscriptions made while handling an update before the ACK of that update', async () => {
    const server = await delta()
    const { client } = connect(server.port, {
      onUpdate: update => {
        if (update.typeUrl === CLUSTER_TYPE) client.subscribe(ENDPOINT_TYPE, updateNames(update))
        return undefined
      },
    })
    client.subscribe(CLUSTER_TYPE, wildcard)
    client.start()
    const stream = await server.streams.next()
    await stream.next()
    stream.send({ typeUrl: CLUSTER_TYPE, nonce: '1', resources: [wire(cluster('a'))] })
    expect(await stream.next()).toMatchObject({ typeUrl: ENDPOINT_TYPE, resourceNamesSubscribe: ['a'] })
    expect(await stream.next()).toMatchObject({ typeUrl: CLUSTER_TYPE, responseNonce: '1' })
  })

  it('holds the ACKs of a paused type', async () => {
    const server = await delta()
    const { client, updates } = connect(server.port)
    client.subscribe(CLUSTER_TYPE, wildcard)
    client.subscribe(ENDPOINT_TYPE, ['a'])
    client.start()
    const stream = await server.streams.next()
    await stream.next()
    await stream.next()
    const resume = client.pause(CLUSTER_TYPE)
    stream.send({ typeUrl: CLUSTER_TYPE, nonce: '1' })
    await updates.next()
    stream.send({ typeUrl: ENDPOINT_TYPE, nonce: '2' })
    expect(await stream.next()).toMatchObject({ responseNonce: '2' })
    expect(client.controlPlane.pendingRequests).toBe(1)
    resume()
    resume()
    expect(await stream.next()).toMatchObject({ responseNonce: '1' })
    expect(client.controlPlane.pendingRequests).toBe(0)
  })

  it('adds * to names that join a wildcard, and ignores resources that it unsubscribed', async () => {
    const server = await delta()
    const { client, updates } = connect(server.port)
    client.subscribe(CLUSTER_TYPE, wildcard)
    client.start()
    const stream = await server.streams.next()
    await stream.next()
    client.subscribe(CLUSTER_TYPE, ['a'])
    expect(await stream.next()).toMatchObject({ resourceNamesSubscribe: ['*', 'a'] })
    client.unsubscribe(CLUSTER_TYPE, wildcard)
    expect(await stream.next()).toMatchObject({ resourceNamesSubscribe: [], resourceNamesUnsubscribe: ['*'] })
    stream.send({ typeUrl: CLUSTER_TYPE, nonce: '1', resources: [wire(cluster('a')), wire(cluster('late'))] })
    expect(updateNames(await updates.next())).toEqual(['a'])
    expect((await stream.next()).errorDetail).toBeUndefined()
    client.unsubscribe(CLUSTER_TYPE, ['a'])
    expect(await stream.next()).toMatchObject({ resourceNamesUnsubscribe: ['a'] })
    expect(heldVersions(client, CLUSTER_TYPE).size).toBe(0)
  })

  it('asks again for a name that was given up and taken back at once', async () => {
    const server = await delta()
    const { client } = connect(server.port)
    client.subscribe(ENDPOINT_TYPE, ['a', 'b'])
    client.start()
    const stream = await server.streams.next()
    await stream.next()
    stream.send({ typeUrl: ENDPOINT_TYPE, nonce: '1', resources: [wire(endpoints('a'))] })
    await stream.next()
    client.unsubscribe(ENDPOINT_TYPE, ['a'])
    client.subscribe(ENDPOINT_TYPE, ['a'])
    expect(await stream.next()).toMatchObject({ resourceNamesSubscribe: ['a'], resourceNamesUnsubscribe: [] })
  })

  it('ignores responses of types that it never asked for', async () => {
    const server = await delta()
    const { client, updates } = connect(server.port)
    client.subscribe(CLUSTER_TYPE, wildcard)
    client.start()
    const stream = await server.streams.next()
    await stream.next()
    stream.send({ typeUrl: SECRET_TYPE, nonce: '1' })
    stream.send({ typeUrl: CLUSTER_TYPE, nonce: '2' })
    expect((await updates.next()).typeUrl).toBe(CLUSTER_TYPE)
    expect(await stream.next()).toMatchObject({ responseNonce: '2' })
    expect(client.controlPlane.ignoredResponses).toBe(1)
  })

  it('refuses an update whose handler fails instead of failing with it', async () => {
    const server = await delta()
    const { client } = connect(server.port, {
      onUpdate: () => {
        throw new Error('bug')
      },
    })
    client.subscribe(CLUSTER_TYPE, wildcard)
    client.start()
    const stream = await server.streams.next()
    await stream.next()
    stream.send({ typeUrl: CLUSTER_TYPE, nonce: '1', resources: [wire(cluster('a'))] })
    expect((await stream.next()).errorDetail!.message).toContain('a: : internal error: bug')
    expect(heldVersions(client, CLUSTER_TYPE).size).toBe(0)
  })

  it('removes a resource when its time to live ends, unless a heartbeat renews it', async () => {
    const clock = new ManualClock()
    const server = await delta()
    const { client, updates } = connect(server.port, { clock })
    client.subscribe(ENDPOINT_TYPE, ['a', 'b'])
    client.start()
    const stream = await server.streams.next()
    await stream.next()
    const ttl = { seconds: 10n }
    stream.send({ typeUrl: ENDPOINT_TYPE, nonce: '1', resources: [wire(endpoints('a'), { ttl }), wire(endpoints('b'), { ttl })] })
    await updates.next()
    await stream.next()
    clock.advance(6000)
    stream.send({ typeUrl: ENDPOINT_TYPE, nonce: '2', resources: [{ name: 'b', version: endpoints('b').version, ttl }] })
    expect(await updates.next()).toMatchObject({ resources: [] })
    expect((await stream.next()).errorDetail).toBeUndefined()
    clock.advance(6000)
    expect(await updates.next()).toMatchObject({ resources: [], removed: ['a'] })
    expect([...heldVersions(client, ENDPOINT_TYPE).keys()]).toEqual(['b'])
    clock.advance(6000)
    expect(await updates.next()).toMatchObject({ removed: ['b'] })
  })

  it('keeps requests to the rate limit and counts the delay', async () => {
    const clock = new ManualClock()
    const server = await delta()
    const { client } = connect(server.port, { clock, rateLimit: { maxTokens: 2, fillRate: 1 } })
    client.subscribe(CLUSTER_TYPE, wildcard)
    client.subscribe(ENDPOINT_TYPE, ['a'])
    client.subscribe(LISTENER_TYPE, wildcard)
    client.start()
    const stream = await server.streams.next()
    await stream.next()
    await stream.next()
    expect(client.controlPlane).toMatchObject({ rateLimitEnforced: 1, pendingRequests: 1 })
    clock.advance(1000)
    expect((await stream.next()).typeUrl).toBe(LISTENER_TYPE)
    expect(client.controlPlane).toMatchObject({ rateLimitEnforced: 1, pendingRequests: 0 })
  })

  it('stops reading when it cannot answer, and answers all in the end', async () => {
    const server = await delta()
    const { client } = connect(server.port, { limits: { maxPendingAcks: 4 } })
    client.subscribe(CLUSTER_TYPE, wildcard)
    client.start()
    const stream = await server.streams.next()
    await stream.next()
    const resume = client.pause(CLUSTER_TYPE)
    for (let i = 1; i <= 50; i++) stream.send({ typeUrl: CLUSTER_TYPE, nonce: String(i) })
    await eventually(() => expect(client.controlPlane.pendingRequests).toBeGreaterThan(4))
    expect(client.controlPlane.pendingRequests).toBeLessThan(10)
    resume()
    for (let i = 1; i <= 50; i++) expect((await stream.next()).responseNonce).toBe(String(i))
  })
})

describe('state of the world', () => {
  const any = (resource: Resource) => resource.any as never

  it('takes what a cluster response lacks as removed, but not what an endpoint response lacks', async () => {
    const server = await sotw()
    const { client, updates } = connect(server.port, { apiType: 'GRPC' })
    client.subscribe(CLUSTER_TYPE, wildcard)
    client.subscribe(ENDPOINT_TYPE, ['a', 'b'])
    client.start()
    const stream = await server.streams.next()
    expect(await stream.next()).toMatchObject({
      typeUrl: CLUSTER_TYPE,
      resourceNames: [],
      versionInfo: '',
      responseNonce: '',
      node: { id: 'web-1' },
    })
    expect(await stream.next()).toMatchObject({ typeUrl: ENDPOINT_TYPE, resourceNames: ['a', 'b'], node: { id: 'web-1' } })
    stream.send({ typeUrl: CLUSTER_TYPE, nonce: '1', versionInfo: 'v1', resources: [any(cluster('a')), any(cluster('b'))] })
    expect(updateNames(await updates.next())).toEqual(['a', 'b'])
    expect(await stream.next()).toMatchObject({ versionInfo: 'v1', responseNonce: '1', resourceNames: [] })
    stream.send({ typeUrl: CLUSTER_TYPE, nonce: '2', versionInfo: 'v2', resources: [any(cluster('b'))] })
    expect(await updates.next()).toMatchObject({ removed: ['a'], systemVersion: 'v2' })
    await stream.next()
    stream.send({ typeUrl: ENDPOINT_TYPE, nonce: '3', versionInfo: 'e1', resources: [any(endpoints('a'))] })
    stream.send({ typeUrl: ENDPOINT_TYPE, nonce: '4', versionInfo: 'e2', resources: [any(endpoints('b'))] })
    expect(await updates.next()).toMatchObject({ removed: [] })
    expect(await updates.next()).toMatchObject({ removed: [] })
    expect([...heldVersions(client, ENDPOINT_TYPE).keys()]).toEqual(['a', 'b'])
  })

  it('repeats the last good version in a NACK and does not take a refused resource as removed', async () => {
    const server = await sotw()
    const { client, updates } = connect(server.port, { apiType: 'GRPC', onUpdate: rejectNamed('bad'), setNodeOnFirstMessageOnly: true })
    client.subscribe(CLUSTER_TYPE, wildcard)
    client.start()
    const stream = await server.streams.next()
    await stream.next()
    stream.send({ typeUrl: CLUSTER_TYPE, nonce: '1', versionInfo: 'v1', resources: [any(cluster('good')), any(cluster('also'))] })
    expect((await stream.next()).node).toBeUndefined()
    await updates.next()
    const twice = [any(cluster('bad')), any(cluster('good')), any(cluster('also')), any(cluster('also', '2'))]
    stream.send({ typeUrl: CLUSTER_TYPE, nonce: '2', versionInfo: 'v2', resources: twice })
    expect((await updates.next()).removed).toEqual([])
    const nack = await stream.next()
    expect(nack).toMatchObject({ versionInfo: 'v1', responseNonce: '2', errorDetail: { code: 13 } })
    expect(nack.errorDetail!.message).toContain('also: name: occurs more than once')
    expect(nack.errorDetail!.message).toContain('bad: a.b[2]: is wrong')
    stream.send({
      typeUrl: CLUSTER_TYPE,
      nonce: '3',
      versionInfo: 'v3',
      resources: [{ typeUrl: CLUSTER_TYPE, value: new Uint8Array([255]) }],
    })
    expect((await updates.next()).removed).toEqual([]) // what cannot be read may be either of them
    expect((await stream.next()).errorDetail!.message).toContain('resources[0]: resource.value')
    expect([...heldVersions(client, CLUSTER_TYPE).keys()]).toEqual(['good', 'also'])
  })

  it('waits before it repeats a NACK, longer each time, so that a server that resends at once does not spin (go-control-plane does)', async () => {
    const clock = new ManualClock()
    const server = await sotw()
    const { client, updates } = connect(server.port, { apiType: 'GRPC', onUpdate: rejectNamed('bad'), clock })
    client.subscribe(ROUTE_TYPE, ['bad'])
    client.start()
    const stream = await server.streams.next()
    await stream.next()
    const send = async (nonce: string, versionInfo: string, name: string): Promise<void> => {
      stream.send({ typeUrl: ROUTE_TYPE, nonce, versionInfo, resources: [any(route(name))] })
      await updates.next()
    }
    await send('1', 'v1', 'bad')
    expect(await stream.next()).toMatchObject({ responseNonce: '1', errorDetail: { code: 13 } })
    for (const [nonce, waitMs] of [
      ['2', 25],
      ['3', 50],
      ['4', 100],
    ] as const) {
      await send(nonce, 'v1', 'bad')
      clock.advance(waitMs - 1)
      expect(client.controlPlane.pendingRequests).toBe(1)
      clock.advance(1)
      expect(await stream.next()).toMatchObject({ responseNonce: nonce, errorDetail: { code: 13 } })
    }
    // Another version is refused at once.
    await send('5', 'v2', 'bad')
    expect(await stream.next()).toMatchObject({ responseNonce: '5' })
    client.close()
  })

  it('unwraps Resource envelopes, with their name, version and time to live', async () => {
    const clock = new ManualClock()
    const server = await sotw()
    const { client, updates } = connect(server.port, { apiType: 'GRPC', clock })
    client.subscribe(ENDPOINT_TYPE, ['a'])
    client.start()
    const stream = await server.streams.next()
    await stream.next()
    const envelope = create(ResourceSchema, { name: 'a', version: 'own', resource: any(endpoints('a')), ttl: { seconds: 5n } })
    const value = toBinary(ResourceSchema, envelope)
    stream.send({ typeUrl: ENDPOINT_TYPE, nonce: '1', versionInfo: 'v1', resources: [{ typeUrl: WRAPPED_RESOURCE_TYPE, value }] })
    expect((await updates.next()).resources[0]).toMatchObject({ name: 'a', version: 'own', any: { typeUrl: ENDPOINT_TYPE } })
    await stream.next()
    clock.advance(5000)
    expect(await updates.next()).toMatchObject({ removed: ['a'] })
  })

  it('names the whole list each time, and drops and renames what was given up and taken back', async () => {
    const server = await sotw()
    const { client } = connect(server.port, { apiType: 'GRPC' })
    client.subscribe(ENDPOINT_TYPE, ['a'])
    client.start()
    const stream = await server.streams.next()
    await stream.next()
    client.subscribe(ENDPOINT_TYPE, ['b'])
    expect((await stream.next()).resourceNames).toEqual(['a', 'b'])
    client.unsubscribe(ENDPOINT_TYPE, ['a'])
    client.subscribe(ENDPOINT_TYPE, ['a'])
    expect((await stream.next()).resourceNames).toEqual(['b'])
    expect((await stream.next()).resourceNames).toEqual(['b', 'a'])
  })
})

describe('connection', () => {
  it('keeps everything when the server dies, and takes only differences when it is back', async () => {
    const start = async (port: number) => {
      const ads = new AdsServer({ accept: () => ({ ok: true }) })
      const server = new grpc.Server()
      attachAds(ads, server)
      const bound = await bind(server, `127.0.0.1:${port}`)
      cleanups.push(() => server.forceShutdown())
      return { ads, server, port: bound }
    }
    const first = await start(0)
    first.ads.setSnapshot('web-1', makeSnapshot([cluster('same'), cluster('changes'), cluster('goes')]))
    const { client, updates, failed } = connect(first.port)
    client.subscribe(CLUSTER_TYPE, wildcard)
    client.start()
    expect(updateNames(await updates.next()).sort()).toEqual(['changes', 'goes', 'same'])
    first.server.forceShutdown()
    expect(await failed()).toMatchObject({ connected: false, lastFailure: { message: expect.any(String) } })
    expect(heldVersions(client, CLUSTER_TYPE).size).toBe(3)
    expect(client.controlPlane.connectedState).toBe(0)
    const second = await start(first.port)
    second.ads.setSnapshot('web-1', makeSnapshot([cluster('same'), cluster('changes', '2')]))
    expect(updateNames(await updates.next())).toEqual(['changes'])
    expect(await updates.next()).toMatchObject({ resources: [], removed: ['goes'] })
    expect(client.status()).toMatchObject({ connected: true, lastFailure: null, failedAttempts: 0 })
  })

  it('goes to another server on RESOURCE_EXHAUSTED, keeping its config (hashicorp/consul#15753)', async () => {
    const full = await delta()
    const free = await delta()
    const targets = [{ address: `127.0.0.1:${full.port}` }, { address: `127.0.0.1:${free.port}` }]
    const { client, failed } = connect(0, { targets })
    client.subscribe(CLUSTER_TYPE, wildcard)
    client.start()
    const stream = await full.streams.next()
    await stream.next()
    stream.fail(grpc.status.RESOURCE_EXHAUSTED, 'this server has too many xDS streams open, please try another')
    expect((await failed()).lastFailure).toMatchObject({ kind: 'exhausted', code: 8 })
    expect((await (await free.streams.next()).next()).typeUrl).toBe(CLUSTER_TYPE)
    expect(client.status().target).toBe(targets[1]!.address)
  })

  it('makes a new connection to the same address on RESOURCE_EXHAUSTED, as a balancer may stand there', async () => {
    const server = await delta()
    const { client } = connect(server.port)
    client.subscribe(CLUSTER_TYPE, wildcard)
    client.start()
    const first = await server.streams.next()
    first.fail(grpc.status.RESOURCE_EXHAUSTED, 'full')
    const second = await server.streams.next()
    expect(second.peer).not.toBe(first.peer)
    second.fail(grpc.status.ABORTED, 'config changed')
    expect((await server.streams.next()).peer).toBe(second.peer)
  })

  it('tells the auth failures apart and reads the token anew for each stream (hashicorp/consul#23725)', async () => {
    const server = await delta()
    let token = 'old'
    const targets = [{ address: `127.0.0.1:${server.port}`, metadata: () => [['x-consul-token', token] as const] }]
    const { client, failed } = connect(0, { targets })
    client.subscribe(CLUSTER_TYPE, wildcard)
    client.start()
    const kinds: [grpc.status, string][] = [
      [grpc.status.UNAUTHENTICATED, 'unauthenticated'],
      [grpc.status.PERMISSION_DENIED, 'permission-denied'],
      [grpc.status.UNIMPLEMENTED, 'unimplemented'],
    ]
    for (const [code, kind] of kinds) {
      const stream = await server.streams.next()
      expect(stream.call.metadata.get('x-consul-token')).toEqual(['old'])
      stream.fail(code, 'ACL not found')
      expect((await failed()).lastFailure).toMatchObject({ kind, code, message: 'ACL not found' })
    }
    const stream = await server.streams.next()
    token = 'new'
    stream.fail(grpc.status.UNAUTHENTICATED, 'ACL not found')
    expect((await server.streams.next()).call.metadata.get('x-consul-token')).toEqual(['new'])
  })

  it('waits a random part of a doubling bound, from which the first response leads back to the start', async () => {
    const clock = new ManualClock()
    const server = await delta()
    const { client, failed } = connect(server.port, { clock, random: () => 1, backoff: { baseMs: 500, maxMs: 1500 } })
    client.subscribe(CLUSTER_TYPE, wildcard)
    client.start()
    for (const waitMs of [500, 1000, 1500, 1500]) {
      ;(await server.streams.next()).fail(grpc.status.UNAVAILABLE, 'no')
      await failed()
      clock.advance(waitMs - 1)
      expect(server.streams.items).toHaveLength(0)
      expect(client.controlPlane.connectedState).toBe(0)
      clock.advance(1)
    }
    const stream = await server.streams.next()
    await stream.next()
    stream.send({ typeUrl: CLUSTER_TYPE, nonce: '1' })
    await stream.next()
    stream.fail(grpc.status.UNAVAILABLE, 'no')
    expect((await failed()).failedAttempts).toBe(1)
    clock.advance(500)
    await server.streams.next()
  })

  it('gives up a target that accepts the connection and never speaks', async () => {
    const clock = new ManualClock()
    const hole = createServer(socket => cleanups.push(() => socket.destroy()))
    await new Promise<void>(resolve => hole.listen(0, '127.0.0.1', resolve))
    cleanups.push(() => hole.close())
    const server = await delta()
    const targets = [{ address: `127.0.0.1:${(hole.address() as AddressInfo).port}` }, { address: `127.0.0.1:${server.port}` }]
    const { client, failed } = connect(0, { targets, clock, connectTimeoutMs: 100 })
    client.subscribe(CLUSTER_TYPE, wildcard)
    client.start()
    clock.advance(100)
    expect((await failed()).lastFailure).toMatchObject({ kind: 'unavailable', message: 'not connected within 100 ms' })
    clock.advance(10)
    expect((await (await server.streams.next()).next()).typeUrl).toBe(CLUSTER_TYPE)
  })

  it('says that it is connected before the first response', async () => {
    const server = await delta()
    const { client } = connect(server.port)
    client.subscribe(CLUSTER_TYPE, wildcard)
    client.start()
    await server.streams.next()
    await eventually(() => expect(client.status().connected).toBe(true))
    expect(client.controlPlane.connectedState).toBe(1)
  })

  it('reaches a server on a unix socket', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'outrigger-xds-'))
    cleanups.push(() => rmSync(folder, { recursive: true }))
    const address = `unix:${join(folder, 'xds.sock')}`
    const server = await deltaServer().listen(address)
    cleanups.push(() => server.kill())
    const { client } = connect(address)
    client.subscribe(LISTENER_TYPE, wildcard)
    client.start()
    expect((await (await server.streams.next()).next()).typeUrl).toBe(LISTENER_TYPE)
  })

  it('speaks the service of a single type', async () => {
    const server = await new RawServer(DELTA_SECRETS).listen()
    cleanups.push(() => server.kill())
    const { client, updates } = connect(server.port, { onlyType: SECRET_TYPE })
    client.subscribe(SECRET_TYPE, ['cert'])
    client.start()
    const stream = await server.streams.next()
    expect(await stream.next()).toMatchObject({ typeUrl: SECRET_TYPE, resourceNamesSubscribe: ['cert'], node: { id: 'web-1' } })
    stream.send({ nonce: '1', resources: [{ name: 'cert', version: '1', resource: { typeUrl: SECRET_TYPE, value: new Uint8Array() } }] })
    expect(updateNames(await updates.next())).toEqual(['cert'])
    expect((await stream.next()).errorDetail).toBeUndefined()
  })

  it('ends its stream and its retries on close', async () => {
    const server = await delta()
    const { client } = connect(server.port)
    client.subscribe(LISTENER_TYPE, wildcard)
    client.start()
    const stream = await server.streams.next()
    client.close()
    await stream.closed
    expect(client.status().connected).toBe(false)
  })
})

describe('with our own server', () => {
  it.each(['DELTA_GRPC', 'GRPC'] as const)('warms in order by %s', async apiType => {
    const ads = new AdsServer({ accept: () => ({ ok: true }) })
    const server = new grpc.Server()
    attachAds(ads, server)
    const port = await bind(server)
    cleanups.push(() => server.forceShutdown())
    ads.setSnapshot('web-1', makeSnapshot([cluster('a'), endpoints('a'), listener('l', ['r']), route('r')]))
    const { client, updates } = connect(port, {
      apiType,
      onUpdate: update => {
        if (update.typeUrl === CLUSTER_TYPE) client.subscribe(ENDPOINT_TYPE, updateNames(update))
        if (update.typeUrl === LISTENER_TYPE) client.subscribe(ROUTE_TYPE, ['r'])
        return undefined
      },
    })
    client.subscribe(CLUSTER_TYPE, wildcard)
    client.subscribe(LISTENER_TYPE, wildcard)
    client.start()
    const order = [await updates.next(), await updates.next(), await updates.next(), await updates.next()]
    expect(order.map(update => [update.typeUrl, updateNames(update)])).toEqual([
      [CLUSTER_TYPE, ['a']],
      [ENDPOINT_TYPE, ['a']],
      [LISTENER_TYPE, ['l']],
      [ROUTE_TYPE, ['r']],
    ])
    await eventually(() => expect(ads.isSynced('web-1')).toBe(true))
  })
})
