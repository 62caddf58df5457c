import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ApiFixture } from './api-fixture.js'

let api: ApiFixture
beforeEach(async () => {
  api = await ApiFixture.start()
})
afterEach(() => api.stop())

const textOf = (body: { Value: string }[]): string => Buffer.from(body[0]!.Value, 'base64').toString()

describe('/v1/kv', () => {
  it('keeps values of any bytes, with flags of 64 bits', async () => {
    expect(await api.put('/v1/kv/a/b?flags=18446744073709551615', 'héllo')).toMatchObject({ status: 200, body: true })
    const response = await fetch(`http://${api.plane.httpAddress}/v1/kv/a/b`)
    expect(await response.text()).toContain('"Flags":18446744073709551615')
    const { body, index } = await api.get('/v1/kv/a/b')
    expect(body).toMatchObject([{ Key: 'a/b', LockIndex: 0, CreateIndex: index, ModifyIndex: index }])
    expect(textOf(body)).toBe('héllo')
    const raw = await api.get('/v1/kv/a/b?raw')
    expect([raw.body, raw.headers.get('content-type'), raw.headers.get('x-content-type-options')]).toEqual([
      'héllo',
      'application/octet-stream',
      'nosniff',
    ])
    await api.put('/v1/kv/bytes', new Uint8Array([0, 255, 1]))
    expect((await api.get('/v1/kv/bytes')).body[0].Value).toBe('AP8B')
    await api.put('/v1/kv/json', '{"not": "parsed"')
    expect(textOf((await api.get('/v1/kv/json')).body)).toBe('{"not": "parsed"')
    await api.put('/v1/kv/empty')
    expect((await api.get('/v1/kv/empty')).body[0].Value).toBe('')
    await api.put(`/v1/kv/${encodeURIComponent('ключ %')}`, '1')
    expect((await api.get('/v1/kv/?keys')).body).toEqual(['a/b', 'bytes', 'empty', 'json', 'ключ %'])
  })

  it('lists what is below a prefix, and keys cut at a separator', async () => {
    for (const key of ['web/b', 'web/a/2', 'web/a/1', 'website', 'other']) await api.put(`/v1/kv/${key}`, key)
    expect((await api.get('/v1/kv/web/?recurse')).body.map(({ Key }: { Key: string }) => Key)).toEqual(['web/a/1', 'web/a/2', 'web/b'])
    expect((await api.get('/v1/kv/web/?keys&separator=/')).body).toEqual(['web/a/', 'web/b'])
    expect((await api.get('/v1/kv/web?keys')).body).toEqual(['web/a/1', 'web/a/2', 'web/b', 'website'])
    expect(await api.get('/v1/kv/none/?recurse')).toMatchObject({ status: 404, body: '' })
    await api.call('DELETE', '/v1/kv/web/?recurse')
    expect((await api.get('/v1/kv/?keys')).body).toEqual(['other', 'website'])
  })

  it('checks and sets', async () => {
    expect((await api.put('/v1/kv/k?cas=0', '1')).body).toBe(true)
    expect((await api.put('/v1/kv/k?cas=0', '2')).body).toBe(false)
    const { ModifyIndex } = (await api.get('/v1/kv/k')).body[0]
    expect((await api.put(`/v1/kv/k?cas=${ModifyIndex}`, '3')).body).toBe(true)
    expect((await api.call('DELETE', `/v1/kv/k?cas=${ModifyIndex}`)).body).toBe(false)
    expect(textOf((await api.get('/v1/kv/k')).body)).toBe('3')
  })

  it('writes nothing when the same is written again', async () => {
    await api.put('/v1/kv/k', '1')
    const before = (await api.get('/v1/kv/k')).body[0].ModifyIndex
    await api.put('/v1/kv/k', '1')
    expect((await api.get('/v1/kv/k')).body[0].ModifyIndex).toBe(before)
  })

  it('gives writers of one key at the same time an index each, so that one check-and-set of many wins', async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => api.put('/v1/kv/race?cas=0', String(i))))
    expect(answers.filter(({ body }) => body === true)).toHaveLength(1)
    await Promise.all(Array.from({ length: 200 }, (_, i) => api.put(`/v1/kv/many/${i}`, String(i))))
    expect((await api.get('/v1/kv/many/?keys')).body).toHaveLength(200)
  })

  it('refuses what Consul refuses, in its words', async () => {
    expect(await api.get('/v1/kv/')).toMatchObject({ status: 400, body: 'Missing key name' })
    expect(await api.put('/v1/kv/k', 'x'.repeat(512 * 1024 + 1))).toMatchObject({ status: 413, body: expect.stringContaining('too large') })
    expect((await api.put('/v1/kv/k', 'x'.repeat(512 * 1024))).status).toBe(200)
    expect(await api.put('/v1/kv/k?cas=1&acquire=x', '')).toMatchObject({ status: 400, body: 'Conflicting flags: cas&acquire' })
    expect((await api.put('/v1/kv/k?flags=-1', '')).status).toBe(400)
    expect((await api.put('/v1/kv/k?flags=18446744073709551616', '')).status).toBe(400)
    expect((await api.put('/v1/kv/k?cas=x', '')).status).toBe(400)
  })

  it('wakes who waits for a key, for one that is not there, and for a prefix, by writes and deletions, and nobody else', async () => {
    await api.put('/v1/kv/w/a', '1')
    expect(await api.blocks('/v1/kv/w/a', () => api.put('/v1/kv/w/a', '2'))).toBe(true)
    expect(await api.blocks('/v1/kv/late', () => api.put('/v1/kv/late', '1'))).toBe(true)
    expect(await api.blocks('/v1/kv/w/?recurse', () => api.put('/v1/kv/w/b', '1'))).toBe(true)
    expect(await api.blocks('/v1/kv/w/?keys', () => api.call('DELETE', '/v1/kv/w/b'))).toBe(true)
    expect(await api.blocks('/v1/kv/w/?recurse', () => api.call('DELETE', '/v1/kv/w/?recurse'))).toBe(true)
    const { index } = await api.get('/v1/kv/late')
    const waiting = api.get(`/v1/kv/late?index=${index}&wait=60s`)
    await api.put('/v1/kv/other', '1')
    await api.put('/v1/kv/late', '2')
    expect(textOf((await waiting).body)).toBe('2')
  })

  it('never lets the index of a prefix go back when its newest key is deleted', async () => {
    await api.put('/v1/kv/p/a', '1')
    await api.put('/v1/kv/p/b', '1')
    const before = (await api.get('/v1/kv/p/?recurse')).index
    await api.call('DELETE', '/v1/kv/p/b')
    expect((await api.get('/v1/kv/p/?recurse')).index).toBeGreaterThan(before)
  })
})

describe('/v1/session', () => {
  const create = async (body: object = {}): Promise<string> => (await api.put('/v1/session/create', body)).body.ID

  it('has Consul’s defaults', async () => {
    const id = await create()
    expect((await api.get(`/v1/session/info/${id}`)).body).toMatchObject([
      { ID: id, Name: '', Node: 'node-1', LockDelay: 15e9, Behavior: 'release', TTL: '', NodeChecks: ['serfHealth'], ServiceChecks: [] },
    ])
    expect((await api.get('/v1/session/list')).body).toHaveLength(1)
    expect((await api.get('/v1/session/node/NODE-1')).body).toHaveLength(1)
    expect((await api.get('/v1/session/node/other')).body).toEqual([])
  })

  it('reads lock delays as Consul does', async () => {
    const delayOf = async (LockDelay: unknown): Promise<number> =>
      (await api.get(`/v1/session/info/${await create({ LockDelay })}`)).body[0].LockDelay
    expect(await Promise.all(['5s', 20, 3e9, '0s', 0].map(delayOf))).toEqual([5e9, 20e9, 3e9, 0, 0])
    expect((await api.put('/v1/session/create', { LockDelay: '2m' })).status).toBe(400)
  })

  it('locks a key for one session, and releases or deletes it when the session ends', async () => {
    const [mine, other] = [await create({ LockDelay: 0 }), await create({ LockDelay: 0, Behavior: 'delete' })]
    expect((await api.put(`/v1/kv/l?acquire=${mine}`, 'me')).body).toBe(true)
    expect((await api.put(`/v1/kv/l?acquire=${other}`, 'you')).body).toBe(false)
    expect((await api.put(`/v1/kv/l?release=${other}`, 'you')).body).toBe(false)
    expect((await api.get('/v1/kv/l')).body[0]).toMatchObject({ Session: mine, LockIndex: 1 })
    expect(await api.blocks('/v1/kv/l', () => api.put(`/v1/session/destroy/${mine}`))).toBe(true)
    expect((await api.get('/v1/kv/l')).body[0].Session).toBeUndefined()
    expect((await api.put(`/v1/kv/l?acquire=${other}`, 'you')).body).toBe(true)
    expect((await api.get('/v1/kv/l')).body[0].LockIndex).toBe(2)
    await api.put(`/v1/session/destroy/${other}`)
    expect((await api.get('/v1/kv/l')).status).toBe(404)
  })

  it('keeps others from a lock for the lock delay', async () => {
    const [mine, other] = [await create({ LockDelay: '60s' }), await create()]
    await api.put(`/v1/kv/l?acquire=${mine}`, '')
    await api.put(`/v1/session/destroy/${mine}`)
    expect((await api.put(`/v1/kv/l?acquire=${other}`, '')).body).toBe(false)
  })

  it('ends with the check that it stands on', async () => {
    await api.put('/v1/agent/service/register', { Name: 'web', Port: 1, Check: { CheckID: 'alive', TTL: '1h', Status: 'passing' } })
    const id = await create({ NodeChecks: [], ServiceChecks: [{ ID: 'alive' }], LockDelay: 0 })
    await api.put(`/v1/kv/l?acquire=${id}`, '')
    expect(await api.blocks('/v1/kv/l', () => api.put('/v1/agent/check/fail/alive'))).toBe(true)
    expect((await api.get(`/v1/session/info/${id}`)).body).toEqual([])
    expect(await api.put('/v1/session/create', { ServiceChecks: [{ ID: 'alive' }] })).toMatchObject({
      status: 500,
      body: "Check 'alive' is in critical state",
    })
    expect(await api.put('/v1/session/create', { NodeChecks: ['none'] })).toMatchObject({ body: "Missing check 'none' registration" })
  })

  it('refuses what Consul refuses', async () => {
    for (const [body, text] of [
      [{ TTL: '1s' }, 'Invalid Session TTL'],
      [{ TTL: '25h' }, 'Invalid Session TTL'],
      [{ TTL: 'soon' }, 'invalid'],
      [{ Behavior: 'explode' }, 'Invalid Behavior setting'],
    ] as const)
      expect(await api.put('/v1/session/create', body)).toMatchObject({ status: 500, body: expect.stringContaining(text) })
    expect((await api.put('/v1/session/create', { Node: 'elsewhere' })).body).toBe('Missing node registration')
    expect((await api.put('/v1/session/renew/11111111-2222-3333-4444-555555555555')).status).toBe(404)
    expect((await api.put('/v1/session/destroy/11111111-2222-3333-4444-555555555555')).body).toBe(true)
    expect((await api.put('/v1/kv/l?acquire=nobody', '')).body).toBe('invalid session "nobody"')
  })
})

describe('/v1/txn', () => {
  const kv = (Verb: string, Key: string, more: object = {}): object => ({ KV: { Verb, Key, ...more } })
  const b64 = (text: string): string => Buffer.from(text).toString('base64')

  it('does all of it, with one index, and says what each operation did', async () => {
    const { status, body } = await api.put('/v1/txn', [
      kv('set', 'a', { Value: b64('1'), Flags: 7 }),
      kv('get', 'a'),
      kv('get-or-empty', 'b'),
      kv('check-not-exists', 'b'),
      kv('set', 'b', { Value: b64('2') }),
      kv('get-tree', ''),
      kv('delete', 'b'),
    ])
    expect(status).toBe(200)
    expect(body.Errors).toBeNull()
    expect(body.Results.map(({ KV }: { KV: { Key: string; Value: string | null } }) => [KV.Key, KV.Value])).toEqual([
      ['a', null],
      ['a', b64('1')],
      ['b', null],
      ['b', null],
      ['a', b64('1')],
      ['b', b64('2')],
    ])
    const { ModifyIndex } = (await api.get('/v1/kv/a')).body[0]
    expect(new Set(body.Results.map(({ KV }: { KV: { ModifyIndex: number } }) => KV.ModifyIndex))).toEqual(new Set([ModifyIndex, 0]))
    expect((await api.get('/v1/kv/b')).status).toBe(404)
  })

  it('does nothing of it when one operation fails, and names each that does', async () => {
    await api.put('/v1/kv/a', '1')
    const { status, body } = await api.put('/v1/txn', [
      kv('set', 'new', { Value: b64('1') }),
      kv('get', 'none'),
      kv('cas', 'a', { Value: b64('2'), Index: 1 }),
      kv('check-index', 'a', { Index: 1 }),
      kv('unlock', 'a', { Session: 'x' }),
      kv('lock', 'a', { Session: 'x' }),
      kv('check-not-exists', 'a'),
      kv('delete-cas', 'a', { Index: 1 }),
      kv('fly', 'a'),
    ])
    expect(status).toBe(409)
    expect(body.Results).toBeNull()
    expect(body.Errors.map(({ OpIndex }: { OpIndex: number }) => OpIndex)).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
    expect(body.Errors[0].What).toBe('key "none" doesn\'t exist')
    expect((await api.get('/v1/kv/new')).status).toBe(404)
  })

  it('names the index that it would have had itself for what it has written', async () => {
    await api.put('/v1/kv/a', '1')
    const { ModifyIndex } = (await api.get('/v1/kv/a')).body[0]
    const { body } = await api.put('/v1/txn', [kv('set', 'a', { Value: b64('2') }), kv('check-index', 'a', { Index: ModifyIndex })])
    expect(body.Errors).toEqual([
      { OpIndex: 1, What: `failed index check for key "a", current modify index ${ModifyIndex + 1} != ${ModifyIndex}` },
    ])
  })

  it('is bounded', async () => {
    expect(
      (
        await api.put(
          '/v1/txn',
          Array.from({ length: 129 }, () => kv('get', 'a')),
        )
      ).status,
    ).toBe(413)
    expect((await api.put('/v1/txn', { KV: {} })).status).toBe(400)
    expect((await api.put('/v1/txn', [{}])).status).toBe(400)
    expect((await api.put('/v1/txn', [kv('set', 'a', { Value: '***' })])).status).toBe(400)
  })
})

/** A variable of a query's template. */
const variable = (name: string): string => `$\{${name}}`

describe('/v1/event and /v1/query', () => {
  it('lists events, whose index is in their id, and wakes who waits', async () => {
    const { body: first } = await api.put('/v1/event/fire/deploy', 'v2')
    expect(first).toMatchObject({ Name: 'deploy', Payload: Buffer.from('v2').toString('base64'), Version: 1, LTime: 1 })
    const { body, index } = await api.get('/v1/event/list?name=deploy')
    expect(body).toHaveLength(1)
    const hex = (first.ID as string).replaceAll('-', '')
    expect(Number(BigInt(`0x${hex.slice(0, 16)}`) ^ BigInt(`0x${hex.slice(16)}`))).toBe(index)
    expect(await api.blocks('/v1/event/list', () => api.put('/v1/event/fire/again'))).toBe(true)
    await api.put('/v1/event/fire/elsewhere?node=^other$')
    expect((await api.get('/v1/event/list')).body.map(({ Name }: { Name: string }) => Name)).toEqual(['deploy', 'again'])
    expect((await api.put('/v1/event/fire/x?tag=a')).status).toBe(500)
    expect((await api.put('/v1/event/fire/x?node=(')).status).toBe(500)
  })

  it('executes prepared queries by name, by id and by template', async () => {
    await api.put('/v1/agent/service/register', { ID: 'w1', Name: 'web', Port: 1, Tags: ['v1'], Meta: { zone: 'a' } })
    await api.put('/v1/agent/service/register', { ID: 'w2', Name: 'web', Port: 2, Tags: ['v2'], Check: { TTL: '1h', Status: 'critical' } })
    const create = (body: object) => api.call('POST', '/v1/query', body)
    const { ID } = (await create({ Name: 'near', Service: { Service: 'web', Tags: ['v1', '!v2'], ServiceMeta: { zone: 'a' } } })).body
    const run = async (name: string) => (await api.get(`/v1/query/${name}/execute`)).body
    expect((await run('near')).Nodes.map(({ Service }: { Service: { ID: string } }) => Service.ID)).toEqual(['w1'])
    expect((await run(ID)).Service).toBe('web')
    await create({
      Name: 'geo-',
      Template: { Type: 'name_prefix_match', Regexp: '^geo-(.*?)-([^-]+)$' },
      Service: { Service: variable('match(1)'), Tags: [variable('match(2)')] },
    })
    expect((await api.get('/v1/query/geo-web-v1/explain')).body.Query.Service).toMatchObject({ Service: 'web', Tags: ['v1'] })
    expect((await run('geo-web-v1')).Nodes).toHaveLength(1)
    expect((await create({ Name: 'near', Service: { Service: 'web' } })).body).toContain('aliases an existing query name')
    expect((await create({ Name: 'x', Template: { Type: 'name_prefix_match' }, Service: { Service: variable('nope') } })).status).toBe(500)
    expect((await create({ Name: 'x' })).body).toContain('Must provide a Service name')
    await api.call('DELETE', `/v1/query/${ID}`)
    expect((await api.get('/v1/query/near/execute')).status).toBe(404)
  })
})
