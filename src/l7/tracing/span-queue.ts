// Spans that wait to be sent: gathered to few requests, bounded in number, with few requests under way. One a tracer; it is told how a batch
// is sent. Invariant: a collector that is away or slow costs spans, counted, and never a request's time nor the process's memory.

import type { Clock, Timer } from '../../io/clock.js'
import type { Span } from './span.js'

/** A process that ends waits this long for its collector. */
const EXIT_WAIT_MS = 1000
/** Batches that wait for their answer; further ones wait in the queue. */
export const MAX_BATCHES_UNDER_WAY = 8

export interface SpanQueueOptions {
  readonly clock: Clock
  readonly maxSpans: number
  /** Read at each decision: they are runtime keys. */
  readonly minFlushSpans: () => number
  readonly flushIntervalMs: () => number
  /** `done` once. */
  readonly send: (spans: readonly Span[], done: () => void) => void
  readonly onTimer: () => void
  readonly onDropped: () => void
}

export class SpanQueue {
  private readonly options: SpanQueueOptions
  private spans: Span[] = []
  private underWay = 0
  private timer: Timer
  private closed = false
  private onIdle: (() => void) | null = null

  constructor(options: SpanQueueOptions) {
    this.options = options
    this.timer = this.arm()
  }

  add(span: Span): void {
    const { maxSpans, minFlushSpans, onDropped } = this.options
    if (this.closed || this.spans.length >= maxSpans) {
      onDropped()
      return
    }
    this.spans.push(span)
    if (this.spans.length >= minFlushSpans()) this.flush()
  }

  /** What waits is sent. Resolves when it has been answered, or after EXIT_WAIT_MS. */
  close(): Promise<void> {
    if (this.spans.length > 0) this.send()
    this.closed = true
    this.timer.cancel()
    if (this.underWay === 0) return Promise.resolve()
    return new Promise(resolve => {
      this.onIdle = resolve
      this.options.clock.after(EXIT_WAIT_MS, resolve)
    })
  }

  private arm(): Timer {
    const { clock, flushIntervalMs, onTimer } = this.options
    return clock.after(flushIntervalMs(), () => {
      onTimer()
      this.flush()
      this.timer = this.arm()
    })
  }

  private flush(): void {
    if (this.spans.length > 0 && this.underWay < MAX_BATCHES_UNDER_WAY) this.send()
  }

  private send(): void {
    const { spans } = this
    this.spans = []
    this.underWay++
    this.options.send(spans, () => {
      this.underWay--
      if (this.underWay === 0) this.onIdle?.()
    })
  }
}
