// The npm package `consul` as a client: each of its calls (version 2), as an application makes them.
import Consul from 'consul'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ApiFixture } from './api-fixture.js'

let api: ApiFixture
let consul: Consul
beforeAll(async () => {
  api = await ApiFixture.start()
  const [host, port] = api.plane.httpAddress.split(':') as [string, string]
  consul = new Consul({ host, port: Number(port) })
})
afterAll(() => api.stop())

const status = (promise: Promise<unknown>): Promise<number | undefined> =>
  promise.then(
    () => 200,
    (error: { statusCode?: number }) => error.statusCode,
  )

describe('the npm package consul', () => {
  it('registers, reads, keeps in maintenance and takes out services', async () => {
    const { service } = consul.agent
    await service.register({
      name: 'web',
      id: 'web-1',
      port: 80,
      tags: ['v1'],
      meta: { a: 'b' },
      check: { ttl: '1h', name: 'alive' },
    } as never)
    await service.register('bare')
    const services = await consul.agent.services()
    expect(services['web-1']).toMatchObject({
      Service: 'web',
      Port: 80,
      Tags: ['v1'],
      Meta: { a: 'b' },
      Weights: { Passing: 1, Warning: 1 },
    })
    expect(await service.list()).toEqual(services)
    await service.maintenance({ id: 'web-1', enable: true, reason: 'disk' })
    expect((await consul.agent.checks())['_service_maintenance:web-1']).toMatchObject({ Status: 'critical', Notes: 'disk' })
    await service.maintenance({ id: 'web-1', enable: false })
    await service.deregister('bare')
    expect(Object.keys(await consul.agent.services())).toEqual(['web-1'])
    expect(await status(service.deregister('nope'))).toBe(404)
  })

  it('registers checks and tells how they are', async () => {
    const { check } = consul.agent
    await check.register({ name: 'extra', id: 'extra', serviceid: 'web-1', ttl: '1h', notes: 'n' } as never)
    for (const [call, expected] of [
      [() => check.pass({ id: 'extra', note: 'fine' }), { Status: 'passing', Output: 'fine' }],
      [() => check.warn('extra'), { Status: 'warning' }],
      [() => check.fail('extra'), { Status: 'critical' }],
    ] as const) {
      await call()
      expect((await check.list())['extra']).toMatchObject({ ...expected, ServiceName: 'web', Notes: 'n' })
    }
    await check.deregister('extra')
    expect(await status(check.pass('extra'))).toBe(404)
  })

  it('knows the agent', async () => {
    expect((await consul.agent.members())[0]).toMatchObject({ Name: 'node-1', Status: 1 })
    expect((await consul.agent.self()).Config).toMatchObject({ Datacenter: 'dc1', NodeName: 'node-1', Server: true })
    await consul.agent.maintenance({ enable: true, reason: 'r' })
    await consul.agent.maintenance(false)
    await consul.agent.reload()
    expect(await status(consul.agent.join('127.0.0.1'))).toBe(500)
    expect(await status(consul.agent.forceLeave('nobody'))).toBe(500)
    expect(await consul.status.leader()).toMatch(/^127\.0\.0\.1:\d+$/)
    expect(await consul.status.peers()).toEqual([await consul.status.leader()])
  })

  it('reads and writes the catalog', async () => {
    expect(await consul.catalog.datacenters()).toEqual(['dc1'])
    expect(await consul.catalog.node.list()).toMatchObject([{ Node: 'node-1', Address: '127.0.0.1' }])
    expect(await consul.catalog.nodes({ 'node-meta': 'none:x' } as never)).toEqual([])
    expect(await consul.catalog.services()).toEqual({ consul: [], web: ['v1'] })
    expect(await consul.catalog.service.list()).toEqual({ consul: [], web: ['v1'] })
    expect(await consul.catalog.service.nodes('web')).toMatchObject([{ Node: 'node-1', ServiceID: 'web-1', ServiceTags: ['v1'] }])
    expect(await consul.catalog.connect.nodes('web')).toEqual([])
    expect((await consul.catalog.node.services('node-1')).Services['web-1']).toMatchObject({ Service: 'web' })
    const node = { node: 'far', address: '192.0.2.1', service: { service: 'db', port: 5432 }, check: { name: 'up', status: 'passing' } }
    await consul.catalog.register(node as never)
    expect(await consul.catalog.service.nodes({ service: 'db' } as never)).toMatchObject([{ Node: 'far', ServicePort: 5432 }])
    await consul.catalog.deregister('far')
    expect(await consul.catalog.service.nodes('db')).toEqual([])
  })

  it('asks for health', async () => {
    await consul.agent.check.pass('service:web-1')
    expect((await consul.health.node('node-1')).map(({ CheckID }: { CheckID: string }) => CheckID)).toEqual(['serfHealth', 'service:web-1'])
    expect(await consul.health.checks('web')).toMatchObject([{ CheckID: 'service:web-1', Name: 'alive', Status: 'passing' }])
    expect(await consul.health.service({ service: 'web', passing: true, tag: 'v1' } as never)).toMatchObject([{ Service: { ID: 'web-1' } }])
    expect(await consul.health.service({ service: 'web', tag: 'v2' } as never)).toEqual([])
    expect(await consul.health.state('passing')).toHaveLength(2)
    expect(await consul.health.state({ state: 'critical' } as never)).toEqual([])
  })

  it('keeps keys and values', async () => {
    expect(await consul.kv.get('none')).toBeUndefined()
    expect(await consul.kv.set('app/a', 'one')).toBe(true)
    expect(await consul.kv.set({ key: 'app/b', value: Buffer.from([0, 255]), flags: 7 } as never)).toBe(true)
    const a = (await consul.kv.get('app/a'))!
    expect(a).toMatchObject({ Key: 'app/a', Value: 'one', Flags: 0 })
    // The client makes `undefined` of `false`.
    expect(await consul.kv.set({ key: 'app/a', value: 'two', cas: '0' } as never)).toBeUndefined()
    expect(await consul.kv.set({ key: 'app/a', value: 'two', cas: String(a.ModifyIndex) } as never)).toBe(true)
    expect((await consul.kv.get({ key: 'app/b', buffer: true } as never))!.Value).toEqual(Buffer.from([0, 255]))
    expect(await consul.kv.get({ key: 'app/', recurse: true } as never)).toMatchObject([{ Value: 'two' }, { Key: 'app/b' }])
    expect(await consul.kv.get({ key: 'app/a', raw: true } as never)).toEqual(Buffer.from('two'))
    expect(await consul.kv.keys('app/')).toEqual(['app/a', 'app/b'])
    expect(await consul.kv.keys({ key: '', separator: '/' } as never)).toEqual(['app/'])
    expect(await consul.kv.del('app/a')).toBe(true)
    expect(await consul.kv.del({ key: 'app', recurse: true } as never)).toBe(true)
    expect(await consul.kv.get({ key: 'app/', recurse: true } as never)).toBeUndefined()
  })

  it('holds locks by sessions', async () => {
    const { ID } = await consul.session.create({ name: 'lock', ttl: '30s', lockdelay: '0s', behavior: 'delete' } as never)
    expect(await consul.kv.set({ key: 'leader', value: 'me', acquire: ID } as never)).toBe(true)
    expect(await consul.kv.get('leader')).toMatchObject({ Session: ID })
    expect(await consul.session.get(ID)).toMatchObject({ ID, Name: 'lock', TTL: '30s', Behavior: 'delete' })
    expect([await consul.session.renew(ID)].flat()).toMatchObject([{ ID }])
    expect(await consul.session.node('node-1')).toHaveLength(1)
    expect(await consul.session.list()).toHaveLength(1)
    await consul.session.destroy(ID)
    expect(await consul.kv.get('leader')).toBeUndefined()
    expect(await status(consul.session.renew(ID))).toBe(404)
  })

  it('fires and lists events', async () => {
    const fired = await consul.event.fire('deploy', 'payload')
    expect(fired).toMatchObject({ Name: 'deploy' })
    expect(await consul.event.list('deploy')).toMatchObject([{ ID: fired.ID, Payload: 'payload' }])
    expect(await consul.event.list('other')).toEqual([])
  })

  it('prepares queries', async () => {
    const { ID } = await consul.query.create({ name: 'q', service: { service: 'web' } } as never)
    expect(await consul.query.get(ID)).toMatchObject({ ID, Name: 'q', Service: { Service: 'web' } })
    await consul.query.update({ query: ID, name: 'q2', service: { service: 'web', onlypassing: true } } as never)
    expect(await consul.query.list()).toMatchObject([{ Name: 'q2', Service: { OnlyPassing: true } }])
    expect(await consul.query.execute('q2')).toMatchObject({ Service: 'web', Nodes: [{ Service: { ID: 'web-1' } }], Datacenter: 'dc1' })
    // The client takes the first item of what is no list.
    expect(await status(consul.query.explain(ID))).toBe(200)
    // The types of the client leave it out.
    await (consul.query as unknown as { destroy(id: string): Promise<void> }).destroy(ID)
    expect(await status(consul.query.get(ID))).toBe(404)
  })

  it('commits several operations at once', async () => {
    const set = { KV: { Verb: 'set', Key: 't', Value: Buffer.from('x').toString('base64') } }
    expect(await consul.transaction.create([set] as never)).toMatchObject({ Results: [{ KV: { Key: 't' } }], Errors: null })
    const stale = { KV: { Verb: 'cas', Key: 't', Value: '', Index: 1 } }
    expect(await status(consul.transaction.create([stale] as never))).toBe(409)
  })

  it('watches: a change comes once, with its index, and nothing between', async () => {
    await consul.kv.set('watched', 'one')
    const watch = consul.watch({ method: consul.kv.get, options: { key: 'watched' } as never, backoffFactor: 10 })
    const seen: unknown[] = []
    const change = (): Promise<void> => new Promise(resolve => watch.once('change', () => resolve()))
    watch.on('change', (data: { Value: string }) => seen.push(data.Value))
    await change()
    const next = change()
    await consul.kv.set('unrelated', 'x')
    await consul.kv.set('watched', 'two')
    await next
    watch.end()
    expect(seen).toEqual(['one', 'two'])
    expect(watch.isRunning()).toBe(false)
  })

  it('is told that ACLs are off', async () => {
    expect(await status(consul.acl.legacy.list())).toBeGreaterThanOrEqual(400)
    expect(await status(consul.acl.bootstrap())).toBe(401)
    expect(await status(consul.acl.replication())).toBe(401)
  })
})
