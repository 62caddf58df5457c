// What the HTTP API works on: the parts of the control plane that its routes read and write. Made by `ControlPlane`.
import type { CertificateAuthority } from '../../mtls/ca/authority.js'
import type { AdsServer } from '../../xds/server/server.js'
import type { AclSystem } from '../acl/acl-system.js'
import type { Authorizer } from '../acl/authorizer.js'
import type { AgentLeases } from '../agents/agent-leases.js'
import type { AuditLog } from '../audit/audit-log.js'
import type { Backups } from '../backup/backups.js'
import type { Catalog } from '../catalog/catalog.js'
import type { HealthChecks } from '../catalog/health-checks.js'
import type { Locality } from '../catalog/locality.js'
import type { LeafCertificates } from '../certificates/leaf-certificates.js'
import type { ConfigEntry, ConfigEntryIndex, IntentionAction } from '../config-entries/types.js'
import type { ConfigEntryTable } from '../config-entry-table.js'
import type { ControlMetrics } from '../control-metrics.js'
import type { Coordination } from '../coordination.js'
import type { ResolveDns } from '../grpc/dns-service.js'
import type { LogFeed } from '../log-feed.js'
import type { ExportedServices } from '../peering/exported-services.js'
import type { PeeringTable } from '../peering/peering-table.js'
import type { Peerings } from '../peering/peerings.js'
import type { Replicas } from '../replicas/replicas.js'
import type { Rollouts } from '../rollouts/rollout-engine.js'
import type { ProxyChange } from '../snapshot/planned-changes.js'
import type { SnapshotPublisher } from '../snapshot/snapshot-publisher.js'
import type { FederationTable } from '../spiffe/federation-table.js'
import type { Federations } from '../spiffe/federations.js'
import type { OwnBundle } from '../spiffe/own-bundle.js'
import type { Store } from '../store/store.js'
import type { TopicIndexes } from '../store/topic-indexes.js'
import type { PrometheusHistory } from '../traffic/prometheus-history.js'
import type { TrafficReader } from '../traffic/traffic.js'
import type { BlockingQueries } from './blocking-queries.js'
import type { HostPort } from './listen-addresses.js'

export interface NodeInfo {
  readonly id: string
  readonly name: string
  readonly address: string
  readonly datacenter: string
  readonly locality?: Locality | undefined
}

/** What the agent configuration says of the API as a whole. */
export interface HttpConfig {
  readonly responseHeaders?: Readonly<Record<string, string>>
  /** Paths, and all that begin with them. */
  readonly blockEndpoints?: readonly string[]
  /** Networks (`10.0.0.0/8`); empty = everyone. */
  readonly allowWriteFrom?: readonly string[]
}

/** Ports are -1 where there is none. */
export interface GrpcReach {
  readonly host: string
  /** Over TLS where that is served. */
  readonly port: number
  /** Of the replicas beside: where a sidecar goes when this one is gone. */
  readonly others?: readonly { readonly host: string; readonly port: number }[]
  readonly plainPort: number
  readonly tlsPort: number
  /** What the port over TLS is verified with. */
  readonly caPem: string | undefined
  readonly token: string | undefined
  /** What sidecars show there, where that is another token than the HTTP API's; absent: what the caller shows. */
  readonly sidecarToken?: string | undefined
}

/** What the routes about this machine need: the control plane has more, the agent of another machine has this. */
export interface LocalContext {
  readonly blocking: BlockingQueries
  readonly store: Store
  readonly catalog: Catalog
  readonly healthChecks: HealthChecks
  readonly indexes: TopicIndexes
  readonly metrics: { readonly refusedWrites: { inc(): void } }
  readonly node: NodeInfo
  readonly version: string
  readonly logs: LogFeed
  /** Reads the files again that were read at the start; the reason when one of them is not good. */
  reload(): Promise<string | undefined>
  /** Ends the process; undefined where it is not ours to end. */
  readonly leave: (() => void) | undefined
  /** Script checks may be registered over HTTP: with ACLs, where the operator says so. */
  readonly scriptsByApi?: boolean
}

export interface ApiContext extends LocalContext, Coordination {
  readonly entries: ConfigEntryTable
  /** The same as gateways get them: with certificates in the place of references to Vault. */
  readonly resolvedEntries: ConfigEntryIndex
  readonly ca: CertificateAuthority
  readonly leaves: LeafCertificates
  readonly publisher: SnapshotPublisher
  /** What entries that are not written would change in which proxy. */
  plannedChanges(after: ConfigEntryIndex, changed: readonly ConfigEntry[]): readonly ProxyChange[]
  readonly ads: AdsServer
  readonly traffic: TrafficReader
  /** Traffic of before the last hour; undefined: nobody is named who knows of it. */
  readonly history: PrometheusHistory | undefined
  readonly metrics: ControlMetrics
  readonly agents: AgentLeases
  readonly peerings: Peerings
  readonly peeringTable: PeeringTable
  /** What peers are told of. */
  readonly exports: ExportedServices
  readonly federations: Federations
  readonly federationTable: FederationTable
  readonly ownBundle: OwnBundle
  readonly rollouts: Rollouts
  /** Undefined: none are made. */
  readonly backups: Backups | undefined
  readonly replicas: Replicas
  readonly audit: AuditLog
  readonly authorizer: Authorizer
  /** Undefined: ACLs are off. */
  readonly acl: AclSystem | undefined
  /** The API is for those with a token only. */
  readonly tokenRequired: boolean
  /** The listener is on a loopback address: names that only resolve there by trickery are refused. */
  readonly loopbackOnly: boolean
  readonly httpConfig: HttpConfig
  /** Folder of the built web console; undefined: there is none. */
  readonly consoleFolder: string | undefined
  /** An API client may configure a CA from files of this host, by their paths. */
  readonly caFilesByApi: boolean
  defaultPolicy(): IntentionAction
  /** Where sidecars reach the ADS server. */
  grpc(): GrpcReach
  /** Where DNS is answered; undefined: nowhere. */
  dnsAddress(): HostPort | undefined
  readonly resolveDns: ResolveDns
}
