import * as grpc from '@grpc/grpc-js'
import { describe, expect, it } from 'vitest'
import { makeResource, makeSnapshot } from '../../../src/xds/server/snapshot.js'
import { CLUSTER_TYPE, ENDPOINT_TYPE, EXTENSION_CONFIG_TYPE, LISTENER_TYPE, SECRET_TYPE } from '../../../src/xds/type-urls.js'
import { eventually } from '../../support/eventually.js'
import { DELTA_SECRETS, RawClient } from '../xds-peers.js'
import { ack, names, node, nothingMore, serverFixture, web } from './server-fixture.js'

const { cleanups, connect, serve } = serverFixture()

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
