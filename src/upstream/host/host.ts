// One endpoint of one cluster, as the data plane knows it: its address, its health and its counts. Made by UpstreamCluster when an
// endpoint first appears and kept, with pools and ejection state, while the same address stays in the cluster.
// The connection pools (l7) bump the counts and own the entries of `pools`; everything here only reads or closes them.
// Invariant: `flags` is changed only by UpstreamCluster.setHealth, so that host lists never go stale.

import type { ClusterStats } from '../../metrics/stat-names.js'
import type { Address } from '../../model/address.js'
import { formatAddress } from '../../model/address.js'
import type { Cluster } from '../../model/cluster.js'
import type { Endpoint, Locality } from '../../model/endpoint.js'
import { LB_METADATA, type Metadata } from '../../model/metadata.js'
import type { Breakers } from './breakers.js'
import type { OutlierMonitor } from './outlier-monitor.js'

/** Bits of Host.flags: Envoy's HealthFlag of the same names (shown by the admin API). */
export const HealthFlag = {
  FAILED_ACTIVE_HC: 1,
  FAILED_OUTLIER_CHECK: 2,
  FAILED_EDS_HEALTH: 4,
  DEGRADED_ACTIVE_HC: 8,
  DEGRADED_EDS_HEALTH: 16,
  PENDING_DYNAMIC_REMOVAL: 32,
  PENDING_ACTIVE_HC: 64,
  EXCLUDED_VIA_IMMEDIATE_HC_FAIL: 128,
  ACTIVE_HC_TIMEOUT: 256,
  EDS_STATUS_DRAINING: 512,
} as const

const unhealthyMask =
  HealthFlag.FAILED_ACTIVE_HC | HealthFlag.FAILED_OUTLIER_CHECK | HealthFlag.FAILED_EDS_HEALTH | HealthFlag.EDS_STATUS_DRAINING
const degradedMask = HealthFlag.DEGRADED_ACTIVE_HC | HealthFlag.DEGRADED_EDS_HEALTH
/** Not counted at all in panic and priority arithmetic (Envoy's "excluded" hosts). */
const excludedMask = HealthFlag.PENDING_ACTIVE_HC | HealthFlag.EXCLUDED_VIA_IMMEDIATE_HC_FAIL

export type HostHealth = 'healthy' | 'degraded' | 'unhealthy'

/** A pool of connections to the host. */
export interface HostPool {
  /** `true` lets requests under way finish; `false` ends connections now. */
  close(graceful: boolean): void
  /** Ends the connections of a pool that no request uses or waits for; false: it is in use, or has none. */
  closeIdle(): boolean
}

/** Per-host counts of the admin API's /clusters; plain numbers bumped by pools and by UpstreamCluster.record*. */
export interface HostStats {
  cxTotal: number
  cxConnectFail: number
  rqTotal: number
  rqSuccess: number
  rqError: number
  rqTimeout: number
}

/** The same with what is going on now. */
export interface HostCounts extends HostStats {
  activeConnections: number
  activeRequests: number
  pendingRequests: number
}

/** What load reports have told of a host so far. */
export interface ReportedCounts {
  successes: number
  errors: number
  issued: number
  connectFailures: number
}

/** What a host's users (pools, the request path, the tcp proxy) ask of the cluster that it belongs to: UpstreamCluster. */
export interface HostCluster {
  readonly name: string
  readonly config: Cluster
  readonly stats: ClusterStats
  readonly traffic: ClusterStats
  breakers(priority: 'DEFAULT' | 'HIGH'): Breakers
  recordResponse(host: Host, status: number): void
  recordGrpcStatus(host: Host, grpcStatus: number): void
  recordImmediateHealthCheckFail(host: Host): void
  recordConnectFailure(host: Host): void
  recordReset(host: Host): void
  recordTimeout(host: Host): void
  recordLocalOriginSuccess(host: Host, final?: boolean): void
  countCodec(stat: string): void
}

export class Host {
  /** The owning cluster: of an aggregate's pick, the child cluster (whose breakers, TLS and stats apply). */
  readonly cluster: HostCluster
  /** Where to dial. Changes in place only for LOGICAL_DNS, whose open connections outlive a new answer: read it per dial. */
  address: Address
  /** `host:port`, `[v6]:port` or the path of a pipe: the text form of `address`. */
  addressText: string
  /** Identity within the cluster: `addressText` when the host was made. */
  readonly key: string
  priority: number
  locality: Locality
  /** The newest config of this endpoint. */
  endpoint: Endpoint
  /** Number of this host among the cluster's hosts, dense and reused: index of per-host arrays of the load balancers. */
  slot = -1
  flags = 0
  /** What consistent hashing hashes for this host, once asked for (hash-key); '' = not computed. */
  hashKey = ''
  /** Place in the config's order; set by the cluster at every update. */
  position = 0
  /** HTTP/2 streams that the host last said a connection of its may have; -1 = it has not been asked. */
  streamLimit = -1
  /** Maintained by the pools. */
  activeRequests = 0
  /** Requests that wait for a connection. */
  pendingRequests = 0
  activeConnections = 0
  /** Of them, those of TCP clients. */
  tcpConnections = 0
  /** TCP clients that wait for one of those to end, as per_host_thresholds allows no more; bounded by max_pending_requests. */
  readonly tcpWaiters: Set<() => void> = new Set()
  readonly stats: HostStats = { cxTotal: 0, cxConnectFail: 0, rqTotal: 0, rqSuccess: 0, rqError: 0, rqTimeout: 0 }
  /** What worker processes count of it, all together, when they were last asked; null where this process serves. */
  elsewhere: HostCounts | null = null
  /** Kept by the one reporter of the proxy; null: nothing was told yet. A map from hosts would be looked up thousands of times a report. */
  reported: ReportedCounts | null = null
  /** null while the cluster has no outlier detection. */
  outlier: OutlierMonitor | null = null
  /** Keyed by what was verified (protocol, TLS identity): owned by the pools of l7. */
  readonly pools: Map<string, HostPool> = new Map()
  /** Clock ms of the last passage to healthy by active health checks, or of the first sight of it: slow start; null = none yet. */
  lastHealthyAtMs: number | null = null
  removed = false

  constructor(cluster: HostCluster, endpoint: Endpoint, address: Address, priority: number, locality: Locality) {
    this.cluster = cluster
    this.endpoint = endpoint
    this.address = address
    this.key = formatAddress(address)
    this.addressText = this.key
    this.priority = priority
    this.locality = locality
  }

  /** Everything that is counted of it, in this process and in others. */
  counts(): HostCounts {
    const { activeConnections, activeRequests, pendingRequests } = this
    const own = { ...this.stats, activeConnections, activeRequests, pendingRequests }
    return this.elsewhere === null ? own : addedCounts(own, this.elsewhere)
  }

  get hostname(): string {
    return this.endpoint.hostname
  }

  get weight(): number {
    return this.endpoint.weight
  }

  get metadata(): Metadata {
    return this.endpoint.metadata
  }

  /** Of its metadata (`envoy.lb`.`canary`): its responses are counted apart, and retries may avoid it. */
  get canary(): boolean {
    const { metadata } = this.endpoint
    return metadata.size > 0 && metadata.get(LB_METADATA)?.['canary'] === true
  }

  /** Envoy's coarse health. */
  get health(): HostHealth {
    if ((this.flags & unhealthyMask) !== 0) return 'unhealthy'
    return (this.flags & degradedMask) !== 0 ? 'degraded' : 'healthy'
  }

  get healthy(): boolean {
    return (this.flags & (unhealthyMask | degradedMask)) === 0
  }

  get excluded(): boolean {
    return (this.flags & excludedMask) !== 0
  }

  hasFlag(flag: number): boolean {
    return (this.flags & flag) !== 0
  }

  /**
   * Ends every pool: the host leaves, or its connections must be made anew (other timeouts, other HTTP options). A host that stays gets
   * new pools with the next request; one that left keeps the closed ones, so that nobody dials it again.
   */
  closePools(graceful: boolean): void {
    for (const pool of [...this.pools.values()]) pool.close(graceful)
    if (!this.removed) this.pools.clear()
  }
}

export function addedCounts(a: HostCounts, b: HostCounts): HostCounts {
  return {
    cxTotal: a.cxTotal + b.cxTotal,
    cxConnectFail: a.cxConnectFail + b.cxConnectFail,
    rqTotal: a.rqTotal + b.rqTotal,
    rqSuccess: a.rqSuccess + b.rqSuccess,
    rqError: a.rqError + b.rqError,
    rqTimeout: a.rqTimeout + b.rqTimeout,
    activeConnections: a.activeConnections + b.activeConnections,
    activeRequests: a.activeRequests + b.activeRequests,
    pendingRequests: a.pendingRequests + b.pendingRequests,
  }
}
