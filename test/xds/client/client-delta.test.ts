import * as grpc from '@grpc/grpc-js'
import { describe, expect, it } from 'vitest'
import type { AdsClient, XdsVerdict } from '../../../src/xds/client/client.js'
import { MAX_NACK_MESSAGE } from '../../../src/xds/client/decode-response.js'
import { CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE, SECRET_TYPE, VIRTUAL_HOST_TYPE } from '../../../src/xds/type-urls.js'
import { eventually } from '../../support/eventually.js'
import { ManualClock } from '../../support/manual-clock.js'
import { cluster, endpoints, listener, route, wire } from '../xds-peers.js'
import { ackOf, clientFixture, heldVersions, rejectNamed, updateNames, wildcard } from './client-fixture.js'

const { connect, delta } = clientFixture()

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

  it('takes a response of thousands apart in turns, and the next one after it', async () => {
    const server = await delta()
    const { client, updates } = connect(server.port)
    client.subscribe(CLUSTER_TYPE, wildcard)
    client.start()
    const stream = await server.streams.next()
    await stream.next()
    const many = Array.from({ length: 5000 }, (_, i) => wire(cluster(`c${i}`)))
    stream.send({ typeUrl: CLUSTER_TYPE, nonce: '1', systemVersionInfo: '1', resources: many })
    stream.send({ typeUrl: CLUSTER_TYPE, nonce: '2', systemVersionInfo: '2', removedResources: ['c1'] })
    expect((await updates.next()).resources).toHaveLength(5000)
    expect((await updates.next()).removed).toEqual(['c1'])
    expect([(await stream.next()).responseNonce, (await stream.next()).responseNonce]).toEqual(['1', '2'])
    expect(heldVersions(client, CLUSTER_TYPE).size).toBe(4999)
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

  it('answers a held ACK before what is asked for once the update that let it go has been answered, however long its verdict takes', async () => {
    const server = await delta()
    const { client } = connect(server.port, {
      onUpdate: async ({ typeUrl }) => {
        if (typeUrl !== ENDPOINT_TYPE) return undefined
        resume()
        client.whenAnswered(() => client.subscribe(LISTENER_TYPE, wildcard))
        await new Promise(resolve => setImmediate(resolve))
        return undefined
      },
    })
    client.subscribe(CLUSTER_TYPE, wildcard)
    client.subscribe(ENDPOINT_TYPE, ['a'])
    client.start()
    const stream = await server.streams.next()
    await stream.next()
    await stream.next()
    const resume = client.pause(CLUSTER_TYPE)
    stream.send({ typeUrl: CLUSTER_TYPE, nonce: '1' })
    stream.send({ typeUrl: ENDPOINT_TYPE, nonce: '2' })
    const said = [await stream.next(), await stream.next(), await stream.next()]
    expect(said.map(({ typeUrl, responseNonce }) => [typeUrl, responseNonce])).toEqual([
      [CLUSTER_TYPE, '1'],
      [ENDPOINT_TYPE, '2'],
      [LISTENER_TYPE, ''],
    ])
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

// Far more than one slice of a turn decodes.
const MANY = Array.from({ length: 5000 }, (_, i) => wire(cluster(`c${i}`)))

describe('a response that takes several turns to decode', () => {
  /** `work` is run in the turn that the decoder gives away first. */
  const decoding = async (work: (client: AdsClient) => void) => {
    const server = await delta()
    const { client, updates } = connect(server.port)
    client.subscribe(CLUSTER_TYPE, wildcard)
    client.subscribe(ENDPOINT_TYPE, ['a'])
    client.start()
    const stream = await server.streams.next()
    await stream.next()
    await stream.next()
    const handle = client['handle'].bind(client)
    client['handle'] = (...args) => {
      handle(...args)
      expect(client['dispatching']).toBe(1)
      client['handle'] = handle
      work(client)
    }
    stream.send({ typeUrl: CLUSTER_TYPE, nonce: '1', resources: MANY })
    stream.send({ typeUrl: ENDPOINT_TYPE, nonce: '2', resources: [wire(endpoints('a'))] })
    return { server, client, updates, stream }
  }

  it('is acknowledged before what came behind it, and nothing is sent meanwhile', async () => {
    const { stream, updates } = await decoding(client => client.subscribe(ENDPOINT_TYPE, ['b']))
    expect((await updates.next()).resources).toHaveLength(MANY.length)
    expect((await updates.next()).typeUrl).toBe(ENDPOINT_TYPE)
    expect(await stream.next()).toMatchObject({ typeUrl: ENDPOINT_TYPE, resourceNamesSubscribe: ['b'], responseNonce: '' })
    expect(await stream.next()).toMatchObject({ typeUrl: CLUSTER_TYPE, responseNonce: '1' })
    expect(await stream.next()).toMatchObject({ typeUrl: ENDPOINT_TYPE, responseNonce: '2' })
  })

  it('is applied though its stream is reset meanwhile, and the next stream says so instead of an ACK', async () => {
    const { server, updates } = await decoding(client => client['call']!.cancel())
    expect((await updates.next()).resources).toHaveLength(MANY.length)
    const next = await server.streams.next()
    const first = await next.next()
    expect(first).toMatchObject({ typeUrl: CLUSTER_TYPE, responseNonce: '' })
    expect(Object.keys(first.initialResourceVersions)).toHaveLength(MANY.length)
    // What came behind it on the old stream was not read.
    expect(await next.next()).toMatchObject({ typeUrl: ENDPOINT_TYPE, initialResourceVersions: {} })
    next.send({ typeUrl: ENDPOINT_TYPE, nonce: '3', resources: [wire(endpoints('a'))] })
    expect((await updates.next()).typeUrl).toBe(ENDPOINT_TYPE)
    expect(await next.next()).toMatchObject({ responseNonce: '3' })
  })

  it('is dropped where the client is closed meanwhile', async () => {
    const { client, updates } = await decoding(one => one.close())
    await eventually(() => expect(client['dispatching']).toBe(0))
    expect(updates.items).toEqual([])
    expect(heldVersions(client, CLUSTER_TYPE).size).toBe(0)
  })
})
