// The catalog as DNS asks it: services and nodes by lower-case name, with what an answer needs of each instance ready made. Made by
// `ControlPlane`, asked by `dns-answers.ts` for every question; told by the catalog which services changed.
// HOT: what was looked up once is kept until its service changes, so that a question costs no walk over instances and checks.
// Invariant: only names of registered services are kept, so questions about others grow nothing.
import { isIP } from 'node:net'
import type { Catalog } from '../catalog/catalog.js'
import { type CatalogInstance, meshServiceOf } from '../catalog/catalog-types.js'
import { isWell } from '../catalog/check-definition.js'
import { SERVER_SERVICE, serverInstance } from '../catalog/server-instance.js'
import type { PeeringTable } from '../peering/peering-table.js'
import type { PeerInstance } from '../peering/peering-types.js'
import { addressBytes } from './address.js'

/** Where an instance or node is reached: an IP address, or a host name that is to be looked up. */
export type DnsAddress =
  | { readonly family: 4 | 6; readonly bytes: Buffer; readonly host: string }
  | { readonly family: 0; readonly host: string }

export interface DnsInstance {
  /** As registered: rights are by this name. */
  readonly service: string
  readonly node: string
  readonly address: DnsAddress
  /** The address is the node's, so SRV records name the node. */
  readonly atNode: boolean
  readonly port: number
  readonly weight: number
  readonly passing: boolean
  /** In lower case. */
  readonly tags: readonly string[]
}

export interface DnsNode {
  readonly name: string
  readonly address: DnsAddress
  readonly meta: Readonly<Record<string, string>>
}

export interface DirectorySource {
  readonly catalog: Pick<
    Catalog,
    | 'instances'
    | 'instancesOf'
    | 'connectInstancesOf'
    | 'ingressInstancesOf'
    | 'health'
    | 'onChange'
    | 'ownNode'
    | 'node'
    | 'nodes'
    | 'nodeOf'
  >
  readonly peers: Pick<PeeringTable, 'imported'>
  readonly onlyPassing: boolean
}

type Lookup = 'service' | 'connect' | 'ingress'

/** Of one service: all that may be answered, and by tag. The lists are shuffled in place by who answers. */
interface Kept {
  readonly all: DnsInstance[]
  readonly byTag: Map<string, DnsInstance[]>
}

export class DnsDirectory {
  private readonly source: DirectorySource
  private readonly kept = { service: new Map<string, Kept>(), connect: new Map<string, Kept>(), ingress: new Map<string, Kept>() }

  constructor(source: DirectorySource) {
    this.source = source
    source.catalog.onChange(({ services }) => {
      for (const service of services) {
        const name = service.toLowerCase()
        this.kept.service.delete(name)
        this.kept.connect.delete(name)
        this.kept.ingress.delete(name)
      }
    })
  }

  /** Instances that may be answered with, in no order; undefined: nothing of that name is registered. */
  instances(lookup: Lookup, name: string, tag: string): DnsInstance[] | undefined {
    let kept = this.kept[lookup].get(name)
    if (kept === undefined) {
      const found = this.find(lookup, name)
      if (found.length === 0) return undefined
      kept = { all: found.filter(instance => !this.isCritical(instance)).map(instance => this.instance(instance)), byTag: new Map() }
      // No change of the catalog speaks of the server's own service.
      if (name !== SERVER_SERVICE) this.kept[lookup].set(name, kept)
    }
    if (tag === '') return kept.all
    const known = kept.byTag.get(tag)
    if (known !== undefined) return known
    const tagged = kept.all.filter(({ tags }) => tags.includes(tag))
    if (tagged.length > 0) kept.byTag.set(tag, tagged)
    return tagged
  }

  /** The same of a service that a peer exports. */
  peerInstances(lookup: Lookup, name: string, tag: string, peer: string): DnsInstance[] | undefined {
    const imported = this.source.peers.imported(peer, name)
    if (imported === undefined || lookup === 'ingress') return undefined
    const all = lookup === 'service' ? imported.instances : imported.ways
    const answered = all.filter(({ status }) => isWell(status, this.source.onlyPassing))
    const instances = answered.map(instance => peerInstance(instance, imported.name))
    return tag === '' ? instances : instances.filter(({ tags }) => tags.includes(tag))
  }

  node(name: string): DnsNode | undefined {
    const node = this.source.catalog.node(name)
    return node && { name: node.Node, address: toAddress(node.Address), meta: node.Meta ?? {} }
  }

  /** Names of what is at an IP address, for PTR: nodes, then services. */
  namesAt(address: string): { readonly nodes: readonly string[]; readonly services: readonly string[] } {
    const { catalog } = this.source
    const wanted = addressBytes(address)
    if (wanted === undefined) return { nodes: [], services: [] }
    const isThere = (text: string): boolean => addressBytes(text)?.equals(wanted) === true
    const services = [...catalog.instances()].filter(instance => instance.Address !== '' && isThere(instance.Address))
    const nodes = catalog.nodes().filter(({ Address }) => isThere(Address))
    return { nodes: nodes.map(({ Node }) => Node), services: [...new Set(services.map(({ Service }) => Service))] }
  }

  /** Nodes that can answer for the domain. */
  servers(): readonly DnsNode[] {
    return [this.node(this.source.catalog.ownNode.Node)!]
  }

  private find(lookup: Lookup, name: string): readonly CatalogInstance[] {
    const { catalog } = this.source
    if (lookup === 'ingress') return catalog.ingressInstancesOf(name)
    if (lookup === 'service' && name === SERVER_SERVICE) return [serverInstance()]
    return lookup === 'service' ? catalog.instancesOf(name) : catalog.connectInstancesOf(name)
  }

  private isCritical(instance: CatalogInstance): boolean {
    return !isWell(this.source.catalog.health(instance), this.source.onlyPassing)
  }

  /** One instance as answers need it. */
  instance(instance: CatalogInstance): DnsInstance {
    const { catalog } = this.source
    const node = catalog.nodeOf(instance)
    const passing = catalog.health(instance) === 'passing'
    const atNode = instance.Address === '' || instance.Address === node.Address
    return {
      service: meshServiceOf(instance),
      node: node.Node,
      address: toAddress(instance.Address || node.Address),
      atNode,
      port: instance.Port,
      weight: passing ? instance.Weights.Passing : instance.Weights.Warning,
      passing,
      tags: instance.Tags.map(tag => tag.toLowerCase()),
    }
  }
}

/** Its node is none of ours, so that SRV records never name it. */
export function peerInstance({ node, address, port, weights, status, tags }: PeerInstance, service: string): DnsInstance {
  const passing = status === 'passing'
  return {
    service,
    node: node.name,
    address: toAddress(address),
    atNode: false,
    port,
    weight: passing ? weights.Passing : weights.Warning,
    passing,
    tags: tags.map(each => each.toLowerCase()),
  }
}

function toAddress(text: string): DnsAddress {
  const bytes = isIP(text) === 0 ? undefined : addressBytes(text)
  if (bytes === undefined) return { family: 0, host: text.replace(/\.$/, '') }
  return { family: bytes.length === 4 ? 4 : 6, bytes, host: text }
}
