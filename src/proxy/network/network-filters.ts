// The network filters before the terminal one, one class each (ext_authz has a file of its own), and what makes them of a chain's config.
// Made by compile-listener for each accepted listener version; the connection walks them in order (network-filter.ts is their contract).

import type { FilterEnvironment } from '../../l7/filters/filter-environment.js'
import type { UpstreamFailures } from '../../l7/log/failure-log.js'
import { flagIsOn, type Runtime } from '../../l7/match/runtime-fraction.js'
import { DenialCounters } from '../../l7/rbac/denial-counters.js'
import { intentionTableOf } from '../../l7/rbac/intention-table.js'
import { type RbacDecider, rbacDecider } from '../../l7/rbac/rbac-decider.js'
import type { RbacInput } from '../../l7/rbac/rbac-input.js'
import { type ConnectionInfo, sourceOf } from '../../l7/stream/connection-info.js'
import { connectionLimitStats, type RbacStats, rbacStats } from '../../metrics/stat-names.js'
import type { StatsStore } from '../../metrics/stats-store.js'
import type { IntentionTable } from '../../model/intention.js'
import type { NetworkFilter } from '../../model/listener.js'
import type { RuntimeFlag } from '../../model/matcher.js'
import type { Metadata } from '../../model/metadata.js'
import type { RbacConfig } from '../../model/rbac.js'
import { NetworkExtAuthz } from './network-ext-authz.js'
import type { Denial, FilterState, PreFilter } from './network-filter.js'

const RBAC_METADATA = 'envoy.filters.network.rbac'

class NetworkRbac implements PreFilter {
  readonly name: string
  private readonly engine: RbacDecider | null
  private readonly shadow: RbacDecider | null
  private readonly stats: RbacStats
  /** Where shadow_rules_stat_prefix has them. */
  private readonly shadowStats: RbacStats
  private readonly denials: DenialCounters
  private readonly table: IntentionTable | null
  private readonly shadowDenials: UpstreamFailures | null
  private readonly shadowPrefix: string

  constructor(name: string, config: RbacConfig, store: StatsStore, listenerMetadata: Metadata, shadowDenials: UpstreamFailures | null) {
    this.name = name
    this.engine = rbacDecider(config.rules, config.matcher)
    this.shadow = rbacDecider(config.shadowRules, config.shadowMatcher)
    this.stats = rbacStats(store, config.statPrefix)
    this.shadowStats = config.shadowRulesStatPrefix === '' ? this.stats : rbacStats(store, config.statPrefix, config.shadowRulesStatPrefix)
    this.shadowPrefix = config.shadowRulesStatPrefix
    this.denials = new DenialCounters(this.stats)
    this.table = intentionTableOf(listenerMetadata)
    // What is in shadow is known by the table of our own control plane.
    this.shadowDenials = this.table === null ? null : shadowDenials
  }

  check(info: ConnectionInfo, state: FilterState): Denial | null {
    const input = { connection: info, head: null, info: null }
    const refusedInShadow = this.shadow !== null && !this.allowsInShadow(this.shadow, input, state)
    if (this.engine === null) return null
    const { allowed, policy } = this.engine.decide(input)
    if (allowed) {
      this.stats.main.allowed.value++
      if (refusedInShadow) this.sayShadow(info)
      return null
    }
    return this.denial(this.engine, input, policy)
  }

  /** The verdict is counted, and told in the log line. */
  private allowsInShadow(shadow: RbacDecider, input: RbacInput, { metadata }: FilterState): boolean {
    const { allowed, policy } = shadow.decide(input)
    if (allowed) this.shadowStats.main.shadow_allowed.value++
    else this.shadowStats.main.shadow_denied.value++
    const tell = (key: string, value: string) => metadata.push({ namespace: RBAC_METADATA, key: `${this.shadowPrefix}${key}`, value })
    if (policy !== null) tell('shadow_effective_policy_id', policy)
    tell('shadow_engine_result', allowed ? 'allowed' : 'denied')
    return allowed
  }

  private sayShadow(info: ConnectionInfo): void {
    const source = sourceOf(info)
    this.shadowDenials?.record(this.table?.destination ?? '', source, `in shadow: a connection of ${source} would be refused`)
  }

  recheck(info: ConnectionInfo): Denial | null {
    if (this.engine === null) return null
    const input = { connection: info, head: null, info: null }
    const { allowed, policy } = this.engine.decide(input)
    return allowed ? null : this.denial(this.engine, input, policy)
  }

  explain(info: ConnectionInfo): ReturnType<NonNullable<PreFilter['explain']>> {
    const input = { connection: info, head: null, info: null }
    const shadow = this.shadow === null ? '' : `; its shadow rules: ${this.shadow.tell(null, input).reason}`
    if (this.engine === null) return { allowed: true, rule: '', reason: `no rules are enforced${shadow}` }
    const { allowed, intention, reason } = this.engine.tell(this.table, input)
    return { allowed, rule: intention, reason: `${reason}${shadow}` }
  }

  private denial(engine: RbacDecider, input: RbacInput, policy: string | null): Denial {
    this.stats.main.denied.value++
    const { intention, reason } = engine.explain(this.table, input)
    const decider = this.table === null ? (policy ?? '') : intention
    if (this.table !== null || decider !== '') this.denials.count(decider)
    const name = decider === '' ? 'none' : decider.replace(/[^\x21-\x7e]+/g, '_')
    return { filter: this.name, reason, details: `rbac_access_denied_matched_policy[${name}]`, decider }
  }
}

class ConnectionLimit implements PreFilter {
  readonly name: string
  private active = 0
  private readonly max: number
  private readonly delayMs: number
  private readonly stats
  private readonly enabled: RuntimeFlag
  private readonly runtime: Runtime

  constructor(config: Extract<NetworkFilter, { kind: 'connectionLimit' }>, store: StatsStore, runtime: Runtime) {
    this.name = config.name
    this.max = config.maxConnections
    this.delayMs = config.delayMs
    this.stats = connectionLimitStats(store, config.statPrefix).main
    this.enabled = config.enabled
    this.runtime = runtime
  }

  check(_info: ConnectionInfo, state: FilterState): Denial | null {
    if (!flagIsOn(this.enabled, this.runtime)) return null
    if (this.active >= this.max) {
      this.stats.limited_connections.value++
      const reason = `connection_limit max_connections ${this.max} reached`
      return { filter: this.name, reason, details: '', decider: '', delayMs: this.delayMs }
    }
    this.active++
    this.stats.active_connections.value = this.active
    state.releases.push(() => {
      this.active--
      this.stats.active_connections.value = this.active
    })
    return null
  }
}

class LocalRateLimit implements PreFilter {
  readonly name: string
  private tokens: number
  private filledAt = performance.now()
  private readonly config: Extract<NetworkFilter, { kind: 'localRateLimit' }>
  private readonly limited
  private readonly runtime: Runtime

  constructor(config: Extract<NetworkFilter, { kind: 'localRateLimit' }>, store: StatsStore, runtime: Runtime) {
    this.name = config.name
    this.config = config
    this.tokens = config.maxTokens
    this.limited = store.counter(`local_rate_limit.${config.statPrefix}.rate_limited`)
    this.runtime = runtime
  }

  check(): Denial | null {
    if (!flagIsOn(this.config.enabled, this.runtime)) return null
    const { fillIntervalMs, tokensPerFill, maxTokens } = this.config
    const fills = Math.floor((performance.now() - this.filledAt) / fillIntervalMs)
    if (fills > 0) {
      this.tokens = Math.min(maxTokens, this.tokens + fills * tokensPerFill)
      this.filledAt += fills * fillIntervalMs
    }
    if (this.tokens < 1) {
      this.limited.value++
      const reason = `local_ratelimit: more than ${maxTokens} connections per ${fillIntervalMs} ms`
      return { filter: this.name, reason, details: '', decider: '' }
    }
    this.tokens--
    return null
  }
}

class SniCluster implements PreFilter {
  readonly name: string

  constructor(name: string) {
    this.name = name
  }

  explain(info: ConnectionInfo): ReturnType<NonNullable<PreFilter['explain']>> {
    const { requestedServerName: name } = info
    return {
      allowed: true,
      rule: '',
      reason: name === '' ? 'no server name: the cluster of the TCP proxy stays' : `the cluster is ${name}`,
    }
  }

  check(info: ConnectionInfo, state: FilterState): Denial | null {
    if (info.requestedServerName !== '') state.cluster = info.requestedServerName
    return null
  }
}

/** The pre-filters of a chain; the terminal filter is compile-listener's. */
export function compilePreFilters(
  filters: readonly NetworkFilter[],
  store: StatsStore,
  listenerMetadata: Metadata,
  { grpcClient, shadowDenials }: Pick<FilterEnvironment, 'grpcClient' | 'shadowDenials'>,
  runtime: Runtime,
): PreFilter[] {
  const compiled: PreFilter[] = []
  for (const filter of filters) {
    switch (filter.kind) {
      case 'rbac':
        compiled.push(new NetworkRbac(filter.name, filter.rbac, store, listenerMetadata, shadowDenials ?? null))
        break
      case 'connectionLimit':
        compiled.push(new ConnectionLimit(filter, store, runtime))
        break
      case 'localRateLimit':
        compiled.push(new LocalRateLimit(filter, store, runtime))
        break
      case 'extAuthz':
        compiled.push(new NetworkExtAuthz(filter, grpcClient, store))
        break
      case 'sniCluster':
        compiled.push(new SniCluster(filter.name))
        break
      case 'tcpProxy':
      case 'httpConnectionManager':
      case 'directResponse':
      case 'echo':
      case 'discovered':
        break
    }
  }
  return compiled
}
