// RetryPolicy, HedgePolicy and HashPolicy of routes (envoy.config.route.v3) -> model, with Envoy's defaults. Called by route.ts,
// route-action.ts and network-filters.ts.

import type { HashPolicy, HedgePolicy, RetryPolicy } from '../../model/route.js'
import {
  type HedgePolicy as HedgePolicyMessage,
  type RetryPolicy_RateLimitedRetryBackOff,
  RetryPolicy_ResetHeaderFormat,
  type RetryPolicy as RetryPolicyMessage,
  type RouteAction_HashPolicy,
} from '../gen/envoy/config/route/v3/route_components_pb.js'
import type { OmitHostMetadataConfig } from '../gen/envoy/extensions/retry/host/omit_host_metadata/v3/omit_host_metadata_config_pb.js'
import type { PreviousPrioritiesConfig } from '../gen/envoy/extensions/retry/priority/previous_priorities/v3/previous_priorities_config_pb.js'
import { describeType, unpackAny } from './any.js'
import type { Ctx } from './field-path.js'
import { decodeHeaderMatchers } from './matchers.js'
import { decodeMetadata, decodeRegexRewrite, durationMs, durationMsOr } from './values.js'

const BASE_INTERVAL_MS = 25
const RATE_LIMITED_MAX_MS = 300_000

export function decodeRetryPolicy(policy: RetryPolicyMessage | undefined, ctx: Ctx): RetryPolicy | null {
  if (policy === undefined) return null
  const backOff = policy.retryBackOff
  // Envoy's timers count whole milliseconds: an interval below one is one.
  const base = Math.max(durationMsOr(backOff?.baseInterval, BASE_INTERVAL_MS), 1)
  const max = Math.max(durationMsOr(backOff?.maxInterval, base * 10), 1)
  if (max < base) ctx.at('retry_back_off').at('max_interval').error('must be greater than or equal to the base_interval')
  return {
    retryOn: policy.retryOn
      .split(',')
      .map(token => token.trim().toLowerCase())
      .filter(token => token !== ''),
    numRetries: policy.numRetries ?? 1,
    perTryTimeoutMs: durationMsOr(policy.perTryTimeout, null),
    perTryIdleTimeoutMs: durationMsOr(policy.perTryIdleTimeout, null),
    retriableStatusCodes: policy.retriableStatusCodes,
    retriableHeaders: decodeHeaderMatchers(policy.retriableHeaders, ctx, 'retriable_headers'),
    retriableRequestHeaders: decodeHeaderMatchers(policy.retriableRequestHeaders, ctx, 'retriable_request_headers'),
    baseIntervalMs: base,
    maxIntervalMs: max,
    rateLimitedBackoff: decodeRateLimitedBackOff(policy.rateLimitedRetryBackOff),
    ...decodeHostPredicates(policy, ctx),
    avoidPreviousPrioritiesEvery: decodeRetryPriority(policy, ctx),
    hostSelectionMaxAttempts: Math.max(Number(policy.hostSelectionRetryMaxAttempts), 1),
  }
}

function decodeRateLimitedBackOff(backOff: RetryPolicy_RateLimitedRetryBackOff | undefined): RetryPolicy['rateLimitedBackoff'] {
  if (backOff === undefined) return null
  return {
    headers: backOff.resetHeaders.map(header => ({
      name: header.name.toLowerCase(),
      format: header.format === RetryPolicy_ResetHeaderFormat.UNIX_TIMESTAMP ? 'UNIX_TIMESTAMP' : 'SECONDS',
    })),
    maxIntervalMs: durationMsOr(backOff.maxInterval, RATE_LIMITED_MAX_MS),
  }
}

function decodeHostPredicates(
  policy: RetryPolicyMessage,
  ctx: Ctx,
): Pick<RetryPolicy, 'avoidPreviousHosts' | 'omitCanaryHosts' | 'omitHostMetadata'> {
  let avoidPreviousHosts = false
  let omitCanaryHosts = false
  let omitHostMetadata: RetryPolicy['omitHostMetadata'] = null
  policy.retryHostPredicate.forEach((predicate, i) => {
    const at = ctx.at('retry_host_predicate', i).at('typed_config')
    if (predicate.configType.case === undefined) {
      at.error(`retry host predicate '${predicate.name}' has no typed_config`)
      return
    }
    const { typeName, typeUrl, message, known } = unpackAny(predicate.configType.value, at)
    switch (typeName) {
      case 'envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate':
        avoidPreviousHosts = true
        break
      case 'envoy.extensions.retry.host.omit_canary_hosts.v3.OmitCanaryHostsPredicate':
        omitCanaryHosts = true
        break
      case 'envoy.extensions.retry.host.omit_host_metadata.v3.OmitHostMetadataConfig':
        if (message !== null) omitHostMetadata = decodeMetadata((message as OmitHostMetadataConfig).metadataMatch)
        break
      default:
        if (message !== null || !known) at.error(`unknown retry host predicate '${predicate.name}' (${describeType(typeUrl)})`)
    }
  })
  return { avoidPreviousHosts, omitCanaryHosts, omitHostMetadata }
}

function decodeRetryPriority(policy: RetryPolicyMessage, ctx: Ctx): number | null {
  const priority = policy.retryPriority
  if (priority === undefined) return null
  const at = ctx.at('retry_priority').at('typed_config')
  if (priority.configType.case === undefined) {
    at.error(`retry priority '${priority.name}' has no typed_config`)
    return null
  }
  const { typeName, typeUrl, message, known } = unpackAny(priority.configType.value, at)
  if (typeName === 'envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig') {
    return message === null ? null : (message as PreviousPrioritiesConfig).updateFrequency
  }
  if (message !== null || !known) at.error(`unknown retry priority '${priority.name}' (${describeType(typeUrl)})`)
  return null
}

export function decodeHedgePolicy(policy: HedgePolicyMessage | undefined): HedgePolicy | null {
  if (policy === undefined) return null
  return { hedgeOnPerTryTimeout: policy.hedgeOnPerTryTimeout }
}

export function decodeHashPolicies(policies: readonly RouteAction_HashPolicy[], ctx: Ctx, field: string): HashPolicy[] {
  const out: HashPolicy[] = []
  policies.forEach((policy, i) => {
    const at = ctx.at(field, i)
    const { terminal, policySpecifier: specifier } = policy
    switch (specifier.case) {
      case 'header': {
        const { headerName, regexRewrite } = specifier.value
        out.push({
          kind: 'header',
          name: headerName.toLowerCase(),
          regexRewrite: regexRewrite === undefined ? null : decodeRegexRewrite(regexRewrite, at.at('header').at('regex_rewrite')),
          terminal,
        })
        break
      }
      case 'cookie': {
        const { name, path, ttl } = specifier.value
        const ttlSeconds = ttl === undefined ? null : Math.trunc(durationMs(ttl) / 1000)
        const attributes = specifier.value.attributes.map(({ name, value }) => ({ name, value }))
        out.push({ kind: 'cookie', name, path, ttlSeconds, attributes, terminal })
        break
      }
      case 'connectionProperties':
        // Without source_ip the entry asks for nothing; Envoy then builds no hash method from it.
        if (specifier.value.sourceIp) out.push({ kind: 'sourceIp', terminal })
        break
      case 'queryParameter':
        out.push({ kind: 'queryParameter', name: specifier.value.name, terminal })
        break
      case 'filterState':
        out.push({ kind: 'filterState', key: specifier.value.key, terminal })
        break
      default:
        break // the missing oneof has been reported
    }
  })
  return out
}
