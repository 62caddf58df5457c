// One exchange on an upstream HTTP/1.1 connection: the request's framing is decided here, from the head alone, and nothing of it is
// written that could be read as another request. Made by client-codec; the request path calls it as a ClientStream.

import type { ClientEvents, ClientStream, RequestHead, ResetCode, Transport } from '../codec.js'
import type { HeaderList } from '../header-list.js'
import { chunkSizeLine, type HeaderCase, ownLine, ownLines, writeRequestHead, writeTrailers } from './message-writer.js'
import type { Http1Output } from './output.js'
import { isTarget, isToken, isUpgradeList, parseContentLength } from './syntax.js'
import { websocketKey } from './websocket-keys.js'

/** Methods whose requests say nothing about a body that is not there, as Envoy sends them; others say `content-length: 0`. */
const BODILESS_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'DELETE', 'TRACE', 'CONNECT'])

const EMPTY = Buffer.alloc(0)

/** How the request's body is delimited. */
const BODY_NONE = 0
const BODY_LENGTH = 1
const BODY_CHUNKED = 2
/** Tunnel bytes, only once the upstream has accepted. */
const BODY_TUNNEL = 3

/** Tunnel bytes kept for an upstream that has not accepted yet; the sender is told to wait from the first on. */
export const MAX_EARLY_TUNNEL_BYTES = 1024 * 1024

/** The connection as its stream sees it. Http1ClientCodec implements it. */
export interface ClientStreamHost {
  readonly transport: Transport
  readonly options: { readonly headerCase: HeaderCase; readonly enableTrailers: boolean }
  readonly output: Http1Output
  /** The stream's head leaves. */
  awaitResponse(): void
  /** One way has ended: the connection is free when both have. */
  settle(stream: Http1ClientStream): void
  /** The stream never sent its head: the connection is as good as before. */
  release(stream: Http1ClientStream): void
  setPaused(stream: Http1ClientStream, paused: boolean): void
  tunnelEnded(stream: Http1ClientStream): void
  abort(stream: Http1ClientStream): void
}

export class Http1ClientStream implements ClientStream {
  readonly events: ClientEvents
  /** As on the wire; '' before the head. */
  method = ''
  upgrade = ''
  /** The request came as an extended CONNECT (RFC 8441) and went out as GET with Upgrade. */
  extendedConnect = false
  requestDone = false
  responseDone = false
  /** The upstream has accepted the tunnel. */
  tunnel = false
  private readonly codec: ClientStreamHost
  private framing = BODY_NONE
  private headSent = false
  private blocked = false
  private due = 0
  private ended = false
  private early: Buffer[] | null = null
  private earlyBytes = 0
  private earlyEnd = false

  constructor(codec: ClientStreamHost, events: ClientEvents) {
    this.codec = codec
    this.events = events
  }

  get bufferedBytes(): number {
    return this.codec.transport.writableLength + this.codec.output.pendingBytes
  }

  /** HOT. The head is not changed beyond what no hop may pass on: it may be sent again on another connection. */
  sendHead(head: RequestHead, end: boolean): void {
    if (this.ended || this.headSent) return
    this.headSent = true
    const { codec } = this
    const { headerCase } = codec.options
    const lines = ownLines(headerCase)
    const { headers, upgrade } = head
    this.upgrade = upgrade
    this.extendedConnect = upgrade !== '' && head.method === 'CONNECT'
    this.method = this.extendedConnect ? 'GET' : head.method
    const target = this.method === 'CONNECT' ? head.authority : head.path
    // A rewrite may have put anything there; a blank or line end in it would be another request (RFC 9112 §3.2).
    if (
      !isTarget(target) ||
      !isToken(this.method) ||
      !(head.authority === '' || isTarget(head.authority)) ||
      !(upgrade === '' || isUpgradeList(upgrade))
    ) {
      this.refuse('http1.invalid_request_head')
      return
    }
    if (headers.has('transfer-encoding')) headers.remove('transfer-encoding')
    let own = ''
    if (upgrade !== '' || this.method === 'CONNECT') {
      this.framing = BODY_TUNNEL
      if (headers.has('content-length')) headers.remove('content-length')
      if (upgrade !== '') own = this.upgradeLines(headers)
      end = false
    } else {
      const at = headers.indexOf('content-length')
      if (at !== -1 && (this.due = declaredLength(headers, at)) !== -1) {
        this.framing = BODY_LENGTH
        if (end && this.due > 0) {
          this.refuse('http1.request_content_length_mismatch')
          return
        }
      } else if (!end) {
        this.framing = BODY_CHUNKED
        own = lines.chunked
      } else if (!BODILESS_METHODS.has(this.method)) own = lines.empty
      // RFC 9110 §10.1.4.
      if (headers.has('te')) own += ownLine('connection', 'TE', headerCase)
    }
    codec.awaitResponse()
    const text = writeRequestHead(head, this.method, target, own, headerCase)
    if (end) {
      this.ended = this.requestDone = true
      codec.output.writeText(text)
    } else if (this.framing === BODY_TUNNEL) codec.output.writeText(text)
    else codec.output.queue(text)
  }

  private upgradeLines(headers: HeaderList): string {
    const { headerCase } = this.codec.options
    let own = ownLines(headerCase).upgrade + ownLine('upgrade', this.upgrade, headerCase)
    if (this.extendedConnect && this.upgrade === 'websocket') {
      // HTTP/2 has no use for them, an HTTP/1.1 server refuses without (RFC 6455 §4.2.1).
      if (!headers.has('sec-websocket-key')) own += ownLine('sec-websocket-key', websocketKey(), headerCase)
      if (!headers.has('sec-websocket-version')) own += ownLine('sec-websocket-version', '13', headerCase)
    }
    return own
  }

  /** HOT. */
  sendData(chunk: Buffer, end: boolean): boolean {
    if (this.ended || !this.headSent) return true
    if (this.framing === BODY_TUNNEL) return this.sendTunnelData(chunk, end)
    const { output } = this.codec
    if (this.framing === BODY_LENGTH) {
      this.due -= chunk.length
      // More or fewer bytes than declared must never become another request.
      if (this.due < 0 || (end && this.due > 0)) {
        this.failMidway('http1.request_content_length_mismatch')
        return true
      }
    }
    if (end) this.ended = this.requestDone = true
    let ok = true
    if (this.framing === BODY_CHUNKED) {
      if (chunk.length > 0) ok = output.writeChunk(chunkSizeLine(chunk.length), chunk, end ? '\r\n0\r\n\r\n' : '\r\n')
      else if (end) ok = output.writeText('0\r\n\r\n')
    } else ok = output.writeChunk('', chunk, '')
    if (end) {
      this.codec.settle(this)
      return true
    }
    this.blocked = !ok
    return ok
  }

  private sendTunnelData(chunk: Buffer, end: boolean): boolean {
    if (this.tunnel) {
      const ok = chunk.length === 0 || this.codec.output.writeChunk('', chunk, '')
      if (end) {
        this.ended = true
        this.codec.tunnelEnded(this)
        return true
      }
      this.blocked = !ok
      return ok
    }
    // Not before the upstream has accepted: it might read them as another request (CVE-2025-64763, CVE-2026-73548).
    this.earlyBytes += chunk.length
    if (this.earlyBytes > MAX_EARLY_TUNNEL_BYTES) {
      this.failMidway('http1.early_tunnel_data')
      return true
    }
    if (chunk.length > 0) (this.early ??= []).push(Buffer.from(chunk))
    this.earlyEnd = end
    this.blocked = true
    return false
  }

  /** The upstream has accepted: what waited goes out. */
  openTunnel(): void {
    this.tunnel = true
    const { early, earlyEnd } = this
    this.early = null
    let ok = true
    for (const chunk of early ?? []) ok = this.codec.output.writeChunk('', chunk, '')
    if (earlyEnd) this.sendTunnelData(EMPTY, true)
    else if (ok) this.drained()
  }

  sendTrailers(trailers: HeaderList): void {
    if (this.ended) return
    const { codec } = this
    if (this.framing === BODY_CHUNKED && codec.options.enableTrailers) {
      this.ended = this.requestDone = true
      codec.output.writeText(writeTrailers(trailers, codec.options.headerCase))
      codec.settle(this)
    } else this.sendData(EMPTY, true)
  }

  pause(): void {
    this.codec.setPaused(this, true)
  }

  resume(): void {
    this.codec.setPaused(this, false)
  }

  reset(_code: ResetCode): void {
    this.ended = true
    this.codec.abort(this)
  }

  // ---- for the codec --------------------------------------------------------------------------------------------------------

  drained(): void {
    if (!this.blocked) return
    this.blocked = false
    this.events.onDrain()
  }

  /** Nothing more can be sent. */
  close(): void {
    this.ended = true
    this.blocked = false
  }

  /** The head cannot be sent: nothing was written, the connection stays. */
  private refuse(details: string): void {
    this.ended = true
    this.codec.release(this)
    this.events.onReset({ code: 'local', details })
  }

  private failMidway(details: string): void {
    this.reset('internal-error')
    this.events.onReset({ code: 'local', details })
  }
}

/** The one length that goes out; -1 when the field is not a length and has been removed. */
function declaredLength(headers: HeaderList, at: number): number {
  const length = parseContentLength(headers.values[at]!)
  if (length === -1) headers.remove('content-length')
  else if (headers.indexOf('content-length', at + 1) !== -1) headers.set(headers.raw[at]!, String(length))
  return length
}
