// HTTP/1.1 on a downstream connection: bytes to requests, responses to bytes (RFC 9112). One request is in progress at a time;
// pipelined bytes wait in `held` while the transport is paused, so the queue is bounded by one read. Thin: no routing, no policy.
//
//   HEAD ──head complete──▶ BODY ──end──▶ WAIT ──response end──▶ HEAD
//                             │                     │
//                             └── response end ──▶ DISCARD (rest of the body, bounded) ──▶ HEAD
//   WAIT ──101 / CONNECT 2xx──▶ TUNNEL          any ──error, close──▶ CLOSED

import type {
  BodyEvents,
  Codec,
  CodecError,
  HeadLimits,
  RequestHead,
  ResetCode,
  ResponseHead,
  ServerHandler,
  ServerStream,
  StreamReset,
  Transport,
} from '../codec.js'
import { queueFlush } from '../flush-queue.js'
import type { HeaderList } from '../header-list.js'
import { BodyDecoder, type BodySink } from './body-decoder.js'
import { codecError, parseRequestHead } from './head-parser.js'
import { chunkSizeLine, type HeaderCase, MAX_JOINED_BODY_BYTES, writeResponseHead, writeTrailers } from './message-writer.js'
import { ILLEGAL_IN_HEAD } from './syntax.js'

export interface Http1ServerOptions {
  readonly limits: HeadLimits
  readonly allowAbsoluteUrl: boolean
  readonly headerCase: HeaderCase
  /** Trailers are passed on (Http1ProtocolOptions.enable_trailers); without it they are read and dropped. */
  readonly enableTrailers: boolean
}

/** Empty lines allowed before a request line (RFC 9112 §2.2 asks for at least one). */
const MAX_LEADING_CRLF = 2
/** How much of an unread request body is thrown away after an early response before the connection is closed instead. */
const MAX_DISCARDED_BODY_BYTES = 64 * 1024
/** The head is looked for in this many bytes first: most heads fit, and a body behind it is not copied. */
const HEAD_WINDOW_BYTES = 4 * 1024

const EMPTY = Buffer.alloc(0)
const HEAD = 0
const BODY = 1
const WAIT = 2
const DISCARD = 3
const TUNNEL = 4
const CLOSED = 5

const NO_EVENTS: BodyEvents = { onData() {}, onTrailers() {}, onReset() {}, onDrain() {} }

export class Http1ServerCodec implements Codec, BodySink {
  readonly transport: Transport
  readonly options: Http1ServerOptions
  private readonly handler: ServerHandler
  private readonly body: BodyDecoder
  private phase = HEAD
  private held: Buffer | null = null
  private heldByUs = false
  private stream: Http1ServerStream | null = null
  private requests = 0
  private leadingCrlf = 0
  private discarded = 0
  private feeding = false
  private headPending = false
  draining = false
  private pendingOutput = ''
  private flushQueued = false

  constructor(transport: Transport, handler: ServerHandler, options: Http1ServerOptions) {
    this.transport = transport
    this.handler = handler
    this.options = options
    this.body = new BodyDecoder(this, options.limits)
  }

  get activeStreams(): number {
    return this.stream === null ? 0 : 1
  }

  feed(chunk: Buffer): void {
    if (this.phase === CLOSED) return
    if (this.held !== null) {
      chunk = Buffer.concat([this.held, chunk])
      this.held = null
    }
    if (this.feeding) {
      this.held = Buffer.from(chunk)
      return
    }
    this.feeding = true
    let offset = 0
    while (offset < chunk.length) {
      if (this.phase === HEAD) {
        const next = this.feedHead(chunk, offset)
        if (next === -1) break
        offset = next
      } else if (this.phase === BODY || this.phase === DISCARD) {
        const before = offset
        offset = this.body.feed(chunk, offset)
        if (offset === -1) {
          if (this.body.error !== null) this.failBody(this.body.error)
          break
        }
        if (this.phase === DISCARD) {
          this.discarded += offset - before
          if (this.body.done) this.nextRequest()
          else if (this.discarded > MAX_DISCARDED_BODY_BYTES) this.close()
        }
      } else if (this.phase === WAIT) {
        this.hold(chunk, offset)
        break
      } else if (this.phase === TUNNEL) {
        this.stream?.events.onData(offset === 0 ? chunk : chunk.subarray(offset), false)
        break
      } else break
    }
    this.feeding = false
  }

  /** Parse one head at `offset`; returns the new offset, or -1 when it is incomplete (bytes are held) or refused. */
  private feedHead(chunk: Buffer, offset: number): number {
    while (chunk[offset] === 13 && chunk[offset + 1] === 10) {
      if (++this.leadingCrlf > MAX_LEADING_CRLF)
        return this.refuse(codecError(400, 'http1.codec_error', 'empty lines before the request line'))
      offset += 2
    }
    const limits = this.options.limits
    let text = chunk.latin1Slice(offset, Math.min(chunk.length, offset + HEAD_WINDOW_BYTES))
    let end = text.indexOf('\r\n\r\n')
    if (end === -1 && chunk.length - offset > HEAD_WINDOW_BYTES) {
      text = chunk.latin1Slice(offset, Math.min(chunk.length, offset + limits.maxHeadBytes + 4))
      end = text.indexOf('\r\n\r\n', HEAD_WINDOW_BYTES - 3)
    }
    if (end === -1 ? text.length > limits.maxHeadBytes : end + 4 > limits.maxHeadBytes) {
      return this.refuse(
        codecError(
          431,
          'http1.headers_too_large',
          `request headers are larger than ${limits.maxHeadBytes >> 10} KiB (max_request_headers_kb)`,
          'downstream_rq_too_large',
        ),
      )
    }
    if (end === -1) {
      if (ILLEGAL_IN_HEAD.test(text))
        return this.refuse(codecError(400, 'http1.codec_error', 'control character, bare CR or bare LF in the request head'))
      this.hold(chunk, offset)
      if (!this.headPending && text.length > 0) {
        this.headPending = true
        this.handler.onHeadPending(true)
      }
      return -1
    }
    if (this.headPending) {
      this.headPending = false
      this.handler.onHeadPending(false)
    }
    this.leadingCrlf = 0
    const parsed = parseRequestHead(text.slice(0, end + 2), limits, this.options.allowAbsoluteUrl)
    if ('details' in parsed) return this.refuse(parsed)
    const { head, framing } = parsed
    if (head.method === 'CONNECT' && framing !== 'none') return this.refuse(codecError(400, 'http1.codec_error', 'CONNECT with a body'))
    // An upgrade with a body cannot be told from a pipelined request by every hop: the body wins (nghttp2#2809).
    if (head.upgrade !== '' && framing !== 'none') head.upgrade = ''
    const stream = new Http1ServerStream(this, ++this.requests, head, parsed.keepAlive)
    this.stream = stream
    const bodiless = framing === 'none'
    this.phase = bodiless ? WAIT : BODY
    stream.requestDone = bodiless
    if (!bodiless) this.body.start(framing, head.contentLength)
    this.handler.onRequest(stream, head, bodiless)
    return offset + end + 4
  }

  bodyData(chunk: Buffer, end: boolean): void {
    if (end) this.endOfRequest()
    if (this.stream !== null && this.phase !== DISCARD) this.stream.events.onData(chunk, end)
  }

  bodyTrailers(trailers: HeaderList): void {
    this.endOfRequest()
    if (this.stream === null || this.phase === DISCARD) return
    if (this.options.enableTrailers) this.stream.events.onTrailers(trailers)
    else this.stream.events.onData(EMPTY, true)
  }

  private endOfRequest(): void {
    if (this.phase !== BODY) return
    this.phase = WAIT
    if (this.stream !== null) this.stream.requestDone = true
  }

  private hold(chunk: Buffer, offset: number): void {
    // The read buffer is only ours during feed(): keep a copy, and stop reading while a request is being answered.
    this.held = Buffer.from(chunk.subarray(offset))
    if (this.phase === WAIT && !this.heldByUs) {
      this.heldByUs = true
      this.transport.pauseRead()
    }
  }

  /** A request that cannot be parsed: the handler answers on a stream that closes the connection. */
  private refuse(error: CodecError): -1 {
    const stream = new Http1ServerStream(this, ++this.requests, null, false)
    stream.requestDone = true
    this.stream = stream
    this.phase = WAIT
    this.held = null
    if (this.headPending) {
      this.headPending = false
      this.handler.onHeadPending(false)
    }
    this.handler.onBadRequest(stream, error, null)
    return -1
  }

  private failBody(error: CodecError): void {
    const stream = this.stream
    this.handler.onConnectionError(error)
    if (stream === null || this.phase === DISCARD) {
      this.close()
      return
    }
    const headSent = stream.headSent
    stream.keepAlive = false
    stream.requestDone = true
    this.phase = WAIT
    stream.events.onReset({ code: 'protocol-error', details: error.details })
    if (!headSent && !stream.headSent && this.stream === stream) this.handler.onBadRequest(stream, error, stream.request)
    else this.close()
  }

  onTransportEnd(): void {
    if (this.phase === TUNNEL) {
      this.stream?.remoteEnd()
      return
    }
    // As Envoy: a client that half-closes has gone; nothing is kept running for it.
    this.onTransportClose({ code: 'connection-closed', details: 'downstream_remote_disconnect' })
    this.transport.destroy()
  }

  onTransportClose(reason: StreamReset): void {
    if (this.phase === CLOSED) return
    this.phase = CLOSED
    this.held = null
    const stream = this.stream
    this.stream = null
    if (stream !== null) stream.events.onReset(reason)
  }

  onTransportDrain(): void {
    const stream = this.stream
    if (stream?.blocked) {
      stream.blocked = false
      stream.events.onDrain()
    }
  }

  drain(): void {
    this.draining = true
    if (this.stream === null && this.held === null && this.phase === HEAD) this.close()
  }

  flush(): void {
    this.flushQueued = false
    if (this.pendingOutput !== '') {
      const output = this.pendingOutput
      this.pendingOutput = ''
      if (this.phase !== CLOSED) this.transport.write(output)
    }
  }

  /** Text that may be joined by body bytes of the same turn. */
  queue(text: string): void {
    this.pendingOutput += text
    if (!this.flushQueued) {
      this.flushQueued = true
      queueFlush(this)
    }
  }

  /** Write head text, a body chunk and what follows it with as few writes as possible. */
  writeOut(prefix: string, chunk: Buffer, suffix: string): boolean {
    if (this.phase === CLOSED) return true
    const text = this.pendingOutput + prefix
    this.pendingOutput = ''
    if (chunk.length <= MAX_JOINED_BODY_BYTES) {
      const all = text + chunk.latin1Slice() + suffix
      return all === '' ? true : this.transport.write(all)
    }
    if (text !== '') this.transport.write(text)
    const ok = this.transport.write(chunk)
    return suffix === '' ? ok : this.transport.write(suffix)
  }

  tunnel(stream: Http1ServerStream): void {
    if (stream !== this.stream) return
    this.phase = TUNNEL
    const held = this.held
    this.held = null
    this.release()
    if (held !== null) stream.events.onData(held, false)
  }

  /** The response is complete. */
  finished(stream: Http1ServerStream): void {
    if (stream !== this.stream) return
    this.flush()
    if (!stream.keepAlive || this.draining) {
      this.close()
      return
    }
    this.stream = null
    if (this.phase === BODY) {
      this.phase = DISCARD
      this.discarded = 0
      this.release()
      return
    }
    this.nextRequest()
  }

  private nextRequest(): void {
    this.stream = null
    this.phase = HEAD
    this.release()
    if (this.held !== null && !this.feeding) {
      const held = this.held
      this.held = null
      this.feed(held)
    }
    if (this.stream === null && this.phase === HEAD) this.handler.onIdle()
  }

  private release(): void {
    if (this.heldByUs) {
      this.heldByUs = false
      this.transport.resumeRead()
    }
  }

  /** Orderly end: what was written goes out, then FIN. */
  close(): void {
    if (this.phase === CLOSED) return
    this.flush()
    this.phase = CLOSED
    this.held = null
    this.stream = null
    this.transport.end()
  }

  abort(stream: Http1ServerStream): void {
    if (stream !== this.stream || this.phase === CLOSED) return
    this.phase = CLOSED
    this.held = null
    this.stream = null
    this.pendingOutput = ''
    this.transport.destroy()
  }
}

/** One exchange; see ServerStream. */
export class Http1ServerStream implements ServerStream {
  readonly id: number
  readonly version
  readonly request: RequestHead | null
  events: BodyEvents = NO_EVENTS
  keepAlive: boolean
  requestDone = false
  headSent = false
  blocked = false
  private readonly codec: Http1ServerCodec
  private chunked = false
  private bodiless = false
  private upgraded = false
  private done = false
  /** Body bytes still due under a declared content-length; -1 = not declared. */
  private due = -1

  constructor(codec: Http1ServerCodec, id: number, request: RequestHead | null, keepAlive: boolean) {
    this.codec = codec
    this.id = id
    this.request = request
    this.version = request?.version ?? 'HTTP/1.1'
    this.keepAlive = keepAlive
  }

  get bufferedBytes(): number {
    return this.codec.transport.writableLength
  }

  closeAfter(): void {
    this.keepAlive = false
  }

  sendInformational(head: ResponseHead): void {
    if (this.headSent || this.version === 'HTTP/1.0') return
    this.codec.writeOut(writeResponseHead(head, '', '', this.codec.options.headerCase), EMPTY, '')
  }

  sendHead(head: ResponseHead, end: boolean): void {
    if (this.headSent) return
    this.headSent = true
    const codec = this.codec
    const headerCase = codec.options.headerCase
    if (head.upgraded && (this.request?.upgrade !== '' || this.request?.method === 'CONNECT')) {
      this.upgraded = true
      this.keepAlive = false
      codec.writeOut(writeResponseHead(head, '', head.status === 101 ? 'connection: upgrade\r\n' : '', headerCase), EMPTY, '')
      codec.tunnel(this)
      return
    }
    // A refused upgrade: what the client sent behind it may be another protocol's bytes, so the connection ends here.
    if (this.request !== null && (this.request.upgrade !== '' || this.request.method === 'CONNECT')) this.keepAlive = false
    if (codec.draining) this.keepAlive = false
    const status = head.status
    this.bodiless = this.request?.method === 'HEAD' || status === 204 || status === 304 || status < 200
    let framing: '' | 'content-length: 0\r\n' | 'transfer-encoding: chunked\r\n' = ''
    if (!this.bodiless) {
      if (head.headers.has('content-length')) this.due = head.contentLength
      else if (end) framing = 'content-length: 0\r\n'
      else if (this.version === 'HTTP/1.1') {
        this.chunked = true
        framing = 'transfer-encoding: chunked\r\n'
      } else this.keepAlive = false
    } else if (status === 204) head.headers.remove('content-length')
    const connection = !this.keepAlive ? 'connection: close\r\n' : this.version === 'HTTP/1.0' ? 'connection: keep-alive\r\n' : ''
    const text = writeResponseHead(head, framing, connection, headerCase)
    if (end) {
      codec.writeOut(text, EMPTY, '')
      this.finish()
    } else codec.queue(text)
  }

  sendData(chunk: Buffer, end: boolean): boolean {
    if (this.done) return true
    const codec = this.codec
    if (this.upgraded) {
      const ok = chunk.length > 0 ? codec.writeOut('', chunk, '') : true
      if (end) codec.transport.end()
      this.blocked = !ok
      return ok
    }
    if (this.bodiless) {
      if (end) this.finish()
      return true
    }
    if (this.due !== -1) {
      this.due -= chunk.length
      // More or fewer bytes than declared must never become another message's bytes.
      if (this.due < 0 || (end && this.due > 0)) {
        this.reset('internal-error')
        return true
      }
    }
    let ok: boolean
    if (this.chunked) {
      if (chunk.length > 0) ok = codec.writeOut(chunkSizeLine(chunk.length), chunk, end ? '\r\n0\r\n\r\n' : '\r\n')
      else ok = codec.writeOut(end ? '0\r\n\r\n' : '', EMPTY, '')
    } else ok = codec.writeOut('', chunk, '')
    if (end) {
      this.finish()
      return true
    }
    this.blocked = !ok
    return ok
  }

  sendTrailers(trailers: HeaderList): void {
    if (this.done) return
    if (this.chunked && this.codec.options.enableTrailers) {
      this.codec.writeOut(writeTrailers(trailers, this.codec.options.headerCase), EMPTY, '')
      this.finish()
    } else this.sendData(EMPTY, true)
  }

  pause(): void {
    if (!this.done && !this.requestDone) this.codec.transport.pauseRead()
    else if (this.upgraded) this.codec.transport.pauseRead()
  }

  resume(): void {
    if (!this.done && (!this.requestDone || this.upgraded)) this.codec.transport.resumeRead()
  }

  reset(_code: ResetCode): void {
    if (this.done) return
    this.done = true
    this.events = NO_EVENTS
    this.codec.abort(this)
  }

  /** FIN from the client inside a tunnel. */
  remoteEnd(): void {
    this.events.onData(EMPTY, true)
  }

  private finish(): void {
    this.done = true
    this.events = NO_EVENTS
    this.blocked = false
    this.codec.finished(this)
  }
}
