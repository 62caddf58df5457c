// Which hosts a cluster has, and their health: takes endpoint assignments (EDS, DNS, static) and single hosts (ORIGINAL_DST), keeps
// the host table, the sets by priority and the membership gauges, and tells outlier detector and health checker who comes and goes.
// Made by UpstreamCluster, which owns the rules. Invariant: the counts by health agree with the flags of the hosts in the table.

import { isDeepStrictEqual } from 'node:util'
import type { Timer } from '../../io/clock.js'
import { formatAddress } from '../../model/address.js'
import { newAssignment } from '../../model/defaults.js'
import type { Endpoint, EndpointAssignment, Locality, LocalityEndpoints } from '../../model/endpoint.js'
import { HealthFlag, type Host, type HostCluster } from '../host/host.js'
import { edsFlags, edsMask } from '../host/host-health.js'
import { buildHostSets, type HostSet, PrioritySet, sameLocality } from '../host/host-set.js'
import { HostTable, type MetadataInterest } from '../host/host-table.js'
import type { ClusterDeps } from './cluster-deps.js'

/** The cluster whose hosts these are: it has the rules, and tells those that watch hosts who comes and goes. */
export interface MembershipOwner extends HostCluster {
  /** Active health checks say whether a host may serve. */
  readonly activelyChecked: boolean
  /** An aggregate's: the sets of its children; null = the cluster has hosts of its own. */
  childSets(): HostSet[] | null
  onHostAdded(host: Host): void
  onHostRemoved(host: Host): void
  /** Hosts came, went or changed their health. */
  onMembersChanged(): void
  countUpdate(): void
}

export class ClusterMembership {
  readonly table: HostTable
  readonly prioritySet: PrioritySet
  /** The newest one; that of DNS clusters has the addresses in place of the names once they are known. */
  assignment: EndpointAssignment
  private readonly cluster: MembershipOwner
  private readonly deps: ClusterDeps
  private localityWeights = new Map<string, number>()
  private staleTimer: Timer | null = null
  // Hosts by health, kept up to date one by one: the membership gauges.
  private healthyCount = 0
  private degradedCount = 0
  private excludedCount = 0

  constructor(cluster: MembershipOwner, deps: ClusterDeps) {
    this.cluster = cluster
    this.deps = deps
    this.assignment = newAssignment(cluster.name)
    this.table = new HostTable(cluster)
    this.prioritySet = new PrioritySet(() => this.buildSets())
  }

  /** Changes health flags; lists, gauges and listeners follow. False: they are as they were. */
  setHealth(host: Host, set: number, clear: number): boolean {
    const flags = (host.flags & ~clear) | set
    if (flags === host.flags) return false
    this.count(host, -1)
    host.flags = flags
    this.count(host, 1)
    this.refreshGauges()
    this.prioritySet.invalidate()
    this.cluster.onMembersChanged()
    return true
  }

  /** Adds one host (ORIGINAL_DST). */
  add(endpoint: Endpoint, group: LocalityEndpoints): Host {
    const host = this.table.add(endpoint, group)
    this.afterChange([host], [])
    return host
  }

  remove(hosts: ReadonlySet<Host>): void {
    this.table.remove(hosts)
    this.afterChange([], [...hosts])
  }

  /** LOGICAL_DNS: the one host dials somewhere else from now on; its connections stay. */
  moveLogicalHost(ip: string): void {
    const host = this.table.hosts[0]
    if (host === undefined || host.address.kind !== 'socket') return
    host.address = { ...host.address, host: ip }
    host.addressText = formatAddress(host.address)
    host.hashKey = ''
  }

  takeAssignment(assignment: EndpointAssignment): void {
    const old = this.assignment
    this.assignment = assignment
    const { added, removed, updated } = this.table.apply(assignment.localities, this.metadataInterest(), host => this.keepForNow(host))
    for (const host of updated) this.setHealth(host, edsFlags(host.endpoint.health), edsMask)
    if (this.dropLeavingMarks(assignment)) this.prioritySet.invalidate()
    const weightsChanged = this.takeLocalityWeights()
    const factorsChanged =
      old.overprovisioningFactor !== assignment.overprovisioningFactor || old.weightedPriorityHealth !== assignment.weightedPriorityHealth
    if (added.length + removed.length + updated.length > 0 || weightsChanged || factorsChanged) this.afterChange(added, removed)
    else if (this.counts) this.cluster.stats.main.update_no_rebuild.value++
  }

  private metadataInterest(): MetadataInterest {
    const { subset, lbPolicy } = this.cluster.config
    if (subset !== null) return 'all'
    return lbPolicy.kind === 'ringHash' || lbPolicy.kind === 'maglev' ? 'hashKey' : 'none'
  }

  /** Hosts that were on their way out and are named again stay. */
  private dropLeavingMarks(assignment: EndpointAssignment): boolean {
    if (!this.cluster.activelyChecked) return false
    let any = false
    for (const group of assignment.localities) {
      for (const endpoint of group.endpoints) {
        const host = this.table.byKey.get(formatAddress(endpoint.address))
        if (host?.hasFlag(HealthFlag.PENDING_DYNAMIC_REMOVAL) !== true) continue
        this.setHealth(host, 0, HealthFlag.PENDING_DYNAMIC_REMOVAL)
        any = true
      }
    }
    return any
  }

  /** Takes over the weights of the present assignment; true when they changed. */
  takeLocalityWeights(): boolean {
    if (!this.cluster.config.localityWeighted) return false
    const weights = new Map<string, number>()
    for (const group of this.assignment.localities) {
      const key = localityKey(group.priority, group.locality)
      weights.set(key, (weights.get(key) ?? 0) + group.weight)
    }
    const changed = !isDeepStrictEqual(weights, this.localityWeights)
    this.localityWeights = weights
    return changed
  }

  /** What the assignment says, whether the balancer heeds it or not; 0 = nothing. */
  assignedWeight(priority: number, locality: Locality): number {
    const groups = this.assignment.localities.filter(group => group.priority === priority && sameLocality(group.locality, locality))
    return groups.reduce((sum, { weight }) => sum + weight, 0)
  }

  /** A host that passes its active checks stays until they fail, unless the config says otherwise. */
  private keepForNow(host: Host): boolean {
    if (!this.cluster.activelyChecked || this.cluster.config.ignoreHealthOnHostRemoval || host.endpoint.disableActiveHealthCheck)
      return false
    if (host.hasFlag(HealthFlag.FAILED_ACTIVE_HC) || host.hasFlag(HealthFlag.FAILED_EDS_HEALTH)) return false
    this.setHealth(host, HealthFlag.PENDING_DYNAMIC_REMOVAL, 0)
    return true
  }

  private afterChange(added: readonly Host[], removed: readonly Host[]): void {
    for (const host of removed) {
      this.count(host, -1)
      this.cluster.onHostRemoved(host)
      host.closePools(true)
    }
    for (const host of added) {
      host.flags = edsFlags(host.endpoint.health)
      if (this.cluster.activelyChecked && !host.endpoint.disableActiveHealthCheck) {
        host.flags |= HealthFlag.FAILED_ACTIVE_HC
        if (this.cluster.config.ignoreNewHostsUntilFirstHealthCheck) host.flags |= HealthFlag.PENDING_ACTIVE_HC
      }
      // Slow start counts from now, where no active check will say when.
      if (!this.cluster.activelyChecked) host.lastHealthyAtMs = this.deps.clock.now()
      this.count(host, 1)
    }
    this.prioritySet.invalidate()
    const { main } = this.cluster.stats
    if (this.counts && added.length + removed.length > 0) main.membership_change.value++
    this.cluster.countUpdate()
    this.refreshGauges()
    if (this.cluster.config.closeConnectionsOnHostSetChange && added.length + removed.length > 0) {
      for (const host of this.table.hosts) host.closePools(true)
    }
    for (const host of added) this.cluster.onHostAdded(host)
    this.cluster.onMembersChanged()
  }

  private buildSets(): readonly HostSet[] {
    const childSets = this.cluster.childSets()
    if (childSets !== null && childSets.length > 0) return childSets
    return buildHostSets(this.table.hosts, this.setOptions())
  }

  private setOptions(): Parameters<typeof buildHostSets>[1] {
    return {
      overprovisioningFactor: this.assignment.overprovisioningFactor,
      weightedPriorityHealth: this.assignment.weightedPriorityHealth,
      localLocality: this.deps.localLocality,
      localityWeight: (priority, locality) => this.localityWeights.get(localityKey(priority, locality)) ?? 0,
    }
  }

  private get counts(): boolean {
    return this.deps.apart !== true
  }

  private count(host: Host, by: 1 | -1): void {
    const health = host.health
    if (health === 'healthy') this.healthyCount += by
    else if (health === 'degraded') this.degradedCount += by
    if (host.excluded) this.excludedCount += by
  }

  refreshGauges(): void {
    if (!this.counts) return
    const { main } = this.cluster.stats
    const { kind } = this.cluster.config.discovery
    // As in Envoy, of clusters that discover their hosts.
    if (kind === 'eds' || kind === 'strictDns') main.max_host_weight.value = this.table.maxWeight
    main.membership_total.value = this.table.hosts.length
    main.membership_healthy.value = this.healthyCount
    main.membership_degraded.value = this.degradedCount
    main.membership_excluded.value = this.excludedCount
  }

  armStaleTimer(assignment: EndpointAssignment): void {
    this.staleTimer?.cancel()
    this.staleTimer = null
    if (assignment.endpointStaleAfterMs === null || assignment.endpointStaleAfterMs === 0) return
    this.cluster.stats.main.assignment_timeout_received.value++
    this.staleTimer = this.deps.clock.after(assignment.endpointStaleAfterMs, () => {
      this.cluster.stats.main.assignment_stale.value++
      this.deps.log('warn', `cluster ${this.cluster.name}: endpoints are older than endpoint_stale_after and are dropped`)
      this.takeAssignment(newAssignment(this.cluster.name))
    })
  }

  /** Ends the timer and, gracefully, the connections. */
  close(): void {
    this.staleTimer?.cancel()
    for (const host of this.table.hosts) {
      host.removed = true
      host.closePools(true)
    }
  }
}

function localityKey(priority: number, locality: Locality): string {
  return `${priority}\0${locality.region}\0${locality.zone}\0${locality.subZone}`
}
