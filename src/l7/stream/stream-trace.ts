// The trace of a request as everyone but l7/tracing sees it: ids for formatters, hooks for the steps of a request and of its tries.
// Null on a StreamInfo that is not traced, which costs one check a hook. RequestTrace implements it.

import type { Host } from '../../upstream/host/host.js'
import type { RequestHead, ResponseHead } from '../codec/codec.js'
import type { HeaderList } from '../codec/header-list.js'
import type { UpstreamFailure } from './upstream-failure.js'

/** The span of one try. */
export interface TryTrace {
  /** Its connection speaks `HTTP/1.1` or `HTTP/2`; the request leaves now. */
  sent(protocol: string): void
  responded(head: ResponseHead): void
  /** It ended without an answer, or ran out of its time. */
  failed(failure: UpstreamFailure): void
  canceled(): void
  /** Once, after all of these. */
  end(): void
}

export interface StreamTrace {
  /** Chosen to be traced, whether or not a span goes out. */
  readonly traced: boolean
  /** '' where there is no span. */
  readonly traceId: string
  readonly spanId: string
  /** Null where tries have no spans of their own. `attempt`: from 1. */
  startTry(host: Host, attempt: number): TryTrace | null
  /** What the upstream is told: of the try's span, or of the request's. */
  inject(request: RequestHead, attempt: TryTrace | null): void
  onResponseHead(headers: HeaderList): void
  end(): void
}
