// What an AdsClient is made from: management servers, node, limits, waits; and how its gRPC channels are set. Filled in by the command
// line from the bootstrap's config sources (sidecar/xds-bridge.ts, sidecar/grpc-target.ts).

import type { ChannelCredentials, ChannelOptions } from '@grpc/grpc-js'
import type { WallClock } from '../../io/clock.js'
import type { Node } from '../gen/envoy/config/core/v3/base_pb.js'
import { MAX_MESSAGE_BYTES } from '../grpc-service.js'
import type { AdsClientStatus } from './client-status.js'
import type { XdsUpdateHandler } from './decode-response.js'

/** One management server. */
export interface AdsTarget {
  /** `host:port`, `unix:/path`, or any target of grpc-js (`ipv4:10.0.0.1:8502,10.0.0.2:8502`). */
  readonly address: string
  /** TLS or plain text; plain text if absent. */
  readonly credentials?: () => Promise<ChannelCredentials>
  readonly channelOptions?: ChannelOptions
  /** Metadata of each stream (`x-consul-token`); a function is asked anew for each stream, so that a rotated token takes effect. */
  readonly metadata?: readonly (readonly [key: string, value: string])[] | (() => readonly (readonly [key: string, value: string])[])
  /** A stream begins there. */
  readonly onStream?: () => void
  /** It has ended, with this gRPC status; not called where it is we who give it up. */
  readonly onStreamEnd?: (code: number) => void
}

/** Management servers that come and go while the client runs, and are chosen by someone else (src/dataplane). */
export interface AdsTargetSource {
  /** Where the next stream goes: the same object as long as it is the same server. */
  current(): AdsTarget
  /** A stream to `target` has ended, or could not be opened, with this gRPC status. */
  failed(target: AdsTarget, code: number): void
  /** The listener is called when streams are to go elsewhere, at once. Returns what ends that. */
  subscribe(listener: () => void): () => void
}

/** What subscribes: a gRPC stream (AdsClient), or a poll of one type (RestClient). */
export interface DiscoveryClient {
  /** Adds names, or the wildcard, to what is wanted of a type. */
  subscribe(typeUrl: string, what: readonly string[] | { readonly wildcard: true }): void
  /** Takes names, or the wildcard, away; what was held of them is forgotten without an update. */
  unsubscribe(typeUrl: string, what: readonly string[] | { readonly wildcard: true }): void
  /** Connects, and keeps connecting until `close()`. */
  start(): void
  close(): void
}

export interface AdsClientOptions {
  /** A list is tried in order, the next after each failure; it holds at least one. */
  readonly targets: readonly AdsTarget[] | AdsTargetSource
  readonly node: Node
  /** `ApiConfigSource.api_type`. */
  readonly apiType: 'DELTA_GRPC' | 'GRPC'
  /** Type URL of a single-type service (`SecretDiscoveryService` for Secret); the aggregated service if absent. */
  readonly onlyType?: string
  readonly onUpdate: XdsUpdateHandler
  /** Called when `status().connected` changes and after each failed attempt. */
  readonly onStatus?: (status: AdsClientStatus) => void
  /** `ApiConfigSource.set_node_on_first_message_only`. Default false: every request names the node, in delta too, as Envoy's do. */
  readonly setNodeOnFirstMessageOnly?: boolean
  /** `ApiConfigSource.rate_limit_settings`; no limit if absent. */
  readonly rateLimit?: { readonly maxTokens?: number; readonly fillRate?: number }
  /** Reconnects wait a random time up to a bound that doubles from `baseMs` (500) to `maxMs` (30,000). */
  readonly backoff?: { readonly baseMs?: number; readonly maxMs?: number }
  /** A target that is not connected by then is given up for the next one. Default 20,000. */
  readonly connectTimeoutMs?: number
  readonly limits?: Partial<AdsClientLimits>
  readonly clock?: WallClock
  readonly random?: () => number
  readonly logger?: {
    info(fields: object, message: string): void
    warn(fields: object, message: string): void
  }
}

export interface AdsClientLimits {
  /** Resources held of one type; those above it are refused. Default 250,000. */
  readonly maxResourcesPerType: number
  /** Answers waiting to be sent; above it the stream is not read until they are. Default 256. */
  readonly maxPendingAcks: number
}

export const CHANNEL_DEFAULTS: ChannelOptions = {
  'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
  'grpc.max_send_message_length': MAX_MESSAGE_BYTES,
  // grpc servers end a connection that is pinged more often than every 5 minutes (gRFC A8): less is for a cluster that asks for it.
  'grpc.keepalive_time_ms': 330_000,
  'grpc.keepalive_timeout_ms': 30_000,
  'grpc.enable_retries': 0,
  'grpc.client_idle_timeout_ms': 2 ** 31 - 1,
  'grpc.service_config_disable_resolution': 1,
  // The mesh's own traffic must not leave by a proxy that the environment names for others.
  'grpc.enable_http_proxy': 0,
  // One connection of our own: "try another server" must be able to mean another connection.
  'grpc.use_local_subchannel_pool': 1,
}
