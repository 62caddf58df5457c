// envoy.filters.http.rbac: may this peer make this request? The decision is rbac-engine.ts's; here it is carried out, counted and
// explained. HOT: one shared object per config, no allocation for a request that is allowed (bench/micro/rbac.bench.ts).

import type { Counter } from '../../metrics/stat.js'
import type { RbacHandles } from '../../metrics/stat-names.js'
import type { HttpFilterOverride } from '../../model/http-filter.js'
import type { IntentionTable } from '../../model/intention.js'
import { OUTRIGGER_METADATA } from '../../model/metadata.js'
import type { RbacConfig } from '../../model/rbac.js'
import type { RequestHead } from '../codec/codec.js'
import type { UpstreamFailures } from '../log/failure-log.js'
import { DenialCounters } from '../rbac/denial-counters.js'
import { intentionTableOf } from '../rbac/intention-table.js'
import { type RbacDecider, rbacDecider } from '../rbac/rbac-decider.js'
import type { RbacInput } from '../rbac/rbac-input.js'
import { type ConnectionInfo, sourceOf } from '../stream/connection-info.js'
import type { StreamInfo } from '../stream/stream-info.js'
import type { FilterContext } from './filter-environment.js'
import type { FilterCall, FilterExplanation, FilterFactory, FilterStatus, StreamFilter } from './http-filter.js'

const METADATA_NAMESPACE = 'envoy.filters.http.rbac'
const COMMON_NAMESPACE = 'envoy.common'

export function rbacFilter(name: string, disabled: boolean, config: RbacConfig, ctx: FilterContext): FilterFactory {
  const enforced = ctx.env.stats.rbac(config.rulesStatPrefix)
  const shadow = ctx.env.stats.rbac(config.shadowRulesStatPrefix)
  ctx.onRelease(() => {
    enforced.release()
    shadow.release()
  })
  const policies = new PolicyCounters(ctx)
  const table = intentionTableOf(ctx.env.listenerMetadata)
  const denials = new DenialCounters(enforced)
  const compile = (model: RbacConfig): RbacFilter | null =>
    model.rules === null && model.matcher === null && model.shadowRules === null && model.shadowMatcher === null
      ? null
      : new RbacFilter(model, table, enforced.main, shadow.main, denials, {
          policies: model === config && config.trackPerRuleStats ? policies : null,
          // What is in shadow is known by the table of our own control plane.
          shadowDenials: table === null ? null : (ctx.env.shadowDenials ?? null),
        })
  const own = compile(config)
  const byOverride = new WeakMap<HttpFilterOverride, RbacFilter>()
  return {
    name,
    disabled,
    create(call: FilterCall): StreamFilter | null {
      const override = call.overrideFor(name)
      if (override?.kind !== 'rbac') return own
      if (override.config === null) return null
      let filter = byOverride.get(override) ?? null
      if (filter === null) {
        // As in Envoy a route's rules speak under the filter's prefixes.
        const { rulesStatPrefix, shadowRulesStatPrefix } = config
        filter = compile({ ...override.config, rulesStatPrefix, shadowRulesStatPrefix })
        if (filter !== null) byOverride.set(override, filter)
      }
      return filter
    },
  }
}

/** track_per_rule_stats: `rbac.<prefix>policy.<name>.<result>`, each from its first use on; policies are as many as the config has. */
class PolicyCounters {
  private readonly ctx: FilterContext
  private readonly counters = new Map<string, Counter>()

  constructor(ctx: FilterContext) {
    this.ctx = ctx
  }

  count(prefix: string, policy: string, result: string): void {
    const dotted = prefix === '' || prefix.endsWith('.') ? prefix : `${prefix}.`
    const name = `${dotted}policy.${policy}.${result}`
    let counter = this.counters.get(name)
    if (counter === undefined) {
      counter = this.ctx.httpScope('rbac').counter(name)
      this.counters.set(name, counter)
    }
    counter.value++
  }
}

/** Refilled for each decision: decisions are synchronous and keep nothing of it. */
class RequestInput implements RbacInput {
  connection!: ConnectionInfo
  head: RequestHead | null = null
  info: StreamInfo | null = null
}

const input = new RequestInput()

class RbacFilter implements StreamFilter {
  private readonly config: RbacConfig
  private readonly table: IntentionTable | null
  private readonly engine: RbacDecider | null
  private readonly shadowEngine: RbacDecider | null
  private readonly stats: RbacHandles
  private readonly shadowStats: RbacHandles
  private readonly denials: DenialCounters
  private readonly policies: PolicyCounters | null
  private readonly shadowDenials: UpstreamFailures | null

  constructor(
    config: RbacConfig,
    table: IntentionTable | null,
    stats: RbacHandles,
    shadowStats: RbacHandles,
    denials: DenialCounters,
    { policies, shadowDenials }: { readonly policies: PolicyCounters | null; readonly shadowDenials: UpstreamFailures | null },
  ) {
    this.config = config
    this.table = table
    this.engine = rbacDecider(config.rules, config.matcher)
    this.shadowEngine = rbacDecider(config.shadowRules, config.shadowMatcher)
    this.stats = stats
    this.shadowStats = shadowStats
    this.denials = denials
    this.policies = policies
    this.shadowDenials = shadowDenials
  }

  requestHead(call: FilterCall, head: RequestHead): FilterStatus {
    const { info } = call
    input.connection = info.connection
    input.head = head
    input.info = info
    const refusedInShadow = this.shadowEngine !== null && !this.shadow(this.shadowEngine, info)
    if (this.engine === null) return 'continue'
    const { allowed, policy, logHint } = this.engine.decide(input)
    if (policy !== null) this.policies?.count(this.config.rulesStatPrefix, policy, allowed ? 'allowed' : 'denied')
    if (logHint !== undefined) info.setDynamicMetadata(COMMON_NAMESPACE, 'access_log_hint', logHint)
    if (allowed) {
      this.stats.allowed.value++
      if (refusedInShadow && this.shadowDenials !== null) this.sayShadow(this.shadowDenials, info, head)
      return 'continue'
    }
    this.deny(call, policy, this.engine)
    return 'stop'
  }

  explain({ info }: FilterCall, head: RequestHead): FilterExplanation {
    const asked: RbacInput = { connection: info.connection, head, info }
    const { engine, shadowEngine, table } = this
    const shadow = shadowEngine === null ? '' : `; its shadow rules: ${shadowEngine.tell(null, asked).reason}`
    if (engine === null) return { verdict: 'passes', reason: `no rules are enforced${shadow}` }
    const { allowed, intention, reason } = engine.tell(table, asked)
    return {
      verdict: allowed ? 'passes' : 'denies',
      reason: `${reason}${shadow}`,
      ...(intention === '' ? {} : { rule: intention }),
      ...(allowed ? {} : { status: 403 }),
    }
  }

  /** Its verdict is counted, and nothing else. */
  private shadow(engine: RbacDecider, info: StreamInfo): boolean {
    const { allowed, policy } = engine.decide(input)
    const prefix = this.config.shadowRulesStatPrefix
    if (allowed) this.shadowStats.shadow_allowed.value++
    else this.shadowStats.shadow_denied.value++
    if (policy !== null) this.policies?.count(prefix, policy, allowed ? 'shadow_allowed' : 'shadow_denied')
    if (policy !== null) info.setDynamicMetadata(METADATA_NAMESPACE, `${prefix}shadow_effective_policy_id`, policy)
    info.setDynamicMetadata(METADATA_NAMESPACE, `${prefix}shadow_engine_result`, allowed ? 'allowed' : 'denied')
    return allowed
  }

  private sayShadow(log: UpstreamFailures, { connection }: StreamInfo, { method, path }: RequestHead): void {
    const source = sourceOf(connection)
    const query = path.indexOf('?')
    const shown = query < 0 ? path : path.slice(0, query)
    log.record(this.table?.destination ?? '', source, `in shadow: ${method} ${shown} from ${source} would be refused`)
  }

  private deny(call: FilterCall, policy: string | null, engine: RbacDecider): void {
    const { info } = call
    this.stats.denied.value++
    const prefix = this.config.rulesStatPrefix
    if (policy !== null) info.setDynamicMetadata(METADATA_NAMESPACE, `${prefix}enforced_effective_policy_id`, policy)
    info.setDynamicMetadata(METADATA_NAMESPACE, `${prefix}enforced_engine_result`, 'denied')
    const { intention, reason } = engine.explain(this.table, input)
    // It may become a header value: names in the config are any Unicode text.
    info.deniedBy = reason.replace(/[^\x20-\x7e]/g, '?')
    info.setDynamicMetadata(OUTRIGGER_METADATA, 'denied_by', intention)
    info.setDynamicMetadata(OUTRIGGER_METADATA, 'denied_reason', reason)
    // With the intentions at hand their name says more than that of the policy made from them.
    const decider = this.table === null ? (policy ?? '') : intention
    // track_per_rule_stats has counted the policy of that name already.
    const counted = this.policies !== null && prefix === '' && decider === policy
    if (!counted && (this.table !== null || decider !== '')) this.denials.count(decider)
    const name = decider === '' ? 'none' : decider.replace(/[^\x21-\x7e]+/g, '_')
    call.sendReply(403, 'RBAC: access denied', `rbac_access_denied_matched_policy[${name}]`, 0)
  }
}
