import { describe, expect, it } from 'vitest'
import { makeSnapshot } from '../../../src/xds/server/snapshot.js'
import { CLUSTER_TYPE, ENDPOINT_TYPE, EXTENSION_CONFIG_TYPE, LISTENER_TYPE } from '../../../src/xds/type-urls.js'
import { cluster, endpoints, listener, sotwClient } from '../xds-peers.js'
import { nextFence, node, refusal, serverFixture } from './server-fixture.js'

const { cleanups, serve } = serverFixture()

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
    const typeUrl = `${EXTENSION_CONFIG_TYPE}${nextFence()}`
    client.send({ typeUrl, resourceNames: ['x'] })
    expect((await client.next()).typeUrl).toBe(typeUrl)
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
