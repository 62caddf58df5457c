// Who changed what, as `/v1/outrigger/audit` tells it: every write of the API with its token's accessor, and never a secret.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { AuditLog } from '../../../src/control/audit/audit-log.js'
import { ApiFixture } from '../http-api/api-fixture.js'

const MANAGEMENT = '8a1f0a3e-7f0b-4a70-9d0b-9b5f5a2b7c11'
let api: ApiFixture

beforeAll(async () => {
  api = await ApiFixture.start({ acl: { defaultPolicy: 'deny', initialManagement: MANAGEMENT } })
})
afterAll(() => api.stop())

const write = (method: string, path: string, body?: unknown, token = MANAGEMENT) =>
  api.call(method, path, body, { 'x-consul-token': token })

interface Event {
  readonly Index: number
  readonly Area: string
  readonly Action: string
  readonly Subject: string
  readonly Outcome: string
  readonly AccessorID: string
  readonly By: string
  readonly From: string
  readonly Times: number
}
const events = async (): Promise<Event[]> =>
  (await api.call('GET', '/v1/outrigger/audit', undefined, { 'x-consul-token': MANAGEMENT })).body

describe('a write of the API', () => {
  it('is told with what it wrote, its outcome and who did it, newest first', async () => {
    await write('PUT', '/v1/config', { Kind: 'service-defaults', Name: 'api', Protocol: 'http' })
    await write('PUT', '/v1/connect/intentions/exact?source=web&destination=api', { Action: 'allow' })
    await write('PUT', '/v1/kv/app/password?flags=3', 'hunter2')
    const [kv, intention, entry] = await events()
    expect(kv).toMatchObject({ Area: 'kv', Action: 'PUT', Subject: 'kv/app/password', Outcome: 'done', From: '127.0.0.1' })
    expect(intention).toMatchObject({ Area: 'intentions', Subject: 'web → api' })
    expect(entry).toMatchObject({ Area: 'config', Subject: 'service-defaults/api', By: expect.stringContaining('anagement') })
    expect(entry!.AccessorID).toMatch(/^[0-9a-f-]{36}$/)
    expect(kv!.Index).toBeGreaterThan(intention!.Index)
  })

  it('is told when it was refused or denied, and by whom', async () => {
    await write('PUT', '/v1/config', { Kind: 'service-splitter', Name: 'api', Splits: [] })
    await api.put('/v1/kv/nobody')
    const [denied, refused] = await events()
    expect(refused).toMatchObject({ Subject: 'service-splitter/api', Outcome: 'refused' })
    expect(denied).toMatchObject({
      Area: 'kv',
      Subject: 'kv/nobody',
      Outcome: 'denied',
      AccessorID: '00000000-0000-0000-0000-000000000002',
    })
  })

  it('is told of checks that come and go, though their heartbeats are not', async () => {
    await write('PUT', '/v1/agent/check/register', { Name: 'of the node', TTL: '10m' })
    await write('PUT', '/v1/agent/check/pass/of the node')
    await write('PUT', '/v1/agent/check/deregister/of the node')
    expect((await events()).slice(0, 2)).toMatchObject([
      { Area: 'services', Subject: expect.stringContaining('agent/check/deregister'), Outcome: 'done' },
      { Area: 'services', Subject: expect.stringContaining('agent/check/register'), Outcome: 'done' },
    ])
  })

  it('names the token that ended itself', async () => {
    const { body: token } = await write('PUT', '/v1/acl/token', { Description: 'to end', Policies: [{ Name: 'global-management' }] })
    await write('DELETE', `/v1/acl/token/${token.AccessorID}`, undefined, token.SecretID)
    expect((await events())[0]).toMatchObject({ Area: 'acl', Action: 'DELETE', By: 'to end', AccessorID: token.AccessorID })
  })

  it('is never told with a secret, a value or a query', async () => {
    await api.call('PUT', `/v1/kv/app/key?token=${MANAGEMENT}`, 'hunter2')
    const told = JSON.stringify(await events())
    expect(told).toContain('kv/app/key')
    for (const secret of [MANAGEMENT, 'hunter2', 'flags=3']) expect(told).not.toContain(secret)
  })

  it('that changes nothing anybody looks after is not told: heartbeats, questions, reads', async () => {
    await write('PUT', '/v1/agent/service/register', { Name: 'ttl', Port: 1, Check: { TTL: '10m' } })
    const before = (await events())[0]!.Index
    await write('PUT', '/v1/agent/check/pass/service:ttl')
    await write('PUT', '/v1/outrigger/config-entries/check', { Kind: 'mesh' })
    await write('PUT', '/v1/outrigger/plan', [{ Kind: 'mesh' }])
    await write('POST', '/v1/internal/acl/authorize', [])
    await write('GET', '/v1/catalog/services')
    expect((await events())[0]!.Index).toBe(before)
  })

  it('wakes who waits for it', async () => {
    const { index } = await api.call('GET', '/v1/outrigger/audit', undefined, { 'x-consul-token': MANAGEMENT })
    const waiting = api.call('GET', `/v1/outrigger/audit?index=${index}&wait=60s`, undefined, { 'x-consul-token': MANAGEMENT })
    await write('DELETE', '/v1/kv/app/key')
    expect((await waiting).body[0]).toMatchObject({ Action: 'DELETE', Subject: 'kv/app/key' })
  })
})

describe('the log', () => {
  const entry = { area: 'kv', action: 'PUT', subject: 'kv/a', outcome: 'done', by: 'me', byName: '', from: '' } as const

  it('keeps the changes of each area, and what was refused, apart and bounded', () => {
    const log = new AuditLog()
    log.add({ ...entry, area: 'intentions', subject: 'web → api' })
    for (let i = 0; i < 10_000; i++) log.add({ ...entry, subject: `kv/${i}`, outcome: i % 2 === 0 ? 'done' : 'denied' })
    const kept = log.events()
    expect(kept.length).toBe(1 + 250 + 250)
    expect(kept.at(-1)).toMatchObject({ area: 'intentions' })
    expect(kept[0]!.subject).toBe('kv/9999')
  })

  it('counts what the same hand does again, and cuts long names', () => {
    const log = new AuditLog()
    for (let i = 0; i < 3; i++) log.add({ ...entry, subject: 'x'.repeat(5_000) })
    expect(log.events()).toHaveLength(1)
    expect(log.events()[0]).toMatchObject({ times: 3, subject: 'x'.repeat(300) })
    log.add({ ...entry, by: 'another', subject: 'x'.repeat(5_000) })
    expect(log.events()).toHaveLength(2)
  })
})
