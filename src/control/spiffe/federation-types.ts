// Federation with other trust domains: the relationship as its operator writes it and as it is kept, and what snapshots read of it. Types only;
// written by federation-table.ts, read by federations.ts, the HTTP API and the snapshot builder.
import type { PeerBundle } from '../peering/peering-types.js'

/** How the bundle endpoint is authenticated (SPIFFE Federation, section 5.2). */
export type EndpointProfile = 'https_web' | 'https_spiffe'

export interface FederationRecord {
  /** Ours, by which intentions and exported-services name it, as they name a peer. */
  readonly Name: string
  readonly TrustDomain: string
  /** '': the bundle is set by hand. */
  readonly BundleEndpointURL: string
  readonly BundleEndpointProfile: EndpointProfile
  /** Of whoever serves the endpoint, with https_spiffe. */
  readonly EndpointSPIFFEID: string
  /** How ids of its workloads are written by name; '': the name is the path. */
  readonly IDTemplate: string
  /** Its workloads are services of this mesh: every sidecar trusts it. */
  readonly Mesh: boolean
  /** Absent until it has come. */
  readonly bundle?: FederatedBundle
}

export interface FederatedBundle {
  readonly rootPems: readonly string[]
  readonly sequence?: number
  readonly refreshHintSeconds?: number
}

export interface StoredFederation extends FederationRecord {
  readonly CreateIndex: number
  readonly ModifyIndex: number
}

/** As snapshots see one whose bundle is there. */
export interface Federation {
  readonly bundle: PeerBundle
  readonly idTemplate: string | undefined
}
