// One exchange on a downstream HTTP/1.1 connection: the response's framing is decided here, from the request and the head, never
// from fields of a peer (RFC 9112 §6). Made by server-codec for each request; the request path calls it as a ServerStream.

import type { BodyEvents, HttpVersion, RequestHead, ResetCode, ResponseHead, ServerStream, Transport } from '../codec.js'
import type { HeaderList } from '../header-list.js'
import { chunkSizeLine, type HeaderCase, ownLine, ownLines, writeResponseHead, writeTrailers } from './message-writer.js'
import type { Http1Output } from './output.js'
import { parseContentLength } from './syntax.js'
import { websocketAccept } from './websocket-keys.js'

const EMPTY = Buffer.alloc(0)
const NO_EVENTS: BodyEvents = { onData() {}, onTrailers() {}, onReset() {}, onDrain() {} }

/** How the response's body is delimited. */
const BODY_NONE = 0
const BODY_LENGTH = 1
const BODY_CHUNKED = 2
const BODY_CLOSE = 3
const BODY_TUNNEL = 4

/** The connection as its stream sees it. Http1ServerCodec implements it. */
export interface ServerStreamHost {
  readonly transport: Transport
  readonly options: { readonly headerCase: HeaderCase; readonly enableTrailers: boolean }
  readonly output: Http1Output
  /** No request after this one. */
  readonly draining: boolean
  /** More of the request's body is declared than would be thrown away after an early answer. */
  readonly bodyTooLong: boolean
  /** The response is complete. */
  finished(stream: Http1ServerStream): void
  /** The 101 or the 2xx to CONNECT has been written. */
  tunnel(stream: Http1ServerStream): void
  tunnelEnded(stream: Http1ServerStream): void
  setPaused(stream: Http1ServerStream, paused: boolean): void
  abort(stream: Http1ServerStream): void
}

export class Http1ServerStream implements ServerStream {
  readonly version: HttpVersion
  /** As it was handed to the handler, which may have changed it since: for logs only. */
  readonly request: RequestHead | null
  events: BodyEvents = NO_EVENTS
  keepAlive: boolean
  requestDone = false
  /** Some of the request's body has come. */
  bodySeen = false
  headSent = false
  private readonly codec: ServerStreamHost
  private readonly isHead: boolean
  private readonly isConnect: boolean
  private readonly upgrade: string
  private readonly websocketKey: string | undefined
  /** The client waits for 100 Continue before it sends the body. */
  private awaitsContinue: boolean
  private framing = BODY_NONE
  private blocked = false
  private done = false
  /** Body bytes still due under a declared content-length. */
  private due = 0

  constructor(codec: ServerStreamHost, request: RequestHead | null, keepAlive: boolean) {
    this.codec = codec
    this.request = request
    this.keepAlive = keepAlive
    if (request === null) {
      this.version = 'HTTP/1.1'
      this.isHead = this.isConnect = this.awaitsContinue = false
      this.upgrade = ''
      this.websocketKey = undefined
      return
    }
    // Kept apart from the head: the request path rewrites that.
    this.version = request.version
    this.isHead = request.method === 'HEAD'
    this.isConnect = request.method === 'CONNECT'
    this.upgrade = request.upgrade
    this.websocketKey = request.upgrade === '' ? undefined : request.headers.get('sec-websocket-key')
    this.awaitsContinue = request.expectContinue
  }

  get bufferedBytes(): number {
    return this.codec.transport.writableLength + this.codec.output.pendingBytes
  }

  /** The response has begun, and a FIN in it reads as a cut: not so with a body that the connection's end delimits. */
  get showsCut(): boolean {
    return this.headSent && this.framing !== BODY_CLOSE
  }

  closeAfter(): void {
    this.keepAlive = false
  }

  sendInformational(head: ResponseHead): void {
    if (this.headSent || this.done || this.version === 'HTTP/1.0' || head.status < 100 || head.status > 199 || head.status === 101) return
    if (head.status === 100) this.awaitsContinue = false
    head.headers.remove('content-length')
    this.codec.output.writeText(writeResponseHead(head, head.status, '', this.codec.options.headerCase, this.version))
  }

  /** HOT. */
  sendHead(head: ResponseHead, end: boolean): void {
    if (this.headSent || this.done) return
    this.headSent = true
    const { codec } = this
    const { headerCase } = codec.options
    const own = ownLines(headerCase)
    const { status, headers } = head
    const asksForTunnel = this.isConnect || this.upgrade !== ''
    if (headers.has('transfer-encoding')) headers.remove('transfer-encoding')
    if (asksForTunnel && head.upgraded) {
      this.startTunnel(head)
      return
    }
    // A refused upgrade: what the client sent behind it may be another protocol's bytes, so the connection ends here. The same where
    // it is open whether a body will come at all: after `Expect: 100-continue` and neither a 100 nor a first byte (RFC 9110 §10.1.1).
    if (asksForTunnel || codec.draining) this.keepAlive = false
    else if (!this.requestDone && (codec.bodyTooLong || (this.awaitsContinue && !this.bodySeen))) this.keepAlive = false
    let framing = ''
    if (status < 200 || status === 204) headers.remove('content-length')
    else if (this.isHead || status === 304) {
      // What these say about a length describes a body that does not follow.
    } else {
      const at = headers.indexOf('content-length')
      if (at !== -1 && (this.due = this.declaredLength(headers, at)) !== -1) {
        this.framing = BODY_LENGTH
        if (end && this.due > 0) {
          this.fail('http1.response_content_length_mismatch')
          return
        }
      } else if (end) framing = own.empty
      else if (this.version === 'HTTP/1.1') {
        this.framing = BODY_CHUNKED
        framing = own.chunked
      } else {
        this.framing = BODY_CLOSE
        this.keepAlive = false
      }
    }
    let connection = ''
    if (status === 426 && headers.has('upgrade')) connection = this.keepAlive ? own.upgrade : own.upgradeAndClose
    else if (!this.keepAlive) connection = own.close
    else if (this.version === 'HTTP/1.0') connection = own.keepAlive
    const text = writeResponseHead(head, status, framing + connection, headerCase, this.version)
    if (end) {
      codec.output.writeText(text)
      this.finish()
    } else codec.output.queue(text)
  }

  /** The one length that goes out; -1 when the field is not a length and has been removed. */
  private declaredLength(headers: HeaderList, at: number): number {
    const length = parseContentLength(headers.values[at]!)
    if (length === -1) headers.remove('content-length')
    else if (headers.indexOf('content-length', at + 1) !== -1) headers.set(headers.raw[at]!, String(length))
    return length
  }

  private startTunnel(head: ResponseHead): void {
    const { codec } = this
    const { headers } = head
    const { headerCase } = codec.options
    this.framing = BODY_TUNNEL
    this.keepAlive = false
    headers.remove('content-length')
    let own = ''
    let status = head.status
    if (!this.isConnect) {
      // An HTTP/2 upstream accepts with 200 and without the fields that HTTP/1.1 wants (RFC 8441 §5).
      own = ownLines(headerCase).upgrade
      if (!headers.has('upgrade')) own += ownLine('upgrade', this.upgrade, headerCase)
      if (head.version === 'HTTP/2' && this.websocketKey !== undefined && this.upgrade === 'websocket') {
        headers.remove('sec-websocket-accept')
        own += ownLine('sec-websocket-accept', websocketAccept(this.websocketKey), headerCase)
      }
      status = 101
    }
    codec.output.writeText(writeResponseHead(head, status, own, headerCase, this.version))
    codec.tunnel(this)
  }

  /** HOT. */
  sendData(chunk: Buffer, end: boolean): boolean {
    if (this.done) return true
    const { output } = this.codec
    let ok = true
    switch (this.framing) {
      case BODY_LENGTH:
        this.due -= chunk.length
        // More or fewer bytes than declared must never become another message's bytes.
        if (this.due < 0 || (end && this.due > 0)) {
          this.fail('http1.response_content_length_mismatch')
          return true
        }
        ok = output.writeChunk('', chunk, '')
        break
      case BODY_CHUNKED:
        if (chunk.length > 0) ok = output.writeChunk(chunkSizeLine(chunk.length), chunk, end ? '\r\n0\r\n\r\n' : '\r\n')
        else if (end) ok = output.writeText('0\r\n\r\n')
        break
      case BODY_CLOSE:
        ok = output.writeChunk('', chunk, '')
        break
      case BODY_TUNNEL:
        if (chunk.length > 0) ok = output.writeChunk('', chunk, '')
        if (end) {
          this.done = true
          this.codec.tunnelEnded(this)
          return true
        }
        break
    }
    if (end) {
      this.finish()
      return true
    }
    this.blocked = !ok
    return ok
  }

  sendTrailers(trailers: HeaderList): void {
    if (this.done) return
    const { codec } = this
    if (this.framing === BODY_CHUNKED && codec.options.enableTrailers) {
      codec.output.writeText(writeTrailers(trailers, codec.options.headerCase))
      this.finish()
    } else this.sendData(EMPTY, true)
  }

  pause(): void {
    // With nothing more to come there is nothing to hold back, and a client that leaves must be noticed.
    if (!this.requestDone || this.isConnect || this.upgrade !== '') this.codec.setPaused(this, true)
  }

  resume(): void {
    this.codec.setPaused(this, false)
  }

  reset(_code: ResetCode): void {
    this.forgetEvents()
    this.done = true
    this.codec.abort(this)
  }

  // ---- for the codec --------------------------------------------------------------------------------------------------------

  /** The transport has room again. */
  drained(): void {
    if (!this.blocked) return
    this.blocked = false
    this.events.onDrain()
  }

  /** Nothing more can be sent. */
  close(): void {
    this.done = true
    this.blocked = false
  }

  forgetEvents(): void {
    this.events = NO_EVENTS
  }

  private fail(details: string): void {
    const { events } = this
    this.reset('internal-error')
    events.onReset({ code: 'local', details })
  }

  private finish(): void {
    this.done = true
    this.blocked = false
    this.events = NO_EVENTS
    this.codec.finished(this)
  }
}
