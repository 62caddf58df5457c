// Access loggers (envoy.config.accesslog.v3.AccessLog) of listeners, connection managers and TCP proxies.

import type { GrpcService } from './grpc-service.js'
import type { HeaderMatcher, MetadataMatcher, RuntimeFraction } from './matcher.js'
import type { JsonObject } from './metadata.js'
import type { CustomTag, OtlpTarget, ResourceDetector } from './tracing.js'

export type AccessLogFilter =
  /** A whole number under `runtimeKey` overrides `value` from the runtime layer. */
  | {
      readonly kind: 'statusCode' | 'duration'
      readonly op: 'EQ' | 'GE' | 'LE' | 'NE'
      readonly value: number
      readonly runtimeKey: string
    }
  | { readonly kind: 'notHealthCheck' | 'traceable' }
  | { readonly kind: 'runtime'; readonly fraction: RuntimeFraction }
  | { readonly kind: 'and' | 'or'; readonly filters: readonly AccessLogFilter[] }
  | { readonly kind: 'header'; readonly header: HeaderMatcher }
  /** Empty `flags`: any flag. */
  | { readonly kind: 'responseFlag'; readonly flags: readonly string[] }
  | { readonly kind: 'grpcStatus'; readonly statuses: readonly number[]; readonly exclude: boolean }
  /** Names of envoy.data.accesslog.v3.AccessLogType; lines of ours are DownstreamEnd or TcpConnectionEnd. */
  | { readonly kind: 'logType'; readonly types: readonly string[]; readonly exclude: boolean }
  | { readonly kind: 'metadata'; readonly matcher: MetadataMatcher; readonly matchIfMissing: boolean }
  | { readonly kind: 'cel'; readonly expression: string }

/** `text` null and `json` null = Envoy's default text format. Strings hold `%COMMAND%` operators. */
export interface LogFormat {
  readonly text: string | null
  readonly json: JsonObject | null
  readonly omitEmptyValues: boolean
}

/** Where lines go. */
export type LogTarget = { readonly kind: 'file'; readonly path: string } | { readonly kind: 'stdout' } | { readonly kind: 'stderr' }

/** Entries of a form of their own, sent to a service; `format` has no meaning for them. */
export interface GrpcLogTarget {
  readonly kind: 'grpc'
  /** HTTP or TCP entries. */
  readonly protocol: 'http' | 'tcp'
  readonly logName: string
  readonly service: GrpcService
  readonly flushIntervalMs: number
  /** Entries are sent when they reach this, and beyond it dropped; 0 = each by itself. */
  readonly bufferBytes: number
  /** Names, lower case, beside what every entry has. */
  readonly requestHeaders: readonly string[]
  readonly responseHeaders: readonly string[]
  readonly responseTrailers: readonly string[]
}

/** Strings hold `%COMMAND%` operators. */
export type OtlpTemplate =
  | string
  | { readonly kind: 'list'; readonly items: readonly OtlpTemplate[] }
  | { readonly kind: 'map'; readonly entries: readonly (readonly [string, OtlpTemplate])[] }

/** Records sent to an OpenTelemetry collector; `format` has no meaning for them. */
export interface OtlpLogTarget {
  readonly kind: 'opentelemetry'
  readonly service: OtlpTarget
  readonly logName: string
  readonly statPrefix: string
  /** log_name, zone_name, cluster_name, node_name. */
  readonly builtinLabels: boolean
  readonly resourceAttributes: readonly (readonly [string, string])[]
  readonly resourceDetectors: readonly ResourceDetector[]
  readonly body: OtlpTemplate | null
  readonly attributes: readonly (readonly [string, OtlpTemplate])[]
  readonly customTags: readonly CustomTag[]
  readonly flushIntervalMs: number
  /** Records are sent when they reach this, and beyond it dropped; 0 = each by itself. */
  readonly bufferBytes: number
}

export interface AccessLog {
  readonly name: string
  readonly sink: LogTarget | GrpcLogTarget | OtlpLogTarget
  readonly format: LogFormat
  readonly filter: AccessLogFilter | null
}
