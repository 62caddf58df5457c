// How a try without an answer is told in its span: Envoy's words and response flag. Called by RequestTrace.

import type { StreamReset } from '../codec/codec.js'
import { ResponseFlag } from '../stream/response-flags.js'
import type { UpstreamFailure } from '../stream/upstream-failure.js'

/** `reason` '': the span says `canceled` instead. */
export interface FailureWords {
  readonly reason: string
  readonly flag: number
}

export function failureWords(failure: UpstreamFailure): FailureWords {
  switch (failure.kind) {
    case 'overflow':
      return { reason: 'overflow', flag: ResponseFlag.UpstreamOverflow }
    case 'connect-failure':
      return { reason: 'remote connection failure', flag: ResponseFlag.UpstreamConnectionFailure }
    case 'connect-timeout':
      return { reason: 'connection timeout', flag: ResponseFlag.UpstreamConnectionFailure }
    case 'per-try-timeout':
    case 'per-try-idle-timeout':
      return { reason: '', flag: ResponseFlag.UpstreamRequestTimeout }
    case 'reset':
      return resetWords(failure.reset)
  }
}

function resetWords({ code }: StreamReset): FailureWords {
  switch (code) {
    case 'connection-closed':
      return { reason: 'connection termination', flag: ResponseFlag.UpstreamConnectionTermination }
    case 'remote-reset':
      return { reason: 'remote reset', flag: ResponseFlag.UpstreamRemoteReset }
    case 'refused':
      return { reason: 'remote refused stream reset', flag: ResponseFlag.UpstreamRemoteReset }
    case 'protocol-error':
    case 'overflow':
      return { reason: 'protocol error', flag: ResponseFlag.UpstreamProtocolError }
    default:
      return { reason: 'local reset', flag: ResponseFlag.LocalReset }
  }
}
