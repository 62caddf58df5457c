// What proxies are served by: the ADS server, who is let in there, the builder of snapshots and the publisher that gives each proxy its own. Made by
// `ControlPlane`, which starts and stops them in the order of all the rest. Invariant: what is planned is built from the same sources as what is
// served.
import type { CertificateAuthority } from '../mtls/ca/authority.js'
import { AdsServer, type AdsServerOptions } from '../xds/server/server.js'
import type { AclSystem } from './acl/acl-system.js'
import type { Authorizer } from './acl/authorizer.js'
import type { Catalog } from './catalog/catalog.js'
import { meshServiceOf } from './catalog/catalog-types.js'
import type { LeafCertificates } from './certificates/leaf-certificates.js'
import type { IntentionAction } from './config-entries/types.js'
import type { ControlMetrics } from './control-metrics.js'
import { catalogNodeOf, proxyAdmission } from './grpc/proxy-admission.js'
import { StreamBalance } from './grpc/stream-balance.js'
import type { ApiContext } from './http-api/context.js'
import { healthEntry } from './http-api/shapes.js'
import type { LogFeed } from './log-feed.js'
import type { PeeringTable } from './peering/peering-table.js'
import { peeringServerName } from './peering/peering-token.js'
import { snapshotPeers } from './peering/wire-peerings.js'
import type { Replicas } from './replicas/replicas.js'
import type { GatewayCertificates } from './secrets/gateway-certificates.js'
import { SnapshotBuilder, type SnapshotSources } from './snapshot/build-snapshot.js'
import { PROXY_KINDS } from './snapshot/kinds/proxy-kinds.js'
import { plannedChanges } from './snapshot/planned-changes.js'
import { SnapshotPublisher } from './snapshot/snapshot-publisher.js'
import { TunnelReadiness } from './snapshot/tunnel-readiness.js'
import type { FederationTable } from './spiffe/federation-table.js'
import type { Store } from './store/store.js'

export interface ProxyServing {
  readonly ads: AdsServer
  readonly accept: AdsServerOptions['accept']
  readonly publisher: SnapshotPublisher
  readonly planned: ApiContext['plannedChanges']
  readonly balance: StreamBalance
}

export function serveProxies(parts: {
  readonly catalog: Catalog
  readonly certificates: GatewayCertificates
  readonly leaves: LeafCertificates
  readonly ca: CertificateAuthority
  readonly store: Store
  readonly peeringTable: PeeringTable
  readonly federationTable: FederationTable
  readonly replicas: Replicas
  readonly metrics: ControlMetrics
  readonly authorizer: Authorizer
  readonly acl: AclSystem | undefined
  readonly datacenter: string
  defaultPolicy(): IntentionAction
  /** Where control planes of peers reach this one; undefined: nowhere. */
  peeringAddress(): { readonly host: string; readonly port: number } | undefined
  /** A proxy has all that it is served. */
  onSynced(nodeKey: string): void
  readonly log: LogFeed
}): ProxyServing {
  const { catalog, certificates, leaves, ca, store, peeringTable, replicas, metrics, authorizer, acl, datacenter, log } = parts
  const tunnels = new TunnelReadiness(service => catalog.connectInstancesOf(service))
  const accept = proxyAdmission({ authorizer, catalog, acl })
  const ads: AdsServer = new AdsServer({
    accept,
    groupOf: catalogNodeOf,
    onStreamOpen: ({ nodeKey, node }) => {
      const proxy = catalog.instanceByKey(nodeKey)
      if (proxy?.Proxy !== undefined) tunnels.streamOpened(nodeKey, meshServiceOf(proxy), node.userAgentName)
      publisher.connected(nodeKey)
    },
    onAck: () => metrics.acks.inc(),
    onNack: () => metrics.nacks.inc(),
    onSynced: nodeKey => {
      publisher.synced(nodeKey)
      parts.onSynced(nodeKey)
    },
    logger: log,
  })
  const sources: SnapshotSources = {
    catalog,
    tunnels,
    entries: certificates.index,
    datacenter,
    trustDomain: ca.trustDomain,
    kinds: PROXY_KINDS,
    defaultPolicy: () => parts.defaultPolicy(),
    rootsPem: () => ca.trustBundlePem(),
    leaf: service => leaves.get(service),
    federations: parts.federationTable,
    filterView: instance => healthEntry(catalog, instance),
    peers: snapshotPeers(peeringTable, () => {
      const address = parts.peeringAddress()
      return address && { serverName: peeringServerName(datacenter, ca.trustDomain), ...address }
    }),
  }
  const publisher: SnapshotPublisher = new SnapshotPublisher({
    catalog,
    builder: new SnapshotBuilder(sources),
    leaves,
    tunnels,
    ads,
    index: () => store.index,
    onPropagated: seconds => metrics.propagation.observe(seconds),
    onProblem: (proxy, reason) => {
      metrics.buildFailures.inc()
      log.warn({ proxy }, `snapshot: ${reason}`)
    },
  })
  const balance = new StreamBalance({
    ads,
    proxies: () => catalog.proxyCount,
    servers: () => replicas.list().length,
    onShed: (shed, most) => log.info({ shed, most }, 'xds streams ended, so that their proxies go to other servers'),
  })
  return {
    ads,
    accept,
    publisher,
    planned: (after, changed) => plannedChanges(sources, catalog.proxies(), certificates.over(after), changed),
    balance,
  }
}
