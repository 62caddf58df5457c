// A local reply as a response: plain text with a length, or trailers-only where the request is gRPC (Envoy Utility::sendLocalReply),
// changed by the connection manager's local_reply_config.

import { toByteString } from '../codec/byte-string.js'
import type { RequestHead, ResponseHead } from '../codec/codec.js'
import { HeaderList } from '../codec/header-list.js'
import { grpcLocalReply, grpcStatusOf } from '../grpc/grpc.js'
import { ResponseFlag } from '../stream/response-flags.js'
import type { StreamInfo } from '../stream/stream-info.js'
import type { LocalReply } from './local-reply.js'
import type { LocalReplyRewriter } from './local-reply-rewriter.js'

const EMPTY = Buffer.alloc(0)
/** Details of the answers of routes: redirects among them. */
const DIRECT_RESPONSE = 'direct_response'

/**
 * Sets the response code (and gRPC status) of `info`. `isGrpc`: of the request as it came, whatever filters made of it. What the route adds
 * comes first, then what a filter adds, then local_reply_config; a redirect's location stands before all of them. The length is that of the
 * body, whatever they say.
 */
export function prepareLocalReply(
  request: RequestHead,
  info: StreamInfo,
  rewriter: LocalReplyRewriter | null,
  isGrpc: boolean,
  reply: LocalReply,
  extra: HeaderList | null,
  addRouteHeaders: (headers: HeaderList) => void,
): { head: ResponseHead; body: Buffer } {
  const headers = new HeaderList()
  let { status, body } = reply
  info.responseCode = status
  // What formats see of the response meanwhile.
  info.response = responseHead(status, headers, -1)
  const byRoute = reply.details === DIRECT_RESPONSE
  if (byRoute) appendAll(headers, extra, isGrpc)
  addRouteHeaders(headers)
  addOverloadHeaders(headers, reply.flag)
  if (!byRoute) appendAll(headers, extra, isGrpc)
  let contentType = 'text/plain'
  let typeHolds = headers.has('content-type')
  if (rewriter !== null) {
    const typeBefore = headers.get('content-type')
    const changed = rewriter(info, status, body, headers)
    typeHolds = headers.has('content-type') && (changed.body === body || headers.get('content-type') !== typeBefore)
    status = changed.status
    body = changed.body
    contentType = changed.contentType
  }
  headers.remove('content-length')
  if (isGrpc) {
    // A format of JSON ends its line.
    const message = contentType === 'application/json' && body.endsWith('\n') ? body.slice(0, -1) : body
    const grpc = grpcLocalReply(status, message, reply.grpcStatus)
    headers.set('content-type', 'application/grpc')
    // A fault or a limit may have chosen another status.
    if (!headers.has('grpc-status')) headers.append('grpc-status', String(grpc.grpcStatus))
    if (grpc.message !== '' && !headers.has('grpc-message')) headers.append('grpc-message', grpc.message)
    info.grpcStatus = grpcStatusOf(headers)
    return { head: responseHead(200, headers, -1), body: EMPTY }
  }
  const bytes = body === '' || request.method === 'HEAD' ? EMPTY : Buffer.from(body, 'latin1')
  if (body === '') headers.remove('content-type')
  else {
    headers.append('content-length', String(body.length))
    if (!typeHolds) headers.set('content-type', contentType)
  }
  return { head: responseHead(status, headers, bytes.length), body: bytes }
}

/** Details of replies whose body is an outside service's or the operator's: nothing is added to it. */
const OTHERS_BODIES: ReadonlySet<string> = new Set(['ext_authz_denied', 'fault_filter_abort', 'request_rate_limited'])

/** With the reason, for a client who may know. */
export function explained(reply: LocalReply, reason: string): LocalReply {
  if (OTHERS_BODIES.has(reply.details)) return reply
  return { ...reply, body: `${reply.body}${reply.body === '' ? '' : '; '}${toByteString(reason)}` }
}

function addOverloadHeaders(headers: HeaderList, flag: number): void {
  if ((flag & ResponseFlag.UpstreamOverflow) !== 0) headers.append('x-envoy-overloaded', 'true')
  if ((flag & ResponseFlag.DropOverload) !== 0) headers.append('x-envoy-drop-overload', 'true')
  if ((flag & ResponseFlag.UnconditionalDropOverload) !== 0) headers.append('x-envoy-unconditional-drop-overload', 'true')
  if ((flag & ResponseFlag.RateLimited) !== 0) headers.append('x-envoy-ratelimited', 'true')
}

/** A filter's status of gRPC says nothing to other clients (Envoy keeps it to gRPC requests). */
function appendAll(headers: HeaderList, extra: HeaderList | null, isGrpc: boolean): void {
  if (extra === null) return
  for (const name of extra.lower) headers.remove(name)
  for (let i = 0; i < extra.length; i++) if (isGrpc || extra.lower[i] !== 'grpc-status') headers.append(extra.raw[i]!, extra.values[i]!)
}

export function responseHead(status: number, headers: HeaderList, contentLength: number): ResponseHead {
  return { status, reason: '', version: 'HTTP/1.1', headers, contentLength, upgraded: false }
}
