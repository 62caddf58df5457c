// The timers of one request: arming, moving and giving back. Base of FilteredStream and so of Exchange; stream-timeout.ts says what
// it means when one fires. All times in ms; 0 or null turns a timer off. HOT: a request with default settings arms two pooled timers and moves numbers on them.

import type { HttpConnectionManager } from '../../model/http-connection-manager.js'
import { acquireStreamTimer, releaseStreamTimer, type StreamTimer, type StreamTimerKind, type StreamTimerTarget } from './stream-timer.js'

export abstract class TimedStream implements StreamTimerTarget {
  /** Route timeout; runs from the end of the request. */
  routeTimeoutMs = 0
  private idleMs = 0
  private idleTimer: StreamTimer | null = null
  private routeTimer: StreamTimer | null = null
  private maxDurationTimer: StreamTimer | null = null
  private upstreamMaxTimer: StreamTimer | null = null
  private requestTimer: StreamTimer | null = null

  abstract onStreamTimer(kind: StreamTimerKind): void

  /** The connection manager's own timers. `requestOpen`: more of the request is still to come. */
  protected startTimers(config: HttpConnectionManager, requestOpen: boolean): void {
    this.idleMs = config.streamIdleTimeoutMs
    if (this.idleMs > 0) this.idleTimer = acquireStreamTimer('idle', this, this.idleMs)
    const maxDuration = config.common.maxStreamDurationMs
    if (maxDuration !== null && maxDuration > 0) this.maxDurationTimer = acquireStreamTimer('max-duration', this, maxDuration)
    if (config.requestTimeoutMs > 0 && requestOpen) this.requestTimer = acquireStreamTimer('request', this, config.requestTimeoutMs)
  }

  /** A route's own idle timeout replaces the connection manager's; 0 turns it off. */
  setIdleTimeout(ms: number): void {
    this.idleMs = ms
    if (ms > 0) {
      if (this.idleTimer === null) this.idleTimer = acquireStreamTimer('idle', this, ms)
      else this.idleTimer.set(ms)
    } else this.idleTimer?.clear()
  }

  armRouteTimer(): void {
    if (this.routeTimeoutMs > 0 && this.routeTimer === null) this.routeTimer = acquireStreamTimer('route', this, this.routeTimeoutMs)
  }

  protected dropRouteTimer(): void {
    if (this.routeTimer === null) return
    releaseStreamTimer(this.routeTimer)
    this.routeTimer = null
  }

  protected dropRequestTimer(): void {
    if (this.requestTimer === null) return
    releaseStreamTimer(this.requestTimer)
    this.requestTimer = null
  }

  /** How long the whole stream may last, counted from `startedAt`; replaces the connection manager's. 0: no limit. */
  protected limitDuration(ms: number, startedAt: number): void {
    if (ms <= 0) {
      this.maxDurationTimer?.clear()
      return
    }
    const leftMs = Math.max(1, ms - (performance.now() - startedAt))
    if (this.maxDurationTimer === null) this.maxDurationTimer = acquireStreamTimer('max-duration', this, leftMs)
    else this.maxDurationTimer.set(leftMs)
  }

  armUpstreamMaxDuration(ms: number): void {
    if (this.upstreamMaxTimer === null) this.upstreamMaxTimer = acquireStreamTimer('upstream-max-duration', this, ms)
  }

  /** Something moved in either direction. */
  protected touch(): void {
    if (this.idleMs > 0 && this.idleTimer !== null) this.idleTimer.set(this.idleMs)
  }

  protected releaseTimers(): void {
    if (this.idleTimer !== null) releaseStreamTimer(this.idleTimer)
    if (this.routeTimer !== null) releaseStreamTimer(this.routeTimer)
    if (this.maxDurationTimer !== null) releaseStreamTimer(this.maxDurationTimer)
    if (this.upstreamMaxTimer !== null) releaseStreamTimer(this.upstreamMaxTimer)
    if (this.requestTimer !== null) releaseStreamTimer(this.requestTimer)
    this.idleTimer = this.routeTimer = this.maxDurationTimer = this.upstreamMaxTimer = this.requestTimer = null
  }
}
