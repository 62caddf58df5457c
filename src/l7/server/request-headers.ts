// The request head on its way in: what the connection manager does to it before filters and routes see it (Envoy
// ConnectionManagerUtility::mutateRequestHeaders and the checks around it). Called by request-path.ts; what the router adds on the way
// out is in router/upstream-head.ts. HOT: header scans by name only where a feature is on.

import { randomFillSync } from 'node:crypto'
import type { HcmHandles } from '../../metrics/stat-names.js'
import type { RequestHead, ServerStream } from '../codec/codec.js'
import { type HeaderList, isEnvoyHeader } from '../codec/header-list.js'
import { type LocalReply, localReply } from '../reply/local-reply.js'
import { normalizeHost, normalizePath } from '../route/path-normalize.js'
import type { StreamInfo } from '../stream/stream-info.js'
import { applyXfcc } from '../stream/xfcc.js'
import { withReason } from '../tracing/trace-reason.js'
import { setClientAddress } from './client-address.js'
import type { HttpRuntime } from './http-runtime.js'
import { appendVia } from './response-headers.js'

/** Taken off every request that does not come from a configured internal range (Envoy cleanInternalHeaders). */
const INTERNAL_HEADERS = [
  'x-envoy-retriable-status-codes',
  'x-envoy-retriable-header-names',
  'x-envoy-retry-on',
  'x-envoy-retry-grpc-on',
  'x-envoy-max-retries',
  'x-envoy-upstream-alt-stat-name',
  'x-envoy-upstream-rq-timeout-ms',
  'x-envoy-upstream-rq-per-try-timeout-ms',
  'x-envoy-upstream-rq-timeout-alt-response',
  'x-envoy-expected-rq-timeout-ms',
  'x-envoy-force-trace',
  'x-envoy-ip-tags',
  'x-envoy-original-url',
  'x-envoy-hedge-on-per-try-timeout',
]
/** Taken off at an edge (use_remote_address) too. */
const EDGE_HEADERS = ['x-envoy-decorator-operation', 'x-envoy-downstream-service-cluster', 'x-envoy-downstream-service-node']

/** One scan decides whether any x-envoy- header is there at all: nearly always none is. HOT. */
function hasEnvoyHeader(names: readonly string[]): boolean {
  for (let i = 0; i < names.length; i++) if (isEnvoyHeader(names[i]!)) return true
  return false
}

/** The request that came. */
export interface IncomingRequest {
  readonly runtime: HttpRuntime
  readonly request: RequestHead
  readonly info: StreamInfo
  readonly body: { readonly ended: boolean }
  readonly stream: Pick<ServerStream, 'sendInformational'>
}

/** Null when the request may go on. */
export function prepareRequest(incoming: IncomingRequest): LocalReply | { readonly redirect: string } | null {
  const { request: head, runtime, info } = incoming
  const { connection } = info
  const { config } = runtime
  if (head.version === 'HTTP/1.0' && !config.http1.acceptHttp10) return localReply('low-version', '')
  if (head.authority === '') {
    if (head.version === 'HTTP/1.0' && config.http1.defaultHostForHttp10 !== '') head.authority = config.http1.defaultHostForHttp10
    else return localReply('missing-host', '')
  }
  if (head.path === '' && head.method !== 'CONNECT') return localReply('missing-path', '')
  const headers = head.headers
  // RFC 10008: nobody may guess what a query without a type asks.
  if (head.method === 'QUERY' && (headers.get('content-type') ?? '') === '') return localReply('query-without-type', '')

  if (head.expectContinue && !config.proxy100Continue) {
    headers.remove('expect')
    if (!incoming.body.ended) incoming.stream.sendInformational(runtime.continueHead)
  }

  runtime.earlyMutations?.apply(headers, info, head)
  const tls = connection.tls !== null
  const direct = setClientAddress(incoming)
  if (typeof direct !== 'boolean') {
    runtime.stats.downstream_rq_rejected_via_ip_detection.value++
    return direct
  }
  const internal = direct && runtime.internalRanges?.(info.remoteAddress) === true
  if (!headers.has('x-forwarded-proto') || (config.useRemoteAddress && config.xffNumTrustedHops === 0))
    headers.setLower('x-forwarded-proto', tls ? 'https' : 'http')
  // What the operator says is what everything downstream of here sees: require_tls and redirects go by x-forwarded-proto.
  if (config.schemeToOverwrite !== '') headers.set('x-forwarded-proto', config.schemeToOverwrite)
  if (config.appendXForwardedPort && !headers.has('x-forwarded-port')) headers.set('x-forwarded-port', String(connection.localPort))
  head.scheme = config.schemeToOverwrite !== '' ? config.schemeToOverwrite : schemeOf(head, tls)

  if (hasEnvoyHeader(headers.lower)) {
    headers.remove('x-envoy-internal')
    if (!internal) {
      if (config.useRemoteAddress) for (const name of EDGE_HEADERS) headers.remove(name)
      for (const name of INTERNAL_HEADERS) headers.remove(name)
    }
    // The evidence of a rewrite is trusted from mesh peers only (CVE-2023-27487); Envoy keeps it from anyone but at an edge.
    if (connection.tls?.peer?.validated !== true) {
      headers.remove('x-envoy-original-path')
      headers.remove('x-envoy-original-host')
    }
  }
  // Their names are the operator's: any request may hold them.
  if (!internal) for (const name of runtime.routes.tableFor(head).model.internalOnlyHeaders) headers.remove(name)
  info.internal = internal
  if (internal) headers.setLower('x-envoy-internal', 'true')
  else if (config.useRemoteAddress) headers.setLower('x-envoy-external-address', info.remoteAddress)

  if (config.addUserAgent) nameOurselves(headers, runtime)
  if (config.via !== '') appendVia(headers, config.via)

  if (config.generateRequestId) {
    const given = headers.get('x-request-id')
    const fromOutside = config.useRemoteAddress && !internal
    if (given === undefined || given === '' || (fromOutside && !config.preserveExternalRequestId)) {
      info.requestId = requestId()
      headers.setLower('x-request-id', info.requestId)
    } else if (fromOutside && config.requestId.packTraceReason) {
      // It is kept, but whether a trace is made is not for the outside to say.
      info.requestId = withReason(given, 'not-traceable')
      headers.setLower('x-request-id', info.requestId)
    } else info.requestId = given
  } else info.requestId = headers.get('x-request-id') ?? ''

  applyXfcc(head, connection, config.xfccMode, config.xfccDetails)
  return normalizeTarget(incoming)
}

/** add_user_agent: who sends it. A client's own user-agent stays, what it says of a mesh does not. */
function nameOurselves(headers: HeaderList, { serviceCluster, serviceNode }: Pick<HttpRuntime, 'serviceCluster' | 'serviceNode'>): void {
  headers.set('x-envoy-downstream-service-cluster', serviceCluster)
  if (!headers.get('user-agent')) headers.set('user-agent', serviceCluster)
  if (serviceNode !== '') headers.set('x-envoy-downstream-service-node', serviceNode)
}

/** Host and path in the form that routes and rules look at. Null when the request may go on. */
export function normalizeTarget(
  incoming: Pick<IncomingRequest, 'runtime' | 'request' | 'info'>,
): LocalReply | { readonly redirect: string } | null {
  const { request: head, runtime, info } = incoming
  const { config } = runtime
  normalizeHost(head, config, info.connection.localPort)
  if (head.method !== 'CONNECT' || head.path !== '') {
    const refused = normalizePath(head, config)
    if (refused !== null) return 'redirect' in refused ? refused : { status: refused.status, body: '', flag: 0, details: refused.details }
  }
  return null
}

/** Paths that were refused, or sent back in another form. */
export function countRefusedTarget(stats: HcmHandles, refused: LocalReply | { readonly redirect: string }): void {
  if ('redirect' in refused) stats.downstream_rq_redirected_with_normalized_path.value++
  else if (refused.details === 'absolute_path_rejected') stats.downstream_rq_non_relative_path.value++
  else if (refused.details === 'path_normalization_failed') stats.downstream_rq_failed_path_normalization.value++
}

/** What the client calls it by itself goes first, as in Envoy: a target with a scheme, `:scheme`. x-forwarded-proto says what those before us saw. */
function schemeOf(head: RequestHead, tls: boolean): string {
  if (head.scheme === 'http' || head.scheme === 'https') return head.scheme
  const forwarded = head.headers.get('x-forwarded-proto')
  if (forwarded !== undefined) {
    const lower = forwarded.toLowerCase()
    if (lower === 'http' || lower === 'https') return lower
  }
  return tls ? 'https' : 'http'
}

const RANDOM_POOL = Buffer.alloc(4096)
let randomOffset = RANDOM_POOL.length
const HEX = Buffer.from('0123456789abcdef', 'latin1')
/** `xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx`, written over for each id: of two dozen pieces joined one by one each would be garbage. */
const ID_TEXT = Buffer.alloc(36, '-')
/** Where in it the digits of each byte stand. */
const ID_PLACES = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34]

/** UUID version 4 from a pool of random bytes: one syscall per 256 requests. */
function requestId(): string {
  if (randomOffset === RANDOM_POOL.length) {
    randomFillSync(RANDOM_POOL)
    randomOffset = 0
  }
  const from = randomOffset
  randomOffset += 16
  for (let i = 0; i < 16; i++) {
    let byte = RANDOM_POOL[from + i]!
    if (i === 6) byte = (byte & 0x0f) | 0x40
    else if (i === 8) byte = (byte & 0x3f) | 0x80
    const at = ID_PLACES[i]!
    ID_TEXT[at] = HEX[byte >> 4]!
    ID_TEXT[at + 1] = HEX[byte & 15]!
  }
  return ID_TEXT.latin1Slice(0, ID_TEXT.length)
}
