import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Catalog } from '../../../src/control/catalog/catalog.js'
import { exposeByEntries } from '../../../src/control/catalog/exposed-checks.js'
import { HealthChecks } from '../../../src/control/catalog/health-checks.js'
import { parseServiceDefinition } from '../../../src/control/catalog/service-definition.js'
import { ConfigEntryTable } from '../../../src/control/config-entry-table.js'
import { checkShape } from '../../../src/control/http-api/shapes.js'
import { MemoryStore } from '../../../src/control/store/memory-store.js'
import { OWN } from '../../support/own-node.js'
import { until } from '../../support/proxy-process.js'

/** Answers as the sidecar's listener would, on the only port that is given out in the tests that run checks. */
let sidecar: Server
let sidecarPort: number
let asked: string[]
let catalog: Catalog
let entries: ConfigEntryTable
let problems: string[]
const stops: (() => unknown)[] = []

beforeEach(async () => {
  asked = []
  problems = []
  sidecar = createServer((request, response) => {
    asked.push(request.url!)
    response.end('through the sidecar')
  }).listen(0, '127.0.0.1')
  await new Promise(resolve => sidecar.once('listening', resolve))
  sidecarPort = (sidecar.address() as AddressInfo).port
  const store = new MemoryStore()
  catalog = await Catalog.open(store, { node: OWN, sidecarMinPort: 21_000, sidecarMaxPort: 21_255 })
  entries = await ConfigEntryTable.open(store, { datacenter: 'dc1', trustDomain: 'x.consul' })
})
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop()
  sidecar.close()
})

function expose(exposeMinPort: number, exposeMaxPort: number): void {
  const exposedChecks = exposeByEntries(catalog, entries, { exposeMinPort, exposeMaxPort, onProblem: reason => problems.push(reason) })
  exposedChecks.start()
  stops.push(() => exposedChecks.stop())
}

async function register(id: string, checks: readonly object[], proxy: object = {}): Promise<void> {
  const definition = { ID: id, Name: 'web', Port: 8080, Checks: checks, Connect: { SidecarService: { Proxy: proxy } } }
  const parsed = parseServiceDefinition(definition, { strict: true })
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.errors))
  expect(await catalog.register(parsed.value, true)).toMatchObject({ ok: true })
}

const http = (CheckID: string, url = 'http://10.9.9.9:8080/health?full=1') => ({ CheckID, HTTP: url, Interval: '100ms' })
/** Whatever the change before has left to be looked at. */
const settled = (): Promise<void> => new Promise(resolve => setImmediate(resolve))
const ports = (): Record<string, number> =>
  Object.fromEntries([...catalog.checks()].map(({ definition, exposed }) => [definition.CheckID, exposed?.Port ?? 0]))
const EXPOSE = { Expose: { Checks: true } }

describe('checks that a sidecar exposes', () => {
  it('have a port each: those over HTTP and gRPC in clear text, and no others', async () => {
    expose(21_500, 21_755)
    await register(
      'web-1',
      [
        http('a'),
        { CheckID: 'b', GRPC: '127.0.0.1:8081/web.Health', Interval: '1s' },
        http('tls', 'https://127.0.0.1:8443/'),
        { CheckID: 'grpc-tls', GRPC: '127.0.0.1:8081', GRPCUseTLS: true, Interval: '1s' },
        { CheckID: 'tcp', TCP: '127.0.0.1:8080', Interval: '1s' },
        { CheckID: 'ttl', TTL: '1m' },
      ],
      EXPOSE,
    )
    await until('ports', () => ports()['b'] !== 0)
    expect(ports()).toEqual({ a: 21_500, b: 21_501, tls: 0, 'grpc-tls': 0, tcp: 0, ttl: 0 })
    expect(checkShape(catalog, catalog.check('b')!)).toMatchObject({ ExposedPort: 21_501 })
    expect(catalog.exposedChecks(catalog.instance('web-1-sidecar-proxy')!)).toEqual([
      { Path: '/health', LocalPathPort: 8080, ListenerPort: 21_500, Protocol: 'http', sources: ['127.0.0.1'] },
      { Path: '/grpc.health.v1.Health/Check', LocalPathPort: 8081, ListenerPort: 21_501, Protocol: 'http2', sources: ['127.0.0.1'] },
    ])
  })

  it('keep their ports when they are registered again, and give them up with the sidecar', async () => {
    expose(21_500, 21_755)
    await register('web-1', [http('a')], EXPOSE)
    await register('web-2', [http('b')], EXPOSE)
    await until('ports', () => ports()['b'] !== 0)
    await register('web-1', [{ ...http('a'), Interval: '7s' }], EXPOSE)
    await register('web-3', [http('c')], EXPOSE)
    await until('ports', () => ports()['c'] !== 0)
    expect(ports()).toEqual({ a: 21_500, b: 21_501, c: 21_502 })
    await register('web-1', [http('a')])
    await catalog.deregister('web-2-sidecar-proxy')
    await until('they are gone', () => ports()['a'] === 0 && ports()['b'] === 0)
    await register('web-4', [http('d')], EXPOSE)
    await until('the first free one', () => ports()['d'] === 21_500)
  })

  it('a port that something of this machine has is not given out, and none is left without a word', async () => {
    expose(21_500, 21_502)
    const upstreams = [{ DestinationName: 'db', LocalBindPort: 21_501 }]
    await register('web-1', [http('a'), http('b'), http('c')], { ...EXPOSE, Upstreams: upstreams })
    await until('ports', () => ports()['b'] !== 0)
    expect(ports()).toEqual({ a: 21_500, b: 21_502, c: 0 })
    expect(problems).toEqual(["no ports available to expose 'c' (21500-21502): it goes past the sidecar"])
  })

  it('by config entries too, for as long as they say so', async () => {
    expose(21_500, 21_755)
    await register('web-1', [http('a')])
    for (const entry of [
      { Kind: 'service-defaults', Name: 'web', Expose: { Checks: true } },
      { Kind: 'proxy-defaults', Name: 'global', Config: {}, Expose: { Checks: true } },
    ] as const) {
      await entries.put(entry)
      await until(`${entry.Kind} exposes`, () => ports()['a'] === 21_500)
      await entries.delete(entry.Kind, entry.Name)
      await until(`${entry.Kind} is gone`, () => ports()['a'] === 0)
    }
  })

  it('where config entries have the sidecar listen, past the ports that they give to paths', async () => {
    expose(21_500, 21_502)
    await register('web-1', [http('a'), http('b')], EXPOSE)
    await until('ports', () => ports()['b'] === 21_501)
    const path = { Path: '/metrics', LocalPathPort: 9_102, ListenerPort: 21_500, Protocol: 'http' }
    await entries.put({ Kind: 'service-defaults', Name: 'web', Expose: { Paths: [path] } })
    await until('the first check has made room', () => ports()['a'] === 21_502)
    expect(ports()).toEqual({ a: 21_502, b: 21_501 })
    await entries.put({ Kind: 'proxy-defaults', Name: 'global', Config: { bind_address: '127.0.0.9' } })
    await until('they go there', () => catalog.check('a')!.exposed?.Address === '127.0.0.9')
    expect(catalog.check('b')!.exposed).toEqual({ Proxy: 'web-1-sidecar-proxy', Address: '127.0.0.9', Port: 21_501 })
  })

  it('give way to what another service is registered with later', async () => {
    expose(21_500, 21_755)
    await register('web-1', [http('a')], EXPOSE)
    await until('ports', () => ports()['a'] === 21_500)
    await settled()
    await register('web-2', [], { Upstreams: [{ DestinationName: 'db', LocalBindPort: 21_500 }] })
    await until('another port', () => ports()['a'] === 21_501)
    await settled()
    const path = { Path: '/metrics', LocalPathPort: 9_102, ListenerPort: 21_501, Protocol: 'http' }
    await register('web-3', [], { Expose: { Paths: [path] } })
    await until('and another', () => ports()['a'] === 21_502)
  })

  it('are asked through the sidecar, for what they ask for without it', async () => {
    const runs = new HealthChecks(catalog, { random: () => 0 })
    expose(sidecarPort, sidecarPort)
    runs.start()
    stops.push(() => runs.stop())
    // Nobody answers there.
    await register('web-1', [http('a', 'http://127.0.0.1:1/health?full=1')], EXPOSE)
    await until('it passes', () => catalog.check('a')!.status === 'passing')
    expect(asked[0]).toBe('/health?full=1')
    expect(catalog.check('a')!.output).toBe(`HTTP GET http://127.0.0.1:${sidecarPort}/health?full=1: 200 OK Output: through the sidecar`)
    await register('web-1', [http('a', 'http://127.0.0.1:1/health?full=1')])
    await until('it is asked directly again', () => catalog.check('a')!.status === 'critical')
  })

  it.each([
    [{}, '127.0.0.1'],
    [{ Address: '10.1.1.1' }, '10.1.1.1'],
    [{ Address: '10.1.1.1', Proxy: { Config: { bind_address: '127.0.0.2' } } }, '127.0.0.2'],
    [{ Address: '203.0.113.5', Proxy: { Config: { bind_address: '0.0.0.0' } } }, '127.0.0.1'],
    [{ Proxy: { Config: { bind_address: '::' } } }, '::1'],
  ])('are asked where the sidecar %j listens', async (sidecarOf, address) => {
    expose(21_500, 21_755)
    const { Proxy: proxy = {}, ...rest } = sidecarOf as { readonly Proxy?: object }
    const SidecarService = { ...rest, Proxy: { ...proxy, ...EXPOSE } }
    const parsed = parseServiceDefinition({ Name: 'web', Port: 8080, Checks: [http('a')], Connect: { SidecarService } }, { strict: true })
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.errors))
    await catalog.register(parsed.value)
    await until('it is exposed', () => catalog.check('a')!.exposed !== undefined)
    expect(catalog.check('a')!.exposed!.Address).toBe(address)
  })

  it('go by another sidecar of the service where the one that has exposed them is gone, which is told so', async () => {
    expose(21_500, 21_755)
    const proxy = (ID: string, Port: number): object => ({
      ...{ ID, Name: 'web-proxy', Kind: 'connect-proxy', Port },
      Proxy: { DestinationServiceName: 'web', DestinationServiceID: 'web-1', ...EXPOSE },
    })
    for (const definition of [{ ID: 'web-1', Name: 'web', Checks: [http('a')] }, proxy('p1', 20_001), proxy('p2', 20_002)]) {
      const parsed = parseServiceDefinition(definition, { strict: true })
      if (!parsed.ok) throw new Error(JSON.stringify(parsed.errors))
      await catalog.register(parsed.value)
    }
    await until('the first exposes it', () => catalog.check('a')!.exposed?.Proxy === 'p1')
    const told = new Set<string>()
    catalog.onChange(({ proxies }) => {
      for (const id of proxies) told.add(id)
    })
    await catalog.deregister('p1')
    await until('the second exposes it', () => catalog.check('a')!.exposed?.Proxy === 'p2')
    expect(ports()).toEqual({ a: 21_500 })
    expect(told).toContain('p2')
  })

  it('of a check that is written anew as one that no sidecar hands on, nothing stays', async () => {
    const runs = new HealthChecks(catalog, { random: () => 0 })
    expose(sidecarPort, sidecarPort)
    runs.start()
    stops.push(() => runs.stop())
    await register('web-1', [http('a', 'http://127.0.0.1:1/')], EXPOSE)
    await until('it passes', () => catalog.check('a')!.status === 'passing')
    await register('web-1', [{ CheckID: 'a', TTL: '1m' }], EXPOSE)
    await until('it goes past the sidecar', () => ports()['a'] === 0)
    expect(catalog.exposedChecks(catalog.instance('web-1-sidecar-proxy')!)).toEqual([])
    await register('web-1', [{ CheckID: 'a', HTTP: 'http://127.0.0.1:1/', Interval: '100ms' }], EXPOSE)
    await until('it is exposed again', () => ports()['a'] === sidecarPort)
  })
})
