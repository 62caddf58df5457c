// A bidirectional gRPC stream as the ADS server needs it, whatever serves it. Declared here because the ADS stream is who needs it;
// control/grpc/ads-service.ts implements it over our own HTTP/2 engine.

import type { status } from '@grpc/grpc-js'

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

export interface DiscoveryStream<Request> {
  /** `address:port` of the client. */
  readonly peer: string
  /** Value of a metadata key, lower case; undefined when absent. */
  metadata(key: string): string | undefined
  /** Called once, before anything is read. */
  listen(events: DiscoveryStreamEvents<Request>): void
  /** The bytes of one response message. */
  send(response: Uint8Array): void
  /** Null: OK. */
  end(end: StreamEnd | null): void
}
