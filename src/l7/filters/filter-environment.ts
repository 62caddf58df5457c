// What HTTP filters may use of the proxy around them. FilterEnvironment is made by proxy/listener/compile-listener once per connection
// manager; FilterContext is the same with its defaults filled in, plus the stat scopes and enders that live as long as the filters.
// Nothing here is per request.

import { type Clock, systemClock } from '../../io/clock.js'
import type { Counter, Gauge } from '../../metrics/stat.js'
import type { HcmStats } from '../../metrics/stat-names.js'
import type { StatScope, StatSource, StatsStore } from '../../metrics/stats-store.js'
import type { ConfigSource } from '../../model/config-source.js'
import type { Metadata } from '../../model/metadata.js'
import type { DataSource } from '../../model/tls.js'
import type { UpstreamCluster } from '../../upstream/cluster/cluster.js'
import type { AsyncGrpcClient, AsyncHttpClient } from '../client/async-client.js'
import type { UpstreamFailures } from '../log/failure-log.js'
import type { Runtime } from '../match/runtime-fraction.js'
import type { HttpFilter } from './custom/custom-filter.js'
import type { FilterConfigs } from './discovered-filter.js'
import type { SecretSource } from './generic-secret.js'

export interface FilterEnvironment {
  /** `http.<prefix>.` */
  readonly stats: HcmStats
  readonly store: StatsStore
  readonly runtime: Runtime
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly listenerMetadata: Metadata
  readonly httpClient: AsyncHttpClient
  readonly grpcClient: AsyncGrpcClient
  readonly filterConfigs: FilterConfigs
  /** Of the embedding program, by full message name. */
  readonly customFilters: ReadonlyMap<string, HttpFilter>
  readonly clusters: { get(name: string): UpstreamCluster | undefined }
  /** Secrets by name, which filters follow. */
  readonly secrets: SecretSource
  /** Absent: clusters that are not there are never asked for. */
  readonly demands?: ClusterDemands
  /** Text of a DataSource, or null (or undefined) when it cannot be read now. */
  readonly readSource: (source: DataSource) => string | null | undefined
  /** POST /healthcheck/fail was called, or the server drains. */
  readonly healthFailed: () => boolean
  readonly log: (level: 'debug' | 'info' | 'warn', message: string) => void
  /** Services that a filter asks, and that give no answer, are said there; absent: nowhere. */
  readonly failures?: UpstreamFailures
  /** Requests that intentions in shadow would refuse are said there; absent: nowhere. */
  readonly shadowDenials?: UpstreamFailures
  /** Monotonic time and timers; the system's by default. */
  readonly clock?: Clock
  /** Milliseconds since the epoch (token lifetimes); Date.now by default. */
  readonly wallClock?: () => number
  /** Node cluster name; '' by default. */
  readonly serviceCluster?: string
}

/** Where clusters that are not there are asked for. */
interface ClusterDemands {
  /** Returns the way to wait no longer; null: there is nothing to wait for. `awaits`: what came is not ready to be used before it is warm. */
  ask(
    demand: { readonly kind: 'cluster'; readonly source: ConfigSource; readonly name: string },
    done: () => void,
    awaits: boolean,
  ): (() => void) | null
}

/** Clusters that one filter keeps counters for; further ones are not counted. */
export const MAX_CLUSTER_SCOPES = 1024

export class FilterContext {
  readonly env: FilterEnvironment
  readonly runtime: Runtime
  readonly random: () => number
  readonly clock: Clock
  readonly wallClock: () => number
  private readonly enders: (() => void)[] = []
  /** By their prefixes: what routes say is compiled anew whenever they change, and counts on in the scope that it had. */
  private readonly scopes = new Map<string, StatScope>()

  constructor(env: FilterEnvironment) {
    this.env = env
    this.runtime = env.runtime
    this.random = env.random
    this.clock = env.clock ?? systemClock
    this.wallClock = env.wallClock ?? Date.now
  }

  /** A scope of the store below the root, released with the filters. */
  scope(prefix: string): StatScope {
    return this.scopeOf(this.env.store, prefix, prefix)
  }

  /** Counters `http.<prefix>.<name>.<counter>`, all there (with 0) from the start. */
  httpCounters<N extends string>(name: string, names: readonly N[]): Readonly<Record<N, Counter>> {
    return this.counters(this.httpScope(name), names)
  }

  counters<N extends string>(scope: StatScope, names: readonly N[]): Readonly<Record<N, Counter>> {
    return Object.fromEntries(names.map(counter => [counter, scope.counter(counter)])) as Record<N, Counter>
  }

  httpGauge(name: string, gauge: string): Gauge {
    return this.httpScope(name).gauge(gauge)
  }

  httpScope(name: string): StatScope {
    return this.scopeOf(this.env.stats.scope, name, `http ${name}`)
  }

  private scopeOf(source: StatSource, prefix: string, key: string): StatScope {
    let scope = this.scopes.get(key)
    if (scope === undefined) {
      scope = source.scope(prefix)
      this.scopes.set(key, scope)
      this.enders.push(() => this.dropScope(key))
    }
    return scope
  }

  private dropScope(key: string): void {
    this.scopes.get(key)?.release()
    this.scopes.delete(key)
  }

  /** alt_stat_name of a cluster where it has one, else its name. */
  clusterStatName(name: string): string {
    return this.env.clusters.get(name)?.config.altStatName || name
  }

  /** Run when the connection manager's config is replaced or removed. */
  onRelease(ender: () => void): void {
    this.enders.push(ender)
  }

  release(): void {
    for (const ender of this.enders.splice(0)) ender()
  }
}

/** Something per cluster name, made on first use. Bounded: names may come from request headers (cluster_header). */
export class PerCluster<T> {
  private readonly byCluster = new Map<string, T>()
  private readonly make: (statName: string) => T
  private readonly ctx: FilterContext

  constructor(ctx: FilterContext, make: (statName: string) => T) {
    this.ctx = ctx
    this.make = make
  }

  get(cluster: string): T | null {
    const known = this.byCluster.get(cluster)
    if (known !== undefined) return known
    if (cluster === '' || this.byCluster.size >= MAX_CLUSTER_SCOPES) return null
    const made = this.make(this.ctx.clusterStatName(cluster))
    this.byCluster.set(cluster, made)
    return made
  }
}
