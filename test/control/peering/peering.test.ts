// Two control planes in one process, peered over their real gRPC ports: tokens and what is wrong with them, what is told on the stream and how it
// is read, deletes, and what becomes of it in DNS and in the resources of sidecars and gateways.
import http2 from 'node:http2'
import net, { type AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { askPeer, dialPeer } from '../../../src/control/peering/peer-dialer.js'
import { EXCHANGE_METHOD, MAX_OPENING_BYTES, type PeerMessage, STREAM_METHOD } from '../../../src/control/peering/peer-messages.js'
import { AnyCa } from '../../support/mesh-certificates.js'
import { until } from '../../support/proxy-process.js'
import { ApiFixture } from '../http-api/api-fixture.js'

const start = (datacenter: string): Promise<ApiFixture> =>
  ApiFixture.start({ datacenter, nodeName: `node-${datacenter}`, grpcTlsAddr: '127.0.0.1:0' })

let east: ApiFixture
let west: ApiFixture
beforeAll(async () => {
  east = await start('east')
  west = await start('west')
})
afterAll(async () => {
  await east?.stop()
  await west?.stop()
})

const lying = new AnyCa('liar')

interface Token {
  readonly CA: string[]
  readonly ServerAddresses: string[]
  readonly ServerName: string
  readonly PeerID: string
  readonly EstablishmentSecret: string
}

async function token(at: ApiFixture, PeerName: string, more: object = {}): Promise<string> {
  const { status, body } = await at.call('POST', '/v1/peering/token', { PeerName, ...more })
  expect(status, String(body)).toBe(200)
  return body.PeeringToken
}

const establish = (at: ApiFixture, PeerName: string, PeeringToken: string) =>
  at.call('POST', '/v1/peering/establish', { PeerName, PeeringToken })
const decoded = (text: string): Token => JSON.parse(Buffer.from(text, 'base64').toString())
const encoded = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64')
const state = async (at: ApiFixture, name: string): Promise<string> => (await at.get(`/v1/peering/${name}`)).body.State

describe('a token', () => {
  it('has the shape that Consul gives it, and the addresses that the operator names', async () => {
    const { CA, ServerAddresses, ServerName, PeerID } = decoded(await token(east, 'shape'))
    expect(CA[0]).toMatch(/BEGIN CERTIFICATE/)
    expect(ServerAddresses).toEqual([east.plane.grpcTlsAddress])
    expect(ServerName).toMatch(/^server\.east\.peering\.[0-9a-f-]+\.consul$/)
    expect((await east.get('/v1/peering/shape')).body).toMatchObject({ ID: PeerID, Name: 'shape', State: 'PENDING' })
    const manual = decoded(await token(east, 'shape', { ServerExternalAddresses: ['203.0.113.7:8503'] }))
    expect(manual).toMatchObject({ PeerID, ManualServerAddresses: ['203.0.113.7:8503'] })
    await east.call('DELETE', '/v1/peering/shape')
    expect((await east.get('/v1/peering/shape')).status).toBe(404)
  })

  it('is refused with one clear line where it is truncated, of another CA, our own, or one that was replaced', async () => {
    const good = await token(east, 'west')
    const parts = decoded(good)
    const of = (value: string) => establish(west, 'east', value).then(({ status, body }) => `${status} ${body}`)
    expect(await of(good.slice(0, good.length - 40))).toMatch(/^400 the peering token is (truncated|no base64)/)
    expect(await of('%%%')).toMatch(/^400 the peering token is no base64/)
    expect(await of(encoded({ ...parts, ServerName: '' }))).toBe('400 the peering token is damaged: it has no ServerName')
    for (const ServerName of ['*', 'api.default.east.internal.x.consul', 'server.east.peering'])
      expect(await of(encoded({ ...parts, ServerName }))).toBe(
        '400 the peering token is damaged: its ServerName is none of a control plane',
      )
    const strange = new AnyCa('somebody else').pem
    expect(await of(encoded({ ...parts, CA: [strange] }))).toMatch(/^400 .*shows a certificate that the CA of the peer did not sign/)
    expect(await establish(east, 'self', good)).toMatchObject({
      status: 400,
      body: expect.stringContaining('is one of this control plane'),
    })
    expect(await of(encoded({ ...parts, EstablishmentSecret: 'guessed' }))).toMatch(/^400 .*is not the newest of its peering/)
    expect(await of(encoded({ ...parts, ServerAddresses: ['127.0.0.1:1'] }))).toMatch(/^400 .*connection refused/)
    expect((await west.get('/v1/peerings')).body).toEqual([])
  })

  it('is not taken where the clocks are five minutes apart', async () => {
    const { CA, ServerAddresses, ServerName, PeerID, EstablishmentSecret } = decoded(await token(east, 'west'))
    const question = {
      peerId: PeerID,
      secret: EstablishmentSecret,
      id: 'x',
      datacenter: 'west',
      clockMs: Date.now() - 300_000,
      bundle: { trustDomain: 'other.consul', rootPems: CA },
    }
    const servers = { addresses: ServerAddresses, serverName: ServerName, caPems: CA }
    await expect(askPeer(servers, EXCHANGE_METHOD, question)).rejects.toThrow(/the clocks of the two are 300 s apart/)
  })

  it('is not taken of a peer whose trust domain an operator has federated with: its roots would vouch for that', async () => {
    const { CA, ServerAddresses, ServerName, PeerID, EstablishmentSecret } = decoded(await token(east, 'west'))
    const federation = { TrustDomain: 'other.test', TrustBundle: new AnyCa().pem }
    expect((await east.put('/v1/outrigger/spiffe/federation/partner', federation)).status).toBe(200)
    const question = {
      peerId: PeerID,
      secret: EstablishmentSecret,
      id: 'x',
      datacenter: 'west',
      clockMs: Date.now(),
      bundle: { trustDomain: 'other.test', rootPems: CA },
    }
    const servers = { addresses: ServerAddresses, serverName: ServerName, caPems: CA }
    await expect(askPeer(servers, EXCHANGE_METHOD, question)).rejects.toThrow(
      /the trust domain other.test of the peer is that of the federation "partner"/,
    )
    expect((await east.call('DELETE', '/v1/outrigger/spiffe/federation/partner')).status).toBe(200)
  })

  it('is refused unread where what comes with it is larger than any can be', async () => {
    const { CA, ServerAddresses, ServerName } = decoded(await token(east, 'west'))
    const servers = { addresses: ServerAddresses, serverName: ServerName, caPems: CA }
    const question = { peerId: 'x'.repeat(MAX_OPENING_BYTES) }
    await expect(askPeer(servers, EXCHANGE_METHOD, question)).rejects.toThrow(/a message of \d+ bytes, the limit is 1048576/)
  })

  it('serves once', async () => {
    const good = await token(east, 'west')
    expect(await establish(west, 'east', good)).toMatchObject({ status: 200 })
    await until('both sides are active', async () => (await state(east, 'west')) === 'ACTIVE' && (await state(west, 'east')) === 'ACTIVE')
    expect(await establish(west, 'again', good)).toMatchObject({ status: 400, body: expect.stringContaining('has been used already') })
    expect((await west.get('/v1/peerings')).body).toMatchObject([
      { Name: 'east', PeerServerAddresses: [east.plane.grpcTlsAddress], Remote: { Datacenter: 'east' } },
    ])
  })
})

async function register(Name: string, Status = 'passing'): Promise<void> {
  const definition = {
    Name,
    Port: 9000,
    Tags: ['v1'],
    Check: { CheckID: `${Name}-check`, TTL: '1h', Status },
    Connect: { SidecarService: { Port: 9443 } },
  }
  expect((await east.put('/v1/agent/service/register', definition)).status).toBe(200)
}

const exportServices = (...names: string[]) =>
  east.put('/v1/config', {
    Kind: 'exported-services',
    Name: 'default',
    Services: names.map(Name => ({ Name, Consumers: [{ Peer: 'west' }] })),
  })

const imports = async (): Promise<string[]> =>
  (await west.get('/v1/imported-services')).body.map(({ Service }: { Service: string }) => Service)

/** A peer of east's that says what it likes. */
async function liar(name: string): Promise<{ say(message: object): void; heard: PeerMessage[]; end(): Promise<void> }> {
  const { CA, ServerAddresses, ServerName, PeerID, EstablishmentSecret } = decoded(await token(east, name))
  const servers = { addresses: ServerAddresses, serverName: ServerName, caPems: CA }
  const bundle = { trustDomain: 'liar.consul', rootPems: [new AnyCa('liar').pem] }
  const question = { peerId: PeerID, secret: EstablishmentSecret, id: 'x', datacenter: 'far', clockMs: Date.now(), bundle }
  const { secret } = (await askPeer(servers, EXCHANGE_METHOD, question)) as { secret: string }
  const heard: PeerMessage[] = []
  const stream = await dialPeer(servers, STREAM_METHOD, { onMessage: json => heard.push(json as PeerMessage), onClosed: () => {} })
  stream.send({ peerId: PeerID, secret })
  stream.send({ kind: 'hello', clockMs: Date.now(), datacenter: 'far', have: {} })
  return {
    say: message => stream.send(message),
    heard,
    end: async () => {
      stream.close()
      await east.call('DELETE', `/v1/peering/${name}`)
    },
  }
}

describe('a peer that lies', () => {
  const way = { id: 'g', name: 'g', address: '192.0.2.1', port: 443, status: 'passing', node: { name: 'n', address: '192.0.2.1' } }
  const told = (name: string, sni: string): object => ({
    kind: 'service',
    hash: 'h',
    service: { name, protocol: 'http', sni, spiffeIds: [`spiffe://liar.consul/ns/default/dc/far/svc/${name}`], instances: [], ways: [way] },
  })
  const imported = async (): Promise<string[]> =>
    (await east.get('/v1/imported-services')).body.map(({ Service }: { Service: string }) => Service)

  it('takes no server name but one of its own: neither a service of ours, nor a control plane, nor every one', async () => {
    const peer = await liar('liar')
    const ours = (await east.get('/v1/connect/ca/roots')).body.TrustDomain
    const wrong = [
      `api.default.east.internal.${ours}`,
      `api.default.default.west.external.${ours}`,
      `server.east.peering.${ours}`,
      '*',
      'b.default.default.west.external.liar.consul',
      'a.default.default.UP.external.liar.consul',
      'a.default.default.x.y.external.liar.consul',
    ]
    for (const sni of wrong) peer.say(told('a', sni))
    peer.say(told('good', 'good.default.default.east.external.liar.consul'))
    await until('the good one is taken', async () => (await imported()).includes('good'))
    expect(await imported()).toEqual(['good'])
    const refused = peer.heard.filter(({ kind }) => kind === 'refused')
    expect(refused).toHaveLength(wrong.length)
    expect(refused[0]).toMatchObject({ service: 'a', reason: expect.stringContaining('is not one of the service and the peer') })
    await peer.end()
  })

  it('costs nobody more than its stream when it says what is no message', async () => {
    const peer = await liar('babbler')
    for (const message of [null, 7, [], { kind: 'service', service: null }]) peer.say(message as object)
    await until('its stream has ended', async () => (await state(east, 'babbler')) === 'FAILING')
    await peer.end()
    expect((await east.get('/v1/peerings')).status).toBe(200)
  })

  it('that is dialled answers with a status that is wrongly encoded: told as it came', async () => {
    const { cert, key } = lying.leaf({ dns: ['server.x.peering.liar.consul'] })
    const server = http2.createSecureServer({ cert, key })
    server.on('stream', stream => stream.respond({ ':status': 200, 'grpc-status': '7', 'grpc-message': '100%' }, { endStream: true }))
    await new Promise<void>(resolve => void server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    const servers = { addresses: [`127.0.0.1:${port}`], serverName: 'server.x.peering.liar.consul', caPems: [lying.pem] }
    await expect(askPeer(servers, EXCHANGE_METHOD, {})).rejects.toThrow(/^100%$/)
    server.close()
  })
})

describe('what is exported', () => {
  it('is there at the peer with its instances, their health and the ways to them, and nothing else is', async () => {
    await register('api')
    await register('secret')
    await exportServices('api')
    await until('it is imported', async () => (await imports()).length > 0)
    expect((await west.get('/v1/imported-services')).body).toEqual([{ Service: 'api', SourcePeer: 'east' }])
    expect((await east.get('/v1/exported-services')).body).toEqual([{ Service: 'api', Consumers: { Peers: ['west'] } }])
    const [instance] = (await west.get('/v1/health/service/api?peer=east')).body
    expect(instance).toMatchObject({
      Node: { Node: 'node-east', PeerName: 'east' },
      Service: { Service: 'api', Port: 9000, Tags: ['v1'], PeerName: 'east' },
      Checks: [{ Name: 'overall-check', Status: 'passing' }],
    })
    expect((await west.get('/v1/health/connect/api?peer=east')).body).toMatchObject([{ Service: { Kind: 'connect-proxy', Port: 9443 } }])
    expect((await west.get('/v1/catalog/service/api?peer=east')).body).toMatchObject([{ ServiceName: 'api', PeerName: 'east' }])
    expect((await west.get('/v1/health/service/api')).body).toEqual([])
    expect(await west.get('/v1/health/service/api?peer=nobody')).toMatchObject({ status: 404 })
    expect((await west.get('/v1/peering/east')).body.StreamStatus).toMatchObject({ ImportedServices: ['api'], ExportedServices: [] })
    expect((await east.get('/v1/peering/west')).body.StreamStatus).toMatchObject({ ImportedServices: [], ExportedServices: ['api'] })
    const labels = { peer_name: 'west', peer_id: (await east.get('/v1/peering/west')).body.ID }
    expect((await east.get('/v1/agent/metrics')).body.Gauges).toEqual(
      expect.arrayContaining([
        { Name: 'consul.peering.exported_services', Value: 1, Labels: labels },
        { Name: 'consul.peering.healthy', Value: 1, Labels: labels },
      ]),
    )
    expect((await east.get('/v1/agent/metrics?format=prometheus')).body).toContain(
      `# TYPE consul_peering_healthy gauge\nconsul_peering_healthy{peer_name="west",peer_id="${labels.peer_id}"} 1\n`,
    )
  })

  it('changes with its checks, which wakes who waits for it', async () => {
    const woken = await west.blocks('/v1/health/service/api?peer=east', () => east.put('/v1/agent/check/fail/api-check'))
    expect(woken).toBe(true)
    expect((await west.get('/v1/health/service/api?peer=east&passing')).body).toEqual([])
    await east.put('/v1/agent/check/pass/api-check')
    await until('it passes again', async () => (await west.get('/v1/health/service/api?peer=east&passing')).body.length === 1)
  })

  it('is reached by the mesh gateways where there are any', async () => {
    const gateway = {
      Kind: 'mesh-gateway',
      Name: 'gw',
      Address: '127.0.0.1',
      Port: 7443,
      TaggedAddresses: { wan: { Address: '203.0.113.9', Port: 443 } },
    }
    await east.put('/v1/agent/service/register', gateway)
    await until('the way is another', async () => {
      const [way] = (await west.get('/v1/health/connect/api?peer=east')).body
      return way.Service.Address === '203.0.113.9' && way.Service.Port === 443
    })
    await east.put('/v1/agent/service/deregister/gw')
  })

  it('follows a rotation of the exporter’s roots', async () => {
    const before = (await east.get('/v1/connect/ca/roots')).body.ActiveRootID
    expect((await east.put('/v1/outrigger/ca/rotate-root?force=true')).status).toBe(200)
    const after = (await east.get('/v1/connect/ca/roots')).body
    expect(after.ActiveRootID).not.toBe(before)
    // A token made now is of the new root; the stream that is open has told the peer of it.
    expect(await state(west, 'east')).toBe('ACTIVE')
  })

  it('is gone at the peer once it is exported no more', async () => {
    await exportServices('secret')
    await until('the other one is imported', async () => (await imports()).join() === 'secret')
    await exportServices('api')
    await until('the first one is again', async () => (await imports()).join() === 'api')
  })
})

describe('what leads to a peer', () => {
  it.each([
    { Kind: 'service-resolver', Name: 'x', Redirect: { Service: 'api', Peer: 'nobody' } },
    { Kind: 'service-resolver', Name: 'x', Failover: { '*': { Targets: [{ Service: 'api', Peer: 'nobody' }] } } },
    { Kind: 'service-intentions', Name: 'secret', Sources: [{ Name: 'web', Peer: 'nobody', Action: 'allow' }] },
    { Kind: 'service-defaults', Name: 'x', UpstreamConfig: { Overrides: [{ Name: 'api', Peer: 'nobody' }] } },
    { Kind: 'exported-services', Name: 'default', Services: [{ Name: 'secret', Consumers: [{ Peer: 'nobody' }] }] },
  ])('is taken with a warning where there is no such peering: $Kind', async entry => {
    const { status, headers } = await west.put('/v1/config', entry)
    expect([status, headers.get('x-consul-warning')]).toEqual([200, expect.stringContaining('there is no peering "nobody"')])
    await west.call('DELETE', `/v1/config/${entry.Kind}/${entry.Name}`)
  })

  it('is refused where it names a datacenter instead, with a word on peering', async () => {
    const resolver = { Kind: 'service-resolver', Name: 'x', Redirect: { Service: 'api', Datacenter: 'east' } }
    expect(await west.put('/v1/config', resolver)).toMatchObject({ status: 400, body: expect.stringContaining('peering') })
    expect(await west.get('/v1/catalog/services?dc=east')).toMatchObject({ status: 500, body: expect.stringContaining('peering') })
    const upstream = { DestinationName: 'api', Datacenter: 'east', LocalBindPort: 9191 }
    const web = { Name: 'web', Port: 1, Connect: { SidecarService: { Proxy: { Upstreams: [upstream] } } } }
    expect(await west.put('/v1/agent/service/register', web)).toMatchObject({
      status: 400,
      body: expect.stringContaining('DestinationPeer'),
    })
  })
})

describe('a peering that is deleted', () => {
  it('takes what was imported with it, and has ended at the other side', async () => {
    expect((await west.call('DELETE', '/v1/peering/east')).status).toBe(200)
    expect((await west.get('/v1/peering/east')).status).toBe(404)
    expect(await imports()).toEqual([])
    await until('the other side knows', async () => (await state(east, 'west')) === 'TERMINATED')
    expect((await east.call('DELETE', '/v1/peering/west')).status).toBe(200)
    expect((await east.get('/v1/peerings')).body).toEqual([])
  })

  it('may be made anew', async () => {
    expect(await establish(west, 'east', await token(east, 'west'))).toMatchObject({ status: 200 })
    await until('it imports', async () => (await imports()).join() === 'api')
  })
})

describe('a link that is cut', () => {
  it('heals: what changed meanwhile is told when it is there again', async () => {
    await west.call('DELETE', '/v1/peering/east')
    await east.call('DELETE', '/v1/peering/west')
    const link = new CutLink(east.plane.grpcTlsAddress)
    const address = await link.open()
    expect(await establish(west, 'east', await token(east, 'west', { ServerExternalAddresses: [address] }))).toMatchObject({ status: 200 })
    await until('it imports', async () => (await imports()).join() === 'api')
    await link.cut()
    await until('both sides know', async () => (await state(west, 'east')) === 'FAILING' && (await state(east, 'west')) === 'FAILING')
    // What was told last holds.
    expect(await imports()).toEqual(['api'])
    await exportServices('secret')
    await link.open()
    await until('it imports again', async () => (await imports()).join() === 'secret')
    expect([await state(west, 'east'), await state(east, 'west')]).toEqual(['ACTIVE', 'ACTIVE'])
    expect((await west.get('/v1/peering/east')).body.PeerServerAddresses).toEqual([address])
    await link.cut()
  })
})

/** Between the two control planes: carries bytes, or nothing. */
class CutLink {
  private readonly sockets = new Set<net.Socket>()
  private server: net.Server | undefined
  private port = 0

  constructor(private readonly to: string) {}

  async open(): Promise<string> {
    const server = net.createServer(socket => {
      const [host, port] = this.to.split(':')
      const far = net.connect(Number(port), host)
      for (const each of [socket, far]) {
        this.sockets.add(each)
        each.on('error', () => {})
      }
      socket.pipe(far).pipe(socket)
    })
    this.server = server
    await new Promise<void>(resolve => server.listen(this.port, '127.0.0.1', resolve))
    this.port = (server.address() as net.AddressInfo).port
    return `127.0.0.1:${this.port}`
  }

  async cut(): Promise<void> {
    for (const socket of this.sockets) socket.destroy()
    this.sockets.clear()
    await new Promise(resolve => this.server?.close(resolve))
  }
}

describe('a control plane', () => {
  it('that serves no gRPC over TLS makes no token, and says why', async () => {
    const plain = await ApiFixture.start()
    const { status, body } = await plain.call('POST', '/v1/peering/token', { PeerName: 'x' })
    await plain.stop()
    expect(`${status} ${body}`).toMatch(/^400 peers dial gRPC over TLS, which is not served here/)
  })
})
