// A gRPC service that the proxy itself calls (envoy.config.core.v3.GrpcService) as model: of config sources, filters and access logs.

import type { DataSource } from './data-source.js'

/** TLS to a target of google_grpc: roots (absent: those of the system), and a certificate of our own. */
export interface GoogleSsl {
  readonly rootCerts: DataSource | null
  readonly privateKey: DataSource | null
  readonly certChain: DataSource | null
}

/** Credentials of each call that stand in a file: read with every call, since they are renewed there. */
export interface FileCredentials {
  readonly secret: DataSource
  /** Lower case. */
  readonly header: string
  readonly prefix: string
}

/** A gRPC service reached through a cluster of ours (envoy_grpc) or by target URI (google_grpc). */
export interface GrpcService {
  readonly cluster: string
  readonly target: string
  /** Of a target; absent: in the clear. */
  readonly ssl?: GoogleSsl
  readonly fileCredentials?: readonly FileCredentials[]
  readonly authority: string
  readonly timeoutMs: number | null
  readonly initialMetadata: readonly { readonly key: string; readonly value: string }[]
}
