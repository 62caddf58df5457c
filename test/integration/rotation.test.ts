// Certificates rotate in a whole mesh under load: leaves of both sides and the root, while connections stay open through both sidecars
// and requests keep coming. Small by default; OUTRIGGER_FULL=1 runs 1,000 connections, 500 requests/s, 20 leaf and 2 root rotations.
import { createHistogram } from 'node:perf_hooks'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Http1Client } from '../support/http1-client.js'
import { MeshFixture, type Registered } from '../support/mesh-fixture.js'
import { HttpOrigin, http } from '../support/origins.js'
import { type ProxyProcess, until } from '../support/proxy-process.js'

const full = process.env['OUTRIGGER_FULL'] === '1'
const size = full
  ? { connections: 1_000, perSecond: 500, leaves: 20, roots: 2, apart: 3_000 }
  : { connections: 100, perSecond: 100, leaves: 5, roots: 1, apart: 300 }

const origin = new HttpOrigin((_, socket) => void socket.write(http('ok')))
const mesh = new MeshFixture()
let web: Registered
let sidecars: { web: ProxyProcess; api: ProxyProcess }

beforeAll(async () => {
  await origin.listen()
  await mesh.start()
  await mesh.register('api', { name: 'api', port: origin.port })
  web = await mesh.register('web', { name: 'web', upstreams: ['api'] })
  await mesh.intention('api', [{ Name: 'web', Action: 'allow' }])
  sidecars = { api: await mesh.sidecar('api'), web: await mesh.sidecar('web') }
})
afterAll(async () => {
  await mesh.stop()
  await origin.close()
})

/** Serial numbers of the leaf that a sidecar serves, lower-case hex without leading zeros, as /certs prints them. */
async function servedSerials(proxy: ProxyProcess): Promise<string[]> {
  const { certificates } = await proxy.json('/certs')
  return certificates.flatMap((entry: { cert_chain: { serial_number: string }[] }) => entry.cert_chain.map(c => plain(c.serial_number)))
}

const plain = (serial: string): string => serial.replaceAll(':', '').toLowerCase().replace(/^0+/, '')

it('leaf and root rotations under load: no connection is dropped, no request fails, the new serials are served (consul#16779, #9443)', {
  timeout: full ? 300_000 : 60_000,
}, async () => {
  const port = web.upstreams.get('api')!
  const clients: Http1Client[] = []
  for (let i = 0; i < size.connections; i += 50) {
    const batch = Math.min(50, size.connections - i)
    clients.push(...(await Promise.all(Array.from({ length: batch }, () => Http1Client.connect(port)))))
  }
  expect((await Promise.all(clients.map(client => client.get('/first')))).every(answer => answer.status === 200)).toBe(true)

  const failures: string[] = []
  const latency = createHistogram()
  let sent = 0
  const pending = new Set<Promise<void>>()
  const busy = new Set<Http1Client>()
  const ask = (client: Http1Client): void => {
    sent++
    busy.add(client)
    const at = performance.now()
    const one: Promise<void> = client
      .get(`/${sent}`)
      .then(
        answer => void (answer.status === 200 || failures.push(`${answer.status} ${answer.body}`)),
        (error: Error) => void failures.push(error.message),
      )
      .finally(() => {
        latency.record(Math.max(1, Math.round((performance.now() - at) * 1_000)))
        busy.delete(client)
        pending.delete(one)
      })
    pending.add(one)
  }
  let turn = 0
  let due = 0
  const startedAt = performance.now()
  const timer = setInterval(() => {
    due = ((performance.now() - startedAt) / 1_000) * size.perSecond
    for (let tried = 0; sent < due && tried < clients.length; tried++) {
      const client = clients[turn++ % clients.length]!
      if (!busy.has(client) && !client.closed) ask(client)
    }
  }, 10)

  const served = new Set<string>()
  const rotateLeaf = async (service: 'web' | 'api'): Promise<void> => {
    const { text } = await mesh.writeFor(`/v1/outrigger/ca/rotate-leaf?service=${service}`)
    const { SerialNumber, Index } = JSON.parse(text) as { SerialNumber: string; Index: number }
    await mesh.acknowledged(service, Index)
    await until(`${service} serves ${SerialNumber}`, async () => (await servedSerials(sidecars[service])).includes(plain(SerialNumber)))
    served.add(plain(SerialNumber))
  }
  const rotateRoot = async (): Promise<void> => {
    const { Index } = JSON.parse((await mesh.writeFor('/v1/outrigger/ca/rotate-root')).text) as { Index: number }
    for (const id of ['web', 'api']) await mesh.acknowledged(id, Index)
    // A new connection between the sidecars must come up in the overlap too.
    const fresh = await Http1Client.connect(port)
    expect((await fresh.get('/fresh')).status).toBe(200)
    fresh.destroy()
  }
  const every = Math.max(1, Math.floor(size.leaves / size.roots))
  let roots = 0
  for (let i = 1; i <= size.leaves; i++) {
    await rotateLeaf(i % 2 === 0 ? 'web' : 'api')
    if (i % every === 0 && roots < size.roots) {
      roots++
      await rotateRoot()
    }
    const until = sent + (size.apart / 1_000) * size.perSecond
    while (sent < until) await new Promise(resolve => setTimeout(resolve, 20))
  }
  clearInterval(timer)
  await Promise.all(pending)

  const dropped = clients.filter(client => client.closed).length
  const rate = sent / ((performance.now() - startedAt) / 1_000)
  console.info(
    `rotation: ${clients.length} connections, ${sent} requests (${rate.toFixed(0)}/s), ${size.leaves} leaf and ${roots} root rotations; ` +
      `${failures.length} failed, ${dropped} dropped; latency p50 ${(latency.percentile(50) / 1_000).toFixed(1)} ms, ` +
      `p99 ${(latency.percentile(99) / 1_000).toFixed(1)} ms, max ${(latency.max / 1_000).toFixed(1)} ms`,
  )
  expect(failures).toEqual([])
  expect(dropped).toBe(0)
  expect(served.size).toBe(size.leaves)
  expect(roots).toBe(size.roots)
  const stats = await sidecars.api.stats()
  expect([...stats].filter(([name, value]) => /ssl\.(?:refused\.|fail_verify|connection_error)/.test(name) && value > 0)).toEqual([])
  // Both roots are still trusted; contexts of old leaves are not piled up.
  expect((await mesh.read('/v1/connect/ca/roots')).Roots.length).toBe(1 + size.roots)
  expect(await sidecars.api.stat('server.days_until_first_cert_expiring')).toBeGreaterThanOrEqual(2)
  for (const client of clients) client.destroy()
})
