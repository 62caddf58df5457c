// Format commands about the request and its response: headers, codes, sizes, times, names.

import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { toByteString } from '../codec/byte-string.js'
import type { RequestHead } from '../codec/codec.js'
import { fieldOf } from '../codec/header-field.js'
import type { HeaderList } from '../codec/header-list.js'
import { GRPC_STATUS_NAMES, grpcStatusOf, httpToGrpcStatus, isGrpcRequest } from '../grpc/grpc.js'
import { requestHeaderReader } from '../match/header-matcher.js'
import { queryParameter } from '../match/query-parameter.js'
import { responseFlagsLongText, responseFlagsText } from '../stream/response-flags.js'
import { clusterOf, type StreamInfo } from '../stream/stream-info.js'
import { compileDateFormat } from './date-format.js'
import { requestHeadBytes, responseHeadBytes } from './header-bytes.js'
import { distinct, type Operator, type OperatorFactory, orNothing, plain } from './operator.js'

/** Filter-state key under which a local reply's body waits for `%LOCAL_REPLY_BODY%`. */
export const LOCAL_REPLY_BODY_STATE = 'outrigger.local_reply_body'

/** `X?Y` */
function alternates(argument: string): [string, string] | null {
  const [main, alternative, more] = argument.split('?')
  if (main === undefined || more !== undefined || argument === '') return null
  return [main.toLowerCase(), (alternative ?? '').toLowerCase()]
}

function requestField(name: string): (head: RequestHead) => string | undefined {
  if (name.startsWith(':') || name === 'host') return requestHeaderReader(name)
  return head => fieldOf(head.headers, name)
}

function requestHeader(withQuery: boolean): OperatorFactory {
  return argument => {
    const names = alternates(argument)
    if (names === null) return { reason: 'needs (HEADER?ALTERNATIVE)' }
    const first = requestField(names[0])
    const second = names[1] === '' ? null : requestField(names[1])
    return ({ request }) => {
      if (request === null) return undefined
      const value = first(request) ?? second?.(request)
      return withQuery || value === undefined ? value : value.split('?', 1)[0]
    }
  }
}

function responseHeader(read: (info: StreamInfo) => HeaderList | null | undefined): OperatorFactory {
  return argument => {
    const names = alternates(argument)
    if (names === null) return { reason: 'needs (HEADER?ALTERNATIVE)' }
    return info => {
      const headers = read(info)
      if (headers === null || headers === undefined) return undefined
      const of = (name: string) => (name === ':status' ? String(info.responseCode) : fieldOf(headers, name))
      return of(names[0]) ?? (names[1] === '' ? undefined : of(names[1]))
    }
  }
}

/** Lines are written when a request or a connection ends; those of the listener's own log have no type, as in Envoy. */
export function accessLogType(info: StreamInfo): 'NotSet' | 'TcpConnectionEnd' | 'DownstreamEnd' {
  if (info.forListenerLog) return 'NotSet'
  return info.request === null ? 'TcpConnectionEnd' : 'DownstreamEnd'
}

const endOf = (info: StreamInfo) => (info.endedAt === 0 ? performance.now() : info.endedAt)
const whole = (ms: number) => Math.max(0, Math.floor(ms))

/** Time points of COMMON_DURATION; 0 = not reached. */
const TIME_POINTS: ReadonlyMap<string, (info: StreamInfo) => number> = new Map([
  ['DS_RX_BEG', (info: StreamInfo) => info.startedAt],
  ['DS_RX_END', info => info.requestReceivedAt],
  ['US_TX_BEG', info => info.firstUpstreamByteSentAt],
  ['US_TX_END', info => (info.firstUpstreamByteSentAt === 0 ? 0 : Math.max(info.firstUpstreamByteSentAt, info.requestReceivedAt))],
  ['US_RX_BEG', info => info.firstUpstreamByteReceivedAt],
  ['US_RX_BODY_BEG', info => (info.upstreamBytesReceived === 0 ? 0 : info.firstUpstreamByteReceivedAt)],
  ['US_RX_END', info => info.lastUpstreamByteReceivedAt],
  ['DS_TX_BEG', info => info.firstDownstreamByteSentAt],
  ['DS_TX_END', info => info.lastDownstreamByteSentAt],
])

const PRECISIONS: ReadonlyMap<string, number> = new Map([
  ['ms', 1],
  ['us', 1000],
  ['ns', 1_000_000],
])

function between(start: string, end: string, scale: number): Operator {
  const from = TIME_POINTS.get(start) ?? (() => 0)
  const to = TIME_POINTS.get(end) ?? (() => 0)
  return info => {
    const a = from(info)
    const b = to(info)
    return a === 0 || b === 0 ? undefined : whole((b - a) * scale)
  }
}

function commonDuration(argument: string): Operator | { reason: string } {
  const [start, end, precision, more] = argument.split(':')
  const scale = PRECISIONS.get(precision ?? 'ms')
  if (start === undefined || end === undefined || scale === undefined || more !== undefined) return { reason: 'needs (START:END:ms|us|ns)' }
  return between(start, end, scale)
}

function grpcStatus(info: StreamInfo): number {
  if (info.grpcStatus >= 0) return info.grpcStatus
  if (info.request === null || !isGrpcRequest(info.request)) return -1
  const inTrailers = info.responseTrailers === null ? -1 : grpcStatusOf(info.responseTrailers)
  if (inTrailers !== -1 || info.response === null) return inTrailers
  const inHead = grpcStatusOf(info.response.headers)
  // As Envoy: an answer without a status stands for what its HTTP status means.
  return inHead !== -1 ? inHead : httpToGrpcStatus(info.response.status)
}

function grpcStatusName(argument: string): Operator | { reason: string } {
  if (argument !== '' && argument !== 'CAMEL_STRING' && argument !== 'SNAKE_STRING' && argument !== 'NUMBER')
    return { reason: `(${argument}) is no form of a gRPC status` }
  return info => {
    const status = grpcStatus(info)
    if (status === -1) return undefined
    if (argument === 'NUMBER') return status
    const name = GRPC_STATUS_NAMES[status]
    if (name === undefined) return String(status)
    if (argument !== 'SNAKE_STRING') return name
    return status === 1 ? 'CANCELLED' : name === 'OK' ? name : name.replace(/(?<=[a-z])(?=[A-Z])/g, '_').toUpperCase()
  }
}

/** SNI is chosen by the client: what is no host name does not reach a log (CVE-2024-45808). */
function hostNameOnly(name: string): string {
  return name.replace(/[^A-Za-z0-9.\-_:[\]]/g, '_')
}

function requestedServerName(argument: string): Operator | { reason: string } {
  const [mode = '', source = 'ORIG_OR_HOST'] = argument.split(':')
  if (!['', 'SNI_ONLY', 'SNI_FIRST', 'HOST_FIRST'].includes(mode)) return { reason: `(${argument}) is unknown` }
  const host = ({ request }: StreamInfo): string => {
    if (request === null) return ''
    const original = source === 'HOST' ? undefined : request.headers.get('x-envoy-original-host')
    return original ?? (source === 'ORIG' ? '' : request.authority)
  }
  const sni = (info: StreamInfo) => info.connection.requestedServerName
  return info => {
    const name = mode === 'HOST_FIRST' ? host(info) || sni(info) : mode === 'SNI_FIRST' ? sni(info) || host(info) : sni(info)
    return orNothing(hostNameOnly(name))
  }
}

function pathOf(argument: string): Operator | { reason: string } {
  const [query = '', source = ''] = argument.split(':')
  if (!['', 'WQ', 'NQ'].includes(query) || !['', 'ORIG', 'PATH', 'ORIG_OR_PATH'].includes(source))
    return { reason: `(${argument}) is unknown` }
  return ({ request }) => {
    if (request === null) return undefined
    const original = source === 'PATH' ? undefined : request.headers.get('x-envoy-original-path')
    const path = original ?? (source === 'ORIG' ? undefined : request.path)
    return query === 'NQ' ? path?.split('?', 1)[0] : path
  }
}

function percentDecoded<T extends string | undefined>(text: T): T | string {
  if (text === undefined || !text.includes('%')) return text
  return text.replace(/%([0-9A-Fa-f]{2})/g, (_all, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
}

function queryOf(decoded: boolean): Operator {
  return ({ request }) => {
    const at = request === null ? -1 : request.path.indexOf('?')
    if (at === -1) return undefined
    const query = request!.path.slice(at + 1)
    return decoded ? percentDecoded(query) : query
  }
}

let environment: (name: string) => string | undefined = () => undefined

/** Where `%ENVIRONMENT(NAME)%` reads; called once, before any config is compiled. */
export function provideEnvironment(read: (name: string) => string | undefined): void {
  environment = read
}

/** Undefined: it is not set. */
export function readEnvironment(name: string): string | undefined {
  return environment(name)
}

/** As Envoy, the value is that of the time of the config. */
function environmentVariable(name: string): Operator | { reason: string } {
  if (name === '') return { reason: 'needs (NAME)' }
  const value = environment(name)
  const bytes = value === undefined ? '-' : toByteString(value)
  return () => bytes
}

/** A host name may hold what a header must not. */
const HOSTNAME = toByteString(hostname())

const time =
  (read: (info: StreamInfo) => number, local: boolean): OperatorFactory =>
  argument => {
    const format = compileDateFormat(argument, local)
    return info => format(read(info))
  }

export const REQUEST_OPERATORS: readonly [string, OperatorFactory][] = [
  ['TRACE_ID', plain(info => orNothing(info.trace?.traceId ?? ''))],
  ['SPAN_ID', plain(info => orNothing(info.trace?.spanId ?? ''))],
  ['REQ', requestHeader(true)],
  ['REQUEST_HEADER', requestHeader(true)],
  ['REQ_WITHOUT_QUERY', requestHeader(false)],
  ['STREAM_INFO_REQ', requestHeader(true)],
  ['RESP', responseHeader(info => info.response?.headers)],
  ['RESPONSE_HEADER', responseHeader(info => info.response?.headers)],
  ['TRAILER', responseHeader(info => info.responseTrailers)],
  ['RESPONSE_TRAILER', responseHeader(info => info.responseTrailers)],
  ['PATH', pathOf],
  [
    'QUERY_PARAM',
    name =>
      name === ''
        ? { reason: 'needs (NAME)' }
        : ({ request }) => (request === null ? undefined : percentDecoded(queryParameter(request.path, name))),
  ],
  ['QUERY_PARAMS', argument => queryOf(argument === 'DECODED')],
  ['START_TIME', time(info => info.startTimeMs, false)],
  ['START_TIME_LOCAL', time(info => info.startTimeMs, true)],
  ['EMIT_TIME', time(() => Date.now(), false)],
  ['EMIT_TIME_LOCAL', time(() => Date.now(), true)],
  ['PROTOCOL', plain(info => info.request?.version ?? orNothing(info.refusedProtocol))],
  ['UPSTREAM_PROTOCOL', plain(info => orNothing(info.upstreamProtocol))],
  ['RESPONSE_CODE', plain(info => info.responseCode)],
  [
    'RESPONSE_CODE_DETAILS',
    argument =>
      argument === 'ALLOW_WHITESPACES'
        ? info => orNothing(info.responseCodeDetails)
        : info => orNothing(info.responseCodeDetails.replace(/\s/g, '_')),
  ],
  ['RESPONSE_FLAGS', plain(info => responseFlagsText(info.responseFlags, info.request !== null))],
  ['RESPONSE_FLAGS_LONG', plain(info => responseFlagsLongText(info.responseFlags, info.request !== null))],
  ['CONNECTION_TERMINATION_DETAILS', plain(info => orNothing(info.connectionTerminationDetails))],
  ['BYTES_RECEIVED', plain(info => info.bytesReceived)],
  ['BYTES_SENT', plain(info => info.bytesSent)],
  ['UPSTREAM_WIRE_BYTES_SENT', plain(info => info.upstreamBytesSent)],
  ['UPSTREAM_WIRE_BYTES_RECEIVED', plain(info => info.upstreamBytesReceived)],
  ['DOWNSTREAM_WIRE_BYTES_SENT', plain(info => info.bytesSent)],
  ['DOWNSTREAM_WIRE_BYTES_RECEIVED', plain(info => info.bytesReceived)],
  ['REQUEST_HEADERS_BYTES', plain(info => (info.request === null ? 0 : requestHeadBytes(info.request)))],
  ['RESPONSE_HEADERS_BYTES', plain(info => (info.response === null ? 0 : responseHeadBytes(info.response)))],
  ['DURATION', plain(info => whole(endOf(info) - info.startedAt))],
  ['REQUEST_DURATION', plain(between('DS_RX_BEG', 'DS_RX_END', 1))],
  ['REQUEST_TX_DURATION', plain(between('DS_RX_BEG', 'US_TX_END', 1))],
  ['RESPONSE_DURATION', plain(between('DS_RX_BEG', 'US_RX_BEG', 1))],
  [
    'RESPONSE_TX_DURATION',
    plain(({ firstUpstreamByteReceivedAt: from, lastDownstreamByteSentAt: to }) => (from === 0 || to === 0 ? undefined : whole(to - from))),
  ],
  ['COMMON_DURATION', commonDuration],
  ['ROUTE_NAME', plain(info => orNothing(toByteString(info.routeName)))],
  ['VIRTUAL_CLUSTER_NAME', plain(info => orNothing(toByteString(info.virtualClusterName)))],
  ['FILTER_CHAIN_NAME', plain(info => orNothing(toByteString(info.connection.filterChainName)))],
  ['UPSTREAM_CLUSTER', plain(info => orNothing(toByteString(clusterOf(info)?.altStatName || info.upstreamCluster)))],
  ['UPSTREAM_CLUSTER_RAW', plain(info => orNothing(toByteString(info.upstreamCluster)))],
  ['UPSTREAM_TRANSPORT_FAILURE_REASON', plain(info => orNothing(toByteString(info.upstreamTransportFailureReason).replace(/\s/g, '_')))],
  ['UPSTREAM_REQUEST_ATTEMPT_COUNT', plain(info => info.upstreamRequestAttemptCount)],
  ['REQUESTED_SERVER_NAME', requestedServerName],
  ['LISTENER_NAME', plain(info => orNothing(toByteString(info.connection.listenerName)))],
  ['UPSTREAM_CONNECTION_ID', plain(info => info.upstreamConnection?.id ?? 0)],
  ['UPSTREAM_CONNECTION_IDS_ATTEMPTED', plain(info => orNothing(distinct(info.connectionsUsed(), connection => String(connection.id))))],
  [
    'UPSTREAM_CONNECTION_POOL_READY_DURATION',
    plain(info => (info.upstreamStartedAt === 0 ? undefined : whole(info.firstUpstreamByteSentAt - info.upstreamStartedAt))),
  ],
  ['ROUTE_RESOLUTION_COUNT', plain(info => info.routeResolutions)],
  ['DOWNSTREAM_DETECTED_CLOSE_TYPE', plain(() => 'Normal')],
  ['UPSTREAM_DETECTED_CLOSE_TYPE', plain(info => (info.selectedHost === null ? undefined : 'Normal'))],
  ['CUSTOM_FLAGS', plain(() => '')],
  ['ENVIRONMENT', environmentVariable],
  ['CONNECTION_ID', plain(info => info.connection.id)],
  ['STREAM_ID', plain(info => orNothing(info.requestId))],
  ['UNIQUE_ID', plain(() => randomUUID())],
  ['HOSTNAME', plain(() => orNothing(HOSTNAME))],
  ['ACCESS_LOG_TYPE', plain(accessLogType)],
  ['GRPC_STATUS', grpcStatusName],
  ['GRPC_STATUS_NUMBER', () => grpcStatusName('NUMBER')],
  [
    'LOCAL_REPLY_BODY',
    plain(info => {
      const body = info.filterState(LOCAL_REPLY_BODY_STATE)
      return typeof body === 'string' ? toByteString(body) : ''
    }),
  ],
]
