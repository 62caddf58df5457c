// Peerings as they stand in this control plane: where its peers dial it, directly or by its mesh gateways, and what snapshots read of them.
// Called by control-plane.ts.
import type { CertificateAuthority } from '../../mtls/ca/authority.js'
import type { StateSeal } from '../../mtls/ca/store.js'
import type { Catalog } from '../catalog/catalog.js'
import type { CatalogInstance } from '../catalog/catalog-types.js'
import { addressOf } from '../catalog/instance-address.js'
import type { ConfigEntryTable } from '../config-entry-table.js'
import { formatAddress, type HostPort, hostForOthers } from '../http-api/listen-addresses.js'
import type { ControlLogger } from '../log-feed.js'
import type { SnapshotSources } from '../snapshot/build-snapshot.js'
import type { FederationTable } from '../spiffe/federation-table.js'
import type { ReplicaNotes } from '../store/replica-notes.js'
import type { TaskLeases } from '../store/task-leases.js'
import type { ExportedServices } from './exported-services.js'
import type { PeeringTable } from './peering-table.js'
import { Peerings } from './peerings.js'

interface Parts {
  readonly table: PeeringTable
  readonly exports: ExportedServices
  readonly catalog: Catalog
  readonly entries: ConfigEntryTable
  readonly ca: CertificateAuthority
  readonly seal: StateSeal | undefined
  readonly datacenter: string
  readonly leases: TaskLeases
  readonly notes: ReplicaNotes
  /** Of this server, for others. */
  readonly address: string
  /** Where gRPC is served over TLS, once it is. */
  grpcTls(): HostPort | undefined
  /** That port asks every client for a certificate, and peers show none. */
  refusesPeers(): boolean
  readonly federations: FederationTable
  readonly log: ControlLogger
}

export function wirePeerings({ grpcTls, refusesPeers, log, ...parts }: Parts): Peerings {
  const { catalog, entries, ca, address } = parts
  const throughGateways = (): boolean => entries.get('mesh', 'mesh')?.Peering?.PeerThroughMeshGateways === true
  return new Peerings({
    ...parts,
    bundle: () => ({ trustDomain: ca.trustDomain, rootPems: ca.roots().Roots.map(({ RootCert }) => RootCert) }),
    servers: () => {
      const tls = grpcTls()
      if (tls === undefined) throw new Error('peers dial gRPC over TLS, which is not served here (--grpc-tls-addr, ports.grpc_tls)')
      if (refusesPeers())
        throw new Error('peers show no certificate, and the gRPC port asks every client for one (tls.grpc.verify_incoming)')
      if (!throughGateways()) return [formatAddress({ host: hostForOthers(tls.host, address), port: tls.port })]
      const gateways = catalog.meshGateways().map(gateway => gatewayAddress(gateway, catalog, 'wan'))
      if (gateways.length === 0) throw new Error('the mesh entry has peers come through mesh gateways, and none is registered')
      return gateways
    },
    ownGateways: () => (throughGateways() ? catalog.meshGateways().map(gateway => gatewayAddress(gateway, catalog, 'lan')) : []),
    onProblem: (peer, reason) => log.warn({ peer }, `peering: ${reason}`),
    onNotice: (peer, what) => log.info({ peer }, `peering: ${what}`),
  })
}

/** What the resources of proxies are made of, as far as it comes from peers. */
export function snapshotPeers(table: PeeringTable, server: SnapshotSources['peers']['server']): SnapshotSources['peers'] {
  return {
    bundle: peer => table.bundle(peer),
    imported: (peer, service) => table.imported(peer, service),
    imports: () => table.list().flatMap(({ Name }) => table.importsOf(Name)),
    virtualAddress: (peer, service) => table.virtualIp(peer, service),
    dialled: () =>
      table
        .list()
        .flatMap(({ PeerServerName: serverName, PeerServerAddresses: addresses }) =>
          addresses.length === 0 ? [] : [{ serverName, addresses }],
        ),
    server,
  }
}

/** `wan`: as it is reached from elsewhere. */
function gatewayAddress(gateway: CatalogInstance, catalog: Catalog, from: 'lan' | 'wan'): string {
  const tagged = from === 'wan' ? gateway.TaggedAddresses['wan'] : undefined
  const host = tagged?.Address || addressOf(catalog, gateway)
  return formatAddress({ host, port: tagged?.Port || gateway.Port })
}
