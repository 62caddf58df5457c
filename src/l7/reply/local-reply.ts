// The one table of answers that the proxy itself gives: code -> HTTP status, body, response flag, response_code_details.
// Names and texts are Envoy's, so that existing dashboards and runbooks hold. Sending is the request path's (sendLocalReply).

import { toByteString } from '../codec/byte-string.js'
import { ResponseFlag } from '../stream/response-flags.js'

export type LocalReplyCode =
  | 'route-not-found'
  | 'no-virtual-host'
  | 'cluster-not-found'
  | 'no-healthy-upstream'
  | 'upstream-overflow'
  | 'upstream-connect-failure'
  | 'upstream-connect-timeout'
  | 'upstream-connection-termination'
  | 'upstream-remote-reset'
  | 'upstream-refused-stream'
  | 'upstream-local-reset'
  | 'upstream-protocol-error'
  | 'upstream-request-timeout'
  | 'upstream-per-try-timeout'
  | 'upstream-per-try-idle-timeout'
  | 'upstream-max-stream-duration'
  | 'drop-overload'
  | 'unconditional-drop-overload'
  | 'stream-idle-timeout'
  | 'request-timeout'
  | 'request-headers-timeout'
  | 'max-duration'
  | 'payload-too-large'
  | 'response-payload-too-large'
  | 'low-version'
  | 'missing-host'
  | 'missing-path'
  | 'query-without-type'
  | 'upgrade-failed'
  | 'overload'
  | 'invalid-envoy-headers'

export interface LocalReply {
  readonly status: number
  /** Bytes, one a character (codec/byte-string.ts). */
  readonly body: string
  readonly flag: number
  readonly details: string
  /** What a gRPC client is told, where it is not the mapping of `status`. */
  readonly grpcStatus?: number
}

const GRPC_DEADLINE_EXCEEDED = 4

function resetReply(reason: string, flag: number, text: string): LocalReply {
  const why = toByteString(text)
  const detail = reason.replaceAll(' ', '_')
  return {
    status: 503,
    body: `upstream connect error or disconnect/reset before headers. reset reason: ${reason}${why === '' ? '' : `, transport failure reason: ${why}`}`,
    flag,
    details: `upstream_reset_before_response_started{${detail}${why === '' ? '' : `|${why.replace(/[\s{}]/g, '_')}`}}`,
  }
}

/** `why`: what the layer that failed alone knows (the transport failure, the limit and its value); '' when nothing. */
export function localReply(code: LocalReplyCode, why: string): LocalReply {
  switch (code) {
    case 'route-not-found':
      return { status: 404, body: '', flag: ResponseFlag.NoRouteFound, details: 'route_not_found' }
    case 'no-virtual-host':
      return { status: 404, body: '', flag: ResponseFlag.NoRouteFound, details: 'route_not_found' }
    case 'cluster-not-found':
      return { status: 503, body: '', flag: ResponseFlag.NoClusterFound, details: 'cluster_not_found' }
    case 'no-healthy-upstream':
      return { status: 503, body: 'no healthy upstream', flag: ResponseFlag.NoHealthyUpstream, details: 'no_healthy_upstream' }
    case 'upstream-overflow':
      return {
        status: 503,
        body: `upstream connect error or disconnect/reset before headers. reset reason: overflow${why === '' ? '' : `, limit: ${why}`}`,
        flag: ResponseFlag.UpstreamOverflow,
        details: `upstream_reset_before_response_started{overflow${why === '' ? '' : `|${why.replace(/[\s{}|]/g, '_')}`}}`,
      }
    case 'upstream-connect-failure':
      return resetReply('remote connection failure', ResponseFlag.UpstreamConnectionFailure, why)
    case 'upstream-connect-timeout':
      return resetReply('connection timeout', ResponseFlag.UpstreamConnectionFailure, why)
    case 'upstream-connection-termination':
      return resetReply('connection termination', ResponseFlag.UpstreamConnectionTermination, why)
    case 'upstream-remote-reset':
      return resetReply('remote reset', ResponseFlag.UpstreamRemoteReset, why)
    case 'upstream-refused-stream':
      return resetReply('remote refused stream reset', ResponseFlag.UpstreamRemoteReset, why)
    case 'upstream-local-reset':
      return resetReply('local reset', ResponseFlag.LocalReset, why)
    case 'upstream-protocol-error':
      return { ...resetReply('protocol error', ResponseFlag.UpstreamProtocolError, why), status: 502 }
    case 'upstream-request-timeout':
      return { status: 504, body: 'upstream request timeout', flag: ResponseFlag.UpstreamRequestTimeout, details: 'response_timeout' }
    case 'upstream-per-try-timeout':
      return {
        status: 504,
        body: 'upstream request timeout',
        flag: ResponseFlag.UpstreamRequestTimeout,
        details: 'upstream_per_try_timeout',
      }
    case 'upstream-per-try-idle-timeout':
      return {
        status: 504,
        body: 'upstream request timeout',
        flag: ResponseFlag.UpstreamRequestTimeout,
        details: 'upstream_per_try_idle_timeout',
      }
    case 'upstream-max-stream-duration':
      return {
        status: 504,
        body: 'upstream max stream duration reached',
        flag: ResponseFlag.UpstreamMaxStreamDurationReached,
        details: 'upstream_max_stream_duration_reached',
      }
    case 'drop-overload':
      return { status: 503, body: 'drop overload', flag: ResponseFlag.DropOverload, details: 'drop_overload' }
    case 'unconditional-drop-overload':
      return {
        status: 503,
        body: 'unconditional drop overload',
        flag: ResponseFlag.UnconditionalDropOverload,
        details: 'unconditional_drop_overload',
      }
    case 'stream-idle-timeout':
      return { status: 504, body: 'stream timeout', flag: ResponseFlag.StreamIdleTimeout, details: 'stream_idle_timeout' }
    case 'request-timeout':
      return { status: 408, body: 'request timeout', flag: 0, details: 'request_overall_timeout' }
    case 'request-headers-timeout':
      return { status: 408, body: 'request header timeout', flag: 0, details: 'request_header_timeout' }
    case 'max-duration':
      return {
        status: 408,
        body: 'downstream duration timeout',
        flag: 0,
        details: 'max_duration_timeout',
        grpcStatus: GRPC_DEADLINE_EXCEEDED,
      }
    case 'payload-too-large':
      return { status: 413, body: `Payload Too Large${why === '' ? '' : `: ${why}`}`, flag: 0, details: 'request_payload_too_large' }
    case 'response-payload-too-large':
      return { status: 500, body: 'Internal Server Error', flag: 0, details: 'response_payload_too_large' }
    case 'low-version':
      return { status: 426, body: 'Upgrade Required', flag: ResponseFlag.DownstreamProtocolError, details: 'low_version' }
    case 'missing-host':
      return { status: 400, body: '', flag: 0, details: 'missing_host_header' }
    case 'missing-path':
      return { status: 404, body: '', flag: 0, details: 'missing_path_rejected' }
    case 'query-without-type':
      return { status: 400, body: '', flag: 0, details: 'query_missing_content_type' }
    case 'upgrade-failed':
      return { status: 403, body: '', flag: 0, details: 'upgrade_failed' }
    case 'overload':
      return { status: 503, body: 'envoy overloaded', flag: ResponseFlag.OverloadManager, details: 'overload' }
    case 'invalid-envoy-headers':
      return {
        status: 400,
        body: '',
        flag: ResponseFlag.InvalidEnvoyRequestHeaders,
        details: `request_headers_failed_strict_check{${why}}`,
      }
    default: {
      const unreachable: never = code
      throw new Error(`no local reply for ${String(unreachable)}`)
    }
  }
}
