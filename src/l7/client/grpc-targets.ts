// Servers that google_grpc names by their own URI, as our own client reaches them: each is a cluster in a registry apart, which no route, no
// admin page and no stat of clusters knows. Asked by UpstreamAsyncClient with every call. As gRPC's own libraries do, a call waits for the
// first answer of DNS, and stays with the endpoint that works: the first in the target's order that can be reached.
// Invariants: no more than MAX_GRPC_TARGETS at once; one that no call has used for IDLE_MS is gone, and so are its connections.
//
//   (first call) ──▶ RESOLVING ──first answer of DNS──▶ READY ──no call for IDLE_MS──▶ gone

import type { Clock, Timer } from '../../io/clock.js'
import { countGrpcClosed, type GoogleGrpcHandles } from '../../metrics/reporting-stats.js'
import type { DataSource } from '../../model/data-source.js'
import type { GrpcService } from '../../model/grpc-service.js'
import type { UpstreamCluster } from '../../upstream/cluster/cluster.js'
import type { ClusterRegistry } from '../../upstream/cluster/cluster-registry.js'
import type { Host } from '../../upstream/host/host.js'
import type { HeaderList } from '../codec/header-list.js'
import { googleCluster } from './google-cluster.js'
import { sniFor, type UpstreamPools } from './upstream-pools.js'
import { UpstreamRequest, type UpstreamRequestOwner } from './upstream-request.js'

export const MAX_GRPC_TARGETS = 1000
/** As long as Envoy keeps a client that nobody uses. */
const IDLE_MS = 50_000
/** That one call tells of. */
const MAX_FAILURES = 4
const GRPC_RESOURCE_EXHAUSTED = 8
const GRPC_INTERNAL = 13
const CREDENTIAL = /^[ -~]+$/

/** What a file of call credentials holds, as a header's value; null where it cannot be one. */
export function credentialOf(text: string | null): string | null {
  const trimmed = text?.trimEnd() ?? ''
  return CREDENTIAL.test(trimmed) ? trimmed : null
}

export interface GrpcTargetsOptions {
  /** A registry of these clusters alone; asked for with the first target. */
  readonly newClusters: () => ClusterRegistry
  readonly pools: UpstreamPools
  readonly clock: Clock
  /** Null: it cannot be read. */
  readonly readSource: (source: DataSource) => string | null
  /** `grpc.<stat_prefix>.` */
  readonly stats: (statPrefix: string) => GoogleGrpcHandles
}

export class GrpcTargets {
  private readonly options: GrpcTargetsOptions
  private clusters: ClusterRegistry | null = null
  private readonly targets = new Map<string, GrpcTarget>()
  /** The key of a service is put together once. */
  private readonly keys = new WeakMap<GrpcService, string>()
  private sweep: Timer | null = null
  private made = 0

  constructor(options: GrpcTargetsOptions) {
    this.options = options
  }

  /** Begins one call, which its caller ends; or says why there can be none. */
  call(service: GrpcService): GrpcTargetCall | string {
    const stats = this.options.stats(service.google!.statPrefix)
    if (!this.keys.has(service)) stats.google_grpc_client_creation.value++
    stats.streams_total.value++
    const target = this.targetOf(service)
    if (target !== null) return new GrpcTargetCall(target, this.options.pools, service, stats)
    countGrpcClosed(stats, GRPC_RESOURCE_EXHAUSTED)
    return `more than ${MAX_GRPC_TARGETS} targets of google_grpc are in use (MAX_GRPC_TARGETS)`
  }

  /** Adds what is read anew with every call. Returns '', or why the call cannot be made. */
  addCredentials({ target, fileCredentials = [] }: GrpcService, headers: HeaderList): string {
    for (const { secret, header, prefix } of fileCredentials) {
      const text = credentialOf(this.options.readSource(secret))
      if (text === null) return `${target}: the file of its call credentials cannot be read, or is no header`
      headers.append(header, prefix + text)
    }
    return ''
  }

  close(): void {
    this.sweep?.cancel()
    this.sweep = null
    this.clusters?.close()
    this.targets.clear()
  }

  private targetOf(service: GrpcService): GrpcTarget | null {
    let key = this.keys.get(service)
    if (key === undefined) {
      const { endpoints, serverName, channelArgs } = service.google!
      key = JSON.stringify([endpoints, serverName, channelArgs, service.ssl ?? null])
      this.keys.set(service, key)
    }
    const known = this.targets.get(key)
    if (known !== undefined) return known
    if (this.targets.size >= MAX_GRPC_TARGETS) {
      this.removeIdle(0)
      if (this.targets.size >= MAX_GRPC_TARGETS) return null
    }
    const clusters = (this.clusters ??= this.newClusters())
    const config = googleCluster(`${service.target}#${++this.made}`, service)
    const target = new GrpcTarget(config.name, this.options.clock)
    this.targets.set(key, target)
    clusters.apply(config)
    this.arm()
    return target
  }

  private newClusters(): ClusterRegistry {
    const clusters = this.options.newClusters()
    clusters.onWarm(cluster => {
      for (const target of this.targets.values()) if (target.name === cluster.name) target.ready(cluster)
    })
    return clusters
  }

  private arm(): void {
    this.sweep ??= this.options.clock.after(IDLE_MS, () => {
      this.sweep = null
      this.removeIdle(IDLE_MS)
      if (this.targets.size > 0) this.arm()
    })
  }

  private removeIdle(idleMs: number): void {
    const now = this.options.clock.now()
    for (const [key, target] of this.targets) {
      if (target.calls > 0 || now - target.lastUsed < idleMs) continue
      this.targets.delete(key)
      this.clusters!.remove(target.name)
    }
  }
}

class GrpcTarget {
  readonly name: string
  calls = 0
  lastUsed: number
  private readonly clock: Clock
  private cluster: UpstreamCluster | null = null
  private readonly waiting = new Set<() => void>()
  /** The one that was reached last. */
  private working: Host | null = null

  constructor(name: string, clock: Clock) {
    this.name = name
    this.clock = clock
    this.lastUsed = clock.now()
  }

  /** At once, where DNS has answered. */
  whenReady(use: () => void): void {
    if (this.cluster === null) this.waiting.add(use)
    else use()
  }

  forget(use: () => void): void {
    this.waiting.delete(use)
  }

  ready(cluster: UpstreamCluster): void {
    this.cluster = cluster
    for (const use of this.waiting) use()
    this.waiting.clear()
  }

  /** The endpoint that works, else the first in order that this call has not tried. */
  pick(tried: readonly Host[]): Host | null {
    const hosts = this.cluster?.hosts ?? []
    const { working } = this
    if (working !== null && hosts.includes(working) && !tried.includes(working)) return working
    return hosts.find(host => !tried.includes(host)) ?? null
  }

  reached(host: Host): void {
    this.working = host
  }

  /** Why there is no endpoint. */
  get problem(): string {
    return this.cluster?.dnsProblem || 'no endpoint'
  }

  ended(): void {
    this.calls--
    this.lastUsed = this.clock.now()
  }
}

/** One call: which endpoints it has tried, and that it counts once. */
export class GrpcTargetCall {
  private readonly target: GrpcTarget
  private readonly pools: UpstreamPools
  private readonly service: GrpcService
  private readonly stats: GoogleGrpcHandles
  private readonly tried: Host[] = []
  /** Why each endpoint that was tried could not be reached. */
  private readonly failures: string[] = []
  private use: (() => void) | null = null
  private released = false

  constructor(target: GrpcTarget, pools: UpstreamPools, service: GrpcService, stats: GoogleGrpcHandles) {
    this.target = target
    this.pools = pools
    this.service = service
    this.stats = stats
    target.calls++
  }

  /** `use` is not called after release(). */
  whenReady(use: () => void): void {
    this.use = use
    this.target.whenReady(use)
  }

  /** On the next endpoint, not started; null: all have been tried. */
  next(owner: UpstreamRequestOwner): UpstreamRequest | null {
    const host = this.released ? null : this.target.pick(this.tried)
    if (host === null) return null
    this.tried.push(host)
    const pool = this.pools.poolFor(host, 'http2', 'DEFAULT', sniFor(host, this.service.authority))
    return new UpstreamRequest(owner, host, pool, host.cluster.breakers('DEFAULT'), 1)
  }

  /** The endpoint of the last next() could not be reached. */
  failed(reason: string): void {
    if (this.failures.length < MAX_FAILURES) this.failures.push(reason)
  }

  /** Why the call cannot be made. */
  get problem(): string {
    return this.failures.length > 0 ? this.failures.join('; ') : `${this.service.target}: ${this.target.problem}`
  }

  reached(host: Host): void {
    this.target.reached(host)
  }

  /** `status`: the server's word; null where there was no answer, which Envoy counts as internal. A call that we give up is not closed. */
  closed(status: number | null): void {
    countGrpcClosed(this.stats, status ?? GRPC_INTERNAL)
  }

  release(): void {
    if (this.released) return
    this.released = true
    if (this.use !== null) this.target.forget(this.use)
    this.target.ended()
  }
}
