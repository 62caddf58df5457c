// One active health check of a cluster (envoy.config.core.v3.HealthCheck): one session a host, thresholds, edge and no-traffic
// intervals, jitter. Owned by HealthCheckSet; exchanges go through HealthCheckTransport (HTTP, gRPC) and tcp-health-check.

//   waiting --interval--> checking --passed / failed / timeout--> waiting

import { RE2JS } from 're2js'
import type { Clock, Timer } from '../../io/clock.js'
import type { ClusterStats } from '../../metrics/stat-names.js'
import type { Address } from '../../model/address.js'
import type { HealthCheck } from '../../model/cluster.js'
import type { StringMatcher } from '../../model/matcher.js'
import { HealthFlag, type Host } from '../host/host.js'
import type { FailureType, HealthCheckEvents } from './event-log.js'
import type { CancelableCheck, HealthCheckDial, HealthCheckResult, HealthCheckTransport } from './health-check-transport.js'
import { containsInOrder, KeptConnection, tcpHealthCheck } from './tcp-health-check.js'

export interface HealthCheckerHooks {
  setHealth(host: Host, set: number, clear: number): void
  /** What this check has set on the host; with several checks of a cluster the host carries their union. */
  hasFlag(host: Host, flag: number): boolean
  /** Any check passed while the host is healthy (ends ejections), and every change of state. */
  onPassed(host: Host): void
  onFailed(host: Host): void
  log(message: string): void
  readonly clusterName: string
  readonly clock: Clock
  readonly random: () => number
}

type Transition = 'unchanged' | 'pending' | 'changed'
/** active: the host answered badly; retriable: badly, but it counts towards the threshold; network: no answer. */
type Failure = 'active' | 'retriable' | 'network' | 'timeout' | 'passive'

/** As events name them. */
const FAILURE_TYPES: Readonly<Record<Failure, FailureType>> = {
  active: 'ACTIVE',
  retriable: 'ACTIVE',
  network: 'NETWORK',
  timeout: 'NETWORK_TIMEOUT',
  passive: 'PASSIVE',
}

export class HealthChecker {
  readonly config: HealthCheck
  readonly stats: ClusterStats
  readonly hooks: HealthCheckerHooks
  readonly transport: HealthCheckTransport | null
  readonly dial: HealthCheckDial
  /** Null: there is no event log. */
  readonly events: HealthCheckEvents | null
  /** service_name_matcher of an HTTP check; null = none. */
  readonly serviceMatches: ((value: string) => boolean) | null
  private readonly sessions = new Map<Host, Session>()
  private firstRound: (() => void) | null = null

  constructor(
    config: HealthCheck,
    stats: ClusterStats,
    hooks: HealthCheckerHooks,
    transport: HealthCheckTransport | null,
    dial: HealthCheckDial,
    events: HealthCheckEvents | null,
  ) {
    this.config = config
    this.stats = stats
    this.hooks = hooks
    this.transport = transport
    this.dial = dial
    this.events = events
    this.serviceMatches =
      config.check.kind === 'http' && config.check.serviceName !== null ? compileMatcher(config.check.serviceName) : null
  }

  add(host: Host): void {
    if (host.endpoint.disableActiveHealthCheck || this.sessions.has(host)) return
    const session = new Session(this, host)
    this.sessions.set(host, session)
    session.start()
  }

  remove(host: Host): void {
    const session = this.sessions.get(host)
    if (session === undefined) return
    this.sessions.delete(host)
    session.close()
    this.checkFirstRound()
  }

  /** Marks the host failed at once: it said so in an ordinary response (x-envoy-immediate-health-check-fail). */
  failNow(host: Host): void {
    this.sessions.get(host)?.failPassively()
  }

  /** Calls `done` once each present host has had its first result; at once when there are none. */
  onFirstRound(done: () => void): void {
    this.firstRound = done
    this.checkFirstRound()
  }

  checkFirstRound(): void {
    if (this.firstRound === null) return
    for (const session of this.sessions.values()) if (session.first) return
    const done = this.firstRound
    this.firstRound = null
    done()
  }

  close(): void {
    this.firstRound = null
    for (const session of this.sessions.values()) session.close()
    this.sessions.clear()
  }

  intervalMs(healthy: boolean, transition: Transition): number {
    const { config, hooks } = this
    let base: number
    if (this.stats.main.upstream_cx_total.value > 0) {
      if (healthy) base = transition === 'pending' ? config.healthyEdgeIntervalMs : config.intervalMs
      else base = transition === 'pending' ? config.unhealthyEdgeIntervalMs : config.unhealthyIntervalMs
    } else {
      // Nobody uses this cluster: look after it less often.
      base = healthy && config.noTrafficHealthyIntervalMs !== null ? config.noTrafficHealthyIntervalMs : config.noTrafficIntervalMs
    }
    if (config.intervalJitterPercent > 0) base += Math.floor(hooks.random() * ((config.intervalJitterPercent * base) / 100))
    if (config.intervalJitterMs > 0) base += Math.floor(hooks.random() * config.intervalJitterMs)
    return Math.max(1, base)
  }
}

class Session {
  first = true
  private readonly checker: HealthChecker
  private readonly host: Host
  private passes = 0
  private failures = 0
  private exchange: CancelableCheck | null = null
  private intervalTimer: Timer | null = null
  private timeoutTimer: Timer | null = null
  private closed = false
  /** Of the answer to the check that ended last; 0 = there was none, or it is no HTTP. */
  private status = 0
  /** TCP checks with reuse_connection. */
  private readonly kept: KeptConnection | null

  constructor(checker: HealthChecker, host: Host) {
    this.checker = checker
    this.host = host
    this.kept = checker.config.reuseConnection && checker.config.check.kind === 'tcp' ? new KeptConnection() : null
    if (this.healthy) this.countHealthy(1)
  }

  start(): void {
    const { config, hooks } = this.checker
    if (config.initialJitterMs > 0) this.wait(Math.floor(hooks.random() * config.initialJitterMs))
    else this.begin()
  }

  close(): void {
    this.closed = true
    this.exchange?.cancel()
    this.kept?.close()
    this.intervalTimer?.cancel()
    this.timeoutTimer?.cancel()
    if (this.healthy) this.countHealthy(-1)
    if (this.checker.hooks.hasFlag(this.host, HealthFlag.DEGRADED_ACTIVE_HC)) this.checker.stats.healthCheck.degraded.value--
  }

  failPassively(): void {
    this.checker.hooks.setHealth(this.host, HealthFlag.EXCLUDED_VIA_IMMEDIATE_HC_FAIL, 0)
    this.setUnhealthy('passive')
  }

  private get healthy(): boolean {
    return !this.checker.hooks.hasFlag(this.host, HealthFlag.FAILED_ACTIVE_HC)
  }

  private wait(ms: number): void {
    this.intervalTimer = this.checker.hooks.clock.after(ms, () => this.begin())
  }

  private begin(): void {
    this.intervalTimer = null
    const { checker, host } = this
    checker.stats.healthCheck.attempt.value++
    this.status = 0
    this.timeoutTimer = checker.hooks.clock.after(checker.config.timeoutMs, () => {
      this.timeoutTimer = null
      this.exchange?.cancel()
      this.failed('timeout')
    })
    const { check } = checker.config
    const address = checkAddress(host, checker.config)
    if (check.kind === 'tcp') {
      this.exchange = tcpHealthCheck(host, address, check, checker.dial, this.kept, outcome => {
        if (outcome.kind === 'passed') this.passed(false)
        else this.failed('network')
      })
      return
    }
    if (checker.transport === null) {
      this.failed('network')
      return
    }
    const authority = authorityOf(check, host, checker.hooks.clusterName)
    const { reuseConnection, timeoutMs } = checker.config
    this.exchange = checker.transport.check({ host, address, check, authority, reuseConnection, timeoutMs }, result => this.take(result))
  }

  private take(result: HealthCheckResult): void {
    const { check } = this.checker.config
    if (result.kind === 'http') this.status = result.status
    if (result.kind === 'network') this.failed(result.timeout ? 'timeout' : 'network')
    else if (result.kind === 'grpc') {
      if (result.status === 0 && result.serving) this.passed(result.degraded)
      else this.failed('active')
    } else if (check.kind === 'http') {
      if (result.immediateFail) this.checker.hooks.setHealth(this.host, HealthFlag.EXCLUDED_VIA_IMMEDIATE_HC_FAIL, 0)
      if (!inRanges(result.status, check.expectedStatuses, 200)) {
        this.failed(inRanges(result.status, check.retriableStatuses, null) ? 'retriable' : 'active')
      } else if (!containsInOrder(result.body, check.receive)) {
        this.failed('active')
      } else if (this.checker.serviceMatches !== null && !this.checker.serviceMatches(result.healthcheckedCluster ?? '')) {
        this.checker.stats.healthCheck.verify_cluster.value++
        this.failed('active')
      } else this.passed(result.degraded)
    }
  }

  private passed(degraded: boolean): void {
    if (this.closed) return
    this.endExchange()
    const { hooks, config, stats, events } = this.checker
    this.failures = 0
    let transition: Transition = 'unchanged'
    let clear = HealthFlag.PENDING_ACTIVE_HC | HealthFlag.ACTIVE_HC_TIMEOUT
    if (!this.healthy) {
      // The very first result counts at once, so that starting up is quick.
      if (this.first || ++this.passes >= config.healthyThreshold) {
        clear |= HealthFlag.FAILED_ACTIVE_HC | HealthFlag.EXCLUDED_VIA_IMMEDIATE_HC_FAIL
        transition = 'changed'
        this.passes = 0
        this.host.lastHealthyAtMs = hooks.clock.now()
        this.countHealthy(1)
        events?.added(this.host, this.first)
      } else transition = 'pending'
    }
    const wasDegraded = this.checker.hooks.hasFlag(this.host, HealthFlag.DEGRADED_ACTIVE_HC)
    if (degraded !== wasDegraded) {
      stats.healthCheck.degraded.value += degraded ? 1 : -1
      if (degraded) events?.degraded(this.host)
      else events?.noLongerDegraded(this.host)
      transition = transition === 'unchanged' ? 'changed' : transition
    }
    hooks.setHealth(this.host, degraded ? HealthFlag.DEGRADED_ACTIVE_HC : 0, clear | (degraded ? 0 : HealthFlag.DEGRADED_ACTIVE_HC))
    stats.healthCheck.success.value++
    if (events?.rules.everySuccess === true) events.succeeded(this.host)
    if (transition === 'changed') hooks.log(`health check: cluster ${hooks.clusterName}: host ${this.host.addressText} is healthy`)
    this.first = false
    if (this.healthy) hooks.onPassed(this.host)
    this.wait(this.checker.intervalMs(true, transition))
    this.checker.checkFirstRound()
  }

  private failed(failure: Failure): void {
    if (this.closed) return
    this.endExchange()
    const transition = this.setUnhealthy(failure)
    // The checker may have dropped the host in answer to the failure.
    if (!this.closed) this.wait(this.checker.intervalMs(false, transition))
    this.checker.checkFirstRound()
  }

  private setUnhealthy(failure: Failure): Transition {
    const { hooks, config, stats, events } = this.checker
    this.passes = 0
    let transition: Transition = 'unchanged'
    const set = failure === 'timeout' ? HealthFlag.ACTIVE_HC_TIMEOUT : 0
    const clear = HealthFlag.PENDING_ACTIVE_HC | (failure === 'timeout' ? 0 : HealthFlag.ACTIVE_HC_TIMEOUT)
    if (this.healthy) {
      // A wrong status is believed at once; only silence and retriable statuses are given more chances.
      const atOnce = failure === 'active' || failure === 'passive'
      if (atOnce || ++this.failures >= config.unhealthyThreshold) {
        transition = 'changed'
        this.failures = 0
        this.countHealthy(-1)
        hooks.setHealth(this.host, set | HealthFlag.FAILED_ACTIVE_HC, clear)
        events?.ejected(this.host, FAILURE_TYPES[failure], this.status)
        hooks.log(`health check: cluster ${hooks.clusterName}: host ${this.host.addressText} is unhealthy (${failure})`)
      } else {
        transition = 'pending'
        hooks.setHealth(this.host, set, clear)
      }
    } else hooks.setHealth(this.host, set, clear)
    stats.healthCheck.failure.value++
    if (failure === 'network' || failure === 'timeout') stats.healthCheck.network_failure.value++
    else if (failure === 'passive') stats.healthCheck.passive_failure.value++
    if (this.first || events?.rules.everyFailure === true) events?.failed(this.host, FAILURE_TYPES[failure], this.first, this.status)
    this.first = false
    hooks.onFailed(this.host)
    return transition
  }

  private endExchange(): void {
    this.exchange = null
    this.timeoutTimer?.cancel()
    this.timeoutTimer = null
  }

  private countHealthy(by: 1 | -1): void {
    this.checker.stats.healthCheck.healthy.value += by
  }
}

function checkAddress(host: Host, config: HealthCheck): Address {
  const port = host.endpoint.healthCheckPort ?? config.altPort
  return port === null || host.address.kind === 'pipe' ? host.address : { ...host.address, port }
}

/** What the endpoint says about itself comes before what the check says for all of them. */
function authorityOf(check: Extract<HealthCheck['check'], { kind: 'http' | 'grpc' }>, host: Host, clusterName: string): string {
  return host.endpoint.healthCheckHostname || (check.kind === 'http' ? check.host : check.authority) || clusterName
}

function inRanges(status: number, ranges: readonly { readonly start: number; readonly end: number }[], fallback: number | null): boolean {
  if (ranges.length === 0) return status === fallback
  return ranges.some(range => status >= range.start && status < range.end)
}

/** service_name_matcher, compiled once per checker. RE2 matches the whole value. */
function compileMatcher(matcher: StringMatcher): (value: string) => boolean {
  if (matcher.kind === 'regex') {
    const pattern = RE2JS.compile(matcher.value)
    return value => pattern.matches(value)
  }
  const fold = matcher.ignoreCase ? (text: string) => text.toLowerCase() : (text: string) => text
  const wanted = fold(matcher.value)
  switch (matcher.kind) {
    case 'exact':
      return value => fold(value) === wanted
    case 'prefix':
      return value => fold(value).startsWith(wanted)
    case 'suffix':
      return value => fold(value).endsWith(wanted)
    case 'contains':
      return value => fold(value).includes(wanted)
  }
}
