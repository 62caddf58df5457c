import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ApiFixture } from './api-fixture.js'

let dataDir: string
let api: ApiFixture
beforeEach(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'outrigger-snapshot-'))
  api = await ApiFixture.start({ dataDir })
})
afterEach(async () => {
  await api.stop()
  rmSync(dataDir, { recursive: true, force: true })
})

async function save(): Promise<Uint8Array> {
  const response = await fetch(`http://${api.plane.httpAddress}/v1/snapshot`)
  expect(response.status).toBe(200)
  return new Uint8Array(await response.arrayBuffer())
}

describe('/v1/snapshot', () => {
  it('brings back the whole state as it was, and wakes who waits', async () => {
    await api.put('/v1/kv/a', 'before')
    await api.put('/v1/agent/service/register', { Name: 'web', Port: 1 })
    await api.put('/v1/config', { Kind: 'service-defaults', Name: 'web', Protocol: 'http' })
    const file = await save()
    await api.put('/v1/kv/a', 'after')
    await api.put('/v1/kv/b', 'new')
    await api.put('/v1/agent/service/deregister/web')
    await api.call('DELETE', '/v1/config/service-defaults/web')
    const { index } = await api.get('/v1/kv/a')
    expect(await api.blocks('/v1/kv/a', () => api.put('/v1/snapshot', file))).toBe(true)
    expect((await api.get('/v1/kv/a?raw')).body).toBe('before')
    expect((await api.get('/v1/kv/b')).status).toBe(404)
    expect((await api.get('/v1/catalog/service/web')).body).toHaveLength(1)
    expect((await api.get('/v1/config/service-defaults/web')).body).toMatchObject({ Protocol: 'http' })
    expect((await api.get('/v1/kv/a')).index).toBeGreaterThan(index)
  })

  it('refuses a damaged, cut or foreign file, and changes nothing', async () => {
    await api.put('/v1/kv/a', '1')
    const file = await save()
    await api.put('/v1/kv/a', '2')
    for (let at = 0; at < file.length; at += Math.ceil(file.length / 20)) {
      const damaged = file.slice()
      damaged[at] = damaged[at]! ^ 0xff
      // Bytes of the gzip head that mean nothing (time, system) may differ.
      if (at >= 4 && at < 10) continue
      expect((await api.put('/v1/snapshot', damaged)).status, `byte ${at}`).toBe(500)
    }
    expect((await api.put('/v1/snapshot', file.slice(0, file.length - 9))).status).toBe(500)
    expect((await api.put('/v1/snapshot', 'nonsense')).body).toContain('not a state file')
    const other = await ApiFixture.start()
    try {
      expect((await other.put('/v1/snapshot', file)).body).toContain('another CA')
    } finally {
      await other.stop()
    }
    expect((await api.get('/v1/kv/a?raw')).body).toBe('2')
  })
})

describe('a restart', () => {
  it('keeps pairs, locks, sessions and queries, and no index goes back', async () => {
    const { ID } = (await api.put('/v1/session/create', { TTL: '1h' })).body
    await api.put(`/v1/kv/locked?acquire=${ID}&flags=3`, 'me')
    await api.put('/v1/kv/gone/a', '1')
    await api.put('/v1/kv/gone/b', '1')
    await api.call('DELETE', '/v1/kv/gone/b')
    await api.call('POST', '/v1/query', { Name: 'q', Service: { Service: 'web' } })
    const paths = ['/v1/kv/locked', '/v1/kv/gone/?recurse', '/v1/kv/absent', '/v1/session/list', '/v1/query', '/v1/catalog/service/none']
    const before = await Promise.all(paths.map(path => api.get(path)))
    await api.stop()
    api = await ApiFixture.start({ dataDir })
    const after = await Promise.all(paths.map(path => api.get(path)))
    paths.forEach((path, i) => {
      expect(after[i]!.body, path).toEqual(before[i]!.body)
      expect(after[i]!.index, path).toBeGreaterThanOrEqual(before[i]!.index)
    })
    expect((await api.get('/v1/kv/locked')).body[0]).toMatchObject({ Session: ID, Flags: 3 })
    await api.put(`/v1/session/destroy/${ID}`)
    expect((await api.get('/v1/kv/locked')).body[0].Session).toBeUndefined()
  })
})
