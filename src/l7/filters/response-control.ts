// Response-side calls that filters which buffer, delay or re-encode a response need beyond FilterCall. FilterChain implements them
// beside FilterCall; kept apart so that the everyday contract stays small.
//
// A filter that returned null from responseData or responseTrailers owns the rest of the response: it must end it with
// emitResponseData(…, true) or emitResponseTrailers.

import type { RequestHead } from '../codec/codec.js'
import type { HeaderList } from '../codec/header-list.js'
import type { FilterCall, StreamFilter } from './http-filter.js'

export type RedirectOutcome = 'redirected' | 'no-route' | 'incomplete'

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
  /** From responseHead, which then returns `stop`: an answer of our own in the response's place. It goes to the client past all filters,
   * which have begun with the response that it replaces. */
  replaceResponse(status: number, body: string, details: string, headers: HeaderList): void
  /** From responseHead, which then returns `stop` if it is `redirected`: another request takes this one's stream, without a body. Its
   * filters find `state` as CUSTOM_RESPONSE_STATE. `incomplete`: the client has not sent all of its own yet. */
  redirect(head: RequestHead, state: object): RedirectOutcome
  /** Ask the upstream to stop or go on sending while a filter holds bytes back. */
  pauseResponse(): void
  unpauseResponse(): void
}

export function responseControl(call: FilterCall): ResponseControl {
  return call as ResponseControl
}
