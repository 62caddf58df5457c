import { create } from '@bufbuild/protobuf'
import { describe, expect, it } from 'vitest'
import { StatusSchema } from '../../../src/xds/gen/google/rpc/status_pb.js'
import { makeResource, makeSnapshot } from '../../../src/xds/server/snapshot.js'
import { CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE, SECRET_TYPE } from '../../../src/xds/type-urls.js'
import { eventually } from '../../support/eventually.js'
import { cluster, endpoints, listener, route } from '../xds-peers.js'
import { ack, type Delta, nack, names, node, nothingMore, serverFixture, settle, web } from './server-fixture.js'

const { connect, serve } = serverFixture()

describe('delta stream', () => {
  it('answers a wildcard by empty list with every resource, its version and a nonce', async () => {
    const { ads, port } = await serve({ identifier: 'cp-1' })
    ads.setSnapshot('web-1', makeSnapshot(web()), 'v7')
    const client = connect(port)
    client.send({ node, typeUrl: CLUSTER_TYPE })
    const response = await client.next()
    expect(names(response)).toEqual(['api'])
    expect(response.resources[0]!.version).toBe(cluster('api').version)
    expect(response.resources[0]!.resource!.typeUrl).toBe(CLUSTER_TYPE)
    expect(response).toMatchObject({ nonce: '00000001', systemVersionInfo: 'v7', controlPlane: { identifier: 'cp-1' } })
  })

  it('answers * beside names, and keeps the names when * is given up', async () => {
    const { ads, port } = await serve()
    ads.setSnapshot('web-1', makeSnapshot([cluster('a'), cluster('b')]))
    const client = connect(port)
    client.send({ node, typeUrl: CLUSTER_TYPE, resourceNamesSubscribe: ['*', 'a'] })
    const response = await client.next()
    expect(names(response).sort()).toEqual(['a', 'b'])
    ack(client, response)
    client.send({ typeUrl: CLUSTER_TYPE, resourceNamesUnsubscribe: ['*'] })
    await nothingMore(client)
    ads.setSnapshot('web-1', makeSnapshot([cluster('a', '2'), cluster('b', '2'), cluster('c')]))
    await nothingMoreThan(client, ['a'])
  })

  async function nothingMoreThan(client: Delta, expected: string[]) {
    const response = await client.next()
    expect(names(response)).toEqual(expected)
    ack(client, response)
    await nothingMore(client)
  }

  it('sends an empty first response to a wildcard with no resources, so that the client can start', async () => {
    const { ads, port } = await serve()
    ads.setSnapshot('web-1', new Map())
    const client = connect(port)
    client.send({ node, typeUrl: LISTENER_TYPE })
    expect(await client.next()).toMatchObject({ typeUrl: LISTENER_TYPE, resources: [], removedResources: [] })
  })

  it('says of a name that does not exist that it is removed, and sends it when it appears', async () => {
    const { ads, port } = await serve()
    ads.setSnapshot('web-1', new Map())
    const client = connect(port)
    client.send({ node, typeUrl: ENDPOINT_TYPE, resourceNamesSubscribe: ['api'] })
    const absent = await client.next()
    expect(absent).toMatchObject({ resources: [], removedResources: ['api'] })
    ack(client, absent)
    ads.setSnapshot('web-1', makeSnapshot([endpoints('api')]))
    expect(names(await client.next())).toEqual(['api'])
  })

  it('sends nothing to a node without a snapshot until it has one', async () => {
    const { ads, port } = await serve()
    const client = connect(port)
    client.send({ node, typeUrl: CLUSTER_TYPE })
    ads.setSnapshot('another', makeSnapshot(web()))
    ads.setSnapshot('web-1', makeSnapshot([cluster('mine')]))
    expect(names(await client.next())).toEqual(['mine'])
  })

  it('sends nothing for an equal snapshot', async () => {
    const { ads, port } = await serve()
    ads.setSnapshot('web-1', makeSnapshot(web()))
    const client = connect(port)
    await settle(client)
    expect(ads.setSnapshot('web-1', makeSnapshot(web().reverse()))).toBe(false)
    await nothingMore(client)
  })

  it('has one response in flight a type and then sends the newest state', async () => {
    const { ads, port } = await serve()
    ads.setSnapshot('web-1', makeSnapshot([cluster('a', '1')]))
    const client = connect(port)
    client.send({ node, typeUrl: CLUSTER_TYPE })
    const first = await client.next()
    ads.setSnapshot('web-1', makeSnapshot([cluster('a', '2')]))
    ads.setSnapshot('web-1', makeSnapshot([cluster('a', '3')]))
    await nothingMore(client)
    ack(client, first)
    const second = await client.next()
    expect(second.resources[0]!.version).toBe(cluster('a', '3').version)
    ack(client, second)
    await nothingMore(client)
  })

  it('orders clusters, endpoints, then listeners and routes after their ACK, removals last', async () => {
    const { ads, port } = await serve()
    ads.setSnapshot('web-1', makeSnapshot([...web(), cluster('old'), endpoints('old')]))
    const client = connect(port)
    client.send({ node, typeUrl: CLUSTER_TYPE })
    ack(client, await client.next())
    client.send({ typeUrl: ENDPOINT_TYPE, resourceNamesSubscribe: ['api', 'old'] })
    ack(client, await client.next())
    client.send({ typeUrl: LISTENER_TYPE })
    ack(client, await client.next())
    client.send({ typeUrl: ROUTE_TYPE, resourceNamesSubscribe: ['r'] })
    ack(client, await client.next())
    await nothingMore(client)

    ads.setSnapshot('web-1', makeSnapshot([...web('2'), listener('in')]))
    const cds = await client.next()
    expect(cds).toMatchObject({ typeUrl: CLUSTER_TYPE, removedResources: [] })
    const eds = await client.next()
    expect(eds).toMatchObject({ typeUrl: ENDPOINT_TYPE, removedResources: [] })
    await nothingMore(client) // listeners wait for both
    ack(client, cds)
    await nothingMore(client)
    ack(client, eds)
    const lds = await client.next()
    expect(lds.typeUrl).toBe(LISTENER_TYPE)
    const rds = await client.next()
    expect(rds.typeUrl).toBe(ROUTE_TYPE)
    ack(client, rds)
    await nothingMore(client) // the removal waits for listeners too
    ack(client, lds)
    const cdsRemoval = await client.next()
    expect(cdsRemoval).toMatchObject({ typeUrl: CLUSTER_TYPE, resources: [], removedResources: ['old'] })
    ack(client, cdsRemoval)
    expect(await client.next()).toMatchObject({ typeUrl: ENDPOINT_TYPE, resources: [], removedResources: ['old'] })
  })

  it('sends endpoints while the ACK of their cluster is out, since Envoy acknowledges warm clusters only', async () => {
    const { ads, port } = await serve()
    ads.setSnapshot('web-1', makeSnapshot(web()))
    const client = connect(port)
    client.send({ node, typeUrl: CLUSTER_TYPE })
    await client.next()
    client.send({ typeUrl: ENDPOINT_TYPE, resourceNamesSubscribe: ['api', 'none'] })
    expect(await client.next()).toMatchObject({ typeUrl: ENDPOINT_TYPE, removedResources: ['none'] })
  })

  it('keeps the clusters of a refused route until a newer snapshot is accepted', async () => {
    const { ads, port } = await serve()
    ads.setSnapshot('web-1', makeSnapshot(web()))
    const client = connect(port)
    await settle(client)
    ads.setSnapshot('web-1', makeSnapshot([listener('out', ['r']), route('r', 'bad')]))
    nack(client, await client.next())
    await nothingMore(client)
    ads.setSnapshot('web-1', makeSnapshot([listener('out', ['r']), route('r', 'good')]))
    ack(client, await client.next())
    expect(await client.next()).toMatchObject({ typeUrl: CLUSTER_TYPE, removedResources: ['api'] })
  })

  it('resends the children of a parent that is sent, though unchanged', async () => {
    const { ads, port } = await serve()
    ads.setSnapshot('web-1', makeSnapshot([...web(), cluster('other'), endpoints('other')]))
    const client = connect(port)
    await settle(client)
    ads.setSnapshot(
      'web-1',
      makeSnapshot([cluster('api', '2'), endpoints('api'), cluster('other'), endpoints('other'), listener('out', ['r'], '2'), route('r')]),
    )
    const cds = await client.next()
    expect([cds.typeUrl, names(cds)]).toEqual([CLUSTER_TYPE, ['api']])
    const eds = await client.next()
    expect([eds.typeUrl, names(eds)]).toEqual([ENDPOINT_TYPE, ['api']])
    ack(client, cds)
    ack(client, eds)
    const lds = await client.next()
    const rds = await client.next()
    expect([lds.typeUrl, rds.typeUrl, names(rds)]).toEqual([LISTENER_TYPE, ROUTE_TYPE, ['r']])
    ack(client, lds)
    ack(client, rds)
    await nothingMore(client)
  })

  it('resends a child that was in flight when its parent was sent', async () => {
    const { ads, port } = await serve()
    ads.setSnapshot('web-1', makeSnapshot(web()))
    const client = connect(port)
    await settle(client)
    ads.setSnapshot('web-1', makeSnapshot([cluster('api'), endpoints('api', '2')]))
    const before = await client.next()
    expect(before.typeUrl).toBe(ENDPOINT_TYPE)
    ads.setSnapshot('web-1', makeSnapshot([cluster('api', '3'), endpoints('api', '2')]))
    expect((await client.next()).typeUrl).toBe(CLUSTER_TYPE)
    ack(client, before)
    expect(names(await client.next())).toEqual(['api'])
  })

  it('does not repeat a refused version until the next snapshot', async () => {
    const nacks: string[] = []
    const { ads, port } = await serve({ onNack: one => nacks.push(`${one.names} ${one.message}`) })
    ads.setSnapshot('web-1', makeSnapshot([cluster('a'), cluster('b')]))
    const client = connect(port)
    client.send({ node, typeUrl: CLUSTER_TYPE })
    nack(client, await client.next())
    await nothingMore(client)
    expect(nacks).toEqual(['a,b no'])
    expect(ads.status()[0]!.streams[0]!.types[0]).toMatchObject({ lastNack: { message: 'no', names: ['a', 'b'] }, inFlight: false })
    ads.setSnapshot('web-1', makeSnapshot([cluster('a'), cluster('b', '2')]))
    expect(names(await client.next())).toEqual(['a', 'b'])
  })

  it('sends the old version again after the refused one is taken back, as the client may have taken part of it', async () => {
    const { ads, port } = await serve()
    ads.setSnapshot('web-1', makeSnapshot([cluster('a', '1')]))
    const client = connect(port)
    client.send({ node, typeUrl: CLUSTER_TYPE })
    ack(client, await client.next())
    ads.setSnapshot('web-1', makeSnapshot([cluster('a', '2')]))
    nack(client, await client.next())
    ads.setSnapshot('web-1', makeSnapshot([cluster('a', '1')]))
    expect((await client.next()).resources[0]!.version).toBe(cluster('a', '1').version)
  })

  it('sends a refused secret again: the files that it names may be there now', async () => {
    const { ads, port } = await serve({ limits: { offerSecretsAgainMs: 1 } })
    const secret = makeResource('on-disk', SECRET_TYPE, new Uint8Array([1]))
    ads.setSnapshot('web-1', makeSnapshot([secret]), '1')
    const client = connect(port)
    client.send({ node, typeUrl: SECRET_TYPE, resourceNamesSubscribe: ['on-disk'] })
    for (let refused = 0; refused < 3; refused++) nack(client, await client.next())
    const response = await client.next()
    expect(names(response)).toEqual(['on-disk'])
    ack(client, response)
    await nothingMore(client)
  })

  it('forgets a refusal of what is no longer there, which the client need not answer for', async () => {
    const { ads, port } = await serve()
    const secret = makeResource('on-disk', SECRET_TYPE, new Uint8Array([1]))
    ads.setSnapshot('web-1', makeSnapshot([secret]))
    const client = connect(port)
    client.send({ node, typeUrl: SECRET_TYPE, resourceNamesSubscribe: ['on-disk'] })
    nack(client, await client.next())
    await nothingMore(client)
    const refused = () => ads.status()[0]!.streams[0]!.types.flatMap(({ lastNack }) => lastNack?.names ?? [])
    ads.setSnapshot('web-1', makeSnapshot([secret, cluster('a')]))
    expect(refused()).toEqual(['on-disk'])
    ads.setSnapshot('web-1', makeSnapshot([cluster('a')]))
    expect(refused()).toEqual([])
  })

  it('tells a NACK by error_detail and by nothing else (grpc proposal A46)', async () => {
    const { ads, port } = await serve()
    ads.setSnapshot('web-1', makeSnapshot([cluster('a')]))
    const client = connect(port)
    client.send({ node, typeUrl: CLUSTER_TYPE })
    const response = await client.next()
    client.send({ typeUrl: CLUSTER_TYPE, responseNonce: response.nonce, errorDetail: create(StatusSchema, {}) })
    await nothingMore(client)
    expect(ads.status()[0]!.streams[0]!.types[0]!.acked.size).toBe(0)
  })

  it('ignores the answer to an older nonce but takes its subscriptions', async () => {
    const { ads, port } = await serve()
    ads.setSnapshot('web-1', makeSnapshot([endpoints('a'), endpoints('b')]))
    const client = connect(port)
    client.send({ node, typeUrl: ENDPOINT_TYPE, resourceNamesSubscribe: ['a'] })
    const response = await client.next()
    client.send({ typeUrl: ENDPOINT_TYPE, responseNonce: 'ffff', resourceNamesSubscribe: ['b'] })
    await nothingMore(client)
    ack(client, response)
    expect(names(await client.next())).toEqual(['b'])
  })

  it('resends a name that is subscribed to again', async () => {
    const { ads, port } = await serve()
    ads.setSnapshot('web-1', makeSnapshot([endpoints('a')]))
    const client = connect(port)
    for (let round = 0; round < 3; round++) {
      client.send({ node, typeUrl: ENDPOINT_TYPE, resourceNamesSubscribe: ['a'] })
      const response = await client.next()
      expect(names(response)).toEqual(['a'])
      ack(client, response)
    }
    await nothingMore(client)
  })

  it('says nothing about names that were unsubscribed', async () => {
    const { ads, port } = await serve()
    ads.setSnapshot('web-1', makeSnapshot([endpoints('a'), endpoints('b')]))
    const client = connect(port)
    client.send({ node, typeUrl: ENDPOINT_TYPE, resourceNamesSubscribe: ['a', 'b'] })
    ack(client, await client.next())
    client.send({ typeUrl: ENDPOINT_TYPE, resourceNamesUnsubscribe: ['a', 'b'] })
    await nothingMore(client)
    ads.setSnapshot('web-1', makeSnapshot([endpoints('b', '2')]))
    await nothingMore(client)
  })

  it('tells a wildcard client again of a resource whose name it unsubscribed', async () => {
    const { ads, port } = await serve()
    ads.setSnapshot('web-1', makeSnapshot([cluster('a')]))
    const client = connect(port)
    client.send({ node, typeUrl: CLUSTER_TYPE, resourceNamesSubscribe: ['*', 'a', 'gone'] })
    ack(client, await client.next())
    client.send({ typeUrl: CLUSTER_TYPE, resourceNamesUnsubscribe: ['a', 'gone'] })
    const response = await client.next()
    expect([names(response), response.removedResources]).toEqual([['a'], ['gone']])
  })

  it('takes initial_resource_versions: sends differences, and what vanished as removed', async () => {
    const { ads, port } = await serve()
    ads.setSnapshot('web-1', makeSnapshot([cluster('same'), cluster('newer', '2'), cluster('new')]))
    const client = connect(port)
    client.send({
      node,
      typeUrl: CLUSTER_TYPE,
      initialResourceVersions: { same: cluster('same').version, newer: cluster('newer').version, gone: 'abc' },
    })
    const upserts = await client.next()
    expect([names(upserts).sort(), upserts.removedResources]).toEqual([['new', 'newer'], []])
    ack(client, upserts)
    expect(await client.next()).toMatchObject({ resources: [], removedResources: ['gone'] })
  })

  it('cuts a response at maxResponseBytes and sends the rest after its ACK', async () => {
    const { ads, port } = await serve({ limits: { maxResponseBytes: 3000 } })
    const big = (name: string) => makeResource(name, SECRET_TYPE, new Uint8Array(2000))
    ads.setSnapshot('web-1', makeSnapshot([big('a'), big('b'), big('c')]))
    const client = connect(port)
    client.send({ node, typeUrl: SECRET_TYPE })
    const seen: string[] = []
    for (let i = 0; i < 3; i++) {
      const response = await client.next()
      seen.push(...names(response))
      expect(response.resources).toHaveLength(1)
      ack(client, response)
    }
    expect(seen.sort()).toEqual(['a', 'b', 'c'])
  })

  it('reports synced once every type of the snapshot is acknowledged', async () => {
    const synced: string[] = []
    const { ads, port } = await serve({ onSynced: (nodeKey, version) => synced.push(`${nodeKey} ${version}`) })
    ads.setSnapshot('web-1', makeSnapshot(web()), 'v1')
    const client = connect(port)
    client.send({ node, typeUrl: CLUSTER_TYPE })
    ack(client, await client.next())
    await nothingMore(client)
    expect(synced).toEqual([]) // listeners have not been asked for yet
    client.send({ typeUrl: LISTENER_TYPE })
    ack(client, await client.next())
    await nothingMore(client)
    await eventually(() => expect(ads.isSynced('web-1')).toBe(true)) // the fence's own ACK is on its way
    expect(synced).toEqual(['web-1 v1'])
    ads.setSnapshot('web-1', makeSnapshot([...web(), cluster('b')]), 'v2')
    expect(ads.isSynced('web-1')).toBe(false)
    ack(client, await client.next())
    await nothingMore(client)
    expect(synced).toEqual(['web-1 v1', 'web-1 v2'])
  })

  it('reports some types synced while another is refused', async () => {
    const { ads, port } = await serve()
    ads.setSnapshot('web-1', makeSnapshot([cluster('a'), makeResource('on-disk', SECRET_TYPE, new Uint8Array([1]))]))
    const client = connect(port)
    client.send({ node, typeUrl: SECRET_TYPE, resourceNamesSubscribe: ['on-disk'] })
    nack(client, await client.next())
    client.send({ typeUrl: CLUSTER_TYPE })
    const response = await client.next()
    const types = new Set([CLUSTER_TYPE])
    expect(ads.isSynced('web-1', types)).toBe(false)
    ack(client, response)
    await nothingMore(client)
    expect(ads.isSynced('web-1', types)).toBe(true)
    expect([ads.isSynced('web-1'), ads.isSynced('web-1', new Set([SECRET_TYPE]))]).toEqual([false, false])
  })
})
