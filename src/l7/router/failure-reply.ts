// What a client is told when no try of its request succeeded: from how the last one failed to a local reply, or, once the response has
// begun, to flag and details of a broken one. Called by the router. Pure.

import type { StreamReset } from '../codec/codec.js'
import { type LocalReply, type LocalReplyCode, localReply } from '../reply/local-reply.js'
import type { UpstreamFailure } from '../stream/upstream-failure.js'

const RESET_REASON = 'reset reason: '

export function failureReply(failure: UpstreamFailure, retried: boolean): LocalReply {
  const reply = firstReply(failure)
  return retried ? { ...reply, body: reply.body.replace(RESET_REASON, `retried and the latest ${RESET_REASON}`) } : reply
}

function firstReply(failure: UpstreamFailure): LocalReply {
  const code = replyCodeOf(failure)
  // As in Envoy, a connect timeout has no transport failure reason: the endpoint's address is not the client's to know.
  const reply = localReply(code, 'why' in failure && failure.kind !== 'connect-timeout' ? failure.why : '')
  // As Envoy, a refused connection is told to the client without its address; log and details have it.
  if (failure.kind === 'connect-failure' && !failure.tls) return { ...reply, body: localReply(code, '').body }
  return reply
}

/** Of a response that broke off. */
export function failureFlag(failure: UpstreamFailure): number {
  return localReply(replyCodeOf(failure), '').flag
}

/** '' where there is nothing to add. */
export function brokenResponseDetails(failure: UpstreamFailure): string {
  return failure.kind === 'reset' ? `upstream_reset_after_response_started{${resetReason(failure.reset)}}` : ''
}

function resetReason(reset: StreamReset): string {
  switch (reset.code) {
    case 'connection-closed':
      return 'connection_termination'
    case 'remote-reset':
      return 'remote_reset'
    case 'refused':
      return 'remote_refused_stream_reset'
    case 'protocol-error':
      return 'protocol_error'
    default:
      return 'local_reset'
  }
}

function replyCodeOf(failure: UpstreamFailure): LocalReplyCode {
  switch (failure.kind) {
    case 'overflow':
      return 'upstream-overflow'
    case 'connect-failure':
      return 'upstream-connect-failure'
    case 'connect-timeout':
      return 'upstream-connect-timeout'
    case 'per-try-timeout':
      return 'upstream-per-try-timeout'
    case 'per-try-idle-timeout':
      return 'upstream-per-try-idle-timeout'
    case 'reset':
      switch (failure.reset.code) {
        case 'connection-closed':
          return 'upstream-connection-termination'
        case 'remote-reset':
          return 'upstream-remote-reset'
        case 'refused':
          return 'upstream-refused-stream'
        case 'protocol-error':
        case 'overflow':
          return 'upstream-protocol-error'
        default:
          return 'upstream-local-reset'
      }
  }
}
