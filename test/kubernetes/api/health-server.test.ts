// The pages of probes.
import { afterAll, beforeAll, expect, it } from 'vitest'
import { HealthServer } from '../../../src/kubernetes/api/health-server.js'

const source = { started: false, ready: false }
let server: HealthServer
beforeAll(async () => {
  server = await HealthServer.start('127.0.0.1', 0, source)
})
afterAll(() => server.close())

const statuses = (): Promise<number[]> =>
  Promise.all(
    ['/live', '/startup', '/ready?verbose', '/'].map(async path => (await fetch(`http://127.0.0.1:${server.port}${path}`)).status),
  )

it('are 200 as far as it has come', async () => {
  expect(await statuses()).toEqual([200, 503, 503, 404])
  Object.assign(source, { started: true, ready: true })
  expect(await statuses()).toEqual([200, 200, 200, 404])
  source.ready = false
  expect(await statuses()).toEqual([200, 200, 503, 404])
})

it('an address that is taken is refused', async () => {
  await expect(HealthServer.start('127.0.0.1', server.port, source)).rejects.toThrow('EADDRINUSE')
})
