// What the HTTP API works on: the parts of the control plane that its routes read and write. Made by `ControlPlane`.
import type { CertificateAuthority } from '../../mtls/ca/authority.js'
import type { AdsServer } from '../../xds/server/server.js'
import type { AclSystem } from '../acl/acl-system.js'
import type { Authorizer } from '../acl/authorizer.js'
import type { Catalog } from '../catalog/catalog.js'
import type { HealthChecks } from '../catalog/health-checks.js'
import type { LeafCertificates } from '../certificates/leaf-certificates.js'
import type { IntentionAction } from '../config-entries/types.js'
import type { ConfigEntryTable } from '../config-entry-table.js'
import type { ControlMetrics } from '../control-metrics.js'
import type { SnapshotPublisher } from '../snapshot/snapshot-publisher.js'
import type { Store } from '../store/store.js'
import type { TopicIndexes } from '../store/topic-indexes.js'

export interface NodeInfo {
  readonly id: string
  readonly name: string
  readonly address: string
  readonly datacenter: string
}

export interface ApiContext {
  readonly store: Store
  readonly catalog: Catalog
  readonly entries: ConfigEntryTable
  readonly ca: CertificateAuthority
  readonly leaves: LeafCertificates
  readonly publisher: SnapshotPublisher
  readonly ads: AdsServer
  readonly healthChecks: HealthChecks
  readonly indexes: TopicIndexes
  readonly metrics: ControlMetrics
  readonly node: NodeInfo
  readonly version: string
  readonly authorizer: Authorizer
  /** Undefined: ACLs are off. */
  readonly acl: AclSystem | undefined
  /** The API is for those with a token only. */
  readonly tokenRequired: boolean
  /** The listener is on a loopback address: names that only resolve there by trickery are refused. */
  readonly loopbackOnly: boolean
  defaultPolicy(): IntentionAction
  /** Where sidecars reach the ADS server. */
  grpc(): { readonly host: string; readonly port: number; readonly caPem: string | undefined; readonly token: string | undefined }
}
