// How a try without an answer is told in its span, in Envoy's words. Called by RequestTrace; the flag that goes with it is the reply's
// (reply/failure-code.ts).

import type { StreamReset } from '../codec/codec.js'
import type { UpstreamFailure } from '../stream/upstream-failure.js'

/** '': the span says `canceled` instead. */
export function failureWords(failure: UpstreamFailure): string {
  switch (failure.kind) {
    case 'overflow':
      return 'overflow'
    case 'connect-failure':
      return 'remote connection failure'
    case 'connect-timeout':
      return 'connection timeout'
    case 'per-try-timeout':
    case 'per-try-idle-timeout':
      return ''
    case 'reset':
      return resetWords(failure.reset)
  }
}

function resetWords({ code }: StreamReset): string {
  switch (code) {
    case 'connection-closed':
      return 'connection termination'
    case 'remote-reset':
      return 'remote reset'
    case 'refused':
      return 'remote refused stream reset'
    case 'protocol-error':
    case 'overflow':
      return 'protocol error'
    default:
      return 'local reset'
  }
}
