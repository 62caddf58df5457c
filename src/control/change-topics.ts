// Which topics of blocking queries a change moves, and which proxies it concerns: wires the catalog, the config entries and the CA to
// `TopicIndexes` and `SnapshotPublisher`. Called once by `ControlPlane`.
import type { CertificateAuthority } from '../mtls/ca/authority.js'
import type { Catalog } from './catalog/catalog.js'
import type { LeafCertificates } from './certificates/leaf-certificates.js'
import type { IngressGateway } from './config-entries/edge-types.js'
import type { TerminatingGateway } from './config-entries/gateway-types.js'
import type { ConfigEntry } from './config-entries/types.js'
import type { ConfigEntryTable } from './config-entry-table.js'
import type { EntryLinks } from './gateways/gateway-links.js'
import type { ExportedServices } from './peering/exported-services.js'
import type { PeeringTable } from './peering/peering-table.js'
import type { Peerings } from './peering/peerings.js'
import type { SnapshotPublisher } from './snapshot/snapshot-publisher.js'
import type { FederationTable } from './spiffe/federation-table.js'
import type { Store } from './store/store.js'
import { importTopic, serviceTopic, type TopicIndexes } from './store/topic-indexes.js'

export function followChanges(parts: {
  readonly catalog: Catalog
  readonly entries: ConfigEntryTable
  readonly links: EntryLinks
  readonly ca: CertificateAuthority
  readonly leaves: LeafCertificates
  readonly indexes: TopicIndexes
  readonly publisher: SnapshotPublisher
  readonly store: Store
  readonly peeringTable: PeeringTable
  readonly peerings: Peerings
  readonly exports: Pick<ExportedServices, 'servicesChanged' | 'everythingChanged'>
  readonly federationTable: FederationTable
}): void {
  const { catalog, entries, links, ca, leaves, indexes, publisher, store, peeringTable, peerings, exports, federationTable } = parts
  // What is registered moves `services`; how it is moves `health` alone, so that who reads names is not woken by every check.
  const registrations = new Map<string, string>()
  for (const name of catalog.serviceNames()) registrations.set(name, registrationsOf(catalog, name))
  catalog.onChange(({ services, nodes }) => {
    indexes.bump('health', store.index)
    exports.servicesChanged(services)
    peerings.changed()
    if (nodes.size > 0) indexes.bump('nodes', store.index)
    let registered = nodes.size > 0
    for (const name of services) {
      const now = registrationsOf(catalog, name)
      if (now !== (registrations.get(name) ?? NO_REGISTRATION)) registered = true
      if (now === NO_REGISTRATION) registrations.delete(name)
      else registrations.set(name, now)
    }
    if (registered) indexes.bump('services', store.index)
    for (const name of services) {
      const known = catalog.instancesOf(name).length + catalog.connectInstancesOf(name).length > 0
      if (known) indexes.bump(serviceTopic(name), store.index)
      else {
        indexes.remove(serviceTopic(name), store.index)
        // Also one that a connect-native program asked for: its key and its renewal end with the service.
        if (!publisher.needsLeaf(name)) leaves.release(name)
      }
    }
  })
  entries.onChange(({ kind, name, before, after }) => {
    catalog.linksChanged(relinked(links, before, after))
    if (kind === 'ingress-gateway') leaves.namesChanged(name)
    indexes.bump('config', store.index)
    if (kind === 'service-intentions') indexes.bump('intentions', store.index)
    publisher.entryChanged(kind, name)
    exports.everythingChanged()
    peerings.changed()
  })
  ca.onChange(() => {
    indexes.bump('roots', store.index)
    publisher.allChanged()
    peerings.changed()
  })
  federationTable.onChange(() => publisher.federationsChanged())
  peeringTable.onChange(({ peerings: names, imports }) => {
    indexes.bump('peerings', store.index)
    for (const name of names) {
      publisher.peeringChanged(name)
      peerings.recordChanged(name)
    }
    for (const change of imports) {
      indexes.bump(importTopic(change.peer, change.service), store.index)
      publisher.importChanged(change)
    }
  })
}

/** Services that other gateways stand before since an entry changed. */
function relinked(links: EntryLinks, before: ConfigEntry | undefined, after: ConfigEntry | undefined): Set<string> {
  const either = after ?? before
  if (either?.Kind === 'terminating-gateway' || either?.Kind === 'ingress-gateway')
    return new Set([before, after].flatMap(entry => links.linkedTo(entry as TerminatingGateway | IngressGateway | undefined)))
  // A `*` takes destinations in.
  const isDestination = (entry: ConfigEntry | undefined): boolean => entry?.Kind === 'service-defaults' && entry.Destination !== undefined
  return new Set(isDestination(before) === isDestination(after) ? [] : [either!.Name])
}

const NO_REGISTRATION = '0:0'

/** Changes with every registration and removal under a name: each takes an index of its own. */
function registrationsOf(catalog: Catalog, name: string): string {
  const instances = catalog.instancesOf(name)
  return `${instances.length}:${instances.reduce((last, { ModifyIndex }) => Math.max(last, ModifyIndex), 0)}`
}
