// envoy.filters.http.cors: answers preflights and marks cross-origin responses, by the policies of the route, the virtual host and the table (the
// filter itself has none): what one leaves unset, the next says; whether it is on, the first alone. An origin that is not allowed is
// forwarded without marks: the browser then refuses it to the script.

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
  const compiled = new WeakMap<HttpFilterOverride, CompiledCors>()
  return {
    name,
    disabled,
    create(call: FilterCall): StreamFilter | null {
      // As in Envoy, answers that routes give themselves have nothing to do with it.
      if (!call.request.headers.has('origin') || call.route === null || call.route.forward === null) return null
      const levels = policiesOf(call, name)
      const override = levels[0]
      if (override === undefined) return null
      let policy = compiled.get(override)
      // A route may stay what it is while its virtual host changes.
      if (policy === undefined || !policy.isOf(levels)) {
        policy = new CompiledCors(levels, ctx)
        compiled.set(override, policy)
      }
      const enabled = policy.enabled === null || policy.enabled(ctx.random())
      const shadow = !enabled && policy.shadow !== null && policy.shadow(ctx.random())
      return enabled || shadow ? new CorsFilter(policy, stats, enabled) : null
    },
  }
}

type CorsOverride = Extract<HttpFilterOverride, { kind: 'cors' }>

/** The most specific first. */
function policiesOf(call: FilterCall, name: string): readonly CorsOverride[] {
  const own = call.overridesFor(name).filter(isCors)
  const levels = own.length > 0 || name === WELL_KNOWN_NAME ? own : call.overridesFor(WELL_KNOWN_NAME).filter(isCors)
  return levels.reverse()
}

function isCors(override: HttpFilterOverride): override is CorsOverride {
  return override.kind === 'cors'
}

/** `levels`: at least one. */
function merged(levels: readonly CorsPolicy[]): CorsPolicy {
  const text = (of: (policy: CorsPolicy) => string): string => levels.map(of).find(value => value !== '') ?? ''
  const flag = (of: (policy: CorsPolicy) => boolean | null): boolean | null => levels.map(of).find(value => value !== null) ?? null
  return {
    ...levels[0]!,
    allowOrigin: levels.find(({ allowOrigin }) => allowOrigin.length > 0)?.allowOrigin ?? [],
    allowMethods: text(({ allowMethods }) => allowMethods),
    allowHeaders: text(({ allowHeaders }) => allowHeaders),
    exposeHeaders: text(({ exposeHeaders }) => exposeHeaders),
    maxAge: text(({ maxAge }) => maxAge),
    allowCredentials: flag(({ allowCredentials }) => allowCredentials),
    allowPrivateNetworkAccess: flag(({ allowPrivateNetworkAccess }) => allowPrivateNetworkAccess),
    forwardNotMatchingPreflights: flag(({ forwardNotMatchingPreflights }) => forwardNotMatchingPreflights),
  }
}

class CompiledCors {
  private readonly levels: readonly CorsOverride[]
  readonly model: CorsPolicy
  readonly allows: ((origin: string) => boolean) | null
  readonly enabled: FractionTest | null
  /** Null: no shadow. */
  readonly shadow: FractionTest | null

  constructor(levels: readonly CorsOverride[], ctx: FilterContext) {
    const model = merged(levels.map(({ config }) => config))
    this.levels = levels
    this.model = model
    const allows = compileStringMatchers(model.allowOrigin)
    // As in Envoy: a matcher that matches a literal `*` stands for every origin.
    this.allows = allows?.('*') === true ? () => true : allows
    this.enabled = compileRuntimeFraction(model.enabled, ctx.runtime)
    this.shadow = model.shadowEnabled === null ? null : (compileRuntimeFraction(model.shadowEnabled, ctx.runtime) ?? (() => true))
  }

  isOf(levels: readonly CorsOverride[]): boolean {
    return levels.length === this.levels.length && levels.every((level, i) => level === this.levels[i])
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
      if (!this.enabled || !preflight || model.forwardNotMatchingPreflights !== false) return 'continue'
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
    const given = (allowed: string, asked: string): string => (allowed === '*' ? (headers.getJoined(asked) ?? '') : allowed)
    if (model.allowMethods !== '') answer.append('access-control-allow-methods', given(model.allowMethods, 'access-control-request-method'))
    if (model.allowHeaders !== '')
      answer.append('access-control-allow-headers', given(model.allowHeaders, 'access-control-request-headers'))
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
