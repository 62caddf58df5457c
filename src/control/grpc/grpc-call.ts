// One gRPC call on a stream of our own HTTP/2 engine: messages in and out, metadata, and one status at the end (gRPC over HTTP/2).
// Made by grpc-server.ts for each request; handed to a service's method.
//
//   head -> (messages ...) -> half closed by the client        we: head -> (messages ...) -> trailers with grpc-status
//
// Invariants: the status is sent once; a message longer than the limit, a compressed one or a torn one ends the call with its reason; what
// waits to be sent is bounded, since a service that writes faster than its client reads is ended, and what of messages is not whole yet is
// bounded for all calls together (message-allowance.ts).
import type { BodyEvents, RequestHead, ResponseHead, ServerStream } from '../../l7/codec/codec.js'
import { HeaderList } from '../../l7/codec/header-list.js'
import { GrpcStatus } from './grpc-status.js'
import type { MessageAllowance } from './message-allowance.js'

/** What the method of a service is told. */
export interface GrpcCallEvents {
  onMessage(message: Buffer): void
  /** The client has sent all it wanted. */
  onHalfClose(): void
  /** The call is over, by whoever; no further event. */
  onClosed(): void
}

const PREFIX_BYTES = 5
const MAX_PERCENT_CHARS = 2048
const MAX_WAITING_BYTES = 64 * 1024 * 1024
const EMPTY = Buffer.alloc(0)

export class GrpcCall implements BodyEvents {
  readonly path: string
  readonly peer: string
  /** Set by the method before it returns. */
  events: GrpcCallEvents = { onMessage() {}, onHalfClose() {}, onClosed() {} }
  private readonly stream: ServerStream
  private readonly requestHeaders: HeaderList
  private allowance: MessageAllowance
  private readonly headFields = HeaderList.of(['content-type', 'application/grpc'])
  private pending: Buffer[] = []
  private pendingBytes = 0
  private headSent = false
  private over = false
  /** Ends it where a message does not come whole in time. */
  private messageTimer: NodeJS.Timeout | undefined

  constructor(stream: ServerStream, head: RequestHead, peer: string, allowance: MessageAllowance) {
    this.stream = stream
    this.path = head.path
    this.requestHeaders = head.headers
    this.peer = peer
    this.allowance = allowance
  }

  /** Other messages from now on: who sends them is known better than by the head alone. */
  allow(allowance: MessageAllowance): void {
    if (this.over) return
    this.allowance.give(this.pendingBytes)
    this.allowance = allowance
    clearTimeout(this.messageTimer)
    if (!allowance.take(this.pendingBytes)) this.tooMuchHeld()
  }

  /** A message of one who is not known is waited for only for so long: what is held of it would be held for ever, and its head too. */
  expectMessage(): void {
    const { wholeWithinMs } = this.allowance
    clearTimeout(this.messageTimer)
    if (this.over || wholeWithinMs === 0) return
    this.messageTimer = setTimeout(
      () => this.end(GrpcStatus.DEADLINE_EXCEEDED, `no whole message within ${wholeWithinMs / 1_000} s`),
      wholeWithinMs,
    ).unref()
  }

  /** The last value of a metadata key, lower case; undefined when absent. */
  metadata(key: string): string | undefined {
    return this.requestHeaders.get(key)
  }

  /** Goes with the head, before the first message. */
  addMetadata(key: string, value: string): void {
    this.headFields.append(key, value)
  }

  /** Ignored once the call is over. */
  send(message: Uint8Array): void {
    if (this.over) return
    if (this.stream.bufferedBytes > MAX_WAITING_BYTES) {
      this.end(GrpcStatus.RESOURCE_EXHAUSTED, `more than ${MAX_WAITING_BYTES} bytes wait for this client to read`)
      return
    }
    this.sendHead()
    const framed = Buffer.allocUnsafe(PREFIX_BYTES + message.length)
    framed[0] = 0
    framed.writeUInt32BE(message.length, 1)
    framed.set(message, PREFIX_BYTES)
    this.stream.sendData(framed, false)
  }

  /** Ends the call; later calls do nothing. */
  end(status: GrpcStatus, message = ''): void {
    if (this.over) return
    this.over = true
    const fields = this.headSent ? new HeaderList() : this.headFields
    fields.append('grpc-status', String(status))
    if (message !== '') fields.append('grpc-message', percentEncoded(message))
    if (this.headSent) this.stream.sendTrailers(fields)
    // Trailers-only: the head is all there is.
    else this.stream.sendHead(responseHead(fields), true)
    this.finish()
  }

  private sendHead(): void {
    if (this.headSent) return
    this.headSent = true
    this.stream.sendHead(responseHead(this.headFields), false)
  }

  private finish(): void {
    clearTimeout(this.messageTimer)
    this.pending = []
    this.allowance.give(this.pendingBytes)
    this.pendingBytes = 0
    this.events.onClosed()
  }

  private tooMuchHeld(): void {
    this.end(GrpcStatus.RESOURCE_EXHAUSTED, 'too many bytes of messages that are not whole are held; try again')
  }

  // ---- BodyEvents ---------------------------------------------------------------------------------------------------------------

  onData(chunk: Buffer, end: boolean): void {
    if (this.over) return
    if (chunk.length > 0) {
      if (this.pendingBytes === 0) this.expectMessage()
      this.pending.push(Buffer.from(chunk))
      this.pendingBytes += chunk.length
      if (this.allowance.take(chunk.length)) this.readMessages()
      else this.tooMuchHeld()
    }
    if (end) this.halfClosed()
  }

  onTrailers(): void {
    this.halfClosed()
  }

  onReset(): void {
    if (this.over) return
    this.over = true
    this.finish()
  }

  onDrain(): void {}

  /** The head ended the stream: there is no message. */
  halfClosed(): void {
    if (this.over) return
    if (this.pendingBytes > 0) this.end(GrpcStatus.INTERNAL, 'the request ends inside a message')
    else this.events.onHalfClose()
  }

  private readMessages(): void {
    while (!this.over && this.pendingBytes >= PREFIX_BYTES) {
      const prefix = this.peek(PREFIX_BYTES)
      const length = prefix.readUInt32BE(1)
      if (prefix[0] !== 0) this.end(GrpcStatus.UNIMPLEMENTED, 'compressed messages are not read here')
      else if (length > this.allowance.maxMessageBytes)
        this.end(GrpcStatus.RESOURCE_EXHAUSTED, `a message of ${length} bytes, the limit is ${this.allowance.maxMessageBytes}`)
      if (this.over || this.pendingBytes < PREFIX_BYTES + length) return
      const whole = this.take(PREFIX_BYTES + length)
      clearTimeout(this.messageTimer)
      if (this.pendingBytes > 0) this.expectMessage()
      this.events.onMessage(whole.subarray(PREFIX_BYTES))
    }
  }

  private peek(count: number): Buffer {
    if (this.pending[0]!.length < count) this.pending = [Buffer.concat(this.pending)]
    return this.pending[0]!
  }

  private take(count: number): Buffer {
    if (this.pending[0]!.length < count) this.pending = [Buffer.concat(this.pending)]
    const [first] = this.pending as [Buffer]
    this.pendingBytes -= count
    this.allowance.give(count)
    if (first.length === count) this.pending.shift()
    else this.pending[0] = first.subarray(count)
    return count === 0 ? EMPTY : first.subarray(0, count)
  }
}

function responseHead(headers: HeaderList): ResponseHead {
  return { status: 200, reason: '', version: 'HTTP/2', headers, contentLength: -1, upgraded: false }
}

/** `grpc-message` is percent-encoded UTF-8. */
function percentEncoded(message: string): string {
  return message.slice(0, MAX_PERCENT_CHARS).replace(/[^\x20-\x24\x26-\x7e]/gu, encodeURIComponent)
}
