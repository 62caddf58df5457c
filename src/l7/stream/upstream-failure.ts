// How a try of a request on an endpoint failed. Made by client/upstream-request.ts; read by the retry policy, the router, tunnels and
// our own calls. Types and one function, no state.

import type { StreamReset } from '../codec/codec.js'

/** How a try failed before or after its response began. */
export type UpstreamFailure =
  | { readonly kind: 'overflow'; readonly why: string }
  | {
      readonly kind: 'connect-failure' | 'connect-timeout'
      /** With the endpoint, for our own log. */
      readonly why: string
      /** Without it: what everybody may know. */
      readonly reason: string
      /** The TCP connection stood, the handshake or the peer's identity failed. */
      readonly tls: boolean
    }
  | {
      readonly kind: 'reset'
      readonly reset: StreamReset
      /** Nothing of the request left on a reused connection. */
      readonly reuseRace: boolean
    }
  | { readonly kind: 'per-try-timeout' | 'per-try-idle-timeout' }

/** In one line, for logs and for callers that have no status to answer with. */
export function failureText(failure: UpstreamFailure): string {
  if (failure.kind === 'reset') return failure.reset.details || failure.reset.code
  return 'why' in failure ? failure.why : failure.kind
}
