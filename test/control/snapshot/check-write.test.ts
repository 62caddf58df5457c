// Writes that a sidecar would refuse are refused before they are acknowledged, with the field of the entry or registration at fault.
import { beforeEach, describe, expect, it } from 'vitest'
import { Catalog } from '../../../src/control/catalog/catalog.js'
import { parseServiceDefinition } from '../../../src/control/catalog/service-definition.js'
import { ConfigEntryTable } from '../../../src/control/config-entry-table.js'
import { WriteCheck } from '../../../src/control/snapshot/check-write.js'
import { PROXY_KINDS } from '../../../src/control/snapshot/kinds/proxy-kinds.js'
import { SIDECAR } from '../../../src/control/snapshot/kinds/sidecar.js'
import { ResourceErrors } from '../../../src/control/snapshot/resource-errors.js'
import { MemoryStore } from '../../../src/control/store/memory-store.js'
import { OWN } from '../../support/own-node.js'

const scope = { datacenter: 'dc1', trustDomain: '11111111-2222-3333-4444-555555555555.consul' }
let catalog: Catalog
let entries: ConfigEntryTable
beforeEach(async () => {
  const store = new MemoryStore()
  const check: WriteCheck = new WriteCheck({
    mesh: { ...scope, defaultPolicy: () => 'deny' },
    kinds: PROXY_KINDS,
    errors: new ResourceErrors(),
  })
  entries = await ConfigEntryTable.open(store, { ...scope, check: (entry, before) => check.ofEntry(entry, before) })
  catalog = await Catalog.open(store, {
    node: OWN,
    sidecarMinPort: 21_000,
    sidecarMaxPort: 21_010,
    checkProxy: proxy => check.ofProxy(proxy, entries),
  })
})

async function errorsOf(entry: object): Promise<string[]> {
  const result = await entries.put(entry)
  return result.ok ? [] : 'errors' in result ? result.errors.map(({ path, reason }) => `${path}: ${reason}`) : ['conflict']
}

async function refusal(definition: object): Promise<string[]> {
  const parsed = parseServiceDefinition(definition, { strict: true })
  const result = parsed.ok ? await catalog.register(parsed.value) : parsed
  return result.ok ? [] : result.errors.map(({ path, reason }) => `${path}: ${reason}`)
}

describe('an http-route', () => {
  const route = (headers: object): object => ({
    Kind: 'http-route',
    Name: 'r',
    Parents: [{ Name: 'edge' }],
    Rules: [{ Filters: { Headers: [{ Set: headers }] }, Services: [{ Name: 'web' }] }],
  })
  const BAD = 'Rules[0].Filters.Headers[0].Set.host: sidecars would refuse it (header.key: :-prefixed or host headers may not be modified)'

  it('that a gateway would refuse is refused before there is the gateway, or its service speaks HTTP', async () => {
    expect(await errorsOf(route({ host: 'x' }))).toEqual([BAD])
    expect(await errorsOf(route({ 'x-host': 'x' }))).toEqual([])
  })

  it('is refused by its own field where the gateway is there', async () => {
    expect(await errorsOf({ Kind: 'service-defaults', Name: 'web', Protocol: 'http' })).toEqual([])
    expect(await errorsOf({ Kind: 'api-gateway', Name: 'edge', Listeners: [{ Name: 'l', Port: 80 }] })).toEqual([])
    expect(await errorsOf(route({ host: 'x' }))).toEqual([BAD])
    expect(await errorsOf(route({ a: '%BOGUS%' }))).toEqual([expect.stringMatching(/^Rules\[0\]\.Filters\.Headers\[0\]\.Set\.a: .*BOGUS/)])
  })
})

describe('proxies that are alike', () => {
  const web = (i: number, address: string, config: object): object => ({
    ID: `web-${i}`,
    Name: 'web',
    Port: 80,
    Connect: { SidecarService: { Address: address, Port: 20_000 + i, Proxy: { Config: config } } },
  })

  it('are looked at once, but for what sets them apart, and again when an entry changes', async () => {
    const check = new WriteCheck({
      mesh: { ...scope, defaultPolicy: () => 'deny' },
      kinds: { 'connect-proxy': { ...SIDECAR, view: (...of) => (views++, SIDECAR.view(...of)) } },
      errors: new ResourceErrors(),
    })
    let views = 0
    const errors = (i: number, address: string, config: object = {}): string[] => {
      const parsed = parseServiceDefinition(web(i, address, config), { strict: true })
      if (!parsed.ok) throw new Error(JSON.stringify(parsed.errors))
      return check.ofProxy({ ...parsed.value.sidecar!, Port: 20_000 }, entries).map(({ path }) => path)
    }
    expect([errors(1, '10.0.0.1'), errors(2, '10.0.0.2'), errors(3, '')]).toEqual([[], [], []])
    expect(views).toBe(2)
    const bad = { bind_address: 'web.internal' }
    expect(errors(4, '10.0.0.4', bad)).toEqual(['Proxy.Config.bind_address'])
    expect(errors(5, '10.0.0.5', bad), 'what is bad is not taken for good').toEqual(['Proxy.Config.bind_address'])
    views = 0
    check.entriesChanged()
    errors(1, '10.0.0.1')
    expect(views).toBe(1)
  })
})

describe('config entries', () => {
  beforeEach(async () => {
    expect(await errorsOf({ Kind: 'service-defaults', Name: 'api', Protocol: 'http' })).toEqual([])
  })

  const router = (modifiers: object): object => ({
    Kind: 'service-router',
    Name: 'api',
    Routes: [{ Match: { HTTP: { PathPrefix: '/a' } }, Destination: { PrefixRewrite: '/' } }, { Destination: modifiers }],
  })

  it.each([
    [
      router({ RequestHeaders: { Set: { good: '1', x: '50% off' } } }),
      /^Routes\[1\]\.Destination\.RequestHeaders\.Set\.x: sidecars would refuse it/,
    ],
    [router({ RequestHeaders: { Set: { Host: 'h' } } }), /^Routes\[1\]\.Destination\.RequestHeaders\.Set\.Host: sidecars would refuse it/],
    [
      router({ ResponseHeaders: { Add: { y: '%NOBODY%' } } }),
      /^Routes\[1\]\.Destination\.ResponseHeaders\.Add\.y: sidecars would refuse it/,
    ],
    [
      { Kind: 'proxy-defaults', Name: 'global', AccessLogs: { Enabled: true, TextFormat: '%STATUS%' } },
      /^AccessLogs\.(TextFormat|Enabled): sidecars would refuse it/,
    ],
    [
      { Kind: 'proxy-defaults', Name: 'global', AccessLogs: { Enabled: true, JSONFormat: '{"a":"%STATUS%"}' } },
      /^AccessLogs\.(JSONFormat|Enabled): sidecars would refuse it/,
    ],
  ])('refuses %j by the field', async (entry, message) => {
    const index = entries.all().length
    const errors = await errorsOf(entry)
    expect(errors).toHaveLength(1)
    expect(errors[0]).toMatch(message)
    expect(entries.all()).toHaveLength(index)
  })

  it('takes the right values of the same fields', async () => {
    expect(await errorsOf(router({ RequestHeaders: { Set: { x: '50%% off', y: '%START_TIME%' } } }))).toEqual([])
    expect(
      await errorsOf({ Kind: 'proxy-defaults', Name: 'global', AccessLogs: { Enabled: true, TextFormat: '%RESPONSE_CODE%' } }),
    ).toEqual([])
    expect(await errorsOf({ Kind: 'service-intentions', Name: 'api', Sources: [{ Name: 'web', Action: 'deny' }] })).toEqual([])
  })
})

describe('registrations', () => {
  const web = (sidecar: object, service: object = {}): object => ({
    Name: 'web',
    Port: 8080,
    ...service,
    Connect: { SidecarService: sidecar },
  })
  const upstream = (fields: object): object =>
    web({ Port: 20_000, Proxy: { Upstreams: [{ DestinationName: 'api', LocalBindPort: 9191, ...fields }] } })

  it.each([
    [web({ Address: 'api-bad.internal' }), /^Connect\.SidecarService\.Address: "api-bad\.internal" must be an IP address/],
    [web({}, { Address: 'api-bad.internal' }), /^Connect\.SidecarService\.Address: "api-bad\.internal" must be an IP address/],
    [{ Name: 'web', Port: 1, Address: 'web.internal', Connect: { Native: true } }, /^Address: "web\.internal" must be an IP address/],
    [
      upstream({ LocalBindAddress: 'localhost' }),
      /^Connect\.SidecarService\.Proxy\.Upstreams\[0\]\.LocalBindAddress: "localhost" must be an IP address/,
    ],
    [
      upstream({ LocalBindPort: 20_000 }),
      /^Connect\.SidecarService\.Proxy\.Upstreams\[0\]\.LocalBindPort: 20000 is the port of the proxy's own public listener/,
    ],
    [
      web({ Proxy: { LocalServiceAddress: 'web.internal' } }),
      /^Connect\.SidecarService\.Proxy\.LocalServiceAddress: sidecars would refuse it/,
    ],
    [
      web({ Proxy: { Config: { bind_address: 'web.internal' } } }),
      /^Connect\.SidecarService\.Proxy\.Config\.bind_address: sidecars would refuse it/,
    ],
  ])('refuses %j by the field', async (definition, message) => {
    const errors = await refusal(definition)
    expect(errors).toHaveLength(1)
    expect(errors[0]).toMatch(message)
    expect([...catalog.instances()]).toEqual([])
  })

  it('gives the public listener an automatic port that no upstream of its own has, also when one takes it later', async () => {
    const definition = (port: number) => web({ Proxy: { Upstreams: [{ DestinationName: 'api', LocalBindPort: port }] } })
    expect(await refusal(definition(21_000))).toEqual([])
    expect(catalog.instance('web-sidecar-proxy')!.Port).toBe(21_001)
    expect(await refusal(definition(21_001))).toEqual([])
    expect(catalog.instance('web-sidecar-proxy')!.Port).toBe(21_000)
  })

  it('takes names where names can be looked up: a service without a sidecar', async () => {
    expect(await refusal({ Name: 'db', Port: 5432, Address: 'db.internal' })).toEqual([])
  })
})
