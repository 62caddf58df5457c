// What one stream of the ADS server knows about one resource type: who asked for what, what the client has, what is in flight, what is
// left to send. The stream (server-stream.ts) drives it; delta-type-state.ts and sotw-type-state.ts implement it. Invariant: at most
// one response is in flight, and a version counts as held by the client only after the ACK of the response that carried it.
//
//   idle --prepare: work--> ready --send--> in flight --ack--> idle
//                                              |------nack--> refused (nothing more is sent until the next snapshot or re-subscription; of secrets: for a while)

import type { Resource } from './snapshot.js'

/** Which part of the work a response carries: upserts and "does not exist" answers, removals, or both in one message. */
export type PushPart = 'upserts' | 'removals' | 'all'

/** What one response says. */
export interface Push {
  readonly resources: readonly Resource[]
  readonly removed: readonly string[]
  /** Content version of the whole response (`version_info`); empty in delta. */
  readonly version: string
  /** The resources that are new to the client: the parents whose children must follow. */
  readonly changed: readonly Resource[]
}

export interface TypeState {
  readonly typeUrl: string
  /** Nonce of the response in flight, or null. */
  readonly pendingNonce: string | null
  readonly hasUpserts: boolean
  readonly hasRemovals: boolean
  /** The client refused something and no newer snapshot has come since. */
  readonly refused: boolean
  /** Explicit names subscribed to. */
  readonly subscriptionCount: number
  readonly wildcard: boolean
  /** Recomputes the work if something changed; a no-op while a response is in flight. */
  prepare(current: ReadonlyMap<string, Resource>): void
  /** Takes work out as one response and marks it in flight under `nonce`. */
  send(part: PushPart, nonce: string): Push
  ack(): void
  /** Drops the response in flight; returns the names it carried. */
  nack(): readonly string[]
  /** Forgets that the client has these resources, so that they are sent again if it is subscribed to them. */
  wipe(names: readonly string[]): void
  /** A new snapshot is there; `differs` tells whether this type's resources in it do. Refused resources are tried again. */
  snapshotChanged(differs: boolean): void
  /** Name -> version that the client has acknowledged. */
  ackedVersions(): ReadonlyMap<string, string>
}
