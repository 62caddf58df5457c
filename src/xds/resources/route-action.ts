// What a route does with a request (RouteAction, DirectResponseAction of envoy.config.route.v3) -> model.
// Called by route.ts. Timeouts keep the difference between absent (null) and 0 (off): the runtime fills in Envoy's 15 s.

import type { ClusterSpecifier, DirectResponseAction, ForwardAction, MirrorPolicy } from '../../model/route.js'
import { RoutingPriority } from '../gen/envoy/config/core/v3/base_pb.js'
import {
  type DirectResponseAction as DirectResponseActionMessage,
  type RouteAction,
  RouteAction_ClusterNotFoundResponseCode,
  type RouteAction_RequestMirrorPolicy,
  type RouteMatch,
  type WeightedCluster,
} from '../gen/envoy/config/route/v3/route_components_pb.js'
import { readDataSource } from './data-source.js'
import { Ctx, ErrorCollector } from './field-path.js'
import { checkFormat, modernFormat } from './format-string.js'
import { decodeHeaderMutations } from './header-mutations.js'
import { decodeFilterOverrides } from './http-filter-override.js'
import { decodeInternalRedirect } from './internal-redirect.js'
import { decodeRateLimits } from './rate-limit-action.js'
import { decodeHashPolicies, decodeHedgePolicy, decodeRetryPolicy } from './retry-policy.js'
import { decodeTemplateMatch, decodeTemplateRewrite } from './uri-template.js'
import { decodeMetadata, decodeRegexRewrite, decodeRuntimeFraction, durationMsOr } from './values.js'

const MAX_UINT32 = 0xffff_ffff

const NOT_FOUND_STATUS: Record<RouteAction_ClusterNotFoundResponseCode, 404 | 500 | 503> = {
  [RouteAction_ClusterNotFoundResponseCode.SERVICE_UNAVAILABLE]: 503,
  [RouteAction_ClusterNotFoundResponseCode.NOT_FOUND]: 404,
  [RouteAction_ClusterNotFoundResponseCode.INTERNAL_SERVER_ERROR]: 500,
}

/** `match` is the route's: a path template may be what a rewrite refers to. */
export function decodeForwardAction(action: RouteAction, match: RouteMatch | undefined, ctx: Ctx): ForwardAction {
  const rewrites = [action.prefixRewrite !== '', action.regexRewrite !== undefined, action.pathRewritePolicy !== undefined]
  if ([...rewrites, action.pathRewrite !== ''].filter(Boolean).length > 1) {
    const at = ctx.at(action.regexRewrite !== undefined ? 'regex_rewrite' : 'path_rewrite')
    at.error('only one of prefix_rewrite, regex_rewrite, path_rewrite_policy and path_rewrite may be set')
  }
  checkFormat(action.pathRewrite, ctx.at('path_rewrite'))
  const duration = action.maxStreamDuration
  return {
    kind: 'forward',
    cluster: decodeClusterSpecifier(action, ctx),
    clusterNotFoundStatus: NOT_FOUND_STATUS[action.clusterNotFoundResponseCode] ?? 503,
    metadataMatch: action.metadataMatch === undefined ? null : decodeMetadata(action.metadataMatch),
    prefixRewrite: action.prefixRewrite,
    regexRewrite: decodePathRegex(action, match, ctx),
    pathFormat: modernFormat(action.pathRewrite),
    hostRewrite: decodeHostRewrite(action, ctx),
    appendXForwardedHost: action.appendXForwardedHost,
    timeoutMs: durationMsOr(action.timeout, null),
    idleTimeoutMs: durationMsOr(action.idleTimeout, null),
    maxStreamDurationMs: durationMsOr(duration?.maxStreamDuration, null),
    grpcTimeoutHeaderMaxMs: durationMsOr(duration?.grpcTimeoutHeaderMax, null),
    grpcTimeoutHeaderOffsetMs: durationMsOr(duration?.grpcTimeoutHeaderOffset, null),
    maxGrpcTimeoutMs: durationMsOr(action.maxGrpcTimeout, null),
    grpcTimeoutOffsetMs: durationMsOr(action.grpcTimeoutOffset, null),
    retry: decodeRetryPolicy(action.retryPolicy, ctx.at('retry_policy')),
    hedge: decodeHedgePolicy(action.hedgePolicy),
    mirrors: decodeMirrors(action.requestMirrorPolicies, ctx),
    priority: action.priority === RoutingPriority.HIGH ? 'HIGH' : 'DEFAULT',
    hashPolicy: decodeHashPolicies(action.hashPolicy, ctx, 'hash_policy'),
    upgrades: decodeUpgrades(action, ctx),
    rateLimits: decodeRateLimits(action.rateLimits, ctx, 'rate_limits'),
    includeVhRateLimits: action.includeVhRateLimits ?? false,
    internalRedirect: decodeInternalRedirect(action, ctx),
  }
}

function decodeUpgrades(action: RouteAction, ctx: Ctx): ForwardAction['upgrades'] {
  const seen = new Set<string>()
  return action.upgradeConfigs.map((upgrade, i) => {
    const upgradeType = upgrade.upgradeType.toLowerCase()
    if (seen.has(upgradeType)) ctx.at('upgrade_configs', i).at('upgrade_type').error(`duplicate upgrade ${upgrade.upgradeType}`)
    seen.add(upgradeType)
    if (upgrade.connectConfig !== undefined && upgradeType !== 'connect') {
      ctx.at('upgrade_configs', i).at('connect_config').error('non-CONNECT upgrade type has connect_config')
    }
    return { upgradeType, enabled: upgrade.enabled ?? true, connect: upgrade.connectConfig !== undefined }
  })
}

function decodeClusterSpecifier(action: RouteAction, ctx: Ctx): ClusterSpecifier {
  const specifier = action.clusterSpecifier
  switch (specifier.case) {
    case 'cluster':
      return { kind: 'cluster', name: specifier.value }
    case 'clusterHeader':
      return { kind: 'clusterHeader', header: specifier.value.toLowerCase() }
    case 'weightedClusters':
      return decodeWeightedClusters(specifier.value, ctx.at('weighted_clusters'))
    default:
      return { kind: 'cluster', name: '' } // the missing oneof, or a plugin: reported
  }
}

/** Envoy uses the actual sum: `total_weight` is deprecated and, where Consul's truncated weights sum to 9999, would be wrong. */
function decodeWeightedClusters(weighted: WeightedCluster, ctx: Ctx): ClusterSpecifier {
  const clusters = weighted.clusters.map((cluster, i) => {
    const at = ctx.at('clusters', i)
    if (cluster.name !== '' && cluster.clusterHeader !== '') at.error('only one of name and cluster_header may be set')
    if (cluster.name === '' && cluster.clusterHeader === '') at.error('one of name and cluster_header is required')
    if (cluster.weight === undefined) at.at('weight').error('value is required')
    return {
      name: cluster.name,
      clusterHeader: cluster.clusterHeader.toLowerCase(),
      weight: cluster.weight ?? 0,
      mutations: decodeHeaderMutations(cluster, at),
      metadataMatch: cluster.metadataMatch === undefined ? null : decodeMetadata(cluster.metadataMatch),
      hostRewrite: cluster.hostRewriteSpecifier.case === 'hostRewriteLiteral' ? cluster.hostRewriteSpecifier.value : '',
      overrides: decodeFilterOverrides(cluster.typedPerFilterConfig, at),
    }
  })
  const totalWeight = clusters.reduce((sum, cluster) => sum + cluster.weight, 0)
  if (clusters.length > 0 && totalWeight === 0) ctx.error('sum of weights in the weighted_cluster must be greater than 0')
  if (totalWeight > MAX_UINT32) ctx.error(`the sum of weights of all weighted clusters exceeds ${MAX_UINT32}`)
  if (weighted.totalWeight !== undefined && weighted.totalWeight !== totalWeight) {
    ctx.at('total_weight').warn(`ignored: the weights sum to ${totalWeight}`)
  }
  const random = weighted.randomValueSpecifier
  return {
    kind: 'weighted',
    clusters,
    totalWeight,
    randomValueHeader: random.case === 'headerName' ? random.value.toLowerCase() : '',
    useHashPolicy: weighted.useHashPolicy ?? false,
  }
}

function decodePathRegex(action: RouteAction, match: RouteMatch | undefined, ctx: Ctx): ForwardAction['regexRewrite'] {
  if (action.regexRewrite !== undefined) return decodeRegexRewrite(action.regexRewrite, ctx.at('regex_rewrite'))
  if (action.pathRewritePolicy === undefined) return null
  const at = ctx.at('path_rewrite_policy')
  const path = match?.pathSpecifier
  if (path?.case !== 'pathMatchPolicy') {
    at.error('a path template to rewrite by needs a path_match_policy in the match')
    return null
  }
  // What is wrong with the match has been reported there.
  const template = decodeTemplateMatch(path.value.typedConfig, new Ctx(new ErrorCollector()))
  if (template === null) return null
  const substitution = decodeTemplateRewrite(action.pathRewritePolicy.typedConfig, template, at.at('typed_config'))
  return substitution === null ? null : { pattern: `^${template.pattern}$`, substitution }
}

function decodeHostRewrite(action: RouteAction, ctx: Ctx): ForwardAction['hostRewrite'] {
  const specifier = action.hostRewriteSpecifier
  if (action.hostRewrite !== '') {
    if (specifier.case !== undefined) ctx.at('host_rewrite').error('only one kind of host rewrite may be set')
    checkFormat(action.hostRewrite, ctx.at('host_rewrite'))
    return { kind: 'format', value: modernFormat(action.hostRewrite), regex: null }
  }
  switch (specifier.case) {
    case 'hostRewriteLiteral':
      return specifier.value === '' ? null : { kind: 'literal', value: specifier.value, regex: null }
    case 'hostRewriteHeader':
      return { kind: 'header', value: specifier.value.toLowerCase(), regex: null }
    case 'autoHostRewrite':
      return specifier.value.value ? { kind: 'auto', value: '', regex: null } : null
    case 'hostRewritePathRegex':
      return { kind: 'pathRegex', value: '', regex: decodeRegexRewrite(specifier.value, ctx.at('host_rewrite_path_regex')) }
    default:
      return null
  }
}

export function decodeMirrors(policies: readonly RouteAction_RequestMirrorPolicy[], ctx: Ctx): MirrorPolicy[] {
  return policies.map((policy, i) => {
    const at = ctx.at('request_mirror_policies', i)
    if (policy.cluster !== '' && policy.clusterHeader !== '') at.error('only one of cluster and cluster_header may be set')
    if (policy.cluster === '' && policy.clusterHeader === '') at.error('one of cluster and cluster_header is required')
    return {
      cluster: policy.cluster,
      clusterHeader: policy.clusterHeader.toLowerCase(),
      fraction: policy.runtimeFraction === undefined ? null : decodeRuntimeFraction(policy.runtimeFraction),
      disableShadowHostSuffix: policy.disableShadowHostSuffixAppend,
    }
  })
}

/** `maxBodyBytes`: the table's max_direct_response_body_size_bytes. */
export function decodeDirectResponse(action: DirectResponseActionMessage, ctx: Ctx, maxBodyBytes: number): DirectResponseAction {
  const body = readDataSource(action.body, ctx.at('body'))
  if (body !== null && body.length > maxBodyBytes) {
    ctx.at('body').error(`response body of ${body.length} bytes exceeds max_direct_response_body_size_bytes, ${maxBodyBytes}`)
  }
  return { kind: 'directResponse', status: action.status, body: body === null ? '' : Buffer.from(body).toString('latin1') }
}
