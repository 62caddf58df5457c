// The network ext_authz filter through the real proxy, in the form Consul's builtin/ext-authz sends for a TCP service: a service is asked
// over gRPC with the peer's identity before anything is dialled; its no, its silence and its absence.
import tls from 'node:tls'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import * as grpc from '@grpc/grpc-js'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type CheckRequest, CheckRequestSchema, CheckResponseSchema } from '../../src/xds/gen/envoy/service/auth/v3/external_auth_pb.js'
import { AnyCa, clientOptions, downstreamTls, spiffe } from '../support/mesh-certificates.js'
import { EchoOrigin } from '../support/origins.js'
import { overHttp2 } from '../support/protocol-matrix.js'
import { fileAccessLog, freePort, listener, ProxyProcess, staticCluster, stopAll, tcpProxy, typed } from '../support/proxy-process.js'

const ca = new AnyCa()
const origin = new EchoOrigin()
const server = new grpc.Server()
const checks: CheckRequest[] = []
const ports = new Map<string, number>()
let proxy: ProxyProcess

/** Allows web, denies others, and never answers `silent`. */
function check(call: grpc.ServerUnaryCall<CheckRequest, number>, done: grpc.sendUnaryData<number>): void {
  checks.push(call.request)
  const { principal } = call.request.attributes!.source!
  if (principal !== spiffe('silent')) done(null, principal === spiffe('web') ? 0 : 7)
}

beforeAll(async () => {
  await origin.listen()
  const definition = {
    path: '/envoy.service.auth.v3.Authorization/Check',
    requestStream: false,
    responseStream: false,
    requestSerialize: () => Buffer.alloc(0),
    requestDeserialize: (bytes: Buffer) => fromBinary(CheckRequestSchema, bytes),
    responseSerialize: (code: number) => Buffer.from(toBinary(CheckResponseSchema, create(CheckResponseSchema, { status: { code } }))),
    responseDeserialize: () => null,
  }
  server.addService({ check: definition } as grpc.ServiceDefinition, { check } as grpc.UntypedServiceImplementation)
  const credentials = grpc.ServerCredentials.createInsecure()
  const authzPort = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', credentials, (error, bound) => (error === null ? resolve(bound) : reject(error))),
  )
  for (const name of ['asks', 'open', 'closed']) ports.set(name, await freePort())
  const authz = (name: string, cluster: string, more: object = {}): object =>
    typed('envoy.filters.network.ext_authz', 'filters.network.ext_authz.v3.ExtAuthz', {
      stat_prefix: name,
      grpc_service: { envoy_grpc: { cluster_name: cluster } },
      transport_api_version: 'V3',
      ...more,
    })
  const tcp = (name: string, cluster: string, more: object = {}): object =>
    listener(
      name,
      ports.get(name)!,
      [
        authz(name, cluster, more),
        tcpProxy('echo', { access_log: [fileAccessLog(`${name} %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %BYTES_RECEIVED%`)] }),
      ],
      {},
      { transport_socket: downstreamTls(ca.service('db'), ca.pem) },
    )
  const long = { grpc_service: { envoy_grpc: { cluster_name: 'authz' }, timeout: '1s' }, include_peer_certificate: true }
  proxy = await ProxyProcess.start({
    bootstrap: {
      static_resources: {
        listeners: [tcp('asks', 'authz', long), tcp('open', 'nowhere', { failure_mode_allow: true }), tcp('closed', 'nowhere')],
        clusters: [
          staticCluster('echo', origin.port),
          staticCluster('authz', authzPort, overHttp2),
          staticCluster('nowhere', await freePort(), overHttp2),
        ],
      },
    },
  })
})

afterAll(async () => {
  await stopAll()
  server.forceShutdown()
  await origin.close()
})

/** What comes back for `ping` on a connection of that service; '' when it is closed instead. */
function ping(name: string, service: string): Promise<string> {
  return new Promise(resolve => {
    const options = {
      port: ports.get(name)!,
      host: '127.0.0.1',
      checkServerIdentity: () => undefined,
      ...clientOptions(ca.service(service), ca.pem),
    }
    const socket = tls.connect(options, () => socket.write('ping'))
    socket.on('data', data => {
      resolve(String(data))
      socket.destroy()
    })
    socket.on('error', () => {})
    socket.on('close', () => resolve(''))
  })
}

it('asks with the identity of both ends, and lets pass who is allowed', async () => {
  expect(await ping('asks', 'web')).toBe('ping')
  const { source, destination, request } = checks[0]!.attributes!
  expect([source!.principal, destination!.principal, request]).toEqual([spiffe('web'), spiffe('db'), undefined])
  expect(decodeURIComponent(source!.certificate)).toMatch(/^-----BEGIN CERTIFICATE-----/)
  expect(source!.address!.address).toMatchObject({ case: 'socketAddress', value: { address: '127.0.0.1' } })
  expect(destination!.address!.address).toMatchObject({ value: { portSpecifier: { value: ports.get('asks') } } })
  expect(await proxy.stat('ext_authz.asks.ok')).toBe(1)
})

it('closes a connection that the service denies, or does not answer for, before anything is dialled', async () => {
  const dialled = origin.connections
  expect(await ping('asks', 'batch')).toBe('')
  await proxy.untilLog(/^asks UAEX ext_authz_denied 0$/m)
  expect(await ping('asks', 'silent')).toBe('')
  await proxy.untilLog(/^asks UAEX ext_authz_error 0$/m)
  expect(origin.connections).toBe(dialled)
  const stats = await proxy.stats()
  const of = (name: string): number | undefined => stats.get(`ext_authz.asks.${name}`)
  expect([of('total'), of('denied'), of('error'), of('cx_closed'), of('active')]).toEqual([3, 1, 1, 2, 0])
})

it('without the service: closed, or let through by failure_mode_allow', async () => {
  expect(await ping('closed', 'web')).toBe('')
  expect(await ping('open', 'web')).toBe('ping')
  expect(await proxy.stat('ext_authz.open.failure_mode_allowed')).toBe(1)
})
