// Circuit breakers of one cluster and one routing priority (envoy.config.cluster.v3.CircuitBreakers.Thresholds).
// The pools and the request path take a permit (`try…`) before they connect, queue, send or retry, and release it once.
// Refused permits count an overflow; `describe` gives the limit's name and value for the 503's detail.

import type { CircuitBreakerHandles, CircuitBreakerRemainingHandles, ClusterStats } from '../../metrics/stat-names.js'
import type { BreakerThresholds } from '../../model/cluster.js'

export type BreakerLimit = 'max_connections' | 'max_pending_requests' | 'max_requests' | 'max_retries' | 'max_connection_pools'

export class Breakers {
  connections = 0
  pending = 0
  requests = 0
  retries = 0
  connectionPools = 0
  private limits: BreakerThresholds
  private readonly stats: ClusterStats
  private readonly priority: 'default' | 'high'
  private readonly gauges: CircuitBreakerHandles
  /** null without track_remaining. */
  private remaining: CircuitBreakerRemainingHandles | null

  constructor(limits: BreakerThresholds, priority: 'default' | 'high', stats: ClusterStats) {
    this.limits = limits
    this.priority = priority
    this.stats = stats
    this.gauges = stats.circuitBreakers[priority]
    this.remaining = limits.trackRemaining ? stats.breakersRemaining(priority) : null
    // As in Envoy, a limit of 0 shows what remains, and is never seen open: no permit of it comes or goes.
    this.showRemaining()
  }

  /** New limits for the same counts: what is under way stays counted. */
  update(limits: BreakerThresholds): void {
    this.limits = limits
    this.remaining = limits.trackRemaining ? this.stats.breakersRemaining(this.priority) : null
    this.refreshGauges()
  }

  /** `hostConnections`: how many the host has already, for per_host_thresholds (Envoy HostDescription::canCreateConnection). */
  tryConnection(hostConnections = 0): boolean {
    if (this.connections >= this.limits.maxConnections || this.fullFor(hostConnections)) {
      this.stats.main.upstream_cx_overflow.value++
      return false
    }
    this.connections++
    this.refreshConnections()
    return true
  }

  /** A host with that many connections may have no more. */
  fullFor(hostConnections: number): boolean {
    return hostConnections >= this.limits.maxConnectionsPerHost
  }

  releaseConnection(): void {
    this.connections--
    this.refreshConnections()
  }

  /** Counts without a check: Envoy opens one connection past the limit when a host has none (a pool is never starved). */
  forceConnection(): void {
    this.connections++
    this.refreshConnections()
  }

  tryPending(): boolean {
    if (this.pending >= this.limits.maxPendingRequests) {
      this.stats.main.upstream_rq_pending_overflow.value++
      return false
    }
    this.pending++
    this.refreshPending()
    return true
  }

  releasePending(): void {
    this.pending--
    this.refreshPending()
  }

  tryRequest(): boolean {
    if (this.requests >= this.limits.maxRequests) {
      this.stats.main.upstream_rq_active_overflow.value++
      return false
    }
    this.requests++
    this.refreshRequests()
    return true
  }

  releaseRequest(): void {
    this.requests--
    this.refreshRequests()
  }

  tryRetry(): boolean {
    if (this.retries >= this.maxRetries) {
      this.stats.main.upstream_rq_retry_overflow.value++
      return false
    }
    this.retries++
    this.refreshRetries()
    return true
  }

  releaseRetry(): void {
    this.retries--
    this.refreshRetries()
  }

  get poolsFull(): boolean {
    return this.connectionPools >= this.limits.maxConnectionPools
  }

  tryConnectionPool(): boolean {
    if (this.poolsFull) {
      this.stats.main.upstream_cx_pool_overflow.value++
      return false
    }
    this.connectionPools++
    this.refreshPools()
    return true
  }

  releaseConnectionPool(): void {
    this.connectionPools--
    this.refreshPools()
  }

  /** Concurrent retries allowed now: a budget is a share of what is active and pending, with a floor. */
  get maxRetries(): number {
    const budget = this.limits.retryBudget
    if (budget === null) return this.limits.maxRetries
    return Math.max(budget.minConcurrency, Math.floor(((this.requests + this.pending) * budget.percent) / 100))
  }

  /** `max_pending_requests 1024`: name and value of a limit, for local reply bodies and details. */
  describe(limit: BreakerLimit): string {
    if (limit === 'max_retries' && this.limits.retryBudget !== null) {
      const budget = this.limits.retryBudget
      return `retry_budget ${budget.percent}% (at least ${budget.minConcurrency}), now ${this.maxRetries}`
    }
    return `${limit} ${this.limitOf(limit)}`
  }

  limitOf(limit: BreakerLimit): number {
    switch (limit) {
      case 'max_connections':
        return this.limits.maxConnections
      case 'max_pending_requests':
        return this.limits.maxPendingRequests
      case 'max_requests':
        return this.limits.maxRequests
      case 'max_retries':
        return this.maxRetries
      case 'max_connection_pools':
        return this.limits.maxConnectionPools
    }
  }

  private showRemaining(): void {
    const { remaining, limits } = this
    if (remaining === null) return
    remaining.remaining_cx.value = Math.max(0, limits.maxConnections - this.connections)
    remaining.remaining_pending.value = Math.max(0, limits.maxPendingRequests - this.pending)
    remaining.remaining_rq.value = Math.max(0, limits.maxRequests - this.requests)
    remaining.remaining_retries.value = Math.max(0, limits.maxRetries - this.retries)
    remaining.remaining_cx_pools.value = Math.max(0, limits.maxConnectionPools - this.connectionPools)
  }

  private refreshGauges(): void {
    this.refreshConnections()
    this.refreshPending()
    this.refreshRequests()
    this.refreshRetries()
    this.refreshPools()
  }

  // HOT: one compare and one store a permit; the remaining gauges only where they were asked for.
  private refreshConnections(): void {
    const limit = this.limits.maxConnections
    this.gauges.cx_open.value = this.connections >= limit ? 1 : 0
    if (this.remaining !== null) this.remaining.remaining_cx.value = Math.max(0, limit - this.connections)
  }

  private refreshPending(): void {
    const limit = this.limits.maxPendingRequests
    this.gauges.rq_pending_open.value = this.pending >= limit ? 1 : 0
    if (this.remaining !== null) this.remaining.remaining_pending.value = Math.max(0, limit - this.pending)
  }

  private refreshRequests(): void {
    const limit = this.limits.maxRequests
    this.gauges.rq_open.value = this.requests >= limit ? 1 : 0
    if (this.remaining !== null) this.remaining.remaining_rq.value = Math.max(0, limit - this.requests)
  }

  private refreshRetries(): void {
    // Of a budget, too, Envoy's gauge compares with max_retries, and what remains is not known once a retry has come.
    const { maxRetries, retryBudget } = this.limits
    this.gauges.rq_retry_open.value = this.retries >= maxRetries ? 1 : 0
    if (this.remaining !== null) this.remaining.remaining_retries.value = retryBudget === null ? Math.max(0, maxRetries - this.retries) : 0
  }

  private refreshPools(): void {
    const limit = this.limits.maxConnectionPools
    this.gauges.cx_pool_open.value = this.connectionPools >= limit ? 1 : 0
    if (this.remaining !== null) this.remaining.remaining_cx_pools.value = Math.max(0, limit - this.connectionPools)
  }
}
