// envoy.config.core.v3.HealthCheck, OutlierDetection and CircuitBreakers -> model, with Envoy's defaults. Called by cluster.ts.

import {
  type BreakerThresholds,
  type Cluster as ClusterModel,
  type HealthCheck,
  type HealthEventRules,
  MAX_HEALTH_RESPONSE_BYTES,
  type OutlierDetection,
} from '../../model/cluster.js'
import { BREAKER_DEFAULTS, OUTLIER_DEFAULTS } from '../../model/defaults.js'
import type { CircuitBreakers, CircuitBreakers_Thresholds } from '../gen/envoy/config/cluster/v3/circuit_breaker_pb.js'
import type { OutlierDetection as OutlierMessage } from '../gen/envoy/config/cluster/v3/outlier_detection_pb.js'
import { RequestMethodSchema, RoutingPriority } from '../gen/envoy/config/core/v3/base_pb.js'
import type {
  HealthCheck_HttpHealthCheck,
  HealthCheck_Payload,
  HealthCheck as HealthCheckMessage,
} from '../gen/envoy/config/core/v3/health_check_pb.js'
import type { HealthCheckEventFileSink } from '../gen/envoy/extensions/health_check/event_sinks/file/v3/file_pb.js'
import { CodecClientType } from '../gen/envoy/type/v3/http_pb.js'
import type { Int64Range } from '../gen/envoy/type/v3/range_pb.js'
import { describeType, unpackAny } from './any.js'
import type { Ctx } from './field-path.js'
import { decodeStringMatcher } from './matchers.js'
import { decodeHeaderOptions, decodeRemovals, durationMs, durationMsOr, enumName } from './values.js'

const FILE_SINK = 'envoy.extensions.health_check.event_sinks.file.v3.HealthCheckEventFileSink'
const DEFAULT_NO_TRAFFIC_MS = 60_000

/** `http2`: whether the cluster speaks HTTP/2 at all, which a gRPC check needs. */
export function decodeHealthChecks(checks: readonly HealthCheckMessage[], ctx: Ctx, http2: boolean): HealthCheck[] {
  const names = new Set<string>()
  for (const [i, { name }] of checks.length > 1 ? checks.entries() : []) {
    const at = ctx.at('health_checks', i).at('name')
    if (name === '') at.error('every health check must have a name where there are several')
    else if (names.has(name)) at.error(`'${name}' is the name of another health check of this cluster`)
    names.add(name)
  }
  return checks.map((check, i) => decodeHealthCheck(check, ctx.at('health_checks', i), http2)).filter(check => check !== null)
}

function decodeHealthCheck(check: HealthCheckMessage, ctx: Ctx, http2: boolean): HealthCheck | null {
  const kind = decodeChecker(check, ctx, http2)
  if (kind === null) return null
  const intervalMs = durationMsOr(check.interval, 0)
  const unhealthyIntervalMs = durationMsOr(check.unhealthyInterval, intervalMs)
  const noTrafficIntervalMs = durationMsOr(check.noTrafficInterval, DEFAULT_NO_TRAFFIC_MS)
  return {
    timeoutMs: durationMsOr(check.timeout, 0),
    intervalMs,
    initialJitterMs: durationMsOr(check.initialJitter, 0),
    intervalJitterMs: durationMsOr(check.intervalJitter, 0),
    intervalJitterPercent: check.intervalJitterPercent,
    unhealthyThreshold: check.unhealthyThreshold ?? 0,
    healthyThreshold: check.healthyThreshold ?? 0,
    altPort: check.altPort ?? null,
    reuseConnection: check.reuseConnection ?? true,
    noTrafficIntervalMs,
    noTrafficHealthyIntervalMs: durationMsOr(check.noTrafficHealthyInterval, null),
    unhealthyIntervalMs,
    unhealthyEdgeIntervalMs: durationMsOr(check.unhealthyEdgeInterval, unhealthyIntervalMs),
    healthyEdgeIntervalMs: durationMsOr(check.healthyEdgeInterval, intervalMs),
    check: kind,
    ...decodeEvents(check, ctx),
  }
}

function decodeEvents(check: HealthCheckMessage, ctx: Ctx): { readonly events?: HealthEventRules } {
  const paths = check.eventLogPath === '' ? [] : [check.eventLogPath]
  check.eventLogger.forEach(({ name, typedConfig }, i) => {
    const at = ctx.at('event_logger', i).at('typed_config')
    if (typedConfig === undefined) {
      at.error(`unknown event sink '${name}' (no typed_config)`)
      return
    }
    const { typeName, typeUrl, message } = unpackAny(typedConfig, at)
    if (typeName === FILE_SINK && message !== null) paths.push((message as HealthCheckEventFileSink).eventLogPath)
    else if (typeName !== FILE_SINK) at.error(`unknown event sink '${name}' (${describeType(typeUrl)})`)
  })
  if (paths.length === 0) return {}
  return { events: { paths, everyFailure: check.alwaysLogHealthCheckFailures, everySuccess: check.alwaysLogHealthCheckSuccess } }
}

function decodeChecker(check: HealthCheckMessage, ctx: Ctx, http2: boolean): HealthCheck['check'] | null {
  const checker = check.healthChecker
  switch (checker.case) {
    case 'httpHealthCheck':
      return decodeHttpCheck(checker.value, ctx.at('http_health_check'))
    case 'tcpHealthCheck': {
      const at = ctx.at('tcp_health_check')
      return {
        kind: 'tcp',
        send: checker.value.send === undefined ? null : payload(checker.value.send, at.at('send')),
        receive: checker.value.receive.map((part, i) => payload(part, at.at('receive', i))),
      }
    }
    case 'grpcHealthCheck': {
      const at = ctx.at('grpc_health_check')
      if (!http2) at.error('the cluster must support HTTP/2 for gRPC health checking')
      return {
        kind: 'grpc',
        serviceName: checker.value.serviceName,
        authority: checker.value.authority,
        initialMetadata: decodeHeaderOptions(checker.value.initialMetadata, at, 'initial_metadata'),
      }
    }
    default:
      return null // the missing oneof, or a custom checker: reported
  }
}

function payload(part: HealthCheck_Payload, ctx: Ctx): Uint8Array {
  if (part.payload.case === 'binary') return part.payload.value
  const hex = part.payload.value ?? ''
  if (hex.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(hex)) ctx.at('text').error(`'${hex}' is not hex-encoded`)
  return Uint8Array.from(Buffer.from(hex, 'hex'))
}

const DEFAULT_RESPONSE_BUFFER_BYTES = 1024n
/** With a body to send. */
const BODY_METHODS = new Set(['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])

/** 0 is the whole body. */
function responseBufferBytes(size: bigint, ctx: Ctx): number {
  if (size > BigInt(MAX_HEALTH_RESPONSE_BYTES))
    ctx.at('response_buffer_size').warn(`only the first ${MAX_HEALTH_RESPONSE_BYTES} bytes are looked at`)
  return size === 0n ? MAX_HEALTH_RESPONSE_BYTES : Math.min(Number(size), MAX_HEALTH_RESPONSE_BYTES)
}

function decodeHttpCheck(check: HealthCheck_HttpHealthCheck, ctx: Ctx): HealthCheck['check'] {
  if (check.codecClientType === CodecClientType.HTTP3) ctx.at('codec_client_type').error('HTTP/3 is not supported')
  const method = enumName(RequestMethodSchema, check.method)
  if (check.send !== undefined && !BODY_METHODS.has(method))
    ctx.at('send').error(`a ${method === 'METHOD_UNSPECIFIED' ? 'GET' : method} has no body`)
  const expectedStatuses = statusRanges(check.expectedStatuses, ctx, 'expected_statuses')
  return {
    kind: 'http',
    host: check.host,
    path: check.path,
    method: method === 'METHOD_UNSPECIFIED' ? 'GET' : method,
    http2: check.codecClientType === CodecClientType.HTTP2,
    headersToAdd: decodeHeaderOptions(check.requestHeadersToAdd, ctx, 'request_headers_to_add'),
    headersToRemove: decodeRemovals(check.requestHeadersToRemove, ctx, 'request_headers_to_remove'),
    expectedStatuses: expectedStatuses.length > 0 ? expectedStatuses : [{ start: 200, end: 201 }],
    retriableStatuses: statusRanges(check.retriableStatuses, ctx, 'retriable_statuses'),
    serviceName:
      check.serviceNameMatcher === undefined ? null : decodeStringMatcher(check.serviceNameMatcher, ctx.at('service_name_matcher')),
    send: check.send === undefined ? null : payload(check.send, ctx.at('send')),
    receive: check.receive.map((part, i) => payload(part, ctx.at('receive', i))),
    responseBufferBytes: responseBufferBytes(check.responseBufferSize ?? DEFAULT_RESPONSE_BUFFER_BYTES, ctx),
  }
}

/** Half-open ranges of statuses within 100–600. */
function statusRanges(ranges: readonly Int64Range[], ctx: Ctx, field: string): { start: number; end: number }[] {
  return ranges.map((range, i) => {
    const start = Number(range.start)
    const end = Number(range.end)
    if (start >= end) ctx.at(field, i).error(`expected a non-empty range: ${start} is not below ${end}`)
    if (start < 100) ctx.at(field, i).at('start').error('value must be at least 100')
    if (end > 600) ctx.at(field, i).at('end').error('value must be at most 600')
    return { start, end }
  })
}

export function decodeOutlier(outlier: OutlierMessage | undefined, ctx: Ctx): OutlierDetection | null {
  if (outlier === undefined) return null
  const baseEjectionTimeMs = durationMsOr(outlier.baseEjectionTime, OUTLIER_DEFAULTS.baseEjectionTimeMs)
  if (outlier.maxEjectionTime !== undefined && durationMs(outlier.maxEjectionTime) < baseEjectionTimeMs) {
    ctx.at('max_ejection_time').error('outlier detector max_ejection_time cannot be smaller than base_ejection_time')
  }
  return {
    consecutive5xx: outlier.consecutive5xx ?? OUTLIER_DEFAULTS.consecutive5xx,
    intervalMs: durationMsOr(outlier.interval, OUTLIER_DEFAULTS.intervalMs),
    baseEjectionTimeMs,
    maxEjectionTimeMs: durationMsOr(outlier.maxEjectionTime, Math.max(OUTLIER_DEFAULTS.maxEjectionTimeMs, baseEjectionTimeMs)),
    maxEjectionTimeJitterMs: durationMsOr(outlier.maxEjectionTimeJitter, OUTLIER_DEFAULTS.maxEjectionTimeJitterMs),
    maxEjectionPercent: outlier.maxEjectionPercent ?? OUTLIER_DEFAULTS.maxEjectionPercent,
    alwaysEjectOneHost: outlier.alwaysEjectOneHost ?? OUTLIER_DEFAULTS.alwaysEjectOneHost,
    enforcingConsecutive5xx: outlier.enforcingConsecutive5xx ?? OUTLIER_DEFAULTS.enforcingConsecutive5xx,
    enforcingSuccessRate: outlier.enforcingSuccessRate ?? OUTLIER_DEFAULTS.enforcingSuccessRate,
    successRateMinimumHosts: outlier.successRateMinimumHosts ?? OUTLIER_DEFAULTS.successRateMinimumHosts,
    successRateRequestVolume: outlier.successRateRequestVolume ?? OUTLIER_DEFAULTS.successRateRequestVolume,
    successRateStdevFactor: outlier.successRateStdevFactor ?? OUTLIER_DEFAULTS.successRateStdevFactor,
    consecutiveGatewayFailure: outlier.consecutiveGatewayFailure ?? OUTLIER_DEFAULTS.consecutiveGatewayFailure,
    enforcingConsecutiveGatewayFailure: outlier.enforcingConsecutiveGatewayFailure ?? OUTLIER_DEFAULTS.enforcingConsecutiveGatewayFailure,
    splitExternalLocalOriginErrors: outlier.splitExternalLocalOriginErrors,
    consecutiveLocalOriginFailure: outlier.consecutiveLocalOriginFailure ?? OUTLIER_DEFAULTS.consecutiveLocalOriginFailure,
    enforcingConsecutiveLocalOriginFailure:
      outlier.enforcingConsecutiveLocalOriginFailure ?? OUTLIER_DEFAULTS.enforcingConsecutiveLocalOriginFailure,
    enforcingLocalOriginSuccessRate: outlier.enforcingLocalOriginSuccessRate ?? OUTLIER_DEFAULTS.enforcingLocalOriginSuccessRate,
    failurePercentageThreshold: outlier.failurePercentageThreshold ?? OUTLIER_DEFAULTS.failurePercentageThreshold,
    enforcingFailurePercentage: outlier.enforcingFailurePercentage ?? OUTLIER_DEFAULTS.enforcingFailurePercentage,
    enforcingFailurePercentageLocalOrigin:
      outlier.enforcingFailurePercentageLocalOrigin ?? OUTLIER_DEFAULTS.enforcingFailurePercentageLocalOrigin,
    failurePercentageMinimumHosts: outlier.failurePercentageMinimumHosts ?? OUTLIER_DEFAULTS.failurePercentageMinimumHosts,
    failurePercentageRequestVolume: outlier.failurePercentageRequestVolume ?? OUTLIER_DEFAULTS.failurePercentageRequestVolume,
    successfulActiveHealthCheckUnejectHost:
      outlier.successfulActiveHealthCheckUnejectHost ?? OUTLIER_DEFAULTS.successfulActiveHealthCheckUnejectHost,
  }
}

function decodeThresholds(
  thresholds: CircuitBreakers_Thresholds | undefined,
  perHost: CircuitBreakers_Thresholds | undefined,
): BreakerThresholds {
  const budget = thresholds?.retryBudget
  return {
    maxConnections: thresholds?.maxConnections ?? BREAKER_DEFAULTS.maxConnections,
    maxConnectionsPerHost: perHost?.maxConnections ?? BREAKER_DEFAULTS.maxConnectionsPerHost,
    maxPendingRequests: thresholds?.maxPendingRequests ?? BREAKER_DEFAULTS.maxPendingRequests,
    maxRequests: thresholds?.maxRequests ?? BREAKER_DEFAULTS.maxRequests,
    maxRetries: thresholds?.maxRetries ?? BREAKER_DEFAULTS.maxRetries,
    retryBudget:
      budget === undefined ? null : { percent: budget.budgetPercent?.value ?? 20, minConcurrency: budget.minRetryConcurrency ?? 3 },
    trackRemaining: thresholds?.trackRemaining ?? BREAKER_DEFAULTS.trackRemaining,
    maxConnectionPools: thresholds?.maxConnectionPools ?? BREAKER_DEFAULTS.maxConnectionPools,
  }
}

export function decodeBreakers(breakers: CircuitBreakers | undefined, ctx: Ctx): ClusterModel['breakers'] {
  // The first entry of a priority counts.
  const of = (priority: RoutingPriority): BreakerThresholds =>
    decodeThresholds(
      breakers?.thresholds.find(thresholds => thresholds.priority === priority),
      breakers?.perHostThresholds.find(thresholds => thresholds.priority === priority),
    )
  breakers?.perHostThresholds.forEach((thresholds, i) => {
    const others = [
      thresholds.maxPendingRequests,
      thresholds.maxRequests,
      thresholds.maxRetries,
      thresholds.maxConnectionPools,
      thresholds.retryBudget,
    ]
    if (others.some(value => value !== undefined)) {
      ctx
        .at('circuit_breakers')
        .at('per_host_thresholds', i)
        .error('unsupported field in per_host_thresholds: only max_connections may be set')
    }
  })
  return { default: of(RoutingPriority.DEFAULT), high: of(RoutingPriority.HIGH) }
}
