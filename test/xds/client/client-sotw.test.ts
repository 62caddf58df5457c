import { create, toBinary } from '@bufbuild/protobuf'
import { describe, expect, it } from 'vitest'
import { ResourceSchema } from '../../../src/xds/gen/envoy/service/discovery/v3/discovery_pb.js'
import type { Resource } from '../../../src/xds/server/snapshot.js'
import { CLUSTER_TYPE, ENDPOINT_TYPE, ROUTE_TYPE, WRAPPED_RESOURCE_TYPE } from '../../../src/xds/type-urls.js'
import { ManualClock } from '../../support/manual-clock.js'
import { cluster, endpoints, route } from '../xds-peers.js'
import { clientFixture, heldVersions, rejectNamed, updateNames, wildcard } from './client-fixture.js'

const { connect, sotw } = clientFixture()

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
