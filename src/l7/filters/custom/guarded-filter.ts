// A filter of the embedding program in a filter chain: its hooks between the chain and the contract of custom-filter.ts. Made by
// compile-filters.ts once a place in a configuration. Invariant: no exception of a filter leaves this file: it ends the request that it was
// thrown in (500, or a reset where the response has begun), is counted (`http.<prefix>.<filter>.errors`) and logged once a cause.

import { ExceptionLog } from '../../../metrics/exception-log.js'
import type { CustomFilterConfig } from '../../../model/custom-filter.js'
import type { RequestHead, ResponseHead } from '../../codec/codec.js'
import type { HeaderList } from '../../codec/header-list.js'
import type { FilterContext } from '../filter-environment.js'
import type { FilterCall, FilterExplanation, FilterFactory, FilterStatus, StreamFilter } from '../http-filter.js'
import type { HttpStreamFilter, OpenStreamFilter } from './custom-filter.js'
import { CustomFilterCall, ResponseView } from './filter-call.js'
import { HeaderView } from './header-view.js'

export function customFilter(name: string, disabled: boolean, { typeName, config }: CustomFilterConfig, ctx: FilterContext): FilterFactory {
  const { env } = ctx
  const scope = ctx.httpScope(name)
  const errors = new ExceptionLog(scope.counter('errors'), stack =>
    env.log('warn', `HTTP filter '${name}' (${typeName}) threw, and its request ends; more of this cause are only counted. ${stack}`),
  )
  const kind: FilterKind = { name, typeName, errors, open: brokenAtStart }
  try {
    const open = env.customFilters.get(typeName)!.create(config, {
      name,
      log: (level, message) => env.log(level, message),
      counter: counter => {
        const handle = scope.counter(counter)
        return { add: (amount = 1) => void (handle.value += amount) }
      },
      onRelease: release => ctx.onRelease(() => contained(errors, release)),
    })
    return { name, disabled, create: call => GuardedFilter.open(call, { ...kind, open }) }
  } catch (error) {
    errors.record(asError(error))
    return { name, disabled, create: call => GuardedFilter.open(call, kind) }
  }
}

const brokenAtStart: OpenStreamFilter = () => {
  throw new Error('the filter could not be created: the first message of this cause says why')
}

function contained(errors: ExceptionLog, task: () => void): void {
  try {
    task()
  } catch (error) {
    errors.record(asError(error))
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}

interface FilterKind {
  readonly name: string
  readonly typeName: string
  readonly errors: ExceptionLog
  readonly open: OpenStreamFilter
}

const NO_HOOKS: HttpStreamFilter = {}

class GuardedFilter implements StreamFilter {
  // The chain does only what the filter has hooks for.
  readonly requestData: StreamFilter['requestData']
  readonly requestTrailers: StreamFilter['requestTrailers']
  readonly responseHead: StreamFilter['responseHead']
  readonly responseData: StreamFilter['responseData']
  readonly responseTrailers: StreamFilter['responseTrailers']
  readonly explain: StreamFilter['explain']
  private readonly kind: FilterKind
  private readonly hooks: HttpStreamFilter
  private readonly view: CustomFilterCall
  /** It threw before it had hooks. */
  private readonly openError: unknown
  /** It has thrown: nothing more is asked of it. */
  private failed = false

  private constructor(kind: FilterKind, hooks: HttpStreamFilter, view: CustomFilterCall, openError: unknown) {
    this.kind = kind
    this.hooks = hooks
    this.view = view
    this.openError = openError
    this.requestData = hooks.onRequestData === undefined ? undefined : this.takeRequestData
    this.requestTrailers = hooks.onRequestTrailers === undefined ? undefined : this.takeRequestTrailers
    this.responseHead = hooks.onResponse === undefined && hooks.onResponseData === undefined ? undefined : this.takeResponseHead
    this.responseData = hooks.onResponseData === undefined ? undefined : this.takeResponseData
    this.responseTrailers = hooks.onResponseTrailers === undefined ? undefined : this.takeResponseTrailers
    this.explain = hooks.onExplain === undefined ? undefined : this.takeExplain
  }

  /** Null: it has nothing to do for this request. */
  static open(call: FilterCall, kind: FilterKind): GuardedFilter | null {
    const view = new CustomFilterCall(call, kind.name, kind.typeName)
    try {
      const hooks = kind.open(view)
      return hooks === null ? null : new GuardedFilter(kind, hooks, view, null)
    } catch (error) {
      return new GuardedFilter(kind, NO_HOOKS, view, error)
    }
  }

  // HOT: hooks that return nothing cost a call and a `try`.
  requestHead(call: FilterCall, head: RequestHead, end: boolean): FilterStatus {
    const { hooks, view } = this
    if (this.openError !== null) return this.fail(call, this.openError)
    if (hooks.onRequestData !== undefined && hooks.changesBodies === true && !end) forgetLength(head)
    if (hooks.onRequest === undefined) return 'continue'
    view.phase = 'request'
    try {
      const waiting = hooks.onRequest(view.request, view, end)
      if (isPromise(waiting)) {
        waiting.then(
          () => {
            view.phase = null
            call.resume()
          },
          error => this.failLater(call, error),
        )
        return 'stop'
      }
    } catch (error) {
      return this.fail(call, error)
    }
    view.phase = null
    return call.ended ? 'stop' : 'continue'
  }

  private takeRequestData(call: FilterCall, chunk: Buffer, end: boolean): Buffer {
    return this.takeData(call, 'onRequestData', chunk, end)
  }

  private takeResponseData(call: FilterCall, chunk: Buffer, end: boolean): Buffer {
    return this.takeData(call, 'onResponseData', chunk, end)
  }

  private takeRequestTrailers(call: FilterCall, trailers: HeaderList): HeaderList {
    return this.takeTrailers(call, 'onRequestTrailers', trailers)
  }

  private takeResponseTrailers(call: FilterCall, trailers: HeaderList): HeaderList {
    return this.takeTrailers(call, 'onResponseTrailers', trailers)
  }

  private takeData(call: FilterCall, hook: 'onRequestData' | 'onResponseData', chunk: Buffer, end: boolean): Buffer {
    if (this.failed) return chunk
    try {
      return this.checked(chunk, this.hooks[hook]!(chunk, end, this.view))
    } catch (error) {
      this.fail(call, error)
      return chunk
    }
  }

  private takeTrailers(call: FilterCall, hook: 'onRequestTrailers' | 'onResponseTrailers', trailers: HeaderList): HeaderList {
    if (this.failed) return trailers
    try {
      this.hooks[hook]!(new HeaderView(trailers), this.view)
    } catch (error) {
      this.fail(call, error)
    }
    return trailers
  }

  private takeResponseHead(call: FilterCall, head: ResponseHead, end: boolean, local: boolean): FilterStatus {
    const { hooks, view } = this
    if (this.failed) return 'continue'
    if (hooks.onResponseData !== undefined && hooks.changesBodies === true && !end) forgetLength(head)
    if (hooks.onResponse === undefined) return 'continue'
    view.enterResponse(head, error => this.fail(call, error))
    try {
      const waiting = hooks.onResponse(new ResponseView(head, local), view, end)
      view.phase = null
      if (!isPromise(waiting)) return view.buffersResponse && !call.ended ? 'stop' : ended(call)
      if (view.buffersResponse) throw new Error('onResponse returns no promise where it calls rewriteResponseBody')
      waiting.then(
        () => call.resumeResponse(),
        error => this.failLater(call, error),
      )
      return 'stop'
    } catch (error) {
      view.phase = null
      return this.fail(call, error)
    }
  }

  /** An exception here ends no request: there is none. */
  private async takeExplain(): Promise<FilterExplanation> {
    const { hooks, view } = this
    try {
      return await hooks.onExplain!(view.request, view)
    } catch (error) {
      return { verdict: 'unknown', reason: `its onExplain failed: ${asError(error).message}` }
    }
  }

  finished(): void {
    const { hooks, view, kind } = this
    view.finish()
    if (hooks.onEnd === undefined) return
    try {
      hooks.onEnd(view)
    } catch (error) {
      kind.errors.record(asError(error))
    }
  }

  // biome-ignore lint/suspicious/noConfusingVoidType: what hooks without a return statement give.
  private checked(chunk: Buffer, replaced: Buffer | undefined | void): Buffer {
    if (replaced === undefined) return chunk
    if (!Buffer.isBuffer(replaced)) throw new TypeError('a data hook returns a Buffer, or nothing')
    if (replaced.length !== chunk.length && this.hooks.changesBodies !== true)
      throw new Error('a data hook that changes the length of a body needs changesBodies')
    return replaced
  }

  private fail(call: FilterCall, error: unknown): FilterStatus {
    this.failed = true
    this.kind.errors.record(asError(error))
    if (!call.ended) call.sendReply(500, `HTTP filter '${this.kind.name}' failed`, 'http_filter_exception', 0)
    return 'stop'
  }

  /** Out of a promise. What it awaited may have failed because the request has ended. */
  private failLater(call: FilterCall, error: unknown): void {
    if (!call.ended) this.fail(call, error)
  }
}

function ended(call: FilterCall): FilterStatus {
  return call.ended ? 'stop' : 'continue'
}

function isPromise(value: unknown): value is Promise<void> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
}

/** The body's length is what comes out. */
function forgetLength(head: RequestHead | ResponseHead): void {
  head.contentLength = -1
  head.headers.remove('content-length')
}
