// envoy.config.route.v3.RouteConfiguration -> RouteTable. Called by decode.ts (RDS) and http-connection-manager.ts (inline tables).
// Keeps config order: the first match wins. Domains are checked for duplicates across the whole table, as Envoy does.

import { finish, type Steps } from '../../io/slices.js'
import type { HttpFilterOverride } from '../../model/http-filter.js'
import type { Route, RouteAction, RouteTable, VirtualHost } from '../../model/route.js'
import {
  type CorsPolicy,
  type Route as RouteMessage,
  VirtualHost_TlsRequirementTypeSchema,
  type VirtualHost as VirtualHostMessage,
} from '../gen/envoy/config/route/v3/route_components_pb.js'
import type { RouteConfiguration } from '../gen/envoy/config/route/v3/route_pb.js'
import { decodeConfigSource } from './config-source.js'
import type { Ctx } from './field-path.js'
import { decodeHeaderMutations } from './header-mutations.js'
import { CORS_FILTER_NAME, decodeFilterOverrides } from './http-filter-override.js'
import { decodeRouteCors } from './http-filters/cors.js'
import { decodeHeaderMatchers } from './matchers.js'
import { decodeRateLimits } from './rate-limit-action.js'
import { decodeRedirect } from './redirect-action.js'
import { decodeHedgePolicy, decodeRetryPolicy } from './retry-policy.js'
import { decodeDirectResponse, decodeForwardAction, decodeMirrors } from './route-action.js'
import { decodeRouteMatch } from './route-match.js'
import { decodeRouteMatcher } from './route-matcher.js'
import { decodeDecorator, decodeRouteTracing } from './tracing.js'
import { decodeMetadata, enumName } from './values.js'

const DEFAULT_DIRECT_RESPONSE_BYTES = 4096

export function decodeRouteTable(config: RouteConfiguration, ctx: Ctx, needsName: boolean): RouteTable {
  return finish(decodeRouteTableInSteps(config, wholeHosts(config), ctx, needsName))
}

/** A virtual host and its routes, which may be parsed one after the other as they are asked for. */
export interface HostMessages {
  readonly host: VirtualHostMessage
  readonly routes: Iterable<RouteMessage>
}

function* wholeHosts({ virtualHosts }: RouteConfiguration): Iterable<HostMessages> {
  for (const host of virtualHosts) yield { host, routes: host.routes }
}

/** The same with pauses, a route at a time. `hosts` instead of those in `config`. */
export function* decodeRouteTableInSteps(
  config: RouteConfiguration,
  hosts: Iterable<HostMessages>,
  ctx: Ctx,
  needsName: boolean,
): Steps<RouteTable> {
  if (needsName && config.name === '') ctx.at('name').error('value length must be at least 1 characters')
  // Zero is no limit.
  const maxBody = (config.maxDirectResponseBodySizeBytes ?? DEFAULT_DIRECT_RESPONSE_BYTES) || Number.POSITIVE_INFINITY
  const virtualHosts: VirtualHost[] = []
  const domains: (readonly string[])[] = []
  for (const messages of hosts) {
    domains.push(messages.host.domains)
    virtualHosts.push(yield* decodeVirtualHost(messages, ctx.at('virtual_hosts', virtualHosts.length), maxBody))
    yield
  }
  checkDomains(config.name, domains, ctx)
  return {
    name: config.name,
    virtualHosts,
    mutations: decodeHeaderMutations(config, ctx),
    mostSpecificHeaderMutationsWins: config.mostSpecificHeaderMutationsWins,
    internalOnlyHeaders: config.internalOnlyHeaders.map(name => name.toLowerCase()),
    // Envoy's default: checked for inline tables, not for RDS, where the cluster may come later.
    validateClusters: config.validateClusters ?? !needsName,
    ignorePortInHostMatching: config.ignorePortInHostMatching,
    ignorePathParametersInPathMatching: config.ignorePathParametersInPathMatching,
    overrides: decodeFilterOverrides(config.typedPerFilterConfig, ctx),
    mirrors: decodeMirrors(config.requestMirrorPolicies, ctx),
    ...decodeVhds(config, ctx.at('vhds').at('config_source'), needsName),
  }
}

/** Virtual hosts have no other form than delta, and belong to a table that comes over RDS, as in Envoy. */
function decodeVhds({ vhds }: RouteConfiguration, ctx: Ctx, isDynamic: boolean): Pick<RouteTable, 'vhds'> {
  if (vhds === undefined) return {}
  if (!isDynamic) ctx.error('only a table that comes over RDS may take virtual hosts from VHDS')
  const source = decodeConfigSource(vhds.configSource, ctx)
  if (source === null) return {}
  if (source.kind !== 'ads' && !(source.kind === 'api' && source.api.apiType === 'DELTA_GRPC'))
    ctx.error("vhds: only 'DELTA_GRPC' is supported as an api_type")
  return { vhds: source }
}

/** VHDS: a virtual host by itself. */
export function decodeVirtualHostMessage(host: VirtualHostMessage, ctx: Ctx): VirtualHost {
  return finish(decodeVirtualHost({ host, routes: host.routes }, ctx, DEFAULT_DIRECT_RESPONSE_BYTES))
}

/** `hosts`: the domains of each. */
function checkDomains(table: string, hosts: readonly (readonly string[])[], ctx: Ctx): void {
  const domains = new Set<string>()
  hosts.forEach((texts, i) => {
    const at = ctx.at('virtual_hosts', i)
    texts.forEach((raw, j) => {
      const domain = raw.toLowerCase()
      if (domains.has(domain)) {
        const reason =
          domain === '*'
            ? 'only a single wildcard domain is permitted'
            : `only unique values for domains are permitted: duplicate entry '${raw}'`
        at.at('domains', j).error(`${reason} in route '${table}'`)
      }
      domains.add(domain)
    })
  })
}

function* decodeVirtualHost({ host, routes: messages }: HostMessages, ctx: Ctx, maxBody: number): Steps<VirtualHost> {
  const routes: Route[] = []
  for (const message of messages) {
    routes.push(decodeRoute(message, ctx.at('routes', routes.length), maxBody))
    yield
  }
  let matcher: VirtualHost['matcher']
  if (host.matcher !== undefined) {
    const at = ctx.at('matcher')
    if (routes.length > 0) at.error('cannot set both matcher and routes on virtual host')
    const matched = decodeRouteMatcher(host.matcher, at, (message, place) => decodeRoute(message, place, maxBody))
    routes.push(...matched.routes)
    matcher = matched.matcher
  }
  return {
    name: host.name,
    domains: host.domains.map(domain => domain.toLowerCase()),
    routes,
    ...(matcher === undefined ? {} : { matcher }),
    requireTls: enumName(VirtualHost_TlsRequirementTypeSchema, host.requireTls) as VirtualHost['requireTls'],
    mutations: decodeHeaderMutations(host, ctx),
    retry: decodeRetryPolicy(host.retryPolicy, ctx.at('retry_policy')),
    hedge: decodeHedgePolicy(host.hedgePolicy),
    mirrors: decodeMirrors(host.requestMirrorPolicies, ctx),
    rateLimits: decodeRateLimits(host.rateLimits, ctx, 'rate_limits'),
    includeRequestAttemptCount: host.includeRequestAttemptCount,
    includeAttemptCountInResponse: host.includeAttemptCountInResponse,
    overrides: withRouteCors(decodeFilterOverrides(host.typedPerFilterConfig, ctx), host.cors, ctx.at('cors')),
    virtualClusters: host.virtualClusters.map((cluster, i) => {
      const at = ctx.at('virtual_clusters', i)
      if (cluster.headers.length === 0) at.at('headers').error("virtual clusters must define 'headers'")
      return { name: cluster.name, headers: decodeHeaderMatchers(cluster.headers, at, 'headers') }
    }),
    metadata: decodeMetadata(host.metadata),
  }
}

/** The deprecated `cors` field of a virtual host or route is a per-filter config under the filter's usual name. */
function withRouteCors(
  overrides: ReadonlyMap<string, HttpFilterOverride>,
  cors: CorsPolicy | undefined,
  ctx: Ctx,
): ReadonlyMap<string, HttpFilterOverride> {
  if (cors === undefined || overrides.has(CORS_FILTER_NAME)) return overrides
  return new Map([...overrides, [CORS_FILTER_NAME, { disabled: false, kind: 'cors', config: decodeRouteCors(cors, ctx) }]])
}

function decodeRoute(route: RouteMessage, ctx: Ctx, maxBody: number): Route {
  const cors = route.action.case === 'route' ? route.action.value.cors : undefined
  return {
    name: route.name,
    match: decodeRouteMatch(route.match, ctx.at('match')),
    action: decodeAction(route, ctx, maxBody),
    mutations: decodeHeaderMutations(route, ctx),
    metadata: decodeMetadata(route.metadata),
    overrides: withRouteCors(decodeFilterOverrides(route.typedPerFilterConfig, ctx), cors, ctx.at('route').at('cors')),
    statPrefix: route.statPrefix,
    ...(route.tracing === undefined ? {} : { tracing: decodeRouteTracing(route.tracing, ctx.at('tracing')) }),
    ...(route.decorator === undefined ? {} : { decorator: decodeDecorator(route.decorator) }),
  }
}

function decodeAction(route: RouteMessage, ctx: Ctx, maxBody: number): RouteAction {
  const action = route.action
  switch (action.case) {
    case 'route':
      return decodeForwardAction(action.value, route.match, ctx.at('route'))
    case 'redirect':
      return decodeRedirect(action.value, ctx.at('redirect'))
    case 'directResponse':
      return decodeDirectResponse(action.value, ctx.at('direct_response'), maxBody)
    case 'nonForwardingAction':
      return { kind: 'nonForwarding' }
    default:
      return { kind: 'nonForwarding' } // the stand-in for a missing action, which has been reported
  }
}
