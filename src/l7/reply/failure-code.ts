// How a try failed, as the code of the reply that it would have, and as its response flag. Called by the router and by the spans of tries. Pure.

import type { UpstreamFailure } from '../stream/upstream-failure.js'
import { type LocalReplyCode, localReply } from './local-reply.js'

/** Of a response that broke off, or a try's span. */
export function failureFlag(failure: UpstreamFailure): number {
  return localReply(replyCodeOf(failure), '').flag
}

export function replyCodeOf(failure: UpstreamFailure): LocalReplyCode {
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
