// Which gateways stand before which services, by the config entries of kinds terminating-gateway and ingress-gateway: a service is named, or
// taken in by a `*`. Made by `ControlPlane`; asked by the catalog, the snapshot of a gateway and `/v1/catalog/gateway-services`.
// Invariant: what an entry says of a service by its name goes before what it says by `*`.
import type { GatewayLinks } from '../catalog/catalog-index.js'
import type { CatalogInstance } from '../catalog/catalog-types.js'
import type { IngressGateway, IngressListener } from '../config-entries/edge-types.js'
import type { LinkedService, TerminatingGateway } from '../config-entries/gateway-types.js'
import type { ConfigEntryIndex } from '../config-entries/types.js'
import { serviceProtocol } from '../discovery-chain/service-protocol.js'

/** What is asked of the catalog. */
export interface RegisteredServices {
  serviceNames(): Iterable<string>
  instancesOf(name: string): readonly CatalogInstance[]
}

export interface LinkedByGateway {
  readonly service: string
  readonly link: LinkedService
  readonly fromWildcard: boolean
}

export interface MeshServices extends RegisteredServices {
  /** The mesh reaches it. */
  isInMesh(name: string): boolean
}

export interface LinkedByIngress {
  readonly service: string
  readonly listener: IngressListener
  readonly hosts: readonly string[]
  readonly fromWildcard: boolean
}

const WILDCARD = '*'
/** The CA's limit. */
const MAX_DNS_SANS = 100

/** What the gateway of the entry stands before, in order of names. */
export function linkedServices(entry: TerminatingGateway, entries: ConfigEntryIndex, catalog: RegisteredServices): LinkedByGateway[] {
  const links = new Map<string, LinkedByGateway>()
  for (const link of entry.Services) {
    if (link.Name === WILDCARD) continue
    links.set(link.Name.toLowerCase(), { service: link.Name, link, fromWildcard: false })
  }
  const wildcard = entry.Services.find(({ Name }) => Name === WILDCARD)
  if (wildcard !== undefined)
    for (const service of outsideServices(entries, catalog))
      if (!links.has(service.toLowerCase())) links.set(service.toLowerCase(), { service, link: wildcard, fromWildcard: true })
  return [...links.values()].sort((a, b) => (a.service < b.service ? -1 : 1))
}

/** All that a `*` takes in: services with instances that don't speak mesh TLS themselves, and destinations. */
function outsideServices(entries: ConfigEntryIndex, catalog: RegisteredServices): string[] {
  const registered = [...catalog.serviceNames()].filter(name => isOutside(name, catalog))
  const destinations = entries.list('service-defaults').flatMap(({ Name, Destination }) => (Destination === undefined ? [] : [Name]))
  return [...new Set([...registered, ...destinations])]
}

function isOutside(service: string, catalog: Pick<RegisteredServices, 'instancesOf'>): boolean {
  return catalog.instancesOf(service).some(({ Kind, Native }) => Kind === '' && !Native)
}

/** What is served by the gateway of the entry, by listener; a `*` stands for every service of the mesh that speaks its protocol. */
export function ingressServices(entry: IngressGateway, entries: ConfigEntryIndex, catalog: MeshServices): LinkedByIngress[] {
  return entry.Listeners.flatMap(listener =>
    listener.Services.flatMap((service): LinkedByIngress[] =>
      service.Name === WILDCARD
        ? [...catalog.serviceNames()]
            .filter(name => isServed(name, listener, entries, catalog))
            .sort()
            .map(name => ({ service: name, listener, hosts: [], fromWildcard: true }))
        : [{ service: service.Name, listener, hosts: service.Hosts ?? [], fromWildcard: false }],
    ),
  )
}

function isServed(name: string, { Protocol }: IngressListener, entries: ConfigEntryIndex, catalog: MeshServices): boolean {
  return serviceProtocol(entries, name) === Protocol && catalog.isInMesh(name)
}

/** Host names that the mesh's certificate of an ingress gateway holds where TLS is enabled: Consul's names of its services, and its hosts. */
export function ingressDnsSans(entry: IngressGateway | undefined, datacenter: string, domains: readonly string[]): string[] {
  const listeners = (entry?.Listeners ?? []).filter(({ TLS }) => (TLS?.Enabled ?? entry!.TLS?.Enabled) === true)
  if (listeners.length === 0) return []
  const hosts = listeners.flatMap(({ Services }) => Services.flatMap(({ Hosts = [] }) => Hosts)).filter(host => host !== WILDCARD)
  const own = domains.flatMap(domain => [`*.ingress.${domain}`, `*.ingress.${datacenter}.${domain}`])
  return [...new Set([...own, ...hosts])].slice(0, MAX_DNS_SANS)
}

/** The links by the config entries as they are. */
export class EntryLinks implements GatewayLinks {
  constructor(
    private readonly entries: ConfigEntryIndex,
    private readonly catalog: MeshServices,
  ) {}

  gatewaysOf(service: string): readonly string[] {
    const name = service.toLowerCase()
    return this.entries
      .list('terminating-gateway')
      .filter(
        ({ Services }) =>
          Services.some(link => link.Name.toLowerCase() === name) ||
          (Services.some(link => link.Name === WILDCARD) &&
            (isOutside(service, this.catalog) || this.entries.get('service-defaults', service)?.Destination !== undefined)),
      )
      .map(({ Name }) => Name)
  }

  ingressesOf(service: string): readonly string[] {
    const name = service.toLowerCase()
    return this.entries
      .list('ingress-gateway')
      .filter(({ Listeners }) =>
        Listeners.some(listener =>
          listener.Services.some(
            ({ Name }) => Name.toLowerCase() === name || (Name === WILDCARD && isServed(service, listener, this.entries, this.catalog)),
          ),
        ),
      )
      .map(({ Name }) => Name)
  }

  servicesOf(gateway: string): readonly string[] {
    return [
      ...this.linkedTo(this.entries.get('terminating-gateway', gateway)),
      ...this.linkedTo(this.entries.get('ingress-gateway', gateway)),
    ]
  }

  linkedTo(entry: TerminatingGateway | IngressGateway | undefined): string[] {
    if (entry === undefined) return []
    const links =
      entry.Kind === 'terminating-gateway'
        ? linkedServices(entry, this.entries, this.catalog)
        : ingressServices(entry, this.entries, this.catalog)
    return links.map(({ service }) => service)
  }
}
