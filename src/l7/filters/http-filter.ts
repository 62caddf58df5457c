// The contract of HTTP filters. A filter is compiled once per connection manager (FilterFactory) and makes, or shares, one
// StreamFilter per request. Filters run in config order on the request and in reverse on the response; the router is not one of
// them: it is the rest of the request path.
//
// A head hook returns `continue`, or `stop` after it either sent a local reply (call.sendReply) or will call call.resume() later.

import type { HttpFilterOverride } from '../../model/http-filter.js'
import type { RequestHead, ResponseHead } from '../codec/codec.js'
import type { HeaderList } from '../codec/header-list.js'
import type { CompiledRoute } from '../route/compiled-route.js'
import type { StreamInfo } from '../stream/stream-info.js'

export type FilterStatus = 'continue' | 'stop'

/** What a filter may do to the request it is called for. Implemented by FilterChain. */
export interface FilterCall {
  readonly info: StreamInfo
  readonly request: RequestHead
  /** The matched route (matched on first use and cached), or null. */
  readonly route: CompiledRoute | null
  /** The most specific typed_per_filter_config for a filter of that name. */
  overrideFor(filterName: string): HttpFilterOverride | undefined
  /** Those of all levels, the least specific first. */
  overridesFor(filterName: string): readonly HttpFilterOverride[]
  /** Match again before the router runs: the filter changed what routes look at. */
  clearRouteCache(): void
  /** Answer locally; ends the request. */
  sendReply(status: number, body: string, details: string, flags: number, headers?: HeaderList | null): void
  /** Answer with a bare head; ends the request. Neither the route's response headers nor local_reply_config touch it. */
  sendHead(status: number, details: string, headers: HeaderList): void
  /** Go on after `stop`. No effect once the request has ended. */
  resume(): void
  /** Go on with the response after a response hook's `stop`. */
  resumeResponse(): void
  /** True once the request is over: late callbacks must do nothing. */
  readonly ended: boolean
  /** The request is none: nothing of it is counted (explanations). */
  readonly imagined?: boolean
  /** Ask for the whole request body to be held (up to `maxBytes`, else 413 unless `allowPartial`) before `done(body, complete)`. */
  bufferRequest(maxBytes: number, allowPartial: boolean, done: (body: Buffer, complete: boolean) => void): void
  /** In the place of a whole body that was held. Its length is known then. */
  replaceRequestBody(body: Buffer): void
}

/** What a filter would do to a request. */
export interface FilterExplanation {
  /** `unknown`: only a real request shows it. */
  readonly verdict: 'passes' | 'denies' | 'unknown'
  readonly reason: string
  /** The policy, intention or rule that decided. */
  readonly rule?: string
  /** Of the answer, where it denies. */
  readonly status?: number
}

export interface StreamFilter {
  requestHead?(call: FilterCall, head: RequestHead, end: boolean): FilterStatus
  /** Returns what goes on upstream: the chunk, another one, or null to keep it back for now. Called once the filter's own head hook has
   * let the head go on. */
  requestData?(call: FilterCall, chunk: Buffer, end: boolean): Buffer | null
  /** Returns null to keep them back. */
  requestTrailers?(call: FilterCall, trailers: HeaderList): HeaderList | null
  /** 1xx are not shown. Not called for local replies with `local` false only. */
  responseHead?(call: FilterCall, head: ResponseHead, end: boolean, local: boolean): FilterStatus
  /** Returns what goes on downstream: the chunk, another one, or null to keep it back for now. */
  responseData?(call: FilterCall, chunk: Buffer, end: boolean): Buffer | null
  /** Return false to drop the trailers after having sent body bytes with `end` itself. */
  responseTrailers?(call: FilterCall, trailers: HeaderList): HeaderList | null
  /** The request is over, however it ended. */
  finished?(call: FilterCall): void
  /**
   * In the place of requestHead, for a request that is only imagined: decided by the same code, with nothing counted, kept or asked
   * elsewhere. The head may be changed as requestHead would. Absent: only a real request shows what it does.
   */
  explain?(call: FilterCall, head: RequestHead): FilterExplanation | Promise<FilterExplanation>
}

export interface FilterFactory {
  /** Name in the config; per-route overrides use it. */
  readonly name: string
  readonly disabled: boolean
  /** Its response hooks also take the answers of filters before it, which its request hooks never see. */
  readonly seesLocalReplies?: boolean
  /** Null: nothing to do for this request. Stateless filters return one shared object. */
  create(call: FilterCall): StreamFilter | null
}
