// What clients' words can grow ends with what they named; and blocking reads of what is not there, of names, and over a restart.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ApiFixture } from './api-fixture.js'

let dir: string
let api: ApiFixture
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'outrigger-blocking-'))
  api = await ApiFixture.start({ dataDir: dir })
})
afterEach(async () => {
  await api.stop()
  rmSync(dir, { recursive: true, force: true })
})

describe('a service that is gone', () => {
  it('takes the key of a connect-native program with it', async () => {
    await api.put('/v1/agent/service/register', { Name: 'native', Port: 1, Connect: { Native: true } })
    const before = (await api.get('/v1/agent/connect/ca/leaf/native')).body.SerialNumber
    await api.put('/v1/agent/service/deregister/native')
    await api.put('/v1/agent/service/register', { Name: 'native', Port: 1, Connect: { Native: true } })
    expect((await api.get('/v1/agent/connect/ca/leaf/native')).body.SerialNumber).not.toBe(before)
  })
})

describe('blocking reads', () => {
  it.each([
    ['/v1/config/service-defaults/x', () => api.put('/v1/config', { Kind: 'service-defaults', Name: 'x', Protocol: 'http' })],
    [
      '/v1/connect/intentions/exact?source=a&destination=b',
      () => api.put('/v1/connect/intentions/exact?source=a&destination=b', { Action: 'deny' }),
    ],
    ['/v1/health/service/x', () => api.put('/v1/agent/service/register', { Name: 'x', Port: 1 })],
    ['/v1/catalog/service/x', () => api.put('/v1/agent/service/register', { Name: 'x', Port: 1 })],
    ['/v1/kv/x', () => api.put('/v1/kv/x', 'value')],
    ['/v1/discovery-chain/x', () => api.put('/v1/config', { Kind: 'service-resolver', Name: 'x', ConnectTimeout: '1s' })],
  ])('of what is not there have an index and wait: %s', async (path, change) => {
    expect((await api.get(path)).index).toBeGreaterThan(0)
    expect(await api.blocks(path, change)).toBe(true)
  })

  it('of the names of services do not wake for a health change', async () => {
    await api.put('/v1/agent/service/register', { Name: 'x', Port: 1, Check: { CheckID: 'c', TTL: '1h' } })
    const { index } = await api.get('/v1/catalog/services')
    await api.put('/v1/agent/check/pass/c')
    expect((await api.get('/v1/catalog/services')).index).toBe(index)
    expect(await api.blocks('/v1/catalog/services', () => api.put('/v1/agent/service/register', { Name: 'y', Port: 1 }))).toBe(true)
  })

  it('have indexes that never go back, over a restart and a restore', async () => {
    const paths = [
      '/v1/catalog/services',
      '/v1/health/service/x',
      '/v1/config/service-defaults',
      '/v1/connect/intentions',
      '/v1/kv/x',
      '/v1/catalog/nodes',
    ]
    const indexes = async (): Promise<number[]> => {
      const found: number[] = []
      for (const path of paths) found.push((await api.get(path)).index)
      return found
    }
    await api.put('/v1/agent/service/register', { Name: 'x', Port: 1 })
    const response = await fetch(`http://${api.plane.httpAddress}/v1/snapshot`)
    const saved = new Uint8Array(await response.arrayBuffer())
    await api.put('/v1/kv/x', 'value')
    await api.put('/v1/config', { Kind: 'service-defaults', Name: 'x', Protocol: 'http' })
    await api.put('/v1/agent/service/deregister/x')
    let before = await indexes()
    const expectForward = async (): Promise<void> => {
      const after = await indexes()
      for (const [i, index] of after.entries()) expect(index, paths[i]).toBeGreaterThanOrEqual(before[i]!)
      before = after
    }
    expect((await api.put('/v1/snapshot', saved)).status).toBe(200)
    await expectForward()
    await api.stop()
    api = await ApiFixture.start({ dataDir: dir })
    await expectForward()
  })
})
