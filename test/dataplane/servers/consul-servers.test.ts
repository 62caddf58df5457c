// The connection to Consul's servers, against strict fakes of them that share one port of several addresses of loopback: who is asked, by which
// token, and where everything goes when a server ends, is too busy, or does not know the token.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { create } from '@bufbuild/protobuf'
import { status } from '@grpc/grpc-js'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { OwnMetrics } from '../../../src/dataplane/metrics/own-metrics.js'
import { BOOTSTRAP_PARAMS, bootstrapRequest } from '../../../src/dataplane/proxy/dataplane-bootstrap.js'
import { ConsulServers } from '../../../src/dataplane/servers/consul-servers.js'
import { discoverServers } from '../../../src/dataplane/servers/discover-servers.js'
import { ServerSet } from '../../../src/dataplane/servers/server-set.js'
import type { CredentialSettings, ServerSettings } from '../../../src/dataplane/settings/settings.js'
import { AdsClient } from '../../../src/xds/client/client.js'
import { NodeSchema } from '../../../src/xds/gen/envoy/config/core/v3/base_pb.js'
import { FakeConsul } from '../../support/fake-consul.js'
import { until } from '../../support/proxy-process.js'

const A = '127.0.0.1'
const B = '127.0.0.2'
const PROXY = { id: 'web-proxy', nodeName: 'n1', nodeId: '', namespace: '', partition: '' }
const NONE: CredentialSettings = { kind: 'none' }
const LOGIN = {
  kind: 'login',
  authMethod: 'ci',
  namespace: '',
  partition: '',
  datacenter: '',
  bearerToken: '',
  meta: { pod: 'web-1' },
} as const

let consul: FakeConsul
let servers: ConsulServers
let metrics: OwnMetrics
let stream: AdsClient | null
const said: string[] = []
const folder = mkdtempSync(join(tmpdir(), 'outrigger-consul-servers-'))
const file = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text)
  return join(folder, name)
}

beforeEach(() => {
  consul = new FakeConsul()
  stream = null
  said.length = 0
})
afterEach(async () => {
  stream?.close()
  await servers?.close()
  consul.stop()
  expect(consul.complaints).toEqual([])
})

async function follow(credentials: CredentialSettings = NONE, more: Partial<ServerSettings> = {}, proxy?: typeof PROXY): Promise<void> {
  metrics = new OwnMetrics(60_000, () => stream?.status().connected ?? false)
  servers = new ConsulServers({
    settings: { addresses: A, grpcPort: consul.port, watchDisabled: false, tls: null, credentials, ...more },
    ...(proxy && { proxy }),
    metrics,
    log: (_level, message) => said.push(message),
    // Waits of nothing.
    random: () => 0,
  })
  await servers.start()
}

/** As the proxy's. */
function openStream(): void {
  stream = new AdsClient({
    targets: servers,
    node: create(NodeSchema, { id: 'web-proxy' }),
    apiType: 'DELTA_GRPC',
    onUpdate: () => {},
    random: () => 0,
  })
  stream.start()
}

const untilStreamedBy = (address: string): Promise<unknown> =>
  until(
    `the stream is ${address}'s`,
    () => consul.streamed().join() === address || Promise.reject(new Error(`${consul.streamed()}; ${said.join('\n')}`)),
  )

describe('a server of Consul', () => {
  it('is found, and asked for features, its list, and the bootstrap', async () => {
    await consul.start([A])
    consul.config = { envoy_prometheus_bind_addr: '0.0.0.0:9102' }
    await follow()
    const params = await servers.call(BOOTSTRAP_PARAMS, bootstrapRequest(PROXY))
    expect(params).toMatchObject({ identity: 'web', datacenter: 'dc1', nodeName: 'n1', config: consul.config })
    await expect(servers.call(BOOTSTRAP_PARAMS, bootstrapRequest({ ...PROXY, id: 'nobody' }))).rejects.toThrow('Service not found')
    expect(consul.calls).toContain(`${A} GetSupportedDataplaneFeatures`)
  })

  it('that ends is left for another of its list, the stream with it', async () => {
    await consul.start([A, B])
    await follow()
    openStream()
    await untilStreamedBy(A)
    consul.servers.get(A)!.stop()
    await untilStreamedBy(B)
    // A second one in the place of the first, and back.
    await consul.startServer(A)
    consul.servers.get(B)!.stop()
    await untilStreamedBy(A)
  })

  it('that is too busy for a stream is left for another', async () => {
    await consul.start([A, B])
    await follow()
    openStream()
    await untilStreamedBy(A)
    consul.servers.get(A)!.endStreams(status.RESOURCE_EXHAUSTED, 'this server has too many xDS streams open, please try another')
    await untilStreamedBy(B)
    expect(await metrics.text()).toContain('consul_dataplane_connection_errors{error_code="ResourceExhausted"} 1')
  })

  it('joins when the list says so', async () => {
    await consul.start([A])
    await follow()
    openStream()
    await untilStreamedBy(A)
    await consul.startServer(B)
    consul.members = [A, B]
    consul.servers.get(A)!.tellMembers()
    await until('it is known', () => said.some(line => line.includes(B)))
    consul.servers.get(A)!.stop()
    await untilStreamedBy(B)
  })

  it('that gives no bootstraps is passed over', async () => {
    await consul.start([A])
    consul.features = [1]
    const found = follow()
    await until('it is said', () => said.some(line => line.includes('it gives no bootstrap parameters')))
    consul.features = [1, 3]
    await found
  })

  it('is not asked for its list where that is switched off', async () => {
    await consul.start([A, B])
    await follow(NONE, { watchDisabled: true })
    openStream()
    await untilStreamedBy(A)
    expect(said.some(line => line.includes(B))).toBe(false)
  })
})

describe('the token', () => {
  it('of a login is shown everywhere, given back at the end, and had anew by the file as it is then', async () => {
    await consul.start([A])
    consul.tokens.add('management')
    consul.bearers.set('jwt-1', 'secret-1').set('jwt-2', 'secret-2')
    const path = file('bearer', 'jwt-1\n')
    await follow({ ...LOGIN, bearerTokenPath: path })
    openStream()
    await untilStreamedBy(A)
    expect([consul.servers.get(A)!.streamTokens, consul.loginMeta]).toEqual([['secret-1'], [{ pod: 'web-1' }]])
    writeFileSync(path, 'jwt-2')
    consul.tokens.delete('secret-1')
    consul.servers.get(A)!.endStreams(status.UNAUTHENTICATED, 'ACL not found')
    await until('a stream by the second', () => consul.servers.get(A)!.streamTokens.at(-1) === 'secret-2')
    await untilStreamedBy(A)
    await servers.close()
    expect(consul.logouts).toEqual(['secret-2'])
  })

  it('in a file is read again for the next stream', async () => {
    await consul.start([A])
    consul.tokens.add('one').add('two')
    const path = file('token', 'one\n')
    await follow({ kind: 'static', token: '', tokenPath: path })
    openStream()
    await untilStreamedBy(A)
    writeFileSync(path, 'two\n')
    consul.tokens.delete('one')
    const { streamTokens } = consul.servers.get(A)!
    consul.servers.get(A)!.endStreams(status.UNAUTHENTICATED, 'ACL not found')
    await until('a stream by the second', () => streamTokens.at(-1) === 'two')
  })

  it('that the server does not know is said', async () => {
    await consul.start([A])
    consul.tokens.add('management')
    const found = follow({ kind: 'static', token: 'wrong', tokenPath: '' })
    await until('it is said', () => said.some(line => line.includes('ACL not found')))
    consul.tokens.add('wrong')
    await found
  })
})

describe('where servers are', () => {
  it('is an address, a name, or what a command prints', async () => {
    expect(await discoverServers('10.0.0.7')).toEqual(['10.0.0.7'])
    expect(await discoverServers('localhost')).toContain(A)
    expect(await discoverServers('exec=echo "10.0.0.7" 10.0.0.8')).toEqual(['10.0.0.7', '10.0.0.8'])
  })

  it.each([
    ['exec=false', /^false: /],
    ['exec=', 'exec=: names no command'],
    ['exec=true', 'true: printed no address'],
    ['exec=echo consul.internal', 'echo: printed "consul.internal", which is no IP address'],
    ['no.such.name.invalid', /^the name no\.such\.name\.invalid cannot be resolved/],
  ])('is refused: %s', async (addresses, reason) => {
    await expect(discoverServers(addresses)).rejects.toThrow(reason)
  })
})

describe('a server that is near', () => {
  it('is gone to, once, by who has said who it is; then it is as any other', async () => {
    await consul.start([A, B])
    consul.distances.set(A, 2)
    // Metadata has ASCII alone, names of nodes may have more.
    await follow(NONE, {}, { ...PROXY, nodeName: 'nœud 1' })
    openStream()
    await untilStreamedBy(B)
    expect(consul.introductions).toContainEqual(['web-proxy', 'n%C5%93ud%201'])
    // It ends: back to the far one, which tells the same list.
    consul.servers.get(B)!.stop()
    await untilStreamedBy(A)
    await consul.startServer(B)
    consul.servers.get(A)!.tellMembers()
    await until('the list is told', () => consul.servers.get(A)!.streams.size === 1)
    expect(consul.streamed()).toEqual([A])
  })
})

describe('the next server', () => {
  it('is one that was not tried, then the one whose turn is longest ago', () => {
    const set = new ServerSet(() => 0.99)
    const named = (addresses: string[], distance = 0) => addresses.map(address => ({ address, distance }))
    set.replace(named(['a', 'b', 'c']))
    const first = [set.next(), set.next()]
    expect(set.exhausted).toBe(false)
    const rest = set.next()
    expect([...first, rest].sort()).toEqual(['a', 'b', 'c'])
    expect(set.exhausted).toBe(true)
    set.replace(named(['a', 'b', 'd']))
    expect(set.exhausted).toBe(false)
    expect(set.next()).toBe('d')
    expect([set.next(), set.next()].sort()).toEqual(['a', 'b'])

    // The nearest first of those that were not tried since the list was told.
    set.replace([...named(['a'], 2), ...named(['e'], 1), ...named(['b', 'd'])])
    expect([set.hasNearer('a'), set.hasNearer('e'), set.hasNearer('b'), set.hasNearer('nobody')]).toEqual([true, true, false, false])
    expect([[set.next(), set.next()].sort(), set.next(), set.next()]).toEqual([['b', 'd'], 'e', 'a'])
    expect(set.exhausted).toBe(true)
  })
})

process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
