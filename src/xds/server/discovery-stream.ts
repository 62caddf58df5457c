// A bidirectional gRPC stream as the ADS server needs it, whatever serves it: grpc-js (`fromGrpcJs`), or the control plane's own gRPC port.
// Declared here because the ADS stream is who needs it; control/grpc/ads-service.ts implements it over our own HTTP/2 engine.

import type { ServerDuplexStream, status } from '@grpc/grpc-js'

/** Why a stream ends: a gRPC status. */
export interface StreamEnd {
  readonly code: status
  readonly message: string
}

export interface DiscoveryStreamEvents<Request> {
  onRequest(request: Request): void
  /** The client has ended or is gone. */
  onClosed(): void
}

export interface DiscoveryStream<Request, Response> {
  /** `address:port` of the client. */
  readonly peer: string
  /** Value of a metadata key, lower case; undefined when absent. */
  metadata(key: string): string | undefined
  /** Called once, before anything is read. */
  listen(events: DiscoveryStreamEvents<Request>): void
  send(response: Response): void
  /** Null: OK. */
  end(end: StreamEnd | null): void
}

export function fromGrpcJs<Request, Response>(stream: ServerDuplexStream<Request, Response>): DiscoveryStream<Request, Response> {
  return {
    peer: stream.getPeer(),
    metadata(key) {
      const value = stream.metadata.get(key)[0]
      return value === undefined ? undefined : String(value)
    },
    listen(events) {
      stream.on('data', request => events.onRequest(request))
      for (const event of ['end', 'cancelled', 'error']) stream.on(event, () => events.onClosed())
    },
    send(response) {
      stream.write(response)
    },
    end(end) {
      if (end === null) stream.end()
      else stream.emit('error', { code: end.code, details: end.message })
    },
  }
}
