// A call of our own that sends gRPC messages for as long as it lives (access logs, load reports): one stream on one host of a cluster,
// opened with the first message. Made by UpstreamAsyncClient; its owner hears once that it has ended, and opens another when it likes.
// Invariant: what waits to be sent is bounded: one message before the stream is open, and what the codec takes afterwards.
//
//   CONNECTING ──stream──▶ OPEN ──answer's end, reset, close()──▶ ENDED

import type { RequestHead, ResponseHead } from '../codec/codec.js'
import { grpcFrame } from '../grpc/grpc-frame.js'
import { failureText, type UpstreamFailure } from '../stream/upstream-failure.js'
import type { UpstreamRequest, UpstreamRequestOwner } from './upstream-request.js'

export interface GrpcStream {
  /** False, and nothing is taken, while an earlier message waits to be sent, and once the stream has ended. */
  send(message: Buffer): boolean
  /** Ends it; its owner does not hear of it. */
  close(): void
}

export class OutgoingGrpcStream implements GrpcStream, UpstreamRequestOwner {
  private readonly head: RequestHead
  private readonly onEnd: (reason: string) => void
  private upstream: UpstreamRequest | null = null
  private waiting: Buffer | null = null
  private blocked = false
  private ended = false

  constructor(head: RequestHead, onEnd: (reason: string) => void) {
    this.head = head
    this.onEnd = onEnd
  }

  start(upstream: UpstreamRequest): void {
    this.upstream = upstream
    upstream.start()
  }

  /** It could not even begin. */
  failLater(reason: string): this {
    setImmediate(() => this.end(reason))
    return this
  }

  send(message: Buffer): boolean {
    if (this.ended || this.blocked || this.waiting !== null) return false
    const stream = this.upstream?.stream ?? null
    if (stream === null || !this.upstream!.headSent) this.waiting = grpcFrame(message)
    else this.blocked = !stream.sendData(grpcFrame(message), false)
    return true
  }

  close(): void {
    if (this.ended) return
    this.ended = true
    this.waiting = null
    this.upstream?.cancel()
  }

  onUpstreamReady(request: UpstreamRequest): void {
    request.headSent = true
    request.stream!.sendHead(this.head, false)
    const { waiting } = this
    this.waiting = null
    if (waiting !== null) this.blocked = !request.stream!.sendData(waiting, false)
  }

  onUpstreamInformational(): void {}

  onUpstreamHead(request: UpstreamRequest, head: ResponseHead, end: boolean): void {
    request.host.cluster.traffic.chargeResponse(head.status, true)
    if (end || head.status !== 200) this.end(`the answer is HTTP ${head.status}, grpc-status ${head.headers.get('grpc-status') ?? 'none'}`)
  }

  /** Answers to the stream are not asked for; what comes is dropped. */
  onUpstreamData(_request: UpstreamRequest, _chunk: Buffer, end: boolean): void {
    if (end) this.end('the answer ended without trailers')
  }

  onUpstreamTrailers(): void {
    this.end('the server ended the stream')
  }

  onUpstreamFailure(_request: UpstreamRequest, failure: UpstreamFailure): void {
    setImmediate(() => this.end(failureText(failure)))
  }

  onUpstreamDrain(): void {
    this.blocked = false
  }

  private end(reason: string): void {
    if (this.ended) return
    this.ended = true
    this.waiting = null
    this.upstream?.cancel()
    this.onEnd(reason)
  }
}
