// A gRPC service that the proxy itself calls (envoy.config.core.v3.GrpcService) as model: of config sources, filters and access logs.

/** A gRPC service reached through a cluster of ours (envoy_grpc) or by target URI (google_grpc). */
export interface GrpcService {
  readonly cluster: string
  readonly target: string
  readonly authority: string
  readonly timeoutMs: number | null
  readonly initialMetadata: readonly { readonly key: string; readonly value: string }[]
}
