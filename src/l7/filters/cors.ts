// envoy.filters.http.cors: answers preflights and marks cross-origin responses, by the policy of the route or virtual host (the
// filter itself has none). An origin that is not allowed is forwarded without marks: the browser then refuses it to the script.

import type { CorsPolicy, HttpFilterOverride } from '../../model/http-filter.js'
import type { RequestHead, ResponseHead } from '../codec/codec.js'
import { HeaderList } from '../codec/header-list.js'
import { compileRuntimeFraction, type FractionTest } from '../match/runtime-fraction.js'
import { compileStringMatchers } from '../match/string-matcher.js'
import type { FilterContext } from './filter-environment.js'
import type { FilterCall, FilterFactory, FilterStatus, StreamFilter } from './http-filter.js'

/** The deprecated `cors` field of routes is kept under the filter's well-known name. */
const WELL_KNOWN_NAME = 'envoy.filters.http.cors'

type CorsStats = Readonly<Record<'origin_valid' | 'origin_invalid', { value: number }>>

export function corsFilter(name: string, disabled: boolean, ctx: FilterContext): FilterFactory {
  const stats = ctx.httpCounters('cors', ['origin_valid', 'origin_invalid'])
  const policies = new WeakMap<HttpFilterOverride, CompiledCors>()
  return {
    name,
    disabled,
    create(call: FilterCall): StreamFilter | null {
      if (!call.request.headers.has('origin')) return null
      const override = call.overrideFor(name) ?? call.overrideFor(WELL_KNOWN_NAME)
      if (override?.kind !== 'cors') return null
      let policy = policies.get(override)
      if (policy === undefined) {
        policy = new CompiledCors(override.config, ctx)
        policies.set(override, policy)
      }
      const enabled = policy.enabled === null || policy.enabled(ctx.random())
      const shadow = !enabled && policy.shadow !== null && policy.shadow(ctx.random())
      return enabled || shadow ? new CorsFilter(policy, stats, enabled) : null
    },
  }
}

class CompiledCors {
  readonly model: CorsPolicy
  readonly allows: ((origin: string) => boolean) | null
  readonly enabled: FractionTest | null
  /** Null: no shadow. */
  readonly shadow: FractionTest | null

  constructor(model: CorsPolicy, ctx: FilterContext) {
    this.model = model
    const allows = compileStringMatchers(model.allowOrigin)
    // As in Envoy: a matcher that matches a literal `*` stands for every origin.
    this.allows = allows?.('*') === true ? () => true : allows
    this.enabled = compileRuntimeFraction(model.enabled, ctx.runtime)
    this.shadow = model.shadowEnabled === null ? null : (compileRuntimeFraction(model.shadowEnabled, ctx.runtime) ?? (() => true))
  }
}

class CorsFilter implements StreamFilter {
  private readonly policy: CompiledCors
  private readonly stats: CorsStats
  private readonly enabled: boolean
  /** The allowed origin; '' when the response stays unmarked. */
  private origin = ''

  constructor(policy: CompiledCors, stats: CorsStats, enabled: boolean) {
    this.policy = policy
    this.stats = stats
    this.enabled = enabled
  }

  requestHead(call: FilterCall, head: RequestHead): FilterStatus {
    const { headers } = head
    const origin = headers.get('origin')!
    if (origin === '') return 'continue'
    const { model } = this.policy
    const preflight = head.method === 'OPTIONS' && (headers.get('access-control-request-method') ?? '') !== ''
    if (this.policy.allows === null || headers.indexOf('origin', headers.indexOf('origin') + 1) !== -1 || !this.policy.allows(origin)) {
      this.stats.origin_invalid.value++
      if (!this.enabled || !preflight || model.forwardNotMatchingPreflights) return 'continue'
      // Without allow-origin the browser refuses it, whatever the rest says; Envoy sends the rest.
      const answer = this.preflightAnswer(headers)
      if (model.allowCredentials) answer.append('access-control-allow-credentials', 'true')
      call.sendHead(200, 'cors_response', answer)
      return 'stop'
    }
    this.stats.origin_valid.value++
    if (!this.enabled) return 'continue'
    this.origin = origin
    if (!preflight) return 'continue'
    // The origin and credentials fields are added by responseHead, as to every response.
    call.sendHead(200, 'cors_response', this.preflightAnswer(headers))
    return 'stop'
  }

  private preflightAnswer(headers: HeaderList): HeaderList {
    const { model } = this.policy
    const answer = new HeaderList()
    if (model.allowMethods !== '') answer.append('access-control-allow-methods', model.allowMethods)
    if (model.allowHeaders !== '') answer.append('access-control-allow-headers', model.allowHeaders)
    if (model.maxAge !== '') answer.append('access-control-max-age', model.maxAge)
    if (model.allowPrivateNetworkAccess && headers.get('access-control-request-private-network') === 'true')
      answer.append('access-control-allow-private-network', 'true')
    return answer
  }

  responseHead(_call: FilterCall, head: ResponseHead): FilterStatus {
    if (this.origin === '') return 'continue'
    const { model } = this.policy
    const { headers } = head
    headers.set('access-control-allow-origin', this.origin)
    if (model.allowCredentials) headers.set('access-control-allow-credentials', 'true')
    if (model.exposeHeaders !== '') headers.set('access-control-expose-headers', model.exposeHeaders)
    return 'continue'
  }
}
