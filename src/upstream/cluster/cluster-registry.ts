// All clusters of a proxy by name, and their changes over time. The config side (proxy) calls apply, remove and applyAssignment; the
// request path calls get. Make before break: a new or changed cluster serves only once it is warm, the old version until then; a
// removed one while an active route still names it, or until a grace ends. An equal update touches nothing.

//   apply -> warming --warm--> active --remove--> lingering --unreferenced or grace over--> closed
//                \--replaced or removed--> closed

import { isDeepStrictEqual } from 'node:util'
import type { Timer } from '../../io/clock.js'
import type { Cluster } from '../../model/cluster.js'
import type { ConfigSource } from '../../model/config-source.js'
import type { EndpointAssignment } from '../../model/endpoint.js'
import { UpstreamCluster } from './cluster.js'
import type { ClusterDeps } from './cluster-deps.js'

export interface ClusterRegistryOptions extends Omit<ClusterDeps, 'find'> {
  /** Whether an active route (or tcp proxy, mirror, ...) names the cluster. */
  readonly isReferenced: (name: string) => boolean
  /** How long a removed cluster that is still named goes on serving. Default 60 s. */
  readonly removalGraceMs?: number
}

/** An EDS resource that some cluster wants. */
export interface EdsSubscription {
  readonly serviceName: string
  readonly source: ConfigSource
}

/** Clusters of one proxy. */
export const MAX_CLUSTERS = 100_000
const DEFAULT_REMOVAL_GRACE_MS = 60_000
/** An aggregate in the place of a cluster that serves waits no longer for children (Envoy's default initial_fetch_timeout). */
const AGGREGATE_TIMEOUT_MS = 15_000

interface Entry {
  active: UpstreamCluster | null
  warming: UpstreamCluster | null
  warmTimer: Timer | null
  graceTimer: Timer | null
}

export class ClusterRegistry {
  private readonly options: ClusterRegistryOptions
  private readonly deps: ClusterDeps
  private readonly entries = new Map<string, Entry>()
  private readonly warmingEntries = new Set<Entry>()
  /** Removed from the config, and still serving. */
  private readonly lingering = new Set<Entry>()
  /** Warming aggregates by the name of each child they wait for. */
  private readonly waitingFor = new Map<string, Set<UpstreamCluster>>()
  /** Clusters by the EDS resource they want. */
  private readonly edsUsers = new Map<string, Set<UpstreamCluster>>()
  /** Last endpoints by EDS name, for a cluster that is made anew while its endpoints stay the same. Bounded by edsUsers. */
  private readonly assignments = new Map<string, EndpointAssignment>()
  private readonly warmListeners = new Set<(cluster: UpstreamCluster) => void>()
  private readonly removedListeners = new Set<(name: string) => void>()
  private readonly edsListeners = new Set<() => void>()
  private readonly healthListeners = new Set<(cluster: UpstreamCluster) => void>()

  constructor(options: ClusterRegistryOptions) {
    this.options = options
    this.deps = { ...options, find: name => this.get(name) }
  }

  /** The version in use; undefined while there is none that is warm. */
  // HOT: once a request.
  get(name: string): UpstreamCluster | undefined {
    return this.entries.get(name)?.active ?? undefined
  }

  /** The version that is being prepared, or undefined (admin). */
  warming(name: string): UpstreamCluster | undefined {
    return this.entries.get(name)?.warming ?? undefined
  }

  /** Of the config: active or warming, without those that only linger. */
  names(): string[] {
    const names: string[] = []
    for (const [name, entry] of this.entries) if (entry.warming !== null || entry.active?.removed === false) names.push(name)
    return names
  }

  /** Every cluster that serves, lingering ones too. */
  *clusters(): IterableIterator<UpstreamCluster> {
    for (const entry of this.entries.values()) if (entry.active !== null) yield entry.active
  }

  /** How many `names` has. */
  get configuredCount(): number {
    return this.entries.size - this.lingering.size
  }

  get warmingCount(): number {
    return this.warmingEntries.size
  }

  /**
   * Clusters that wait for endpoints, names, secrets or health checks of their own. Who waits for these waits for aggregates too, but never for
   * one whose children are not in the config: nobody knows whether they will come.
   */
  get awaitedCount(): number {
    let count = 0
    for (const { warming } of this.warmingEntries) if (warming!.config.discovery.kind !== 'aggregate') count++
    return count
  }

  /**
   * Adds a cluster or takes its new config. `isStatic`: from the bootstrap. Returns why nothing was done, or null: a static cluster
   * cannot be changed later, and there is a limit.
   */
  apply(config: Cluster, isStatic = false): string | null {
    let entry = this.entries.get(config.name)
    if (entry === undefined) {
      if (this.entries.size >= MAX_CLUSTERS) return `more than ${MAX_CLUSTERS} clusters (MAX_CLUSTERS)`
      entry = { active: null, warming: null, warmTimer: null, graceTimer: null }
      this.entries.set(config.name, entry)
    }
    const present = entry.warming ?? entry.active
    if (present?.isStatic === true && !isStatic) return `cluster ${config.name} is static: it cannot be updated`
    if (entry.active !== null && isDeepStrictEqual(entry.active.config, config)) {
      this.revive(entry)
      this.dropWarming(entry)
      return null
    }
    if (entry.warming !== null && isDeepStrictEqual(entry.warming.config, config)) return null
    // With secrets that are not here yet it would be without TLS: the version in use goes on until they are.
    const missing = this.deps.secrets?.missing(config) ?? []
    if (entry.warming === null && missing.length === 0 && entry.active?.reconfigure(config) === true) {
      this.revive(entry)
      return null
    }
    this.dropWarming(entry)
    this.beginWarming(entry, config, isStatic)
    return null
  }

  /** Removes a cluster from the config. It goes on serving while an active route names it, for the grace at most. */
  remove(name: string): void {
    const entry = this.entries.get(name)
    if (entry === undefined) return
    if ((entry.active ?? entry.warming)?.isStatic === true) return
    this.dropWarming(entry)
    const { active } = entry
    if (active === null) {
      this.entries.delete(name)
      return
    }
    this.lingering.add(entry)
    if (active.removed) return
    active.removed = true
    this.unsubscribe(active)
    if (!this.options.isReferenced(name)) {
      this.finishRemoval(name, entry)
      return
    }
    entry.graceTimer = this.deps.clock.after(this.options.removalGraceMs ?? DEFAULT_REMOVAL_GRACE_MS, () => {
      this.deps.log('warn', `cluster ${name}: removed, and its grace is over: routes that still name it get 503`)
      this.finishRemoval(name, entry)
    })
  }

  /** The routes changed: clusters that lingered only for them go. */
  releaseUnreferenced(): void {
    for (const [name, entry] of [...this.entries]) {
      if (entry.active?.removed === true && entry.warming === null && !this.options.isReferenced(name)) this.finishRemoval(name, entry)
    }
  }

  /** EDS: endpoints for every cluster that wants this resource (`clusterName`). */
  applyAssignment(assignment: EndpointAssignment): void {
    const users = this.edsUsers.get(assignment.clusterName)
    if (users === undefined) return
    this.assignments.set(assignment.clusterName, assignment)
    // A copy: warming may swap a user out.
    for (const cluster of [...users]) if (!cluster.closed) cluster.applyAssignment(assignment)
  }

  /** The EDS resources that are wanted now, each once. */
  edsSubscriptions(): EdsSubscription[] {
    const found: EdsSubscription[] = []
    for (const [serviceName, users] of this.edsUsers) {
      for (const { config } of users) {
        if (config.discovery.kind !== 'eds') continue
        found.push({ serviceName, source: config.discovery.source })
        break
      }
    }
    return found
  }

  /** The clusters that take their endpoints from this resource. */
  edsUsersOf(serviceName: string): Iterable<UpstreamCluster> {
    return this.edsUsers.get(serviceName) ?? []
  }

  /** EDS says that there is no such resource: who waits for it starts empty, who has endpoints keeps them (as Envoy). */
  assignmentAbsent(serviceName: string): void {
    for (const cluster of [...(this.edsUsers.get(serviceName) ?? [])]) if (!cluster.closed) cluster.giveUpWaiting()
  }

  /** Calls `listener` whenever a cluster starts to serve. Returns the way to stop it. */
  onWarm(listener: (cluster: UpstreamCluster) => void): () => void {
    return listen(this.warmListeners, listener)
  }

  onRemoved(listener: (name: string) => void): () => void {
    return listen(this.removedListeners, listener)
  }

  /** The set of wanted EDS resources changed. */
  onEdsNamesChange(listener: () => void): () => void {
    return listen(this.edsListeners, listener)
  }

  /** Hosts of a cluster came, went or changed their health; of one that warms too. */
  onHealthChange(listener: (cluster: UpstreamCluster) => void): () => void {
    return listen(this.healthListeners, listener)
  }

  close(): void {
    for (const entry of this.entries.values()) {
      entry.warmTimer?.cancel()
      entry.graceTimer?.cancel()
      entry.warming?.close()
      entry.active?.close()
    }
    this.entries.clear()
    this.warmingEntries.clear()
    this.lingering.clear()
    this.waitingFor.clear()
    this.edsUsers.clear()
    this.assignments.clear()
  }

  private beginWarming(entry: Entry, config: Cluster, isStatic: boolean): void {
    const cluster = new UpstreamCluster(config, this.deps, isStatic)
    cluster.onHealthChange = changed => {
      for (const listener of this.healthListeners) listener(changed)
    }
    entry.warming = cluster
    this.warmingEntries.add(entry)
    this.lingering.delete(entry)
    const { discovery } = config
    if (discovery.kind === 'eds') {
      const known = this.assignments.get(edsNameOf(config)!)
      this.subscribe(cluster)
      if (discovery.initialFetchTimeoutMs > 0 && known === undefined) {
        entry.warmTimer = this.deps.clock.after(discovery.initialFetchTimeoutMs, () => {
          cluster.stats.eds.init_fetch_timeout.value++
          this.deps.log('warn', `cluster ${config.name}: no endpoints within ${discovery.initialFetchTimeoutMs} ms, starting empty`)
          cluster.giveUpWaiting()
        })
      }
      cluster.start(() => this.swap(entry, cluster))
      if (known !== undefined) cluster.applyAssignment(known)
      return
    }
    cluster.start(() => this.swap(entry, cluster))
    if (discovery.kind !== 'aggregate') return
    entry.warmTimer = this.deps.clock.after(AGGREGATE_TIMEOUT_MS, () => cluster.becomeReady())
    for (const child of discovery.clusters) {
      const waiting = this.waitingFor.get(child)
      if (waiting === undefined) this.waitingFor.set(child, new Set([cluster]))
      else waiting.add(cluster)
    }
    this.checkChildren(cluster)
  }

  private swap(entry: Entry, cluster: UpstreamCluster): void {
    if (entry.warming !== cluster) return
    const old = entry.active
    entry.active = cluster
    entry.warming = null
    this.warmingEntries.delete(entry)
    entry.warmTimer?.cancel()
    entry.warmTimer = null
    entry.graceTimer?.cancel()
    entry.graceTimer = null
    if (old !== null) {
      this.unsubscribe(old)
      old.close()
    }
    this.stopWaiting(cluster)
    for (const listener of this.warmListeners) listener(cluster)
    for (const aggregate of [...(this.waitingFor.get(cluster.name) ?? [])]) this.checkChildren(aggregate)
  }

  /**
   * An aggregate is warm when all its children are; one that contains itself waits for the others only. A child that is not there is
   * waited for only while an older version of the aggregate serves.
   */
  private checkChildren(aggregate: UpstreamCluster): void {
    const serves = this.get(aggregate.name) !== undefined
    const seen = new Set([aggregate.name])
    const open = [aggregate]
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      const { discovery } = next.config
      if (discovery.kind !== 'aggregate') return
      for (const name of discovery.clusters) {
        if (seen.has(name) || this.get(name) !== undefined) continue
        seen.add(name)
        const child = this.warming(name)
        if (child !== undefined) open.push(child)
        else if (serves) return
      }
    }
    aggregate.becomeReady()
  }

  private stopWaiting(aggregate: UpstreamCluster): void {
    const { discovery } = aggregate.config
    if (discovery.kind !== 'aggregate') return
    for (const child of discovery.clusters) {
      const waiting = this.waitingFor.get(child)
      waiting?.delete(aggregate)
      if (waiting?.size === 0) this.waitingFor.delete(child)
    }
  }

  private dropWarming(entry: Entry): void {
    entry.warmTimer?.cancel()
    entry.warmTimer = null
    const { warming } = entry
    if (warming === null) return
    entry.warming = null
    this.warmingEntries.delete(entry)
    this.unsubscribe(warming)
    this.stopWaiting(warming)
    warming.close()
  }

  /** A cluster that was removed and comes back as it was. */
  private revive(entry: Entry): void {
    if (entry.active?.removed !== true) return
    entry.active.removed = false
    this.lingering.delete(entry)
    entry.graceTimer?.cancel()
    entry.graceTimer = null
    this.subscribe(entry.active)
  }

  private finishRemoval(name: string, entry: Entry): void {
    entry.graceTimer?.cancel()
    entry.graceTimer = null
    entry.active?.close()
    entry.active = null
    this.lingering.delete(entry)
    if (entry.warming === null) this.entries.delete(name)
    for (const listener of this.removedListeners) listener(name)
  }

  private subscribe(cluster: UpstreamCluster): void {
    const name = edsNameOf(cluster.config)
    if (name === null) return
    const users = this.edsUsers.get(name)
    if (users !== undefined) {
      users.add(cluster)
      return
    }
    this.edsUsers.set(name, new Set([cluster]))
    for (const listener of this.edsListeners) listener()
  }

  private unsubscribe(cluster: UpstreamCluster): void {
    const name = edsNameOf(cluster.config)
    const users = name === null ? undefined : this.edsUsers.get(name)
    if (name === null || users === undefined || !users.delete(cluster) || users.size > 0) return
    this.edsUsers.delete(name)
    this.assignments.delete(name)
    for (const listener of this.edsListeners) listener()
  }
}

/** The EDS resource of a cluster (its service_name, else its own name), or null. */
function edsNameOf(config: Cluster): string | null {
  return config.discovery.kind === 'eds' ? config.discovery.serviceName || config.name : null
}

function listen<T>(listeners: Set<T>, listener: T): () => void {
  listeners.add(listener)
  return () => listeners.delete(listener)
}
