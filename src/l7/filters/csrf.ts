// envoy.filters.http.csrf: a state-changing request (POST, PUT, DELETE, PATCH) must come from the host it goes to, or from one of the
// additional origins. Stateless but for the policy: one shared object per policy.

import type { CsrfPolicy, HttpFilterOverride } from '../../model/http-filter.js'
import type { RequestHead } from '../codec/codec.js'
import type { HeaderList } from '../codec/header-list.js'
import { compileRuntimeFraction, type FractionTest } from '../match/runtime-fraction.js'
import { compileStringMatchers } from '../match/string-matcher.js'
import type { FilterContext } from './filter-environment.js'
import type { FilterCall, FilterFactory, FilterStatus, StreamFilter } from './http-filter.js'

const COUNTERS = ['missing_source_origin', 'request_invalid', 'request_valid'] as const
type CsrfStats = Readonly<Record<(typeof COUNTERS)[number], { value: number }>>

export function csrfFilter(name: string, disabled: boolean, config: CsrfPolicy, ctx: FilterContext): FilterFactory {
  const stats = ctx.httpCounters('csrf', COUNTERS)
  const own = new CsrfFilter(config, stats, ctx)
  const byOverride = new WeakMap<HttpFilterOverride, CsrfFilter>()
  return {
    name,
    disabled,
    create(call: FilterCall): StreamFilter | null {
      switch (call.request.method) {
        case 'POST':
        case 'PUT':
        case 'DELETE':
        case 'PATCH':
          break
        default:
          return null
      }
      const override = call.overrideFor(name)
      if (override?.kind !== 'csrf') return own
      let filter = byOverride.get(override)
      if (filter === undefined) {
        filter = new CsrfFilter(override.config, stats, ctx)
        byOverride.set(override, filter)
      }
      return filter
    },
  }
}

class CsrfFilter implements StreamFilter {
  private readonly enabled: FractionTest | null
  private readonly shadow: FractionTest | null
  private readonly hasShadow: boolean
  private readonly additional: ((origin: string) => boolean) | null
  private readonly stats: CsrfStats
  private readonly random: () => number

  constructor(policy: CsrfPolicy, stats: CsrfStats, ctx: FilterContext) {
    this.enabled = compileRuntimeFraction(policy.enabled, ctx.runtime)
    this.hasShadow = policy.shadowEnabled !== null
    this.shadow = compileRuntimeFraction(policy.shadowEnabled, ctx.runtime)
    this.additional = compileStringMatchers(policy.additionalOrigins)
    this.stats = stats
    this.random = ctx.random
  }

  requestHead(call: FilterCall, head: RequestHead): FilterStatus {
    const enabled = this.enabled === null || this.enabled(this.random())
    if (!enabled && !(this.hasShadow && (this.shadow === null || this.shadow(this.random())))) return 'continue'
    const { headers } = head
    const source = sourceOf(headers)
    if (source === '') this.stats.missing_source_origin.value++
    else if (source === head.authority || this.additional?.(source) === true) {
      this.stats.request_valid.value++
      return 'continue'
    } else this.stats.request_invalid.value++
    if (!enabled) return 'continue'
    call.sendReply(403, 'Invalid origin', 'csrf_origin_mismatch', 0)
    return 'stop'
  }
}

/** '' where nobody says it; a browser that keeps it to itself says `null`, whatever stands in Referer. */
function sourceOf(headers: HeaderList): string {
  const origin = headers.get('origin') ?? ''
  return origin === 'null' ? '' : hostAndPort(origin) || hostAndPort(headers.get('referer') ?? '')
}

/** Host and port of an absolute URL; anything else as it is. */
function hostAndPort(url: string): string {
  const scheme = url.indexOf('://')
  if (scheme === -1) return url
  const start = scheme + 3
  let end = start
  while (end < url.length && url[end] !== '/' && url[end] !== '?' && url[end] !== '#') end++
  const authority = url.slice(start, end)
  return authority.slice(authority.lastIndexOf('@') + 1)
}
