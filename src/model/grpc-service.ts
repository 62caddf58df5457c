// A gRPC service that the proxy itself calls (envoy.config.core.v3.GrpcService) as model: of config sources, filters and access logs.

import type { Address } from './address.js'
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

/** What `target_uri` and `channel_args` of google_grpc say of the way there. */
export interface GoogleTarget {
  /** Tried in this order. Names, which DNS is asked for, or addresses. */
  readonly endpoints: readonly Address[]
  /** By which TLS judges the server: a DNS name, or an address. */
  readonly serverName: string
  readonly statPrefix: string
  /** `grpc.default_authority`, `grpc.ssl_target_name_override`, `grpc.keepalive_*`, as they stand in the config. */
  readonly channelArgs: Readonly<Record<string, string | number>>
}

/** A gRPC service reached through a cluster of ours (envoy_grpc) or by target URI (google_grpc). */
export interface GrpcService {
  readonly cluster: string
  readonly target: string
  readonly google?: GoogleTarget
  /** Of a target; absent: in the clear. */
  readonly ssl?: GoogleSsl
  readonly fileCredentials?: readonly FileCredentials[]
  readonly authority: string
  readonly timeoutMs: number | null
  readonly initialMetadata: readonly { readonly key: string; readonly value: string }[]
}

/** As log lines call it. */
export function grpcServiceName({ cluster, target }: Pick<GrpcService, 'cluster' | 'target'>): string {
  return cluster || target
}

/** In brackets after what it is: empty where the config leaves it open. */
export function grpcServicePlace({ cluster, target }: Pick<GrpcService, 'cluster' | 'target'>): string {
  if (target !== '') return ` (${target})`
  return cluster === '' ? '' : ` (cluster ${cluster})`
}
