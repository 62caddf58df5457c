// Filters behind a matcher: ExtensionWithMatcher (a filter that a tree may skip) and Composite (a filter that a tree's actions make), and
// what routes say of them. Called by http-filter.ts, which says how the filter itself is read, and by http-filter-override.ts.
// An action's filters are read once, here: a tree that ends in what cannot be is refused whole.

import type { FilterMatchAction, HttpFilterConfig, MatchedFilter, PlainFilterConfig } from '../../../model/http-filter.js'
import type { MatchTree } from '../../../model/match-tree.js'
import type { TypedExtensionConfig } from '../../gen/envoy/config/core/v3/extension_pb.js'
import type { ExtensionWithMatcher } from '../../gen/envoy/extensions/common/matching/v3/extension_matcher_pb.js'
import type {
  Composite,
  ExecuteFilterAction,
  FilterChainConfiguration,
} from '../../gen/envoy/extensions/filters/http/composite/v3/composite_pb.js'
import type { TypedExtensionConfig as XdsExtensionConfig } from '../../gen/xds/core/v3/extension_pb.js'
import type { Matcher } from '../../gen/xds/type/matcher/v3/matcher_pb.js'
import { describeType, type Unpacked, unpackAny } from '../any.js'
import type { Ctx } from '../field-path.js'
import { decodeMatchTree } from '../match-tree.js'
import { HTTP_RBAC_INPUTS } from '../rbac.js'
import { decodeRuntimeFraction } from '../values.js'

const EXTENSION_WITH_MATCHER = 'envoy.extensions.common.matching.v3.ExtensionWithMatcher'
const COMPOSITE = 'envoy.extensions.filters.http.composite.v3.Composite'
const SKIP = 'envoy.extensions.filters.common.matcher.action.v3.SkipFilter'
const EXECUTE = 'envoy.extensions.filters.http.composite.v3.ExecuteFilterAction'

/** Of one action. */
const MAX_FILTERS = 16

/** How a filter that no matcher stands before is read; null after an error was recorded. */
type DecodeFilter = (unpacked: Unpacked, ctx: Ctx) => HttpFilterConfig | 'unknown' | null

export function isMatchedFilter(typeName: string): boolean {
  return typeName === EXTENSION_WITH_MATCHER || typeName === COMPOSITE
}

/** null after an error was recorded. */
export function decodeMatchedFilter({ typeName, message }: Unpacked, decodeFilter: DecodeFilter, ctx: Ctx): MatchedFilter | null {
  if (message === null) return null
  const decoder = new MatchedFilterDecoder(decodeFilter)
  return typeName === COMPOSITE ? decoder.composite(message as Composite, null, ctx) : decoder.behind(message as ExtensionWithMatcher, ctx)
}

/** Of a route: it can skip the filter, and not make it another. */
export function decodeSkipTree(matcher: Matcher | undefined, ctx: Ctx): MatchTree<FilterMatchAction> | null {
  const action = (config: XdsExtensionConfig, at: Ctx): FilterMatchAction | null => {
    const { typeName, typeUrl } = unpackAny(config.typedConfig!, at.at('typed_config'))
    if (typeName === SKIP) return { kind: 'skip' }
    at.at('typed_config').error(`no action '${config.name}' of a route's matcher (${describeType(typeUrl)}); it can skip the filter`)
    return null
  }
  return matcher === undefined ? null : decodeMatchTree(matcher, { inputs: HTTP_RBAC_INPUTS, action }, ctx)
}

class MatchedFilterDecoder {
  constructor(private readonly decodeFilter: DecodeFilter) {}

  behind({ xdsMatcher, extensionConfig }: ExtensionWithMatcher, ctx: Ctx): MatchedFilter | null {
    if (extensionConfig?.typedConfig === undefined) return null // reported
    const at = ctx.at('extension_config').at('typed_config')
    const unpacked = unpackAny(extensionConfig.typedConfig, at)
    if (unpacked.typeName === COMPOSITE && unpacked.message !== null)
      return this.composite(unpacked.message as Composite, xdsMatcher ?? null, ctx)
    const filter = this.plain(extensionConfig.name, unpacked, at)
    const tree = xdsMatcher === undefined ? null : this.tree(xdsMatcher, null, ctx.at('xds_matcher'))
    return filter === null ? null : { kind: 'matched', tree, filter }
  }

  /** `around`: the matcher of an ExtensionWithMatcher that holds it. */
  composite(composite: Composite, around: Matcher | null, ctx: Ctx): MatchedFilter | null {
    if (around !== null && composite.matcher !== undefined) {
      ctx.error('a composite filter has one matcher: its own, or that of the ExtensionWithMatcher around it')
      return null
    }
    const named = new Map<string, readonly PlainFilterConfig[]>()
    for (const [name, chain] of Object.entries(composite.namedFilterChains)) {
      const at = ctx.at('named_filter_chains', name)
      if (chain.typedConfig.length === 0) at.at('typed_config').error('at least one filter is required')
      named.set(name, this.filters(chain, at))
    }
    if (around !== null) return { kind: 'matched', tree: this.tree(around, named, ctx.at('xds_matcher')), filter: null }
    const { matcher } = composite
    return { kind: 'matched', tree: matcher === undefined ? null : this.tree(matcher, named, ctx.at('matcher')), filter: null }
  }

  /** `named`: chains of the composite that the actions are of; null: the filter is no composite. */
  private tree(matcher: Matcher, named: ReadonlyMap<string, readonly PlainFilterConfig[]> | null, ctx: Ctx): MatchTree<FilterMatchAction> {
    const action = (config: XdsExtensionConfig, at: Ctx): FilterMatchAction | null => {
      const inside = at.at('typed_config')
      const { typeName, typeUrl, message } = unpackAny(config.typedConfig!, inside)
      if (typeName === SKIP) return { kind: 'skip' }
      if (typeName === EXECUTE && named !== null) return message === null ? null : this.run(message as ExecuteFilterAction, named, inside)
      inside.error(`no action '${config.name}' here (${describeType(typeUrl)})`)
      return null
    }
    return decodeMatchTree(matcher, { inputs: HTTP_RBAC_INPUTS, action }, ctx)
  }

  private run(action: ExecuteFilterAction, named: ReadonlyMap<string, readonly PlainFilterConfig[]>, ctx: Ctx): FilterMatchAction | null {
    const { typedConfig, filterChain, filterChainName, samplePercent } = action
    const given = [typedConfig !== undefined, filterChain !== undefined, filterChainName !== ''].filter(Boolean).length
    if (given !== 1) {
      ctx.error('an action has one of typed_config, filter_chain and filter_chain_name')
      return null
    }
    const sample = samplePercent === undefined ? null : decodeRuntimeFraction(samplePercent)
    if (typedConfig !== undefined) {
      const filter = this.extension(typedConfig, ctx.at('typed_config'))
      return filter === null ? null : { kind: 'run', filters: [filter], sample }
    }
    if (filterChain !== undefined) return { kind: 'run', filters: this.filters(filterChain, ctx.at('filter_chain')), sample }
    // As in Envoy, a chain that is not there is no filter at all.
    return { kind: 'run', filters: named.get(filterChainName) ?? [], sample }
  }

  private filters({ typedConfig }: FilterChainConfiguration, ctx: Ctx): PlainFilterConfig[] {
    if (typedConfig.length > MAX_FILTERS) ctx.at('typed_config').error(`more than ${MAX_FILTERS} filters`)
    return typedConfig.flatMap((config, i) => this.extension(config, ctx.at('typed_config', i)) ?? [])
  }

  private extension({ name, typedConfig }: TypedExtensionConfig, ctx: Ctx): PlainFilterConfig | null {
    if (typedConfig === undefined) return null // reported
    const at = ctx.at('typed_config')
    return this.plain(name, unpackAny(typedConfig, at), at)
  }

  private plain(name: string, unpacked: Unpacked, ctx: Ctx): PlainFilterConfig | null {
    const filter = isMatchedFilter(unpacked.typeName) ? 'unknown' : this.decodeFilter(unpacked, ctx)
    if (filter === 'unknown') ctx.error(`unknown filter '${name}' (${describeType(unpacked.typeUrl)})`)
    if (filter === null || filter === 'unknown') return null
    if (filter.kind !== 'router') return filter
    ctx.error(`terminal filter '${name}' cannot stand behind a matcher`)
    return null
  }
}
