// Intentions one by one: what a write says of one source changes nothing else, neither what others write at the same time nor what is said of a
// peer's service of the same name.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { ApiFixture } from './api-fixture.js'

let api: ApiFixture
beforeAll(async () => {
  api = await ApiFixture.start()
})
afterAll(() => api.stop())

interface Source {
  readonly Name: string
  readonly Peer?: string
  readonly Action: string
}
const exact = (source: string): string => `/v1/connect/intentions/exact?source=${source}&destination=api`
const sources = async (): Promise<string[]> => {
  const { body } = await api.get('/v1/config/service-intentions/api')
  return (body.Sources as Source[]).map(({ Name, Peer, Action }) => `${Name}${Peer === undefined ? '' : `@${Peer}`} ${Action}`).sort()
}

it('written at the same time are all there, and so is what is left of those taken away at the same time', async () => {
  const names = Array.from({ length: 20 }, (_, i) => `caller-${i}`)
  const written = await Promise.all(names.map(name => api.put(exact(name), { Action: 'allow' })))
  expect(written.map(({ status }) => status)).toEqual(names.map(() => 200))
  expect(await sources()).toEqual(names.map(name => `${name} allow`).sort())
  await Promise.all(names.slice(1).map(name => api.call('DELETE', exact(name))))
  expect(await sources()).toEqual(['caller-0 allow'])
  await api.call('DELETE', exact('caller-0'))
  expect((await api.get('/v1/config/service-intentions/api')).status).toBe(404)
})

it('made twice at the same time by the old form are made once', async () => {
  const body = { SourceName: 'twice', DestinationName: 'api', Action: 'allow' }
  const answers = await Promise.all([1, 2, 3].map(() => api.call('POST', '/v1/connect/intentions', body)))
  expect(answers.map(({ status }) => status).sort()).toEqual([200, 500, 500])
})

it('changed by their id keep the pair of names that the id is of, whatever case it is written in', async () => {
  const pair = { SourceName: 'web', DestinationName: 'changed' }
  const { body: made } = await api.call('POST', '/v1/connect/intentions', { ...pair, Action: 'allow' })
  const path = `/v1/connect/intentions/${made.ID.toUpperCase()}`
  expect(await api.put(path, { ...pair, SourceName: 'batch', Action: 'deny' })).toMatchObject({
    status: 400,
    body: "SourceName is web in the intention of this ID, and can't be changed",
  })
  expect((await api.put(path, { ...pair, SourceName: 'default/web', Action: 'deny' })).status).toBe(200)
  expect((await api.get(path)).body).toMatchObject({ ...pair, Action: 'deny' })
  expect((await api.call('DELETE', path)).status).toBe(200)
})

it('are read in any spelling of their fields', async () => {
  const at = '/v1/connect/intentions/exact?source=web&destination=spelt'
  await api.put('/v1/config', { Kind: 'service-defaults', Name: 'spelt', Protocol: 'http' })
  expect((await api.put(at, { action: 'allow', description: 'lower' })).status).toBe(200)
  expect((await api.get(at)).body).toMatchObject({ Action: 'allow', Description: 'lower' })
  expect((await api.put(at, { permissions: [{ action: 'deny', http: { path_exact: '/x' } }] })).status).toBe(200)
  expect((await api.get(at)).body.Permissions).toMatchObject([{ Action: 'deny', HTTP: { PathExact: '/x' } }])
  expect((await api.call('DELETE', at)).status).toBe(200)
})

it('is refused where it is said to be of a peer’s service: it would be one of ours', async () => {
  const body = { SourceName: 'web', DestinationName: 'api', Action: 'allow' }
  for (const [name, value] of [
    ['SourcePeer', 'east'],
    ['SourceSamenessGroup', 'all'],
  ]) {
    const refused = { status: 400, body: `${name}: write the service-intentions entry of api instead` }
    expect(await api.call('POST', '/v1/connect/intentions', { ...body, [name!]: value })).toMatchObject(refused)
    expect(await api.put(exact('web'), { Action: 'allow', [name!]: value })).toMatchObject(refused)
  }
  expect((await api.get(exact('web'))).status).toBe(404)
  expect((await api.put(exact('web'), { Action: 'allow', SourcePeer: '' })).status).toBe(200)
  await api.call('DELETE', exact('web'))
})

describe('of a service of ours, beside one of a peer with the same name', () => {
  beforeEach(async () => {
    const Sources = [
      { Name: 'web', Peer: 'east', Action: 'deny', Description: 'of the east' },
      { Name: 'batch', Action: 'allow' },
    ]
    expect((await api.put('/v1/config', { Kind: 'service-intentions', Name: 'api', Sources })).status).toBe(200)
  })

  it('none is found by name where only the peer has one', async () => {
    expect((await api.get(exact('web'))).status).toBe(404)
    expect((await api.get('/v1/connect/intentions/match?by=source&name=web')).body).toEqual({ web: [] })
    const { body } = await api.get('/v1/connect/intentions/match?by=destination&name=api')
    expect(body.api.map(({ SourceName, SourcePeer }: Record<string, string>) => [SourceName, SourcePeer])).toEqual([
      ['batch', undefined],
      ['web', 'east'],
    ])
  })

  it('is made, changed and taken away without touching the other', async () => {
    await api.put(exact('web'), { Action: 'allow' })
    expect(await sources()).toEqual(['batch allow', 'web allow', 'web@east deny'])
    expect((await api.get(exact('web'))).body).toMatchObject({ Action: 'allow', SourceName: 'web' })
    await api.put(exact('web'), { Action: 'deny' })
    expect(await sources()).toEqual(['batch allow', 'web deny', 'web@east deny'])
    await api.call('DELETE', exact('web'))
    expect(await sources()).toEqual(['batch allow', 'web@east deny'])
    await api.call('DELETE', exact('web'))
    expect(await sources()).toEqual(['batch allow', 'web@east deny'])
  })

  it('has an id of its own, and that of the other is read and not written', async () => {
    const { body: made } = await api.call('POST', '/v1/connect/intentions', { SourceName: 'web', DestinationName: 'api', Action: 'allow' })
    const { body: all } = await api.get('/v1/connect/intentions')
    const ids = new Map((all as Record<string, string>[]).map(each => [`${each['SourceName']}@${each['SourcePeer'] ?? ''}`, each['ID']]))
    expect(ids.get('web@')).toBe(made.ID)
    const id = ids.get('web@east')
    expect(id).not.toBe(made.ID)
    expect((await api.get(`/v1/connect/intentions/${id}`)).body).toMatchObject({ SourcePeer: 'east', Description: 'of the east' })
    for (const method of ['PUT', 'DELETE'])
      expect(await api.call(method, `/v1/connect/intentions/${id}`, method === 'PUT' ? { Action: 'allow' } : undefined)).toMatchObject({
        status: 400,
        body: 'the source is of peer east: write the service-intentions entry of api',
      })
    expect(await sources()).toEqual(['batch allow', 'web allow', 'web@east deny'])
  })
})
