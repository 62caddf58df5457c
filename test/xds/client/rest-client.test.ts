import { create } from '@bufbuild/protobuf'
import { describe, expect, it, vi } from 'vitest'
import type { XdsUpdate, XdsVerdict } from '../../../src/xds/client/client.js'
import { type RestAnswer, RestClient } from '../../../src/xds/client/rest-client.js'
import { NodeSchema } from '../../../src/xds/gen/envoy/config/core/v3/base_pb.js'
import { discoveryResponseFromJson } from '../../../src/xds/resources/discovery-response.js'
import { CLUSTER_TYPE, ENDPOINT_TYPE } from '../../../src/xds/type-urls.js'
import { ManualClock } from '../../support/manual-clock.js'

const settled = () => new Promise(resolve => setImmediate(resolve))
const resource = (typeUrl: string, fields: object) => ({ '@type': typeUrl, ...fields })
const cluster = (name: string) => resource(CLUSTER_TYPE, { name })
const response = (version: string, ...resources: object[]): RestAnswer => ({
  ok: true,
  status: 200,
  body: Buffer.from(JSON.stringify({ version_info: version, resources })),
})
const status = (code: number): RestAnswer => ({ ok: true, status: code, body: Buffer.alloc(0) })

function polled(typeUrl = CLUSTER_TYPE, judge: (update: XdsUpdate) => XdsVerdict | undefined = () => undefined) {
  const clock = new ManualClock()
  const asked: { path: string; body: Record<string, unknown> }[] = []
  const updates: XdsUpdate[] = []
  const onFetched = vi.fn()
  let answer: ((given: RestAnswer) => void) | null = null
  const client = new RestClient({
    typeUrl,
    node: create(NodeSchema, { id: 'web-1', cluster: 'web' }),
    refreshDelayMs: 1000,
    post: (path, body, callback) => {
      asked.push({ path, body: JSON.parse(body.toString()) })
      answer = callback
      return () => {
        answer = null
      }
    },
    readJson: discoveryResponseFromJson,
    onUpdate: update => {
      updates.push(update)
      return judge(update)
    },
    onFetched,
    clock,
    random: () => 0.5,
    logger: { warn: () => {} },
  })
  const give = async (given: RestAnswer): Promise<void> => {
    answer!(given)
    await settled()
  }
  const versions = () => asked.map(({ body }) => body['version_info'] ?? '')
  return { client, clock, asked, updates, onFetched, give, versions, isAsking: () => answer !== null }
}

describe('polling', () => {
  it('posts a DiscoveryRequest, and again with the accepted version after the delay and its jitter', async () => {
    const { client, clock, asked, updates, give } = polled()
    client.subscribe(CLUSTER_TYPE, { wildcard: true })
    client.start()
    expect(asked).toEqual([{ path: '/v3/discovery:clusters', body: { node: { id: 'web-1', cluster: 'web' }, type_url: CLUSTER_TYPE } }])
    await give(response('1', cluster('a'), cluster('b')))
    expect(updates[0]).toMatchObject({ typeUrl: CLUSTER_TYPE, systemVersion: '1', removed: [] })
    expect(updates[0]!.resources.map(({ name }) => name)).toEqual(['a', 'b'])
    clock.advance(1499)
    expect(asked).toHaveLength(1)
    clock.advance(1)
    expect(asked[1]!.body).toMatchObject({ version_info: '1' })
    await give(response('2', cluster('b')))
    expect(updates[1]).toMatchObject({ removed: ['a'] })
    client.close()
  })

  it('takes 304 for what it has, and goes on asking after whatever fails', async () => {
    const { client, clock, updates, onFetched, give, versions } = polled()
    client.subscribe(CLUSTER_TYPE, { wildcard: true })
    client.start()
    const answers: RestAnswer[] = [
      response('1', cluster('a')),
      status(304),
      status(500),
      { ok: false, reason: 'did not answer' },
      { ok: true, status: 200, body: Buffer.from('{"version_info": 3') },
      { ok: true, status: 200, body: Buffer.from('{"resources": [3]}') },
    ]
    for (const answer of answers) {
      await give(answer)
      clock.advance(2000)
    }
    expect(updates).toHaveLength(1)
    expect(onFetched.mock.calls.flat()).toEqual(['not-modified', 'failed', 'failed', 'rejected', 'rejected'])
    expect(versions()).toEqual(['', '1', '1', '1', '1', '1', '1'])
    client.close()
  })

  it('applies the same answer once, and again when it is asked for other names', async () => {
    const { client, clock, updates, onFetched, give } = polled(ENDPOINT_TYPE)
    client.subscribe(ENDPOINT_TYPE, ['a'])
    client.start()
    const same = response('1', { '@type': ENDPOINT_TYPE, cluster_name: 'a' }, { '@type': ENDPOINT_TYPE, cluster_name: 'b' })
    for (const _ of [1, 2]) {
      await give(same)
      clock.advance(2000)
    }
    expect(updates.map(({ resources }) => resources.map(({ name }) => name))).toEqual([['a']])
    expect(onFetched.mock.calls).toEqual([['same']])
    client.subscribe(ENDPOINT_TYPE, ['b'])
    await give(same)
    clock.advance(2000)
    await give(same)
    expect(updates.at(-1)!.resources.map(({ name }) => name)).toContain('b')
    client.close()
  })

  it('takes a resource in the envelope of its name and version', async () => {
    const { client, updates, give } = polled()
    client.subscribe(CLUSTER_TYPE, { wildcard: true })
    client.start()
    const envelope = { '@type': 'type.googleapis.com/envoy.service.discovery.v3.Resource', name: 'a', version: '7', resource: cluster('a') }
    await give(response('1', envelope))
    expect(updates[0]!.resources.map(({ name, version }) => [name, version])).toEqual([['a', '7']])
    client.close()
  })

  it('keeps asking with the last good version after one that was refused', async () => {
    const refuse = { rejected: [{ name: 'a', errors: [{ path: 'name', reason: 'no' }] }] }
    const { client, clock, give, versions } = polled(CLUSTER_TYPE, ({ systemVersion }) => (systemVersion === '2' ? refuse : undefined))
    client.subscribe(CLUSTER_TYPE, { wildcard: true })
    client.start()
    for (const version of ['1', '2', '3']) {
      await give(response(version, cluster('a')))
      clock.advance(2000)
    }
    expect(versions()).toEqual(['', '1', '1', '3'])
    client.close()
  })

  it('sends nothing more once it is closed, and takes no late answer', async () => {
    const { client, clock, asked, updates, give, isAsking } = polled()
    client.subscribe(CLUSTER_TYPE, { wildcard: true })
    client.start()
    await give(response('1', cluster('a')))
    clock.advance(2000)
    client.close()
    expect(isAsking()).toBe(false)
    clock.advance(10_000)
    expect(asked).toHaveLength(2)
    expect(updates).toHaveLength(1)
  })
})

describe('names', () => {
  const endpoints = (name: string) => resource(ENDPOINT_TYPE, { cluster_name: name })

  it('are asked for at once when they come, without a version that a server would answer with 304', async () => {
    const { client, asked, updates, give } = polled(ENDPOINT_TYPE)
    client.subscribe(ENDPOINT_TYPE, ['a'])
    client.start()
    await give(response('1', endpoints('a'), endpoints('b')))
    expect(updates[0]!.resources.map(({ name }) => name)).toEqual(['a'])
    client.subscribe(ENDPOINT_TYPE, ['b'])
    expect(asked[1]!.body).toMatchObject({ resource_names: ['a', 'b'] })
    expect(asked[1]!.body['version_info']).toBeUndefined()
    client.close()
  })

  it('that come while an answer is on its way are asked for after it', async () => {
    const { client, asked, give } = polled(ENDPOINT_TYPE)
    client.subscribe(ENDPOINT_TYPE, ['a'])
    client.start()
    client.subscribe(ENDPOINT_TYPE, ['b'])
    expect(asked).toHaveLength(1)
    await give(response('1', endpoints('a')))
    expect(asked[1]!.body).toMatchObject({ resource_names: ['a', 'b'] })
    expect(asked[1]!.body['version_info']).toBeUndefined()
    client.close()
  })

  it('that are not in an answer are not removed by it', async () => {
    const { client, clock, updates, give } = polled(ENDPOINT_TYPE)
    client.subscribe(ENDPOINT_TYPE, ['a', 'b'])
    client.start()
    await give(response('1', endpoints('a'), endpoints('b')))
    clock.advance(2000)
    await give(response('2', endpoints('a')))
    expect(updates[1]).toMatchObject({ removed: [] })
    client.close()
  })
})
