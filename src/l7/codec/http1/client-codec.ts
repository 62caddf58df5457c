// HTTP/1.1 on an upstream connection: one request at a time out, its response back (RFC 9112). Any byte that arrives while no
// request is outstanding breaks the connection, so that a response never pairs with a later request (CVE-2026-48931, CVE-2026-6733).
//
//   IDLE ──sendHead──▶ HEAD ──1xx──▶ HEAD ──final head──▶ BODY ──end──▶ IDLE (if both ways ended cleanly) or CLOSED
//                        └── 101 / CONNECT 2xx ──▶ TUNNEL

import type {
  ClientCodec,
  ClientEvents,
  ClientHandler,
  ClientStream,
  CodecError,
  HeadLimits,
  RequestHead,
  ResetCode,
  StreamReset,
  Transport,
} from '../codec.js'
import { queueFlush } from '../flush-queue.js'
import type { HeaderList } from '../header-list.js'
import { BodyDecoder, type BodySink } from './body-decoder.js'
import { codecError, parseResponseHead } from './head-parser.js'
import { chunkSizeLine, type HeaderCase, MAX_JOINED_BODY_BYTES, writeRequestHead, writeTrailers } from './message-writer.js'

export interface Http1ClientOptions {
  readonly limits: HeadLimits
  readonly headerCase: HeaderCase
  readonly enableTrailers: boolean
}

/** 1xx responses to one request before the upstream is taken for broken. */
const MAX_INFORMATIONAL = 32

const EMPTY = Buffer.alloc(0)
const IDLE = 0
const HEAD = 1
const BODY = 2
const TUNNEL = 3
const CLOSED = 4

export class Http1ClientCodec implements ClientCodec, BodySink {
  readonly transport: Transport
  readonly options: Http1ClientOptions
  readonly maxStreams = 1
  usable = true
  /** Seconds that the peer said it keeps idle connections (Keep-Alive: timeout=), -1 unknown. */
  keepAliveTimeoutS = -1
  private readonly handler: ClientHandler
  private readonly body: BodyDecoder
  private phase = IDLE
  private held: Buffer | null = null
  private stream: Http1ClientStream | null = null
  private streams = 0
  private informational = 0
  private keepAlive = true
  private pendingOutput = ''
  private flushQueued = false
  private responding = false

  constructor(transport: Transport, handler: ClientHandler, options: Http1ClientOptions) {
    this.transport = transport
    this.handler = handler
    this.options = options
    this.body = new BodyDecoder(this, options.limits)
  }

  get activeStreams(): number {
    return this.stream === null ? 0 : 1
  }

  newStream(events: ClientEvents): ClientStream | null {
    if (!this.usable || this.stream !== null || this.phase !== IDLE) return null
    const stream = new Http1ClientStream(this, ++this.streams, events)
    this.stream = stream
    this.informational = 0
    this.keepAlive = true
    return stream
  }

  /** Called by the stream when its head leaves. */
  awaitResponse(): void {
    this.phase = HEAD
  }

  feed(chunk: Buffer): void {
    if (this.phase === CLOSED) return
    if (this.held !== null) {
      chunk = Buffer.concat([this.held, chunk])
      this.held = null
    }
    let offset = 0
    while (offset < chunk.length) {
      switch (this.phase) {
        case HEAD: {
          const next = this.feedHead(chunk, offset)
          if (next === -1) return
          offset = next
          break
        }
        case BODY: {
          const next = this.body.feed(chunk, offset)
          if (next === -1) {
            if (this.body.error !== null) this.fail(this.body.error)
            return
          }
          offset = next
          break
        }
        case TUNNEL:
          this.stream?.events.onData(offset === 0 ? chunk : chunk.subarray(offset), false)
          return
        case IDLE:
          this.fail(codecError(502, 'upstream_unsolicited_data', 'the upstream sent bytes with no request outstanding'))
          return
        default:
          return
      }
    }
  }

  private feedHead(chunk: Buffer, offset: number): number {
    const stream = this.stream!
    const limits = this.options.limits
    const window = chunk.length - offset > limits.maxHeadBytes + 4 ? offset + limits.maxHeadBytes + 4 : chunk.length
    let text = chunk.latin1Slice(offset, Math.min(window, offset + 4096))
    let end = text.indexOf('\r\n\r\n')
    if (end === -1 && window > offset + 4096) {
      text = chunk.latin1Slice(offset, window)
      end = text.indexOf('\r\n\r\n', 4093)
    }
    if (end === -1) {
      if (text.length > limits.maxHeadBytes) {
        this.fail(
          codecError(
            502,
            'upstream_reset_before_response_started{headers_too_large}',
            `response headers are larger than ${limits.maxHeadBytes >> 10} KiB`,
          ),
        )
        return -1
      }
      if (!'HTTP/1.'.startsWith(text.slice(0, 7))) {
        this.fail(codecError(502, 'upstream_reset_before_response_started{protocol_error}', 'the upstream does not answer in HTTP/1.1'))
        return -1
      }
      this.held = Buffer.from(chunk.subarray(offset))
      return -1
    }
    const parsed = parseResponseHead(text.slice(0, end + 2), limits, stream.method)
    if ('details' in parsed) {
      this.fail(parsed)
      return -1
    }
    const { head, framing } = parsed
    const next = offset + end + 4
    if (head.status < 200 && head.status !== 101) {
      if (++this.informational > MAX_INFORMATIONAL) {
        this.fail(
          codecError(
            502,
            'upstream_reset_before_response_started{protocol_error}',
            `more than ${MAX_INFORMATIONAL} informational responses`,
          ),
        )
        return -1
      }
      stream.events.onInformational(head)
      return next
    }
    if (parsed.keepAliveTimeoutS >= 0) this.keepAliveTimeoutS = parsed.keepAliveTimeoutS
    const connected = stream.method === 'CONNECT' && head.status >= 200 && head.status < 300
    if (head.status === 101 || connected) {
      // Only a 101 to a request that asked switches protocols (CVE-2024-23326).
      if (!connected && stream.upgrade === '') {
        this.fail(codecError(502, 'upstream_reset_before_response_started{protocol_error}', '101 without an upgrade having been asked for'))
        return -1
      }
      head.upgraded = true
      this.keepAlive = false
      this.phase = TUNNEL
      stream.tunnel = true
      stream.events.onHead(head, false)
      return next
    }
    if (!parsed.keepAlive) this.keepAlive = false
    // A refused upgrade's connection is never used again: the upstream may read what follows as another protocol (CVE-2026-73548).
    if (stream.upgrade !== '' || stream.method === 'CONNECT') this.keepAlive = false
    if (framing === 'none') {
      this.phase = IDLE
      this.responding = true
      stream.responseDone = true
      stream.events.onHead(head, true)
      this.responding = false
      this.settle(stream)
    } else {
      this.phase = BODY
      this.body.start(framing, head.contentLength)
      stream.events.onHead(head, false)
    }
    return next
  }

  bodyData(chunk: Buffer, end: boolean): void {
    const stream = this.stream
    if (stream === null) return
    if (!end) {
      stream.events.onData(chunk, false)
      return
    }
    this.phase = IDLE
    stream.responseDone = true
    stream.events.onData(chunk, true)
    this.settle(stream)
  }

  bodyTrailers(trailers: HeaderList): void {
    const stream = this.stream
    if (stream === null) return
    this.phase = IDLE
    stream.responseDone = true
    if (this.options.enableTrailers) stream.events.onTrailers(trailers)
    else stream.events.onData(EMPTY, true)
    this.settle(stream)
  }

  /** The response is complete, or the request is; free the connection when both are. */
  settle(stream: Http1ClientStream): void {
    if (stream !== this.stream || !stream.responseDone || this.responding || this.phase === CLOSED) return
    if (!stream.requestDone) {
      // The upstream answered without reading all of the request: what is left of it must not meet the next one ("0.CL").
      this.stream = null
      this.shut()
      return
    }
    this.stream = null
    if (this.keepAlive) this.handler.onStreamFree()
    else this.shut()
  }

  private shut(): void {
    if (this.phase === CLOSED) return
    this.phase = CLOSED
    this.usable = false
    this.held = null
    this.handler.onDraining()
    this.transport.destroy()
  }

  private fail(error: CodecError): void {
    const stream = this.stream
    this.stream = null
    this.phase = CLOSED
    this.usable = false
    this.held = null
    this.transport.destroy()
    if (stream !== null) stream.events.onReset({ code: 'protocol-error', details: error.details })
    this.handler.onConnectionError(error)
  }

  onTransportEnd(): void {
    if (this.phase === TUNNEL) {
      this.stream?.events.onData(EMPTY, true)
      return
    }
    if (this.phase === BODY && this.body.endsWithConnection) {
      this.body.finish()
      return
    }
    this.onTransportClose({ code: 'connection-closed', details: 'upstream_reset_connection_termination' })
    this.transport.destroy()
  }

  onTransportClose(reason: StreamReset): void {
    if (this.phase === CLOSED) return
    const stream = this.stream
    this.stream = null
    this.phase = CLOSED
    this.usable = false
    this.held = null
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
    this.usable = false
    if (this.stream === null) this.shut()
    else this.keepAlive = false
  }

  flush(): void {
    this.flushQueued = false
    if (this.pendingOutput !== '') {
      const output = this.pendingOutput
      this.pendingOutput = ''
      if (this.phase !== CLOSED) this.transport.write(output)
    }
  }

  queue(text: string): void {
    this.pendingOutput += text
    if (!this.flushQueued) {
      this.flushQueued = true
      queueFlush(this)
    }
  }

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

  abort(stream: Http1ClientStream): void {
    if (stream !== this.stream || this.phase === CLOSED) return
    this.stream = null
    this.pendingOutput = ''
    this.shut()
  }
}

/** One exchange; see ClientStream. */
class Http1ClientStream implements ClientStream {
  readonly id: number
  events: ClientEvents
  method = ''
  upgrade = ''
  requestDone = false
  responseDone = false
  blocked = false
  tunnel = false
  private readonly codec: Http1ClientCodec
  private chunked = false
  private due = -1
  private ended = false

  constructor(codec: Http1ClientCodec, id: number, events: ClientEvents) {
    this.codec = codec
    this.id = id
    this.events = events
  }

  get bufferedBytes(): number {
    return this.codec.transport.writableLength
  }

  sendHead(head: RequestHead, end: boolean): void {
    const codec = this.codec
    this.method = head.method
    this.upgrade = head.upgrade
    let framing: '' | 'content-length: 0\r\n' | 'transfer-encoding: chunked\r\n' = ''
    let connection = ''
    if (head.upgrade !== '') connection = `connection: upgrade\r\nupgrade: ${head.upgrade}\r\n`
    else if (head.method !== 'CONNECT' && !head.headers.has('content-length')) {
      if (!end) {
        this.chunked = true
        framing = 'transfer-encoding: chunked\r\n'
      } else if (head.method === 'POST' || head.method === 'PUT' || head.method === 'PATCH') framing = 'content-length: 0\r\n'
    } else if (head.contentLength >= 0) this.due = head.contentLength
    codec.awaitResponse()
    const text = writeRequestHead(head, framing, connection, codec.options.headerCase)
    const nothingFollows = end || head.upgrade !== '' || head.method === 'CONNECT'
    if (end) this.endRequest()
    if (nothingFollows) codec.writeOut(text, EMPTY, '')
    else codec.queue(text)
  }

  sendData(chunk: Buffer, end: boolean): boolean {
    if (this.ended) return true
    const codec = this.codec
    if (this.tunnel) {
      const ok = chunk.length > 0 ? codec.writeOut('', chunk, '') : true
      if (end) {
        this.ended = true
        codec.transport.end()
      }
      this.blocked = !ok
      return ok
    }
    if (this.due !== -1) {
      this.due -= chunk.length
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
    if (end) this.endRequest()
    else this.blocked = !ok
    return ok || end
  }

  sendTrailers(trailers: HeaderList): void {
    if (this.ended) return
    if (this.chunked && this.codec.options.enableTrailers) {
      this.codec.writeOut(writeTrailers(trailers, this.codec.options.headerCase), EMPTY, '')
      this.endRequest()
    } else this.sendData(EMPTY, true)
  }

  private endRequest(): void {
    this.ended = true
    this.requestDone = true
    this.codec.settle(this)
  }

  pause(): void {
    if (!this.responseDone) this.codec.transport.pauseRead()
  }

  resume(): void {
    if (!this.responseDone) this.codec.transport.resumeRead()
  }

  reset(_code: ResetCode): void {
    this.ended = true
    this.codec.abort(this)
  }
}
