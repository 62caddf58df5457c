// envoy.filters.http.grpc_web: browsers' gRPC-Web (binary and base64 text) in, gRPC over HTTP/2 out. The trailers of the answer
// become the last frame of its body (flag 0x80), since browsers cannot read trailers.
// Invariant: base64 quanta may be split over chunks in both directions; what is left of one waits here (at most 3 bytes each way).

import type { RequestHead, ResponseHead } from '../codec/codec.js'
import type { HeaderList } from '../codec/header-list.js'
import { encodeGrpcMessage, httpToGrpcStatus, isGrpcContentType } from '../grpc/grpc.js'
import type { FilterCall, FilterFactory, FilterStatus, StreamFilter } from './http-filter.js'
import { responseControl } from './response-control.js'

const EMPTY = Buffer.alloc(0)
const BINARY = 'application/grpc-web'
const TEXT = 'application/grpc-web-text'
/** Of an answer that is no gRPC: so much is held, and so much of it is told (Envoy's 16 KB). */
const MAX_TRANSLATED_BYTES = 1024 * 1024
const MAX_MESSAGE_BYTES = 16 * 1024

export function grpcWebFilter(name: string, disabled: boolean): FilterFactory {
  return {
    name,
    disabled,
    create(call: FilterCall): StreamFilter | null {
      const type = call.request.headers.get('content-type')
      return type?.startsWith(BINARY) === true && isGrpcWeb(type) ? new GrpcWebFilter() : null
    },
  }
}

function isGrpcWeb(type: string): boolean {
  return type === BINARY || type === TEXT || type === `${BINARY}+proto` || type === `${TEXT}+proto`
}

class GrpcWebFilter implements StreamFilter {
  private textRequest = false
  private textResponse = false
  private grpcResponse = false
  private pendingText = ''
  private pendingBytes = EMPTY
  private requestBroken = false

  requestHead(_call: FilterCall, head: RequestHead): FilterStatus {
    const headers = head.headers
    const type = headers.get('content-type')!
    this.textRequest = type.startsWith(TEXT)
    const accept = headers.get('accept')
    this.textResponse = accept === TEXT || accept === `${TEXT}+proto`
    headers.remove('content-length')
    head.contentLength = -1
    headers.set('content-type', type.endsWith('+proto') ? 'application/grpc+proto' : 'application/grpc')
    headers.set('te', 'trailers')
    headers.set('grpc-accept-encoding', 'identity')
    return 'continue'
  }

  requestData(call: FilterCall, chunk: Buffer, end: boolean): Buffer {
    if (!this.textRequest || this.requestBroken) return chunk
    const text = this.pendingText + chunk.toString('latin1')
    const whole = text.length - (text.length % 4)
    this.pendingText = text.slice(whole)
    const decoded = decodeBase64(text.slice(0, whole))
    if (decoded === null || (end && this.pendingText !== '')) {
      this.requestBroken = true
      call.sendReply(400, 'Bad gRPC-web request, invalid base64 data.', 'grpc_base_64_decode_failed', 0)
      return EMPTY
    }
    return decoded
  }

  responseHead(call: FilterCall, head: ResponseHead, end: boolean): FilterStatus {
    const { headers } = head
    const type = headers.get('content-type')
    this.grpcResponse = isGrpcContentType(type)
    if (!this.grpcResponse) return this.translate(call, head, end)
    headers.set('content-type', `${this.textResponse ? TEXT : BINARY}+proto`)
    if (!end) {
      headers.remove('content-length')
      head.contentLength = -1
    }
    return 'continue'
  }

  /** An answer that is no gRPC (an error page, a refusal of our own): its status as a gRPC status, its body as the message. */
  private translate(call: FilterCall, head: ResponseHead, end: boolean): FilterStatus {
    const { headers } = head
    headers.set('content-type', `${BINARY}+proto`)
    if (end) return 'continue'
    responseControl(call).bufferResponse(MAX_TRANSLATED_BYTES, body => {
      headers.set('grpc-message', encodeGrpcMessage(body.toString('latin1', 0, MAX_MESSAGE_BYTES)))
      headers.set('grpc-status', String(httpToGrpcStatus(head.status)))
      headers.set('content-length', '0')
      head.contentLength = 0
      return { body: EMPTY, trailers: null }
    })
    return 'stop'
  }

  responseData(_call: FilterCall, chunk: Buffer, end: boolean): Buffer | null {
    if (!this.grpcResponse || !this.textResponse) return chunk
    return this.encodeText(chunk, end)
  }

  responseTrailers(call: FilterCall, trailers: HeaderList): HeaderList | null {
    if (!this.grpcResponse) return trailers
    let text = ''
    for (let i = 0; i < trailers.length; i++) text += `${trailers.lower[i]}:${trailers.values[i]}\r\n`
    const body = Buffer.from(text, 'latin1')
    const frame = Buffer.allocUnsafe(5 + body.length)
    frame[0] = 0x80
    frame.writeUInt32BE(body.length, 1)
    body.copy(frame, 5)
    responseControl(call).emitResponseData(this, this.textResponse ? this.encodeText(frame, true) : frame, true)
    return null
  }

  private encodeText(chunk: Buffer, end: boolean): Buffer {
    const bytes = this.pendingBytes.length === 0 ? chunk : Buffer.concat([this.pendingBytes, chunk])
    const whole = end ? bytes.length : bytes.length - (bytes.length % 3)
    this.pendingBytes = whole === bytes.length ? EMPTY : Buffer.from(bytes.subarray(whole))
    return Buffer.from(bytes.toString('base64', 0, whole), 'latin1')
  }
}

/** Quanta of four characters, each of which may be padded (clients join separately encoded frames). Null: not base64. */
function decodeBase64(text: string): Buffer | null {
  if (text === '') return EMPTY
  if (!/^(?:[A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)+$/.test(text)) return null
  if (!text.slice(0, -2).includes('=')) return Buffer.from(text, 'base64')
  const parts: Buffer[] = []
  let start = 0
  for (let i = 0; i < text.length; i += 4) {
    if (text[i + 3] !== '=') continue
    parts.push(Buffer.from(text.slice(start, i + 4), 'base64'))
    start = i + 4
  }
  parts.push(Buffer.from(text.slice(start), 'base64'))
  return Buffer.concat(parts)
}
