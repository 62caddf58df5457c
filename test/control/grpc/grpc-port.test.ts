// The gRPC port through a stock client (grpc-js) and raw HTTP/2: Consul's services, tokens, and what is refused.

import { connect } from 'node:net'
import { create, type DescMessage, fromBinary, type MessageInitShape, type MessageShape, toBinary } from '@bufbuild/protobuf'
import { Client, type ClientReadableStream, credentials, Metadata, type ServiceError } from '@grpc/grpc-js'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ControlPlane } from '../../../src/control/control-plane.js'
import { decodeDnsMessage, encodeDnsMessage } from '../../../src/io/dns-message.js'
import { ClientResourceStatus } from '../../../src/xds/gen/envoy/admin/v3/config_dump_shared_pb.js'
import {
  ClientStatusRequestSchema,
  ClientStatusResponseSchema,
  ConfigStatus,
} from '../../../src/xds/gen/envoy/service/status/v3/csds_pb.js'
import { LoginRequestSchema, LoginResponseSchema } from '../../../src/xds/gen/hashicorp/acl_pb.js'
import {
  DataplaneFeatures,
  GetEnvoyBootstrapParamsRequestSchema,
  GetEnvoyBootstrapParamsResponseSchema,
  GetSupportedDataplaneFeaturesRequestSchema,
  GetSupportedDataplaneFeaturesResponseSchema,
} from '../../../src/xds/gen/hashicorp/dataplane_pb.js'
import { Protocol, QueryRequestSchema, QueryResponseSchema } from '../../../src/xds/gen/hashicorp/dns_pb.js'
import { WatchServersRequestSchema, WatchServersResponseSchema } from '../../../src/xds/gen/hashicorp/serverdiscovery_pb.js'
import { distanceOf } from '../../../src/xds/server-distance.js'
import { LISTENER_TYPE } from '../../../src/xds/type-urls.js'
import { TestSidecar } from '../test-sidecar.js'

const DATAPLANE = '/hashicorp.consul.dataplane.DataplaneService'
const planes: ControlPlane[] = []
const clients: Client[] = []
let open: ControlPlane
let guarded: ControlPlane
const MANAGEMENT = 'b3f4f0a2-2f1d-4a63-9f2b-6d9a8d0c1e22'

async function start(options: ConstructorParameters<typeof ControlPlane>[0]): Promise<ControlPlane> {
  const plane = new ControlPlane({ httpAddr: '127.0.0.1:0', grpcAddr: '127.0.0.1:0', nodeName: 'n1', ...options })
  planes.push(plane)
  await plane.start()
  return plane
}

beforeAll(async () => {
  open = await start({ dns: { address: { host: '127.0.0.1', port: 0 } }, locality: { Region: 'eu', Zone: 'a' } })
  guarded = await start({ acl: { defaultPolicy: 'deny', initialManagement: MANAGEMENT } })
  for (const plane of [open, guarded]) {
    const put = async (path: string, body: unknown): Promise<void> => {
      const response = await fetch(`http://${plane.httpAddress}${path}`, {
        method: 'PUT',
        body: JSON.stringify(body),
        headers: { 'x-consul-token': MANAGEMENT },
      })
      expect(response.status, await response.text()).toBe(200)
    }
    await put('/v1/config', {
      Kind: 'proxy-defaults',
      Name: 'global',
      Config: { local_connect_timeout_ms: 1234 },
      AccessLogs: { Enabled: true },
    })
    await put('/v1/agent/service/register', {
      Name: 'web',
      Port: 80,
      Address: '10.0.0.7',
      Connect: { SidecarService: { Proxy: { Config: { max_inbound_connections: 7 } } } },
    })
  }
})
afterAll(async () => {
  for (const client of clients) client.close()
  for (const plane of planes) await plane.stop()
})

function client(plane: ControlPlane): Client {
  const made = new Client(plane.grpcAddress, credentials.createInsecure())
  clients.push(made)
  return made
}

const wire = <M extends DescMessage>(schema: M) => ({
  write: (message: MessageShape<M>): Buffer => Buffer.from(toBinary(schema, message)),
  read: (bytes: Buffer): MessageShape<M> => fromBinary(schema, bytes),
})

function tokenOf(token: string | undefined): Metadata {
  const metadata = new Metadata()
  if (token !== undefined) metadata.set('x-consul-token', token)
  return metadata
}

function ask<Q extends DescMessage, A extends DescMessage>(
  plane: ControlPlane,
  path: string,
  request: Q,
  answer: A,
  message: MessageInitShape<Q>,
  token?: string,
): Promise<MessageShape<A>> {
  return new Promise((resolve, reject) => {
    client(plane).makeUnaryRequest(
      path,
      wire(request).write,
      wire(answer).read,
      create(request, message),
      tokenOf(token),
      (error: ServiceError | null, value) => (error === null ? resolve(value!) : reject(error)),
    )
  })
}

const features = (plane: ControlPlane, token?: string) =>
  ask(
    plane,
    `${DATAPLANE}/GetSupportedDataplaneFeatures`,
    GetSupportedDataplaneFeaturesRequestSchema,
    GetSupportedDataplaneFeaturesResponseSchema,
    {},
    token,
  )
const parameters = (plane: ControlPlane, proxyId: string, token?: string, more: object = {}) =>
  ask(
    plane,
    `${DATAPLANE}/GetEnvoyBootstrapParams`,
    GetEnvoyBootstrapParamsRequestSchema,
    GetEnvoyBootstrapParamsResponseSchema,
    { proxyId, ...more },
    token,
  )

describe('DataplaneService', () => {
  it('says what is supported', async () => {
    const { supportedDataplaneFeatures } = await features(open)
    expect(supportedDataplaneFeatures.map(({ featureName, supported }) => [featureName, supported])).toEqual([
      [DataplaneFeatures.WATCH_SERVERS, true],
      [DataplaneFeatures.EDGE_CERTIFICATE_MANAGEMENT, true],
      [DataplaneFeatures.ENVOY_BOOTSTRAP_CONFIGURATION, true],
    ])
  })

  it('gives the parameters of a bootstrap: names, merged configuration, access logs', async () => {
    const answer = await parameters(open, 'web-sidecar-proxy')
    expect(answer).toMatchObject({
      service: 'web',
      identity: 'web',
      namespace: 'default',
      partition: 'default',
      datacenter: 'dc1',
      nodeName: 'n1',
    })
    expect(answer.config).toEqual({ local_connect_timeout_ms: 1234, max_inbound_connections: 7 })
    expect(answer.accessLogs.map(text => JSON.parse(text).typed_config['@type'])).toEqual([
      'type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog',
    ])
  })

  it('takes the id where older clients put it, and knows no other', async () => {
    expect((await parameters(open, '', undefined, { serviceId: 'web-sidecar-proxy' })).service).toBe('web')
    await expect(parameters(open, 'nope')).rejects.toMatchObject({ code: 5 })
    await expect(parameters(open, 'web-sidecar-proxy', undefined, { namespace: 'team' })).rejects.toMatchObject({ code: 3 })
  })

  it('asks for a token where there are ACLs', async () => {
    await expect(features(guarded, 'nope')).rejects.toMatchObject({ code: 16, details: 'ACL not found' })
    await expect(parameters(guarded, 'web-sidecar-proxy')).rejects.toMatchObject({
      code: 7,
      details: expect.stringContaining('\'service:write\' on "web"'),
    })
    expect((await parameters(guarded, 'web-sidecar-proxy', MANAGEMENT)).service).toBe('web')
  })
})

it('WatchServers gives the servers at once and stays open', async () => {
  const stream: ClientReadableStream<MessageShape<typeof WatchServersResponseSchema>> = client(open).makeServerStreamRequest(
    '/hashicorp.consul.serverdiscovery.ServerDiscoveryService/WatchServers',
    wire(WatchServersRequestSchema).write,
    wire(WatchServersResponseSchema).read,
    create(WatchServersRequestSchema, {}),
  )
  let ended = false
  stream.on('error', () => {})
  stream.on('end', () => {
    ended = true
  })
  const { servers } = await new Promise<MessageShape<typeof WatchServersResponseSchema>>(resolve => stream.once('data', resolve))
  expect(servers.map(({ address }) => address)).toEqual(['127.0.0.1'])
  await features(open)
  expect(ended).toBe(false)
  stream.cancel()
})

it('WatchServers tells who says which proxy it is how near the servers are', async () => {
  const service = (ID: string, Locality: object): object => ({
    ...{ Node: 'far', Address: '10.0.0.9' },
    Service: { ID, Service: 'there', Port: 1, Kind: 'connect-proxy', Proxy: { DestinationServiceName: 'x' }, Locality },
  })
  for (const body of [
    service('same-zone', { Region: 'eu', Zone: 'a' }),
    service('same-region', { Region: 'eu', Zone: 'b' }),
    service('far', { Region: 'us' }),
    service('100%25', { Region: 'us' }),
  ])
    await fetch(`http://${open.httpAddress}/v1/catalog/register`, { method: 'PUT', body: JSON.stringify(body) })
  const distanceFrom = async (proxyId: string | undefined, node: string): Promise<number | undefined> => {
    const metadata = new Metadata()
    if (proxyId !== undefined) metadata.set('outrigger-proxy-id', encodeURIComponent(proxyId))
    metadata.set('outrigger-node-name', node)
    const stream: ClientReadableStream<MessageShape<typeof WatchServersResponseSchema>> = client(open).makeServerStreamRequest(
      '/hashicorp.consul.serverdiscovery.ServerDiscoveryService/WatchServers',
      wire(WatchServersRequestSchema).write,
      wire(WatchServersResponseSchema).read,
      create(WatchServersRequestSchema, {}),
      metadata,
    )
    stream.on('error', () => {})
    const { servers } = await new Promise<MessageShape<typeof WatchServersResponseSchema>>(resolve => stream.once('data', resolve))
    stream.cancel()
    return distanceOf(servers[0]!)
  }
  expect(await Promise.all(['same-zone', 'same-region', 'far', '100%25'].map(id => distanceFrom(id, 'far')))).toEqual([0, 1, 2, 2])
  expect(await Promise.all([distanceFrom(undefined, 'far'), distanceFrom('nobody', 'far'), distanceFrom('far', 'nowhere')])).toEqual([
    0, 0, 0,
  ])
})

it('DNSService answers as the DNS server does', async () => {
  const msg = encodeDnsMessage({ type: 'query', id: 77, flags: 0, questions: [{ type: 'A', name: 'web.service.consul', class: 'IN' }] })
  const answer = await ask(open, '/hashicorp.consul.dns.DNSService/Query', QueryRequestSchema, QueryResponseSchema, {
    msg: msg as Uint8Array<ArrayBuffer>,
    protocol: Protocol.UDP,
  })
  const decoded = decodeDnsMessage(Buffer.from(answer.msg))
  expect(decoded?.id).toBe(77)
  expect(decoded?.answers).toMatchObject([{ type: 'A', data: '10.0.0.7' }])
})

it('ACLService refuses logins where there are no ACLs, or no such method', async () => {
  const login = (plane: ControlPlane): Promise<unknown> =>
    ask(plane, '/hashicorp.consul.acl.ACLService/Login', LoginRequestSchema, LoginResponseSchema, { authMethod: 'm', bearerToken: 'x' })
  await expect(login(open)).rejects.toMatchObject({ code: 9, details: 'ACL support disabled' })
  await expect(login(guarded)).rejects.toMatchObject({ code: 7 })
})

describe('what is refused', () => {
  it('a method that nobody serves', async () => {
    await expect(
      ask(open, '/hashicorp.consul.resource.ResourceService/Read', WatchServersRequestSchema, WatchServersResponseSchema, {}),
    ).rejects.toMatchObject({ code: 12, details: 'unknown method /hashicorp.consul.resource.ResourceService/Read' })
  })

  it('a message that is none of its type', async () => {
    const garbage = new Promise((_resolve, reject) => {
      client(open).makeUnaryRequest(
        `${DATAPLANE}/GetEnvoyBootstrapParams`,
        (text: string) => Buffer.from(text, 'latin1'),
        bytes => bytes,
        '\xff\xff\xff',
        (error: ServiceError | null) => reject(error),
      )
    })
    await expect(garbage).rejects.toMatchObject({ code: 3 })
  })

  it('bytes that are no HTTP/2, and the port serves on', async () => {
    const [host, port] = open.grpcAddress.split(':') as [string, string]
    const socket = connect(Number(port), host)
    const closed = new Promise<void>(resolve => socket.once('close', () => resolve()))
    socket.on('error', () => {})
    socket.resume()
    socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n')
    await closed
    expect((await features(open)).supportedDataplaneFeatures).toHaveLength(3)
  })
})

describe('clients that come again and again', () => {
  it('with tokens that are none are told so each time, and disturb nobody', async () => {
    const { SecretID } = (await (
      await fetch(`http://${guarded.httpAddress}/v1/acl/token`, {
        method: 'PUT',
        headers: { 'x-consul-token': MANAGEMENT },
        body: JSON.stringify({ ServiceIdentities: [{ ServiceName: 'web' }] }),
      })
    ).json()) as { SecretID: string }
    const good = new TestSidecar(guarded.grpcAddress, 'web-sidecar-proxy', SecretID)
    await good.until(() => good.listeners.size > 0)
    const responses = good.responses.length
    const refused = ['', SecretID.slice(0, 20), `${SecretID}0`, '00000000-0000-0000-0000-00000000000f', 'x'.repeat(4_000)]
    for (let round = 0; round < 20; round++)
      for (const token of refused) {
        const loop = new TestSidecar(guarded.grpcAddress, 'web-sidecar-proxy', token === '' ? undefined : token)
        await loop.until(() => loop.error !== undefined)
        // No token at all is the anonymous one's, which is known and may nothing.
        expect(loop.error).toMatchObject(token === '' ? { code: 7 } : { code: 16, details: expect.stringContaining('ACL not found') })
        loop.close()
      }
    // Connections that are cut before a word is said, and in the middle of one.
    for (const bytes of ['', 'PRI * HTTP/2.0\r\n\r\nSM', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'])
      for (let i = 0; i < 50; i++)
        await new Promise<void>(resolve => {
          const [host, port] = guarded.grpcAddress.split(':')
          const socket = connect(Number(port), host, () => socket.end(bytes))
          socket.on('error', () => {})
          socket.once('close', () => resolve())
          socket.resume()
          setImmediate(() => socket.destroy())
        })
    expect(good.error).toBeUndefined()
    expect(good.responses.length, 'nothing was sent anew').toBe(responses)
    const state = (await (
      await fetch(`http://${guarded.httpAddress}/v1/outrigger/proxies`, { headers: { 'x-consul-token': MANAGEMENT } })
    ).json()) as { connected: boolean }[]
    expect(state).toHaveLength(1)
    good.close()
  })

  it('a token that expires ends its stream, and a stream without one is not opened again by it', async () => {
    const { SecretID } = (await (
      await fetch(`http://${guarded.httpAddress}/v1/acl/token`, {
        method: 'PUT',
        headers: { 'x-consul-token': MANAGEMENT },
        body: JSON.stringify({ ServiceIdentities: [{ ServiceName: 'web' }], ExpirationTTL: '60s' }),
      })
    ).json()) as { SecretID: string }
    const sidecar = new TestSidecar(guarded.grpcAddress, 'web-sidecar-proxy', SecretID)
    await sidecar.until(() => sidecar.listeners.size > 0)
    const self = (await (
      await fetch(`http://${guarded.httpAddress}/v1/acl/token/self`, { headers: { 'x-consul-token': SecretID } })
    ).json()) as { AccessorID: string }
    await fetch(`http://${guarded.httpAddress}/v1/acl/token/${self.AccessorID}`, {
      method: 'DELETE',
      headers: { 'x-consul-token': MANAGEMENT },
    })
    await sidecar.until(() => sidecar.error !== undefined)
    expect(sidecar.error).toMatchObject({ code: 16 })
    sidecar.close()
  })
})

describe('long messages', () => {
  // A gRPC client of its own would decode what we say of the body; the stream reads any message.
  const dataplaneOf = (bytes: number, token?: string) =>
    ask(
      guarded,
      `${DATAPLANE}/GetSupportedDataplaneFeatures`,
      QueryRequestSchema,
      GetSupportedDataplaneFeaturesResponseSchema,
      { msg: new Uint8Array(bytes) },
      token,
    )

  it('are held for those whose token is known alone', async () => {
    for (const token of [undefined, '00000000-0000-0000-0000-00000000000f'])
      await expect(dataplaneOf(1_100_000, token)).rejects.toMatchObject({
        code: 8,
        details: expect.stringContaining('the limit is 1048576'),
      })
    expect((await dataplaneOf(1_100_000, MANAGEMENT)).supportedDataplaneFeatures).toHaveLength(3)
    await expect(dataplaneOf(900_000, '00000000-0000-0000-0000-00000000000f')).rejects.toMatchObject({ code: 16 })
  })
})

describe('ClientStatusDiscoveryService', () => {
  const CSDS = '/envoy.service.status.v3.ClientStatusDiscoveryService'
  const clientStatus = (plane: ControlPlane, message: MessageInitShape<typeof ClientStatusRequestSchema>, token?: string) =>
    ask(plane, `${CSDS}/FetchClientStatus`, ClientStatusRequestSchema, ClientStatusResponseSchema, message, token)
  const ofWeb = { nodeMatchers: [{ nodeId: { matchPattern: { case: 'prefix' as const, value: 'web-side' } } }] }
  const verdicts = async () => {
    const { config } = await clientStatus(open, ofWeb)
    return config.flatMap(({ genericXdsConfigs }) =>
      genericXdsConfigs.map(({ typeUrl, name, configStatus, clientStatus: own, errorState, xdsConfig }) => {
        expect(xdsConfig).toBeUndefined()
        return [typeUrl.split('.').at(-1), name.split(':')[0], ConfigStatus[configStatus], ClientResourceStatus[own], errorState?.details]
      }),
    )
  }

  it('tells what each proxy has, and what it refused', async () => {
    const sidecar = new TestSidecar(open.grpcAddress, 'web-sidecar-proxy')
    await sidecar.until(() => sidecar.listeners.size > 0 && sidecar.clusters.size > 0)
    await expect.poll(verdicts).toEqual([
      ['Cluster', 'local_app', 'SYNCED', 'ACKED', undefined],
      ['Listener', 'public_listener', 'SYNCED', 'ACKED', undefined],
    ])
    sidecar.refuse = { typeUrl: LISTENER_TYPE, message: 'no such port' }
    const changed = { Kind: 'service-defaults', Name: 'web', Protocol: 'http' }
    await fetch(`http://${open.httpAddress}/v1/config`, { method: 'PUT', body: JSON.stringify(changed) })
    await expect
      .poll(async () => (await verdicts()).find(([type]) => type === 'Listener'))
      .toEqual(['Listener', 'public_listener', 'ERROR', 'NACKED', 'no such port'])
    expect((await clientStatus(open, { nodeMatchers: [{ nodeId: { matchPattern: { case: 'exact', value: 'nobody' } } }] })).config).toEqual(
      [],
    )
    sidecar.close()
  })

  it('refuses matchers that it does not know, and tokens without operator:read', async () => {
    await expect(clientStatus(open, { nodeMatchers: [{ nodeMetadatas: [{}] }] })).rejects.toMatchObject({ code: 3 })
    await expect(clientStatus(guarded, {})).rejects.toMatchObject({ code: 7, details: expect.stringContaining('operator:read') })
    expect((await clientStatus(guarded, {}, MANAGEMENT)).config).toEqual([])
  })
})
