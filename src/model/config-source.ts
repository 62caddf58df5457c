// Where dynamic resources come from (envoy.config.core.v3.ConfigSource) as model: the ADS stream, a stream of one type,
// a poll of one type, or a file.

import type { GrpcService } from './grpc-service.js'

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
  /** Polled from a static cluster: after the delay, and up to as much more at random. */
  | { readonly kind: 'rest'; readonly cluster: string; readonly refreshDelayMs: number; readonly requestTimeoutMs: number }
  | { readonly kind: 'path'; readonly path: string; readonly watchedDirectory: string }

/** Equal for equal sources: what shares a stream or a file watch, and part of what a secret is known by. */
export function sourceKey(source: ConfigSource): string {
  switch (source.kind) {
    case 'ads':
      return 'ads'
    case 'api':
      return `api ${JSON.stringify(source.api)}`
    case 'rest':
      return `rest ${JSON.stringify(source)}`
    case 'path':
      return `path ${source.path}\0${source.watchedDirectory}`
  }
}
