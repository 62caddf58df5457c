// Which terminating gateways stand before which services, by the config entries of kind terminating-gateway: a service is named, or taken
// in by a `*`. Made by `ControlPlane`; asked by the catalog (`connectInstancesOf`), the snapshot of a gateway and `/v1/catalog/gateway-services`.
// Invariant: what an entry says of a service by its name goes before what it says by `*`.
import type { GatewayLinks } from '../catalog/catalog-index.js'
import type { CatalogInstance } from '../catalog/catalog-types.js'
import type { LinkedService, TerminatingGateway } from '../config-entries/gateway-types.js'
import type { ConfigEntryIndex } from '../config-entries/types.js'

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

const WILDCARD = '*'

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

export class TerminatingLinks implements GatewayLinks {
  constructor(
    private readonly entries: ConfigEntryIndex,
    private readonly catalog: RegisteredServices,
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

  servicesOf(gateway: string): readonly string[] {
    const entry = this.entries.get('terminating-gateway', gateway)
    return entry === undefined ? [] : this.linkedTo(entry)
  }

  linkedTo(entry: TerminatingGateway | undefined): string[] {
    return entry === undefined ? [] : linkedServices(entry, this.entries, this.catalog).map(({ service }) => service)
  }
}
