// Two meshes that are peered, each with a control plane of its own as a real process and real sidecars: calls from one into the other, directly and
// by mesh gateways (ours, and the real Envoy where ENVOY_BIN names it), the exporter's intentions, failover to the peer under load, a control plane
// that is killed and comes back, control planes that reach each other by gateways.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { MeshFixture } from '../support/mesh-fixture.js'
import { HttpOrigin, http } from '../support/origins.js'
import { freePort, type ProxyProcess, until } from '../support/proxy-process.js'
import { SteadyLoad } from '../support/steady-load.js'

const envoyBin = process.env['ENVOY_BIN']
const far = new HttpOrigin(({ path }, socket) => void socket.write(http(`east ${path}`)))
const near = new HttpOrigin(({ path }, socket) => void socket.write(http(`west ${path}`)))
const ports = { api: 0, own: 0 }
let east: MeshFixture
let west: MeshFixture

async function mesh(datacenter: string): Promise<MeshFixture> {
  return new MeshFixture(['--datacenter', datacenter, '--grpc-tls-addr', `127.0.0.1:${await freePort()}`, '--dns-addr', 'off']).start()
}

async function peer(): Promise<void> {
  const token = (await east.outrigger('peering', 'generate-token', '-name', 'west')).trim()
  await west.outrigger('peering', 'establish', '-name', 'east', '-peering-token', token)
}

const imported = async (): Promise<string[]> =>
  (await west.read('/v1/imported-services')).map(({ Service }: { Service: string }) => Service)

async function ask(port: number, path = '/x'): Promise<{ status: number; text: string }> {
  const response = await fetch(`http://127.0.0.1:${port}${path}`)
  return { status: response.status, text: await response.text() }
}

const answers = (text: string, port = ports.api) =>
  until(`it answers "${text}"`, async () => {
    const answer = await ask(port)
    return answer.text === text || Promise.reject(new Error(JSON.stringify(answer)))
  })

const allow = (Action: string) => east.intention('api', [{ Name: 'web', Peer: 'west', Action }])

beforeAll(async () => {
  await Promise.all([far.listen(), near.listen()])
  ;[east, west] = await Promise.all([mesh('east'), mesh('west')])
  await peer()
  await east.register('api', { name: 'api', port: far.port })
  await allow('allow')
  await east.write('/v1/config', { Kind: 'exported-services', Name: 'default', Services: [{ Name: 'api', Consumers: [{ Peer: 'west' }] }] })
  ports.api = await freePort()
  ports.own = await freePort()
  await west.write('/v1/config', { Kind: 'service-defaults', Name: 'web', Protocol: 'http' })
  const Upstreams = [
    { DestinationName: 'api', DestinationPeer: 'east', LocalBindPort: ports.api },
    { DestinationName: 'api', LocalBindPort: ports.own },
  ]
  await west.register('api', { name: 'api', port: near.port })
  await west.intention('api', [{ Name: 'web', Action: 'allow' }])
  await west.write('/v1/agent/service/register', {
    Name: 'web',
    Port: 1,
    Connect: { SidecarService: { Address: '127.0.0.1', Port: await freePort(), Proxy: { Upstreams } } },
  })
  await Promise.all([east.sidecar('api'), west.sidecar('web'), west.sidecar('api')])
  await until('it is imported', async () => (await imported()).length > 0)
})
afterAll(async () => {
  await Promise.all([east?.stop(), west?.stop(), far.close(), near.close()])
})

describe('without gateways', () => {
  it('a service of the peer is called at its own sidecar', async () => {
    await answers('east /x')
  })

  it('the intentions of the exporting side hold, and are followed', async () => {
    await allow('deny')
    await until('it is denied', async () => (await ask(ports.api)).status === 403)
    await allow('allow')
    await answers('east /x')
  })

  it('a caller that is not named is denied', async () => {
    await east.intention('api', [{ Name: 'other', Peer: 'west', Action: 'allow' }])
    await until('it is denied', async () => (await ask(ports.api)).status === 403)
    await east.intention('api', [{ Name: 'web', Action: 'allow' }])
    // A service of the same name in the exporter's own mesh is another one.
    await east.acknowledged('api', 0)
    expect((await ask(ports.api)).status).toBe(403)
    await allow('allow')
    await answers('east /x')
  })
})

describe('failover to a peer', () => {
  it('takes over under load without a failed request, and back', async () => {
    const targets = [{ Service: 'api', Peer: 'east' }]
    await west.write('/v1/config', { Kind: 'service-resolver', Name: 'api', Failover: { '*': { Targets: targets } } })
    await answers('west /x', ports.own)
    const load = new SteadyLoad(ports.own)
    await west.write('/v1/agent/service/maintenance/api?enable=true')
    await answers('east /x', ports.own)
    await west.write('/v1/agent/service/maintenance/api?enable=false')
    await answers('west /x', ports.own)
    await load.stop()
    expect(load.failures).toEqual([])
    expect(load.sent).toBeGreaterThan(10)
  })
})

describe('a rotation of roots', () => {
  it.each([
    ['exporter', () => east],
    ['caller', () => west],
  ])('of the %s costs no request', async (_side, whose) => {
    const load = new SteadyLoad(ports.api)
    const before = (await whose().leaf(whose() === east ? 'api' : 'web')).cert
    await whose().write('/v1/outrigger/ca/rotate-root?force=true')
    const service = whose() === east ? 'api' : 'web'
    await whose().write(`/v1/outrigger/ca/rotate-leaf?service=${service}`)
    expect((await whose().leaf(service)).cert).not.toBe(before)
    await whose().acknowledged(service, 0)
    await answers('east /x')
    await load.stop()
    expect(load.failures).toEqual([])
  })
})

describe('a control plane that is killed', () => {
  it('is missed by nobody who calls, and tells what has changed when it is back', async () => {
    const load = new SteadyLoad(ports.api)
    await east.kill()
    await until('the peering fails', async () => (await west.read('/v1/peering/east')).State === 'FAILING')
    expect(await imported()).toEqual(['api'])
    await east.start()
    await east.register('more', { name: 'more', port: far.port })
    await east.outrigger('services', 'export', '-name', 'more', '-consumer-peers', 'west')
    await until('the stream is back', async () => (await imported()).length === 2)
    expect((await west.read('/v1/peering/east')).State).toBe('ACTIVE')
    await load.stop()
    expect(load.failures).toEqual([])
  })
})

const proxies = [['outrigger-proxy', undefined], ...(envoyBin ? [['the real Envoy', envoyBin] as const] : [])] as const

describe.each(proxies)('by mesh gateways: %s', (_label, bin) => {
  let gateway: ProxyProcess
  beforeAll(async () => {
    await east.registerGateway('mesh-gateway', 'east-gateway')
    gateway = await east.gateway('east-gateway', bin)
  })
  afterAll(async () => {
    await west.write('/v1/config', { Kind: 'service-defaults', Name: 'web', Protocol: 'http' })
    await east.write('/v1/agent/service/deregister/east-gateway')
    await gateway.kill()
  })
  const passed = (): Promise<number> => gateway.stat('tcp.mesh_gateway_local_peered.api.default.default.east.downstream_cx_total')

  it('connections go by the gateway of the exporter, and the intentions are of the callers themselves', async () => {
    await until('by the gateway', async () => {
      await ask(ports.api)
      return (await passed()) > 0
    })
    await answers('east /x')
    await allow('deny')
    await until('it is denied', async () => (await ask(ports.api)).status === 403)
    await allow('allow')
    await answers('east /x')
  })

  it('mode local goes by the gateway of the caller too', async () => {
    await west.registerGateway('mesh-gateway', 'west-gateway')
    const own = await west.gateway('west-gateway')
    await west.write('/v1/config', { Kind: 'service-defaults', Name: 'web', Protocol: 'http', MeshGateway: { Mode: 'local' } })
    await until('by both gateways', async () => {
      await ask(ports.api)
      return (await own.stat('tcp.mesh_gateway_remote_peered.api.default.east.downstream_cx_total')) > 0
    })
    await answers('east /x')
    await west.write('/v1/config', { Kind: 'service-defaults', Name: 'web', Protocol: 'http' })
    await west.write('/v1/agent/service/deregister/west-gateway')
    await own.kill()
  })

  it('control planes reach each other by the gateway where the mesh entry says so', async () => {
    await west.write('/v1/peering/east', undefined, 'DELETE')
    await until('it has ended', async () => (await east.read('/v1/peering/west')).State === 'TERMINATED')
    await east.proxyAcknowledged(
      'east-gateway',
      await east.write('/v1/config', { Kind: 'mesh', Peering: { PeerThroughMeshGateways: true } }),
    )
    await peer()
    await until('it imports', async () => (await imported()).length > 0)
    const { PeerServerAddresses } = await west.read('/v1/peering/east')
    const [{ Service }] = await east.read('/v1/health/service/east-gateway')
    expect(PeerServerAddresses).toEqual([`127.0.0.1:${Service.Port}`])
    await answers('east /x')
    // The caller's side has a gateway too.
    await west.registerGateway('mesh-gateway', 'west-door')
    const own = await west.gateway('west-door')
    await west.proxyAcknowledged('west-door', await west.write('/v1/config', { Kind: 'mesh', Peering: { PeerThroughMeshGateways: true } }))
    await west.write('/v1/peering/east', undefined, 'DELETE')
    await until('it has ended', async () => (await east.read('/v1/peering/west')).State === 'TERMINATED')
    await peer()
    await until('it imports', async () => (await imported()).length > 0)
    const { PeerServerName } = await west.read('/v1/peering/east')
    expect(await own.stat(`tcp.mesh_gateway_remote_peering_servers.${PeerServerName}.downstream_cx_total`)).toBeGreaterThan(0)
    await west.write('/v1/config/mesh/mesh', undefined, 'DELETE')
    await west.write('/v1/agent/service/deregister/west-door')
    const streams = (): Promise<number> => gateway.stat(`tcp.mesh_gateway_local_peering_server.${PeerServerName}.downstream_cx_total`)
    const before = await streams()
    await own.kill()
    // The stream went by that gateway: another must be open before the peer learns of other addresses.
    await until('another is open', async () => (await streams()) > before && (await west.read('/v1/peering/east')).State === 'ACTIVE')
    await answers('east /x')
    await east.write('/v1/config/mesh/mesh', undefined, 'DELETE')
    await until('directly again', async () => (await west.read('/v1/peering/east')).PeerServerAddresses[0] !== PeerServerAddresses[0])
  })
})
