// A mesh that is upgraded from the release before, and taken back, under steady traffic: sidecars before the control plane and after it, one at a
// time, so that each version works with the other both ways. The previous release: test/support/previous-release.ts.
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { MeshFixture } from '../support/mesh-fixture.js'
import { HttpOrigin, http } from '../support/origins.js'
import { previousRelease } from '../support/previous-release.js'
import { ProxyProcess, until } from '../support/proxy-process.js'
import { SteadyLoad } from '../support/steady-load.js'

const NEXT = fileURLToPath(new URL('../..', import.meta.url))
const previous = previousRelease()

describe.skipIf(previous.missing !== '')(`a rolling upgrade from the previous release, and back ${previous.missing}`, () => {
  const PREVIOUS = previous.folder
  const mesh = new MeshFixture()
  const origins: HttpOrigin[] = []
  const sidecars = new Map<string, ProxyProcess>()
  let load: SteadyLoad

  beforeAll(async () => {
    await mesh.start(join(PREVIOUS, 'bin/outrigger'))
    await mesh.intention('api', [{ Name: 'front', Action: 'allow' }])
  })

  afterAll(async () => {
    await load?.stop()
    await Promise.all([...sidecars.values()].map(each => each.kill()))
    await mesh.stop()
    for (const origin of origins) await origin.close()
  })

  async function run(id: string, release: string): Promise<void> {
    const { admin: _own, ...bootstrap } = await mesh.read<Record<string, unknown>>(`/v1/outrigger/bootstrap/${id}-sidecar-proxy`)
    sidecars.set(id, await ProxyProcess.start({ bootstrap, bin: join(release, 'bin/outrigger-proxy') }))
    await mesh.acknowledged(id, 0)
  }

  /** One more instance of api, which answers with its name. */
  async function instance(id: string, release: string): Promise<void> {
    const origin = await new HttpOrigin((_, socket) => socket.write(http(id))).listen()
    origins.push(origin)
    await mesh.register(id, { name: 'api', port: origin.port })
    await run(id, release)
  }

  async function front(id: string, release: string): Promise<SteadyLoad> {
    const { upstreams } = await mesh.register(id, { name: 'front', upstreams: ['api'] })
    await run(id, release)
    return new SteadyLoad(upstreams.get('api')!)
  }

  /** As an orchestrator takes a pod down: out of the catalog, then to its end. */
  async function leave(id: string, callers: readonly string[]): Promise<void> {
    const index = await mesh.write(`/v1/agent/service/deregister/${id}`)
    for (const caller of callers) await mesh.acknowledged(caller, index)
    const sidecar = sidecars.get(id)!
    sidecars.delete(id)
    expect((await sidecar.stop()).code).toBe(0)
  }

  async function controlPlane(release: string): Promise<void> {
    await mesh.terminate()
    await mesh.start(join(release, 'bin/outrigger'))
    for (const id of sidecars.keys()) await mesh.acknowledged(id, 0)
  }

  const served = (): string => `${origins.map(({ requests }) => requests.length)}`
  /** Every instance that is there gets some. */
  async function moves(): Promise<void> {
    const before = load.sent
    await until('traffic', () => load.sent > before + 40)
    expect(load.failures, served()).toEqual([])
  }

  it('starts on the previous release', async () => {
    await instance('api-1', PREVIOUS)
    load = await front('front-1', PREVIOUS)
    await moves()
  })

  it('a new sidecar takes the place of an old one, under the old control plane', async () => {
    await instance('api-2', NEXT)
    await until('the new one serves', () => origins[1]!.requests.length > 5)
    await leave('api-1', ['front-1'])
    await moves()
  })

  it('the new control plane takes over the state and the sidecars of the old one', async () => {
    await controlPlane(NEXT)
    await moves()
    expect((await mesh.read('/v1/config/service-intentions/api')).Sources).toMatchObject([{ Name: 'front' }])
  })

  it('an old sidecar joins under the new control plane', async () => {
    await instance('api-3', PREVIOUS)
    await until('it serves', () => origins[2]!.requests.length > 5)
    await moves()
  })

  it('the callers’ sidecar is replaced: its successor takes new connections before it ends', async () => {
    const next = await front('front-2', NEXT)
    await load.stop()
    expect(load.failures).toEqual([])
    load = next
    await leave('front-1', [])
    await moves()
  })

  it('back on the previous control plane: what the new one wrote is read, new sidecars stay', async () => {
    await controlPlane(PREVIOUS)
    await moves()
    await instance('api-4', NEXT)
    await until('it serves', () => origins[3]!.requests.length > 5)
    await moves()
  })
})
