// What the request path needs of gRPC: recognising it, its status in headers, its timeout, and how HTTP and gRPC statuses map to each
// other (envoy Grpc::Common and Grpc::Utility; gRPC's own mapping of HTTP statuses). Pure; HOT where it reads heads.

import type { RequestHead } from '../codec/codec.js'
import type { HeaderList } from '../codec/header-list.js'

/** Names by number, as `%GRPC_STATUS%` prints them. */
export const GRPC_STATUS_NAMES: readonly string[] = [
  'OK',
  'Canceled',
  'Unknown',
  'InvalidArgument',
  'DeadlineExceeded',
  'NotFound',
  'AlreadyExists',
  'PermissionDenied',
  'ResourceExhausted',
  'FailedPrecondition',
  'Aborted',
  'OutOfRange',
  'Unimplemented',
  'Internal',
  'Unavailable',
  'DataLoss',
  'Unauthenticated',
]

const CONTENT_TYPE = 'application/grpc'

/** `application/grpc` or `application/grpc+…`; grpc-web is not gRPC. */
export function isGrpcContentType(value: string | undefined): boolean {
  return value?.startsWith(CONTENT_TYPE) === true && (value.length === CONTENT_TYPE.length || value[CONTENT_TYPE.length] === '+')
}

export function isGrpcRequest(head: RequestHead): boolean {
  return head.path !== '' && isGrpcContentType(head.headers.get('content-type'))
}

/** `grpc-status` of a head or of trailers; -1 when absent, 2 (Unknown) when it is no number that gRPC has. */
export function grpcStatusOf(headers: HeaderList): number {
  const text = headers.get('grpc-status')
  if (text === undefined || text === '') return -1
  if (!/^\d{1,5}$/.test(text)) return 2
  return Number(text)
}

export function httpToGrpcStatus(status: number): number {
  switch (status) {
    case 400:
      return 13
    case 401:
      return 16
    case 403:
      return 7
    case 404:
      return 12
    case 429:
    case 502:
    case 503:
    case 504:
      return 14
    default:
      return 2
  }
}

export function grpcToHttpStatus(status: number): number {
  switch (status) {
    case 0:
      return 200
    case 1:
      return 499
    case 3:
    case 9:
    case 11:
      return 400
    case 4:
      return 504
    case 5:
      return 404
    case 6:
    case 10:
      return 409
    case 7:
      return 403
    case 8:
      return 429
    case 12:
      return 501
    case 14:
      return 503
    case 16:
      return 401
    default:
      return 500
  }
}

/** `body` is a byte string; `message` is ready for the grpc-message field. `grpcStatus`: instead of what `httpStatus` maps to. */
export function grpcLocalReply(httpStatus: number, body: string, grpcStatus?: number): { grpcStatus: number; message: string } {
  return { grpcStatus: grpcStatus ?? httpToGrpcStatus(httpStatus), message: encodeGrpcMessage(body) }
}

/** Percent-encodes everything but printable ASCII, and `%` (gRPC over HTTP/2, Status-Message). `bytes`: UTF-8, a character each. */
export function encodeGrpcMessage(bytes: string): string {
  if (!/[^\x20-\x24\x26-\x7e]/.test(bytes)) return bytes
  return bytes.replace(/[^\x20-\x24\x26-\x7e]/g, char => `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`)
}

/**
 * `grpc-timeout` in milliseconds, rounded up; null when absent or malformed. At most eight digits and a unit, so that no value can
 * overflow (CVE-2021-28682): longer ones are malformed, as gRPC says.
 */
export function grpcTimeoutMs(headers: HeaderList): number | null {
  const text = headers.get('grpc-timeout')
  if (text === undefined || !/^\d{1,8}[HMSmun]$/.test(text)) return null
  const value = Number(text.slice(0, -1))
  switch (text.charCodeAt(text.length - 1)) {
    case 0x48:
      return value * 3_600_000
    case 0x4d:
      return value * 60_000
    case 0x53:
      return value * 1000
    case 0x6d:
      return value
    case 0x75:
      return Math.ceil(value / 1000)
    default:
      return Math.ceil(value / 1_000_000)
  }
}

/** The longest duration that grpc-timeout can say, in the smallest unit it fits (Envoy Grpc::Common::toGrpcTimeout). */
export function formatGrpcTimeout(ms: number): string {
  let value = Math.max(0, Math.round(ms))
  for (const [unit, next] of [
    ['m', 1000],
    ['S', 60],
    ['M', 60],
  ] as const) {
    if (value <= 99_999_999) return `${value}${unit}`
    value = Math.floor(value / next)
  }
  return `${Math.min(value, 99_999_999)}H`
}

export interface GrpcTimeoutRules {
  readonly grpcTimeoutHeaderMaxMs: number | null
  readonly grpcTimeoutHeaderOffsetMs: number | null
  readonly maxGrpcTimeoutMs: number | null
  readonly grpcTimeoutOffsetMs: number | null
}

/**
 * The timeout of a gRPC request in ms where the route takes it from `grpc-timeout`; 0 = none at all (max_grpc_timeout); null = the route does not, or
 * (grpc_timeout_header_max only) the client named none, and the route's own timeout holds.
 *   max_stream_duration.grpc_timeout_header_max: min(header, max), 0 = no cap, less the offset; a header of 0 has passed already.
 *   max_grpc_timeout (deprecated): likewise, and a client that names no timeout has an infinite one, capped too.
 */
export function clampGrpcTimeout(headers: HeaderList, rules: GrpcTimeoutRules): number | null {
  if (rules.grpcTimeoutHeaderMaxMs !== null) {
    const asked = grpcTimeoutMs(headers)
    if (asked === null) return null
    const max = rules.grpcTimeoutHeaderMaxMs
    const capped = max > 0 && asked > max ? max : asked
    const offset = rules.grpcTimeoutHeaderOffsetMs ?? 0
    // An offset never makes a timeout infinite.
    return offset > 0 && offset < capped ? capped - offset : capped
  }
  if (rules.maxGrpcTimeoutMs === null) return null
  let timeout = grpcTimeoutMs(headers) ?? 0
  const offset = rules.grpcTimeoutOffsetMs ?? 0
  if (offset > 0 && offset < timeout) timeout -= offset
  const max = rules.maxGrpcTimeoutMs
  return max > 0 && (timeout === 0 || timeout > max) ? max : timeout
}
