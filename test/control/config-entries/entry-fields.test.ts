// The table of fields (entry-fields.ts) against the schemas, against what the entries compile to, and against the page that people read.
// A field that the table calls there is taken out of an example, or changed: then the resources of one of two sidecars must be others.
// UPDATE_DOCS=1 writes the page's tables.
import { readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import type { z } from 'zod'
import type { Catalog } from '../../../src/control/catalog/catalog.js'
import { ENTRY_FIELDS, foreignFields } from '../../../src/control/config-entries/entry-fields.js'
import { parseConfigEntry } from '../../../src/control/config-entries/parse-config-entry.js'
import { PROXY_CONFIG_KEYS, UPSTREAM_CONFIG_KEYS } from '../../../src/control/config-entries/proxy-config-keys.js'
import { REFUSED_KINDS, SCHEMAS } from '../../../src/control/config-entries/schemas.js'
import type { ConfigEntryKind } from '../../../src/control/config-entries/types.js'
import { bootstrapParts } from '../../../src/control/http-api/bootstrap-config.js'
import type { PeerSources } from '../../../src/control/snapshot/kinds/proxy-kind.js'
import { OWN } from '../../support/own-node.js'
import { SnapshotFixture } from '../snapshot/snapshot-fixture.js'
import { EXAMPLES } from './field-examples.js'
import { CONFIG_VALUES } from './proxy-config-examples.js'

const PAGE = new URL('../../../docs/consul-compatibility.md', import.meta.url)
const KINDS = [...SCHEMAS.keys()] as ConfigEntryKind[]
/** Written by the store; what a client sends of them is left out. */
const READ_ONLY = ['Kind', 'CreateIndex', 'ModifyIndex', 'Hash']

/** Paths of the leaves of a schema, in the table's notation. */
function leaves(schema: z.ZodType, path = ''): string[] {
  // biome-ignore lint/suspicious/noExplicitAny: zod's definitions are looked into freely.
  const def = (schema as any)._zod.def
  switch (def.type) {
    case 'pipe':
      return leaves(def.in._zod.def.type === 'transform' ? def.out : def.in, path)
    case 'optional':
      return leaves(def.innerType, path)
    case 'array':
      return isScalar(def.element) ? [path] : leaves(def.element, `${path}[]`)
    case 'record':
      return isScalar(def.valueType) ? [path] : leaves(def.valueType, `${path}{}`)
    case 'object':
      return Object.entries(def.shape as Record<string, z.ZodType>).flatMap(([name, field]) =>
        path === '' && READ_ONLY.includes(name) ? [] : leaves(field, path === '' ? name : `${path}.${name}`),
      )
    default:
      return [path]
  }
}

function isScalar(schema: z.ZodType): boolean {
  const [only, ...others] = leaves(schema, '?')
  return only === '?' && others.length === 0
}

const covers = (row: string, leaf: string): boolean =>
  row === leaf || row === `${leaf}[]` || leaf.startsWith(`${row}.`) || leaf.startsWith(`${row}[]`) || leaf.startsWith(`${row}{}`)

describe('the table of fields', () => {
  it.each(KINDS)('has each field of %s once, and none besides', kind => {
    const all = leaves(SCHEMAS.get(kind)!)
    const rows = Object.keys(ENTRY_FIELDS[kind])
    expect(all.filter(leaf => !rows.some(row => covers(row, leaf)))).toEqual([])
    expect(rows.filter(row => !all.some(leaf => covers(row, leaf)))).toEqual([])
  })
})

type Path = readonly (string | number)[]

/** Concrete paths of a row in an example. */
function pathsOf(value: unknown, steps: readonly string[]): Path[] {
  const [step, ...rest] = steps
  if (step === undefined) return value === undefined ? [] : [[]]
  const name = step.replace(/\[\]|\{\}/, '')
  const member = (value as Record<string, unknown> | undefined)?.[name]
  if (member === undefined) return []
  if (!/\[\]|\{\}/.test(step)) return pathsOf(member, rest).map(path => [name, ...path])
  return Object.entries(member as object).flatMap(([key, item]) =>
    pathsOf(item, rest).map(path => [name, Array.isArray(member) ? Number(key) : key, ...path]),
  )
}

function changed(value: unknown, path: Path, to: (old: unknown) => unknown): unknown {
  const [key, ...rest] = path
  if (key === undefined) return to(value)
  if (Array.isArray(value)) return value.map((item, i) => (i === key ? changed(item, rest, to) : item))
  const members = { ...(value as Record<string, unknown>) }
  members[key] = changed(members[key], rest, to)
  return members
}

/** Other values of the same kind. */
const ALTERATIONS = [(value: unknown) => altered(value, text => `${text}x`), (value: unknown) => altered(value, text => `x${text}`)]

function altered(value: unknown, other: (text: string) => string): unknown {
  if (typeof value === 'string') return /^\d+m?s$/.test(value) ? `1${value}` : other(value)
  if (typeof value === 'number') return value + 1
  if (typeof value === 'boolean') return !value
  if (Array.isArray(value)) return value.map(item => altered(item, other))
  return {}
}

/** Of each kind that has entries of its own, by the name that the examples give it. */
const GATEWAYS: readonly (readonly [name: string, kind: string])[] = [
  ['exit', 'terminating-gateway'],
  ['edge', 'api-gateway'],
  ['door', 'ingress-gateway'],
]
/** Only entries of these kinds show themselves in a gateway's resources: for the others none is made. */
const GATEWAY_ENTRIES: ReadonlySet<string> = new Set(GATEWAYS.map(([, kind]) => kind))

const PEERED = {
  name: 'db',
  protocol: 'http',
  sni: 'db.default.default.here.external.east',
  spiffeIds: ['spiffe://east/ns/default/dc/dc2/svc/db'],
  instances: [],
  peer: 'p',
  hash: 'h',
  CreateIndex: 1,
  ModifyIndex: 1,
  ways: [
    {
      id: 'gateway',
      kind: 'mesh-gateway',
      name: 'gateway',
      tags: [],
      meta: {},
      address: '192.0.2.1',
      port: 8443,
      weights: { Passing: 1, Warning: 1 },
      status: 'passing' as const,
      node: { id: '', name: 'n', address: '192.0.2.1' },
    },
  ],
}
/** One peer that exports `db`, and that dials this control plane. */
const PEERS: PeerSources = {
  bundle: peer => (peer === 'p' ? { trustDomain: 'east', rootPems: ['EAST'] } : undefined),
  imported: (peer, service) => (peer === 'p' && service === 'db' ? PEERED : undefined),
  imports: () => [PEERED],
  virtualAddress: () => undefined,
  dialled: () => [],
  server: () => ({ serverName: 'server.dc1.peering.here', host: '127.0.0.1', port: 8503 }),
}

/** What each proxy would be sent, made when it is asked for: most changes show themselves in the first of them. */
interface Sent {
  readonly proxies: readonly string[]
  to(proxy: string): string
}

const BOOTSTRAP = 'bootstrap'

function differ(a: Sent, b: Sent): boolean {
  return a.proxies.join() !== b.proxies.join() || a.proxies.some(proxy => a.to(proxy) !== b.to(proxy))
}

/** With the gateways, and without; the entries stand over them. */
const catalogs = new Map<boolean, Promise<Catalog>>()

function catalogOf(withGateways: boolean): Promise<Catalog> {
  let known = catalogs.get(withGateways)
  if (known === undefined) catalogs.set(withGateways, (known = registered(withGateways)))
  return known
}

async function registered(withGateways: boolean): Promise<Catalog> {
  const mesh = await SnapshotFixture.open()
  for (const version of ['v1', 'v2'])
    await mesh.register({
      Name: 'api',
      ID: `api-${version}`,
      Port: 9000,
      Meta: { version },
      Checks: [
        { TTL: '10s', Status: version === 'v1' ? 'passing' : 'warning' },
        { CheckID: `health-${version}`, HTTP: 'http://127.0.0.1:9000/health', Interval: '1h', Status: 'passing' },
      ],
      Connect: { SidecarService: {} },
    })
  await mesh.catalog.change(draft => {
    const check = draft.check(OWN.Node, 'health-v1')!
    draft.setCheck(OWN.Node, { ...check, exposed: { Proxy: 'api-v1-sidecar-proxy', Address: '127.0.0.1', Port: 21_500 } })
  })
  const Upstreams = [
    { DestinationName: 'api', LocalBindPort: 9191 },
    { DestinationName: 'db', LocalBindPort: 9192 },
    { DestinationName: 'db', DestinationPeer: 'p', LocalBindPort: 9193 },
  ]
  await mesh.register({ Name: 'web', Port: 8080, Connect: { SidecarService: { Proxy: { Upstreams } } } })
  // What there is to fail over to, each in a region of its own.
  for (const Region of ['east', 'west'])
    await mesh.register({ Name: Region, Port: 8080, Locality: { Region }, Connect: { SidecarService: {} } })
  if (withGateways) {
    await mesh.register({ Name: 'outside', Port: 8081, Address: 'outside.example.com' })
    for (const [name, Kind] of GATEWAYS) await mesh.register({ Name: name, Kind, Port: 8443, Address: '127.0.0.1' })
  }
  await mesh.register({ Name: 'through', Kind: 'mesh-gateway', Port: 9443, Address: '127.0.0.1' })
  return mesh.catalog
}

/** Of two sidecars, one of which calls the other, and gateways; the first error where the entries are refused. */
async function outcome(entries: readonly unknown[]): Promise<{ sent: Sent } | { refused: string }> {
  const written = await SnapshotFixture.open()
  written.peers = PEERS
  const { errors } = await written.entries.putAll(entries)
  if (errors.length > 0) return { refused: `${errors[0]!.path}: ${errors[0]!.reason}` }
  const gateways = written.entries.all().some(({ Kind }) => GATEWAY_ENTRIES.has(Kind)) ? GATEWAYS : []
  const catalog = await catalogOf(gateways.length > 0)
  const config = written.entries.get('proxy-defaults', 'global')?.Config ?? {}
  const made = new Map([[BOOTSTRAP, JSON.stringify(bootstrapParts([config]))]])
  const to = (proxy: string): string => {
    const known = made.get(proxy)
    if (known !== undefined) return known
    // Another outcome may have used the catalog meanwhile.
    const types = [...written.over(catalog).build(proxy).snapshot].map(([type, named]) => [
      type,
      [...named].map(([name, { version }]) => [name, version]),
    ])
    const text = JSON.stringify(types)
    made.set(proxy, text)
    return text
  }
  const proxies = [BOOTSTRAP, 'web-sidecar-proxy', 'api-v1-sidecar-proxy', 'through', ...gateways.map(([name]) => name)]
  return { sent: { proxies, to } }
}

/** Of the examples as they are: each is what many of its fields are compared with. */
const unchanged = new Map<object, ReturnType<typeof outcome>>()

function outcomeOf(example: (typeof EXAMPLES)[number]): ReturnType<typeof outcome> {
  let known = unchanged.get(example)
  if (known === undefined) unchanged.set(example, (known = outcome([...example.besides, example.entry])))
  return known
}

describe.each(KINDS)('%s: a field that is there has an effect', kind => {
  const rows = Object.entries(ENTRY_FIELDS[kind]).flatMap(([row, { state }]) => (state === 'there' && row !== 'Name' ? [row] : []))
  it.each(rows)('%s', async row => {
    const examples = EXAMPLES.filter(({ entry }) => entry['Kind'] === kind)
    const places = examples.flatMap(example => pathsOf(example.entry, row.split('.')).map(path => ({ example, path })))
    expect(places, `no example has ${row}`).not.toEqual([])
    const seen: string[] = []
    for (const { example, path } of places) {
      const before = await outcomeOf(example)
      expect(before).toHaveProperty('sent')
      for (const change of [() => undefined, ...ALTERATIONS]) {
        const after = await outcome([...example.besides, changed(example.entry, path, change)])
        // Gone or another it changes what is sent; or another one is refused, so that someone has looked at it.
        if ('sent' in after ? differ(after.sent, (before as { sent: Sent }).sent) : change === ALTERATIONS[0] || change === ALTERATIONS[1])
          return
        seen.push(`${path.join('.')}: ${'refused' in after ? after.refused : 'the same is sent'}`)
      }
    }
    expect.unreachable(seen.join('\n'))
  })
})

describe('a field that leads elsewhere', () => {
  it('is refused where it leads to another datacenter, and is not where it names this one', () => {
    const parsed = parseConfigEntry({
      Kind: 'service-resolver',
      Name: 'api',
      Redirect: { Service: 'b', Datacenter: 'dc1' },
    })
    expect('entry' in parsed && foreignFields(parsed.entry, 'dc1')).toEqual([])
    expect('entry' in parsed && foreignFields(parsed.entry, 'dc2')).toEqual([
      { path: 'Redirect.Datacenter', reason: 'is another datacenter: only peering leads out of this one (Peer)' },
    ])
  })
})

describe('keys of Proxy.Config', () => {
  const send = async (Config: Readonly<Record<string, unknown>>, Upstream: object = {}): Promise<string> => {
    const mesh = await SnapshotFixture.open()
    // A chain of its own, whose routes travel apart.
    await mesh.entries.putAll([
      { Kind: 'service-defaults', Name: 'db', Protocol: 'http' },
      { Kind: 'service-resolver', Name: 'db', ConnectTimeout: '3s' },
    ])
    const Upstreams = [
      { DestinationName: 'api', LocalBindPort: 9191, Config: Upstream },
      { DestinationName: 'db', LocalBindPort: 9192 },
    ]
    const http = { protocol: 'http', ...Config }
    const proxy = { Mode: 'transparent', Config: http, Upstreams }
    expect(await mesh.register({ Name: 'web', Port: 8080, Connect: { SidecarService: { Proxy: proxy } } })).toEqual([])
    const resources = [...mesh.build('web-sidecar-proxy').snapshot].map(([type, named]) => [
      type,
      [...named].map(([name, { version }]) => [name, version]),
    ])
    return JSON.stringify([resources, bootstrapParts([Config])])
  }

  const sendGateway = async (Config: Readonly<Record<string, unknown>>): Promise<string> => {
    const mesh = await SnapshotFixture.open()
    await mesh.entries.putAll([{ Kind: 'terminating-gateway', Name: 'exit', Services: [{ Name: 'outside' }] }])
    await mesh.register({ Name: 'outside', Port: 8081, Address: 'outside.example.com' })
    const TaggedAddresses = { wan: { Address: '127.0.0.2', Port: 8444 } }
    const gateway = { Name: 'exit', Kind: 'terminating-gateway', Port: 8443, Address: '127.0.0.1', TaggedAddresses, Proxy: { Config } }
    expect(await mesh.register(gateway)).toEqual([])
    return JSON.stringify([...mesh.build('exit').snapshot].map(([type, named]) => [type, [...named].map(([, { version }]) => version)]))
  }

  it.each(Object.entries(PROXY_CONFIG_KEYS).filter(([, { reader }]) => reader === 'gateway'))(
    'of a gateway: %s has an effect',
    async name => {
      const { value, besides = {} } = CONFIG_VALUES.proxy[name as keyof typeof CONFIG_VALUES.proxy] ?? {}
      expect(value, 'no example').toBeDefined()
      expect(await sendGateway({ ...besides, [name]: value })).not.toBe(await sendGateway(besides))
    },
  )

  it.each(Object.entries(PROXY_CONFIG_KEYS).filter(([, { reader }]) => reader === 'xds' || reader === 'bootstrap'))(
    '%s has an effect',
    async name => {
      const { value, besides = {} } = CONFIG_VALUES.proxy[name as keyof typeof CONFIG_VALUES.proxy] ?? {}
      expect(value, 'no example').toBeDefined()
      expect(await send({ ...besides, [name]: value })).not.toBe(await send(besides))
    },
  )

  it.each(Object.entries(UPSTREAM_CONFIG_KEYS).filter(([, { reader }]) => reader !== 'nobody'))(
    'of an upstream: %s has an effect',
    async name => {
      const { value, besides = {} } = CONFIG_VALUES.upstream[name as keyof typeof CONFIG_VALUES.upstream] ?? {}
      expect(value, 'no example').toBeDefined()
      expect(await send({}, { ...besides, [name]: value })).not.toBe(await send({}, besides))
    },
  )
})

describe('the page', () => {
  const sections: readonly (readonly [string, () => string[]])[] = [
    ['kinds', kindRows],
    ['fields', fieldRows],
    ['proxy config', configRows],
  ]
  it.each(sections)('shows the table of %s', (name, rows) => {
    const page = readFileSync(PAGE, 'utf8')
    const begin = `<!-- ${name} -->`
    const end = `<!-- /${name} -->`
    const before = page.slice(0, page.indexOf(begin))
    const after = page.slice(page.indexOf(end))
    const wanted = `${before}${begin}\n\n${rows().join('\n')}\n\n${after}`
    if (process.env['UPDATE_DOCS'] === '1') writeFileSync(PAGE, wanted)
    else expect(page).toBe(wanted)
  })
})

function kindRows(): string[] {
  return [
    '| kind | here | |',
    '|---|---|---|',
    ...KINDS.map(kind => `| \`${kind}\` | there |  |`),
    ...[...REFUSED_KINDS].map(([kind, why]) => `| \`${kind}\` | refused | ${why.slice(why.indexOf(': ') + 2)} |`),
  ]
}

function fieldRows(): string[] {
  const rows = KINDS.flatMap(kind =>
    Object.entries(ENTRY_FIELDS[kind]).map(([path, { state, why }]) => `| ${kind} | \`${path}\` | ${state} | ${why} |`),
  )
  return ['| kind | field | here | |', '|---|---|---|---|', ...rows]
}

function configRows(): string[] {
  const rows = [
    ...Object.entries(PROXY_CONFIG_KEYS).map(([key, of]) => ['Proxy.Config', key, of] as const),
    ...Object.entries(UPSTREAM_CONFIG_KEYS).map(([key, of]) => ['Upstreams[].Config', key, of] as const),
  ]
  const state = {
    xds: 'there',
    gateway: 'there, of gateways',
    bootstrap: 'there, in the bootstrap',
    mesh: 'there, in proxy-defaults alone',
    nobody: 'warned',
  }
  return [
    '| map | key | here | |',
    '|---|---|---|---|',
    ...rows.map(([map, key, { reader, why }]) => `| ${map} | \`${key}\` | ${state[reader]} | ${why} |`),
  ]
}
