// A connection manager's config compiled for running: stats handles, filters, route table, access logs, header bytes. Made by
// proxy/listener/compile-listener once per accepted config; shared by all connections of a filter chain. A route update swaps what
// `routes` gives and touches nothing else; a request keeps the table that it matched in.

import type { HcmHandles, HcmStats, ListenerHttpHandles, RouterHandles } from '../../metrics/stat-names.js'
import type { HttpConnectionManager } from '../../model/http-connection-manager.js'
import type { RouterConfig } from '../../model/http-filter.js'
import type { ClusterRegistry } from '../../upstream/cluster/cluster-registry.js'
import type { UpstreamPools } from '../client/upstream-pools.js'
import type { ResponseHead } from '../codec/codec.js'
import type { DownstreamCodecStats } from '../codec/codec-stats.js'
import { HeaderList } from '../codec/header-list.js'
import type { FilterFactory } from '../filters/http-filter.js'
import { MutationList } from '../filters/mutation-list.js'
import type { UpstreamFailures } from '../log/failure-log.js'
import type { OpenAccessLog } from '../log/open-access-log.js'
import type { RecentRequests } from '../log/recent-requests.js'
import { compileCidr } from '../match/cidr.js'
import type { LocalReplyRewriter } from '../reply/local-reply-rewriter.js'
import type { RouteSource } from '../route/route-holder.js'
import type { ConnectionInfo } from '../stream/connection-info.js'
import type { StreamInfo } from '../stream/stream-info.js'
import type { TracingRuntime } from '../tracing/tracing-runtime.js'
import { compileIpDetection, type IpDetector } from './client-address.js'
import type { Overload } from './overload.js'

/** What a runtime is made of; the rest of its fields follow from these. */
export type HttpRuntimeParts = Omit<
  HttpRuntime,
  | 'stats'
  | 'router'
  | 'routerConfig'
  | 'continueHead'
  | 'internalRanges'
  | 'ipDetectors'
  | 'earlyMutations'
  | 'explainToPeers'
  | 'explainsTo'
> & {
  /** Swapped where the router comes over ECDS. */
  readonly routerSettings: { readonly current: RouterConfig }
}

export class HttpRuntime {
  readonly config: HttpConnectionManager
  private readonly routerSettings: { readonly current: RouterConfig }
  readonly routes: RouteSource
  readonly filters: readonly FilterFactory[]
  readonly clusters: ClusterRegistry
  readonly pools: UpstreamPools
  readonly hcmStats: HcmStats
  readonly stats: HcmHandles
  readonly router: RouterHandles
  readonly listenerHttp: ListenerHttpHandles | null
  readonly accessLogs: readonly OpenAccessLog[]
  readonly localReplyRewriter: LocalReplyRewriter | null
  readonly bufferLimitBytes: number
  /** Cluster and id of the node, for add_user_agent. */
  readonly serviceCluster: string
  readonly serviceNode: string
  readonly random: () => number
  /** The listener's metadata asks for reasons to be told to mesh peers. */
  readonly explainDenials: boolean
  /** What became of the requests of late. */
  readonly recent: RecentRequests
  /** Where failing upstreams are said. */
  readonly failures: UpstreamFailures
  readonly onDenied: (info: StreamInfo) => void
  readonly codecStats: DownstreamCodecStats
  /** Null: nothing is traced. */
  readonly tracing: TracingRuntime | null
  /** Null: nothing is refused or shortened for overload. */
  readonly overload: Overload | null
  readonly continueHead: ResponseHead = {
    status: 100,
    reason: '',
    version: 'HTTP/1.1',
    headers: new HeaderList(),
    contentLength: 0,
    upgraded: false,
  }
  /** internal_address_config: whether an address is inside; null when no range is configured (nothing is internal then). */
  readonly internalRanges: ((address: string) => boolean) | null

  /** original_ip_detection_extensions; null without any. */
  readonly ipDetectors: readonly IpDetector[] | null

  /** early_header_mutation_extensions; null without any. */
  readonly earlyMutations: MutationList | null

  constructor(parts: HttpRuntimeParts) {
    this.config = parts.config
    this.routerSettings = parts.routerSettings
    this.routes = parts.routes
    this.filters = parts.filters
    this.clusters = parts.clusters
    this.pools = parts.pools
    this.hcmStats = parts.hcmStats
    this.stats = parts.hcmStats.main
    this.router = parts.hcmStats.router
    this.listenerHttp = parts.listenerHttp
    this.accessLogs = parts.accessLogs
    this.localReplyRewriter = parts.localReplyRewriter
    this.bufferLimitBytes = parts.bufferLimitBytes
    this.serviceCluster = parts.serviceCluster
    this.serviceNode = parts.serviceNode
    this.random = parts.random
    this.explainDenials = parts.explainDenials
    const ranges = parts.config.internalCidrRanges
    const checks = ranges.map(compileCidr)
    this.internalRanges = checks.length === 0 ? null : address => checks.some(check => check(address))
    const detections = parts.config.originalIpDetection
    this.ipDetectors = detections.length === 0 ? null : detections.map(compileIpDetection)
    const early = parts.config.earlyHeaderMutations
    this.earlyMutations = early.length === 0 ? null : new MutationList(early)
    this.onDenied = parts.onDenied
    this.failures = parts.failures
    this.recent = parts.recent
    this.codecStats = parts.codecStats
    this.tracing = parts.tracing
    this.overload = parts.overload
  }

  get routerConfig(): RouterConfig {
    return this.routerSettings.current
  }

  /** Reasons go to validated mesh peers only: to anyone else they would be a map of the policy. */
  explainToPeers(connection: ConnectionInfo): boolean {
    return this.explainDenials && connection.tls?.peer?.validated === true
  }

  /** Reasons in bodies: for those peers, and for the application beside us. */
  explainsTo(connection: ConnectionInfo): boolean {
    if (this.explainToPeers(connection)) return true
    return this.explainDenials && connection.tls === null && isLoopback(connection.directRemoteAddress)
  }
}

function isLoopback(address: string): boolean {
  return address.startsWith('127.') || address === '::1'
}
