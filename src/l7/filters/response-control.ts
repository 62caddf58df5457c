// Response-side calls that filters which buffer, delay or re-encode a response need beyond FilterCall. FilterChain implements them
// beside FilterCall; kept apart so that the everyday contract stays small.
//
// A filter that returned null from responseData or responseTrailers owns the rest of the response: it must end it with
// emitResponseData(…, true) or emitResponseTrailers.

import type { HeaderList } from '../codec/header-list.js'
import type { FilterCall, StreamFilter } from './http-filter.js'

/** A whole response body with its trailers. */
export interface HeldResponse {
  readonly body: Buffer
  readonly trailers: HeaderList | null
}

export interface ResponseControl extends FilterCall {
  /** Bytes on their way downstream from `filter`: the filters after it (nearer the client) see them. */
  emitResponseData(filter: StreamFilter, chunk: Buffer, end: boolean): void
  /** The trailers that `filter` kept back, after its last bytes. Ends the response. */
  emitResponseTrailers(filter: StreamFilter, trailers: HeaderList): void
  /** Hold the whole response body, with its trailers, before the head goes on; called from responseHead, which then returns `stop`.
   * Above `maxBytes` the client gets a 500, unless `allowPartial`: then what came so far is given, and the rest follows what is sent
   * instead. `done` gives that, or null: resumeResponseWith will. The head may be changed until then. */
  bufferResponse(maxBytes: number, done: (body: Buffer, trailers: HeaderList | null) => HeldResponse | null, allowPartial?: boolean): void
  /** What the client gets after `done` gave null. */
  resumeResponseWith(body: Buffer, trailers: HeaderList | null): void
  /** Ask the upstream to stop or go on sending while a filter holds bytes back. */
  pauseResponse(): void
  unpauseResponse(): void
}

export function responseControl(call: FilterCall): ResponseControl {
  return call as ResponseControl
}
