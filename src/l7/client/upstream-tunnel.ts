// TCP bytes inside one HTTP stream to an endpoint: CONNECT, or POST where asked (Envoy TcpProxy.TunnelingConfig). Over HTTP/2 many
// client connections share one upstream connection, so that a new one costs no handshake. Made by proxy/tcp/tcp-upstream.ts; goes
// pool -> UpstreamRequest like every request, and is a Duplex so that the TCP relay need not know.
//
//   WAITING ──2xx──▶ OPEN ──both ways ended, reset, destroy──▶ CLOSED
//      └── another status, no connection ──▶ CLOSED (onTunnelFailure)

import { Duplex } from 'node:stream'
import { ownBytes } from '../../io/shared-read.js'
import type { HttpPool } from '../../upstream/connect/http-pool.js'
import type { Breakers } from '../../upstream/host/breakers.js'
import type { Host } from '../../upstream/host/host.js'
import type { RequestHead, ResponseHead } from '../codec/codec.js'
import { failureText, type UpstreamFailure } from '../stream/upstream-failure.js'
import type { UpstreamConnection } from './upstream-connection.js'
import { UpstreamRequest, type UpstreamRequestOwner } from './upstream-request.js'

const EMPTY = Buffer.alloc(0)
/** Bytes read from the stream and not yet taken by the client before its window is withheld. */
const READ_WATERMARK_BYTES = 64 * 1024
/** As SocketTransport's: above it the client is not read from. */
const WRITE_WATERMARK_BYTES = 1024 * 1024

export interface TunnelListener {
  onTunnelOpen(tunnel: UpstreamTunnel): void
  /** Before it was open. Called at most once, and never after onTunnelOpen. `reason`: what access logs show of `why`. */
  onTunnelFailure(kind: TunnelFailure, why: string, reason: string): void
}

/** overflow: a circuit breaker, naming its limit. refused: the endpoint was reached, and wants no tunnel of this caller. */
export type TunnelFailure = 'overflow' | 'failed' | 'refused'

export class UpstreamTunnel extends Duplex implements UpstreamRequestOwner {
  private readonly head: RequestHead
  private readonly listener: TunnelListener
  private readonly request: UpstreamRequest
  private opened = false
  private localEnded = false
  private remoteEnded = false
  /** The writer's callback while the stream's window is full. */
  private blocked: (() => void) | null = null

  constructor(host: Host, pool: HttpPool<UpstreamConnection>, breakers: Breakers, head: RequestHead, listener: TunnelListener) {
    super({ readableHighWaterMark: READ_WATERMARK_BYTES, writableHighWaterMark: WRITE_WATERMARK_BYTES })
    this.head = head
    this.listener = listener
    this.request = new UpstreamRequest(this, host, pool, breakers, 1)
  }

  /** May call the listener before it returns. */
  dial(): void {
    this.request.start()
  }

  /** That carries the stream, once it is open. */
  get connection(): UpstreamConnection {
    return this.request.connection!
  }

  // ---- the HTTP stream --------------------------------------------------------------------------------------------------------

  onUpstreamReady(request: UpstreamRequest): void {
    request.headSent = true
    request.stream!.sendHead(this.head, false)
  }

  onUpstreamInformational(): void {}

  onUpstreamHead(request: UpstreamRequest, head: ResponseHead, end: boolean): void {
    if (head.status < 200 || head.status > 299) {
      this.refuse(head.status >= 500 ? 'failed' : 'refused', `the tunnel was answered with status ${head.status}`)
      return
    }
    // A POST's response is no tunnel to the codec, but its two directions are as independent as a CONNECT's.
    request.tunnel = true
    this.opened = true
    this.listener.onTunnelOpen(this)
    if (end) this.endRead()
  }

  /** HOT. */
  onUpstreamData(request: UpstreamRequest, chunk: Buffer, end: boolean): void {
    if (chunk.length > 0 && !this.push(ownBytes(chunk))) request.stream!.pause()
    if (end) this.endRead()
  }

  onUpstreamTrailers(): void {
    this.endRead()
  }

  onUpstreamFailure(_request: UpstreamRequest, failure: UpstreamFailure): void {
    const why = failureText(failure)
    if (this.opened) this.destroy(new Error(why))
    else this.refuse(kindOf(failure), why, failure.kind === 'connect-failure' ? failure.reason : why)
  }

  onUpstreamDrain(): void {
    const { blocked } = this
    this.blocked = null
    blocked?.()
  }

  private refuse(kind: TunnelFailure, why: string, reason = why): void {
    if (this.destroyed) return
    this.destroy()
    this.listener.onTunnelFailure(kind, why, reason)
  }

  private endRead(): void {
    if (this.remoteEnded) return
    this.remoteEnded = true
    this.push(null)
    this.settle()
  }

  /** Both ways have ended: counts go back and the stream is the codec's to finish. */
  private settle(): void {
    if (this.localEnded && this.remoteEnded) this.request.release()
  }

  // ---- the Duplex -------------------------------------------------------------------------------------------------------------

  override _read(): void {
    this.request.stream?.resume()
  }

  /** HOT. */
  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: () => void): void {
    if (this.request.stream!.sendData(chunk, false)) callback()
    else this.blocked = callback
  }

  override _final(callback: () => void): void {
    this.localEnded = true
    this.request.stream!.sendData(EMPTY, true)
    this.settle()
    callback()
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.blocked = null
    this.request.cancel()
    callback(error)
  }

  /** As net.Socket's: what was written still goes out first. */
  destroySoon(): void {
    if (this.writableFinished) this.destroy()
    else this.once('finish', () => this.destroy()).end()
  }

  /** As net.Socket's: the peer sees a reset, not an end. */
  resetAndDestroy(): void {
    this.destroy()
  }
}

function kindOf({ kind }: UpstreamFailure): TunnelFailure {
  if (kind === 'overflow') return 'overflow'
  return kind === 'reset' ? 'refused' : 'failed'
}
