// The catalog: service instances, their sidecars and their checks, in memory and in the store. One node's worth: every instance
// registered here is on the agent's node, as with Consul's agent API; addresses tell where it listens.
// Written by the HTTP API, the mesh file and the health checks; read by the snapshot builder, which listens to `onChange`.
// Invariant: memory changes only after the store's transaction has committed, and listeners are told after that.
import type { ConfigError } from '../config-entries/types.js'
import type { Store } from '../store/store.js'
import { maintenanceCheck, maintenanceCheckId, NODE } from './maintenance-check.js'
import type { CheckDefinition, HealthStatus, Registration, ServiceInstance } from './service-definition.js'
import { MAX_CHECKS_PER_SERVICE } from './service-definition.js'

/** Instances, sidecars included. */
export const MAX_INSTANCES = 20_000
/** Output kept of one check run. */
export const MAX_CHECK_OUTPUT_CHARS = 4_096

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

export interface CatalogChange {
  /** Names of the services whose instances or health changed, as dialled (a sidecar counts for the service it stands before). */
  readonly services: ReadonlySet<string>
  /** Ids of connect-proxies that were added, changed or removed. */
  readonly proxies: ReadonlySet<string>
}

export interface CatalogOptions {
  readonly sidecarMinPort: number
  readonly sidecarMaxPort: number
}

export type RegisterResult =
  | { readonly ok: true; readonly changed: boolean }
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

  constructor(store: Store, options: CatalogOptions) {
    this.store = store
    this.options = options
    for (const record of store.list('service')) {
      const instance = record.value as ServiceInstance
      this.add({ ...instance, CreateIndex: record.createIndex, ModifyIndex: record.modifyIndex })
    }
    for (const record of store.list('check')) {
      const check = record.value as Omit<CatalogCheck, 'CreateIndex' | 'ModifyIndex'>
      this.addCheck({ ...check, CreateIndex: record.createIndex, ModifyIndex: record.modifyIndex })
    }
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

  /** Checks of one instance: the node's, and for a proxy also those of the instance behind it (Consul's alias check of sidecars). */
  checksOf(instance: ServiceInstance): CatalogCheck[] {
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
  register(registration: Registration, replaceExistingChecks = false): RegisterResult {
    const errors: ConfigError[] = []
    const sidecar = registration.sidecar === undefined ? undefined : this.withPort(registration.sidecar, errors)
    const wanted = sidecar === undefined ? [registration.instance] : [registration.instance, sidecar]
    const added = wanted.filter(instance => !this.instancesByKey.has(instance.ID)).length
    if (this.instancesByKey.size + added > MAX_INSTANCES)
      errors.push({ path: '', reason: `the catalog is full (limit ${MAX_INSTANCES} instances)` })
    for (const check of registration.checks) {
      const other = this.checksByKey.get(check.CheckID)
      if (other !== undefined && !wanted.some(instance => instance.ID === other.definition.ServiceID))
        errors.push({ path: 'Check.CheckID', reason: `"${check.CheckID}" belongs to service ${other.definition.ServiceID}` })
    }
    const other = sidecar === undefined ? undefined : this.instancesByKey.get(sidecar.ID)
    if (other !== undefined && other.Proxy?.DestinationServiceID !== registration.instance.ID)
      errors.push({ path: 'Connect.SidecarService.ID', reason: `"${other.ID}" is another service` })
    if (errors.length > 0) return { ok: false, errors }

    const dropped = this.sidecarsOf(registration.instance.ID).filter(instance => instance.ID !== sidecar?.ID)
    const instances = wanted.filter(instance => !sameContent(this.instancesByKey.get(instance.ID), instance))
    const checks = registration.checks.filter(check => !sameContent(this.checksByKey.get(check.CheckID)?.definition, check))
    const keep = new Set(registration.checks.map(check => check.CheckID))
    const staleChecks = [...(replaceExistingChecks ? wanted : []), ...dropped].flatMap(instance =>
      this.ownChecks(instance.ID).filter(({ definition }) => !keep.has(definition.CheckID) && definition.Type !== 'maintenance'),
    )
    if (instances.length + checks.length + dropped.length + staleChecks.length === 0) return { ok: true, changed: false }

    const change = new ChangeSet()
    for (const instance of [...wanted, ...dropped]) change.add(this.instancesByKey.get(instance.ID)).add(instance)
    this.store.transaction(index => {
      for (const instance of dropped) this.store.delete('service', instance.ID)
      for (const check of staleChecks) this.store.delete('check', check.definition.CheckID)
      for (const instance of instances) this.store.put('service', instance.ID, instance)
      for (const check of checks) this.store.put('check', check.CheckID, this.freshCheck(check, index))
    })
    const index = this.store.index
    for (const instance of dropped) this.remove(instance.ID)
    for (const check of staleChecks) this.removeCheck(check.definition.CheckID)
    for (const instance of instances) {
      const before = this.instancesByKey.get(instance.ID)
      this.remove(instance.ID)
      this.add({ ...instance, CreateIndex: before?.CreateIndex ?? index, ModifyIndex: index })
    }
    for (const check of checks) this.addCheck(this.freshCheck(check, index))
    this.emit(change)
    return { ok: true, changed: true }
  }

  /** Removes an instance, the sidecar registered with it, and their checks. False when the id is unknown. */
  deregister(id: string): boolean {
    const instance = this.instancesByKey.get(id)
    if (instance === undefined) return false
    const gone = [instance, ...this.sidecarsOf(id)]
    const checks = gone.flatMap(one => this.ownChecks(one.ID))
    const change = new ChangeSet()
    for (const one of gone) change.add(one)
    this.store.transaction(() => {
      for (const one of gone) this.store.delete('service', one.ID)
      for (const check of checks) this.store.delete('check', check.definition.CheckID)
    })
    for (const one of gone) this.remove(one.ID)
    for (const check of checks) this.removeCheck(check.definition.CheckID)
    this.emit(change)
    return true
  }

  /** Adds one check to a registered instance. */
  registerCheck(check: CheckDefinition): RegisterResult {
    const instance = this.instancesByKey.get(check.ServiceID)
    if (instance === undefined)
      return { ok: false, errors: [{ path: 'ServiceID', reason: `ServiceID "${check.ServiceID}" does not exist` }] }
    const before = this.checksByKey.get(check.CheckID)
    if (before !== undefined && before.definition.ServiceID !== check.ServiceID)
      return { ok: false, errors: [{ path: 'CheckID', reason: `"${check.CheckID}" belongs to service ${before.definition.ServiceID}` }] }
    if (before === undefined && this.ownChecks(instance.ID).length >= MAX_CHECKS_PER_SERVICE)
      return { ok: false, errors: [{ path: '', reason: `at most ${MAX_CHECKS_PER_SERVICE} checks a service` }] }
    if (sameContent(before?.definition, check)) return { ok: true, changed: false }
    this.store.transaction(index => this.store.put('check', check.CheckID, this.freshCheck(check, index)))
    this.addCheck(this.freshCheck(check, this.store.index))
    this.emitHealth(instance)
    return { ok: true, changed: true }
  }

  deregisterCheck(id: string): boolean {
    const check = this.checksByKey.get(id)
    if (check === undefined) return false
    this.store.delete('check', id)
    this.removeCheck(id)
    this.emitHealth(this.instancesByKey.get(check.definition.ServiceID))
    return true
  }

  /**
   * Takes an instance out of service, or all of them (`serviceId` ''), until it is ended; survives a restart and a re-registration.
   * False when there is no such instance.
   */
  startMaintenance(serviceId: string, reason: string): boolean {
    if (serviceId !== NODE && !this.instancesByKey.has(serviceId)) return false
    const id = maintenanceCheckId(serviceId)
    if (this.checksByKey.has(id)) return true
    const definition = maintenanceCheck(serviceId, reason)
    this.store.transaction(() => this.store.put('check', id, { definition, status: 'critical', output: '' }))
    this.addCheck(this.freshCheck(definition, this.store.index))
    this.emitMaintenance(serviceId)
    return true
  }

  /** False when there is no such instance; true also when it was not in maintenance. */
  endMaintenance(serviceId: string): boolean {
    if (serviceId !== NODE && !this.instancesByKey.has(serviceId)) return false
    const id = maintenanceCheckId(serviceId)
    if (!this.checksByKey.has(id)) return true
    this.store.delete('check', id)
    this.removeCheck(id)
    this.emitMaintenance(serviceId)
    return true
  }

  private emitMaintenance(serviceId: string): void {
    if (serviceId !== NODE) {
      for (const id of [serviceId, ...this.sidecarsOf(serviceId).map(({ ID }) => ID)]) this.emitHealth(this.instancesByKey.get(id))
      return
    }
    const services = new Set([...this.byName.keys(), ...this.proxiesByDestination.keys()])
    this.emit({ services, proxies: new Set() })
  }

  /** Records the outcome of a check run. The store is written only when the status changes. False when the check is gone. */
  setCheckStatus(id: string, status: HealthStatus, output: string): boolean {
    const check = this.checksByKey.get(id)
    if (check === undefined) return false
    const text = output.slice(0, MAX_CHECK_OUTPUT_CHARS)
    if (check.status === status) {
      this.checksByKey.set(id, { ...check, output: text })
      return true
    }
    this.store.transaction(() => this.store.put('check', id, { definition: check.definition, status, output: text }))
    this.checksByKey.set(id, { ...check, status, output: text, ModifyIndex: this.store.index })
    this.emitHealth(this.instancesByKey.get(check.definition.ServiceID))
    return true
  }

  /** Before a re-registered check has run again it keeps what its last run said, so that a restart takes no one out of service. */
  private freshCheck(check: CheckDefinition, index: number): CatalogCheck {
    const before = this.checksByKey.get(check.CheckID)
    return {
      definition: check,
      status: before?.status ?? check.InitialStatus,
      output: before?.output ?? '',
      CreateIndex: before?.CreateIndex ?? index,
      ModifyIndex: index,
    }
  }

  private withPort(sidecar: ServiceInstance, errors: ConfigError[]): ServiceInstance {
    if (sidecar.Port !== 0 || sidecar.SocketPath !== '') return sidecar
    const before = this.instancesByKey.get(sidecar.ID)
    const { sidecarMinPort, sidecarMaxPort } = this.options
    if (before !== undefined && before.Port >= sidecarMinPort && before.Port <= sidecarMaxPort) return { ...sidecar, Port: before.Port }
    const taken = new Set<number>()
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

  /** Health moves the endpoints of the service, and of the service that a proxy stands before. */
  private emitHealth(instance: CatalogInstance | undefined): void {
    if (instance === undefined) return
    const services = new Set([instance.Service])
    if (instance.Proxy !== undefined) services.add(instance.Proxy.DestinationServiceName)
    for (const listener of this.listeners) listener({ services, proxies: new Set() })
  }

  private emit(change: CatalogChange): void {
    for (const listener of this.listeners) listener(change)
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
