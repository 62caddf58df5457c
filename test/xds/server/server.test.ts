import { create } from '@bufbuild/protobuf'
import * as grpc from '@grpc/grpc-js'
import { afterEach, describe, expect, it } from 'vitest'
import type { DeltaDiscoveryResponse } from '../../../src/xds/gen/envoy/service/discovery/v3/discovery_pb.js'
import { StatusSchema } from '../../../src/xds/gen/google/rpc/status_pb.js'
import { AdsServer, type AdsServerOptions } from '../../../src/xds/server/server.js'
import { makeResource, makeSnapshot } from '../../../src/xds/server/snapshot.js'
import { CLUSTER_TYPE, ENDPOINT_TYPE, EXTENSION_CONFIG_TYPE, LISTENER_TYPE, ROUTE_TYPE, SECRET_TYPE } from '../../../src/xds/type-urls.js'
import { eventually } from '../../support/eventually.js'
import { attachAds, grpcJsServer } from '../../support/grpc-js-ads.js'
import { bind, cluster, DELTA_SECRETS, deltaClient, endpoints, listener, RawClient, route, sotwClient } from '../xds-peers.js'

const cleanups: (() => void)[] = []
afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup()
})

async function serve(options: Partial<AdsServerOptions> = {}) {
  const ads = new AdsServer({ accept: () => ({ ok: true }), ...options })
  const server = grpcJsServer()
  attachAds(ads, server, { singleType: true })
  const port = await bind(server)
  cleanups.push(() => server.forceShutdown())
  return { ads, port }
}

type Delta = ReturnType<typeof deltaClient>

function connect(port: number, metadata?: Record<string, string>): Delta {
  const client = deltaClient(port, metadata)
  cleanups.push(() => client.close())
  return client
}

const node = { id: 'web-1' }
const refusal = create(StatusSchema, { code: 3, message: 'no' })

function ack(client: Delta, response: DeltaDiscoveryResponse, more: { resourceNamesSubscribe?: string[] } = {}) {
  client.send({ typeUrl: response.typeUrl, responseNonce: response.nonce, ...more })
}

function nack(client: Delta, response: DeltaDiscoveryResponse) {
  client.send({ typeUrl: response.typeUrl, responseNonce: response.nonce, errorDetail: refusal })
}

let fences = 0
// A name that does not exist is answered at once, so whatever comes before that answer is all that was sent.
async function nothingMore(client: Delta) {
  const name = `fence-${++fences}`
  client.send({ node, typeUrl: EXTENSION_CONFIG_TYPE, resourceNamesSubscribe: [name] })
  const response = await client.next()
  expect(response).toMatchObject({ typeUrl: EXTENSION_CONFIG_TYPE, removedResources: [name] })
  ack(client, response)
}

const names = (response: { resources: { name: string }[] }) => response.resources.map(resource => resource.name)

function web(mark = '') {
  return [cluster('api', mark), endpoints('api', mark), listener('out', ['r'], mark), route('r', mark)]
}

// Subscribes to everything in web() and acknowledges it.
async function settle(client: Delta) {
  client.send({ node, typeUrl: CLUSTER_TYPE })
  ack(client, await client.next())
  client.send({ typeUrl: ENDPOINT_TYPE, resourceNamesSubscribe: ['api'] })
  ack(client, await client.next())
  client.send({ typeUrl: LISTENER_TYPE })
  ack(client, await client.next())
  client.send({ typeUrl: ROUTE_TYPE, resourceNamesSubscribe: ['r'] })
  ack(client, await client.next())
  await nothingMore(client)
}

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

it('tells who is connected, and of one node alone', async () => {
  const { ads, port } = await serve()
  expect(ads.counts()).toEqual({ connected: 0, synced: 0 })
  expect(ads.isConnected('web-1')).toBe(false)
  ads.setSnapshot('web-1', makeSnapshot(web()), 'v1')
  ads.setSnapshot('away', makeSnapshot(web()), 'v1')
  const client = connect(port)
  client.send({ node, typeUrl: CLUSTER_TYPE })
  const response = await client.next()
  expect(ads.counts()).toEqual({ connected: 1, synced: 0 })
  ack(client, response)
  client.send({ typeUrl: ENDPOINT_TYPE, resourceNamesSubscribe: ['api'] })
  ack(client, await client.next())
  client.send({ typeUrl: LISTENER_TYPE })
  ack(client, await client.next())
  await nothingMore(client)
  await eventually(() => expect(ads.counts()).toEqual({ connected: 1, synced: 1 }))
  expect([ads.isConnected('web-1'), ads.isConnected('away'), ads.isConnected('nobody')]).toEqual([true, false, false])
  expect(ads.statusOf('web-1')).toEqual(ads.status().find(({ nodeKey }) => nodeKey === 'web-1'))
  expect(ads.statusOf('web-1')).toMatchObject({ connected: true, snapshotVersion: 'v1' })
  expect(ads.statusOf('nobody')).toBeUndefined()
})

describe('state-of-the-world stream', () => {
  function connectSotw(port: number) {
    const client = sotwClient(port)
    cleanups.push(() => client.close())
    return client
  }
  type Sotw = ReturnType<typeof sotwClient>
  type Answer = { typeUrl: string; nonce: string; versionInfo: string }
  const accept = (client: Sotw, response: Answer, resourceNames: string[] = []) =>
    client.send({ typeUrl: response.typeUrl, responseNonce: response.nonce, versionInfo: response.versionInfo, resourceNames })
  async function silent(client: Sotw) {
    client.send({ typeUrl: EXTENSION_CONFIG_TYPE + ++fences, resourceNames: ['x'] })
    expect((await client.next()).typeUrl).toBe(EXTENSION_CONFIG_TYPE + fences)
  }

  it('sends the whole state, holds the next until the ACK and drops clusters last', async () => {
    const { ads, port } = await serve()
    ads.setSnapshot('web-1', makeSnapshot([cluster('a'), listener('l')]))
    const client = connectSotw(port)
    client.send({ node, typeUrl: CLUSTER_TYPE })
    const cds = await client.next()
    expect(cds.resources).toHaveLength(1)
    accept(client, cds)
    client.send({ typeUrl: LISTENER_TYPE })
    accept(client, await client.next())
    await silent(client)
    ads.setSnapshot('web-1', makeSnapshot([cluster('b'), listener('m')]))
    const both = await client.next()
    expect([both.typeUrl, both.resources.length]).toEqual([CLUSTER_TYPE, 2])
    accept(client, both)
    const lds = await client.next()
    expect([lds.typeUrl, lds.resources.length]).toEqual([LISTENER_TYPE, 1])
    await silent(client)
    accept(client, lds)
    const last = await client.next()
    expect([last.typeUrl, last.resources.length]).toEqual([CLUSTER_TYPE, 1])
    expect(last.versionInfo).not.toBe(both.versionInfo)
    accept(client, last)
    expect(ads.setSnapshot('web-1', makeSnapshot([listener('m'), cluster('b')]))).toBe(false)
    await silent(client)
  })

  it('answers new names, says nothing to fewer, ignores stale nonces', async () => {
    const { ads, port } = await serve()
    ads.setSnapshot('web-1', makeSnapshot([endpoints('a'), endpoints('b')]))
    const client = connectSotw(port)
    client.send({ node, typeUrl: ENDPOINT_TYPE, resourceNames: ['a'] })
    const first = await client.next()
    accept(client, first, ['a', 'b'])
    const second = await client.next()
    expect(second.resources).toHaveLength(2)
    client.send({ typeUrl: ENDPOINT_TYPE, responseNonce: first.nonce, resourceNames: ['a', 'b', 'c'] })
    accept(client, second, ['b'])
    await silent(client)
    ads.setSnapshot('web-1', makeSnapshot([endpoints('a', '2'), endpoints('b')]))
    await silent(client)
    accept(client, second, ['a', 'b'])
    expect((await client.next()).resources).toHaveLength(2)
  })

  it('resends endpoints after their cluster changed, and repeats no refused state', async () => {
    const { ads, port } = await serve()
    ads.setSnapshot('web-1', makeSnapshot([cluster('a'), endpoints('a')]))
    const client = connectSotw(port)
    client.send({ node, typeUrl: CLUSTER_TYPE })
    accept(client, await client.next())
    client.send({ typeUrl: ENDPOINT_TYPE, resourceNames: ['a'] })
    accept(client, await client.next(), ['a'])
    ads.setSnapshot('web-1', makeSnapshot([cluster('a', '2'), endpoints('a')]))
    const cds = await client.next()
    const eds = await client.next()
    expect([cds.typeUrl, eds.typeUrl]).toEqual([CLUSTER_TYPE, ENDPOINT_TYPE])
    accept(client, eds, ['a'])
    client.send({ typeUrl: CLUSTER_TYPE, responseNonce: cds.nonce, errorDetail: refusal })
    await silent(client)
    ads.setSnapshot('web-1', makeSnapshot([cluster('a', '3'), endpoints('a')]))
    expect((await client.next()).typeUrl).toBe(CLUSTER_TYPE)
  })
})

describe('admission', () => {
  it('refuses a first request without node.id, one without type_url, and a node that accept refuses', async () => {
    const { port } = await serve({
      accept: (_, metadata) =>
        metadata('x-consul-token') === 'secret'
          ? { ok: true }
          : { code: grpc.status.PERMISSION_DENIED, message: 'token lacks service:write' },
    })
    const anonymous = connect(port)
    anonymous.send({ typeUrl: CLUSTER_TYPE })
    expect(await anonymous.ended).toMatchObject({ code: grpc.status.INVALID_ARGUMENT, details: expect.stringContaining('node.id') })
    const typeless = connect(port)
    typeless.send({ node })
    expect(await typeless.ended).toMatchObject({ code: grpc.status.INVALID_ARGUMENT, details: expect.stringContaining('type_url') })
    const intruder = connect(port, { 'x-consul-token': 'guess' })
    intruder.send({ node, typeUrl: CLUSTER_TYPE })
    expect(await intruder.ended).toMatchObject({ code: grpc.status.PERMISSION_DENIED, details: 'token lacks service:write' })
  })

  it('refuses streams above maxStreams in Consul’s words (hashicorp/consul#15753)', async () => {
    const { ads, port } = await serve({ limits: { maxStreams: 1 } })
    ads.setSnapshot('web-1', new Map())
    const first = connect(port)
    await nothingMore(first)
    const second = connect(port)
    second.send({ node, typeUrl: CLUSTER_TYPE })
    expect(await second.ended).toMatchObject({
      code: grpc.status.RESOURCE_EXHAUSTED,
      details: expect.stringContaining('too many xDS streams open'),
    })
    await nothingMore(first)
  })

  it('takes only so many streams as it is told to, and ends the oldest when asked to give one away', async () => {
    const { ads, port } = await serve()
    ads.setSnapshot('web-1', new Map())
    const [first, second] = [connect(port), connect(port)]
    await nothingMore(first)
    await nothingMore(second)
    expect(ads.streamCount).toBe(2)
    ads.limitStreams(1)
    const late = connect(port)
    late.send({ node, typeUrl: CLUSTER_TYPE })
    const told = { code: grpc.status.RESOURCE_EXHAUSTED, details: expect.stringContaining('please try another') }
    expect(await late.ended).toMatchObject(told)
    ads.shedStream()
    expect(await first.ended).toMatchObject(told)
    await nothingMore(second)
    ads.limitStreams(undefined)
    await nothingMore(connect(port))
  })

  it('ends a stream with too many names or types', async () => {
    const { ads, port } = await serve({ limits: { maxSubscriptions: 2, maxTypes: 1 } })
    ads.setSnapshot('web-1', new Map())
    const greedy = connect(port)
    greedy.send({ node, typeUrl: ENDPOINT_TYPE, resourceNamesSubscribe: ['a', 'b', 'c'] })
    expect(await greedy.ended).toMatchObject({ code: grpc.status.RESOURCE_EXHAUSTED, details: expect.stringContaining('maxSubscriptions') })
    const broad = connect(port)
    broad.send({ node, typeUrl: ENDPOINT_TYPE })
    broad.send({ typeUrl: CLUSTER_TYPE })
    expect(await broad.ended).toMatchObject({ code: grpc.status.RESOURCE_EXHAUSTED, details: expect.stringContaining('maxTypes') })
  })

  it('closes a stream that names no node in time', async () => {
    const { port } = await serve({ limits: { firstRequestTimeoutMs: 1 } })
    expect(await connect(port).ended).toMatchObject({ code: grpc.status.DEADLINE_EXCEEDED })
  })

  it('closes open streams that are refused when asked again', async () => {
    let allowed = true
    const { ads, port } = await serve({
      accept: () => (allowed ? { ok: true } : { code: grpc.status.UNAUTHENTICATED, message: 'ACL not found' }),
    })
    ads.setSnapshot('web-1', new Map())
    const client = connect(port)
    await nothingMore(client)
    ads.reauthorize()
    await nothingMore(client)
    allowed = false
    ads.reauthorize()
    expect(await client.ended).toMatchObject({ code: grpc.status.UNAUTHENTICATED, details: 'ACL not found' })
    expect(ads.status()[0]).toMatchObject({ connected: false, streams: [] })
  })

  it('asks again about the streams of some groups alone', async () => {
    let allowed = true
    const { ads, port } = await serve({
      accept: () => (allowed ? { ok: true } : { code: grpc.status.UNAUTHENTICATED, message: 'ACL not found' }),
      groupOf: ({ cluster }) => cluster || undefined,
    })
    const [here, there] = ['here', 'there'].map(name => {
      ads.setSnapshot(name, new Map())
      const client = connect(port)
      client.send({ node: { id: name, cluster: name }, typeUrl: EXTENSION_CONFIG_TYPE, resourceNamesSubscribe: ['x'] })
      return client
    })
    for (const client of [here!, there!]) ack(client, await client.next())
    allowed = false
    ads.reauthorize([])
    ads.reauthorize(['there', 'nowhere'])
    expect(await there!.ended).toMatchObject({ code: grpc.status.UNAUTHENTICATED })
    expect(ads.streamCount).toBe(1)
    ads.reauthorize()
    expect(await here!.ended).toMatchObject({ code: grpc.status.UNAUTHENTICATED })
  })

  it('serves a single type by its own service', async () => {
    const { ads, port } = await serve()
    ads.setSnapshot('web-1', makeSnapshot([makeResource('cert', SECRET_TYPE, new Uint8Array([10, 4, 99, 101, 114, 116]))]))
    const client = new RawClient(port, DELTA_SECRETS)
    cleanups.push(() => client.close())
    client.send({ node, resourceNamesSubscribe: ['cert'] })
    expect(names(await client.next())).toEqual(['cert'])
    client.send({ typeUrl: CLUSTER_TYPE })
    expect(await client.ended).toMatchObject({ code: grpc.status.INVALID_ARGUMENT })
  })
})
