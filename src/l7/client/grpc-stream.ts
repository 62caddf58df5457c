// A call of our own that sends gRPC messages for as long as it lives, and may be answered message by message (access logs, ext_proc, load
// reports): one stream on one host of a cluster. Made by UpstreamAsyncClient; its owner hears once that it has ended, and opens another when
// it likes.
// Invariant: what waits to be sent is bounded: before the stream is open one message (with answers: MAX_WAITING_ANSWERED), and what the
// codec takes afterwards.
//
//   CONNECTING ──stream──▶ OPEN ──answer's end, reset, close()──▶ ENDED

import type { RequestHead, ResponseHead } from '../codec/codec.js'
import type { HeaderList } from '../codec/header-list.js'
import { grpcStatusOf } from '../grpc/grpc.js'
import { grpcFrame } from '../grpc/grpc-frame.js'
import { GrpcMessageReader } from '../grpc/grpc-message-reader.js'
import { failureText, type UpstreamFailure } from '../stream/upstream-failure.js'
import type { GrpcTargetCall } from './grpc-targets.js'
import type { UpstreamRequest, UpstreamRequestOwner } from './upstream-request.js'

export interface GrpcStream {
  /** False: nothing is taken, as the stream has ended or is full; one that is answered takes all that its owner has once it is open. */
  send(message: Buffer): boolean
  /** What was sent waits for the other side to read: a sender that has time waits too. */
  readonly full: boolean
  /** Ends it; its owner does not hear of it. */
  close(): void
}

/** What a stream tells its owner; never from inside a call of it. */
export interface GrpcStreamEvents {
  /** The metadata before the first message. */
  onMetadata?(metadata: HeaderList): void
  /** Absent: answers are not asked for, and what comes is dropped. */
  onMessage?(message: Buffer): void
  /** Once, not after close(). 14 (unavailable) where the transport failed. */
  onEnd(status: number, reason: string): void
}

/** As `GrpcStreamEvents`, of a stream that is answered. */
export type GrpcExchangeEvents = GrpcStreamEvents & Required<Pick<GrpcStreamEvents, 'onMessage'>>

/** Before the stream is open. One each way of a request is the most that ext_proc has. */
const MAX_WAITING_ANSWERED = 4
const UNAVAILABLE = 14

export class OutgoingGrpcStream implements GrpcStream, UpstreamRequestOwner {
  private readonly head: RequestHead
  private readonly events: GrpcStreamEvents
  /** Null: nobody wants to be answered, and what is sent is records that may be dropped. */
  private readonly reader: GrpcMessageReader | null
  private readonly maxWaiting: number
  private readonly waiting: Buffer[] = []
  private upstream: UpstreamRequest | null = null
  private blocked = false
  private ended = false
  private answered = false
  /** Of google_grpc, whose endpoints are tried until one is reached. */
  private readonly target: GrpcTargetCall | null

  constructor(head: RequestHead, events: GrpcStreamEvents, target: GrpcTargetCall | null = null) {
    this.target = target
    this.head = head
    this.events = events
    this.reader = events.onMessage === undefined ? null : new GrpcMessageReader()
    this.maxWaiting = this.reader === null ? 1 : MAX_WAITING_ANSWERED
  }

  start(upstream: UpstreamRequest): void {
    this.upstream = upstream
    upstream.start()
  }

  startOnTarget(target: GrpcTargetCall): void {
    const upstream = target.next(this)
    if (upstream === null) this.failLater(target.problem)
    else this.start(upstream)
  }

  /** It could not even begin. */
  failLater(reason: string): this {
    setImmediate(() => this.end(UNAVAILABLE, reason))
    return this
  }

  get full(): boolean {
    return this.blocked || this.waiting.length === this.maxWaiting
  }

  send(message: Buffer): boolean {
    const { upstream } = this
    if (this.ended || (this.reader === null && this.full)) return false
    if (upstream?.headSent === true) this.write(upstream, grpcFrame(message))
    else if (this.waiting.length < this.maxWaiting) this.waiting.push(grpcFrame(message))
    else return false
    return true
  }

  private write({ stream }: UpstreamRequest, frame: Buffer): void {
    this.blocked = !stream!.sendData(frame, false)
  }

  close(): void {
    if (this.ended) return
    this.ended = true
    this.waiting.length = 0
    this.upstream?.cancel()
    this.target?.release()
  }

  onUpstreamReady(request: UpstreamRequest): void {
    this.target?.reached(request.host)
    request.headSent = true
    request.stream!.sendHead(this.head, false)
    for (const frame of this.waiting.splice(0)) this.write(request, frame)
  }

  onUpstreamInformational(): void {}

  onUpstreamHead(request: UpstreamRequest, { status, headers }: ResponseHead, end: boolean): void {
    this.answered = true
    request.host.cluster.traffic.chargeResponse(status, true)
    if (end || status !== 200) this.endWith(headers, `the answer is HTTP ${status}, grpc-status ${headers.get('grpc-status') ?? 'none'}`)
    else this.events.onMetadata?.(headers)
  }

  onUpstreamData(_request: UpstreamRequest, chunk: Buffer, end: boolean): void {
    if (this.reader !== null) {
      const messages = this.reader.push(chunk)
      if (messages === null) {
        this.end(UNAVAILABLE, 'a message that is compressed or too long')
        return
      }
      for (const message of messages) if (!this.ended) this.events.onMessage!(message)
    }
    if (end) this.end(UNAVAILABLE, 'the answer ended without trailers')
  }

  onUpstreamTrailers(_request: UpstreamRequest, trailers: HeaderList): void {
    this.endWith(trailers, 'the server ended the stream')
  }

  onUpstreamFailure(request: UpstreamRequest, failure: UpstreamFailure): void {
    const { target } = this
    const text = failureText(failure)
    if (request.headSent || target === null) {
      setImmediate(() => this.end(UNAVAILABLE, text))
      return
    }
    target.failed(text)
    setImmediate(() => {
      const upstream = this.ended ? null : target.next(this)
      if (upstream === null) this.end(UNAVAILABLE, target.problem)
      else this.start(upstream)
    })
  }

  onUpstreamDrain(): void {
    this.blocked = false
  }

  private endWith(headers: HeaderList, reason: string): void {
    const status = grpcStatusOf(headers)
    this.end(status === -1 ? UNAVAILABLE : status, headers.get('grpc-message') ?? reason)
  }

  private end(status: number, reason: string): void {
    if (this.ended) return
    this.close()
    this.target?.closed(this.answered ? status : null)
    this.events.onEnd(status, reason)
  }
}
