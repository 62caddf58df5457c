// Lets a response through at so many KiB a second: the fault filter's response rate limit. Bytes wait here, in slices of 50 ms; the
// upstream is paused while more than MAX_THROTTLED_BYTES wait.

import type { Clock, Timer } from '../../io/clock.js'
import type { HeaderList } from '../codec/header-list.js'
import type { StreamFilter } from './http-filter.js'
import type { ResponseControl } from './response-control.js'

const SLICE_MS = 50
export const MAX_THROTTLED_BYTES = 64 * 1024
const EMPTY = Buffer.alloc(0)

export class ResponseThrottle {
  private readonly owner: StreamFilter
  private readonly call: ResponseControl
  private readonly clock: Clock
  private readonly bytesPerSlice: number
  private queue: Buffer[] = []
  private queued = 0
  private ended = false
  private trailers: HeaderList | null = null
  private timer: Timer | null = null
  private paused = false
  /** Bytes that may still leave in this slice. */
  private allowance: number

  constructor(owner: StreamFilter, call: ResponseControl, clock: Clock, kilobytesPerSecond: number) {
    this.owner = owner
    this.call = call
    this.clock = clock
    this.bytesPerSlice = Math.max(1, Math.floor((kilobytesPerSecond * 1024 * SLICE_MS) / 1000))
    this.allowance = this.bytesPerSlice
  }

  /** `chunk` is copied. */
  push(chunk: Buffer, end: boolean): void {
    if (chunk.length > 0) {
      this.queue.push(Buffer.from(chunk))
      this.queued += chunk.length
    }
    if (end) this.ended = true
    if (!end && this.queued > MAX_THROTTLED_BYTES && !this.paused) {
      this.paused = true
      this.call.pauseResponse()
    }
    this.schedule()
  }

  endWith(trailers: HeaderList): void {
    this.ended = true
    this.trailers = trailers
    this.schedule()
  }

  cancel(): void {
    this.timer?.cancel()
    this.timer = null
    this.queue = []
  }

  /** Bytes leave from a timer only, never inside push: the caller has told the exchange that it keeps them. */
  private schedule(): void {
    this.timer ??= this.clock.after(this.allowance > 0 ? 0 : SLICE_MS, () => {
      this.timer = null
      if (this.allowance <= 0) this.allowance = this.bytesPerSlice
      this.release()
    })
  }

  private release(): void {
    if (this.call.ended) return
    const parts: Buffer[] = []
    while (this.allowance > 0 && this.queue.length > 0) {
      const first = this.queue[0]!
      const part = first.subarray(0, this.allowance)
      if (part.length === first.length) this.queue.shift()
      else this.queue[0] = first.subarray(part.length)
      this.allowance -= part.length
      this.queued -= part.length
      parts.push(part)
    }
    const last = this.queue.length === 0 && this.ended
    const bytes = parts.length === 0 ? EMPTY : parts.length === 1 ? parts[0]! : Buffer.concat(parts)
    if (last && this.trailers !== null) {
      if (bytes.length > 0) this.call.emitResponseData(this.owner, bytes, false)
      this.call.emitResponseTrailers(this.owner, this.trailers)
      return
    }
    if (bytes.length > 0 || last) this.call.emitResponseData(this.owner, bytes, last)
    if (last || this.call.ended) return
    if (this.queue.length > 0) this.schedule()
    // An answer that comes slower than the limit gains no credit beyond one slice.
    else this.allowance = Math.max(this.allowance, 1)
    if (this.paused && this.queued <= MAX_THROTTLED_BYTES / 2) {
      this.paused = false
      this.call.unpauseResponse()
    }
  }
}
