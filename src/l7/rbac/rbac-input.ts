// What an RBAC decision looks at: the connection, and for HTTP the request. Filled by the network filter (head and info null) and by
// the HTTP filter.

import type { PeerIdentity } from '../../mtls/peer/peer-identity.js'
import type { RequestHead } from '../codec/codec.js'
import type { Certainty } from '../match/header-matcher.js'
import type { ConnectionInfo } from '../stream/connection-info.js'
import type { StreamInfo } from '../stream/stream-info.js'

export interface RbacInput {
  readonly connection: ConnectionInfo
  /** Null: a connection, not a request. */
  readonly head: RequestHead | null
  readonly info: StreamInfo | null
}

export type RbacTest = (input: RbacInput) => boolean

/** A certificate that was not validated may speak against its bearer, never for it. */
export function peerFor(input: RbacInput, certainty: Certainty): PeerIdentity | null {
  const peer = input.connection.tls?.peer ?? null
  return peer !== null && (peer.validated || certainty === 'possible') ? peer : null
}
