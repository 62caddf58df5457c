// A catalog, config entries and the snapshot builder over them, without servers: for tests of what compiles to what.
import { Catalog } from '../../../src/control/catalog/catalog.js'
import { parseServiceDefinition } from '../../../src/control/catalog/service-definition.js'
import { ConfigEntryTable } from '../../../src/control/config-entry-table.js'
import { EntryLinks } from '../../../src/control/gateways/gateway-links.js'
import { healthEntry } from '../../../src/control/http-api/shapes.js'
import { type BuiltSnapshot, SnapshotBuilder } from '../../../src/control/snapshot/build-snapshot.js'
import { WriteCheck } from '../../../src/control/snapshot/check-write.js'
import {
  type FederationSources,
  NO_FEDERATIONS,
  NO_PEERS,
  type PeerSources,
  type ProxyInstance,
} from '../../../src/control/snapshot/kinds/proxy-kind.js'
import { PROXY_KINDS } from '../../../src/control/snapshot/kinds/proxy-kinds.js'
import { ResourceErrors } from '../../../src/control/snapshot/resource-errors.js'
import { MemoryStore } from '../../../src/control/store/memory-store.js'
import { OWN } from '../../support/own-node.js'

const TRUST_DOMAIN = '11111111-2222-3333-4444-555555555555.consul'

/** What decoders say of a resource hangs on its bytes alone: fixtures need not ask again. */
const VERDICTS = new ResourceErrors()

export class SnapshotFixture {
  peers: PeerSources = NO_PEERS
  federations: FederationSources = NO_FEDERATIONS

  private constructor(
    readonly catalog: Catalog,
    readonly entries: ConfigEntryTable,
  ) {}

  static async open(): Promise<SnapshotFixture> {
    const store = new MemoryStore()
    const scope = { datacenter: 'dc1', trustDomain: TRUST_DOMAIN }
    const check = new WriteCheck({ mesh: { ...scope, defaultPolicy: () => 'deny' }, kinds: PROXY_KINDS, errors: VERDICTS })
    const entries = await ConfigEntryTable.open(store, { ...scope, check: (entry, before) => check.ofEntry(entry, before) })
    const catalog = await Catalog.open(store, {
      node: OWN,
      sidecarMinPort: 21_000,
      sidecarMaxPort: 21_255,
      checkProxy: (proxy, planned) => check.ofProxy(proxy, planned ?? entries),
    })
    catalog.linkGateways(new EntryLinks(entries, catalog))
    return new SnapshotFixture(catalog, entries)
  }

  /** These entries over another catalog, which many may share one after the other: registering is most of what a fixture costs. */
  over(catalog: Catalog): SnapshotFixture {
    catalog.linkGateways(new EntryLinks(this.entries, catalog))
    const fixture = new SnapshotFixture(catalog, this.entries)
    fixture.peers = this.peers
    return fixture
  }

  /** The errors, as one line each. */
  async register(definition: object): Promise<string[]> {
    const parsed = parseServiceDefinition(definition, { strict: true })
    const result = parsed.ok ? await this.catalog.register(parsed.value) : parsed
    return result.ok ? [] : result.errors.map(({ path, reason }) => `${path}: ${reason}`)
  }

  async write(entry: object): Promise<void> {
    const result = await this.entries.put(entry)
    if (!result.ok) throw new Error(`${JSON.stringify(entry)}: ${'errors' in result ? JSON.stringify(result.errors) : 'conflict'}`)
  }

  build(id: string): BuiltSnapshot {
    const builder = new SnapshotBuilder({
      tunnels: { accepts: () => false },
      catalog: this.catalog,
      entries: this.entries,
      datacenter: 'dc1',
      trustDomain: TRUST_DOMAIN,
      kinds: PROXY_KINDS,
      defaultPolicy: () => 'deny',
      rootsPem: () => 'ROOTS',
      peers: this.peers,
      federations: this.federations,
      leaf: service => ({ chainPem: `CHAIN ${service}`, keyPem: `KEY ${service}` }),
      filterView: instance => healthEntry(this.catalog, instance),
    })
    return builder.build(this.catalog.instance(id) as ProxyInstance)
  }

  cluster(service: string): string {
    return `${service}.default.dc1.internal.${TRUST_DOMAIN}`
  }
}
