// Handles of what tells others what happened here: access logs over gRPC, tracers, the reporters of load and health, statsd. Called where such a
// thing is made; each is shared by all of its kind, and absent until there is one.

import { type HandlesOf, joinNames } from './stat-names.js'
import * as tables from './stat-tables.js'
import type { StatSource } from './stats-store.js'

export type GrpcLogHandles = HandlesOf<typeof tables.GRPC_LOG>

/** `access_logs.grpc_access_log.`, of all of them together. */
export function grpcLogStats(source: StatSource): GrpcLogHandles {
  return source.scope('access_logs.grpc_access_log').group(tables.GRPC_LOG)
}

export type LoadReporterHandles = HandlesOf<typeof tables.LOAD_REPORTER>

/** `load_reporter.`; absent without load_stats_config. */
export function loadReporterStats(source: StatSource): LoadReporterHandles {
  return source.scope('load_reporter').group(tables.LOAD_REPORTER)
}

export type HealthReporterHandles = HandlesOf<typeof tables.HDS_DELEGATE>

/** `hds_delegate.`; absent without hds_config. */
export function healthReporterStats(source: StatSource): HealthReporterHandles {
  return source.scope('hds_delegate').group(tables.HDS_DELEGATE)
}

/** `statsd.`, of the sinks over TCP together. */
export function statsdStats(source: StatSource): HandlesOf<typeof tables.STATSD> {
  return source.scope('statsd').group(tables.STATSD)
}

/** `access_logs.open_telemetry_access_log.[<prefix>.]` */
export function otlpLogStats(source: StatSource, prefix: string): GrpcLogHandles {
  return source.scope(joinNames('access_logs.open_telemetry_access_log', prefix)).group(tables.GRPC_LOG)
}

export type OpenTelemetryTracerHandles = HandlesOf<typeof tables.OPENTELEMETRY_TRACER>
export type ZipkinTracerHandles = HandlesOf<typeof tables.ZIPKIN_TRACER>

/** `tracing.opentelemetry.`, of all its tracers together. */
export function openTelemetryTracerStats(source: StatSource): OpenTelemetryTracerHandles {
  return source.scope('tracing.opentelemetry').group(tables.OPENTELEMETRY_TRACER)
}

/** `tracing.zipkin.` */
export function zipkinTracerStats(source: StatSource): ZipkinTracerHandles {
  return source.scope('tracing.zipkin').group(tables.ZIPKIN_TRACER)
}

export type GoogleGrpcHandles = HandlesOf<typeof tables.GOOGLE_GRPC>

/** `grpc.<stat_prefix>.`, of all services that share the prefix. */
export function googleGrpcStats(source: StatSource, prefix: string): GoogleGrpcHandles {
  return source.scope(joinNames('grpc', prefix)).group(tables.GOOGLE_GRPC)
}

/** As Envoy: a status that is none of gRPC's counts as unknown. */
export function countGrpcClosed(stats: GoogleGrpcHandles, status: number): void {
  const counter = (stats as Readonly<Record<string, { value: number } | undefined>>)[`streams_closed_${status}`] ?? stats.streams_closed_2
  counter.value++
}
