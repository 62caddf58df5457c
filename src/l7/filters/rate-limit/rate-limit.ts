// envoy.filters.http.ratelimit: asks the rate limit service (ShouldRateLimit) whether the request's descriptors are over their
// limits. A service that does not answer in time lets requests pass, unless failure_mode_deny is set.

import { grpcServiceName, grpcServicePlace } from '../../../model/grpc-service.js'
import type { HostRateLimits, RateLimitConfig } from '../../../model/http-filter.js'
import type { AsyncCall } from '../../client/async-client.js'
import type { RequestHead, ResponseHead } from '../../codec/codec.js'
import { HeaderList } from '../../codec/header-list.js'
import { ResponseFlag } from '../../stream/response-flags.js'
import { type FilterContext, PerCluster } from '../filter-environment.js'
import { compileHeaderOptions } from '../header-options.js'
import type { FilterCall, FilterFactory, FilterStatus, StreamFilter } from '../http-filter.js'
import { targetCluster } from '../route-target.js'
import { isSafeHeader } from '../safe-header.js'
import { DescriptorSource } from './rate-limit-descriptors.js'
import { decodeRateLimitResponse, encodeRateLimitRequest, type RateLimitAnswer, SHOULD_RATE_LIMIT } from './rate-limit-messages.js'

const METADATA_NAMESPACE = 'envoy.filters.http.ratelimit'
const GRPC_RESOURCE_EXHAUSTED = '8'

export function rateLimitFilter(name: string, disabled: boolean, config: RateLimitConfig, ctx: FilterContext): FilterFactory {
  const shared = new CompiledRateLimit(config, ctx)
  return {
    name,
    disabled,
    create(call: FilterCall): StreamFilter | null {
      if (config.requestType !== 'both') {
        const internal = call.request.headers.get('x-envoy-internal') === 'true'
        if (internal !== (config.requestType === 'internal')) return null
      }
      if (call.route === null) return null
      const override = call.overrideFor(name)
      return override?.kind === 'rateLimit'
        ? new RateLimitFilter(shared, override.hostRateLimits, override.domain || config.domain)
        : new RateLimitFilter(shared, 'override', config.domain)
    },
  }
}

class CompiledRateLimit {
  readonly config: RateLimitConfig
  readonly ctx: FilterContext
  readonly source: DescriptorSource
  readonly responseHeaders
  readonly stats

  constructor(config: RateLimitConfig, ctx: FilterContext) {
    this.config = config
    this.ctx = ctx
    this.source = new DescriptorSource(ctx)
    this.responseHeaders = compileHeaderOptions(config.responseHeadersToAdd)
    this.stats = new PerCluster(ctx, cluster => {
      const scope = ctx.scope(`cluster.${cluster}`).scope('ratelimit')
      return {
        ok: scope.counter('ok'),
        error: scope.counter('error'),
        over_limit: scope.counter('over_limit'),
        failure_mode_allowed: scope.counter('failure_mode_allowed'),
      }
    })
  }

  count(cluster: string, what: 'ok' | 'error' | 'over_limit' | 'failure_mode_allowed'): void {
    const stats = this.stats.get(cluster)
    if (stats !== null) stats[what].value++
  }

  /** `ratelimit.http_filter_enabled` and `.http_filter_enforcing` are percentages, 100 by default. */
  runtimePercent(key: string): boolean {
    const value = this.ctx.runtime.get(key)
    return typeof value !== 'number' || this.ctx.random() * 100 < value
  }
}

class RateLimitFilter implements StreamFilter {
  private readonly limit: CompiledRateLimit
  private readonly hosts: HostRateLimits
  private readonly domain: string
  private pending: AsyncCall | null = null
  private responseHeaders: readonly (readonly [string, string])[] = []

  constructor(limit: CompiledRateLimit, hosts: HostRateLimits, domain: string) {
    this.limit = limit
    this.hosts = hosts
    this.domain = domain
  }

  requestHead(call: FilterCall, head: RequestHead): FilterStatus {
    const { limit } = this
    const { config, ctx } = limit
    if (!limit.runtimePercent('ratelimit.http_filter_enabled')) return 'continue'
    const descriptors = limit.source.descriptors(call, head, config.stage, this.hosts)
    if (descriptors.length === 0) return 'continue'
    const cluster = targetCluster(call, head)
    const message = encodeRateLimitRequest(this.domain, descriptors)
    this.pending = ctx.env.grpcClient.unary(config.service, SHOULD_RATE_LIMIT, message, config.timeoutMs, (status, bytes, details) => {
      this.pending = null
      if (call.ended) return
      const answer = status === 0 ? decodeRateLimitResponse(bytes) : null
      if (answer === null || answer.code === 'unknown')
        this.onError(call, cluster, status === 0 ? 'its answer is none' : `gRPC status ${status}${details === '' ? '' : `: ${details}`}`)
      else this.onAnswer(call, head, cluster, answer)
    })
    return 'stop'
  }

  responseHead(_call: FilterCall, head: ResponseHead): FilterStatus {
    for (const [name, value] of this.responseHeaders) head.headers.append(name, value)
    if (this.responseHeaders.length > 0) this.responseHeaders = []
    return 'continue'
  }

  finished(): void {
    this.pending?.cancel()
    this.pending = null
  }

  private onError(call: FilterCall, cluster: string, why: string): void {
    const { limit } = this
    limit.count(cluster, 'error')
    if (limit.config.failureModeDeny) {
      const { service } = limit.config
      const reason = `the rate limit service${grpcServicePlace(service)} gives no answer, and failure_mode_deny is on: ${why}`
      call.info.noteFailure(reason)
      limit.ctx.env.failures?.record(grpcServiceName(service), 'ratelimit', reason)
      call.sendReply(limit.config.statusOnError, '', 'rate_limiter_error', ResponseFlag.RateLimitServiceError)
      return
    }
    limit.count(cluster, 'failure_mode_allowed')
    call.resume()
  }

  private onAnswer(call: FilterCall, head: RequestHead, cluster: string, answer: RateLimitAnswer): void {
    const { limit } = this
    const { config } = limit
    if (answer.metadata !== null) {
      for (const key of Object.keys(answer.metadata)) call.info.setDynamicMetadata(METADATA_NAMESPACE, key, answer.metadata[key])
    }
    const out = answer.responseHeaders.filter(([name, value]) => isSafeHeader(name, value))
    if (config.enableXRateLimitHeaders) out.push(...xRateLimitHeaders(answer))
    this.responseHeaders = out
    if (answer.code === 'ok') {
      limit.count(cluster, 'ok')
      for (const [name, value] of answer.requestHeaders) if (isSafeHeader(name, value)) head.headers.append(name, value)
      call.resume()
      return
    }
    limit.count(cluster, 'over_limit')
    if (!limit.runtimePercent('ratelimit.http_filter_enforcing')) {
      call.resume()
      return
    }
    call.info.noteFailure(`over the limit of domain ${config.domain}, says the rate limit service`)
    const headers = new HeaderList()
    if (config.rateLimitedAsResourceExhausted && isGrpc(head)) headers.append('grpc-status', GRPC_RESOURCE_EXHAUSTED)
    for (const option of limit.responseHeaders) option.apply(headers, call.info, null)
    // The flag as an argument would also bring the x-envoy-ratelimited header.
    call.info.responseFlags |= ResponseFlag.RateLimited
    call.sendReply(
      config.rateLimitedStatus,
      answer.body,
      'request_rate_limited',
      config.disableXEnvoyRateLimitedHeader ? 0 : ResponseFlag.RateLimited,
      headers,
    )
  }
}

function isGrpc(head: RequestHead): boolean {
  return head.headers.get('content-type')?.startsWith('application/grpc') === true
}

/** draft-polli-ratelimit-headers-03: the limit that is nearest, and all of them. */
function xRateLimitHeaders(answer: RateLimitAnswer): [string, string][] {
  let nearest: (typeof answer.statuses)[number] | null = null
  let policy = ''
  for (const status of answer.statuses) {
    if (status.limit === null) continue
    if (nearest === null || status.remaining < nearest.remaining) nearest = status
    if (status.limit.unitSeconds > 0) {
      const name = status.limit.name.replace(/[^\x20-\x7e]|["\\]/g, '')
      policy += `, ${status.limit.requestsPerUnit};w=${status.limit.unitSeconds}${name === '' ? '' : `;name="${name}"`}`
    }
  }
  if (nearest === null) return []
  return [
    ['x-ratelimit-limit', `${nearest.limit!.requestsPerUnit}${policy}`],
    ['x-ratelimit-remaining', String(nearest.remaining)],
    ['x-ratelimit-reset', String(nearest.resetSeconds)],
  ]
}
