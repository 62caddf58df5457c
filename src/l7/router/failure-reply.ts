// What a client is told when no try of its request succeeded: from how the last one failed to a local reply, or, once the response has
// begun, to the details of a broken one (its flag: reply/failure-code.ts). Called by the router. Pure.

import type { StreamReset } from '../codec/codec.js'
import { replyCodeOf } from '../reply/failure-code.js'
import { type LocalReply, localReply } from '../reply/local-reply.js'
import type { UpstreamFailure } from '../stream/upstream-failure.js'

const RESET_REASON = 'reset reason: '

export function failureReply(failure: UpstreamFailure, retried: boolean): LocalReply {
  const reply = firstReply(failure)
  return retried ? { ...reply, body: reply.body.replace(RESET_REASON, `retried and the latest ${RESET_REASON}`) } : reply
}

function firstReply(failure: UpstreamFailure): LocalReply {
  const code = replyCodeOf(failure)
  // As in Envoy, a connect timeout has no transport failure reason: the endpoint's address is not the client's to know.
  const reply = localReply(code, failure.kind === 'overflow' ? failure.why : failure.kind === 'connect-failure' ? failure.reason : '')
  // As Envoy, a refused connection is told to the client without its address; log and details have it.
  if (failure.kind === 'connect-failure' && !failure.tls) return { ...reply, body: localReply(code, '').body }
  return reply
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
