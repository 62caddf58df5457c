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

/** Sets the response code (and gRPC status) of `info`. `isGrpc`: of the request as it came, whatever filters made of it. */
export function prepareLocalReply(
  request: RequestHead,
  info: StreamInfo,
  rewriter: LocalReplyRewriter | null,
  isGrpc: boolean,
  reply: LocalReply,
  extra: HeaderList | null,
): { head: ResponseHead; body: Buffer } {
  const headers = new HeaderList()
  let { status, body } = reply
  let contentType = 'text/plain'
  info.responseCode = status
  if (rewriter !== null) {
    const changed = rewriter(info, status, body, headers)
    status = changed.status
    body = changed.body
    contentType = changed.contentType
  }
  if (isGrpc) {
    const grpc = grpcLocalReply(status, body, reply.grpcStatus)
    headers.append('content-type', 'application/grpc')
    headers.append('grpc-status', String(grpc.grpcStatus))
    if (grpc.message !== '') headers.append('grpc-message', grpc.message)
    addOverloadHeaders(headers, reply.flag)
    appendAll(headers, extra)
    // A fault or a limit may have chosen another status.
    info.grpcStatus = grpcStatusOf(headers)
    return { head: responseHead(200, headers, -1), body: EMPTY }
  }
  const bytes = body === '' || request.method === 'HEAD' ? EMPTY : Buffer.from(body, 'latin1')
  if (body !== '') {
    headers.append('content-length', String(body.length))
    headers.append('content-type', contentType)
  }
  addOverloadHeaders(headers, reply.flag)
  appendAll(headers, extra)
  // A status of gRPC says nothing to other clients (Envoy keeps it to gRPC requests).
  headers.remove('grpc-status')
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

function appendAll(headers: HeaderList, extra: HeaderList | null): void {
  if (extra === null) return
  for (const name of extra.lower) headers.remove(name)
  for (let i = 0; i < extra.length; i++) headers.append(extra.raw[i]!, extra.values[i]!)
}

export function responseHead(status: number, headers: HeaderList, contentLength: number): ResponseHead {
  return { status, reason: '', version: 'HTTP/1.1', headers, contentLength, upgraded: false }
}
