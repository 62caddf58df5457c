// The catalog in memory: nodes, instances and checks with the look-ups that its readers need. The base of `Catalog`, which fills it from
// the store's commits and writes; read by the snapshot builder, DNS, the HTTP API and the drafts of a change.
// Names of services are looked up without case, as in Consul.
// Invariant: an instance or a check is there only while its node is.

import { isIP } from 'node:net'
import { type CatalogCheck, type CatalogInstance, type CatalogNode, keyOfInstance, keyOn, OWN_NODE } from './catalog-types.js'
import type { HealthStatus } from './check-definition.js'
import { type ExposedCheck, exposedPath } from './check-exposure.js'
import { NODE } from './maintenance-check.js'
import type { GatewayKind } from './service-definition.js'
import type { VirtualIps } from './virtual-ips.js'

/** Which gateways stand before which services; said by the config entries. */
export interface GatewayLinks {
  /** Names of the terminating gateways. */
  gatewaysOf(service: string): readonly string[]
  /** Names of the ingress gateways. */
  ingressesOf(service: string): readonly string[]
  /** Of gateways of both kinds. */
  servicesOf(gateway: string): readonly string[]
}

/** The instances of one name or node. */
interface Group {
  readonly keys: Set<string>
  /** In order of their keys; made when first asked for, until one comes or goes. */
  sorted: readonly CatalogInstance[] | undefined
}

const NO_INSTANCES: readonly CatalogInstance[] = []
const NO_LINKS: GatewayLinks = { gatewaysOf: () => [], ingressesOf: () => [], servicesOf: () => [] }

export class CatalogIndex {
  protected links: GatewayLinks = NO_LINKS
  /** Other nodes, by their keys. */
  private readonly nodesByKey = new Map<string, CatalogNode>()
  /** Of those that have an id. */
  private readonly nodeKeysById = new Map<string, string>()
  private readonly instancesByKey = new Map<string, CatalogInstance>()
  /** Those of them that are served with configuration: of a large mesh a tenth. */
  private readonly proxiesByKey = new Map<string, CatalogInstance>()
  private readonly byName = new Map<string, Group>()
  private readonly byNode = new Map<string, Group>()
  /** Connect proxies by the name of the service they stand before. */
  private readonly proxiesByDestination = new Map<string, Group>()
  /** Those and the connect-native instances of a name together; made when first asked for, until one of them comes or goes. */
  private readonly connectByName = new Map<string, readonly CatalogInstance[]>()
  private readonly checksByKey = new Map<string, CatalogCheck>()
  /** By the key of the service they are of; of a node, by the key of the service without a name. */
  private readonly checksByService = new Map<string, Set<string>>()
  /** Names as they are spelled, with how many instances have them. */
  private readonly spellings = new Map<string, number>()

  constructor(
    readonly ownNode: CatalogNode,
    readonly virtualIps: VirtualIps,
  ) {}

  // ---- nodes ----

  /** The key of a node by its name in any case. */
  nodeKey(name: string): string {
    const folded = name.toLowerCase()
    return folded === this.ownNode.Node.toLowerCase() ? OWN_NODE : folded
  }

  node(name: string): CatalogNode | undefined {
    // That is our own node's key, and nobody's name.
    if (name === '') return undefined
    const key = this.nodeKey(name)
    return key === OWN_NODE ? this.ownNode : this.nodesByKey.get(key)
  }

  nodeWithId(id: string): CatalogNode | undefined {
    if (id === this.ownNode.ID) return this.ownNode
    const key = this.nodeKeysById.get(id)
    return key === undefined ? undefined : this.nodesByKey.get(key)
  }

  /** By name. */
  nodes(): CatalogNode[] {
    return [this.ownNode, ...this.nodesByKey.values()].sort((a, b) => (a.Node < b.Node ? -1 : 1))
  }

  get nodeCount(): number {
    return this.nodesByKey.size + 1
  }

  nodeOf({ Node }: { readonly Node: string }): CatalogNode {
    return (Node === OWN_NODE ? undefined : this.nodesByKey.get(Node)) ?? this.ownNode
  }

  // ---- instances ----

  /** One of this node. */
  instance(id: string): CatalogInstance | undefined {
    return this.instanceOn(OWN_NODE, id)
  }

  instanceOn(nodeKey: string, id: string): CatalogInstance | undefined {
    const instance = this.instancesByKey.get(keyOn(nodeKey, id))
    return instance?.Node === nodeKey ? instance : undefined
  }

  instanceByKey(key: string): CatalogInstance | undefined {
    return this.instancesByKey.get(key)
  }

  /** Of every node. */
  instances(): IterableIterator<CatalogInstance> {
    return this.instancesByKey.values()
  }

  /** Those of one node, in order of their ids. */
  instancesOn(nodeKey: string): readonly CatalogInstance[] {
    return this.sorted(this.byNode.get(nodeKey))
  }

  get size(): number {
    return this.instancesByKey.size
  }

  /** As they are spelled. */
  serviceNames(): IterableIterator<string> {
    return this.spellings.keys()
  }

  /** Instances registered under `name`, in order of their keys. */
  instancesOf(name: string): readonly CatalogInstance[] {
    return this.sorted(this.byName.get(name.toLowerCase()))
  }

  /** Where the mesh reaches service `name`: its sidecars, connect-native instances and terminating gateways, in order of their keys. */
  connectInstancesOf(name: string): readonly CatalogInstance[] {
    const own = this.ownConnectInstancesOf(name.toLowerCase())
    const gateways = this.links.gatewaysOf(name).flatMap(gateway => this.gatewaysNamed(gateway, 'terminating-gateway'))
    return gateways.length === 0 ? own : [...own, ...gateways].sort(byKey)
  }

  private ownConnectInstancesOf(folded: string): readonly CatalogInstance[] {
    const known = this.connectByName.get(folded)
    if (known !== undefined) return known
    const proxies = this.sorted(this.proxiesByDestination.get(folded))
    const native = this.sorted(this.byName.get(folded)).filter(instance => instance.Native)
    const own = native.length === 0 ? proxies : [...proxies, ...native].sort(byKey)
    // Anybody may ask for a name that is none.
    if (own.length > 0) this.connectByName.set(folded, own)
    return own
  }

  /** Ingress gateways by which service `name` is reached from outside. */
  ingressInstancesOf(name: string): CatalogInstance[] {
    return this.links.ingressesOf(name).flatMap(gateway => this.gatewaysNamed(gateway, 'ingress-gateway'))
  }

  /** The mesh reaches it: by sidecars, by itself or by a terminating gateway. A gateway itself is no service of the mesh. */
  isInMesh(name: string): boolean {
    return this.connectInstancesOf(name).length > 0
  }

  /** Services that transparent proxies may be asked for, as they are spelled, by name. */
  virtualServiceNames(): string[] {
    // With a `/` they are of peers.
    const own = this.virtualIps.names().filter(name => !name.includes('/'))
    return own.map(name => {
      const instance = this.connectInstancesOf(name).find(({ Kind }) => Kind === '' || Kind === 'connect-proxy')
      return instance?.Proxy?.DestinationServiceName || instance?.Service || name
    })
  }

  /** By which a service is asked for: the one given to it, those chosen for it, and what its instances are tagged with as `virtual`. Sorted. */
  virtualAddressesOf(name: string): string[] {
    const tagged = [...this.connectInstancesOf(name), ...this.instancesOf(name)].flatMap(({ Kind, TaggedAddresses }) =>
      Kind === '' || Kind === 'connect-proxy' ? (TaggedAddresses['virtual']?.Address ?? []) : [],
    )
    const given = this.virtualIps.of(name)
    return [
      ...new Set([
        ...(given === undefined ? [] : [given]),
        ...this.virtualIps.chosenFor(name),
        ...tagged.filter(address => isIP(address) !== 0),
      ]),
    ].sort()
  }

  /** Some of its sidecars were registered so. */
  isDialledDirectly(name: string): boolean {
    return this.connectInstancesOf(name).some(({ Proxy: proxy }) => proxy?.TransparentProxy?.DialedDirectly === true)
  }

  gatewaysNamed(name: string, kind: GatewayKind): CatalogInstance[] {
    return this.instancesOf(name).filter(({ Kind }) => Kind === kind)
  }

  /** Of every node, in order of their keys. */
  meshGateways(): CatalogInstance[] {
    return this.proxies()
      .filter(({ Kind }) => Kind === 'mesh-gateway')
      .sort(byKey)
  }

  /** Sidecars and gateways of every node: what is served with configuration. */
  proxies(): CatalogInstance[] {
    return [...this.proxiesByKey.values()]
  }

  get proxyCount(): number {
    return this.proxiesByKey.size
  }

  /** Sidecars that were registered with a service of this node, and leave with it. */
  sidecarsOf(id: string): CatalogInstance[] {
    const name = this.instance(id)?.Service
    if (name === undefined) return []
    const all = this.sorted(this.proxiesByDestination.get(name.toLowerCase()))
    return all.filter(
      ({ Node, LocallyRegisteredAsSidecar, Proxy: proxy }) =>
        Node === OWN_NODE && LocallyRegisteredAsSidecar && proxy?.DestinationServiceID === id,
    )
  }

  /** Connect proxies beside the instance, on its machine. */
  proxiesOf({ Node: node, ID: id, Service: service }: CatalogInstance): CatalogInstance[] {
    const all = this.sorted(this.proxiesByDestination.get(service.toLowerCase()))
    return all.filter(({ Node, Proxy: proxy }) => Node === node && proxy?.DestinationServiceID === id)
  }

  // ---- checks ----

  /** Paths that the proxy is to open for checks of the service behind it. */
  exposedChecks({ Node, ID, Proxy: proxy }: CatalogInstance): ExposedCheck[] {
    const service = proxy?.DestinationServiceID ?? ''
    if (service === '') return []
    return this.checksOfService(Node, service).flatMap(check =>
      check.exposed !== undefined && check.exposed.Proxy !== ID ? [] : (exposedPath(check, this.nodeOf(check)) ?? []),
    )
  }

  /** One of this node, or of a service of it. */
  check(id: string): CatalogCheck | undefined {
    return this.checkOn(OWN_NODE, id)
  }

  checkOn(nodeKey: string, id: string): CatalogCheck | undefined {
    const check = this.checksByKey.get(keyOn(nodeKey, id))
    return check?.Node === nodeKey ? check : undefined
  }

  /** Of every node. */
  checks(): IterableIterator<CatalogCheck> {
    return this.checksByKey.values()
  }

  /** Those of the node itself and of its services. */
  checksOn(nodeKey: string): CatalogCheck[] {
    const services = this.instancesOn(nodeKey).flatMap(({ ID }) => this.checksOfService(nodeKey, ID))
    return [...this.checksOfService(nodeKey, NODE), ...services]
  }

  /** Those of one service alone; without an id those of the node. */
  checksOfService(nodeKey: string, serviceId: string): CatalogCheck[] {
    const keys = this.checksByService.get(keyOn(nodeKey, serviceId))
    return keys === undefined ? [] : [...keys].sort().map(key => this.checksByKey.get(key)!)
  }

  /**
   * What says how an instance is: its node's checks, its own, and for a sidecar of this node that no alias check ties to the instance behind
   * it that one's too.
   */
  checksOf(instance: CatalogInstance): CatalogCheck[] {
    const own = this.checksOfService(instance.Node, instance.ID)
    const all = [...this.checksOfService(instance.Node, NODE), ...own]
    const behind = instance.Node === OWN_NODE ? (instance.Proxy?.DestinationServiceID ?? '') : ''
    if (behind === '' || behind === instance.ID) return all
    return own.some(({ definition }) => definition.AliasService === behind) ? all : [...all, ...this.checksOfService(OWN_NODE, behind)]
  }

  /** The worst status of an instance's checks; an instance without checks is passing. */
  health(instance: CatalogInstance): HealthStatus {
    return worst(this.checksOf(instance).map(check => check.status))
  }

  // ---- filling it ----

  protected setNode(key: string, node: CatalogNode | undefined): void {
    const before = this.nodesByKey.get(key)
    // One that is renamed may have its id under the other name already.
    if (before !== undefined && this.nodeKeysById.get(before.ID) === key) this.nodeKeysById.delete(before.ID)
    if (node === undefined) {
      this.nodesByKey.delete(key)
      return
    }
    this.nodesByKey.set(key, node)
    if (node.ID !== '') this.nodeKeysById.set(node.ID, key)
  }

  protected addInstance(instance: CatalogInstance): void {
    const key = keyOfInstance(instance)
    this.instancesByKey.set(key, instance)
    if (instance.Proxy !== undefined) this.proxiesByKey.set(key, instance)
    this.spellings.set(instance.Service, (this.spellings.get(instance.Service) ?? 0) + 1)
    join(this.byName, instance.Service.toLowerCase(), key)
    join(this.byNode, instance.Node, key)
    this.connectByName.delete(instance.Service.toLowerCase())
    const destination = instance.Proxy?.DestinationServiceName
    if (!destination) return
    join(this.proxiesByDestination, destination.toLowerCase(), key)
    this.connectByName.delete(destination.toLowerCase())
  }

  protected removeInstance(key: string): void {
    const instance = this.instancesByKey.get(key)
    if (instance === undefined) return
    this.instancesByKey.delete(key)
    this.proxiesByKey.delete(key)
    const others = this.spellings.get(instance.Service)! - 1
    if (others === 0) this.spellings.delete(instance.Service)
    else this.spellings.set(instance.Service, others)
    leave(this.byName, instance.Service.toLowerCase(), key)
    leave(this.byNode, instance.Node, key)
    this.connectByName.delete(instance.Service.toLowerCase())
    const destination = instance.Proxy?.DestinationServiceName
    if (!destination) return
    leave(this.proxiesByDestination, destination.toLowerCase(), key)
    this.connectByName.delete(destination.toLowerCase())
  }

  checkByKey(key: string): CatalogCheck | undefined {
    return this.checksByKey.get(key)
  }

  protected addCheck(check: CatalogCheck): void {
    const key = keyOn(check.Node, check.definition.CheckID)
    this.checksByKey.set(key, check)
    addTo(this.checksByService, keyOn(check.Node, check.definition.ServiceID), key)
  }

  protected removeCheck(key: string): void {
    const check = this.checksByKey.get(key)
    if (check === undefined) return
    this.checksByKey.delete(key)
    removeFrom(this.checksByService, keyOn(check.Node, check.definition.ServiceID), key)
  }

  /** The output of a run that changed nothing else: it is not worth a write. */
  protected setOutput(check: CatalogCheck, output: string): void {
    this.checksByKey.set(keyOn(check.Node, check.definition.CheckID), { ...check, output })
  }

  private sorted(group: Group | undefined): readonly CatalogInstance[] {
    if (group === undefined) return NO_INSTANCES
    group.sorted ??= [...group.keys].sort().map(key => this.instancesByKey.get(key)!)
    return group.sorted
  }
}

function byKey(a: CatalogInstance, b: CatalogInstance): number {
  return keyOfInstance(a) < keyOfInstance(b) ? -1 : 1
}

export function worst(statuses: readonly HealthStatus[]): HealthStatus {
  if (statuses.includes('critical')) return 'critical'
  return statuses.includes('warning') ? 'warning' : 'passing'
}

function join(groups: Map<string, Group>, name: string, key: string): void {
  const group = groups.get(name)
  if (group === undefined) {
    groups.set(name, { keys: new Set([key]), sorted: undefined })
    return
  }
  group.keys.add(key)
  group.sorted = undefined
}

function leave(groups: Map<string, Group>, name: string, key: string): void {
  const group = groups.get(name)
  if (group === undefined) return
  group.keys.delete(key)
  group.sorted = undefined
  if (group.keys.size === 0) groups.delete(name)
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
