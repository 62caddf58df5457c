// In-memory transports for the HTTP/2 codecs: a pair joins a client and a server codec, a Recorder keeps what one codec wrote. Bytes
// move only when `run` is called, in any chunk size, so that tests decide what happens when.

import type { Transport } from '../../src/l7/codec/codec.js'
import type { Http2CodecOptions } from '../../src/l7/codec/http2/connection-base.js'
import { newHttp2Stats } from '../../src/l7/codec/http2/stats.js'
import { HTTP2_DEFAULTS } from '../../src/model/defaults.js'
import type { Http2Options } from '../../src/model/http-connection-manager.js'

export const HTTP2_OPTIONS: Http2Options = {
  ...HTTP2_DEFAULTS,
  initialStreamWindowSize: 1024 * 1024,
  initialConnectionWindowSize: 4 * 1024 * 1024,
  keepaliveTimeoutMs: 1000,
}

export function http2Options(overrides: Partial<Http2Options> = {}, more: Partial<Http2CodecOptions> = {}) {
  return {
    http2: { ...HTTP2_OPTIONS, ...overrides },
    limits: { maxHeadBytes: 60 * 1024, maxHeaders: 100, underscores: 'ALLOW' as const },
    scheme: 'http' as const,
    stats: newHttp2Stats(),
    now: () => 0,
    ...more,
  }
}

/** Keeps what is written; `stalled` makes it a peer that does not read. */
export class MemoryTransport implements Transport {
  private pending: Buffer[] = []
  writableLength = 0
  ended = false
  destroyed = false
  stalled = false
  highWatermark = 65536

  write(data: Buffer | string): boolean {
    const bytes = typeof data === 'string' ? Buffer.from(data, 'latin1') : Buffer.from(data)
    this.pending.push(bytes)
    if (!this.stalled) return true
    this.writableLength += bytes.length
    return this.writableLength < this.highWatermark
  }

  end(): void {
    this.ended = true
  }

  destroy(): void {
    this.destroyed = true
  }

  pauseRead(): void {}
  resumeRead(): void {}

  get hasBytes(): boolean {
    return this.pending.length > 0
  }

  /** Everything written since the last call. */
  take(): Buffer {
    const all = Buffer.concat(this.pending)
    this.pending = []
    this.writableLength = 0
    return all
  }
}
