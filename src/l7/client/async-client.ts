// Requests of our own to a cluster: what filters ask other services (JWKS, ext_authz over HTTP) and, framed as unary gRPC,
// what they ask gRPC services. Goes cluster -> pick -> pool -> UpstreamRequest like every request. The answer is whole or a failure, and
// comes exactly once and never from inside send(). Bounds: MAX_ASYNC_REQUESTS under way, MAX_ASYNC_RESPONSE_BYTES a body.

import { systemClock, type Timer } from '../../io/clock.js'
import type { RouterHandles } from '../../metrics/stat-names.js'
import type { GrpcService } from '../../model/grpc-service.js'
import type { UpstreamCluster } from '../../upstream/cluster/cluster.js'
import type { PoolProtocol } from '../../upstream/connect/http-pool.js'
import type { Host } from '../../upstream/host/host.js'
import type { RequestHead, ResponseHead } from '../codec/codec.js'
import { HeaderList } from '../codec/header-list.js'
import { httpToGrpcStatus } from '../grpc/grpc.js'
import { grpcFrame, grpcMessageOf } from '../grpc/grpc-frame.js'
import { failureText, type UpstreamFailure } from '../stream/upstream-failure.js'
import { type GrpcExchangeEvents, type GrpcStream, type GrpcStreamEvents, OutgoingGrpcStream } from './grpc-stream.js'
import type { GrpcTargetCall, GrpcTargets } from './grpc-targets.js'
import { sniFor, type UpstreamPools } from './upstream-pools.js'
import { UpstreamRequest, type UpstreamRequestOwner } from './upstream-request.js'

/** Requests under way at once, over all filters of a worker. */
export const MAX_ASYNC_REQUESTS = 4096
/** Longest answer that is taken; a longer one is a failure. */
export const MAX_ASYNC_RESPONSE_BYTES = 4 * 1024 * 1024

export interface AsyncRequest {
  readonly method: string
  readonly path: string
  readonly authority: string
  readonly headers: HeaderList
  /** null: no body. */
  readonly body: Buffer | null
  /** 0 = none. */
  readonly timeoutMs: number
}

export type AsyncResult =
  | {
      readonly kind: 'response'
      readonly status: number
      readonly headers: HeaderList
      readonly body: Buffer
      readonly trailers: HeaderList | null
    }
  | {
      readonly kind: 'failure'
      readonly reason: 'no-cluster' | 'no-healthy-upstream' | 'overflow' | 'timeout' | 'reset' | 'too-large'
      readonly message: string
    }

export interface AsyncCall {
  /** The callback will not be called any more. */
  cancel(): void
}

export interface AsyncHttpClient {
  send(clusterName: string, request: AsyncRequest, callback: (result: AsyncResult) => void): AsyncCall
}

/** `grpcStatus` 0 comes with the response message. Failures of the transport are 14 (unavailable) or 4 (deadline exceeded). */
export type GrpcCallback = (grpcStatus: number, message: Buffer, details: string) => void

export interface AsyncGrpcClient {
  /** One unary call. `path` is `/package.Service/Method`. */
  unary(service: GrpcService, path: string, request: Buffer, timeoutMs: number, callback: GrpcCallback): AsyncCall
  /** A stream of messages from us, opened now. `onEnd` once, never from inside, with the reason; not after close(). */
  stream(service: GrpcService, path: string, onEnd: (reason: string) => void): GrpcStream
  /** A stream of messages both ways, opened now. */
  exchange(service: GrpcService, path: string, events: GrpcExchangeEvents): GrpcStream
}

const EMPTY = Buffer.alloc(0)

/** Both clients over the clusters' pools: one per worker. */
export class UpstreamAsyncClient implements AsyncHttpClient, AsyncGrpcClient {
  active = 0
  private readonly clusters: { get(name: string): UpstreamCluster | undefined }
  private readonly pools: UpstreamPools
  private readonly random: () => number
  /** `http.async-client.` */
  private readonly stats: RouterHandles
  private readonly targets: GrpcTargets

  constructor(
    clusters: { get(name: string): UpstreamCluster | undefined },
    pools: UpstreamPools,
    random: () => number,
    stats: RouterHandles,
    targets: GrpcTargets,
  ) {
    this.targets = targets
    this.stats = stats
    this.clusters = clusters
    this.pools = pools
    this.random = random
  }

  send(clusterName: string, request: AsyncRequest, callback: (result: AsyncResult) => void): AsyncCall {
    return this.sendAs(clusterName, request, null, callback)
  }

  /** `protocol` null: as the cluster is configured. gRPC needs HTTP/2 whatever the cluster says. */
  private sendAs(
    clusterName: string,
    request: AsyncRequest,
    protocol: PoolProtocol | null,
    callback: (result: AsyncResult) => void,
  ): AsyncCall {
    const call = new PendingCall(this, callback)
    if (this.active > MAX_ASYNC_REQUESTS) return call.failLater('overflow', TOO_MANY)
    const cluster = this.clusters.get(clusterName)
    this.stats.rq_total.value++
    if (cluster === undefined) {
      this.stats.no_cluster.value++
      return call.failLater('no-cluster', `unknown cluster '${clusterName}'`)
    }
    const host = this.pickHost(cluster)
    if (host === null) return call.failLater('no-healthy-upstream', `no healthy host in cluster '${clusterName}'`)
    const { method, authority, path, headers, body } = request
    if (body !== null && !headers.has('content-length')) headers.append('content-length', String(body.length))
    const scheme = host.cluster.config.tls === null ? 'http' : 'https'
    const head = requestHead(method, scheme, authority, path, headers, body === null ? 0 : body.length)
    const pool = this.pools.poolFor(host, protocol ?? this.pools.protocolFor(host, head), 'DEFAULT', sniFor(host, request.authority))
    const upstream = new UpstreamRequest(call, host, pool, host.cluster.breakers('DEFAULT'), 1)
    call.prepare(head, body, request.timeoutMs)
    call.start(upstream)
    return call
  }

  stream(service: GrpcService, path: string, onEnd: (reason: string) => void): GrpcStream {
    return this.open(service, path, { onEnd: (_status, reason) => onEnd(reason) })
  }

  exchange(service: GrpcService, path: string, events: GrpcExchangeEvents): GrpcStream {
    return this.open(service, path, events)
  }

  private open(service: GrpcService, path: string, events: GrpcStreamEvents): GrpcStream {
    const headers = HeaderList.of(['content-type', 'application/grpc'], ['te', 'trailers'])
    for (const { key, value } of service.initialMetadata) headers.append(key, value)
    if (service.google !== undefined) return this.openToTarget(service, path, headers, events)
    const cluster = this.clusters.get(service.cluster)
    const host = cluster === undefined ? null : this.pickHost(cluster)
    const scheme = host !== null && host.cluster.config.tls !== null ? 'https' : 'http'
    const head = requestHead('POST', scheme, service.authority || service.cluster, path, headers, -1)
    const stream = new OutgoingGrpcStream(head, events)
    this.stats.rq_total.value++
    if (cluster === undefined) {
      this.stats.no_cluster.value++
      return stream.failLater(`unknown cluster '${service.cluster}'`)
    }
    if (host === null) return stream.failLater(`no healthy host in cluster '${service.cluster}'`)
    const pool = this.pools.poolFor(host, 'http2', 'DEFAULT', sniFor(host, head.authority))
    stream.start(new UpstreamRequest(stream, host, pool, host.cluster.breakers('DEFAULT'), 1))
    return stream
  }

  private openToTarget(service: GrpcService, path: string, headers: HeaderList, events: GrpcStreamEvents): GrpcStream {
    const head = requestHead('POST', schemeOf(service), service.authority, path, headers, -1)
    const target = this.targets.call(service)
    if (typeof target === 'string') return new OutgoingGrpcStream(head, events).failLater(target)
    const stream = new OutgoingGrpcStream(head, events, target)
    const problem = this.targets.addCredentials(service, headers)
    if (problem !== '') return stream.failLater(problem)
    target.whenReady(() => stream.startOnTarget(target))
    return stream
  }

  private unaryToTarget(service: GrpcService, request: AsyncRequest, callback: GrpcCallback): AsyncCall {
    const target = this.targets.call(service)
    const call = new PendingCall(this, result =>
      grpcAnswer(result, (status, message, details) => {
        if (typeof target !== 'string') target.closed(result.kind === 'failure' ? null : status)
        callback(status, message, details)
      }),
    )
    if (typeof target === 'string') return call.failLater('overflow', target)
    call.target = target
    if (this.active > MAX_ASYNC_REQUESTS) return call.failLater('overflow', TOO_MANY)
    const problem = this.targets.addCredentials(service, request.headers)
    if (problem !== '') return call.failLater('reset', problem)
    const { authority, path, headers, body, timeoutMs } = request
    call.prepare(requestHead('POST', schemeOf(service), authority, path, headers, body!.length), body, timeoutMs)
    target.whenReady(() => call.startOnTarget(target))
    return call
  }

  private pickHost(cluster: UpstreamCluster): Host | null {
    const host = cluster.pick({ hash: null, metadataMatch: null, maxAttempts: 1, random: this.random, shouldSkip: () => false })
    if (host === null) cluster.traffic.main.upstream_cx_none_healthy.value++
    return host
  }

  /** The message is not compressed; a compressed answer is refused. */
  unary(service: GrpcService, path: string, request: Buffer, timeoutMs: number, callback: GrpcCallback): AsyncCall {
    const body = grpcFrame(request)
    const headers = HeaderList.of(['content-type', 'application/grpc'], ['te', 'trailers'])
    if (timeoutMs > 0) headers.append('grpc-timeout', `${Math.min(timeoutMs, 99_999_999)}m`)
    for (const { key, value } of service.initialMetadata) headers.append(key, value)
    const head: AsyncRequest = { method: 'POST', path, authority: service.authority || service.cluster, headers, body, timeoutMs }
    if (service.google !== undefined) return this.unaryToTarget(service, head, callback)
    return this.sendAs(service.cluster, head, 'http2', result => grpcAnswer(result, callback))
  }
}

const TOO_MANY = `more than ${MAX_ASYNC_REQUESTS} requests of our own are under way`

/** What came of a unary call, in gRPC's words. */
function grpcAnswer(result: AsyncResult, callback: GrpcCallback): void {
  if (result.kind === 'failure') {
    callback(result.reason === 'timeout' ? GRPC_DEADLINE_EXCEEDED : GRPC_UNAVAILABLE, EMPTY, result.message)
    return
  }
  const fields = result.trailers ?? result.headers
  const status = fields.get('grpc-status') ?? result.headers.get('grpc-status')
  if (result.status !== 200) callback(httpToGrpcStatus(result.status), EMPTY, `HTTP status ${result.status}`)
  else if (status === undefined) callback(GRPC_UNKNOWN, EMPTY, 'the answer has no grpc-status')
  else if (status !== '0') callback(/^\d{1,4}$/.test(status) ? Number(status) : GRPC_UNKNOWN, EMPTY, fields.get('grpc-message') ?? '')
  else {
    const message = grpcMessageOf(result.body)
    if (message === null) callback(GRPC_INTERNAL, EMPTY, 'the answer is not one uncompressed gRPC message')
    else callback(0, message, '')
  }
}

function schemeOf({ ssl }: GrpcService): 'http' | 'https' {
  return ssl === undefined ? 'http' : 'https'
}

function requestHead(
  method: string,
  scheme: 'http' | 'https',
  authority: string,
  path: string,
  headers: HeaderList,
  contentLength: number,
): RequestHead {
  const fixed = { version: 'HTTP/1.1', upgrade: '', hostName: 'host', expectContinue: false } as const
  return { ...fixed, method, scheme, authority, path, headers, contentLength }
}

/** One request under way. WAITING -> (head) -> READING -> DONE; settles once. */
class PendingCall implements AsyncCall, UpstreamRequestOwner {
  private readonly client: UpstreamAsyncClient
  private readonly callback: (result: AsyncResult) => void
  private upstream: UpstreamRequest | null = null
  private head: RequestHead | null = null
  private requestBody: Buffer | null = null
  private timer: Timer | null = null
  private response: ResponseHead | null = null
  private readonly chunks: Buffer[] = []
  private bytes = 0
  private settled = false
  private starting = false
  /** Of google_grpc, whose endpoints are tried until one is reached. */
  target: GrpcTargetCall | null = null

  constructor(client: UpstreamAsyncClient, callback: (result: AsyncResult) => void) {
    this.client = client
    this.callback = callback
    client.active++
  }

  failLater(reason: 'overflow' | 'no-cluster' | 'no-healthy-upstream' | 'reset', message: string): this {
    setImmediate(() => this.settle({ kind: 'failure', reason, message }))
    return this
  }

  /** Its time begins. */
  prepare(head: RequestHead, body: Buffer | null, timeoutMs: number): void {
    this.head = head
    this.requestBody = body
    if (timeoutMs === 0) return
    this.timer = systemClock.after(timeoutMs, () => {
      if (this.upstream !== null) this.upstream.host.cluster.traffic.main.upstream_rq_timeout.value++
      this.settle({ kind: 'failure', reason: 'timeout', message: `no answer within ${timeoutMs} ms` })
    })
  }

  startOnTarget(target: GrpcTargetCall): void {
    const upstream = target.next(this)
    if (upstream !== null) this.start(upstream)
    else this.failLater('no-healthy-upstream', target.problem)
  }

  start(upstream: UpstreamRequest): void {
    this.upstream = upstream
    this.starting = true
    upstream.start()
    this.starting = false
  }

  cancel(): void {
    if (this.settled) return
    this.settled = true
    this.release()
  }

  onUpstreamReady(request: UpstreamRequest): void {
    const body = this.requestBody
    this.target?.reached(request.host)
    request.headSent = true
    request.stream!.sendHead(this.head!, body === null)
    if (body !== null) request.stream!.sendData(body, true)
  }

  onUpstreamInformational(): void {}

  onUpstreamHead(request: UpstreamRequest, head: ResponseHead, end: boolean): void {
    this.response = head
    request.host.cluster.traffic.chargeResponse(head.status, true)
    if (end) this.complete(null)
  }

  onUpstreamData(_request: UpstreamRequest, chunk: Buffer, end: boolean): void {
    if (this.settled) return
    this.bytes += chunk.length
    if (this.bytes > MAX_ASYNC_RESPONSE_BYTES) {
      this.settle({ kind: 'failure', reason: 'too-large', message: `the answer is longer than ${MAX_ASYNC_RESPONSE_BYTES} bytes` })
      return
    }
    // The codec's chunk is only valid during the call.
    if (chunk.length > 0) this.chunks.push(Buffer.from(chunk))
    if (end) this.complete(null)
  }

  onUpstreamTrailers(_request: UpstreamRequest, trailers: HeaderList): void {
    this.complete(trailers)
  }

  onUpstreamFailure(request: UpstreamRequest, failure: UpstreamFailure): void {
    const text = failureText(failure)
    const message = failure.kind === 'reset' ? `upstream reset: ${text}` : text
    const reason = failure.kind === 'overflow' ? 'overflow' : 'reset'
    if (!request.headSent && this.target !== null) {
      this.target.failed(message)
      setImmediate(() => this.tryElsewhere(reason))
    } else if (this.starting) setImmediate(() => this.settle({ kind: 'failure', reason, message }))
    else this.settle({ kind: 'failure', reason, message })
  }

  onUpstreamDrain(): void {}

  private tryElsewhere(reason: 'overflow' | 'reset'): void {
    if (this.settled) return
    const target = this.target!
    const upstream = target.next(this)
    if (upstream === null) this.settle({ kind: 'failure', reason, message: target.problem })
    else this.start(upstream)
  }

  private complete(trailers: HeaderList | null): void {
    const head = this.response
    if (head === null) return
    const body = this.chunks.length === 0 ? EMPTY : this.chunks.length === 1 ? this.chunks[0]! : Buffer.concat(this.chunks, this.bytes)
    this.settle({ kind: 'response', status: head.status, headers: head.headers, body, trailers })
  }

  private settle(result: AsyncResult): void {
    if (this.settled) return
    this.settled = true
    this.release()
    this.callback(result)
  }

  private release(): void {
    this.client.active--
    this.timer?.cancel()
    this.upstream?.cancel()
    this.target?.release()
  }
}

/** gRPC status codes used here. */
export const GRPC_DEADLINE_EXCEEDED = 4
export const GRPC_INTERNAL = 13
export const GRPC_UNAVAILABLE = 14
const GRPC_UNKNOWN = 2
