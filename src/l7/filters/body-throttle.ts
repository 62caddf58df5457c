// Lets a body through as fast as a bucket of bytes allows: the fault filter's response rate limit, and bandwidth_limit in both directions.
// What the bucket does not give waits here for the next interval; the sender is paused while more than `maxBytes` wait.

import type { Clock, Timer } from '../../io/clock.js'
import { TokenBucket } from '../../io/token-bucket.js'
import type { HeaderList } from '../codec/header-list.js'
import type { StreamFilter } from './http-filter.js'
import type { RequestControl } from './request-control.js'
import type { ResponseControl } from './response-control.js'

/** Waits in any case, whatever a slow limit makes of it. */
export const MIN_WAITING_BYTES = 64 * 1024
const EMPTY = Buffer.alloc(0)
const BYTES_PER_KILOBYTE = 1024

/** The body of one direction, as its filter has it. */
export interface ThrottledBody {
  readonly ended: boolean
  emit(chunk: Buffer, end: boolean): void
  emitTrailers(trailers: HeaderList): void
  pause(): void
  unpause(): void
}

/** What its filter hears. */
export interface ThrottleWatcher {
  /** So many bytes go on now, and so many wait for the next interval. */
  onReleased(bytes: number, waiting: number): void
  /** Before the end goes on. `trailers` may be changed still. */
  onEnd(trailers: HeaderList | null): void
}

export function throttledRequest(filter: StreamFilter, control: RequestControl): ThrottledBody {
  return {
    get ended() {
      return control.ended
    },
    emit: (chunk, end) => control.emitRequestData(filter, chunk, end),
    emitTrailers: trailers => control.emitRequestTrailers(filter, trailers),
    pause: () => control.pauseRequestBody(),
    unpause: () => control.unpauseRequestBody(),
  }
}

export function throttledResponse(filter: StreamFilter, control: ResponseControl): ThrottledBody {
  return {
    get ended() {
      return control.ended
    },
    emit: (chunk, end) => control.emitResponseData(filter, chunk, end),
    emitTrailers: trailers => control.emitResponseTrailers(filter, trailers),
    pause: () => control.pauseResponse(),
    unpause: () => control.unpauseResponse(),
  }
}

/** So many KiB a second, as Envoy fills it: it holds a second's worth at most, and has one interval's at first. */
export function byteBucket(kilobytesPerSecond: number, fillIntervalMs: number, clock: Clock): TokenBucket {
  const bytes = kilobytesPerSecond * BYTES_PER_KILOBYTE
  const config = { maxTokens: bytes, tokensPerFill: bytes, fillIntervalMs: 1000 }
  return new TokenBucket(config, clock, Math.floor((bytes * fillIntervalMs) / 1000))
}

export class BodyThrottle {
  private readonly body: ThrottledBody
  private readonly clock: Clock
  private readonly bucket: TokenBucket
  private readonly intervalMs: number
  private readonly maxBytes: number
  private readonly watcher: ThrottleWatcher | null
  private queue: Buffer[] = []
  private queued = 0
  private ending = false
  private trailers: HeaderList | null = null
  private timer: Timer | null = null
  private paused = false

  /** `bufferLimitBytes`: the most that may wait; less does where the limit is slow. */
  constructor(
    body: ThrottledBody,
    clock: Clock,
    bucket: TokenBucket,
    intervalMs: number,
    bufferLimitBytes: number,
    watcher: ThrottleWatcher | null,
  ) {
    this.body = body
    this.clock = clock
    this.bucket = bucket
    this.intervalMs = intervalMs
    // Two intervals' worth keep the bucket empty.
    const useful = (2 * bucket.config.tokensPerFill * intervalMs) / bucket.config.fillIntervalMs
    this.maxBytes = Math.min(bufferLimitBytes, Math.max(MIN_WAITING_BYTES, useful))
    this.watcher = watcher
  }

  /** True: the chunk may go on as it is. False: it is kept, and will be emitted. */
  pass(chunk: Buffer, end: boolean): boolean {
    if (this.queued === 0 && this.timer === null && this.bucket.takeAll(chunk.length)) {
      this.watcher?.onReleased(chunk.length, 0)
      if (end) this.watcher?.onEnd(null)
      return true
    }
    this.push(chunk, end)
    return false
  }

  push(chunk: Buffer, end: boolean): void {
    if (chunk.length > 0) {
      this.queue.push(chunk)
      this.queued += chunk.length
    }
    if (end) this.ending = true
    if (!end && this.queued > this.maxBytes && !this.paused) {
      this.paused = true
      this.body.pause()
    }
    this.schedule(0)
  }

  /** The body is over, and they follow. True: they may go on as they are. */
  passTrailers(trailers: HeaderList): boolean {
    if (this.queued === 0 && this.timer === null) {
      this.watcher?.onEnd(trailers)
      return true
    }
    this.endWith(trailers)
    return false
  }

  /** The body is over, and they follow. */
  endWith(trailers: HeaderList): void {
    this.ending = true
    this.trailers = trailers
    this.schedule(0)
  }

  cancel(): void {
    this.timer?.cancel()
    this.timer = null
    this.queue = []
  }

  /** Kept bytes leave from a timer only: whoever pushed them has told its caller that it keeps them. */
  private schedule(ms: number): void {
    this.timer ??= this.clock.after(ms, () => {
      this.timer = null
      this.release()
    })
  }

  private release(): void {
    const { body, watcher } = this
    if (body.ended) return
    const bytes = this.take(this.bucket.takeUpTo(this.queued))
    watcher?.onReleased(bytes.length, this.queued)
    if (this.queued > 0) this.schedule(this.intervalMs)
    const last = this.queued === 0 && this.ending
    if (last) watcher?.onEnd(this.trailers)
    const trailers = this.trailers === null || this.trailers.length === 0 ? null : this.trailers
    if (bytes.length > 0 || (last && trailers === null)) body.emit(bytes, last && trailers === null)
    if (last && trailers !== null) body.emitTrailers(trailers)
    if (last || body.ended) return
    if (this.paused && this.queued <= this.maxBytes / 2) {
      this.paused = false
      body.unpause()
    }
  }

  private take(count: number): Buffer {
    const parts: Buffer[] = []
    let left = count
    while (left > 0) {
      const first = this.queue[0]!
      const part = first.subarray(0, left)
      if (part.length === first.length) this.queue.shift()
      else this.queue[0] = first.subarray(part.length)
      left -= part.length
      parts.push(part)
    }
    this.queued -= count
    return parts.length === 0 ? EMPTY : parts.length === 1 ? parts[0]! : Buffer.concat(parts)
  }
}
