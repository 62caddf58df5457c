// HTTP connection manager model (envoy.extensions.filters.network.http_connection_manager.v3) and its protocol options.

import type { AccessLog, AccessLogFilter, LogFormat } from './access-log.js'
import type { CidrRange } from './address.js'
import type { ConfigSource } from './config-source.js'
import type { HeaderOption } from './header-option.js'
import type { HeaderMutation, HttpFilter } from './http-filter.js'
import type { RouteTable } from './route.js'
import type { ScopedRoutes } from './scoped-routes.js'
import type { RequestIdOptions, Tracing } from './tracing.js'

export type XfccMode = 'SANITIZE' | 'FORWARD_ONLY' | 'APPEND_FORWARD' | 'SANITIZE_SET' | 'ALWAYS_FORWARD_ONLY'

export interface XfccDetails {
  readonly subject: boolean
  readonly cert: boolean
  readonly chain: boolean
  readonly dns: boolean
  readonly uri: boolean
}

/** envoy.config.core.v3.Http1ProtocolOptions. */
export interface Http1Options {
  readonly allowAbsoluteUrl: boolean
  readonly acceptHttp10: boolean
  readonly allowCustomMethods: boolean
  readonly defaultHostForHttp10: string
  /** Envoy lower-cases unless one of these is set; Outrigger keeps what came when 'preserve'. */
  readonly headerKeyFormat: 'default' | 'proper' | 'preserve'
}

/** envoy.config.core.v3.Http2ProtocolOptions. Sizes in bytes. */
export interface Http2Options {
  readonly hpackTableSize: number
  readonly maxConcurrentStreams: number
  readonly initialStreamWindowSize: number
  readonly initialConnectionWindowSize: number
  readonly allowConnect: boolean
  readonly maxOutboundFrames: number
  readonly maxOutboundControlFrames: number
  readonly maxConsecutiveInboundFramesWithEmptyPayload: number
  readonly maxInboundPriorityFramesPerStream: number
  readonly maxInboundWindowUpdateFramesPerDataFrameSent: number
  readonly keepaliveIntervalMs: number | null
  readonly keepaliveTimeoutMs: number
}

/** envoy.config.core.v3.HttpProtocolOptions. null = Envoy's default named in the comment. */
export interface CommonHttpOptions {
  /** Default 1 h; 0 = off. */
  readonly idleTimeoutMs: number
  readonly maxConnectionDurationMs: number | null
  readonly maxHeadersCount: number
  readonly maxResponseHeadersKb: number | null
  readonly maxStreamDurationMs: number | null
  readonly headersWithUnderscoresAction: 'ALLOW' | 'REJECT_REQUEST' | 'DROP_HEADER'
  readonly maxRequestsPerConnection: number | null
}

export interface UpgradeConfig {
  /** Lower case, e.g. `websocket`, `connect`. */
  readonly upgradeType: string
  readonly enabled: boolean
}

export type IpDetection =
  | {
      readonly kind: 'xff'
      readonly trustedHops: number
      /** Not empty: the address before those of these proxies, and `trustedHops` is 0. */
      readonly trustedCidrs: readonly CidrRange[]
      readonly skipAppend: boolean
    }
  | {
      readonly kind: 'customHeader'
      readonly header: string
      /** The address may make the request internal. */
      readonly trusted: boolean
      /** Of the answer where the header has no address; null = the request goes on. */
      readonly rejectStatus: number | null
    }

export interface HttpConnectionManager {
  readonly statPrefix: string
  readonly codecType: 'AUTO' | 'HTTP1' | 'HTTP2'
  /** Exactly one of `routeTable`, `rdsName` and `scopedRoutes` is set. */
  readonly routeTable: RouteTable | null
  readonly rdsName: string | null
  readonly rdsInitialFetchTimeoutMs: number
  /** Where the table named `rdsName` comes from; absent = the ADS stream. */
  readonly rdsSource?: ConfigSource
  readonly scopedRoutes?: ScopedRoutes
  readonly httpFilters: readonly HttpFilter[]
  readonly addUserAgent: boolean
  readonly http1: Http1Options
  readonly http2: Http2Options
  readonly common: CommonHttpOptions
  readonly serverName: string
  readonly serverHeaderTransformation: 'OVERWRITE' | 'APPEND_IF_ABSENT' | 'PASS_THROUGH'
  readonly schemeToOverwrite: '' | 'http' | 'https'
  readonly maxRequestHeadersKb: number
  /** Default 5 min; 0 = off. */
  readonly streamIdleTimeoutMs: number
  readonly requestTimeoutMs: number
  readonly requestHeadersTimeoutMs: number
  readonly drainTimeoutMs: number
  readonly delayedCloseTimeoutMs: number
  readonly accessLogs: readonly AccessLog[]
  readonly useRemoteAddress: boolean
  readonly xffNumTrustedHops: number
  /** Asked in order where use_remote_address is off; the first that finds an address counts. */
  readonly originalIpDetection: readonly IpDetection[]
  /** Done to a request before anything else of it is looked at. */
  readonly earlyHeaderMutations: readonly HeaderMutation[]
  readonly skipXffAppend: boolean
  readonly via: string
  readonly generateRequestId: boolean
  readonly preserveExternalRequestId: boolean
  readonly alwaysSetRequestIdInResponse: boolean
  readonly xfccMode: XfccMode
  readonly xfccDetails: XfccDetails
  readonly proxy100Continue: boolean
  readonly upgrades: readonly UpgradeConfig[]
  readonly normalizePath: boolean
  readonly mergeSlashes: boolean
  readonly pathWithEscapedSlashes: 'KEEP_UNCHANGED' | 'REJECT_REQUEST' | 'UNESCAPE_AND_REDIRECT' | 'UNESCAPE_AND_FORWARD'
  readonly stripMatchingHostPort: boolean
  readonly stripAnyHostPort: boolean
  readonly stripTrailingHostDot: boolean
  readonly localReply: LocalReplyConfig | null
  readonly internalCidrRanges: readonly CidrRange[]
  readonly appendXForwardedPort: boolean
  /** Requests that overload refuses are told so in a header. */
  readonly appendLocalOverload?: boolean
  readonly tracing: Tracing | null
  readonly requestId: RequestIdOptions
}

/** envoy LocalReplyConfig, limited to what can be done without changing who answers. */
export interface LocalReplyConfig {
  readonly mappers: readonly {
    readonly filter: AccessLogFilter
    readonly statusCode: number | null
    readonly body: string | null
    readonly format: LogFormat | null
    readonly contentType: string
    readonly headersToAdd: readonly HeaderOption[]
  }[]
  readonly format: LogFormat | null
  readonly contentType: string
}
