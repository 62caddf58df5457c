// The tags and events of a span, in Envoy's words and order: of a request, and of one try of it. Called by RequestTrace when they end.

import type { Host } from '../../upstream/host/host.js'
import type { RequestHead } from '../codec/codec.js'
import type { HeaderList } from '../codec/header-list.js'
import type { CompiledTag } from '../format/custom-tag.js'
import { grpcStatusOf, isGrpcRequest } from '../grpc/grpc.js'
import { responseFlagsText } from '../stream/response-flags.js'
import type { StreamInfo } from '../stream/stream-info.js'
import type { Span } from './span.js'

/** Unknown, deadline exceeded, unimplemented, internal, unavailable, data loss: the upstream's fault. */
const GRPC_ERRORS: ReadonlySet<number> = new Set([2, 4, 12, 13, 14, 15])

/** Byte strings that every span of the process has. */
export interface OwnNames {
  readonly nodeId: string
  readonly zone: string
}

/** What came back: of the request as a whole, or of a try. */
export interface AnswerFacts {
  /** 0: none. */
  readonly status: number
  readonly responseFlags: number
  readonly headers: HeaderList | null
  readonly trailers: HeaderList | null
}

export function tagRequest(span: Span, info: StreamInfo, names: OwnNames, maxPathLength: number): void {
  const { request } = info
  span.tag('node_id', names.nodeId)
  span.tag('zone', names.zone)
  if (request !== null) tagRequestHead(span, request, info, maxPathLength)
  span.tag('request_size', String(info.bytesReceived))
  span.tag('response_size', String(info.bytesSent))
}

function tagRequestHead(span: Span, request: RequestHead, info: StreamInfo, maxPathLength: number): void {
  const { headers } = request
  const requestId = headers.get('x-request-id')
  if (requestId !== undefined) span.tag('guid:x-request-id', requestId)
  const path = headers.get('x-envoy-original-path') ?? request.path
  const scheme = headers.get('x-forwarded-proto') ?? request.scheme
  span.tag('http.url', `${scheme}://${request.authority}${path.slice(0, maxPathLength)}`)
  span.tag('http.method', request.method)
  span.tag('downstream_cluster', headers.get('x-envoy-downstream-service-cluster') || '-')
  span.tag('user_agent', headers.get('user-agent') || '-')
  span.tag('http.protocol', request.version)
  span.tag('peer.address', info.connection.directRemoteAddress)
  const clientTraceId = headers.get('x-client-trace-id')
  if (clientTraceId !== undefined) span.tag('guid:x-client-trace-id', clientTraceId)
  if (!isGrpcRequest(request)) return
  span.tag('grpc.path', request.path)
  span.tag('grpc.authority', request.authority)
  span.tag('grpc.content_type', headers.get('content-type') ?? '')
  const timeout = headers.get('grpc-timeout')
  if (timeout !== undefined) span.tag('grpc.timeout', timeout)
}

export function tagTry(span: Span, host: Host, protocol: string): void {
  span.tag('http.protocol', protocol)
  span.tag('upstream_address', host.addressText)
  span.tag('peer.address', host.addressText)
}

/** What both kinds of spans end with. `cluster`: null where none was chosen. */
export function tagAnswer(
  span: Span,
  facts: AnswerFacts,
  cluster: { readonly name: string; readonly altStatName: string } | null,
  isGrpc: boolean,
): void {
  const { status, headers, trailers } = facts
  span.tag('component', 'proxy')
  if (cluster !== null) {
    span.tag('upstream_cluster', cluster.name)
    span.tag('upstream_cluster.name', cluster.altStatName || cluster.name)
  }
  span.tag('http.status_code', String(status))
  span.tag('response_flags', responseFlagsText(facts.responseFlags))
  if (isGrpc) tagGrpcStatus(span, headers, trailers)
  if (status === 0 || status >= 500) span.tag('error', 'true')
}

function tagGrpcStatus(span: Span, headers: HeaderList | null, trailers: HeaderList | null): void {
  const source = [trailers, headers].find(fields => fields?.has('grpc-status')) ?? null
  if (source === null) return
  const status = grpcStatusOf(source)
  span.tag('grpc.status_code', source.get('grpc-status')!)
  const message = source.get('grpc-message')
  if (message !== undefined) span.tag('grpc.message', message)
  if (status === -1 || GRPC_ERRORS.has(status)) span.tag('error', 'true')
}

/** `without`: names that another list sets. */
export function tagCustom(span: Span, tags: readonly CompiledTag[], info: StreamInfo, without: ReadonlySet<string> | null = null): void {
  for (const tag of tags) {
    if (without?.has(tag.name) === true) continue
    const value = tag.value(info)
    if (value !== undefined && value !== '') span.tag(tag.name, value)
  }
}

/** `at`: performance.now() of the moment; 0 = it did not come. */
export function addMoment(span: Span, name: string, at: number, info: StreamInfo): void {
  if (at !== 0) span.event(name, info.startTimeMs + (at - info.startedAt))
}

export function addMoments(span: Span, info: StreamInfo): void {
  addMoment(span, 'last_downstream_rx_byte_received', info.requestReceivedAt, info)
  const sent = info.firstUpstreamByteSentAt
  addMoment(span, 'first_upstream_tx_byte_sent', sent, info)
  addMoment(span, 'last_upstream_tx_byte_sent', sent === 0 ? 0 : Math.max(sent, info.requestReceivedAt), info)
  const received = info.firstUpstreamByteReceivedAt
  addMoment(span, 'first_upstream_rx_byte_received', received, info)
  addMoment(span, 'last_upstream_rx_byte_received', received === 0 ? 0 : info.lastUpstreamByteReceivedAt || info.endedAt, info)
  const first = info.firstDownstreamByteSentAt
  addMoment(span, 'first_downstream_tx_byte_sent', first, info)
  addMoment(span, 'last_downstream_tx_byte_sent', first === 0 ? 0 : info.endedAt, info)
}
