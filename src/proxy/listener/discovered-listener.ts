// A listener some of whose filters come over ECDS, with what is known of them put in their places: what compile-listener compiles. Its user
// (ListenerRegistry) compiles it anew when one of them changes. Invariant: a listener without such filters is given back as it is.

import { otherType } from '../../l7/filters/discovered-filter.js'
import type { Discovery } from '../../model/discovery.js'
import type { ExtensionConfig, ExtensionPlace } from '../../model/extension-config.js'
import {
  type FilterChain,
  type Listener,
  type ListenerFilter,
  type NetworkFilter,
  TERMINAL_FILTERS,
  withListenerFilters,
} from '../../model/listener.js'
import type { AwaitedConfig } from '../awaited-config.js'
import type { ExtensionRegistry } from '../extension-registry.js'

interface ResolvedListener {
  readonly model: Listener
  /** A listener filter that there is no configuration of; null: none. Every connection is closed then. */
  readonly missingFilter: string | null
  /** The same of a chain's network filters. */
  missingFilterOf(chain: FilterChain): string | null
  readonly awaited: readonly AwaitedConfig[]
  release(): void
}

export function resolveListener(source: Listener, extensions: ExtensionRegistry, onChange: () => void): ResolvedListener {
  const chains = source.defaultFilterChain === null ? source.filterChains : [...source.filterChains, source.defaultFilterChain]
  const { discoveredFilters = [] } = source
  if (discoveredFilters.length === 0 && !chains.some(isDiscovered))
    return { model: source, missingFilter: null, missingFilterOf: () => null, awaited: [], release: () => {} }
  return new Resolver(extensions, onChange).resolve(source)
}

function isDiscovered({ filters }: FilterChain): boolean {
  return filters.some(({ kind }) => kind === 'discovered')
}

class Resolver {
  private readonly awaited: AwaitedConfig[] = []
  private readonly releases: (() => void)[] = []
  private readonly missing = new Map<FilterChain, string>()

  constructor(
    private readonly extensions: ExtensionRegistry,
    private readonly onChange: () => void,
  ) {}

  resolve(source: Listener): ResolvedListener {
    const { missing, awaited, releases } = this
    let missingFilter: string | null = null
    const found: ListenerFilter[] = []
    for (const { name, discovery } of source.discoveredFilters ?? []) {
      const filter = this.take('listener', name, discovery, config => (config.place === 'listener' ? { filter: config.filter } : null))
      if (filter === null) missingFilter = name
      else found.push(filter.filter)
    }
    const model: Listener = {
      ...source,
      ...withListenerFilters(source, found),
      filterChains: source.filterChains.map(chain => this.chain(chain)),
      defaultFilterChain: source.defaultFilterChain === null ? null : this.chain(source.defaultFilterChain),
    }
    return {
      model,
      missingFilter,
      missingFilterOf: chain => missing.get(chain) ?? null,
      awaited,
      release: () => {
        for (const release of releases) release()
      },
    }
  }

  private chain(source: FilterChain): FilterChain {
    if (!isDiscovered(source)) return source
    let missing: string | null = null
    const filters: NetworkFilter[] = []
    for (const filter of source.filters) {
      if (filter.kind !== 'discovered') {
        filters.push(filter)
        continue
      }
      const { name, discovery } = filter
      const taken = this.take('network', name, discovery, config => judged(config, discovery.isLast))
      if (taken === null) missing ??= name
      // Its place in the chain names it.
      else if (taken.filter !== null) filters.push({ ...taken.filter, name })
    }
    const chain = { ...source, filters }
    if (missing !== null) this.missing.set(chain, missing)
    return chain
  }

  /** Null: there is no configuration of it. */
  private take<F>(
    place: ExtensionPlace,
    name: string,
    discovery: Discovery<F>,
    read: (config: ExtensionConfig) => { readonly filter: F } | string | null,
  ): { readonly filter: F } | null {
    const { extensions, onChange } = this
    let current: { readonly filter: F } | null = discovery.fallback === null ? null : { filter: discovery.fallback }
    let held = false
    const user = {
      check(config: ExtensionConfig): string | null {
        if (!discovery.typeNames.includes(config.typeName)) return otherType(config, discovery.typeNames)
        const got = read(config)
        return typeof got === 'string' ? got : got === null ? otherType(config, discovery.typeNames) : null
      },
      use(config: ExtensionConfig | null): void {
        if (held) {
          onChange()
          return
        }
        const got = config === null ? null : read(config)
        if (got !== null && typeof got !== 'string') current = got
      },
    }
    // A configuration that is known is used at once, from inside.
    extensions.hold(place, name, discovery, user)
    held = true
    this.releases.push(() => extensions.drop(place, name, user))
    if (!discovery.withoutWarming) this.awaited.push(extensions.awaited(place, name, discovery))
    return current
  }
}

/** The filter, or why it cannot stand there. */
function judged(config: ExtensionConfig, isLast: boolean): { readonly filter: NetworkFilter | null } | string | null {
  if (config.place !== 'network') return null
  const { filter, name, typeName } = config
  const isTerminal = filter !== null && TERMINAL_FILTERS.has(filter.kind)
  if (isTerminal && !isLast) return `terminal filter '${name}' of type ${typeName} must be the last filter of the filter chain`
  if (!isTerminal && isLast) return `non-terminal filter '${name}' of type ${typeName} is the last filter of the filter chain`
  return { filter }
}
