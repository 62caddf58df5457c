// HTTP filters that limit or disturb traffic: fault, local_ratelimit, ratelimit, bandwidth_limit, buffer, health_check -> model. Called by
// http-filter.ts and http-filter-override.ts.

import type { BandwidthLimitConfig } from '../../../model/bandwidth-limit.js'
import type {
  FaultConfig,
  HealthCheckFilterConfig,
  HostRateLimits,
  HttpFilterOverride,
  LocalRateLimitConfig,
  RateLimitConfig,
} from '../../../model/http-filter.js'
import {
  type LocalRateLimitDescriptor,
  VhRateLimitsOptions,
  XRateLimitHeadersRFCVersion,
} from '../../gen/envoy/extensions/common/ratelimit/v3/ratelimit_pb.js'
import {
  type BandwidthLimit,
  BandwidthLimit_EnableMode,
} from '../../gen/envoy/extensions/filters/http/bandwidth_limit/v3/bandwidth_limit_pb.js'
import type { HTTPFault } from '../../gen/envoy/extensions/filters/http/fault/v3/fault_pb.js'
import type { HealthCheck } from '../../gen/envoy/extensions/filters/http/health_check/v3/health_check_pb.js'
import type { LocalRateLimit } from '../../gen/envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit_pb.js'
import {
  type RateLimit,
  RateLimit_XRateLimitHeadersRFCVersion,
  type RateLimitPerRoute,
  RateLimitPerRoute_VhRateLimitsOptions,
} from '../../gen/envoy/extensions/filters/http/ratelimit/v3/rate_limit_pb.js'
import type { TokenBucket } from '../../gen/envoy/type/v3/token_bucket_pb.js'
import { checkApiVersion, decodeGrpcService } from '../config-source.js'
import type { Ctx } from '../field-path.js'
import { decodeHeaderMatchers } from '../matchers.js'
import { decodeRateLimits } from '../rate-limit-action.js'
import {
  decodeFraction,
  decodeHeaderName,
  decodeHeaderOptions,
  decodeRuntimeFlag,
  decodeRuntimeFraction,
  durationMs,
  durationMsOr,
  plainObject,
} from '../values.js'

/** Envoy's percentages in fault default to 0 when the message is there but its percentage is not. */
export function decodeFault(fault: HTTPFault, ctx: Ctx): FaultConfig {
  const delay = fault.delay
  const abort = fault.abort
  const limit = fault.responseRateLimit
  return {
    delay:
      delay === undefined
        ? null
        : {
            fixedMs: delay.faultDelaySecifier.case === 'fixedDelay' ? durationMs(delay.faultDelaySecifier.value) : null,
            fromHeader: delay.faultDelaySecifier.case === 'headerDelay',
            fraction: decodeFraction(delay.percentage, fault.delayPercentRuntime || 'fault.http.delay.fixed_delay_percent', 0),
          },
    abort:
      abort === undefined
        ? null
        : {
            httpStatus: abort.errorType.case === 'httpStatus' ? abort.errorType.value : null,
            grpcStatus: abort.errorType.case === 'grpcStatus' ? abort.errorType.value : null,
            fromHeader: abort.errorType.case === 'headerAbort',
            body: abort.responseBody,
            fraction: decodeFraction(abort.percentage, fault.abortPercentRuntime || 'fault.http.abort.abort_percent', 0),
          },
    upstreamCluster: fault.upstreamCluster,
    headers: decodeHeaderMatchers(fault.headers, ctx, 'headers'),
    downstreamNodes: fault.downstreamNodes,
    maxActiveFaults: fault.maxActiveFaults ?? null,
    responseRateLimit:
      limit === undefined
        ? null
        : {
            kbps: limit.limitType.case === 'fixedLimit' ? Number(limit.limitType.value.limitKbps) : null,
            fraction: decodeFraction(
              limit.percentage,
              fault.responseRateLimitPercentRuntime || 'fault.http.rate_limit.response_percent',
              0,
            ),
          },
    runtimeKeys: {
      delayDuration: fault.delayDurationRuntime || 'fault.http.delay.fixed_duration_ms',
      abortHttpStatus: fault.abortHttpStatusRuntime || 'fault.http.abort.http_status',
      abortGrpcStatus: fault.abortGrpcStatusRuntime || 'fault.http.abort.grpc_status',
      maxActiveFaults: fault.maxActiveFaultsRuntime || 'fault.http.max_active_faults',
    },
    downstreamClusterStats: !fault.disableDownstreamClusterStats,
    filterMetadata: fault.filterMetadata === undefined ? null : plainObject(fault.filterMetadata),
  }
}

interface Bucket {
  readonly maxTokens: number
  readonly tokensPerFill: number
  readonly fillIntervalMs: number
}

/** Shortest refill that Envoy's limiter takes. */
const MIN_FILL_INTERVAL_MS = 50

export function decodeTokenBucket(bucket: TokenBucket, ctx: Ctx): Bucket {
  const fillIntervalMs = durationMsOr(bucket.fillInterval, 0)
  if (bucket.fillInterval !== undefined && fillIntervalMs < MIN_FILL_INTERVAL_MS) {
    ctx.at('fill_interval').error(`local rate limit token bucket fill timer must be at least ${MIN_FILL_INTERVAL_MS} ms`)
  }
  return { maxTokens: bucket.maxTokens, tokensPerFill: bucket.tokensPerFill ?? 1, fillIntervalMs }
}

function sameEntries(a: LocalRateLimitDescriptor['entries'], b: LocalRateLimitDescriptor['entries']): boolean {
  return a.length === b.length && a.every((entry, i) => entry.key === b[i]!.key && entry.value === b[i]!.value)
}

const NEVER = { numerator: 0, denominator: 100, runtimeKey: '' }

const LOCAL_HOST_LIMITS: Readonly<Record<VhRateLimitsOptions, HostRateLimits>> = {
  [VhRateLimitsOptions.OVERRIDE]: 'override',
  [VhRateLimitsOptions.INCLUDE]: 'include',
  [VhRateLimitsOptions.IGNORE]: 'ignore',
}

/** Envoy's. */
const DEFAULT_DYNAMIC_DESCRIPTORS = 20
/** More of them for one descriptor are not kept, whatever is configured: clients make them. */
const MAX_DYNAMIC_DESCRIPTORS = 100_000

/** Those of the filter itself, which have neither a stage nor a switch nor a limit of their own. */
function decodeOwnLimits(limits: LocalRateLimit['rateLimits'], ctx: Ctx): ReturnType<typeof decodeRateLimits> {
  for (const [i, { stage, disableKey, limit }] of limits.entries()) {
    const at = ctx.at('rate_limits', i)
    if (stage !== undefined) at.at('stage').error('not supported in the actions of the filter itself')
    if (disableKey !== '') at.at('disable_key').error('not supported in the actions of the filter itself')
    if (limit !== undefined) at.at('limit').error('not supported in the actions of the filter itself')
  }
  return decodeRateLimits(limits, ctx, 'rate_limits')
}

export function decodeLocalRateLimit(config: LocalRateLimit, ctx: Ctx, perRoute: boolean): LocalRateLimitConfig {
  const bucket = config.tokenBucket === undefined ? null : decodeTokenBucket(config.tokenBucket, ctx.at('token_bucket'))
  if (perRoute && bucket === null) ctx.at('token_bucket').error('value is required in a per-route config')
  return {
    statPrefix: config.statPrefix,
    // Below 400 Envoy keeps 429.
    status: config.status !== undefined && config.status.code >= 400 ? config.status.code : 429,
    bucket,
    enabled: config.filterEnabled === undefined ? NEVER : decodeRuntimeFraction(config.filterEnabled),
    enforced: config.filterEnforced === undefined ? NEVER : decodeRuntimeFraction(config.filterEnforced),
    responseHeadersToAdd: decodeHeaderOptions(config.responseHeadersToAdd, ctx, 'response_headers_to_add'),
    requestHeadersToAddWhenNotEnforced: decodeHeaderOptions(
      config.requestHeadersToAddWhenNotEnforced,
      ctx,
      'request_headers_to_add_when_not_enforced',
    ),
    descriptors: config.descriptors.map((descriptor, i) => {
      const at = ctx.at('descriptors', i)
      const text = descriptor.entries.map(entry => `${entry.key}=${entry.value}`).join(', ')
      if (config.descriptors.findIndex(other => sameEntries(other.entries, descriptor.entries)) < i)
        at.error(`duplicate descriptor ${text}`)
      const own =
        descriptor.tokenBucket === undefined
          ? { maxTokens: 0, tokensPerFill: 0, fillIntervalMs: 0 }
          : decodeTokenBucket(descriptor.tokenBucket, at.at('token_bucket'))
      const entries = descriptor.entries.map(({ key, value }, j) => {
        if (key === '') at.at('entries', j).at('key').error('value length must be at least 1 characters')
        return { key, value }
      })
      return { entries, bucket: own }
    }),
    stage: config.stage,
    hostRateLimits: LOCAL_HOST_LIMITS[config.vhRateLimits] ?? 'override',
    rateLimits: config.rateLimits.length === 0 ? null : decodeOwnLimits(config.rateLimits, ctx),
    maxDynamicDescriptors: Math.min(config.maxDynamicDescriptors ?? DEFAULT_DYNAMIC_DESCRIPTORS, MAX_DYNAMIC_DESCRIPTORS),
    alwaysTakesDefault: config.alwaysConsumeDefaultTokenBucket ?? true,
    perConnection: config.localRateLimitPerDownstreamConnection,
    enableXRateLimitHeaders: config.enableXRatelimitHeaders === XRateLimitHeadersRFCVersion.DRAFT_VERSION_03,
    rateLimitedAsResourceExhausted: config.rateLimitedAsResourceExhausted,
  }
}

const RATE_LIMIT_TIMEOUT_MS = 20

export function decodeRateLimit(config: RateLimit, ctx: Ctx): RateLimitConfig {
  const service = config.rateLimitService
  if (service !== undefined) checkApiVersion(service.transportApiVersion, ctx.at('rate_limit_service'), 'transport_api_version')
  return {
    domain: config.domain,
    stage: config.stage,
    requestType: config.requestType === 'internal' || config.requestType === 'external' ? config.requestType : 'both',
    timeoutMs: durationMsOr(config.timeout, RATE_LIMIT_TIMEOUT_MS),
    failureModeDeny: config.failureModeDeny,
    rateLimitedAsResourceExhausted: config.rateLimitedAsResourceExhausted,
    service: decodeGrpcService(service?.grpcService, ctx.at('rate_limit_service').at('grpc_service')),
    enableXRateLimitHeaders: config.enableXRatelimitHeaders === RateLimit_XRateLimitHeadersRFCVersion.DRAFT_VERSION_03,
    disableXEnvoyRateLimitedHeader: config.disableXEnvoyRatelimitedHeader,
    rateLimitedStatus: config.rateLimitedStatus !== undefined && config.rateLimitedStatus.code >= 400 ? config.rateLimitedStatus.code : 429,
    statusOnError: config.statusOnError?.code || 500,
    responseHeadersToAdd: decodeHeaderOptions(config.responseHeadersToAdd, ctx, 'response_headers_to_add'),
  }
}

const HOST_LIMITS: Readonly<Record<RateLimitPerRoute_VhRateLimitsOptions, HostRateLimits>> = {
  [RateLimitPerRoute_VhRateLimitsOptions.OVERRIDE]: 'override',
  [RateLimitPerRoute_VhRateLimitsOptions.INCLUDE]: 'include',
  [RateLimitPerRoute_VhRateLimitsOptions.IGNORE]: 'ignore',
}

export function decodeRateLimitOverride({ vhRateLimits, domain }: RateLimitPerRoute): HttpFilterOverride {
  return { disabled: false, kind: 'rateLimit', hostRateLimits: HOST_LIMITS[vhRateLimits] ?? 'override', domain }
}

export function decodeHealthCheckFilter(config: HealthCheck, ctx: Ctx): HealthCheckFilterConfig {
  const passThrough = config.passThroughMode ?? false
  if (!passThrough && durationMsOr(config.cacheTime, 0) >= 1) {
    ctx.at('cache_time').error('cache_time must not be set when pass_through_mode is disabled')
  }
  return {
    passThrough,
    headers: decodeHeaderMatchers(config.headers, ctx, 'headers'),
    cacheTimeMs: durationMsOr(config.cacheTime, null),
    clusterMinHealthyPercentages: new Map(
      Object.entries(config.clusterMinHealthyPercentages).map(([cluster, percent]) => [cluster, percent.value]),
    ),
  }
}

const DEFAULT_FILL_INTERVAL_MS = 50

/** `perRoute`: it stands in the filter's place, so it needs a limit. */
export function decodeBandwidthLimit(limit: BandwidthLimit, ctx: Ctx, perRoute: boolean): BandwidthLimitConfig {
  const { REQUEST, RESPONSE, REQUEST_AND_RESPONSE } = BandwidthLimit_EnableMode
  const request = limit.enableMode === REQUEST || limit.enableMode === REQUEST_AND_RESPONSE
  const response = limit.enableMode === RESPONSE || limit.enableMode === REQUEST_AND_RESPONSE
  if (limit.limitKbps === undefined && (perRoute || request || response)) ctx.at('limit_kbps').error('value is required')
  const given = decodeHeaderName(limit.responseTrailerPrefix, ctx.at('response_trailer_prefix'))
  const prefix = given === '' ? '' : `${given}-`
  const trailer = (name: string): string => `${prefix}bandwidth-${name}-ms`
  return {
    statPrefix: limit.statPrefix,
    request,
    response,
    kilobytesPerSecond: Number(limit.limitKbps ?? 1n),
    fillIntervalMs: durationMsOr(limit.fillInterval, DEFAULT_FILL_INTERVAL_MS),
    enabled: decodeRuntimeFlag(limit.runtimeEnabled),
    trailers: limit.enableResponseTrailers
      ? {
          requestDelay: trailer('request-delay'),
          requestFilterDelay: trailer('request-filter-delay'),
          responseDelay: trailer('response-delay'),
          responseFilterDelay: trailer('response-filter-delay'),
        }
      : null,
  }
}
