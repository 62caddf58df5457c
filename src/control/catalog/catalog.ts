// The catalog: nodes, service instances, their sidecars and their checks, in memory and in the store. What the agent API registers is on this
// server's own node; other nodes, with their services and checks, are registered whole (`change`, catalog-draft.ts).
// Written by the HTTP API, the mesh file and the health checks; read by the snapshot builder, which listens to `onChange`.
// Invariant: memory changes only by what the store says it has committed, and listeners are told after that.
import type { ConfigEntryIndex, ConfigError } from '../config-entries/types.js'
import { GroupCommit, type GroupDecision } from '../store/group-commit.js'
import { type Commit, put, remove, type Store, type StoreWrite } from '../store/store.js'
import type { HeldLease } from '../store/task-leases.js'
import { CatalogDraft, otherSpelling } from './catalog-draft.js'
import { CatalogIndex, type GatewayLinks } from './catalog-index.js'
import {
  type CatalogChange,
  type CatalogCheck,
  type CatalogInstance,
  type CatalogNode,
  keyOfInstance,
  keyOn,
  MAX_INSTANCES,
  meshServiceOf,
  type NodeRegistration,
  OWN_NODE,
  type StoredCheck,
  splitKey,
} from './catalog-types.js'
import {
  type CheckDefinition,
  type HealthStatus,
  MAX_CHECK_OUTPUT_CHARS,
  MAX_CHECKS_PER_SERVICE,
  PLAIN_CHECK,
  sidecarChecks,
} from './check-definition.js'
import { exposedPath, exposedPort, isExposable } from './check-exposure.js'
import { maintenanceCheck, maintenanceCheckId, NODE } from './maintenance-check.js'
import { bindErrors, freePort } from './proxy-ports.js'
import { sameContent } from './same-content.js'
import type { Registration, ServiceInstance } from './service-definition.js'
import { VirtualIps } from './virtual-ips.js'

export interface CatalogOptions {
  readonly node: CatalogNode
  readonly sidecarMinPort: number
  readonly sidecarMaxPort: number
  /** A sidecar whose registration names no checks gets Consul's: it listens, and its service is well. */
  readonly defaultSidecarChecks?: boolean
  /** Would the proxy refuse its own configuration? The errors, with paths in its definition. */
  readonly checkProxy?: (proxy: ServiceInstance, entries?: ConfigEntryIndex) => readonly ConfigError[]
}

export type RegisterResult =
  | { readonly ok: true; readonly changed: boolean }
  | { readonly ok: false; readonly errors: readonly ConfigError[] }

interface GoodPlan {
  readonly ok: true
  readonly writes: readonly StoreWrite[]
  readonly added: readonly ServiceInstance[]
  /** Ids of those that are removed or replaced. */
  readonly gone: readonly string[]
}
type PlannedWrites = GoodPlan | { readonly ok: false; readonly errors: readonly ConfigError[] }

/** What registrations of one transaction must know of each other, and of this machine. */
interface Batch {
  /** Given out, or asked for. */
  readonly ports: Set<number>
  /** Names of services as they are spelled, by the name in lower case. */
  readonly spellings: Map<string, Set<string>>
  /** Undefined: those that are in force. */
  readonly entries: ConfigEntryIndex | undefined
  /** Instances that there were not before. */
  added: number
}

/** A registration that waits for a transaction. */
interface Registering {
  readonly registration: Registration
  readonly replaceExistingChecks: boolean
}

/** What files declare and what has left them, with the config entries that are in force then. */
export interface CatalogBatch {
  readonly registrations: readonly Registration[]
  readonly checks: readonly CheckDefinition[]
  readonly removedServices: readonly string[]
  readonly removedChecks: readonly string[]
  readonly entries: ConfigEntryIndex
}

type NumberedError = ConfigError & { readonly index: number }

export interface BatchPlan {
  readonly writes: readonly StoreWrite[]
  readonly registrationErrors: readonly NumberedError[]
  readonly checkErrors: readonly NumberedError[]
}

const numbered = (plans: readonly PlannedWrites[]): NumberedError[] =>
  plans.flatMap((plan, index) => (plan.ok ? [] : plan.errors.map(error => ({ ...error, index }))))

export class Catalog extends CatalogIndex {
  private readonly listeners: ((change: CatalogChange) => void)[] = []
  private readonly registrations: GroupCommit<Registering, RegisterResult>

  private constructor(
    private readonly store: Store,
    private readonly options: CatalogOptions,
    virtualIps: VirtualIps,
  ) {
    super(options.node, virtualIps)
    this.registrations = new GroupCommit(store, waiting => this.registerAll(waiting))
    store.subscribe(['node', 'service', 'check'], commit => this.follow(commit))
  }

  static async open(store: Store, options: CatalogOptions): Promise<Catalog> {
    const catalog = new Catalog(store, options, await VirtualIps.open(store))
    for (const { key, value, createIndex, modifyIndex } of await store.list('node'))
      catalog.setNode(key, catalog.nodeFrom(value as NodeRegistration, createIndex, modifyIndex))
    for (const { key, value, createIndex, modifyIndex } of await store.list('service'))
      catalog.addInstance(instanceFrom(key, value as ServiceInstance, createIndex, modifyIndex))
    for (const { key, value, createIndex, modifyIndex } of await store.list('check'))
      catalog.addCheck({ ...storedCheck(value), Node: splitKey(key).node, CreateIndex: createIndex, ModifyIndex: modifyIndex })
    // Those of a state that is older than virtual addresses.
    await store.exclusive(async turn => {
      const missing = catalog.virtualIps.writesFor(catalog, [...catalog.instances()], new Set())
      if (missing.length > 0) await turn.transaction(missing)
    })
    return catalog
  }

  onChange(listener: (change: CatalogChange) => void): void {
    this.listeners.push(listener)
  }

  /** A change of nodes, services and checks that is still to be written, for who writes it together with other things. */
  draft(): CatalogDraft {
    return new CatalogDraft(this, proxy => this.proxyErrors(proxy, ''))
  }

  /**
   * Decides about nodes, services and checks, and commits. Rejects with what `decide` throws; nothing is changed then. `lease`: of who decides
   * on its own, here and below: nothing is written once that is another's.
   */
  change<T>(decide: (draft: CatalogDraft) => T, lease?: HeldLease): Promise<T> {
    return this.store.exclusive(async turn => {
      const draft = this.draft()
      const value = decide(draft)
      const writes = draft.writes()
      if (writes.length > 0) await turn.transaction(writes)
      return value
    }, lease)
  }

  /**
   * Adds or replaces an instance, its sidecar and its checks in one transaction. A check that was there already keeps its status;
   * one that the registration no longer names goes only with `replaceExistingChecks`, as in Consul.
   * Refused (nothing changes) when no sidecar port is left, ids or ports collide, or the catalog is full.
   */
  register(registration: Registration, replaceExistingChecks = false): Promise<RegisterResult> {
    return this.registrations.run({ registration, replaceExistingChecks })
  }

  /** Those that come together share a transaction, as far as none is about what another one of them changes. */
  private registerAll(waiting: readonly Registering[]): GroupDecision<RegisterResult> {
    const batch = this.newBatch(undefined)
    const touched = new Set<string>()
    const plans: PlannedWrites[] = []
    for (const { registration, replaceExistingChecks } of waiting) {
      const keys = this.touchedBy(registration)
      if (keys.some(key => touched.has(key))) break
      for (const key of keys) touched.add(key)
      // Its sidecar is not given the port of its own application.
      batch.ports.add(registration.instance.Port)
      const plan = this.planRegistration(registration, replaceExistingChecks, batch)
      if (plan.ok) for (const instance of plan.added) note(batch, instance)
      plans.push(plan)
    }
    return {
      values: plans.map(plan => (plan.ok ? { ok: true, changed: plan.writes.length > 0 } : plan)),
      writes: this.together(plans.filter(plan => plan.ok)),
    }
  }

  /** Ids of instances and checks that a registration looks at and writes, and of sidecars that go with it. */
  private touchedBy(registration: Registration): string[] {
    const { instance, sidecar, checks } = registration
    const ids = [instance, ...(sidecar === undefined ? [] : [sidecar]), ...this.sidecarsOf(instance.ID)].map(({ ID }) => ID)
    const checkIds = [...checks, ...this.defaultChecks(registration, sidecar)].map(({ CheckID }) => CheckID)
    return [...ids.map(id => `service ${id}`), ...checkIds.map(id => `check ${id}`)]
  }

  private newBatch(entries: ConfigEntryIndex | undefined): Batch {
    return { ports: new Set(this.instancesOn(OWN_NODE).map(({ Port }) => Port)), spellings: new Map(), entries, added: 0 }
  }

  /** With addresses for new services once for all of them: each takes the next one. */
  private together(plans: readonly GoodPlan[], gone = plans.flatMap(plan => plan.gone)): StoreWrite[] {
    const writes = plans.flatMap(plan => plan.writes)
    const added = plans.flatMap(plan => plan.added)
    return [...writes, ...this.virtualIps.writesFor(this, added, new Set(gone))]
  }

  /**
   * What all of it together would write. For who writes more in the same transaction; call it, and write, in one turn of `store.exclusive`.
   */
  planAll({ registrations, checks, removedServices, removedChecks, entries }: CatalogBatch): BatchPlan {
    const batch = this.newBatch(entries)
    for (const { instance, sidecar } of registrations)
      for (const each of sidecar === undefined ? [instance] : [instance, sidecar]) note(batch, each)
    const ids = new Set(registrations.map(({ instance }) => instance.ID))
    const plans = registrations.map(registration => this.planRegistration(registration, true, batch))
    const checkPlans = checks.map(check => this.planCheck(check, ids))
    const removal = this.removalOf(removedServices)
    const good = [...plans, ...checkPlans].filter(plan => plan.ok)
    const gone = [...removal.gone, ...good.flatMap(plan => plan.gone)]
    return {
      writes: [...removal.writes, ...removedChecks.map(id => remove('check', id)), ...this.together(good, gone)],
      registrationErrors: numbered(plans),
      checkErrors: numbered(checkPlans),
    }
  }

  private planRegistration(registration: Registration, replaceExistingChecks: boolean, batch: Batch): PlannedWrites {
    const errors: ConfigError[] = []
    const sidecar = registration.sidecar === undefined ? undefined : this.withPort(registration.sidecar, errors, batch.ports)
    const wanted = sidecar === undefined ? [registration.instance] : [registration.instance, sidecar]
    const added = wanted.filter(instance => this.instance(instance.ID) === undefined).length
    if (this.size + batch.added + added > MAX_INSTANCES)
      errors.push({ path: '', reason: `the catalog is full (limit ${MAX_INSTANCES} instances)` })
    for (const [i, { Service }] of wanted.entries()) {
      const others = batch.spellings.get(Service.toLowerCase()) ?? NO_SPELLINGS
      const other = otherSpelling(Service, this.instancesOf(Service)) ?? [...others].find(spelling => spelling !== Service)
      if (other !== undefined)
        errors.push({
          path: i === 0 ? 'Name' : 'Connect.SidecarService.Name',
          reason: `"${Service}" differs from the service "${other}" in case alone`,
        })
    }
    const wantedChecks = [...registration.checks, ...this.defaultChecks(registration, sidecar)]
    for (const check of wantedChecks) {
      const other = this.check(check.CheckID)
      if (other !== undefined && !wanted.some(instance => instance.ID === other.definition.ServiceID))
        errors.push({ path: 'Check.CheckID', reason: `"${check.CheckID}" belongs to service ${other.definition.ServiceID}` })
    }
    const other = sidecar === undefined ? undefined : this.instance(sidecar.ID)
    if (other !== undefined && other.Proxy?.DestinationServiceID !== registration.instance.ID)
      errors.push({ path: 'Connect.SidecarService.ID', reason: `"${other.ID}" is another service` })
    if (errors.length === 0) {
      const prefix = sidecar === undefined ? '' : 'Connect.SidecarService.'
      errors.push(...this.proxyErrors(sidecar ?? registration.instance, prefix, batch.entries))
    }
    if (errors.length > 0) return { ok: false, errors }

    batch.added += added
    const dropped = this.sidecarsOf(registration.instance.ID).filter(instance => instance.ID !== sidecar?.ID)
    const instances = wanted.filter(instance => !sameContent(this.instance(instance.ID), instance))
    const checks = wantedChecks.filter(check => !sameContent(this.check(check.CheckID)?.definition, check))
    const keep = new Set(wantedChecks.map(check => check.CheckID))
    const staleChecks = [...(replaceExistingChecks ? wanted : []), ...dropped].flatMap(instance =>
      this.checksOfService(OWN_NODE, instance.ID).filter(
        ({ definition }) => !keep.has(definition.CheckID) && definition.Type !== 'maintenance',
      ),
    )
    return {
      ok: true,
      writes: [
        ...dropped.map(instance => remove('service', instance.ID)),
        ...staleChecks.map(check => remove('check', check.definition.CheckID)),
        ...instances.map(instance => put('service', instance.ID, instance)),
        ...checks.map(check => put('check', check.CheckID, this.freshCheck(check))),
      ],
      added: instances,
      gone: [...dropped, ...instances].map(({ ID }) => ID),
    }
  }

  private defaultChecks({ instance, checks }: Registration, sidecar: ServiceInstance | undefined): CheckDefinition[] {
    if (this.options.defaultSidecarChecks !== true || sidecar === undefined || sidecar.SocketPath !== '') return []
    return checks.some(({ ServiceID }) => ServiceID === sidecar.ID) ? [] : sidecarChecks(sidecar, instance)
  }

  private proxyErrors(proxy: ServiceInstance, prefix: string, entries?: ConfigEntryIndex): ConfigError[] {
    if (proxy.Proxy === undefined) return []
    const errors = [...bindErrors(proxy), ...this.foreignUpstreams(proxy), ...(this.options.checkProxy?.(proxy, entries) ?? [])]
    return errors.map(({ path, reason }) => ({ path: path === '' ? prefix.slice(0, -1) : prefix + path, reason }))
  }

  private foreignUpstreams(proxy: ServiceInstance): ConfigError[] {
    const own = this.ownNode.Datacenter
    return (proxy.Proxy?.Upstreams ?? []).flatMap(({ Datacenter }, i) =>
      Datacenter === '' || Datacenter === own
        ? []
        : [
            {
              path: `Proxy.Upstreams[${i}].Datacenter`,
              reason: `${JSON.stringify(Datacenter)} is another datacenter: only peering leads out of ${own} (DestinationPeer)`,
            },
          ],
    )
  }

  /** Removes an instance, the sidecar registered with it, and their checks. False when the id is unknown. */
  deregister(id: string, lease?: HeldLease): Promise<boolean> {
    return this.store.exclusive(async turn => {
      const { writes, gone } = this.removalOf([id])
      if (gone.length > 0) await turn.transaction([...writes, ...this.virtualIps.writesFor(this, [], new Set(gone))])
      return gone.length > 0
    }, lease)
  }

  private removalOf(ids: readonly string[]): { readonly writes: readonly StoreWrite[]; readonly gone: readonly string[] } {
    const instances = ids.flatMap(id => [...(this.instance(id) === undefined ? [] : [this.instance(id)!]), ...this.sidecarsOf(id)])
    const gone = instances.map(({ ID }) => ID)
    const checks = gone.flatMap(id => this.checksOfService(OWN_NODE, id))
    return {
      writes: [...gone.map(id => remove('service', id)), ...checks.map(check => remove('check', check.definition.CheckID))],
      gone,
    }
  }

  /** Adds one check to a registered instance, or to the node (`ServiceID` ''). */
  registerCheck(check: CheckDefinition): Promise<RegisterResult> {
    return this.store.exclusive(async turn => {
      const plan = this.planCheck(check, new Set())
      if (!plan.ok) return plan
      if (plan.writes.length > 0) await turn.transaction(plan.writes)
      return { ok: true, changed: plan.writes.length > 0 }
    })
  }

  /** `planned`: ids of services that are registered in the same batch. */
  private planCheck(check: CheckDefinition, planned: ReadonlySet<string>): PlannedWrites {
    const refuse = (path: string, reason: string): PlannedWrites => ({ ok: false, errors: [{ path, reason }] })
    if (check.ServiceID !== NODE && this.instance(check.ServiceID) === undefined && !planned.has(check.ServiceID))
      return refuse('ServiceID', `ServiceID "${check.ServiceID}" does not exist`)
    const before = this.check(check.CheckID)
    if (before !== undefined && before.definition.ServiceID !== check.ServiceID)
      return refuse('CheckID', `"${check.CheckID}" belongs to service ${before.definition.ServiceID}`)
    if (before === undefined && this.checksOfService(OWN_NODE, check.ServiceID).length >= MAX_CHECKS_PER_SERVICE)
      return refuse('', `at most ${MAX_CHECKS_PER_SERVICE} checks a service`)
    if (sameContent(before?.definition, check)) return { ok: true, writes: [], added: [], gone: [] }
    return { ok: true, writes: [put('check', check.CheckID, this.freshCheck(check))], added: [], gone: [] }
  }

  deregisterCheck(id: string): Promise<boolean> {
    return this.store.exclusive(async turn => {
      if (this.check(id) === undefined) return false
      await turn.transaction([remove('check', id)])
      return true
    })
  }

  /**
   * Takes an instance out of service, or all of them (`serviceId` ''), until it is ended; survives a restart and a re-registration.
   * False when there is no such instance.
   */
  startMaintenance(serviceId: string, reason: string): Promise<boolean> {
    return this.store.exclusive(async turn => {
      if (serviceId !== NODE && this.instance(serviceId) === undefined) return false
      const id = maintenanceCheckId(serviceId)
      if (this.check(id) === undefined) await turn.transaction([put('check', id, this.freshCheck(maintenanceCheck(serviceId, reason)))])
      return true
    })
  }

  /** False when there is no such instance; true also when it was not in maintenance. */
  endMaintenance(serviceId: string): Promise<boolean> {
    return this.store.exclusive(async turn => {
      if (serviceId !== NODE && this.instance(serviceId) === undefined) return false
      const id = maintenanceCheckId(serviceId)
      if (this.check(id) !== undefined) await turn.transaction([remove('check', id)])
      return true
    })
  }

  /** Records the outcome of a check run. The store is written only when the status changes. False when the check is gone. */
  async setCheckStatus(id: string, status: HealthStatus, output: string, node = OWN_NODE, lease?: HeldLease): Promise<boolean> {
    const check = this.checkOn(node, id)
    if (check === undefined) return false
    const text = output.slice(0, MAX_CHECK_OUTPUT_CHARS)
    if (check.status === status) {
      this.setOutput(check, text)
      return true
    }
    return this.store.exclusive(async turn => {
      const current = this.checkOn(node, id)
      if (current === undefined) return false
      if (current.status === status) return true
      const { definition, registered, exposed } = current
      const after: StoredCheck = { definition, status, output: text, ...(registered && { registered }), ...(exposed && { exposed }) }
      await turn.transaction([put('check', keyOn(node, id), after)])
      return true
    }, lease)
  }

  /** Before a re-registered check has run again it keeps what its last run said, so that a restart takes no one out of service. */
  private freshCheck(check: CheckDefinition): StoredCheck {
    const before = this.check(check.CheckID)
    // One that no sidecar hands on any more goes its own way at once.
    const exposed = isExposable(check) ? before?.exposed : undefined
    return { definition: check, status: before?.status ?? check.InitialStatus, output: before?.output ?? '', ...(exposed && { exposed }) }
  }

  /** The only way in which memory changes after the start: what the store has committed. */
  private follow({ changes }: Commit): void {
    const change = new ChangeSet()
    for (const { collection, key, record } of changes) {
      const indexes = { CreateIndex: record?.createIndex ?? 0, ModifyIndex: record?.modifyIndex ?? 0 }
      if (collection === 'node') {
        this.setNode(key, record && this.nodeFrom(record.value as NodeRegistration, record.createIndex, record.modifyIndex))
        change.nodes.add(key)
        // Where its services are without an address of their own, and who they are shown with.
        for (const instance of this.instancesOn(key)) change.add(instance)
      } else if (collection === 'service') {
        const before = this.instanceByKey(key)
        change.add(before)
        this.removeInstance(key)
        if (record !== undefined)
          this.addInstance(instanceFrom(key, record.value as ServiceInstance, record.createIndex, record.modifyIndex))
        const after = this.instanceByKey(key)
        change.add(after)
        // A sidecar that says nothing else is where its service is.
        if (before?.Locality?.Region !== after?.Locality?.Region || before?.Locality?.Zone !== after?.Locality?.Zone) {
          const { node, id } = splitKey(key)
          for (const sidecar of this.instancesOn(node)) if (sidecar.Proxy?.DestinationServiceID === id) change.add(sidecar)
        }
      } else {
        change.checks.add(key)
        const before = this.checkByKey(key)
        this.healthChanged(before, change)
        this.removeCheck(key)
        if (record !== undefined)
          this.addCheck({ ...withKnownDefinition(storedCheck(record.value), before), Node: splitKey(key).node, ...indexes })
        const after = this.checkByKey(key)
        this.healthChanged(after, change)
        this.exposureChanged(before, after, change)
      }
    }
    for (const service of [...change.services]) for (const linked of this.links.servicesOf(service)) change.services.add(linked)
    this.tell(change)
  }

  /** From now on the services behind gateways are reached through these. */
  linkGateways(links: GatewayLinks): void {
    this.links = links
  }

  /** Other gateways stand before these services than did before. */
  linksChanged(services: ReadonlySet<string>): void {
    if (services.size > 0) this.tell({ services, proxies: NONE, nodes: NONE, instances: NONE, checks: NONE })
  }

  private tell(change: CatalogChange): void {
    for (const listener of this.listeners) listener(change)
  }

  private nodeFrom(node: NodeRegistration, CreateIndex: number, ModifyIndex: number): CatalogNode {
    return { ...node, Datacenter: this.ownNode.Datacenter, CreateIndex, ModifyIndex }
  }

  /** Health moves the endpoints of the service, and of the service that a proxy stands before; a check of the node those of all. */
  private healthChanged(check: CatalogCheck | undefined, change: ChangeSet): void {
    if (check === undefined) return
    const { Node, definition } = check
    const ids =
      definition.ServiceID === NODE
        ? this.instancesOn(Node).map(({ ID }) => ID)
        : [definition.ServiceID, ...(Node === OWN_NODE ? this.sidecarsOf(definition.ServiceID).map(({ ID }) => ID) : [])]
    for (const id of ids) {
      const instance = this.instanceOn(Node, id)
      if (instance === undefined) continue
      change.instances.add(keyOfInstance(instance))
      change.services.add(instance.Service)
      change.services.add(meshServiceOf(instance))
    }
  }

  /** The sidecars that open another path for the check than before, or none; also where another one opens it. */
  private exposureChanged(before: CatalogCheck | undefined, after: CatalogCheck | undefined, change: ChangeSet): void {
    const opened = (check: CatalogCheck | undefined): string =>
      JSON.stringify(check && [check.exposed?.Proxy, exposedPath(check, this.nodeOf(check))])
    const either = after ?? before
    if (either === undefined || (!exposedPort(either) && !(before && exposedPort(before))) || opened(before) === opened(after)) return
    const service = this.instanceOn(either.Node, either.definition.ServiceID)
    if (service !== undefined) for (const proxy of this.proxiesOf(service)) change.proxies.add(keyOfInstance(proxy))
  }

  /** `taken`: ports of this machine, to which the one that is given out is added. */
  private withPort(sidecar: ServiceInstance, errors: ConfigError[], taken: Set<number>): ServiceInstance {
    if (sidecar.Port !== 0 || sidecar.SocketPath !== '') return sidecar
    const { sidecarMinPort, sidecarMaxPort } = this.options
    const port = freePort(sidecar, this.instance(sidecar.ID), taken, sidecarMinPort, sidecarMaxPort)
    if (port !== undefined) {
      taken.add(port)
      return { ...sidecar, Port: port }
    }
    errors.push({ path: 'Connect.SidecarService.Port', reason: `none left in the range ${sidecarMinPort}-${sidecarMaxPort}` })
    return sidecar
  }
}

const NONE: ReadonlySet<string> = new Set()
const NO_SPELLINGS: ReadonlySet<string> = new Set()

/** What comes after it in the batch must go with it. */
function note({ ports, spellings }: Batch, { Service, Port }: ServiceInstance): void {
  ports.add(Port)
  const name = Service.toLowerCase()
  const known = spellings.get(name)
  if (known === undefined) spellings.set(name, new Set([Service]))
  else known.add(Service)
}

class ChangeSet implements CatalogChange {
  readonly services = new Set<string>()
  readonly proxies = new Set<string>()
  readonly nodes = new Set<string>()
  readonly instances = new Set<string>()
  readonly checks = new Set<string>()

  add(instance: CatalogInstance | undefined): void {
    if (instance === undefined) return
    this.instances.add(keyOfInstance(instance))
    this.services.add(instance.Service)
    if (instance.Proxy === undefined) return
    this.services.add(meshServiceOf(instance))
    this.proxies.add(keyOfInstance(instance))
  }
}

function instanceFrom(key: string, instance: ServiceInstance, CreateIndex: number, ModifyIndex: number): CatalogInstance {
  return { ...instance, Node: splitKey(key).node, CreateIndex, ModifyIndex }
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
