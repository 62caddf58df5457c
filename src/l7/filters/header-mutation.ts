// envoy.filters.http.header_mutation: removes and appends in the order of the config, on requests and responses. The route's
// mutations run after the filter's own (Envoy: both apply, from the least specific on).

import type { HeaderMutationConfig, HttpFilterOverride } from '../../model/http-filter.js'
import type { RequestHead, ResponseHead } from '../codec/codec.js'
import type { HeaderList } from '../codec/header-list.js'
import type { StreamInfo } from '../stream/stream-info.js'
import { CompiledHeaderOption } from './header-options.js'
import type { FilterCall, FilterExplanation, FilterFactory, FilterStatus, StreamFilter } from './http-filter.js'

export function headerMutationFilter(name: string, disabled: boolean, config: HeaderMutationConfig): FilterFactory {
  const own = new CompiledMutations(config)
  const shared = new HeaderMutationFilter(own, null)
  const byOverride = new WeakMap<HttpFilterOverride, HeaderMutationFilter>()
  return {
    name,
    disabled,
    seesLocalReplies: true,
    create(call: FilterCall): StreamFilter | null {
      const override = call.overrideFor(name)
      if (override?.kind !== 'headerMutation') return own.empty ? null : shared
      let filter = byOverride.get(override)
      if (filter === undefined) {
        filter = new HeaderMutationFilter(own, new CompiledMutations(override.config))
        byOverride.set(override, filter)
      }
      return filter
    },
  }
}

type Step = { readonly remove: string } | { readonly option: CompiledHeaderOption }

class CompiledMutations {
  readonly request: readonly Step[]
  readonly response: readonly Step[]

  constructor(config: HeaderMutationConfig) {
    this.request = compileSteps(config.request)
    this.response = compileSteps(config.response)
  }

  get empty(): boolean {
    return this.request.length === 0 && this.response.length === 0
  }
}

function compileSteps(mutations: HeaderMutationConfig['request']): readonly Step[] {
  return mutations.map(mutation =>
    mutation.kind === 'remove' ? { remove: mutation.name.toLowerCase() } : { option: new CompiledHeaderOption(mutation.option) },
  )
}

class HeaderMutationFilter implements StreamFilter {
  private readonly own: CompiledMutations
  private readonly route: CompiledMutations | null

  constructor(own: CompiledMutations, route: CompiledMutations | null) {
    this.own = own
    this.route = route
  }

  requestHead(call: FilterCall, head: RequestHead): FilterStatus {
    run(this.own.request, head.headers, call.info, head)
    if (this.route !== null) run(this.route.request, head.headers, call.info, head)
    return 'continue'
  }

  explain(call: FilterCall, head: RequestHead): FilterExplanation {
    this.requestHead(call, head)
    return { verdict: 'passes', reason: 'its header mutations are applied' }
  }

  responseHead(call: FilterCall, head: ResponseHead): FilterStatus {
    run(this.own.response, head.headers, call.info, null)
    if (this.route !== null) run(this.route.response, head.headers, call.info, null)
    return 'continue'
  }
}

function run(steps: readonly Step[], headers: HeaderList, info: StreamInfo, head: RequestHead | null): void {
  for (const step of steps) {
    if ('remove' in step) headers.remove(step.remove)
    else step.option.apply(headers, info, head)
  }
}
