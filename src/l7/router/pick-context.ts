// What a request brings to the choice of a host: hash, subset metadata, and what a retry avoids. Made by the router for each try;
// read by the load balancers during the pick and not kept.

import type { LbContext } from '../../upstream/balance/load-balancer.js'
import type { UpstreamCluster } from '../../upstream/cluster/cluster.js'
import type { Host } from '../../upstream/host/host.js'
import type { RequestHead } from '../codec/codec.js'
import type { ClusterChoice, CompiledForward } from '../route/compiled-route.js'
import type { RetryState } from './retry-state.js'

export class PickContext implements LbContext {
  readonly hash: bigint | null
  readonly metadataMatch
  readonly maxAttempts: number
  readonly random: () => number
  readonly originalDst: string | null
  readonly excludedPriorities: ReadonlySet<number> | null
  private readonly retry: RetryState | null

  constructor(
    request: RequestHead,
    forward: CompiledForward,
    choice: ClusterChoice | null,
    cluster: UpstreamCluster,
    retry: RetryState | null,
    hash: bigint | null,
    random: () => number,
  ) {
    this.hash = hash
    this.metadataMatch = choice?.weighted?.metadataMatch ?? forward.metadataMatch
    this.retry = retry
    this.maxAttempts = retry?.hostSelectionAttempts ?? 1
    this.random = random
    this.excludedPriorities = retry?.excludedPriorities ?? null
    const { discovery } = cluster.config
    this.originalDst =
      discovery.kind === 'originalDst' && discovery.useHttpHeader
        ? (request.headers.get(discovery.httpHeaderName || 'x-envoy-original-dst-host') ?? null)
        : null
  }

  shouldSkip(host: Host): boolean {
    return this.retry?.shouldSkip(host) === true
  }
}
