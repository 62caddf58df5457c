// Whether a connection's peer is still there: it must acknowledge our SETTINGS, and answer keepalive PINGs when those are configured
// (Envoy connection_keepalive: interval, timeout). Pure decisions on a given time; connection.ts acts on them.

import type { Http2Options } from '../../../model/http-connection-manager.js'

export const SETTINGS_TIMEOUT_MS = 10_000
const KEEPALIVE_PING = Buffer.from('outalive', 'latin1')

export type LivenessVerdict = 'ok' | 'send-ping' | 'settings-timeout' | 'keepalive-timeout'

export class Liveness {
  settingsAcknowledged = false
  /** Opaque data of a keepalive PING. */
  readonly pingData = KEEPALIVE_PING
  private startedAt: number
  private lastReceivedAt: number
  private lastPingAt: number
  private pingOpen = false
  private readonly intervalMs: number
  private readonly timeoutMs: number

  constructor(options: Http2Options, now: number) {
    this.intervalMs = options.keepaliveIntervalMs ?? 0
    this.timeoutMs = options.keepaliveTimeoutMs
    this.startedAt = now
    this.lastReceivedAt = now
    this.lastPingAt = now
  }

  received(now: number): void {
    this.lastReceivedAt = now
  }

  /** It could not be heard for so long: that is none of its time. */
  away(ms: number): void {
    this.startedAt += ms
    this.lastPingAt += ms
  }

  /** False when the acknowledged PING was not ours. */
  pingAnswered(buffer: Buffer, start: number): boolean {
    if (!this.pingOpen || KEEPALIVE_PING.compare(buffer, start, start + 8) !== 0) return false
    this.pingOpen = false
    return true
  }

  get waits(): boolean {
    return !this.settingsAcknowledged || this.intervalMs > 0
  }

  check(now: number): LivenessVerdict {
    if (!this.settingsAcknowledged && now - this.startedAt > SETTINGS_TIMEOUT_MS) return 'settings-timeout'
    if (this.intervalMs === 0) return 'ok'
    if (this.pingOpen) return now - this.lastPingAt > this.timeoutMs ? 'keepalive-timeout' : 'ok'
    if (now - Math.max(this.lastReceivedAt, this.lastPingAt) < this.intervalMs) return 'ok'
    this.pingOpen = true
    this.lastPingAt = now
    return 'send-ping'
  }
}
