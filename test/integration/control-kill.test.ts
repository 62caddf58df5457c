// kill -9 of the control plane at seeded moments while config is written and certificates rotate. After each restart: no acknowledged
// write is lost, trust domain and known roots are the same, the sidecars come back, and the data path never failed a request.
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Http1Client } from '../support/http1-client.js'
import { MeshFixture, type Registered } from '../support/mesh-fixture.js'
import { HttpOrigin, http } from '../support/origins.js'

const kills = process.env['OUTRIGGER_FULL'] === '1' ? 25 : 4
const origin = new HttpOrigin((_, socket) => void socket.write(http('ok')))
const mesh = new MeshFixture()
let web: Registered

beforeAll(async () => {
  await origin.listen()
  await mesh.start()
  await mesh.register('api', { name: 'api', port: origin.port })
  web = await mesh.register('web', { name: 'web', upstreams: ['api'] })
  await mesh.intention('api', [{ Name: 'web', Action: 'allow' }])
  await mesh.sidecar('api')
  await mesh.sidecar('web')
})
afterAll(async () => {
  await mesh.stop()
  await origin.close()
})

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

it('survives kill -9 at any moment: state intact, sidecars reconnect, no request fails', { timeout: 300_000 }, async () => {
  const random = seeded(6)
  const failures: string[] = []
  let running = true
  let sent = 0
  const load = Array.from({ length: 8 }, async () => {
    const client = await Http1Client.connect(web.upstreams.get('api')!)
    while (running && !client.closed) {
      sent++
      await client.get('/').then(
        answer => void (answer.status === 200 || failures.push(String(answer.status))),
        (error: Error) => void failures.push(error.message),
      )
      await new Promise(resolve => setTimeout(resolve, 10))
    }
    client.destroy()
  })

  const acknowledged = new Map<string, string>()
  const { TrustDomain } = await mesh.read('/v1/connect/ca/roots')
  const knownRoots = new Set<string>()
  let rotations = 0
  for (let kill = 0; kill < kills; kill++) {
    let stopped = false
    let oneWritten = (): void => {}
    const written = new Promise<void>(resolve => {
      oneWritten = resolve
    })
    const writer = (async () => {
      for (let i = 0; !stopped; i++) {
        const name = `svc-${i % 7}`
        const value = `${kill}-${i}`
        try {
          await mesh.write('/v1/config', { Kind: 'service-defaults', Name: name, Protocol: 'http', Meta: { value } })
          acknowledged.set(name, value)
          oneWritten()
        } catch {
          // Not acknowledged: it may or may not be there.
          acknowledged.delete(name)
          return
        }
      }
    })()
    const rotator = (async () => {
      try {
        const { text } = await mesh.writeFor(kill % 2 === 0 ? '/v1/outrigger/ca/rotate-root' : '/v1/outrigger/ca/rotate-leaf?service=api')
        rotations++
        const { ActiveRootID } = JSON.parse(text) as { ActiveRootID?: string }
        if (ActiveRootID !== undefined) knownRoots.add(ActiveRootID)
      } catch {
        // Cut off in the middle: that is the point.
      }
    })()
    await written
    await new Promise(resolve => setTimeout(resolve, 20 + random() * 400))
    await mesh.kill()
    stopped = true
    await Promise.all([writer, rotator])
    await mesh.start()

    for (const [name, value] of acknowledged) expect((await mesh.read(`/v1/config/service-defaults/${name}`)).Meta.value, name).toBe(value)
    const roots = await mesh.read<{ TrustDomain: string; ActiveRootID: string; Roots: { ID: string }[] }>('/v1/connect/ca/roots')
    expect(roots.TrustDomain).toBe(TrustDomain)
    const ids = roots.Roots.map(root => root.ID)
    expect(ids).toContain(roots.ActiveRootID)
    for (const id of knownRoots) expect(ids).toContain(id)
    for (const id of ids) knownRoots.add(id)
    for (const id of ['api', 'web']) await mesh.acknowledged(id, 0)
    // What is new works too: a connection of its own, on whatever certificates hold now.
    const fresh = await Http1Client.connect(web.upstreams.get('api')!)
    expect((await fresh.get('/fresh')).status).toBe(200)
    fresh.destroy()
  }
  // And a whole rotation still goes through.
  const { Index, ActiveRootID } = JSON.parse((await mesh.writeFor('/v1/outrigger/ca/rotate-root')).text) as {
    Index: number
    ActiveRootID: string
  }
  for (const id of ['api', 'web']) await mesh.acknowledged(id, Index)
  expect((await mesh.read('/v1/connect/ca/roots')).ActiveRootID).toBe(ActiveRootID)
  running = false
  await Promise.all(load)
  console.info(
    `control plane killed ${kills} times: ${sent} requests, ${failures.length} failed, ${rotations} rotations finished before the kill`,
  )
  expect(failures).toEqual([])
  expect(acknowledged.size).toBeGreaterThan(0)
})
