// Request-side calls that filters which re-encode or delay a request's body need beyond FilterCall; the counterpart of response-control.ts.
// FilterChain implements them.
//
// A filter that returned null for the end of the body, or for its trailers, must end it with emitRequestData(…, true) or
// emitRequestTrailers, or answer the request.

import type { HeaderList } from '../codec/header-list.js'
import type { FilterCall, StreamFilter } from './http-filter.js'

export interface RequestControl extends FilterCall {
  /** Of what waits at a filter (per_connection_buffer_limit_bytes). */
  readonly bufferLimitBytes: number
  /** Those that came with the body, once it has ended. */
  readonly requestTrailers: HeaderList | null
  /** Bytes on their way upstream from `filter`: the filters after it (nearer the router) see them. */
  emitRequestData(filter: StreamFilter, chunk: Buffer, end: boolean): void
  /** The trailers, after the last bytes. They end the request. */
  emitRequestTrailers(filter: StreamFilter, trailers: HeaderList): void
  /** Ask the client to stop or go on sending while a filter holds bytes back. */
  pauseRequestBody(): void
  unpauseRequestBody(): void
}

export function requestControl(call: FilterCall): RequestControl {
  return call as RequestControl
}
