// How an AdsClient tells how it fares: its connection, its last failure by kind, its control_plane.* numbers.

import { status } from '@grpc/grpc-js'

/** Why the last attempt failed: `exhausted` asks for another server, the two auth kinds for another token. */
export type AdsFailureKind = 'unauthenticated' | 'permission-denied' | 'exhausted' | 'unavailable' | 'unimplemented' | 'closed' | 'other'

export interface AdsClientStatus {
  readonly connected: boolean
  /** Address of the current target. */
  readonly target: string
  /** `control_plane.identifier` of the last response, or ''. */
  readonly identifier: string
  /** When the last update was accepted or refused, ms since the epoch; 0 before the first. */
  readonly lastUpdateAt: number
  /** The last failed stream, null once a response has come after it. `code` is the gRPC status. */
  readonly lastFailure: { readonly kind: AdsFailureKind; readonly code: number; readonly message: string; readonly at: number } | null
  /** Streams that failed in a row without one response. */
  readonly failedAttempts: number
}

/** `control_plane.*` counters and gauges. */
export interface ControlPlaneStats {
  connectedState: 0 | 1
  rateLimitEnforced: number
  pendingRequests: number
  /** Responses of types never subscribed to, ignored. */
  ignoredResponses: number
}

export function failureKind(code: number): AdsFailureKind {
  switch (code) {
    case status.OK:
      return 'closed'
    case status.UNAUTHENTICATED:
      return 'unauthenticated'
    case status.PERMISSION_DENIED:
      return 'permission-denied'
    case status.RESOURCE_EXHAUSTED:
      return 'exhausted'
    case status.UNAVAILABLE:
      return 'unavailable'
    case status.UNIMPLEMENTED:
      return 'unimplemented'
    default:
      return 'other'
  }
}
