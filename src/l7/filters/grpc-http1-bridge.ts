// envoy.filters.http.grpc_http1_bridge: an HTTP/1 client that cannot read trailers speaks gRPC: the answer is buffered whole, the
// grpc-status and grpc-message of its trailers move into the head, and a failed call becomes a 503. With upgrade_protobuf_to_grpc
// an `application/x-protobuf` request is framed as gRPC and the answer is unframed.

import type { RequestHead, ResponseHead } from '../codec/codec.js'
import type { HeaderList } from '../codec/header-list.js'
import { isGrpcContentType } from '../grpc/grpc.js'
import type { FilterCall, FilterFactory, FilterStatus, StreamFilter } from './http-filter.js'
import { responseControl } from './response-control.js'

/** Longest answer that is buffered for a bridged call. */
export const MAX_BRIDGED_RESPONSE_BYTES = 1024 * 1024
/** Longest protobuf request that is framed. */
export const MAX_BRIDGED_REQUEST_BYTES = 1024 * 1024

const PROTOBUF = 'application/x-protobuf'
const FRAME_HEADER_BYTES = 5

export function grpcHttp1BridgeFilter(name: string, disabled: boolean, upgradeProtobufToGrpc: boolean): FilterFactory {
  return {
    name,
    disabled,
    create(call: FilterCall): StreamFilter | null {
      const { request } = call
      const type = request.headers.get('content-type')
      if (upgradeProtobufToGrpc && type === PROTOBUF) return new GrpcBridge(true)
      return request.version !== 'HTTP/2' && isGrpcContentType(type) ? new GrpcBridge(false) : null
    },
  }
}

class GrpcBridge implements StreamFilter {
  private readonly upgrade: boolean
  private frameHeader: Buffer | null = null

  constructor(upgrade: boolean) {
    this.upgrade = upgrade
  }

  requestHead(call: FilterCall, head: RequestHead, end: boolean): FilterStatus {
    if (!this.upgrade) return 'continue'
    head.headers.set('content-type', 'application/grpc')
    head.headers.set('te', 'trailers')
    if (end) {
      // A call without a body still needs its (empty) message; a message of no bytes has a frame of five.
      head.headers.remove('content-length')
      head.contentLength = -1
      return 'continue'
    }
    if (head.contentLength >= 0) {
      this.frame(head, head.contentLength)
      return 'continue'
    }
    let inside = true
    let done = false
    call.bufferRequest(MAX_BRIDGED_REQUEST_BYTES, false, body => {
      done = true
      this.frame(head, body.length)
      if (!inside) call.resume()
    })
    inside = false
    return done ? 'continue' : 'stop'
  }

  requestData(_call: FilterCall, chunk: Buffer): Buffer {
    if (this.frameHeader === null) return chunk
    const framed = Buffer.concat([this.frameHeader, chunk])
    this.frameHeader = null
    return framed
  }

  responseHead(call: FilterCall, head: ResponseHead, end: boolean, local: boolean): FilterStatus {
    // Answers of our own stay as they are for gRPC: 200 with a grpc-status (Envoy looks at what has a body only).
    if (local) return 'continue'
    if (end) {
      applyStatus(head, head.headers.get('grpc-status'))
      if (this.upgrade) head.headers.set('content-type', PROTOBUF)
      return 'continue'
    }
    responseControl(call).bufferResponse(MAX_BRIDGED_RESPONSE_BYTES, (body, trailers) => {
      if (trailers !== null) moveStatus(head, trailers)
      const sent = this.upgrade ? unframe(body) : body
      if (this.upgrade) head.headers.set('content-type', PROTOBUF)
      head.headers.set('content-length', String(sent.length))
      head.contentLength = sent.length
      return { body: sent, trailers: null }
    })
    return 'stop'
  }

  private frame(head: RequestHead, bytes: number): void {
    const prefix = Buffer.alloc(FRAME_HEADER_BYTES)
    prefix.writeUInt32BE(bytes, 1)
    this.frameHeader = prefix
    head.contentLength = bytes + FRAME_HEADER_BYTES
    head.headers.set('content-length', String(head.contentLength))
  }
}

function moveStatus(head: ResponseHead, trailers: HeaderList): void {
  const status = trailers.get('grpc-status')
  if (status !== undefined) head.headers.set('grpc-status', status)
  const message = trailers.get('grpc-message')
  if (message !== undefined) head.headers.set('grpc-message', message)
  applyStatus(head, status)
}

function applyStatus(head: ResponseHead, grpcStatus: string | undefined): void {
  if (grpcStatus !== undefined && grpcStatus !== '0') head.status = 503
}

function unframe(body: Buffer): Buffer {
  return body.length >= FRAME_HEADER_BYTES ? body.subarray(FRAME_HEADER_BYTES) : body
}
