// From a change to the proxies it concerns: keeps for each connected proxy what its snapshot was made from, rebuilds the affected ones once
// per burst of changes, and gives the results to the ADS server. Made by `ControlPlane`, driven by the catalog's, entries', leaves'
// and CA's changes and by the streams that open. The time from a write to its acknowledgement by a proxy goes to a histogram.
//
//   change, or a stream opens -> dirty proxies -> (at once, or 50 ms after the last time) build -> AdsServer.setSnapshot -> onSynced -> histogram
//
// Invariants: a build that fails leaves the proxy's last good snapshot serving; a proxy without a stream is not built: what it had last is kept
// until a change concerns it, so that one which comes back to an unchanged mesh costs nothing.
import type { AdsServer } from '../../xds/server/server.js'
import type { Catalog } from '../catalog/catalog.js'
import { type CatalogChange, type CatalogInstance, keyOfInstance, meshServiceOf } from '../catalog/catalog-types.js'
import type { LeafCertificates } from '../certificates/leaf-certificates.js'
import type { ConfigEntryKind } from '../config-entries/types.js'
import type { ImportChange } from '../peering/peering-table.js'
import {
  type BuiltSnapshot,
  entryKey,
  FEDERATIONS_KEY,
  GATEWAYS_KEY,
  importKey,
  importWaysKey,
  kindKey,
  leafKey,
  NAMES_KEY,
  PEERS_KEY,
  peerKey,
  type SnapshotBuilder,
  serviceKey,
  serviceOfLeafKey,
  tunnelKey,
  VIRTUAL_KEY,
} from './build-snapshot.js'
import { type ProxyInstance, SnapshotError } from './kinds/proxy-kind.js'
import type { TunnelReadiness } from './tunnel-readiness.js'

export interface PublisherOptions {
  readonly catalog: Catalog
  readonly builder: SnapshotBuilder
  readonly leaves: LeafCertificates
  readonly tunnels: TunnelReadiness
  readonly ads: Pick<AdsServer, 'setSnapshot' | 'removeSnapshot' | 'isConnected' | 'isSynced'>
  /** The store's index: it names snapshots. */
  index(): number
  onPropagated(seconds: number): void
  onProblem(proxyId: string, reason: string): void
}

/** A change that concerns every proxy must not keep streams and requests waiting until the last of them is built. */
const TURN_BUDGET_MS = 10
/** The first change after a pause goes out at once; those that follow within this time go out together at its end. */
const COALESCE_MS = 50
/** What proxies that are alike share is kept so long after a burst: those of a mesh that starts come one after another. */
const ALIKE_KEPT_MS = 5_000
const NO_KEYS: ReadonlySet<string> = new Set()

interface ProxyRecord {
  dependencies: ReadonlySet<string>
  /** What was built last, while nothing but its endpoints has changed. */
  built: BuiltSnapshot | undefined
  /** What the ADS server has for it is what it should have, unless it is dirty. */
  current: boolean
  service: string
  /** Set while a pushed snapshot waits for its acknowledgement: when the oldest write in it came, on the performance clock. */
  changedAt: number | undefined
  /** The store's index when the snapshot was built. */
  builtIndex: number
  /** Last problems reported, so that each is reported once. */
  problems: string
}

export class SnapshotPublisher {
  private readonly options: PublisherOptions
  private readonly proxies = new Map<string, ProxyRecord>()
  private readonly dependents = new Map<string, Set<string>>()
  /** By the key of the proxy (its id, and of another node that before it) -> when the first change that made it dirty came. */
  private readonly dirty = new Map<string, number>()
  /** Names of the services that have instances. */
  private readonly names = new Set<string>()
  /** Names that our own mesh gateways are registered under. */
  private readonly gateways = new Set<string>()
  /** Of services in lower case: what `VIRTUAL_KEY` stands for. */
  private readonly virtualAddresses = new Map<string, string>()
  private turn: NodeJS.Immediate | undefined
  private wait: NodeJS.Timeout | undefined
  /** When a burst was last built, on the performance clock. */
  private flushedAt = Number.NEGATIVE_INFINITY
  private forgetTimer: NodeJS.Timeout | undefined
  private stopped = false

  constructor(options: PublisherOptions) {
    this.options = options
  }

  /** Follows the catalog. */
  start(): void {
    const { catalog } = this.options
    for (const name of catalog.serviceNames()) this.names.add(name)
    for (const { Service } of catalog.meshGateways()) this.gateways.add(Service)
    this.virtualAddressesChanged(catalog.virtualServiceNames())
    catalog.onChange(change => {
      for (const id of change.proxies) this.mark(id)
      if (this.namesChanged(change.services)) this.markDependents(NAMES_KEY)
      if (this.virtualAddressesChanged(change.services)) this.markDependents(VIRTUAL_KEY)
      if (this.gatewaysChanged(change)) {
        this.options.builder.gatewaysChanged()
        this.markDependents(GATEWAYS_KEY)
      }
      for (const service of change.services) {
        this.options.builder.serviceChanged(service)
        this.markDependents(serviceKey(service))
        this.options.tunnels.check(service)
      }
    })
    catalog.virtualIps.onChosen = service => {
      if (this.virtualAddressesChanged([service])) this.markDependents(VIRTUAL_KEY)
    }
    this.options.tunnels.onChange = service => this.markDependents(tunnelKey(service))
    for (const proxy of catalog.proxies()) this.prepareLeaf(proxy)
  }

  /** A stream of the proxy is open: it is given what it should have, unless that is there. */
  connected(id: string): void {
    if (this.proxies.get(id)?.current !== true && this.options.catalog.instanceByKey(id)?.Proxy !== undefined) this.mark(id)
  }

  /** Nothing waits to be built. */
  get isIdle(): boolean {
    return this.dirty.size === 0
  }

  /** Whether a service came or went. */
  private namesChanged(services: ReadonlySet<string>): boolean {
    let changed = false
    for (const service of services) {
      const known = this.options.catalog.instancesOf(service).length > 0
      if (known === this.names.has(service)) continue
      changed = true
      if (known) this.names.add(service)
      else this.names.delete(service)
    }
    return changed
  }

  private virtualAddressesChanged(services: Iterable<string>): boolean {
    let changed = false
    for (const service of services) {
      const name = service.toLowerCase()
      const { catalog } = this.options
      const now = [...catalog.virtualAddressesOf(name), ...(catalog.isDialledDirectly(name) ? ['direct'] : [])].join(' ')
      if (now === (this.virtualAddresses.get(name) ?? '')) continue
      changed = true
      if (now === '') this.virtualAddresses.delete(name)
      else this.virtualAddresses.set(name, now)
    }
    return changed
  }

  private gatewaysChanged({ services }: CatalogChange): boolean {
    let changed = false
    for (const service of services) {
      const isGateway = this.options.catalog.instancesOf(service).some(({ Kind }) => Kind === 'mesh-gateway')
      if (!isGateway && !this.gateways.has(service)) continue
      changed = true
      if (isGateway) this.gateways.add(service)
      else this.gateways.delete(service)
    }
    return changed
  }

  stop(): void {
    this.stopped = true
    this.unschedule()
    clearTimeout(this.forgetTimer)
  }

  entryChanged(kind: ConfigEntryKind, name: string): void {
    this.markDependents(entryKey(kind, name))
    this.markDependents(kindKey(kind))
  }

  /** It was made, has told of itself, is trusted no more. */
  peeringChanged(name: string): void {
    this.markDependents(peerKey(name))
    this.markDependents(PEERS_KEY)
  }

  federationsChanged(): void {
    this.markDependents(FEDERATIONS_KEY)
  }

  importChanged({ peer, service, identity }: ImportChange): void {
    this.options.builder.importChanged(peer, service)
    this.markDependents(importWaysKey(peer, service))
    if (!identity) return
    this.markDependents(importKey(peer, service))
    this.markDependents(PEERS_KEY)
  }

  leafChanged(service: string): void {
    this.markDependents(leafKey(service))
  }

  /** Some proxy shows, or waits for, the certificate of the service. */
  needsLeaf(service: string): boolean {
    return this.dependents.has(leafKey(service))
  }

  /** Roots or the default policy changed. */
  allChanged(): void {
    this.options.builder.everythingChanged()
    for (const proxy of this.options.catalog.proxies()) this.mark(keyOfInstance(proxy))
  }

  /** Every open stream of the proxy has acknowledged its snapshot. */
  synced(proxyId: string): void {
    const record = this.proxies.get(proxyId)
    if (record !== undefined) this.options.tunnels.synced(proxyId, record.service)
    if (record?.changedAt === undefined || this.dirty.has(proxyId)) return
    this.options.onPropagated((performance.now() - record.changedAt) / 1_000)
    record.changedAt = undefined
  }

  /** The highest index of a write that the proxy has acknowledged, or that did not concern it; `types`: as far as these say. */
  acknowledgedIndex(proxyId: string, types?: ReadonlySet<string>): number {
    const record = this.proxies.get(proxyId)
    if (record === undefined) return 0
    if (!this.options.ads.isSynced(proxyId, types)) return Math.max(record.builtIndex - 1, 0)
    return this.dirty.has(proxyId) ? record.builtIndex : this.options.index()
  }

  /** Keys of the proxies that are made from the entry, or would be if it were there. */
  dependentsOf(kind: ConfigEntryKind, name: string): readonly string[] {
    return [...(this.dependents.get(entryKey(kind, name)) ?? [])]
  }

  isPending(proxyId: string): boolean {
    return this.dirty.has(proxyId)
  }

  /** Builds what is dirty; what does not come to its turn within the budget is left for the next one. */
  private readonly flush = (): void => {
    this.unschedule()
    const end = performance.now() + TURN_BUDGET_MS
    for (const [id, changedAt] of this.dirty) {
      this.dirty.delete(id)
      this.publish(id, changedAt)
      if (performance.now() >= end) break
    }
    this.unschedule()
    this.flushedAt = performance.now()
    if (this.stopped) return
    if (this.dirty.size === 0) this.forgetLater()
    else this.turn = setImmediate(this.flush)
  }

  private forgetLater(): void {
    // Not put off by the next burst: where there is always one, what is there no more would be kept for ever.
    this.forgetTimer ??= setTimeout(() => {
      this.forgetTimer = undefined
      this.options.builder.forgetAlike()
    }, ALIKE_KEPT_MS).unref()
  }

  /** `onlyEndpoints`: what was built before stays, but for its endpoints. */
  private mark(id: string, onlyEndpoints = false): void {
    if (this.stopped) return
    if (!this.options.ads.isConnected(id)) {
      this.outdate(id)
      return
    }
    const record = this.proxies.get(id)
    if (!onlyEndpoints && record !== undefined) record.built = undefined
    if (!this.dirty.has(id)) this.dirty.set(id, performance.now())
    if (this.turn !== undefined || this.wait !== undefined) return
    const waitMs = this.flushedAt + COALESCE_MS - performance.now()
    if (waitMs <= 0) this.turn = setImmediate(this.flush)
    else this.wait = setTimeout(this.flush, waitMs)
  }

  /** Nobody waits for what the proxy should have: it is made when a stream opens. Its certificate, which takes time, is there by then. */
  private outdate(id: string): void {
    this.dirty.delete(id)
    const proxy = this.options.catalog.instanceByKey(id)
    if (proxy?.Proxy === undefined) {
      this.forget(id)
      return
    }
    this.prepareLeaf(proxy)
    const record = this.proxies.get(id)
    if (record?.current !== true) return
    record.current = false
    record.built = undefined
    record.changedAt = undefined
    // Certificates that it will show again are renewed as long as it is registered.
    this.setDependencies(id, record, new Set([...record.dependencies].filter(key => serviceOfLeafKey(key) !== undefined)))
    this.options.ads.removeSnapshot(id)
  }

  private prepareLeaf(proxy: CatalogInstance): void {
    const service = meshServiceOf(proxy)
    // Every replica follows the catalog.
    if (this.options.leaves.get(service) === undefined) this.options.leaves.prepare(service, true)
  }

  private unschedule(): void {
    clearImmediate(this.turn)
    clearTimeout(this.wait)
    this.turn = undefined
    this.wait = undefined
  }

  private markDependents(key: string): void {
    this.options.builder.inputChanged(key)
    for (const id of this.dependents.get(key) ?? []) this.mark(id, this.proxies.get(id)?.built?.settled.dependencies.has(key) === false)
  }

  private publish(id: string, changedAt: number): void {
    const proxy = this.options.catalog.instanceByKey(id)
    if (proxy?.Proxy === undefined) {
      this.forget(id)
      return
    }
    if (!this.options.ads.isConnected(id)) {
      this.outdate(id)
      return
    }
    const service = meshServiceOf(proxy)
    const record = this.proxies.get(id) ?? {
      dependencies: NO_KEYS,
      built: undefined,
      current: false,
      service,
      changedAt: undefined,
      builtIndex: 0,
      problems: '',
    }
    record.service = service
    this.proxies.set(id, record)
    this.build(id, proxy, record, changedAt)
  }

  private build(id: string, proxy: CatalogInstance, record: ProxyRecord, changedAt: number): void {
    const index = this.options.index()
    record.current = true
    let problems: string
    try {
      const { builder } = this.options
      const built = record.built === undefined ? builder.build(proxy as ProxyInstance) : builder.refresh(record.built)
      record.built = built
      const { settled, endpointDependencies } = built
      this.setDependencies(id, record, new Set([...settled.dependencies, ...endpointDependencies]))
      this.options.tunnels.offered(id, record.service, settled.acceptsTunnels)
      problems = settled.problems.map(({ path, reason }) => `${path} ${reason}`).join('; ')
      if (this.options.ads.setSnapshot(id, built.snapshot, String(index))) {
        record.builtIndex = index
        record.changedAt ??= changedAt
        if (this.options.ads.isSynced(id)) this.synced(id)
      }
    } catch (error) {
      if (!(error instanceof SnapshotError)) throw error
      // What it depended on before it may still be what is served.
      this.setDependencies(id, record, new Set([...record.dependencies, ...error.dependencies]))
      // `onLeaf` marks who waits for it once it is there.
      if (this.prepareLeaves(error.dependencies, record.service)) return
      problems = `keeps its last configuration: ${error.message}`
    }
    if (problems !== '' && problems !== record.problems) this.options.onProblem(id, problems)
    record.problems = problems
  }

  /** Whether any is missing, and on its way. */
  private prepareLeaves(dependencies: ReadonlySet<string>, own: string): boolean {
    const { leaves } = this.options
    const services = [...dependencies].flatMap(key => serviceOfLeafKey(key) ?? [])
    const missing = services.filter(service => leaves.get(service) === undefined)
    for (const service of missing) leaves.prepare(service, service === own)
    return missing.length > 0
  }

  private setDependencies(id: string, record: ProxyRecord, dependencies: ReadonlySet<string>): void {
    for (const key of record.dependencies) if (!dependencies.has(key)) this.removeDependent(key, id)
    for (const key of dependencies) {
      const ids = this.dependents.get(key)
      if (ids === undefined) this.dependents.set(key, new Set([id]))
      else ids.add(id)
    }
    record.dependencies = dependencies
  }

  private removeDependent(key: string, id: string): void {
    const ids = this.dependents.get(key)
    ids?.delete(id)
    if (ids?.size !== 0) return
    this.dependents.delete(key)
    const service = serviceOfLeafKey(key)
    if (service !== undefined && this.options.catalog.connectInstancesOf(service).length === 0) this.options.leaves.release(service)
  }

  private forget(id: string): void {
    const record = this.proxies.get(id)
    if (record === undefined) return
    this.proxies.delete(id)
    this.setDependencies(id, record, NO_KEYS)
    this.options.ads.removeSnapshot(id)
    this.options.tunnels.forget(id, record.service)
  }
}
