// Where dynamic resources come from (envoy.config.core.v3.ConfigSource) as model: the ADS stream, a stream of one type, or a file.

import type { GrpcService } from './http-filter.js'

export interface ApiConfigSource {
  readonly apiType: 'DELTA_GRPC' | 'GRPC'
  /** The second is for failover. */
  readonly services: readonly GrpcService[]
  readonly rateLimit: { readonly maxTokens: number; readonly fillRate: number } | null
  readonly setNodeOnFirstMessageOnly: boolean
}

export type ConfigSource =
  | { readonly kind: 'ads' }
  | { readonly kind: 'api'; readonly api: ApiConfigSource }
  | { readonly kind: 'path'; readonly path: string; readonly watchedDirectory: string }
