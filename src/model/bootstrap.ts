// Envoy's bootstrap file (envoy.config.bootstrap.v3.Bootstrap) as model.

import type { AccessLog } from './access-log.js'
import type { Address } from './address.js'
import type { Cluster } from './cluster.js'
import type { ApiConfigSource, ConfigSource } from './config-source.js'
import type { DnsResolverConfig } from './dns-resolver.js'
import type { Locality } from './endpoint.js'
import type { GrpcService } from './grpc-service.js'
import type { Listener } from './listener.js'
import type { StringMatcher } from './matcher.js'
import type { JsonObject } from './metadata.js'
import type { OverloadConfig } from './overload.js'
import type { StatsSinkConfig } from './stats-sink.js'
import type { Secret } from './tls.js'
import type { TracerConfig } from './tracing.js'

export interface NodeInfo {
  readonly id: string
  readonly cluster: string
  readonly metadata: JsonObject
  readonly locality: Locality
}

/** A dynamic resource source and how long its first answer is awaited; 0 = for ever. */
export interface DynamicSource {
  readonly source: ConfigSource
  readonly initialFetchTimeoutMs: number
}

export type RuntimeValue = string | number | boolean

/** One layer of the runtime; of an RTDS layer, `rtds` names the resource and its source, and `values` is empty. */
export interface RuntimeLayer {
  readonly name: string
  readonly values: ReadonlyMap<string, RuntimeValue>
  readonly rtds: (DynamicSource & { readonly name: string }) | null
  /** POST /runtime_modify writes here. */
  readonly isAdmin: boolean
}

export interface StatsTag {
  readonly name: string
  readonly regex: string | null
  readonly fixedValue: string | null
}

export interface StatsConfig {
  readonly useAllDefaultTags: boolean
  readonly tags: readonly StatsTag[]
  readonly rejectAll: boolean
  readonly inclusion: readonly StringMatcher[] | null
  readonly exclusion: readonly StringMatcher[] | null
  readonly histogramBuckets: readonly { readonly match: StringMatcher; readonly buckets: readonly number[] }[]
}

export interface AdminConfig {
  readonly address: Address
  readonly accessLogs: readonly AccessLog[]
  /** The only paths that are answered; empty: all. */
  readonly allowPaths: readonly StringMatcher[]
}

export interface Bootstrap {
  readonly node: NodeInfo
  readonly listeners: readonly Listener[]
  readonly clusters: readonly Cluster[]
  readonly secrets: readonly Secret[]
  readonly ads: ApiConfigSource | null
  readonly lds: DynamicSource | null
  readonly cds: DynamicSource | null
  readonly admin: AdminConfig | null
  readonly stats: StatsConfig
  /** 0: when the admin shows stats. */
  readonly statsFlushIntervalMs: number
  readonly statsSinks: readonly StatsSinkConfig[]
  /** In order; later ones win. */
  readonly runtime: readonly RuntimeLayer[]
  /** cluster_manager.local_cluster_name: the cluster of this proxy's own instances, for zone-aware routing. */
  readonly localClusterName?: string
  /** cluster_manager.upstream_bind_config: where connections to clusters come from that do not say it themselves. */
  readonly bindSource?: Address
  /** cluster_manager.load_stats_config: who is told what load the clusters have. */
  readonly loadStats?: GrpcService
  /** cluster_manager.outlier_detection.event_log_path: where ejections and returns of hosts are written. */
  readonly outlierEventLog?: string
  /** hds_config: who asks for health checks of hosts that it names, and is told of them. */
  readonly healthDiscovery?: GrpcService
  /** Of clusters that have none of their own; absent = Envoy's default. */
  readonly dnsResolver?: DnsResolverConfig
  /** Of connection managers whose tracing names no provider. */
  readonly tracer?: TracerConfig
  /** Absent: nothing is done about overload. */
  readonly overload?: OverloadConfig
  readonly unsupported: readonly string[]
}
