// One try of a request on one endpoint: acquire -> send -> relay. Made by the router for the first try, each retry and each hedge, by
// mirrors, tunnels and our own calls; it owns the client stream and tells its owner what came of it. Reports exactly one end.
//
//   WAITING ──connection──▶ OPEN ──response head──▶ RESPONDING ──end──▶ DONE
//      └── pool failure ──▶ DONE      any ──reset, cancel──▶ DONE

import { eventNow } from '../../io/event-clock.js'
import { LazyTimer } from '../../io/lazy-timer.js'
import type { HttpPool, PoolFailure, PoolWaiter } from '../../upstream/connect/http-pool.js'
import type { Breakers } from '../../upstream/host/breakers.js'
import type { Host } from '../../upstream/host/host.js'
import type { ClientEvents, ClientStream, ResponseHead, StreamReset } from '../codec/codec.js'
import type { HeaderList } from '../codec/header-list.js'
import type { TryTrace } from '../stream/stream-trace.js'
import type { UpstreamFailure } from '../stream/upstream-failure.js'
import type { UpstreamConnection } from './upstream-connection.js'

/** Who a try is made for: the router, a mirror, a tunnel, a call of our own. */
export interface UpstreamRequestOwner {
  /** Send the head and what there is of the body on `request.stream`. */
  onUpstreamReady(request: UpstreamRequest): void
  onUpstreamInformational(request: UpstreamRequest, head: ResponseHead): void
  onUpstreamHead(request: UpstreamRequest, head: ResponseHead, end: boolean): void
  onUpstreamData(request: UpstreamRequest, chunk: Buffer, end: boolean): void
  onUpstreamTrailers(request: UpstreamRequest, trailers: HeaderList): void
  onUpstreamFailure(request: UpstreamRequest, failure: UpstreamFailure): void
  onUpstreamDrain(request: UpstreamRequest): void
}

export class UpstreamRequest implements PoolWaiter<UpstreamConnection>, ClientEvents {
  readonly host: Host
  readonly attempt: number
  readonly startedAt = eventNow()
  stream: ClientStream | null = null
  connection: UpstreamConnection | null = null
  headSent = false
  responseStarted = false
  /** What has answered is a canary, by its metadata or its own word. */
  canary = false
  done = false
  tunnel = false
  /** A per-try timeout passed and hedging keeps this try alive. */
  timedOut = false
  /** Null: it has no span. */
  trace: TryTrace | null = null
  private readonly owner: UpstreamRequestOwner
  private readonly pool: HttpPool<UpstreamConnection>
  private readonly breakers: Breakers
  private perTry: LazyTimer | null = null
  private perTryIdle: LazyTimer | null = null
  private perTryIdleMs = 0
  private counted = false

  constructor(owner: UpstreamRequestOwner, host: Host, pool: HttpPool<UpstreamConnection>, breakers: Breakers, attempt: number) {
    this.owner = owner
    this.host = host
    this.pool = pool
    this.breakers = breakers
    this.attempt = attempt
  }

  start(): void {
    this.pool.acquire(this)
  }

  armPerTry(timeoutMs: number | null, idleMs: number | null): void {
    if (timeoutMs !== null && timeoutMs > 0) {
      this.perTry = new LazyTimer(() => this.fail({ kind: 'per-try-timeout' }))
      this.perTry.set(timeoutMs)
    }
    if (idleMs !== null && idleMs > 0) {
      this.perTryIdleMs = idleMs
      this.perTryIdle = new LazyTimer(() => this.fail({ kind: 'per-try-idle-timeout' }))
      this.perTryIdle.set(idleMs)
    }
  }

  onPoolReady(connection: UpstreamConnection): void {
    if (this.done) return
    if (!this.breakers.tryRequest()) {
      this.fail({ kind: 'overflow', why: this.breakers.describe('max_requests') })
      // The connection was taken off the idle list for us: give it back unused.
      this.pool.onStreamFree(connection)
      return
    }
    const stream = connection.newStream(this)
    if (stream === null) {
      this.breakers.releaseRequest()
      this.pool.acquire(this)
      return
    }
    this.counted = true
    this.connection = connection
    this.stream = stream
    const { host } = this
    const stats = host.cluster.traffic.main
    host.activeRequests++
    host.stats.rqTotal++
    stats.upstream_rq_total.value++
    stats.upstream_rq_active.value++
    // Before anything is sent: a stream that breaks later ends a run of failed connections all the same (Envoy's onPoolReady).
    host.cluster.recordLocalOriginSuccess(host)
    this.owner.onUpstreamReady(this)
  }

  onPoolFailure(failure: PoolFailure): void {
    if (this.done) return
    switch (failure.kind) {
      case 'overflow':
        this.fail({ kind: 'overflow', why: this.breakers.describe(failure.limit) })
        return
      case 'closed':
        this.fail({ kind: 'connect-failure', why: 'the endpoint was removed', reason: 'the endpoint was removed', tls: false })
        return
      case 'connect':
        this.fail({
          kind: failure.failure.kind === 'timeout' ? 'connect-timeout' : 'connect-failure',
          why: failure.failure.message,
          reason: failure.failure.reason,
          tls: failure.failure.kind === 'tls',
        })
    }
  }

  onInformational(head: ResponseHead): void {
    this.perTryIdle?.set(this.perTryIdleMs)
    this.owner.onUpstreamInformational(this, head)
  }

  onHead(head: ResponseHead, end: boolean): void {
    this.responseStarted = true
    this.trace?.responded(head)
    this.perTry?.clear()
    this.perTryIdle?.set(this.perTryIdleMs)
    this.tunnel = head.upgraded
    if (end) this.settle()
    this.owner.onUpstreamHead(this, head, end)
  }

  onData(chunk: Buffer, end: boolean): void {
    this.perTryIdle?.set(this.perTryIdleMs)
    // In a tunnel the other direction may go on: the exchange ends it by cancel.
    if (end && !this.tunnel) this.settle()
    this.owner.onUpstreamData(this, chunk, end)
  }

  onTrailers(trailers: HeaderList): void {
    this.settle()
    this.owner.onUpstreamTrailers(this, trailers)
  }

  onReset(reset: StreamReset): void {
    const connection = this.connection
    // The peer closed a connection that had served before, and not one byte came back: the keep-alive race. Whether the request
    // may go again by itself is the exchange's decision (RFC 9110 §9.2.2: idempotent, or nothing was sent).
    const reuseRace = connection !== null && !connection.fresh && !this.responseStarted && reset.code === 'connection-closed'
    const stats = this.host.cluster.traffic.main
    if (reset.code === 'remote-reset' || reset.code === 'refused') stats.upstream_rq_rx_reset.value++
    this.fail({ kind: 'reset', reset, reuseRace })
  }

  onDrain(): void {
    this.owner.onUpstreamDrain(this)
  }

  /** The tunnel has ended both ways: counts go back, the stream is left to finish. */
  release(): void {
    this.settle()
  }

  /** The exchange no longer wants this try. */
  cancel(): void {
    if (this.done) return
    const { stream } = this
    if (stream === null) this.pool.cancel(this)
    this.trace?.canceled()
    this.settle()
    if (stream !== null) {
      // In HTTP/1 the connection ends, which is counted there.
      if (this.connection?.protocol === 'http2') this.host.cluster.traffic.main.upstream_rq_tx_reset.value++
      stream.reset('cancel')
    }
  }

  private fail(failure: UpstreamFailure): void {
    if (this.done) return
    this.trace?.failed(failure)
    if (failure.kind === 'per-try-timeout' || failure.kind === 'per-try-idle-timeout') {
      // The exchange decides: it cancels this try, or lets it run on beside a hedge.
      this.timedOut = true
      this.owner.onUpstreamFailure(this, failure)
      return
    }
    this.settle()
    this.owner.onUpstreamFailure(this, failure)
  }

  /** Counts go back, timers stop. Idempotent. */
  private settle(): void {
    if (this.done) return
    this.done = true
    this.trace?.end()
    this.perTry?.dispose()
    this.perTryIdle?.dispose()
    if (!this.counted) return
    this.breakers.releaseRequest()
    this.host.activeRequests--
    this.host.cluster.traffic.main.upstream_rq_active.value--
  }
}
