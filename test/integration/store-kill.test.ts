// kill -9 of the control plane at seeded moments under writers (OUTRIGGER_KILLS: how many times), every third time during the first writes of its
// life and else after one of them is acknowledged. After each restart everything that was acknowledged is there, nothing is half there, the index has not gone back and the certificate authority is the same.
import { afterAll, beforeAll, expect, it } from 'vitest'
import { MeshFixture } from '../support/mesh-fixture.js'

const kills = Number(process.env['OUTRIGGER_KILLS'] ?? 30)
const WRITERS = 4
const mesh = new MeshFixture()
beforeAll(() => mesh.start(), 60_000)
afterAll(() => mesh.stop())

/** mulberry32 */
function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

it(`loses nothing that was acknowledged over ${kills} kills`, { timeout: 60_000 + kills * 15_000 }, async () => {
  const random = seeded(17)
  /** Name -> value acknowledged last. */
  const acknowledged = new Map<string, number>()
  let writes = 0
  let highest = 0
  const roots = await mesh.read('/v1/connect/ca/roots')
  for (let kill = 0; kill < kills; kill++) {
    let stopped = false
    let isAcknowledged = () => {}
    const first = new Promise<void>(resolve => {
      isAcknowledged = resolve
    })
    const writer = async (writer: number): Promise<void> => {
      for (let i = 0; !stopped; i++) {
        const name = `svc-${writer}-${i % 5}`
        try {
          const write = ++writes
          await mesh.write('/v1/agent/service/register', {
            Name: name,
            Port: 1,
            Meta: { write: String(write) },
            Check: { CheckID: `check-${name}-${write % 2}`, Notes: String(write), TTL: '1h' },
            Connect: { SidecarService: { Port: 1000 } },
          })
          acknowledged.set(name, write)
          isAcknowledged()
        } catch {
          return
        }
      }
    }
    const writers = Array.from({ length: WRITERS }, (_, i) => writer(i))
    if (kill % 3 !== 0) await first
    await new Promise(resolve => setTimeout(resolve, 5 + random() * 150))
    await mesh.kill()
    stopped = true
    await Promise.all(writers)
    await mesh.start()

    const services = await mesh.read<Record<string, { Meta: Record<string, string>; ModifyIndex: number }>>('/v1/agent/services')
    const checks = await mesh.read<Record<string, { Notes: string; ServiceName: string }>>('/v1/agent/checks')
    for (const [name, write] of acknowledged) expect(Number(services[name]?.Meta['write']), name).toBeGreaterThanOrEqual(write)
    for (const [name, { Meta, ModifyIndex }] of Object.entries(services)) {
      highest = Math.max(highest, ModifyIndex)
      if (name.endsWith('-sidecar-proxy')) continue
      // One registration is one transaction: service, sidecar and check of the same write, or none of them.
      expect(services[`${name}-sidecar-proxy`]?.Meta['write'], name).toBe(Meta['write'])
      expect(checks[`check-${name}-${Number(Meta['write']) % 2}`]?.Notes, name).toBe(Meta['write'])
    }
    const index = await mesh.write('/v1/agent/service/register', { Name: 'after', Port: kill + 1 })
    expect(index).toBeGreaterThan(highest)
    expect(await mesh.read('/v1/connect/ca/roots')).toMatchObject({ TrustDomain: roots.TrustDomain, ActiveRootID: roots.ActiveRootID })
  }
  console.info(`control plane killed ${kills} times under ${writes} writes: none lost`)
  expect(acknowledged.size).toBeGreaterThan(0)
})
