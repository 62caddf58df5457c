// What the control plane knows of its peerings: the record that is kept, what a peer exports to us, and what we trust of it. Types only;
// written by peerings.ts and peering-table.ts, read by the HTTP API, DNS and the snapshot builder.
import type { HealthStatus } from '../catalog/check-definition.js'
import type { Locality } from '../catalog/locality.js'

/** Consul's names. */
export type PeeringState = 'PENDING' | 'ESTABLISHING' | 'ACTIVE' | 'FAILING' | 'DELETING' | 'TERMINATED'

/** Whom the certificates of a peer's services are verified with. */
export interface PeerBundle {
  readonly trustDomain: string
  readonly rootPems: readonly string[]
}

export interface PeeringRecord {
  readonly ID: string
  readonly Name: string
  readonly Meta: Readonly<Record<string, string>>
  /** FAILING is nothing that is kept: it is an active peering without a stream. */
  readonly State: Exclude<PeeringState, 'FAILING'>
  /** ISO 8601. */
  readonly DeletedAt?: string
  /** Ours, as the peer calls it; '' until it has dialled. */
  readonly PeerID: string
  readonly Datacenter: string
  /** Of a peer that we dial; '' and empty of one that dials us. */
  readonly PeerServerName: string
  readonly PeerServerAddresses: readonly string[]
  readonly PeerCAPems: readonly string[]
  /** What we show when we dial, sealed where the state is. */
  readonly streamSecret?: unknown
  /** SHA-256 of what a peer shows that dials us: once to exchange its token, then for each stream. */
  readonly establishmentHash?: string
  readonly streamHash?: string
  /** Where a peer reaches us, by the operator's word instead of by what is served. */
  readonly manualAddresses?: readonly string[]
  readonly bundle?: PeerBundle
}

export interface Peering extends PeeringRecord {
  readonly CreateIndex: number
  readonly ModifyIndex: number
}

/** An instance of a service in the peer's catalog, or a gateway that stands before it. */
export interface PeerInstance {
  readonly id: string
  readonly kind: string
  readonly name: string
  readonly tags: readonly string[]
  readonly meta: Readonly<Record<string, string>>
  /** Where it is reached, its node's address filled in. */
  readonly address: string
  readonly port: number
  readonly weights: { readonly Passing: number; readonly Warning: number }
  /** Of its node's checks and its own, the worst. */
  readonly status: HealthStatus
  readonly node: { readonly id: string; readonly name: string; readonly address: string }
  /** Absent: nobody says. */
  readonly Locality?: Locality
}

/** One service as its exporter tells it. */
export interface ExportedService {
  readonly name: string
  readonly protocol: string
  /** The server name by which the exporter's gateways know it for us. */
  readonly sni: string
  /** Whoever answers shows one of these. */
  readonly spiffeIds: readonly string[]
  readonly instances: readonly PeerInstance[]
  /** Where sidecars connect to: the exporter's mesh gateways, or, where it has none, the sidecars of the instances. */
  readonly ways: readonly PeerInstance[]
}

export interface ImportedService extends ExportedService {
  readonly peer: string
  /** The exporter's, of the content. */
  readonly hash: string
  readonly CreateIndex: number
  readonly ModifyIndex: number
}
