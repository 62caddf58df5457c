// One upstream cluster: the policy that picks one of its hosts, breakers, outlier detection and health checks. Made by
// ClusterRegistry from config; the request path calls pick, breakers and record*. Endpoints come by applyAssignment (EDS) or from
// dns-discovery; which hosts there are, and their health, is ClusterMembership's. Invariant: hosts, ejections, breakers and counts
// outlive config changes; only what a change touches is rebuilt.

import { isDeepStrictEqual } from 'node:util'
import type { Counter } from '../../metrics/stat.js'
import type { ClusterStats } from '../../metrics/stat-names.js'
import type { Cluster } from '../../model/cluster.js'
import type { EndpointAssignment, Locality, LocalityEndpoints } from '../../model/endpoint.js'
import { AggregateLoadBalancer, type FoundCluster } from '../balance/aggregate-load-balancer.js'
import type { LbContext, LbEnvironment, LoadBalancer } from '../balance/load-balancer.js'
import { createLoadBalancer } from '../balance/load-balancer-factory.js'
import { OriginalDstLoadBalancer } from '../balance/original-dst-load-balancer.js'
import { DnsDiscovery } from '../dns/dns-discovery.js'
import type { SuccessRates } from '../health/ejection.js'
import { OutlierEvents } from '../health/event-log.js'
import { HealthCheckSet, type HealthChecks } from '../health/health-check-set.js'
import { type HostReport, type JudgedElsewhere, VERDICT_FLAGS } from '../health/health-verdicts.js'
import { httpStatusOfGrpc, OutlierDetector } from '../health/outlier-detector.js'
import { RemoteHealthChecks } from '../health/remote-health-checks.js'
import { Breakers } from '../host/breakers.js'
import { HealthFlag, type Host, type HostCluster } from '../host/host.js'
import { healthStatusOf } from '../host/host-health.js'
import type { HostSet, PrioritySet } from '../host/host-set.js'
import type { ClusterDeps } from './cluster-deps.js'
import { ClusterMembership, type MembershipOwner } from './cluster-membership.js'

const DEFAULT_OVERRIDE_STATUS: readonly string[] = ['UNKNOWN', 'HEALTHY', 'DEGRADED']

export class UpstreamCluster implements HostCluster, FoundCluster, MembershipOwner, JudgedElsewhere {
  readonly name: string
  readonly stats: ClusterStats
  /** The same bundle, by the name the request path knows it. */
  readonly traffic: ClusterStats
  /** From the bootstrap: CDS can neither change nor remove it. */
  readonly isStatic: boolean
  config: Cluster
  /** Has had its endpoints and secrets (and first health checks): may be used. */
  warm = false
  /** No longer in the config; it serves on while routes name it, or until its grace ends. */
  removed = false
  /** Requests that drop_overloads dropped, by category. */
  readonly drops: Map<string, number> = new Map()
  /** Called when a host's health or the set of hosts changed. */
  onHealthChange: ((cluster: UpstreamCluster) => void) | null = null
  private readonly deps: ClusterDeps
  private readonly members: ClusterMembership
  private readonly defaultBreakers: Breakers
  private readonly highBreakers: Breakers
  private balancer: LoadBalancer
  private detector: OutlierDetector | null = null
  private checker: HealthChecks | null = null
  /** Ends the hearing of another process's verdicts. */
  private readonly stopHearing: (() => void) | null
  /** The balancer again, where the cluster is an aggregate. */
  private aggregate: AggregateLoadBalancer | null = null
  private dns: DnsDiscovery | null = null
  private endpointsKnown = false
  private secretsKnown = false
  private warmingShown = false
  private stopAwaitingSecrets: (() => void) | null = null
  private onReady: (() => void) | null = null
  closed = false

  constructor(config: Cluster, deps: ClusterDeps, isStatic: boolean) {
    this.name = config.name
    this.config = config
    this.deps = deps
    this.isStatic = isStatic
    this.stats = deps.statsOf(config.altStatName || config.name)
    this.traffic = this.stats
    this.members = new ClusterMembership(this, deps)
    this.defaultBreakers = new Breakers(config.breakers.default, 'default', this.stats)
    this.highBreakers = new Breakers(config.breakers.high, 'high', this.stats)
    this.balancer = this.createBalancer()
    this.stopHearing = deps.remoteHealth?.join(config.name, this) ?? null
    this.replaceDetector()
    this.replaceChecker()
    this.members.refreshGauges()
  }

  // ---- picking ----

  get hosts(): readonly Host[] {
    return this.members.table.hosts
  }

  /** `ip:port` (or pipe path) to host. */
  host(key: string): Host | undefined {
    return this.members.table.byKey.get(key)
  }

  get childNames(): readonly string[] | null {
    const { discovery } = this.config
    return discovery.kind === 'aggregate' ? discovery.clusters : null
  }

  /** Of an aggregate: the children's, one after the other. */
  get hostSets(): readonly HostSet[] {
    return this.members.prioritySet.sets
  }

  /** As it was assigned, whether the balancer heeds it or not; 0 = none. */
  localityWeight(priority: number, locality: Locality): number {
    return this.members.assignedWeight(priority, locality)
  }

  get hostSetVersion(): number {
    const { prioritySet } = this.members
    if (this.aggregate?.changed === true) prioritySet.invalidate()
    return prioritySet.version
  }

  /** For zone-aware routing of other clusters. */
  get priorities(): PrioritySet {
    return this.members.prioritySet
  }

  /** A host for the request, or null: no usable host (503 UH). */
  // HOT: once a try.
  pick(ctx: LbContext): Host | null {
    const wanted = ctx.overrideHost
    if (wanted !== undefined && wanted !== null) {
      const host = this.members.table.byKey.get(wanted)
      if (host !== undefined && overrideAllowed(this.config, host)) return host
      if (ctx.overrideHostStrict === true) return null
    }
    return this.balancer.pick(ctx)
  }

  /** Like `pick` within one priority: `choice` is `priority * 2 + (degraded ? 1 : 0)` (aggregate clusters). */
  pickAt(ctx: LbContext, choice: number): Host | null {
    return this.balancer.pick(ctx, choice)
  }

  /** The priority that `host` counts under here, of an aggregate among all its children's; -1 = it is no host of this cluster. */
  priorityOf(host: Host): number {
    if (this.aggregate !== null) return this.aggregate.priorityOf(host)
    return host.cluster === this ? host.priority : -1
  }

  /** Names of secrets that it waits for before it serves. */
  get missingSecrets(): readonly string[] {
    return this.secretsKnown ? [] : (this.deps.secrets?.missing(this.config) ?? [])
  }

  /** Why DNS has no endpoint for it; '' where it has, or is not asked. */
  get dnsProblem(): string {
    return this.dns?.problem ?? ''
  }

  /** Some drop_overload hits every request. */
  get dropsAll(): boolean {
    return this.members.assignment.dropPercentages.some(({ numerator, denominator }) => numerator >= denominator)
  }

  /** The category that drops a request with this roll in [0, 1), or null. */
  dropCategory(random: number): string | null {
    let roll = random
    for (const { category, numerator, denominator } of this.members.assignment.dropPercentages) {
      const share = numerator / denominator
      if (roll < share) return category
      // What is left of the roll is uniform again over the requests that were not dropped.
      roll = (roll - share) / (1 - share)
    }
    return null
  }

  /** A request of this category was dropped, here or in a worker. */
  countDrops(category: string, count = 1): void {
    this.drops.set(category, (this.drops.get(category) ?? 0) + count)
  }

  // ---- protection ----

  breakers(priority: 'DEFAULT' | 'HIGH'): Breakers {
    return priority === 'HIGH' ? this.highBreakers : this.defaultBreakers
  }

  // The record* methods feed outlier detection only; per-host counts (Host.stats) are the request path's.

  /** Response headers came. */
  recordResponse(host: Host, status: number): void {
    this.detector?.report(host, status >= 500 ? 'extFailure' : 'extSuccess', status)
  }

  /** A gRPC status came (trailers, or trailers-only headers): instead of recordResponse. */
  recordGrpcStatus(host: Host, grpcStatus: number): void {
    this.recordResponse(host, httpStatusOfGrpc(grpcStatus))
  }

  /** No connection. */
  recordConnectFailure(host: Host): void {
    this.detector?.report(host, 'localConnectFailed', null)
  }

  /** The stream or connection broke before a response: Envoy counts it like a failed connection. */
  recordReset(host: Host): void {
    this.detector?.report(host, 'localConnectFailed', null)
  }

  /** The response did not come in time (per try or whole request). */
  recordTimeout(host: Host): void {
    this.detector?.report(host, 'localTimeout', null)
  }

  /** The connection works. `final`: nothing above it will report (tcp proxy), so it counts as a success. */
  recordLocalOriginSuccess(host: Host, final = false): void {
    this.detector?.report(host, final ? 'localSuccessFinal' : 'localSuccess', null)
  }

  /** The response had x-envoy-immediate-health-check-fail. */
  recordImmediateHealthCheckFail(host: Host): void {
    this.checker?.failNow(host)
  }

  /** Active checks or ejections say who may serve. */
  get isJudged(): boolean {
    return this.checker !== null || this.detector !== null
  }

  /** A worker saw it; this process judges. */
  takeReport(report: HostReport): void {
    const host = this.host(report.host)
    if (host === undefined) return
    if (report.what === 'run') this.detector?.onRun(host, report.cause)
    else this.checker?.failNow(host)
  }

  /** Another process judges, and says this of a host. */
  onVerdict(key: string, flags: number | null): void {
    const host = this.host(key)
    if (host === undefined) return
    if (flags === null) {
      if (host.hasFlag(HealthFlag.PENDING_DYNAMIC_REMOVAL)) this.members.remove(new Set([host]))
      return
    }
    if (host.hasFlag(HealthFlag.FAILED_OUTLIER_CHECK) && (flags & HealthFlag.FAILED_OUTLIER_CHECK) === 0) host.outlier?.resetRuns()
    if (host.hasFlag(HealthFlag.FAILED_ACTIVE_HC) && (flags & HealthFlag.FAILED_ACTIVE_HC) === 0)
      host.lastHealthyAtMs = this.deps.clock.now()
    this.setHealth(host, flags, VERDICT_FLAGS & ~flags)
  }

  onChecked(): void {
    if (this.checker instanceof RemoteHealthChecks) this.checker.checked()
  }

  /** Counts a codec's complaint, such as `rx_reset` or `header_overflow`, under `http1.` or `http2.` of this cluster. */
  countCodec(stat: string): void {
    const handles: object = stat in this.stats.http2 ? this.stats.http2 : this.stats.http1
    const counters = handles as { readonly [name: string]: Counter | undefined }
    const counter = counters[stat]
    if (counter !== undefined) counter.value++
  }

  /** Success rates of the last interval, for admin; -1 = none. Null without outlier detection. */
  get successRates(): SuccessRates | null {
    return this.detector
  }

  // ---- life ----

  /** Begins to look for endpoints. `onReady` is called once, when the cluster may be used; possibly at once. */
  start(onReady: () => void): void {
    this.onReady = onReady
    this.awaitSecrets()
    const { discovery } = this.config
    switch (discovery.kind) {
      case 'static':
        this.applyAssignment(discovery.assignment)
        return
      case 'strictDns':
      case 'logicalDns':
        this.startDns(discovery.assignment, discovery.dns, discovery.kind === 'logicalDns')
        return
      case 'originalDst':
        this.onEndpoints()
        return
      case 'eds':
      case 'aggregate':
        // ClusterRegistry knows when: applyAssignment, children warm, or the time is up.
        return
    }
  }

  /** EDS: endpoints of this cluster. An equal assignment touches nothing. */
  applyAssignment(assignment: EndpointAssignment): void {
    const { main } = this.stats
    // Only what is discovered counts as an update.
    if (this.config.discovery.kind === 'eds') {
      main.update_attempt.value++
      main.update_success.value++
      if (assignment.localities.length === 0) main.update_empty.value++
    }
    this.members.takeAssignment(assignment)
    this.members.armStaleTimer(assignment)
    this.onEndpoints()
  }

  /** The endpoints did not come in time: the cluster counts as initialised, and empty. */
  giveUpWaiting(): void {
    this.onEndpoints()
  }

  /**
   * Takes a new config in place. False when it needs a new cluster beside this one (other discovery or health checks, so that endpoints
   * have to be found or checked anew).
   */
  reconfigure(config: Cluster): boolean {
    const old = this.config
    const same = <K extends keyof Cluster>(key: K): boolean => isDeepStrictEqual(old[key], config[key])
    if (old.discovery.kind === 'static' && config.discovery.kind === 'static') {
      if (!same('healthChecks')) return false
    } else if (!same('discovery') || !same('healthChecks')) return false
    if (!same('altStatName')) return false
    this.config = config
    this.deps.secrets?.hold(this)
    this.defaultBreakers.update(config.breakers.default)
    this.highBreakers.update(config.breakers.high)
    const lbKeys = ['lbPolicy', 'subset', 'healthyPanicPercent', 'localityWeighted', 'zoneAware'] as const
    if (!lbKeys.every(same)) {
      this.balancer.close?.()
      this.balancer = this.createBalancer()
      this.members.takeLocalityWeights()
      this.members.prioritySet.invalidate()
    }
    if (!same('outlier')) {
      if (this.detector !== null && config.outlier !== null) this.detector.update(config.outlier)
      else this.replaceDetector()
    }
    // Requests under way finish; new ones connect by the new rules. Changed TLS settings are not here: a pool is replaced when
    // what its connections were verified against changes (http-pool key), and a renewed leaf certificate costs no connection.
    const connectionKeys = ['http', 'tcpKeepalive', 'bindSource', 'perConnectionBufferLimitBytes', 'connectTimeoutMs'] as const
    if (!connectionKeys.every(same)) for (const host of this.hosts) host.closePools(true)
    if (config.discovery.kind === 'static' && !isDeepStrictEqual(old.discovery, config.discovery)) {
      this.applyAssignment(config.discovery.assignment)
    }
    return true
  }

  /** Ends timers, checks and, gracefully, connections. */
  close(): void {
    if (this.closed) return
    this.closed = true
    this.onReady = null
    this.dns?.close()
    this.stopAwaitingSecrets?.()
    this.showWarming(false)
    this.stopHearing?.()
    this.checker?.close()
    this.detector?.close()
    this.balancer.close?.()
    this.members.close()
    // Its series end, unless another version of the cluster shows them.
    this.stats.release()
  }

  /** Changes health flags; lists, gauges and listeners follow. */
  setHealth(host: Host, set: number, clear: number): void {
    if (this.members.setHealth(host, set, clear)) this.countUpdate()
  }

  // ---- of its members (MembershipOwner) ----

  get activelyChecked(): boolean {
    return this.checker !== null
  }

  childSets(): HostSet[] | null {
    return this.aggregate?.linearize() ?? null
  }

  onHostAdded(host: Host): void {
    // Of the transport sockets to choose from: the cluster's own, where it has no others (Envoy's TransportSocketMatcher).
    if (this.config.transportSocketMatches.length === 0) this.stats.main['default.total_match_count'].value++
    this.detector?.add(host)
    // Without its secrets no check could pass.
    if (this.secretsKnown) this.checker?.add(host)
    const verdict = this.deps.remoteHealth?.flagsOf(this.name, host.key)
    if (verdict !== undefined) this.setHealth(host, verdict, VERDICT_FLAGS & ~verdict)
  }

  onHostRemoved(host: Host): void {
    this.detector?.remove(host)
    this.checker?.remove(host)
  }

  /** What a cluster starts with is no update of it. */
  countUpdate(): void {
    if (this.warm && this.deps.apart !== true && this.deps.updates !== undefined) this.deps.updates.value++
  }

  onMembersChanged(): void {
    this.onHealthChange?.(this)
  }

  // ---- inside ----

  private createBalancer(): LoadBalancer {
    const { config, deps } = this
    const { discovery } = config
    this.aggregate = null
    // Another policy may hash by another key.
    for (const host of this.hosts) host.hashKey = ''
    if (discovery.kind === 'aggregate') {
      this.aggregate = new AggregateLoadBalancer(discovery.clusters, deps.find, config.healthyPanicPercent)
      return this.aggregate
    }
    if (discovery.kind === 'originalDst') return this.createOriginalDst(discovery)
    const env: LbEnvironment = {
      hosts: this.members.prioritySet,
      stats: this.stats,
      clock: deps.clock,
      random: deps.random,
      panicThreshold: config.healthyPanicPercent,
      localityWeighted: config.localityWeighted,
      zoneAware: config.localityWeighted ? null : config.zoneAware,
      localHosts: () => this.localHosts(),
      defer: deps.defer,
      warn: message => deps.log('warn', `cluster ${this.name}: ${message}`),
    }
    return createLoadBalancer(env, config.lbPolicy, config.subset)
  }

  private localHosts(): PrioritySet | null {
    const { localClusterName, find } = this.deps
    if (localClusterName === null) return null
    if (localClusterName === this.name) return this.members.prioritySet
    return find(localClusterName)?.priorities ?? null
  }

  private createOriginalDst(discovery: Extract<Cluster['discovery'], { kind: 'originalDst' }>): LoadBalancer {
    const hooks = {
      find: (key: string) => this.host(key),
      add: (endpoint: Host['endpoint'], group: LocalityEndpoints) => this.members.add(endpoint, group),
      remove: (hosts: ReadonlySet<Host>) => this.members.remove(hosts),
      hosts: () => this.hosts,
      onInvalid: () => {
        this.stats.main.original_dst_host_invalid.value++
      },
      clock: this.deps.clock,
    }
    return new OriginalDstLoadBalancer(hooks, discovery.portOverride, discovery.cleanupIntervalMs)
  }

  private replaceDetector(): void {
    this.detector?.close()
    this.detector = null
    if (this.config.outlier === null) return
    const { remoteHealth, openOutlierLog, clock } = this.deps
    this.detector = new OutlierDetector(this.config.outlier, this.stats, {
      setEjected: (host, ejected) =>
        this.setHealth(host, ejected ? HealthFlag.FAILED_OUTLIER_CHECK : 0, ejected ? 0 : HealthFlag.FAILED_OUTLIER_CHECK),
      log: message => this.deps.log('warn', message),
      clusterName: this.name,
      clock: this.deps.clock,
      random: this.deps.random,
      events: openOutlierLog === undefined ? null : new OutlierEvents(openOutlierLog(), this.name, clock),
      tellRun:
        remoteHealth === undefined ? null : (host, cause) => remoteHealth.tell({ what: 'run', cluster: this.name, host: host.key, cause }),
    })
    for (const host of this.hosts) this.detector.add(host)
  }

  private replaceChecker(): void {
    const { healthChecks } = this.config
    if (healthChecks.length === 0) return
    if (this.deps.remoteHealth !== undefined) {
      this.checker = new RemoteHealthChecks(this.name, this.deps.remoteHealth)
      return
    }
    this.checker = new HealthCheckSet(
      healthChecks,
      this.stats,
      {
        setHealth: (host, set, clear) => this.setHealth(host, set, clear),
        onPassed: host => this.detector?.onActiveCheckPassed(host),
        onFailed: host => {
          if (host.hasFlag(HealthFlag.PENDING_DYNAMIC_REMOVAL) && host.hasFlag(HealthFlag.FAILED_ACTIVE_HC))
            this.members.remove(new Set([host]))
        },
        log: message => this.deps.log('info', message),
        clusterName: this.name,
        clock: this.deps.clock,
        random: this.deps.random,
      },
      this.deps.healthCheckTransport,
      this.deps.healthCheckDial,
      this.deps.openEventLog ?? null,
    )
  }

  private startDns(assignment: EndpointAssignment, options: Parameters<typeof this.dnsOf>[1], logical: boolean): void {
    this.members.assignment = assignment
    this.dns = this.dnsOf(assignment, options, logical)
    this.dns.start()
  }

  private dnsOf(assignment: EndpointAssignment, options: ConstructorParameters<typeof DnsDiscovery>[1], logical: boolean): DnsDiscovery {
    const { main } = this.stats
    return new DnsDiscovery(assignment, options, logical, this.deps.resolver, {
      onEndpoints: (localities, logicalAddress) => {
        this.members.takeAssignment({ ...assignment, localities })
        if (logicalAddress !== null) this.members.moveLogicalHost(logicalAddress)
      },
      onFirstAnswers: () => this.onEndpoints(),
      onAttempt: () => {
        main.update_attempt.value++
      },
      onSuccess: changed => {
        main.update_success.value++
        if (!changed) main.update_no_rebuild.value++
      },
      onFailure: (hostname, reason) => {
        main.update_failure.value++
        this.deps.log('warn', `cluster ${this.name}: DNS resolution of ${hostname} failed: ${reason}`)
      },
      clock: this.deps.clock,
      random: this.deps.random,
    })
  }

  private onEndpoints(): void {
    if (this.endpointsKnown) return
    this.endpointsKnown = true
    this.proceed()
  }

  private awaitSecrets(): void {
    const { secrets } = this.deps
    if (secrets === undefined) {
      this.secretsKnown = true
      return
    }
    secrets.hold(this)
    this.stopAwaitingSecrets = secrets.whenComplete(this.config, () => {
      this.secretsKnown = true
      this.showWarming(false)
      for (const host of this.hosts) this.checker?.add(host)
      this.proceed()
    })
  }

  private proceed(): void {
    if (!this.endpointsKnown) return
    if (!this.secretsKnown) {
      this.showWarming(true)
      return
    }
    // Hosts of ORIGINAL_DST come with requests.
    if (this.checker === null || this.config.discovery.kind === 'originalDst') this.becomeReady()
    else this.checker.onFirstRound(() => this.becomeReady())
  }

  /** As Envoy, which calls so what follows the endpoints: the wait for secrets. */
  private showWarming(warming: boolean): void {
    if (warming === this.warmingShown || this.deps.apart === true) return
    this.warmingShown = warming
    this.stats.main.warming_state.value = warming ? 1 : 0
  }

  /** Called by the registry for aggregates too. */
  becomeReady(): void {
    if (this.closed) return
    this.warm = true
    const ready = this.onReady
    this.onReady = null
    ready?.()
  }
}

function overrideAllowed(config: Cluster, host: Host): boolean {
  const statuses = config.overrideHostStatus.length > 0 ? config.overrideHostStatus : DEFAULT_OVERRIDE_STATUS
  return statuses.includes(healthStatusOf(host))
}
