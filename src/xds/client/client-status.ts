// How an AdsClient tells how it fares: its connection, its last failure by kind, its control_plane.* numbers.

/** gRPC's status codes; those of grpc-js would load all of it. */
export const GRPC_STATUS = {
  OK: 0,
  INVALID_ARGUMENT: 3,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  UNAUTHENTICATED: 16,
} as const

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
    case GRPC_STATUS.OK:
      return 'closed'
    case GRPC_STATUS.UNAUTHENTICATED:
      return 'unauthenticated'
    case GRPC_STATUS.PERMISSION_DENIED:
      return 'permission-denied'
    case GRPC_STATUS.RESOURCE_EXHAUSTED:
      return 'exhausted'
    case GRPC_STATUS.UNAVAILABLE:
      return 'unavailable'
    case GRPC_STATUS.UNIMPLEMENTED:
      return 'unimplemented'
    default:
      return 'other'
  }
}
