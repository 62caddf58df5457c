// The contract between a request and a load balancing policy: l7 and the tcp proxy fill an LbContext, UpstreamCluster.pick hands it
// to the policy. Implementations: edf-load-balancer (round robin,
// least request), zone-aware-load-balancer (random, pick first), hash-load-balancer, subset-, aggregate- and original-dst-load-balancer.

import type { Clock } from '../../io/clock.js'
import type { ClusterStats } from '../../metrics/stat-names.js'
import type { Cluster } from '../../model/cluster.js'
import type { Metadata } from '../../model/metadata.js'
import type { Host } from '../host/host.js'
import type { PrioritySet } from '../host/host-set.js'

/** What a request brings to the choice of a host. One object a request; policies never keep it. */
export interface LbContext {
  /** 64-bit hash of the route's hash policies; null = none (hashing policies then choose at random). */
  hash: bigint | null
  /** Metadata of the route (namespace `envoy.lb`) that a subset must have. */
  metadataMatch: Metadata | null
  /** `host:port` that is preferred if it is in the cluster and its health allows (session affinity). */
  overrideHost?: string | null
  /** With `overrideHost`: no other host will do. */
  overrideHostStrict?: boolean
  /** ORIGINAL_DST: `ip:port` from the request header (or the socket), or null. */
  originalDst?: string | null
  /** A retry's host predicates: true = try another host. */
  shouldSkip(host: Host): boolean
  /** How many hosts are tried while `shouldSkip` says no (Envoy's host_selection_retry_max_attempts + 1); at least 1. */
  maxAttempts: number
  /** Priorities already tried, for retry_priority previous_priorities; null = none. */
  excludedPriorities?: ReadonlySet<number> | null
  /** Uniform in [0, 1). */
  random: () => number
}

/** What a policy needs of its cluster (or subset). */
export interface LbEnvironment {
  readonly hosts: PrioritySet
  readonly stats: ClusterStats
  readonly clock: Clock
  /** Uniform in [0, 1): starting points and seeds; picks use the context's. */
  readonly random: () => number
  /** 0–100; 0 = never panic. */
  readonly panicThreshold: number
  readonly localityWeighted: boolean
  readonly zoneAware: Cluster['zoneAware']
  /** Hosts of the cluster this proxy belongs to, for zone-aware routing; null = not known (yet). */
  readonly localHosts: () => PrioritySet | null
  /** Runs `step` soon, outside the present call (setImmediate): long table builds go in slices. */
  readonly defer: (step: () => void) => void
  readonly warn: (message: string) => void
}

export interface LoadBalancer {
  /**
   * A host for this request, or null when none may be used (503 UH). `choice` is `priority * 2 + (degraded ? 1 : 0)` when an aggregate
   * cluster has decided the priority already; absent or -1 = the policy decides.
   */
  pick(ctx: LbContext, choice?: number): Host | null
  /** Releases gauges; the balancer is not used afterwards. */
  close?(): void
}

/** Index below `count` from a uniform number in [0, 1). */
export function below(random: number, count: number): number {
  return Math.floor(random * count)
}
