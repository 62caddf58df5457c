// What is exported to which peer, by the exported-services entry, and how it is told: each service with its instances, its identity and the
// ways to it. Made by `ControlPlane`; asked by the sessions of peers, the snapshot builder and the HTTP API.
//
// Ways are the mesh gateways where there are any (the peer's sidecars need no route to ours then), else the sidecars themselves.
import { createHash } from 'node:crypto'
import { isIP } from 'node:net'
import { serviceSpiffeId } from '../../mtls/spiffe.js'
import type { CatalogIndex } from '../catalog/catalog-index.js'
import type { CatalogInstance } from '../catalog/catalog-types.js'
import { addressOf } from '../catalog/instance-address.js'
import { localityOf } from '../catalog/instance-locality.js'
import type { ConfigEntryIndex, ExportedServices as ExportedServicesEntry } from '../config-entries/types.js'
import { compileDiscoveryChain } from '../discovery-chain/compile.js'
import { peeredSni } from '../discovery-chain/names.js'
import { serviceProtocol } from '../discovery-chain/service-protocol.js'
import type { ExportedService, PeerInstance } from './peering-types.js'

export interface ExportsSource {
  readonly catalog: CatalogIndex
  readonly entries: ConfigEntryIndex
  readonly datacenter: string
  readonly trustDomain: string
}

const WILDCARD = '*'

type Exported = ExportedServicesEntry['Services'][number]

function exportedTo(entries: ConfigEntryIndex): readonly Exported[] {
  return entries.list('exported-services').flatMap(({ Services }) => Services)
}

const peersOf = ({ Consumers }: Exported): string[] => Consumers.flatMap(({ Peer }) => (Peer === undefined ? [] : [Peer]))

/** Names of the peers that anything is exported to, each once. */
export function consumingPeers(entries: ConfigEntryIndex): ReadonlySet<string> {
  return new Set(exportedTo(entries).flatMap(peersOf))
}

/** Names of the peers that may call the service, each once, sorted. */
export function consumersOf(service: string, entries: ConfigEntryIndex): string[] {
  const wanted = service.toLowerCase()
  const found = exportedTo(entries).filter(({ Name }) => Name === WILDCARD || Name.toLowerCase() === wanted)
  return [...new Set(found.flatMap(peersOf))].sort()
}

/** Names of what the peer may call, sorted. `names`: of all that is registered, for a `*`. */
export function exportedNames(peer: string, entries: ConfigEntryIndex, names: () => Iterable<string>): string[] {
  const found = exportedTo(entries).filter(exported => peersOf(exported).includes(peer))
  const all = new Map<string, string>()
  for (const { Name } of found)
    for (const name of Name === WILDCARD ? names() : [Name]) if (!all.has(name.toLowerCase())) all.set(name.toLowerCase(), name)
  return [...all.values()].sort()
}

/** Services of the catalog as a `*` takes them: no proxies and no gateways. */
export function* plainServices(catalog: {
  serviceNames(): Iterable<string>
  instancesOf(name: string): readonly CatalogInstance[]
}): Generator<string> {
  for (const name of catalog.serviceNames()) if (catalog.instancesOf(name).some(({ Kind }) => Kind === '')) yield name
}

export class ExportedServices {
  private readonly source: ExportsSource
  /** By peer and by name in lower case, until something of it changes: who was told of one knows it again by that it is the same object. */
  private readonly made = new Map<string, Map<string, ExportedService>>()
  /** In lower case, those that were made last. */
  private gatewayNames: ReadonlySet<string> = new Set()

  constructor(source: ExportsSource) {
    this.source = source
  }

  names(peer: string): string[] {
    const { catalog, entries } = this.source
    return exportedNames(peer, entries, () => plainServices(catalog))
  }

  /** In order of names. What is as it was is the object that it was. */
  to(peer: string): ExportedService[] {
    const before = this.made.get(peer)
    const names = this.names(peer)
    if (names.length === 0) {
      this.made.delete(peer)
      return []
    }
    let gateways: readonly PeerInstance[] | undefined
    const services = names.map(name => before?.get(name.toLowerCase()) ?? this.service(name, peer, (gateways ??= this.gateways())))
    this.made.set(peer, new Map(services.map(service => [service.name.toLowerCase(), service])))
    return services
  }

  /** Instances of these, or their health, are others now. */
  servicesChanged(services: ReadonlySet<string>): void {
    for (const service of services) {
      const name = service.toLowerCase()
      const isGateway = this.source.catalog.instancesOf(name).some(({ Kind }) => Kind === 'mesh-gateway')
      if (isGateway || this.gatewayNames.has(name)) {
        this.everythingChanged()
        return
      }
      for (const made of this.made.values()) made.delete(name)
    }
  }

  everythingChanged(): void {
    this.made.clear()
  }

  private gateways(): PeerInstance[] {
    const all = this.source.catalog.meshGateways()
    this.gatewayNames = new Set(all.map(({ Service }) => Service.toLowerCase()))
    return all.map(gateway => this.gateway(gateway))
  }

  private service(name: string, peer: string, gateways: readonly PeerInstance[]): ExportedService {
    const { catalog, entries, datacenter, trustDomain } = this.source
    return {
      name,
      protocol: serviceProtocol(entries, name),
      sni: peeredSni(name, peer, trustDomain),
      spiffeIds: this.identities(name).map(service => serviceSpiffeId({ trustDomain, datacenter, service })),
      instances: catalog.instancesOf(name).map(instance => this.instance(instance, instance.Address, instance.Port)),
      ways:
        gateways.length > 0
          ? gateways
          : catalog.connectInstancesOf(name).map(instance => this.instance(instance, addressOf(catalog, instance), instance.Port)),
    }
  }

  /** The service's own, and of what its resolvers lead to. */
  private identities(service: string): string[] {
    const { entries, datacenter, trustDomain } = this.source
    const result = compileDiscoveryChain({ service, datacenter, trustDomain, entries, overrideProtocol: 'tcp' })
    const targets = 'chain' in result ? Object.values(result.chain.Targets).map(({ Service }) => Service) : []
    return [...new Set([service, ...targets])].sort()
  }

  /** As it is reached from elsewhere. */
  private gateway(gateway: CatalogInstance): PeerInstance {
    const { wan } = gateway.TaggedAddresses
    return wan !== undefined && isIP(wan.Address) !== 0
      ? this.instance(gateway, wan.Address, wan.Port || gateway.Port)
      : this.instance(gateway, gateway.Address, gateway.Port)
  }

  private instance(instance: CatalogInstance, address: string, port: number): PeerInstance {
    const { catalog } = this.source
    const node = catalog.nodeOf(instance)
    const locality = localityOf(catalog, instance)
    return {
      id: instance.ID,
      kind: instance.Kind,
      name: instance.Service,
      tags: instance.Tags,
      meta: instance.Meta,
      address: address || node.Address,
      port,
      weights: instance.Weights,
      status: catalog.health(instance),
      node: { id: node.ID, name: node.Node, address: node.Address },
      ...(locality && { Locality: locality }),
    }
  }
}

export function hashOf(service: ExportedService): string {
  return createHash('sha256').update(JSON.stringify(service)).digest('base64url')
}
