// What a tracer is: it begins spans from the context that came with a request, passes contexts on, and sends finished spans. OpenTelemetry
// and Zipkin implement it; RequestTrace calls it.

import type { RequestHead } from '../codec/codec.js'
import type { HeaderList } from '../codec/header-list.js'
import type { Span, SpanKind } from './span.js'

export interface SpanStart {
  /** What it is called where the tracer has no habit of its own. */
  readonly operation: string
  readonly kind: SpanKind
  readonly startMs: number
  /** The decision of the connection manager. */
  readonly traced: boolean
}

export interface Tracer {
  /** Null: the context that came cannot be read; nothing is sent, and it goes on as it came. */
  start(request: RequestHead, start: SpanStart): Span | null
  child(parent: Span, name: string, startMs: number): Span
  inject(span: Span, headers: HeaderList): void
  /** A span that has ended and is sampled. */
  report(span: Span): void
  /** What waits is sent; no more will come. Resolves once the collector has it, or has had its time. */
  close(): Promise<void>
}
