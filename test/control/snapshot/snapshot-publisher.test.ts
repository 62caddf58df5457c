// Who is computed when something changes, what is encoded, and when it goes out: the publisher over a real catalog and builder, with the ADS
// server and the certificates replaced. Time is faked, so bursts are exact.
import { fromBinary } from '@bufbuild/protobuf'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Catalog } from '../../../src/control/catalog/catalog.js'
import { parseServiceDefinition } from '../../../src/control/catalog/service-definition.js'
import { ConfigEntryTable } from '../../../src/control/config-entry-table.js'
import { healthEntry } from '../../../src/control/http-api/shapes.js'
import { SnapshotBuilder } from '../../../src/control/snapshot/build-snapshot.js'
import { NO_FEDERATIONS, NO_PEERS } from '../../../src/control/snapshot/kinds/proxy-kind.js'
import { SIDECAR } from '../../../src/control/snapshot/kinds/sidecar.js'
import { socketAddress } from '../../../src/control/snapshot/protobuf.js'
import { SnapshotPublisher } from '../../../src/control/snapshot/snapshot-publisher.js'
import { TunnelReadiness } from '../../../src/control/snapshot/tunnel-readiness.js'
import { MemoryStore } from '../../../src/control/store/memory-store.js'
import { ListenerSchema } from '../../../src/xds/gen/envoy/config/listener/v3/listener_pb.js'
import { type Resource, resourcesOf, type Snapshot, snapshotsEqual } from '../../../src/xds/server/snapshot.js'
import { CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE } from '../../../src/xds/type-urls.js'
import { OWN } from '../../support/own-node.js'

const TRUST_DOMAIN = '11111111-2222-3333-4444-555555555555.consul'
const API_CLUSTER = `api.default.dc1.internal.${TRUST_DOMAIN}`
const COALESCE_MS = 50

let catalog: Catalog
let entries: ConfigEntryTable
let publisher: SnapshotPublisher
let tunnels: TunnelReadiness
let snapshots: Map<string, Snapshot>
/** Proxies whose view was computed, in order. */
let computed: string[]
let pushed: string[]
/** Services whose certificate was asked for. */
let prepared: string[]
/** Proxies without a stream; every other has one. */
let away: Set<string>
/** What was reported: nothing, but where a test takes it out. */
let problems: string[]

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setImmediate', 'clearImmediate', 'performance'] })
  const store = new MemoryStore()
  catalog = await Catalog.open(store, { node: { ...OWN, Address: '10.0.0.1' }, sidecarMinPort: 21_000, sidecarMaxPort: 21_255 })
  entries = await ConfigEntryTable.open(store, { datacenter: 'dc1', trustDomain: TRUST_DOMAIN })
  snapshots = new Map()
  computed = []
  pushed = []
  prepared = []
  away = new Set()
  problems = []
  const mesh = {
    datacenter: 'dc1',
    trustDomain: TRUST_DOMAIN,
    defaultPolicy: () => 'allow' as const,
    rootsPem: () => 'ROOTS',
    peers: NO_PEERS,
    federations: NO_FEDERATIONS,
    leaf: (service: string) => ({ chainPem: `CHAIN ${service}`, keyPem: `KEY ${service}` }),
  }
  tunnels = new TunnelReadiness(service => catalog.connectInstancesOf(service))
  const builder = new SnapshotBuilder({
    ...mesh,
    catalog,
    entries,
    tunnels,
    kinds: {
      'connect-proxy': {
        ...SIDECAR,
        view: (proxy, context) => {
          computed.push(proxy.ID)
          return SIDECAR.view(proxy, context)
        },
      },
    },
    filterView: instance => healthEntry(catalog, instance),
  })
  publisher = new SnapshotPublisher({
    catalog,
    builder,
    tunnels,
    leaves: {
      get: (service: string) => (away.size === 0 ? mesh.leaf(service) : undefined),
      prepare: (service: string) => prepared.push(service),
      release: () => {},
    } as never,
    ads: {
      setSnapshot: (id, snapshot) => {
        const before = snapshots.get(id)
        snapshots.set(id, snapshot)
        const isNew = before === undefined || !snapshotsEqual(before, snapshot)
        if (isNew) pushed.push(id)
        return isNew
      },
      removeSnapshot: id => void snapshots.delete(id),
      isConnected: id => !away.has(id),
      isSynced: () => false,
    },
    index: () => store.index,
    onPropagated: () => {},
    onProblem: (id, reason) => problems.push(`${id}: ${reason}`),
  })
  entries.onChange(({ kind, name }) => publisher.entryChanged(kind, name))
  publisher.start()
})
afterEach(() => {
  publisher.stop()
  vi.useRealTimers()
  expect(problems).toEqual([])
})

async function register(definition: object): Promise<void> {
  const parsed = parseServiceDefinition(definition, { strict: true })
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.errors))
  expect(await catalog.register(parsed.value)).toMatchObject({ ok: true })
}

/** Instances of `web` that are alike, on machines of their own, with an upstream to `api`. */
async function webs(count: number): Promise<void> {
  for (let i = 1; i <= count; i++)
    await register({
      ID: `web-${i}`,
      Name: 'web',
      Port: 80,
      Connect: { SidecarService: { Port: 20_000, Proxy: { Upstreams: [{ DestinationName: 'api', LocalBindPort: 9_000 }] } } },
    })
}

async function settle(): Promise<void> {
  await vi.advanceTimersByTimeAsync(2 * COALESCE_MS)
  computed.length = 0
  pushed.length = 0
}

const resource = (proxy: string, typeUrl: string, name: string): Resource | undefined =>
  resourcesOf(snapshots.get(proxy), typeUrl).get(name)

describe('what is computed and encoded', () => {
  it('of a change of endpoints: the proxies that have the cluster, nothing but its assignment, once for all of them', async () => {
    await webs(3)
    await register({ Name: 'other', Port: 1, Connect: { SidecarService: { Port: 20_001 } } })
    await register({ Name: 'api', Port: 2, Connect: { SidecarService: { Port: 20_002 } } })
    await settle()
    const before = new Map(snapshots)
    await register({ ID: 'api-2', Name: 'api', Port: 2, Connect: { SidecarService: { Port: 20_003 } } })
    await vi.advanceTimersByTimeAsync(COALESCE_MS)

    expect(computed, 'only the new proxy').toEqual(['api-2-sidecar-proxy'])
    expect(pushed.toSorted()).toEqual(['api-2-sidecar-proxy', 'web-1-sidecar-proxy', 'web-2-sidecar-proxy', 'web-3-sidecar-proxy'])
    const assignment = resource('web-1-sidecar-proxy', ENDPOINT_TYPE, API_CLUSTER)!
    expect(assignment.version).not.toBe(resourcesOf(before.get('web-1-sidecar-proxy'), ENDPOINT_TYPE).get(API_CLUSTER)!.version)
    for (const proxy of ['web-2-sidecar-proxy', 'web-3-sidecar-proxy'])
      expect(resource(proxy, ENDPOINT_TYPE, API_CLUSTER), 'the same object').toBe(assignment)
    for (const typeUrl of [CLUSTER_TYPE, LISTENER_TYPE])
      for (const [name, kept] of resourcesOf(before.get('web-1-sidecar-proxy'), typeUrl))
        expect(resource('web-1-sidecar-proxy', typeUrl, name), 'not encoded again').toBe(kept)
  })

  it('of a config entry: once for proxies that are alike, and not at all for others', async () => {
    await webs(3)
    await register({ Name: 'api', Port: 2, Connect: { SidecarService: { Port: 20_002 } } })
    await settle()
    await entries.put({ Kind: 'service-resolver', Name: 'api', ConnectTimeout: '7s' })
    await vi.advanceTimersByTimeAsync(COALESCE_MS)
    expect(computed).toEqual(['web-1-sidecar-proxy'])
    expect(pushed.toSorted()).toEqual(['web-1-sidecar-proxy', 'web-2-sidecar-proxy', 'web-3-sidecar-proxy'])
    const changed = resource('web-1-sidecar-proxy', CLUSTER_TYPE, API_CLUSTER)
    expect(resource('web-3-sidecar-proxy', CLUSTER_TYPE, API_CLUSTER)).toBe(changed)
  })

  it('of instances that differ by their address alone: once, and for each the listener at its own', async () => {
    for (const i of [1, 2])
      await register({
        ID: `web-${i}`,
        Name: 'web',
        Address: `10.1.1.${i}`,
        Port: 80,
        Tags: [`rack-${i}`],
        Connect: {
          SidecarService: {
            Address: `10.1.1.${i}`,
            Port: 20_000,
            Proxy: { Upstreams: [{ DestinationName: 'api', LocalBindPort: 9_000 }] },
          },
        },
      })
    await vi.advanceTimersByTimeAsync(2 * COALESCE_MS)
    await settle()
    publisher.allChanged()
    await vi.advanceTimersByTimeAsync(COALESCE_MS)
    expect(computed).toEqual(['web-1-sidecar-proxy'])
    const [one, two] = ['web-1-sidecar-proxy', 'web-2-sidecar-proxy'].map(id => resourcesOf(snapshots.get(id), LISTENER_TYPE))
    expect([...one!.keys()].toSorted()).toEqual(['api:127.0.0.1:9000', 'public_listener:10.1.1.1:20000'])
    expect([...two!.keys()].toSorted()).toEqual(['api:127.0.0.1:9000', 'public_listener:10.1.1.2:20000'])
    expect(two!.get('api:127.0.0.1:9000'), 'the same object').toBe(one!.get('api:127.0.0.1:9000'))
    const publicOf = (listeners: typeof one, address: string) =>
      fromBinary(ListenerSchema, listeners!.get(`public_listener:${address}:20000`)!.any.value)
    const [first, second] = [publicOf(one, '10.1.1.1'), publicOf(two, '10.1.1.2')]
    expect(second.address).toEqual(socketAddress('10.1.1.2', 20_000))
    expect({ ...second, name: first.name, address: first.address }, 'all the rest').toEqual(first)
  })

  it('of proxies that are alike and connect one after another: once, until something of it changes', async () => {
    const ids = ['web-1-sidecar-proxy', 'web-2-sidecar-proxy', 'web-3-sidecar-proxy', 'other-sidecar-proxy']
    away = new Set(ids)
    await webs(3)
    await register({ Name: 'other', Port: 1, Connect: { SidecarService: { Port: 20_001 } } })
    away = new Set()
    for (const id of ids) away.add(id)
    const connect = async (id: string): Promise<void> => {
      away.delete(id)
      publisher.connected(id)
      await vi.advanceTimersByTimeAsync(2 * COALESCE_MS)
    }
    await connect('web-1-sidecar-proxy')
    await connect('other-sidecar-proxy')
    await connect('web-2-sidecar-proxy')
    expect(computed).toEqual(['web-1-sidecar-proxy', 'other-sidecar-proxy'])
    await entries.put({ Kind: 'service-resolver', Name: 'api', ConnectTimeout: '7s' })
    await vi.advanceTimersByTimeAsync(2 * COALESCE_MS)
    await connect('web-3-sidecar-proxy')
    expect(computed).toEqual(['web-1-sidecar-proxy', 'other-sidecar-proxy', 'web-1-sidecar-proxy'])
    expect(resource('web-3-sidecar-proxy', CLUSTER_TYPE, API_CLUSTER)).toBe(resource('web-1-sidecar-proxy', CLUSTER_TYPE, API_CLUSTER))
  })

  it('of proxies that are alike: anew after a while, however much else changes meanwhile', async () => {
    away = new Set(['web-1-sidecar-proxy', 'web-2-sidecar-proxy'])
    await webs(2)
    await register({ Name: 'other', Port: 1, Connect: { SidecarService: { Port: 20_001 } } })
    for (const id of ['web-1-sidecar-proxy', 'web-2-sidecar-proxy']) {
      away.delete(id)
      publisher.connected(id)
      for (let second = 0; second < 6; second++) {
        publisher.leafChanged('other')
        await vi.advanceTimersByTimeAsync(1_000)
      }
    }
    expect(computed.filter(id => id.startsWith('web'))).toEqual(['web-1-sidecar-proxy', 'web-2-sidecar-proxy'])
  })

  it('of a proxy that stops being like the others, for it alone', async () => {
    await webs(3)
    await settle()
    await register({
      ID: 'web-2',
      Name: 'web',
      Port: 80,
      Connect: { SidecarService: { Port: 20_009, Proxy: { Upstreams: [{ DestinationName: 'api', LocalBindPort: 9_000 }] } } },
    })
    await vi.advanceTimersByTimeAsync(COALESCE_MS)
    expect(computed).toEqual(['web-2-sidecar-proxy'])
    expect(pushed).toEqual(['web-2-sidecar-proxy'])
  })

  it('of what changes while endpoints wait to go out: everything', async () => {
    await webs(1)
    await settle()
    await register({ Name: 'api', Port: 2, Connect: { SidecarService: { Port: 20_002 } } })
    await entries.put({ Kind: 'service-resolver', Name: 'api', ConnectTimeout: '7s' })
    await vi.advanceTimersByTimeAsync(COALESCE_MS)
    expect(computed).toContain('web-1-sidecar-proxy')
    expect(resource('web-1-sidecar-proxy', ENDPOINT_TYPE, API_CLUSTER)).toBeDefined()
  })
})

describe('of a proxy that can’t be made', () => {
  it('for an extension that it requires: it is made once the entry is another', async () => {
    const Target = { Service: { Name: 'nobody' } }
    const authz = { Name: 'builtin/ext-authz', Required: true, Arguments: { Config: { GrpcService: { Target } } } }
    await entries.put({ Kind: 'service-defaults', Name: 'web', Protocol: 'tcp', EnvoyExtensions: [authz] })
    await webs(1)
    await settle()
    expect(problems.splice(0)).toEqual([expect.stringMatching(/web-1-sidecar-proxy: keeps its last .* nobody is no upstream/)])
    expect(snapshots.size).toBe(0)
    await entries.put({ Kind: 'service-defaults', Name: 'web', Protocol: 'tcp' })
    await vi.advanceTimersByTimeAsync(2 * COALESCE_MS)
    expect(pushed).toEqual(['web-1-sidecar-proxy'])
  })
})

describe('of a proxy without a stream', () => {
  const WEB = 'web-1-sidecar-proxy'
  const changes = async (): Promise<void> => {
    await register({ Name: 'api', Port: 2, Connect: { SidecarService: { Port: 20_002 } } })
    await entries.put({ Kind: 'service-resolver', Name: 'api', ConnectTimeout: '7s' })
    publisher.allChanged()
    await vi.advanceTimersByTimeAsync(2 * COALESCE_MS)
  }

  it('nothing is computed, whatever changes; its certificate is there when it comes', async () => {
    away.add(WEB).add('api-sidecar-proxy')
    await webs(1)
    await changes()
    expect({ computed, pushed, pending: publisher.isPending(WEB) }).toEqual({ computed: [], pushed: [], pending: false })
    expect(new Set(prepared)).toEqual(new Set(['web', 'api']))
    away.clear()
    publisher.connected(WEB)
    await vi.advanceTimersByTimeAsync(2 * COALESCE_MS)
    expect(pushed).toEqual([WEB])
    expect(resource(WEB, ENDPOINT_TYPE, API_CLUSTER)).toBeDefined()
  })

  it('what it had is kept until a change concerns it, then it is dropped and made anew when it comes back', async () => {
    await webs(1)
    await settle()
    away.add(WEB)
    publisher.connected(WEB)
    await register({ Name: 'other', Port: 1, Connect: { SidecarService: { Port: 20_001 } } })
    await settle()
    expect(snapshots.has(WEB), 'nothing of it has changed').toBe(true)
    publisher.connected(WEB)
    await vi.advanceTimersByTimeAsync(2 * COALESCE_MS)
    expect(computed).toEqual([])
    away.add(WEB)
    await changes()
    expect(snapshots.has(WEB)).toBe(false)
    expect(computed).not.toContain(WEB)
    away.clear()
    publisher.connected(WEB)
    await vi.advanceTimersByTimeAsync(2 * COALESCE_MS)
    expect(computed).toContain(WEB)
    expect(resource(WEB, ENDPOINT_TYPE, API_CLUSTER)).toBeDefined()
  })

  it('that goes while it waits for its turn: it is not built', async () => {
    await webs(1)
    await settle()
    publisher.allChanged()
    away.add(WEB)
    await vi.advanceTimersByTimeAsync(2 * COALESCE_MS)
    expect(computed).toEqual([])
    expect(snapshots.has(WEB)).toBe(false)
    expect(publisher.isIdle).toBe(true)
  })

  it('that nobody has registered: it is built once it is', async () => {
    publisher.connected(WEB)
    await settle()
    expect(publisher.isIdle).toBe(true)
    await webs(1)
    await vi.advanceTimersByTimeAsync(2 * COALESCE_MS)
    expect(pushed).toEqual([WEB])
  })
})

describe('when it goes out', () => {
  it('the first change at once, a burst after it together within 50 ms', async () => {
    await webs(1)
    await settle()
    await vi.advanceTimersByTimeAsync(COALESCE_MS)
    for (let i = 1; i <= 20; i++) {
      await register({ ID: `api-${i}`, Name: 'api', Port: i, Connect: { SidecarService: { Port: 20_100 + i } } })
      await vi.advanceTimersByTimeAsync(2)
      if (i === 1)
        expect(
          pushed.filter(id => id === 'web-1-sidecar-proxy'),
          'at once',
        ).toHaveLength(1)
    }
    expect(pushed.filter(id => id === 'web-1-sidecar-proxy')).toHaveLength(1)
    await vi.advanceTimersByTimeAsync(COALESCE_MS)
    expect(pushed.filter(id => id === 'web-1-sidecar-proxy')).toHaveLength(2)
    expect(publisher.isPending('web-1-sidecar-proxy')).toBe(false)
  })
})
