// From the HTTP filters of a connection manager's config to factories in the same order, without the router, whose settings go to the
// request path. Called by proxy/listener/compile-listener once per accepted config; calls one file per filter.

import type { FilterMatchAction, HttpFilter, HttpFilterConfig, PlainFilterConfig, RouterConfig } from '../../model/http-filter.js'
import { actionsOf } from '../match/match-tree.js'
import { apiKeyAuthFilter } from './api-key-auth.js'
import { bandwidthLimitFilter } from './bandwidth-limit.js'
import { basicAuthFilter } from './basic-auth.js'
import { bufferFilter } from './buffer.js'
import type { Encoding } from './compressor/accept-encoding.js'
import { compressorFilter, encodingOf } from './compressor/compressor.js'
import { corsFilter } from './cors.js'
import { credentialInjectorFilter } from './credential-injector.js'
import { csrfFilter } from './csrf.js'
import { customFilter } from './custom/guarded-filter.js'
import { customResponseFilter } from './custom-response.js'
import { decompressorFilter } from './decompressor/decompressor.js'
import { DiscoveredFilter } from './discovered-filter.js'
import { extAuthzFilter } from './ext-authz/ext-authz.js'
import { extProcFilter } from './ext-proc/ext-proc.js'
import { faultFilter } from './fault.js'
import { FilterContext, type FilterEnvironment } from './filter-environment.js'
import { grpcHttp1BridgeFilter } from './grpc-http1-bridge.js'
import { grpcStatsFilter } from './grpc-stats.js'
import { grpcWebFilter } from './grpc-web.js'
import { headerMutationFilter } from './header-mutation.js'
import { headerToMetadataFilter } from './header-to-metadata.js'
import { healthCheckFilter } from './health-check.js'
import type { FilterFactory } from './http-filter.js'
import { jsonToMetadataFilter } from './json-to-metadata.js'
import { jwtAuthnFilter } from './jwt/jwt-authn.js'
import { localRateLimitFilter } from './local-rate-limit.js'
import { matchedFilters } from './matched-filter.js'
import { oauth2Filter } from './oauth2/oauth2.js'
import { onDemandFilter } from './on-demand.js'
import { rateLimitFilter } from './rate-limit/rate-limit.js'
import { rbacFilter } from './rbac.js'
import { setFilterStateFilter, setMetadataFilter } from './set-metadata.js'
import { statefulSessionFilter } from './stateful-session/stateful-session.js'

export type { FilterEnvironment } from './filter-environment.js'

/** The router's; swapped where it comes over ECDS. */
export interface RouterSettings {
  current: RouterConfig
}

export interface CompiledFilters {
  /** In config order. */
  readonly factories: FilterFactory[]
  readonly router: RouterSettings
  /** Ends the filters' stats and timers; requests under way go on. */
  release(): void
}

/** Envoy's defaults, for a chain without a router (which validation refuses). */
const DEFAULT_ROUTER: RouterConfig = {
  dynamicStats: true,
  startChildSpan: false,
  suppressEnvoyHeaders: false,
  respectExpectedRqTimeout: false,
  strictCheckHeaders: [],
}

export function compileFilters(filters: readonly HttpFilter[], env: FilterEnvironment): CompiledFilters {
  const ctx = new FilterContext(env)
  const router: RouterSettings = { current: DEFAULT_ROUTER }
  const encodings = filters.flatMap(offeredBy)
  const factories: FilterFactory[] = []
  for (const filter of filters) {
    if (filter.kind === 'router') router.current = filter.config
    else if (filter.kind === 'matched') factories.push(...compileMatched(filter, encodings, ctx))
    else if (filter.kind === 'discovered') factories.push(compileDiscovered(filter, encodings, router, ctx))
    else factories.push(compileFilter(filter, encodings, ctx))
  }
  return { factories, router, release: () => ctx.release() }
}

function offeredBy(filter: HttpFilter | HttpFilterConfig): Encoding[] {
  const encoding = filter.kind === 'compressor' ? encodingOf(filter.config) : null
  return encoding === null ? [] : [encoding]
}

function compileDiscovered(
  { name, disabled, discovery }: Extract<HttpFilter, { kind: 'discovered' }>,
  encodings: readonly Encoding[],
  router: RouterSettings,
  ctx: FilterContext,
): FilterFactory {
  const { env } = ctx
  const discovered = new DiscoveredFilter(name, disabled, discovery, filter => {
    if (filter.kind === 'router') {
      router.current = filter.config
      return { factory: null, release: () => {} }
    }
    const own = new FilterContext(env)
    const all = [...encodings, ...offeredBy(filter)]
    const named = { ...filter, name, disabled } as NamedFilter
    return { factory: compileFilter(named, all, own), release: () => own.release() }
  })
  env.filterConfigs.hold('http', name, discovery, discovered)
  ctx.onRelease(() => {
    env.filterConfigs.drop('http', name, discovered)
    discovered.release()
  })
  return discovered
}

function compileMatched(
  { name, disabled, tree, filter }: Extract<HttpFilter, { kind: 'matched' }>,
  encodings: readonly Encoding[],
  ctx: FilterContext,
): FilterFactory[] {
  // What routes say of the filter is said under the name that it has in the chain.
  const compile = (config: PlainFilterConfig): FilterFactory => {
    const all = [...encodings, ...offeredBy(config)]
    return compileFilter({ ...config, name, disabled: false } as NamedFilter, all, ctx)
  }
  const runs = new Set<FilterMatchAction>(tree === null ? [] : actionsOf(tree))
  return matchedFilters(
    name,
    disabled,
    tree,
    filter === null ? [] : [compile(filter)],
    [...runs].map(action => ({ action, filters: action.kind === 'run' ? action.filters.map(compile) : [] })),
    ctx,
  )
}

type NamedFilter = Exclude<HttpFilter, { kind: 'router' | 'discovered' | 'matched' }>

function compileFilter(filter: NamedFilter, encodings: readonly Encoding[], ctx: FilterContext): FilterFactory {
  const { name, disabled } = filter
  switch (filter.kind) {
    case 'rbac':
      return rbacFilter(name, disabled, filter.config, ctx)
    case 'jwtAuthn':
      return jwtAuthnFilter(name, disabled, filter.config, ctx)
    case 'extAuthz':
      return extAuthzFilter(name, disabled, filter.config, ctx)
    case 'extProc':
      return extProcFilter(name, disabled, filter.config, ctx)
    case 'fault':
      return faultFilter(name, disabled, filter.config, ctx)
    case 'cors':
      return corsFilter(name, disabled, ctx)
    case 'csrf':
      return csrfFilter(name, disabled, filter.config, ctx)
    case 'basicAuth':
      return basicAuthFilter(name, disabled, filter.config, ctx)
    case 'apiKeyAuth':
      return apiKeyAuthFilter(name, disabled, filter.config, ctx)
    case 'buffer':
      return bufferFilter(name, disabled, filter.config.maxRequestBytes)
    case 'localRateLimit':
      return localRateLimitFilter(name, disabled, filter.config, ctx)
    case 'rateLimit':
      return rateLimitFilter(name, disabled, filter.config, ctx)
    case 'headerToMetadata':
      return headerToMetadataFilter(name, disabled, filter.config)
    case 'headerMutation':
      return headerMutationFilter(name, disabled, filter)
    case 'bandwidthLimit':
      return bandwidthLimitFilter(name, disabled, filter.config, ctx)
    case 'customResponse':
      return customResponseFilter(name, disabled, filter.config, ctx)
    case 'oauth2':
      return oauth2Filter(name, disabled, filter.config, ctx)
    case 'credentialInjector':
      return credentialInjectorFilter(name, disabled, filter.config, ctx)
    case 'setMetadata':
      return setMetadataFilter(name, disabled, filter.config, ctx)
    case 'setFilterState':
      return setFilterStateFilter(name, disabled, filter.config)
    case 'jsonToMetadata':
      return jsonToMetadataFilter(name, disabled, filter.config, ctx)
    case 'statefulSession':
      return statefulSessionFilter(name, disabled, filter.config, ctx)
    case 'compressor':
      return compressorFilter(name, disabled, filter.config, encodings, ctx)
    case 'decompressor':
      return decompressorFilter(name, disabled, filter.config, ctx)
    case 'grpcStats':
      return grpcStatsFilter(name, disabled, filter.config, ctx)
    case 'grpcHttp1Bridge':
      return grpcHttp1BridgeFilter(name, disabled, filter.config.upgradeProtobufToGrpc)
    case 'grpcWeb':
      return grpcWebFilter(name, disabled)
    case 'healthCheck':
      return healthCheckFilter(name, disabled, filter.config, ctx)
    case 'onDemand':
      return onDemandFilter(name, disabled, filter.config, ctx)
    case 'custom':
      return customFilter(name, disabled, filter.config, ctx)
    default: {
      const unreachable: never = filter
      throw new Error(`no such filter: ${JSON.stringify(unreachable)}`)
    }
  }
}
