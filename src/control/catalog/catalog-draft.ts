// A change of nodes, services and checks that is not yet written: it reads through what it has already changed, and gives the store's writes
// at the end. Made by `Catalog`; worked on by `/v1/catalog/register` and `deregister`, and by the catalog operations of transactions.
// Its refusals are Consul's, thrown as `CatalogError`.
// Invariant: what it would write is whole: no service and no check without its node, and what is deleted takes all that is under it along.
import type { ConfigError } from '../config-entries/types.js'
import { put, remove, type StoreWrite } from '../store/store.js'
import type { CatalogIndex } from './catalog-index.js'
import {
  type CatalogCheck,
  type CatalogInstance,
  type CatalogNode,
  keyOn,
  MAX_INSTANCES,
  type NodeRegistration,
  OWN_NODE,
  type StoredCheck,
} from './catalog-types.js'
import { MAX_CHECKS_PER_SERVICE } from './check-definition.js'
import { NODE } from './maintenance-check.js'
import { sameContent } from './same-content.js'
import type { ServiceInstance } from './service-definition.js'
import type { VirtualIps } from './virtual-ips.js'

export const MAX_NODES = 5_000
/** `ModifyIndex` of what is not yet committed. */
export const PENDING = -1

/** Why a change of the catalog is refused. */
export class CatalogError extends Error {}

export class CatalogDraft {
  private readonly nodes = new Map<string, CatalogNode | undefined>()
  private readonly instances = new Map<string, CatalogInstance | undefined>()
  private readonly checks = new Map<string, CatalogCheck | undefined>()

  constructor(
    private readonly catalog: CatalogIndex,
    /** What a proxy would refuse of its own configuration. */
    private readonly proxyErrors: (proxy: ServiceInstance) => readonly ConfigError[],
  ) {}

  get virtualIps(): VirtualIps {
    return this.catalog.virtualIps
  }

  /** Without writes nothing is changed. Deletions come first, so that what is renamed is never there twice. */
  writes(): StoreWrite[] {
    const all = [
      ...[...this.checks].map(([key, check]) => (check === undefined ? remove('check', key) : put('check', key, storedCheck(check)))),
      ...[...this.instances].map(([key, instance]) =>
        instance === undefined ? remove('service', key) : put('service', key, storedInstance(instance)),
      ),
      ...[...this.nodes].map(([key, node]) => (node === undefined ? remove('node', key) : put('node', key, storedNode(node)))),
    ]
    const order = { node: 0, service: 1, check: 2 } as Record<string, number>
    const puts = all.filter(({ op }) => op === 'put').sort((a, b) => order[a.collection]! - order[b.collection]!)
    const addresses = this.virtualIps.writesFor(this.catalog, present(this.instances), new Set(this.instances.keys()))
    return [...all.filter(({ op }) => op === 'delete'), ...puts, ...addresses]
  }

  // ---- nodes ----

  node(name: string): CatalogNode | undefined {
    const key = this.catalog.nodeKey(name)
    return this.nodes.has(key) ? this.nodes.get(key) : this.catalog.node(name)
  }

  nodeById(id: string): CatalogNode | undefined {
    const changed = [...this.nodes.values()].find(node => node?.ID === id)
    if (changed !== undefined) return changed
    const known = this.catalog.nodeWithId(id)
    return known === undefined || this.nodes.has(this.catalog.nodeKey(known.Node)) ? undefined : known
  }

  /** Adds or replaces a node; one that has its id under another name is renamed, which takes its services out, as in Consul. */
  setNode(node: NodeRegistration): CatalogNode {
    const key = this.catalog.nodeKey(node.Node)
    // The agent's own node says itself what it is: a registration changes nothing of it.
    if (key === OWN_NODE) return this.catalog.ownNode
    const before = this.node(node.Node)
    const sameId = node.ID === '' ? undefined : this.nodeById(node.ID)
    if (before !== undefined && before.ID !== '' && node.ID !== '' && before.ID !== node.ID)
      throw new CatalogError(
        `failed inserting node: Error while renaming Node ID: "${node.ID}": Node name ${node.Node} is reserved by node ${before.ID} with name ${before.Node} (${before.Address})`,
      )
    if (sameId !== undefined && this.catalog.nodeKey(sameId.Node) !== key) {
      if (this.catalog.nodeKey(sameId.Node) === OWN_NODE)
        throw new CatalogError(`failed inserting node: Node ID "${node.ID}" is that of the agent's own node ${sameId.Node}`)
      this.deleteNode(sameId.Node)
    }
    const wanted = { ...node, ID: node.ID === '' ? (before?.ID ?? '') : node.ID }
    if (before !== undefined && sameContent(before, wanted)) return before
    if (before === undefined && this.catalog.nodeCount >= MAX_NODES)
      throw new CatalogError(`there are ${MAX_NODES} nodes already, which is the limit`)
    const after = { ...wanted, Datacenter: this.catalog.ownNode.Datacenter, ...indexes(before) }
    this.nodes.set(key, after)
    return after
  }

  /** True also when there is no such node. The agent's own node can't go. */
  deleteNode(name: string): void {
    const key = this.catalog.nodeKey(name)
    if (key === OWN_NODE) throw new CatalogError(`node ${name} is this server's own: it is registered for as long as the server runs`)
    if (this.node(name) === undefined) return
    for (const check of this.checksOn(key)) this.checks.set(keyOn(key, check.definition.CheckID), undefined)
    for (const { ID } of this.instancesOn(key)) this.instances.set(keyOn(key, ID), undefined)
    this.nodes.set(key, undefined)
  }

  nodeOf({ Node }: { readonly Node: string }): CatalogNode {
    return this.nodes.get(Node) ?? this.catalog.nodeOf({ Node })
  }

  // ---- services ----

  instance(nodeName: string, id: string): CatalogInstance | undefined {
    return this.instanceOn(this.catalog.nodeKey(nodeName), id)
  }

  instanceOn(node: string, id: string): CatalogInstance | undefined {
    const key = keyOn(node, id)
    return this.instances.has(key) ? this.instances.get(key) : this.catalog.instanceOn(node, id)
  }

  setInstance(nodeName: string, instance: ServiceInstance): CatalogInstance {
    if (this.node(nodeName) === undefined) throw new CatalogError('Missing node registration')
    const node = this.catalog.nodeKey(nodeName)
    const before = this.instance(nodeName, instance.ID)
    if (before !== undefined && sameContent(before, instance)) return before
    if (before === undefined && this.catalog.size + this.instances.size >= MAX_INSTANCES)
      throw new CatalogError(`the catalog is full (limit ${MAX_INSTANCES} instances)`)
    const other = otherSpelling(instance.Service, [...this.catalog.instancesOf(instance.Service), ...present(this.instances)])
    if (other !== undefined) throw new CatalogError(`"${instance.Service}" differs from the service "${other}" in case alone`)
    const errors = this.proxyErrors(instance)
    if (errors.length > 0) throw new CatalogError(errors.map(({ path, reason }) => `Service.${path}: ${reason}`).join('; '))
    const after = { ...instance, Node: node, ...indexes(before) }
    this.instances.set(keyOn(node, instance.ID), after)
    return after
  }

  /** With its checks, and on this server's own node with the sidecar that was registered with it. */
  deleteInstance(nodeName: string, id: string): void {
    const node = this.catalog.nodeKey(nodeName)
    const gone = [id, ...(node === OWN_NODE ? this.catalog.sidecarsOf(id).map(({ ID }) => ID) : [])]
    for (const each of gone) {
      if (this.instance(nodeName, each) === undefined) continue
      for (const { definition } of this.checksOn(node))
        if (definition.ServiceID === each) this.checks.set(keyOn(node, definition.CheckID), undefined)
      this.instances.set(keyOn(node, each), undefined)
    }
  }

  // ---- checks ----

  check(nodeName: string, id: string): CatalogCheck | undefined {
    const node = this.catalog.nodeKey(nodeName)
    const key = keyOn(node, id)
    return this.checks.has(key) ? this.checks.get(key) : this.catalog.checkOn(node, id)
  }

  setCheck(nodeName: string, check: StoredCheck): CatalogCheck {
    if (this.node(nodeName) === undefined) throw new CatalogError('Missing node registration')
    const { CheckID, ServiceID } = check.definition
    if (ServiceID !== NODE && this.instance(nodeName, ServiceID) === undefined) throw new CatalogError('Missing service registration')
    const node = this.catalog.nodeKey(nodeName)
    const before = this.check(nodeName, CheckID)
    if (before !== undefined && sameContent(before, check)) return before
    if (
      before === undefined &&
      this.checksOn(node).filter(({ definition }) => definition.ServiceID === ServiceID).length >= MAX_CHECKS_PER_SERVICE
    )
      throw new CatalogError(`at most ${MAX_CHECKS_PER_SERVICE} checks of one service or node`)
    const after = { ...check, Node: node, ...indexes(before) }
    this.checks.set(keyOn(node, CheckID), after)
    return after
  }

  deleteCheck(nodeName: string, id: string): void {
    if (this.check(nodeName, id) !== undefined) this.checks.set(keyOn(this.catalog.nodeKey(nodeName), id), undefined)
  }

  // ---- what is there, with what is changed ----

  private instancesOn(node: string): CatalogInstance[] {
    const kept = this.catalog.instancesOn(node).filter(({ ID }) => !this.instances.has(keyOn(node, ID)))
    return [...kept, ...present(this.instances).filter(({ Node }) => Node === node)]
  }

  private checksOn(node: string): CatalogCheck[] {
    const kept = this.catalog.checksOn(node).filter(({ definition }) => !this.checks.has(keyOn(node, definition.CheckID)))
    return [...kept, ...present(this.checks).filter(({ Node }) => Node === node)]
  }
}

function present<T>(changed: ReadonlyMap<string, T | undefined>): T[] {
  return [...changed.values()].filter((item): item is T & {} => item !== undefined)
}

/** Names are looked up without case: two that differ in nothing else would be one service. */
export function otherSpelling(name: string, others: readonly ServiceInstance[]): string | undefined {
  const folded = name.toLowerCase()
  return others.find(({ Service }) => Service !== name && Service.toLowerCase() === folded)?.Service
}

function indexes(before: { readonly CreateIndex: number } | undefined): { CreateIndex: number; ModifyIndex: number } {
  return { CreateIndex: before?.CreateIndex ?? PENDING, ModifyIndex: PENDING }
}

function storedNode({ ID, Node, Address, TaggedAddresses, Meta, Locality }: CatalogNode): NodeRegistration {
  return { ID, Node, Address, TaggedAddresses, Meta, ...(Locality && { Locality }) }
}

function storedInstance({ Node: _node, CreateIndex: _create, ModifyIndex: _modify, ...instance }: CatalogInstance): ServiceInstance {
  return instance
}

function storedCheck({ Node: _node, CreateIndex: _create, ModifyIndex: _modify, ...check }: CatalogCheck): StoredCheck {
  return check
}
