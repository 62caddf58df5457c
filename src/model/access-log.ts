// Access loggers (envoy.config.accesslog.v3.AccessLog) of listeners, connection managers and TCP proxies.

import type { HeaderMatcher, MetadataMatcher, RuntimeFraction } from './matcher.js'
import type { JsonObject } from './metadata.js'

export type AccessLogFilter =
  | { readonly kind: 'statusCode' | 'duration'; readonly op: 'EQ' | 'GE' | 'LE' | 'NE'; readonly value: number }
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

/** `text` null and `json` null = Envoy's default text format. Strings hold `%COMMAND%` operators. */
export interface LogFormat {
  readonly text: string | null
  readonly json: JsonObject | null
  readonly omitEmptyValues: boolean
}

export interface AccessLog {
  readonly name: string
  readonly sink: { readonly kind: 'file'; readonly path: string } | { readonly kind: 'stdout' } | { readonly kind: 'stderr' }
  readonly format: LogFormat
  readonly filter: AccessLogFilter | null
}
