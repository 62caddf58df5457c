// The gRPC status of a response, as log filters and CEL attributes ask for it.

import type { HeaderList } from '../codec/header-list.js'
import { grpcStatusOf, httpToGrpcStatus } from './grpc.js'

/** What of a request's StreamInfo is looked at. */
interface Responded {
  /** -1: not known yet. */
  readonly grpcStatus: number
  readonly response: { readonly headers: HeaderList } | null
  readonly responseTrailers: HeaderList | null
  readonly responseCode: number
}

/** Of the trailers, the head, or what the HTTP status means in gRPC (Envoy's GrpcStatusFilter). */
export function grpcStatusFor(info: Responded): number {
  if (info.grpcStatus >= 0) return info.grpcStatus
  const inTrailers = info.responseTrailers === null ? -1 : grpcStatusOf(info.responseTrailers)
  if (inTrailers !== -1) return inTrailers
  const inHead = info.response === null ? -1 : grpcStatusOf(info.response.headers)
  return inHead !== -1 ? inHead : httpToGrpcStatus(info.responseCode)
}
