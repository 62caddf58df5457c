// Where OpenTelemetry's spans and log records go: one export request a message, to a collector over gRPC or HTTP. Used by the tracer and by
// access logs; sends through the proxy's own clients. An answer that is not good costs what was sent, and is told once.

import type { GrpcService } from '../../model/grpc-service.js'
import type { OtlpTarget } from '../../model/tracing.js'
import { HeaderList } from '../codec/header-list.js'

/** Of a gRPC export that sets no timeout. */
const DEFAULT_EXPORT_TIMEOUT_MS = 5000

export interface OtlpHttpRequest {
  readonly method: string
  readonly path: string
  readonly authority: string
  readonly headers: HeaderList
  readonly body: Buffer
  readonly timeoutMs: number
}

/** The parts of the proxy's own clients that exports use. */
export interface OtlpTransport {
  send(
    cluster: string,
    request: OtlpHttpRequest,
    callback: (
      result: { readonly kind: 'response'; readonly status: number } | { readonly kind: 'failure'; readonly message: string },
    ) => void,
  ): void
  unary(
    service: GrpcService,
    path: string,
    request: Buffer,
    timeoutMs: number,
    callback: (grpcStatus: number, message: Buffer, details: string) => void,
  ): void
}

export function otlpUserAgent({ name, version }: { readonly name: string; readonly version: string }): string {
  return `OTel-OTLP-Exporter-${name}/${version}`
}

/** '' = the collector has it; else why not. */
export type ExportResult = (problem: string) => void

export class OtlpClient {
  private readonly target: OtlpTarget
  /** `/package.Service/Export` */
  private readonly grpcPath: string
  private readonly userAgent: string
  private readonly transport: OtlpTransport

  constructor(target: OtlpTarget, grpcPath: string, userAgent: string, transport: OtlpTransport) {
    this.target = target
    this.grpcPath = grpcPath
    this.userAgent = userAgent
    this.transport = transport
  }

  /** After "the collector". */
  get place(): string {
    const { target } = this
    if (target.kind === 'grpc' && target.service.target !== '') return ` at ${target.service.target}`
    return ` in cluster ${target.service.cluster}`
  }

  export(message: Buffer, done: ExportResult): void {
    const { target, transport } = this
    if (target.kind === 'grpc') {
      const { service } = target
      transport.unary(service, this.grpcPath, message, service.timeoutMs ?? DEFAULT_EXPORT_TIMEOUT_MS, (status, _answer, details) => {
        done(status === 0 ? '' : `grpc-status ${status} ${details}`.trim())
      })
      return
    }
    const { cluster, path, host, timeoutMs, headers } = target.service
    const list = HeaderList.of(['content-type', 'application/x-protobuf'], ['user-agent', this.userAgent])
    for (const { name, value } of headers) list.set(name, value)
    transport.send(cluster, { method: 'POST', path, authority: host, headers: list, body: message, timeoutMs }, result => {
      if (result.kind === 'failure') done(result.message)
      else done(result.status >= 200 && result.status < 300 ? '' : `HTTP status ${result.status}`)
    })
  }
}
