// What a request brings to the choice of a host: hash, subset metadata, and what a retry avoids. Made by the router for each try;
// read by the load balancers during the pick and not kept.

import { formatAddress } from '../../model/address.js'
import type { LbContext } from '../../upstream/balance/load-balancer.js'
import type { UpstreamCluster } from '../../upstream/cluster/cluster.js'
import type { Host } from '../../upstream/host/host.js'
import type { RequestHead } from '../codec/codec.js'
import type { ClusterChoice, CompiledForward } from '../route/compiled-route.js'
import type { ConnectionInfo } from '../stream/connection-info.js'
import type { OverrideHost } from '../stream/stream-info.js'
import type { RetryState } from './retry-state.js'

export class PickContext implements LbContext {
  readonly hash: bigint | null
  readonly metadataMatch
  readonly maxAttempts: number
  readonly random: () => number
  readonly originalDst: string | null
  readonly overrideHost: string | null
  readonly overrideHostStrict: boolean
  readonly excludedPriorities: ReadonlySet<number> | null
  private readonly retry: RetryState | null

  constructor(
    request: RequestHead,
    forward: CompiledForward,
    choice: ClusterChoice | null,
    cluster: UpstreamCluster,
    retry: RetryState | null,
    hash: bigint | null,
    connection: ConnectionInfo,
    random: () => number,
    override: OverrideHost | null,
  ) {
    this.hash = hash
    this.metadataMatch = choice?.weighted?.metadataMatch ?? forward.metadataMatch
    this.retry = retry
    this.maxAttempts = retry?.hostSelectionAttempts ?? 1
    this.random = random
    this.excludedPriorities = retry?.excludedPriorities ?? null
    this.originalDst = originalDestination(cluster, connection, request)
    this.overrideHost = override === null ? null : override.address
    this.overrideHostStrict = override?.strict === true
  }

  shouldSkip(host: Host): boolean {
    return this.retry?.shouldSkip(host) === true
  }
}

/** `ip:port` that an ORIGINAL_DST cluster forwards to: the header's, else where the connection was meant to go. */
export function originalDestination({ config }: UpstreamCluster, connection: ConnectionInfo, request: RequestHead | null): string | null {
  const { discovery } = config
  if (discovery.kind !== 'originalDst') return null
  const named = discovery.useHttpHeader ? request?.headers.get(discovery.httpHeaderName) : undefined
  if (named !== undefined) return named
  const { localAddressRestored, localAddress: host, localPort: port } = connection
  return localAddressRestored ? formatAddress({ kind: 'socket', host, port }) : null
}
