// The catalog: service instances, their sidecars and their checks, in memory and in the store. One node's worth: every instance
// registered here is on the agent's node, as with Consul's agent API; addresses tell where it listens.
// Written by the HTTP API, the mesh file and the health checks; read by the snapshot builder, which listens to `onChange`.
// Invariant: memory changes only by what the store says it has committed, and listeners are told after that.
import type { ConfigError } from '../config-entries/types.js'
import { type Commit, put, remove, type Store, type StoreWrite } from '../store/store.js'
import {
  type CheckDefinition,
  type HealthStatus,
  MAX_CHECK_OUTPUT_CHARS,
  MAX_CHECKS_PER_SERVICE,
  PLAIN_CHECK,
  sidecarChecks,
} from './check-definition.js'
import { maintenanceCheck, maintenanceCheckId, NODE } from './maintenance-check.js'
import type { Registration, ServiceInstance } from './service-definition.js'

/** Instances, sidecars included. */
export const MAX_INSTANCES = 20_000

export interface CatalogInstance extends ServiceInstance {
  readonly CreateIndex: number
  readonly ModifyIndex: number
}

export interface CatalogCheck {
  readonly definition: CheckDefinition
  readonly status: HealthStatus
  readonly output: string
  readonly CreateIndex: number
  readonly ModifyIndex: number
}

/** A check as the store has it; its indexes are the record's. */
type StoredCheck = Omit<CatalogCheck, 'CreateIndex' | 'ModifyIndex'>

export interface CatalogChange {
  /** Names of the services whose instances or health changed, as dialled (a sidecar counts for the service it stands before). */
  readonly services: ReadonlySet<string>
  /** Ids of connect-proxies that were added, changed or removed. */
  readonly proxies: ReadonlySet<string>
}

export interface CatalogOptions {
  readonly sidecarMinPort: number
  readonly sidecarMaxPort: number
  /** A sidecar whose registration names no checks gets Consul's: it listens, and its service is well. */
  readonly defaultSidecarChecks?: boolean
  /** Would the proxy refuse its own configuration? The errors, with paths in its definition. */
  readonly checkProxy?: (proxy: ServiceInstance) => readonly ConfigError[]
}

export type RegisterResult =
  | { readonly ok: true; readonly changed: boolean }
  | { readonly ok: false; readonly errors: readonly ConfigError[] }

type PlannedWrites =
  | { readonly ok: true; readonly writes: readonly StoreWrite[] }
  | { readonly ok: false; readonly errors: readonly ConfigError[] }

export class Catalog {
  private readonly store: Store
  private readonly options: CatalogOptions
  private readonly instancesByKey = new Map<string, CatalogInstance>()
  private readonly byName = new Map<string, Set<string>>()
  /** Connect proxies by the name of the service they stand before. */
  private readonly proxiesByDestination = new Map<string, Set<string>>()
  private readonly checksByKey = new Map<string, CatalogCheck>()
  private readonly checksByService = new Map<string, Set<string>>()
  private readonly listeners: ((change: CatalogChange) => void)[] = []

  private constructor(store: Store, options: CatalogOptions) {
    this.store = store
    this.options = options
    store.subscribe(['service', 'check'], commit => this.follow(commit))
  }

  static async open(store: Store, options: CatalogOptions): Promise<Catalog> {
    const catalog = new Catalog(store, options)
    for (const { value, createIndex, modifyIndex } of await store.list('service'))
      catalog.add({ ...(value as ServiceInstance), CreateIndex: createIndex, ModifyIndex: modifyIndex })
    for (const { value, createIndex, modifyIndex } of await store.list('check'))
      catalog.addCheck({ ...storedCheck(value), CreateIndex: createIndex, ModifyIndex: modifyIndex })
    return catalog
  }

  onChange(listener: (change: CatalogChange) => void): void {
    this.listeners.push(listener)
  }

  instance(id: string): CatalogInstance | undefined {
    return this.instancesByKey.get(id)
  }

  instances(): IterableIterator<CatalogInstance> {
    return this.instancesByKey.values()
  }

  get size(): number {
    return this.instancesByKey.size
  }

  serviceNames(): IterableIterator<string> {
    return this.byName.keys()
  }

  /** Instances registered under `name`, in order of their ids. */
  instancesOf(name: string): CatalogInstance[] {
    return this.sorted(this.byName.get(name))
  }

  /** Proxies that stand before service `name`, and its connect-native instances, in order of their ids. */
  connectInstancesOf(name: string): CatalogInstance[] {
    const proxies = this.sorted(this.proxiesByDestination.get(name))
    const native = this.instancesOf(name).filter(instance => instance.Native)
    return native.length === 0 ? proxies : [...proxies, ...native].sort((a, b) => (a.ID < b.ID ? -1 : 1))
  }

  proxies(): CatalogInstance[] {
    return [...this.instancesByKey.values()].filter(instance => instance.Kind === 'connect-proxy')
  }

  check(id: string): CatalogCheck | undefined {
    return this.checksByKey.get(id)
  }

  checks(): IterableIterator<CatalogCheck> {
    return this.checksByKey.values()
  }

  /** Checks of the node, or of one instance: the node's, its own, and for a proxy also those of the instance behind it (Consul's alias check of sidecars). */
  checksOf(instance: ServiceInstance | typeof NODE): CatalogCheck[] {
    if (instance === NODE) return this.ownChecks(NODE)
    const own = [...this.ownChecks(NODE), ...this.ownChecks(instance.ID)]
    const behind = instance.Proxy?.DestinationServiceID
    return behind === undefined || behind === '' || behind === instance.ID ? own : [...own, ...this.ownChecks(behind)]
  }

  /** The worst status of an instance's checks; an instance without checks is passing. */
  health(instance: ServiceInstance): HealthStatus {
    return worst(this.checksOf(instance).map(check => check.status))
  }

  /**
   * Adds or replaces an instance, its sidecar and its checks in one transaction. A check that was there already keeps its status;
   * one that the registration no longer names goes only with `replaceExistingChecks`, as in Consul.
   * Refused (nothing changes) when no sidecar port is left, ids or ports collide, or the catalog is full.
   */
  register(registration: Registration, replaceExistingChecks = false): Promise<RegisterResult> {
    return this.store.exclusive(async () => {
      const plan = this.planRegistration(registration, replaceExistingChecks)
      if (!plan.ok) return plan
      if (plan.writes.length === 0) return { ok: true, changed: false }
      await this.store.transaction(plan.writes)
      return { ok: true, changed: true }
    })
  }

  private planRegistration(registration: Registration, replaceExistingChecks: boolean): PlannedWrites {
    const errors: ConfigError[] = []
    const sidecar = registration.sidecar === undefined ? undefined : this.withPort(registration.sidecar, errors)
    const wanted = sidecar === undefined ? [registration.instance] : [registration.instance, sidecar]
    const added = wanted.filter(instance => !this.instancesByKey.has(instance.ID)).length
    if (this.instancesByKey.size + added > MAX_INSTANCES)
      errors.push({ path: '', reason: `the catalog is full (limit ${MAX_INSTANCES} instances)` })
    const wantedChecks = [...registration.checks, ...this.defaultChecks(registration, sidecar)]
    for (const check of wantedChecks) {
      const other = this.checksByKey.get(check.CheckID)
      if (other !== undefined && !wanted.some(instance => instance.ID === other.definition.ServiceID))
        errors.push({ path: 'Check.CheckID', reason: `"${check.CheckID}" belongs to service ${other.definition.ServiceID}` })
    }
    const other = sidecar === undefined ? undefined : this.instancesByKey.get(sidecar.ID)
    if (other !== undefined && other.Proxy?.DestinationServiceID !== registration.instance.ID)
      errors.push({ path: 'Connect.SidecarService.ID', reason: `"${other.ID}" is another service` })
    if (errors.length === 0) errors.push(...this.proxyErrors(registration, sidecar))
    if (errors.length > 0) return { ok: false, errors }

    const dropped = this.sidecarsOf(registration.instance.ID).filter(instance => instance.ID !== sidecar?.ID)
    const instances = wanted.filter(instance => !sameContent(this.instancesByKey.get(instance.ID), instance))
    const checks = wantedChecks.filter(check => !sameContent(this.checksByKey.get(check.CheckID)?.definition, check))
    const keep = new Set(wantedChecks.map(check => check.CheckID))
    const staleChecks = [...(replaceExistingChecks ? wanted : []), ...dropped].flatMap(instance =>
      this.ownChecks(instance.ID).filter(({ definition }) => !keep.has(definition.CheckID) && definition.Type !== 'maintenance'),
    )
    return {
      ok: true,
      writes: [
        ...dropped.map(instance => remove('service', instance.ID)),
        ...staleChecks.map(check => remove('check', check.definition.CheckID)),
        ...instances.map(instance => put('service', instance.ID, instance)),
        ...checks.map(check => put('check', check.CheckID, this.freshCheck(check))),
      ],
    }
  }

  private defaultChecks({ instance, checks }: Registration, sidecar: ServiceInstance | undefined): CheckDefinition[] {
    if (this.options.defaultSidecarChecks !== true || sidecar === undefined || sidecar.SocketPath !== '') return []
    return checks.some(({ ServiceID }) => ServiceID === sidecar.ID) ? [] : sidecarChecks(sidecar, instance.ID)
  }

  private proxyErrors({ instance }: Registration, sidecar: ServiceInstance | undefined): ConfigError[] {
    const proxy = sidecar ?? instance
    if (proxy.Proxy === undefined) return []
    const prefix = sidecar === undefined ? '' : 'Connect.SidecarService.'
    const errors = [...bindErrors(proxy), ...(this.options.checkProxy?.(proxy) ?? [])]
    return errors.map(({ path, reason }) => ({ path: path === '' ? prefix.slice(0, -1) : prefix + path, reason }))
  }

  /** Removes an instance, the sidecar registered with it, and their checks. False when the id is unknown. */
  deregister(id: string): Promise<boolean> {
    return this.store.exclusive(async () => {
      const instance = this.instancesByKey.get(id)
      if (instance === undefined) return false
      const gone = [instance, ...this.sidecarsOf(id)]
      const checks = gone.flatMap(one => this.ownChecks(one.ID))
      await this.store.transaction([
        ...gone.map(one => remove('service', one.ID)),
        ...checks.map(check => remove('check', check.definition.CheckID)),
      ])
      return true
    })
  }

  /** Adds one check to a registered instance, or to the node (`ServiceID` ''). */
  registerCheck(check: CheckDefinition): Promise<RegisterResult> {
    return this.store.exclusive(async () => {
      if (check.ServiceID !== NODE && !this.instancesByKey.has(check.ServiceID))
        return { ok: false, errors: [{ path: 'ServiceID', reason: `ServiceID "${check.ServiceID}" does not exist` }] }
      const before = this.checksByKey.get(check.CheckID)
      if (before !== undefined && before.definition.ServiceID !== check.ServiceID)
        return { ok: false, errors: [{ path: 'CheckID', reason: `"${check.CheckID}" belongs to service ${before.definition.ServiceID}` }] }
      if (before === undefined && this.ownChecks(check.ServiceID).length >= MAX_CHECKS_PER_SERVICE)
        return { ok: false, errors: [{ path: '', reason: `at most ${MAX_CHECKS_PER_SERVICE} checks a service` }] }
      if (sameContent(before?.definition, check)) return { ok: true, changed: false }
      await this.store.put('check', check.CheckID, this.freshCheck(check))
      return { ok: true, changed: true }
    })
  }

  deregisterCheck(id: string): Promise<boolean> {
    return this.store.exclusive(async () => {
      if (!this.checksByKey.has(id)) return false
      await this.store.delete('check', id)
      return true
    })
  }

  /**
   * Takes an instance out of service, or all of them (`serviceId` ''), until it is ended; survives a restart and a re-registration.
   * False when there is no such instance.
   */
  startMaintenance(serviceId: string, reason: string): Promise<boolean> {
    return this.store.exclusive(async () => {
      if (serviceId !== NODE && !this.instancesByKey.has(serviceId)) return false
      const id = maintenanceCheckId(serviceId)
      if (!this.checksByKey.has(id)) await this.store.put('check', id, this.freshCheck(maintenanceCheck(serviceId, reason)))
      return true
    })
  }

  /** False when there is no such instance; true also when it was not in maintenance. */
  endMaintenance(serviceId: string): Promise<boolean> {
    return this.store.exclusive(async () => {
      if (serviceId !== NODE && !this.instancesByKey.has(serviceId)) return false
      const id = maintenanceCheckId(serviceId)
      if (this.checksByKey.has(id)) await this.store.delete('check', id)
      return true
    })
  }

  /** Records the outcome of a check run. The store is written only when the status changes. False when the check is gone. */
  async setCheckStatus(id: string, status: HealthStatus, output: string): Promise<boolean> {
    const check = this.checksByKey.get(id)
    if (check === undefined) return false
    const text = output.slice(0, MAX_CHECK_OUTPUT_CHARS)
    if (check.status === status) {
      this.checksByKey.set(id, { ...check, output: text })
      return true
    }
    return this.store.exclusive(async () => {
      const current = this.checksByKey.get(id)
      if (current === undefined) return false
      if (current.status === status) return true
      await this.store.put('check', id, { definition: current.definition, status, output: text } satisfies StoredCheck)
      return true
    })
  }

  /** Before a re-registered check has run again it keeps what its last run said, so that a restart takes no one out of service. */
  private freshCheck(check: CheckDefinition): StoredCheck {
    const before = this.checksByKey.get(check.CheckID)
    return { definition: check, status: before?.status ?? check.InitialStatus, output: before?.output ?? '' }
  }

  /** The only way in which memory changes after the start: what the store has committed. */
  private follow({ changes }: Commit): void {
    const change = new ChangeSet()
    for (const { collection, key, record } of changes) {
      const indexes = { CreateIndex: record?.createIndex ?? 0, ModifyIndex: record?.modifyIndex ?? 0 }
      if (collection === 'service') {
        change.add(this.instancesByKey.get(key))
        this.remove(key)
        if (record !== undefined) this.add({ ...(record.value as ServiceInstance), ...indexes })
        change.add(this.instancesByKey.get(key))
      } else {
        const before = this.checksByKey.get(key)
        this.healthChanged(before, change)
        this.removeCheck(key)
        if (record !== undefined) this.addCheck({ ...withKnownDefinition(storedCheck(record.value), before), ...indexes })
        this.healthChanged(this.checksByKey.get(key), change)
      }
    }
    for (const listener of this.listeners) listener(change)
  }

  /** Health moves the endpoints of the service, and of the service that a proxy stands before; a check of the node those of all. */
  private healthChanged(check: CatalogCheck | undefined, change: ChangeSet): void {
    if (check === undefined) return
    const id = check.definition.ServiceID
    const ids = id === NODE ? this.instancesByKey.keys() : [id, ...this.sidecarsOf(id).map(({ ID }) => ID)]
    for (const each of ids) {
      const instance = this.instancesByKey.get(each)
      if (instance === undefined) continue
      change.services.add(instance.Service)
      if (instance.Proxy !== undefined) change.services.add(instance.Proxy.DestinationServiceName)
    }
  }

  private withPort(sidecar: ServiceInstance, errors: ConfigError[]): ServiceInstance {
    if (sidecar.Port !== 0 || sidecar.SocketPath !== '') return sidecar
    const before = this.instancesByKey.get(sidecar.ID)
    const { sidecarMinPort, sidecarMaxPort } = this.options
    if (before !== undefined && before.Port >= sidecarMinPort && before.Port <= sidecarMaxPort && !bindsItself(before.Port, sidecar))
      return { ...sidecar, Port: before.Port }
    const taken = new Set(sidecar.Proxy?.Upstreams.map(({ LocalBindPort }) => LocalBindPort))
    for (const instance of this.instancesByKey.values()) taken.add(instance.Port)
    for (let port = sidecarMinPort; port <= sidecarMaxPort; port++) if (!taken.has(port)) return { ...sidecar, Port: port }
    errors.push({ path: 'Connect.SidecarService.Port', reason: `none left in the range ${sidecarMinPort}-${sidecarMaxPort}` })
    return sidecar
  }

  private sidecarsOf(id: string): CatalogInstance[] {
    const name = this.instancesByKey.get(id)?.Service
    if (name === undefined) return []
    const all = this.sorted(this.proxiesByDestination.get(name))
    return all.filter(instance => instance.LocallyRegisteredAsSidecar && instance.Proxy?.DestinationServiceID === id)
  }

  private ownChecks(serviceId: string): CatalogCheck[] {
    const ids = this.checksByService.get(serviceId)
    return ids === undefined ? [] : [...ids].sort().map(id => this.checksByKey.get(id)!)
  }

  private sorted(ids: ReadonlySet<string> | undefined): CatalogInstance[] {
    return ids === undefined ? [] : [...ids].sort().map(id => this.instancesByKey.get(id)!)
  }

  private add(instance: CatalogInstance): void {
    this.instancesByKey.set(instance.ID, instance)
    addTo(this.byName, instance.Service, instance.ID)
    if (instance.Proxy !== undefined) addTo(this.proxiesByDestination, instance.Proxy.DestinationServiceName, instance.ID)
  }

  private remove(id: string): void {
    const instance = this.instancesByKey.get(id)
    if (instance === undefined) return
    this.instancesByKey.delete(id)
    removeFrom(this.byName, instance.Service, id)
    if (instance.Proxy !== undefined) removeFrom(this.proxiesByDestination, instance.Proxy.DestinationServiceName, id)
  }

  private addCheck(check: CatalogCheck): void {
    this.checksByKey.set(check.definition.CheckID, check)
    addTo(this.checksByService, check.definition.ServiceID, check.definition.CheckID)
  }

  private removeCheck(id: string): void {
    const check = this.checksByKey.get(id)
    if (check === undefined) return
    this.checksByKey.delete(id)
    removeFrom(this.checksByService, check.definition.ServiceID, id)
  }
}

class ChangeSet implements CatalogChange {
  readonly services = new Set<string>()
  readonly proxies = new Set<string>()

  add(instance: ServiceInstance | undefined): this {
    if (instance === undefined) return this
    this.services.add(instance.Service)
    if (instance.Proxy !== undefined) {
      this.services.add(instance.Proxy.DestinationServiceName)
      this.proxies.add(instance.ID)
    }
    return this
  }
}

export function worst(statuses: readonly HealthStatus[]): HealthStatus {
  if (statuses.includes('critical')) return 'critical'
  return statuses.includes('warning') ? 'warning' : 'passing'
}

/** The public listener and the upstreams' share one machine: two of one port on one address, or on all, can't both be opened. */
function bindErrors(proxy: ServiceInstance): ConfigError[] {
  const config = proxy.Proxy?.Config ?? {}
  const port = typeof config['bind_port'] === 'number' ? config['bind_port'] : proxy.Port
  const address = typeof config['bind_address'] === 'string' ? config['bind_address'] : proxy.Address || '0.0.0.0'
  if (proxy.SocketPath !== '') return []
  return (proxy.Proxy?.Upstreams ?? []).flatMap((upstream, i) =>
    upstream.LocalBindSocketPath === '' && upstream.LocalBindPort === port && sameOrAny(upstream.LocalBindAddress, address)
      ? [{ path: `Proxy.Upstreams[${i}].LocalBindPort`, reason: `${port} is the port of the proxy's own public listener` }]
      : [],
  )
}

const bindsItself = (port: number, proxy: ServiceInstance): boolean => bindErrors({ ...proxy, Port: port }).length > 0

function sameOrAny(a: string, b: string): boolean {
  return a === b || [a, b].some(address => address === '0.0.0.0' || address === '::')
}

/** One of an older version knows fewer fields. */
function storedCheck(value: unknown): StoredCheck {
  const stored = value as StoredCheck
  return { ...stored, definition: { ...PLAIN_CHECK, ...stored.definition } }
}

/** Whoever runs the check knows by the object that it is the same. */
function withKnownDefinition(check: StoredCheck, before: CatalogCheck | undefined): StoredCheck {
  return before !== undefined && sameContent(before.definition, check.definition) ? { ...check, definition: before.definition } : check
}

/** Equal apart from the indexes that the catalog adds. */
function sameContent(before: object | undefined, after: object): boolean {
  if (before === undefined) return false
  const { CreateIndex: _create, ModifyIndex: _modify, ...rest } = before as Record<string, unknown>
  return JSON.stringify(sortKeys(rest)) === JSON.stringify(sortKeys(after))
}

function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys)
  if (typeof value !== 'object' || value === null) return value
  return Object.entries(value)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, item]) => [key, sortKeys(item)])
}

function addTo(map: Map<string, Set<string>>, key: string, id: string): void {
  const ids = map.get(key)
  if (ids === undefined) map.set(key, new Set([id]))
  else ids.add(id)
}

function removeFrom(map: Map<string, Set<string>>, key: string, id: string): void {
  const ids = map.get(key)
  if (ids === undefined) return
  ids.delete(id)
  if (ids.size === 0) map.delete(key)
}
