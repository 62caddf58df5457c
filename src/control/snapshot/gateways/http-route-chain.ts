// The rules of the http-routes that are bound to one host name of a listener, as a discovery chain: they become a service-router (and
// service-splitters, where a rule has several services) of a service that exists only here, so that splitters, resolvers, subsets and failover
// of the services behind count as they do for a sidecar. Called by `api-gateway-view.ts`.
// Invariant: rules stand in the Gateway API's order of precedence, what none of them matches goes nowhere (404), and what a rule without services
// matches neither (503).
import { createHash } from 'node:crypto'
import type { HeaderModifiers, JwtRequirement } from '../../config-entries/common-types.js'
import type { ApiGatewayListener, HttpRoute, HttpRouteMatch, HttpRouteRule, HttpRouteService } from '../../config-entries/edge-types.js'
import type {
  ConfigEntryIndex,
  ConfigEntryKind,
  EntryOfKind,
  HeaderMatch,
  QueryParamMatch,
  RouteDestination,
  ServiceRoute,
  ServiceSplitter,
} from '../../config-entries/types.js'
import { compileDiscoveryChain } from '../../discovery-chain/compile.js'
import type { CompiledDiscoveryChain } from '../../discovery-chain/types.js'
import type { BuildContext } from '../kinds/proxy-kind.js'

export interface HostChain {
  readonly name: string
  readonly chain: CompiledDiscoveryChain
  /** For each route of the chain, in order. */
  readonly requirements: readonly (JwtRequirement | undefined)[]
}

interface RankedMatch {
  readonly match: HttpRouteMatch
  readonly rule: HttpRouteRule
}

/** Undefined when it does not compile, which is told as a problem. */
export function hostChain(
  gateway: string,
  listener: ApiGatewayListener,
  host: string,
  routes: readonly HttpRoute[],
  { mesh, entries, problems }: BuildContext,
): HostChain | undefined {
  const name = `${gateway}-${listener.Name}-${createHash('sha256').update(host).digest('hex').slice(0, 8)}`
  const ranked = rank(routes)
  const splitters = new Map<string, ServiceSplitter>()
  const Routes = ranked.map(({ match, rule }, i): ServiceRoute => {
    const [first, ...others] = rule.Services
    const only = others.length === 0 ? first : undefined
    // Of a rule without services this is one that nobody has: what it matches must not fall to another rule.
    const made = `${name}-${i}`
    if (others.length > 0) splitters.set(made, split(made, rule.Services))
    return { Match: { HTTP: routerMatch(match) }, Destination: { Service: only?.Name ?? made, ...destination(rule, only) } }
  })
  const result = compileDiscoveryChain({
    service: name,
    datacenter: mesh.datacenter,
    trustDomain: mesh.trustDomain,
    entries: overlay(entries, name, Routes, splitters),
  })
  if ('errors' in result) {
    for (const { reason } of result.errors)
      problems.push({ path: `Listeners.${listener.Name}`, reason: `${host} is not served: ${reason}` })
    return undefined
  }
  const { Override: override, Default: fallback } = listener
  return {
    name,
    chain: withoutCatchAll(result.chain),
    requirements: ranked.map(({ rule }) => override?.JWT ?? rule.Filters?.JWT ?? fallback?.JWT),
  }
}

const PATH_RANK = { exact: 0, regex: 1, prefix: 2 } as const

/** The Gateway API's: exact paths, then the longest, then a method, then most headers, then most parameters, then the older route. */
function rank(routes: readonly HttpRoute[]): RankedMatch[] {
  const all = routes.flatMap(({ Rules }) => Rules.flatMap(rule => rule.Matches.map(match => ({ match, rule }))))
  return all.sort(
    ({ match: a }, { match: b }) =>
      PATH_RANK[a.Path.Match] - PATH_RANK[b.Path.Match] ||
      b.Path.Value.length - a.Path.Value.length ||
      Number(a.Method === undefined) - Number(b.Method === undefined) ||
      (b.Headers?.length ?? 0) - (a.Headers?.length ?? 0) ||
      (b.Query?.length ?? 0) - (a.Query?.length ?? 0),
  )
}

function routerMatch({ Path, Method, Headers, Query }: HttpRouteMatch): NonNullable<ServiceRoute['Match']>['HTTP'] {
  return {
    ...(Path.Match === 'exact'
      ? { PathExact: Path.Value }
      : Path.Match === 'regex'
        ? { PathRegex: Path.Value }
        : { PathPrefix: Path.Value }),
    ...(Method === undefined ? {} : { Methods: [Method] }),
    ...(Headers === undefined
      ? {}
      : { Header: Headers.map(({ Match, Name, Value }): HeaderMatch => ({ Name, ...condition(Match, Value) })) }),
    ...(Query === undefined
      ? {}
      : { QueryParam: Query.map(({ Match, Name, Value }): QueryParamMatch => ({ Name, ...condition(Match, Value) })) }),
  }
}

function condition(match: 'exact' | 'prefix' | 'suffix' | 'present' | 'regex', value = ''): Omit<HeaderMatch, 'Name'> {
  switch (match) {
    case 'present':
      return { Present: true }
    case 'exact':
      return { Exact: value }
    case 'prefix':
      return { Prefix: value }
    case 'suffix':
      return { Suffix: value }
    case 'regex':
      return { Regex: value }
    default: {
      const never: never = match
      return never
    }
  }
}

function destination({ Filters: filters, ResponseFilters }: HttpRouteRule, only: HttpRouteService | undefined): RouteDestination {
  const rewrite = only?.Filters?.URLRewrite?.Path ?? filters?.URLRewrite?.Path
  const { RetryFilter: retry, TimeoutFilter: timeout } = filters ?? {}
  return {
    ...(rewrite === undefined ? {} : { PrefixRewrite: rewrite }),
    ...timeout,
    ...retry,
    RequestHeaders: merged(filters?.Headers, only?.Filters?.Headers),
    ResponseHeaders: merged(ResponseFilters?.Headers, only?.ResponseFilters?.Headers),
  }
}

function split(Name: string, services: readonly HttpRouteService[]): ServiceSplitter {
  const total = services.reduce((sum, { Weight }) => sum + Weight, 0)
  return {
    Kind: 'service-splitter',
    Name,
    Splits: services.map(service => ({
      Weight: (service.Weight / total) * 100,
      Service: service.Name,
      RequestHeaders: merged(service.Filters?.Headers),
      ResponseHeaders: merged(service.ResponseFilters?.Headers),
    })),
  }
}

function merged(...lists: readonly (readonly HeaderModifiers[] | undefined)[]): HeaderModifiers {
  const all = lists.flatMap(list => list ?? [])
  return {
    Add: Object.assign({}, ...all.map(({ Add }) => Add ?? {})),
    Set: Object.assign({}, ...all.map(({ Set: set }) => set ?? {})),
    Remove: all.flatMap(({ Remove }) => Remove ?? []),
  }
}

/** The entries as they are, with those that exist only here; all services speak one protocol, as a chain wants it. */
function overlay(
  entries: ConfigEntryIndex,
  name: string,
  Routes: readonly ServiceRoute[],
  splitters: ReadonlyMap<string, ServiceSplitter>,
): ConfigEntryIndex {
  return {
    get: <K extends ConfigEntryKind>(kind: K, wanted: string): EntryOfKind<K> | undefined => {
      const made = (): unknown => {
        if (kind === 'service-router') return wanted === name ? { Kind: kind, Name: name, Routes } : undefined
        if (kind === 'service-splitter' && splitters.has(wanted)) return splitters.get(wanted)
        const entry: object | undefined = entries.get(kind, wanted)
        return kind === 'service-defaults' ? { Kind: kind, Name: wanted, ...entry, Protocol: 'http' } : entry
      }
      return made() as EntryOfKind<K> | undefined
    },
    list: <K extends ConfigEntryKind>(kind: K) => entries.list(kind),
  }
}

/** A router ends with a route to its own service, which is none here. */
function withoutCatchAll(chain: CompiledDiscoveryChain): CompiledDiscoveryChain {
  const router = chain.Nodes[chain.StartNode]
  if (router?.Type !== 'router') return chain
  const Routes = router.Routes.slice(0, -1)
  const last = router.Routes.at(-1)!.NextNode
  const Nodes = { ...chain.Nodes, [chain.StartNode]: { ...router, Routes } }
  if (!Routes.some(({ NextNode }) => NextNode === last)) delete Nodes[last]
  return { ...chain, Nodes }
}
