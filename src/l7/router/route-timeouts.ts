// How long a route lets a request take: route timeout, the cluster's longest stream duration, and what the upstream is told of both
// (x-envoy-expected-rq-timeout-ms, grpc-timeout). The functions read head and route; RouteTimeouts is the two timers. Called by the
// router, which is told when one fires. HOT: one route timer a request.

import type { RequestHead } from '../codec/codec.js'
import { clampGrpcTimeout, formatGrpcTimeout } from '../grpc/grpc.js'
import type { CompiledForward } from '../route/compiled-route.js'
import {
  acquireStreamTimer,
  ROUTE_TIMERS,
  releaseStreamTimer,
  type StreamTimer,
  type StreamTimerTarget,
  UPSTREAM_MAX_TIMERS,
} from '../stream/stream-timer.js'

const DEFAULT_ROUTE_TIMEOUT_MS = 15_000
const TIMEOUT_HEADER = 'x-envoy-upstream-rq-timeout-ms'
const EXPECTED_HEADER = 'x-envoy-expected-rq-timeout-ms'

/** Where a route timeout is set. */
export type TimeoutOrigin =
  | 'route'
  | 'default'
  | 'header grpc-timeout'
  | 'header x-envoy-expected-rq-timeout-ms'
  | 'header x-envoy-upstream-rq-timeout-ms'

/**
 * How long the whole stream may last where the route says so, else null: a route's max_stream_duration replaces the connection
 * manager's; with grpc_timeout_header_max the client's grpc-timeout, clamped, replaces both. A gRPC upstream is told what holds
 * (Envoy ActiveStream::refreshDurationTimeout).
 */
export function streamDuration(request: RequestHead, forward: CompiledForward, isGrpc: boolean, generalMs: number | null): number | null {
  if (!forward.limitsDuration) return null
  const { headers } = request
  const asked = forward.grpcTimeoutHeaderMaxMs === null ? null : clampGrpcTimeout(headers, forward)
  const ms = asked ?? forward.maxStreamDurationMs ?? generalMs ?? 0
  if (isGrpc && (ms > 0 || asked === 0)) headers.set('grpc-timeout', formatGrpcTimeout(ms))
  // A client whose time is over hears so at once; 0 would be no limit.
  return asked === 0 ? 1 : ms
}

/**
 * With a per-try timeout shorter than the whole, the upstream is told that one (Envoy FilterUtility::setTimeoutHeaders); with
 * max_grpc_timeout a gRPC server is told the same in its own words.
 */
export function tellExpectedTimeout(
  request: RequestHead,
  forward: CompiledForward,
  timeoutMs: number,
  isGrpc: boolean,
  suppress: boolean,
): void {
  const { headers } = request
  const perTry = forward.retry?.perTryTimeoutMs ?? null
  const ms = perTry !== null && perTry > 0 && (timeoutMs <= 0 || perTry < timeoutMs) ? perTry : timeoutMs
  if (ms <= 0 || suppress) headers.remove(EXPECTED_HEADER)
  else headers.setLower(EXPECTED_HEADER, String(ms))
  if (ms > 0 && isGrpc && forward.maxGrpcTimeoutMs !== null && !forward.limitsDuration) headers.set('grpc-timeout', formatGrpcTimeout(ms))
}

/** A retry tells the upstream what is left of the route timeout, `elapsedMs` of which have passed. */
export function shrinkExpectedTimeout(request: RequestHead, timeoutMs: number, elapsedMs: number, perTryMs: number | null): void {
  if (timeoutMs <= 0 || !request.headers.has(EXPECTED_HEADER)) return
  const left = Math.max(1, Math.round(timeoutMs - elapsedMs))
  request.headers.set(EXPECTED_HEADER, String(perTryMs !== null && perTryMs > 0 ? Math.min(perTryMs, left) : left))
}

/** Unsigned decimal of at most nine digits, or null. */
function parseMs(text: string): number | null {
  return /^\d{1,9}$/.test(text) ? Number(text) : null
}

export class RouteTimeouts {
  /** Runs from the end of the request; 0: none. */
  readonly routeMs: number
  readonly origin: TimeoutOrigin
  private readonly target: StreamTimerTarget
  private route: StreamTimer | null = null
  private upstreamMax: StreamTimer | null = null

  /**
   * x-envoy-expected-rq-timeout-ms where the router respects it, x-envoy-upstream-rq-timeout-ms (taken off the head), grpc-timeout where the
   * route allows it, the route's, or 15 s.
   */
  constructor(target: StreamTimerTarget, request: RequestHead, forward: CompiledForward, isGrpc: boolean, respectExpected: boolean) {
    this.target = target
    // max_stream_duration stands in for the route timeout (Envoy RouteEntry::usingNewTimeouts).
    let routeMs = forward.limitsDuration ? 0 : (forward.timeoutMs ?? DEFAULT_ROUTE_TIMEOUT_MS)
    let origin: TimeoutOrigin = forward.timeoutMs === null && !forward.limitsDuration ? 'default' : 'route'
    if (isGrpc && !forward.limitsDuration) {
      const clamped = clampGrpcTimeout(request.headers, forward)
      if (clamped !== null) {
        routeMs = clamped
        origin = 'header grpc-timeout'
      }
    }
    // With respect_expected_rq_timeout what the proxy before us set goes before what its client asked for.
    const expected = respectExpected ? request.headers.get(EXPECTED_HEADER) : undefined
    const header = request.headers.get(TIMEOUT_HEADER)
    const asked = expected ?? header
    const ms = asked === undefined ? null : parseMs(asked)
    if (ms !== null) {
      routeMs = ms
      origin = expected === undefined ? 'header x-envoy-upstream-rq-timeout-ms' : 'header x-envoy-expected-rq-timeout-ms'
    }
    if (expected === undefined && header !== undefined) request.headers.remove(TIMEOUT_HEADER)
    this.routeMs = routeMs
    this.origin = origin
  }

  armRoute(): void {
    if (this.routeMs > 0 && this.route === null) this.route = acquireStreamTimer(ROUTE_TIMERS, this.target, this.routeMs)
  }

  /** A tunnel may last. */
  dropRoute(): void {
    if (this.route === null) return
    releaseStreamTimer(this.route)
    this.route = null
  }

  armUpstreamMax(ms: number): void {
    if (this.upstreamMax === null) this.upstreamMax = acquireStreamTimer(UPSTREAM_MAX_TIMERS, this.target, ms)
  }

  release(): void {
    if (this.route !== null) releaseStreamTimer(this.route)
    if (this.upstreamMax !== null) releaseStreamTimer(this.upstreamMax)
    this.route = this.upstreamMax = null
  }
}
