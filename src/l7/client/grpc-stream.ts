// A call of our own that sends gRPC messages for as long as it lives, and may be answered message by message (access logs, ext_proc, load
// reports): one stream on one host of a cluster. Made by UpstreamAsyncClient; its owner hears once that it has ended, and opens another when
// it likes.
// Invariant: what waits to be sent is bounded: before the stream is open one message (with answers: MAX_WAITING_MESSAGES), and what the
// codec takes afterwards.
//
//   CONNECTING ──stream──▶ OPEN ──answer's end, reset, close()──▶ ENDED

import type { RequestHead, ResponseHead } from '../codec/codec.js'
import type { HeaderList } from '../codec/header-list.js'
import { grpcStatusOf } from '../grpc/grpc.js'
import { grpcFrame } from '../grpc/grpc-frame.js'
import { GrpcMessageReader } from '../grpc/grpc-message-reader.js'
import { failureText, type UpstreamFailure } from '../stream/upstream-failure.js'
import type { UpstreamRequest, UpstreamRequestOwner } from './upstream-request.js'

export interface GrpcStream {
  /** False, and nothing is taken, while an earlier message waits to be sent, and once the stream has ended. */
  send(message: Buffer): boolean
  /** What was sent waits for the other side to read: a sender that has time waits too. */
  readonly full: boolean
  /** Ends it; its owner does not hear of it. */
  close(): void
}

/** What a stream that is answered tells its owner; never from inside a call of it. */
export interface GrpcExchangeEvents {
  /** The metadata before the first message. */
  onMetadata?(metadata: HeaderList): void
  onMessage(message: Buffer): void
  /** Once, not after close(). 14 (unavailable) where the transport failed. */
  onEnd(status: number, reason: string): void
}

/** One each way of a request is the most that ext_proc has. */
const MAX_WAITING_MESSAGES = 4
const UNAVAILABLE = 14

/** Both ways: every message is taken until the stream has ended. */
export class GrpcExchange implements GrpcStream, UpstreamRequestOwner {
  private readonly head: RequestHead
  private readonly events: GrpcExchangeEvents
  private readonly reader = new GrpcMessageReader()
  private readonly waiting: Buffer[] = []
  private upstream: UpstreamRequest | null = null
  full = false
  private ended = false

  constructor(head: RequestHead, events: GrpcExchangeEvents) {
    this.head = head
    this.events = events
  }

  start(upstream: UpstreamRequest): void {
    this.upstream = upstream
    upstream.start()
  }

  failLater(reason: string): this {
    setImmediate(() => this.end(UNAVAILABLE, reason))
    return this
  }

  send(message: Buffer): boolean {
    if (this.ended) return false
    const stream = this.upstream?.stream ?? null
    if (stream !== null && this.upstream!.headSent) this.full = !stream.sendData(grpcFrame(message), false)
    else if (this.waiting.length < MAX_WAITING_MESSAGES) this.waiting.push(grpcFrame(message))
    else return false
    return true
  }

  close(): void {
    if (this.ended) return
    this.ended = true
    this.waiting.length = 0
    this.upstream?.cancel()
  }

  onUpstreamReady(request: UpstreamRequest): void {
    request.headSent = true
    request.stream!.sendHead(this.head, false)
    for (const frame of this.waiting.splice(0)) request.stream!.sendData(frame, false)
  }

  onUpstreamInformational(): void {}

  onUpstreamHead(request: UpstreamRequest, head: ResponseHead, end: boolean): void {
    request.host.cluster.traffic.chargeResponse(head.status, true)
    const status = grpcStatusOf(head.headers)
    if (end || head.status !== 200)
      this.end(status === -1 ? UNAVAILABLE : status, head.headers.get('grpc-message') ?? `the answer is HTTP ${head.status}`)
    else this.events.onMetadata?.(head.headers)
  }

  onUpstreamData(_request: UpstreamRequest, chunk: Buffer, end: boolean): void {
    const messages = this.reader.push(chunk)
    if (messages === null) {
      this.end(UNAVAILABLE, 'a message that is compressed or too long')
      return
    }
    for (const message of messages) if (!this.ended) this.events.onMessage(message)
    if (end) this.end(UNAVAILABLE, 'the answer ended without trailers')
  }

  onUpstreamTrailers(_request: UpstreamRequest, trailers: HeaderList): void {
    const status = grpcStatusOf(trailers)
    this.end(status === -1 ? UNAVAILABLE : status, trailers.get('grpc-message') ?? 'the server ended the stream')
  }

  onUpstreamFailure(_request: UpstreamRequest, failure: UpstreamFailure): void {
    setImmediate(() => this.end(UNAVAILABLE, failureText(failure)))
  }

  onUpstreamDrain(): void {
    this.full = false
  }

  private end(status: number, reason: string): void {
    if (this.ended) return
    this.close()
    this.events.onEnd(status, reason)
  }
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

  get full(): boolean {
    return this.blocked || this.waiting !== null
  }

  send(message: Buffer): boolean {
    if (this.ended || this.full) return false
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
