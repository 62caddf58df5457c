// The timers that a request has of its client's side: idle, the whole request, the longest duration. Held by the exchange, which says
// in stream-timeout.ts what it means when one fires; the route's own timers are the router's (router/route-timeouts.ts). All times in
// ms; 0 or null turns a timer off. HOT: a request with default settings arms one pooled timer and moves numbers on it.

import type { HttpConnectionManager } from '../../model/http-connection-manager.js'
import {
  acquireStreamTimer,
  IDLE_TIMERS,
  MAX_DURATION_TIMERS,
  REQUEST_TIMERS,
  releaseStreamTimer,
  type StreamTimer,
  type StreamTimerTarget,
} from './stream-timer.js'

/** What is left of the idle timeout of a stream now. */
export interface StreamTimeoutScale {
  timeoutMs(kind: 'stream-idle', ms: number): number
}

export class StreamTimers {
  private readonly target: StreamTimerTarget
  private readonly scale: StreamTimeoutScale | null
  /** As configured, and as it is set: less, where overload shortens it. */
  idleLimitMs = 0
  private idleMs = 0
  maxDurationMs = 0
  private idle: StreamTimer | null = null
  private maxDuration: StreamTimer | null = null
  private request: StreamTimer | null = null

  constructor(target: StreamTimerTarget, scale: StreamTimeoutScale | null = null) {
    this.target = target
    this.scale = scale
  }

  /** The connection manager's own. `requestOpen`: more of the request is still to come. */
  start(config: HttpConnectionManager, requestOpen: boolean): void {
    this.takeIdle(config.streamIdleTimeoutMs)
    if (this.idleMs > 0) this.idle = acquireStreamTimer(IDLE_TIMERS, this.target, this.idleMs)
    const maxDuration = config.common.maxStreamDurationMs
    this.maxDurationMs = maxDuration ?? 0
    if (maxDuration !== null && maxDuration > 0) this.maxDuration = acquireStreamTimer(MAX_DURATION_TIMERS, this.target, maxDuration)
    if (config.requestTimeoutMs > 0 && requestOpen) this.request = acquireStreamTimer(REQUEST_TIMERS, this.target, config.requestTimeoutMs)
  }

  /** A route's own idle timeout replaces the connection manager's; 0 turns it off. */
  setIdle(ms: number): void {
    this.takeIdle(ms)
    if (ms > 0) {
      if (this.idle === null) this.idle = acquireStreamTimer(IDLE_TIMERS, this.target, this.idleMs)
      else this.idle.set(this.idleMs)
    } else this.idle?.clear()
  }

  private takeIdle(ms: number): void {
    this.idleLimitMs = ms
    this.idleMs = this.scale === null ? ms : this.scale.timeoutMs('stream-idle', ms)
  }

  /** Overload shortens timeouts more, or less, than it did. */
  rescale(): void {
    const before = this.idleMs
    this.takeIdle(this.idleLimitMs)
    this.idle?.shift(this.idleMs - before)
  }

  /** Something moved in either direction. */
  touch(): void {
    if (this.idleMs > 0 && this.idle !== null) this.idle.set(this.idleMs)
  }

  /** The request is complete. */
  dropRequest(): void {
    if (this.request === null) return
    releaseStreamTimer(this.request)
    this.request = null
  }

  /** How long the whole stream may last, counted from `startedAt`; replaces the connection manager's. 0: no limit. */
  limitDuration(ms: number, startedAt: number): void {
    this.maxDurationMs = ms
    if (ms <= 0) {
      this.maxDuration?.clear()
      return
    }
    const leftMs = Math.max(1, ms - (performance.now() - startedAt))
    if (this.maxDuration === null) this.maxDuration = acquireStreamTimer(MAX_DURATION_TIMERS, this.target, leftMs)
    else this.maxDuration.set(leftMs)
  }

  release(): void {
    if (this.idle !== null) releaseStreamTimer(this.idle)
    if (this.maxDuration !== null) releaseStreamTimer(this.maxDuration)
    if (this.request !== null) releaseStreamTimer(this.request)
    this.idle = this.maxDuration = this.request = null
  }
}
