// HTTP and gRPC active health checks: one exchange on a connection of its own, outside the pools and their limits, as Envoy's checks
// are. Called by upstream/health/health-checker, which keeps time and thresholds; this only speaks.

import { SocketTransport } from '../../io/socket-transport.js'
import { type HealthCheck, MAX_HEALTH_RESPONSE_BYTES } from '../../model/cluster.js'
import { bindHostOf, Dial } from '../../upstream/connect/connector.js'
import type {
  CancelableCheck,
  HealthCheckRequest,
  HealthCheckResult,
  HealthCheckTransport,
} from '../../upstream/health/health-check-transport.js'
import type { ClientCodec, ClientEvents, ClientHandler, RequestHead, ResponseHead, StreamReset } from '../codec/codec.js'
import { headLimits } from '../codec/codec-options.js'
import { HeaderList } from '../codec/header-list.js'
import { Http1ClientCodec } from '../codec/http1/client-codec.js'
import { Http2ClientCodec } from '../codec/http2/client-codec.js'
import { grpcFrame, grpcMessageOf } from '../grpc/grpc-frame.js'
import { ProtobufReader, ProtobufWriter } from '../grpc/protobuf-writer.js'
import type { UpstreamTlsSource } from './upstream-pools.js'

/** Longest answer of a gRPC check; more is a failed one. */
const MAX_BODY_BYTES = MAX_HEALTH_RESPONSE_BYTES
const GRPC_PATH = '/grpc.health.v1.Health/Check'
/** grpc.health.v1: HealthCheckRequest.service, HealthCheckResponse.status and the one good value of the latter. */
const SERVICE_FIELD = 1
const STATUS_FIELD = 1
const SERVING = 1

export class UpstreamHealthCheckTransport implements HealthCheckTransport {
  private readonly tls: UpstreamTlsSource

  constructor(tls: UpstreamTlsSource) {
    this.tls = tls
  }

  check(request: HealthCheckRequest, done: (result: HealthCheckResult) => void): CancelableCheck {
    const exchange = new CheckExchange(request, done)
    exchange.start(this.tls)
    return exchange
  }
}

class CheckExchange implements ClientEvents, ClientHandler, CancelableCheck {
  private readonly request: HealthCheckRequest
  private done: ((result: HealthCheckResult) => void) | null
  private dial: Dial | null = null
  private transport: SocketTransport | null = null
  private head: ResponseHead | null = null
  private body: Buffer = Buffer.alloc(0)

  constructor(request: HealthCheckRequest, done: (result: HealthCheckResult) => void) {
    this.request = request
    this.done = done
  }

  start(source: UpstreamTlsSource): void {
    const { host, address, check, timeoutMs } = this.request
    const http2 = check.kind === 'grpc' || check.http2
    const tls = source.tlsFor(host)
    this.dial = new Dial(
      {
        address,
        tls,
        timeoutMs,
        sni: '',
        alpn: [http2 ? 'h2' : 'http/1.1'],
        keepAlive: null,
        localAddress: bindHostOf(host.cluster.config),
      },
      {
        onDialFailure: failure => this.finish({ kind: 'network', timeout: failure.kind === 'timeout', reason: failure.message }),
        onDialled: ({ socket }) => {
          this.dial = null
          const { config } = host.cluster
          const transport = new SocketTransport(socket, undefined, 0)
          this.transport = transport
          const limits = headLimits(config.http.common, null)
          const codec = http2
            ? new Http2ClientCodec(transport, this, { http2: config.http.http2, limits })
            : new Http1ClientCodec(transport, this, { limits, headerCase: 'preserve', enableTrailers: true })
          socket.on('data', (chunk: Buffer) => codec.feed(chunk))
          socket.on('end', () => codec.onTransportEnd())
          socket.on('error', () => {})
          socket.on('close', () => codec.onTransportClose({ code: 'connection-closed', details: 'closed' }))
          this.send(codec)
        },
      },
    )
  }

  private send(codec: ClientCodec): void {
    const stream = codec.newStream(this)
    if (stream === null) {
      this.finish({ kind: 'network', timeout: false, reason: 'no stream could be opened' })
      return
    }
    const { check, authority } = this.request
    const headers = new HeaderList()
    let head: RequestHead
    if (check.kind === 'grpc') {
      headers.append('content-type', 'application/grpc')
      headers.append('te', 'trailers')
      headers.append('user-agent', 'Envoy/HC')
      for (const option of check.initialMetadata) headers.append(option.name, option.value)
      head = requestHead('POST', GRPC_PATH, authority, headers, -1)
      stream.sendHead(head, false)
      stream.sendData(grpcFrame(new ProtobufWriter().string(SERVICE_FIELD, check.serviceName).finish()), true)
      return
    }
    headers.append('User-Agent', 'Envoy/HC')
    for (const option of check.headersToAdd) {
      if (option.action === 'OVERWRITE_IF_EXISTS_OR_ADD') headers.set(option.name, option.value)
      else headers.append(option.name, option.value)
    }
    for (const name of check.headersToRemove) headers.remove(name.toLowerCase())
    const { send } = check
    const length = send === null ? 0 : send.length
    if (length > 0) headers.append('content-length', String(length))
    head = requestHead(check.method === '' ? 'GET' : check.method, check.path, authority, headers, length)
    stream.sendHead(head, length === 0)
    if (send !== null && length > 0) stream.sendData(Buffer.from(send), true)
  }

  cancel(): void {
    this.done = null
    this.close()
  }

  private close(): void {
    this.dial?.cancel()
    this.dial = null
    this.transport?.destroy()
  }

  private finish(result: HealthCheckResult): void {
    const { done } = this
    this.done = null
    this.close()
    done?.(result)
  }

  onInformational(): void {}

  onHead(head: ResponseHead, end: boolean): void {
    this.head = head
    if (end) this.answer(head.headers)
  }

  onData(chunk: Buffer, end: boolean): void {
    const { check } = this.request
    const left = wantedBytes(check) - this.body.length
    if (left > 0) this.body = Buffer.concat([this.body, chunk.subarray(0, left)])
    if (this.body.length > MAX_BODY_BYTES)
      this.finish({ kind: 'network', timeout: false, reason: `the answer is longer than ${MAX_BODY_BYTES} bytes` })
    else if (end) this.answer(this.head!.headers)
  }

  onTrailers(trailers: HeaderList): void {
    this.answer(trailers)
  }

  private answer(last: HeaderList): void {
    const { headers, status } = this.head!
    const degraded = headers.has('x-envoy-degraded')
    if (this.request.check.kind === 'grpc') {
      const text = last.get('grpc-status') ?? headers.get('grpc-status')
      this.finish({ kind: 'grpc', status: text === undefined ? 2 : Number(text), serving: servingStatus(this.body) === SERVING, degraded })
      return
    }
    this.finish({
      kind: 'http',
      status,
      degraded,
      immediateFail: headers.has('x-envoy-immediate-health-check-fail'),
      healthcheckedCluster: headers.get('x-envoy-upstream-healthchecked-cluster') ?? null,
      body: this.body,
    })
  }

  onReset(reset: StreamReset): void {
    this.finish({ kind: 'network', timeout: false, reason: reset.details })
  }

  onDrain(): void {}
  onStreamFree(): void {}
  onStreamLimit(): void {}
  onDraining(): void {}
  onConnectionError(): void {}
}

export function requestHead(method: string, path: string, authority: string, headers: HeaderList, contentLength: number): RequestHead {
  return {
    method,
    scheme: 'http',
    authority,
    path,
    version: 'HTTP/1.1',
    headers,
    upgrade: '',
    contentLength,
    hostName: 'Host',
    expectContinue: false,
  }
}

/** How much of an answer a check looks at, and one more of gRPC to know a longer one. */
function wantedBytes(check: HealthCheck['check']): number {
  if (check.kind === 'grpc') return MAX_BODY_BYTES + 1
  if (check.kind !== 'http' || check.receive.length === 0) return 0
  return check.responseBufferBytes
}

/** The status of a HealthCheckResponse; 0 when there is none. */
function servingStatus(body: Buffer): number {
  const message = grpcMessageOf(body)
  if (message === null) return 0
  const reader = new ProtobufReader(message)
  let status = 0
  for (let field = reader.next(); field !== 0; field = reader.next())
    if (field === STATUS_FIELD && reader.wireType === 0) status = reader.value
  return reader.failed ? 0 : status
}
