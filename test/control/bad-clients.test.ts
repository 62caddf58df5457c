// Clients that behave badly, and those beside them: a sidecar that never acknowledges, one that refuses everything, a stampede of registrations.
import { afterEach, beforeEach, expect, it } from 'vitest'
import { ControlPlane } from '../../src/control/control-plane.js'
import { until } from '../support/proxy-process.js'
import { TestSidecar } from './test-sidecar.js'

const CHANGES = 40
const STAMPEDE = 300
let plane: ControlPlane
const sidecars: TestSidecar[] = []

beforeEach(async () => {
  plane = new ControlPlane({ httpAddr: '127.0.0.1:0', grpcAddr: '127.0.0.1:0', sidecarMinPort: 21_000, sidecarMaxPort: 21_999 })
  await plane.start()
})
afterEach(async () => {
  for (const sidecar of sidecars.splice(0)) sidecar.close()
  await plane.stop()
})

/** The index of the write. */
async function put(path: string, body: object): Promise<number> {
  const response = await fetch(`http://${plane.httpAddress}${path}`, { method: 'PUT', body: JSON.stringify(body) })
  expect([response.status, await response.text()]).toEqual([200, expect.anything()])
  return Number(response.headers.get('x-consul-index'))
}

// biome-ignore lint/suspicious/noExplicitAny: answers of the API are looked into freely.
async function get(path: string): Promise<any> {
  const response = await fetch(`http://${plane.httpAddress}${path}`)
  expect(response.status).toBe(200)
  return response.json()
}

const register = (id: string): Promise<number> =>
  put('/v1/agent/service/register', { ID: id, Name: 'web', Port: 80, Connect: { SidecarService: { Checks: [] } } })

it('a sidecar that never acknowledges, or refuses everything, harms no other and is told no more than it can take', async () => {
  const [good, silent, refusing] = await Promise.all(
    (['ack', 'nothing', 'nack'] as const).map(async answers => {
      await register(`web-${answers}`)
      const sidecar = new TestSidecar(plane.grpcAddress, `web-${answers}-sidecar-proxy`)
      sidecar.answers = answers
      sidecars.push(sidecar)
      return sidecar
    }),
  )
  await Promise.all(sidecars.map(sidecar => sidecar.until(() => sidecar.responses.length > 0)))
  let last = 0
  for (let i = 0; i < CHANGES; i++)
    last = await put('/v1/config', { Kind: 'service-intentions', Name: 'web', Sources: [{ Name: `caller-${i}`, Action: 'allow' }] })
  const states = await until('the good one has it all', async () => {
    const proxies: { ID: string; Synced: boolean; AcknowledgedIndex: number }[] = await get('/v1/outrigger/proxies')
    const one = proxies.find(({ ID }) => ID === 'web-ack-sidecar-proxy')
    return one?.Synced === true && one.AcknowledgedIndex >= last ? proxies : undefined
  })
  expect(states.filter(({ Synced }) => Synced)).toHaveLength(1)
  expect(good!.listeners.size).toBe(1)
  const mostOfOneType = ({ responses }: TestSidecar): number =>
    Math.max(...[...new Set(responses)].map(type => responses.filter(each => each === type).length))
  expect(mostOfOneType(silent!), 'one is under way until it is acknowledged').toBe(1)
  expect(mostOfOneType(refusing!)).toBeLessThanOrEqual(CHANGES + 2)
  for (const { error } of sidecars) expect(error).toBeUndefined()
})

it('a stampede of registrations is taken whole, each sidecar with a port of its own, and reads are answered meanwhile', async () => {
  let isOver = false
  let reads = 0
  const reading = (async () => {
    for (; !isOver; reads++) await get('/v1/catalog/services')
  })()
  await Promise.all(Array.from({ length: STAMPEDE }, (_, i) => register(`web-${i}`)))
  isOver = true
  await reading
  expect(reads).toBeGreaterThan(0)
  const services: Record<string, { Port: number }> = await get('/v1/agent/services')
  const ports = Object.entries(services).flatMap(([id, { Port }]) => (id.endsWith('-sidecar-proxy') ? Port : []))
  expect([ports.length, new Set(ports).size]).toEqual([STAMPEDE, STAMPEDE])
})
