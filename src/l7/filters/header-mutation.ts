// envoy.filters.http.header_mutation: removes and appends in the order of the config, in heads, trailers and the query. After the filter's
// own mutations come those of every level of the routes: the most specific first, or last where it shall win.

import type { HeaderMutationConfig, HttpFilter } from '../../model/http-filter.js'
import type { RequestHead, ResponseHead } from '../codec/codec.js'
import type { HeaderList } from '../codec/header-list.js'
import { compileOnce } from './compile-once.js'
import type { FilterCall, FilterExplanation, FilterFactory, FilterStatus, StreamFilter } from './http-filter.js'
import { MutationList } from './mutation-list.js'
import { QueryMutationList } from './query-mutation-list.js'

type Config = Extract<HttpFilter, { kind: 'headerMutation' }>

export function headerMutationFilter(name: string, disabled: boolean, { config, mostSpecificWins }: Config): FilterFactory {
  const own = new CompiledMutations(config)
  const alone = filterOf([own])
  const compiled = compileOnce((of: HeaderMutationConfig) => new CompiledMutations(of))
  return {
    name,
    disabled,
    seesLocalReplies: true,
    create(call: FilterCall): StreamFilter | null {
      if (call.overrideFor(name) === undefined) return alone
      const levels: CompiledMutations[] = []
      for (const override of call.overridesFor(name)) if (override.kind === 'headerMutation') levels.push(compiled(override.config))
      if (!mostSpecificWins) levels.reverse()
      return filterOf([own, ...levels])
    },
  }
}

class CompiledMutations {
  readonly request: MutationList
  readonly response: MutationList
  readonly requestTrailers: MutationList
  readonly responseTrailers: MutationList
  readonly query: QueryMutationList

  constructor(config: HeaderMutationConfig) {
    this.request = new MutationList(config.request)
    this.response = new MutationList(config.response)
    this.requestTrailers = new MutationList(config.requestTrailers)
    this.responseTrailers = new MutationList(config.responseTrailers)
    this.query = new QueryMutationList(config.query)
  }

  get empty(): boolean {
    return this.request.empty && this.response.empty && this.query.empty && !this.changesTrailers
  }

  get changesTrailers(): boolean {
    return !this.requestTrailers.empty || !this.responseTrailers.empty
  }
}

/** Null: there is nothing to do. Bodies are shown to filters with trailers alone. */
function filterOf(levels: readonly CompiledMutations[]): StreamFilter | null {
  const busy = levels.filter(level => !level.empty)
  if (busy.length === 0) return null
  return busy.some(level => level.changesTrailers) ? new TrailerMutationFilter(busy) : new HeaderMutationFilter(busy)
}

class HeaderMutationFilter implements StreamFilter {
  protected readonly levels: readonly CompiledMutations[]

  constructor(levels: readonly CompiledMutations[]) {
    this.levels = levels
  }

  requestHead(call: FilterCall, head: RequestHead): FilterStatus {
    for (const { request, query } of this.levels) {
      request.apply(head.headers, call.info, head)
      if (!query.empty) query.apply(head, call.info)
    }
    return 'continue'
  }

  explain(call: FilterCall, head: RequestHead): FilterExplanation {
    this.requestHead(call, head)
    return { verdict: 'passes', reason: 'its header mutations are applied' }
  }

  responseHead(call: FilterCall, head: ResponseHead): FilterStatus {
    for (const { response } of this.levels) response.apply(head.headers, call.info, null)
    return 'continue'
  }
}

class TrailerMutationFilter extends HeaderMutationFilter {
  requestTrailers(call: FilterCall, trailers: HeaderList): HeaderList {
    for (const { requestTrailers } of this.levels) requestTrailers.apply(trailers, call.info, null)
    return trailers
  }

  responseTrailers(call: FilterCall, trailers: HeaderList): HeaderList {
    for (const { responseTrailers } of this.levels) responseTrailers.apply(trailers, call.info, null)
    return trailers
  }
}
