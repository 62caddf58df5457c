import { mkdtempSync, rmSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as grpc from '@grpc/grpc-js'
import { describe, expect, it } from 'vitest'
import { AdsServer } from '../../../src/xds/server/server.js'
import { makeSnapshot } from '../../../src/xds/server/snapshot.js'
import { CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE, SECRET_TYPE } from '../../../src/xds/type-urls.js'
import { eventually } from '../../support/eventually.js'
import { attachAds } from '../../support/grpc-js-ads.js'
import { ManualClock } from '../../support/manual-clock.js'
import { bind, cluster, DELTA_SECRETS, deltaServer, endpoints, listener, RawServer, route } from '../xds-peers.js'
import { clientFixture, heldVersions, updateNames, wildcard } from './client-fixture.js'

const { cleanups, connect, delta } = clientFixture()

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
