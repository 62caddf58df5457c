// Where can a request to a service end, by its discovery chain: the route that takes it, every leg of a split, each resolver's target and its
// failover targets. Called by explain, which then asks the intentions of every one of them.
// Invariant: what is not known of the request (headers, query parameters, a method that was not given) may match and may not: both ways are followed.
import { RE2JS } from 're2js'
import type { RouteHttpMatch, ServiceRoute } from '../config-entries/types.js'
import type { CompiledDiscoveryChain, DiscoveryTarget } from './types.js'

export interface FollowedRequest {
  readonly method?: string
  /** Without query. */
  readonly path?: string
}

export interface Destination {
  readonly target: DiscoveryTarget
  /** The steps that led here, for people. */
  readonly via: readonly string[]
  /** The path as the target sees it. */
  readonly path: string | undefined
  /** Only asked when the target before it can't be. */
  readonly isFailover: boolean
}

export function followChain(chain: CompiledDiscoveryChain, request: FollowedRequest): Destination[] {
  const start = chain.Nodes[chain.StartNode]
  if (start?.Type !== 'router') return follow(chain, chain.StartNode, [], request.path)
  const found: Destination[] = []
  for (const [i, { Definition, NextNode }] of start.Routes.entries()) {
    const fit = fits(Definition.Match?.HTTP, request)
    if (fit === 'no') continue
    const isCatchAll = i === start.Routes.length - 1
    const via = isCatchAll ? [] : [`route ${i + 1}${fit === 'maybe' ? ', if it matches' : ''}`]
    found.push(...follow(chain, NextNode, via, rewritten(Definition, request.path)))
    if (fit === 'yes') break
  }
  return found
}

function follow(chain: CompiledDiscoveryChain, key: string, via: readonly string[], path: string | undefined): Destination[] {
  const node = chain.Nodes[key]
  if (node?.Type === 'splitter') {
    const legs = node.Splits.filter(split => split.Weight > 0)
    return legs.flatMap(split => follow(chain, split.NextNode, legs.length === 1 ? via : [...via, `${split.Weight} % of the split`], path))
  }
  if (node?.Type !== 'resolver') return []
  const { Target, Failover } = node.Resolver
  const target = chain.Targets[Target]!
  const subset = target.ServiceSubset === undefined ? [] : [`subset ${target.ServiceSubset}`]
  return [
    { target, via: [...via, ...subset], path, isFailover: false },
    ...(Failover?.Targets ?? []).map(id => ({ target: chain.Targets[id]!, via: [...via, 'failover'], path, isFailover: true })),
  ]
}

type Fit = 'yes' | 'no' | 'maybe'

function fits(match: RouteHttpMatch | undefined, { method, path }: FollowedRequest): Fit {
  if (match === undefined) return 'yes'
  let fit: Fit = (match.Header ?? []).length > 0 || (match.QueryParam ?? []).length > 0 ? 'maybe' : 'yes'
  if (match.Methods !== undefined && match.Methods.length > 0) {
    if (method === undefined) fit = 'maybe'
    else if (!match.Methods.includes(method)) return 'no'
  }
  const wantsPath = match.PathExact ?? match.PathRegex ?? (match.PathPrefix === '/' ? undefined : match.PathPrefix)
  if (wantsPath === undefined) return fit
  if (path === undefined) return 'maybe'
  return pathFits(match, path) ? fit : 'no'
}

function pathFits({ PathExact, PathPrefix, PathRegex, CaseInsensitive }: RouteHttpMatch, path: string): boolean {
  const fold = (text: string): string => (CaseInsensitive === true ? text.toLowerCase() : text)
  if (PathExact !== undefined) return fold(path) === fold(PathExact)
  if (PathPrefix !== undefined) return fold(path).startsWith(fold(PathPrefix))
  return RE2JS.compile(PathRegex!).matches(path)
}

function rewritten({ Match, Destination: destination }: ServiceRoute, path: string | undefined): string | undefined {
  const rewrite = destination?.PrefixRewrite
  if (rewrite === undefined || path === undefined) return path
  const { PathExact, PathPrefix = '' } = Match?.HTTP ?? {}
  return PathExact === undefined ? rewrite + path.slice(PathPrefix.length) : rewrite
}
