// A filter of a chain whose configuration comes over ECDS: holds what it is at the moment, its default or nothing. Made by compile-filters,
// told by whoever fetches extension configs (FilterConfigs). Invariant: a request keeps the filters it was given; a new configuration is
// one assignment, and the counters of the old one end after those of the new one have begun.

import type { Discovery } from '../../model/discovery.js'
import type { ExtensionConfig, ExtensionPlace } from '../../model/extension-config.js'
import type { FilterDiscovery, HttpFilterConfig } from '../../model/http-filter.js'
import { ResponseFlag } from '../stream/response-flags.js'
import type { FilterCall, FilterFactory, StreamFilter } from './http-filter.js'

/** Who wants an extension config. */
export interface FilterConfigUser {
  /** Why it cannot be this filter, or null. */
  check(config: ExtensionConfig): string | null
  /** null: it is gone. */
  use(config: ExtensionConfig | null): void
}

/** Where extension configs come from; each hold needs one drop. A config that is known is used at once. */
export interface FilterConfigs {
  hold(place: ExtensionPlace, name: string, discovery: Discovery<unknown>, user: FilterConfigUser): void
  drop(place: ExtensionPlace, name: string, user: FilterConfigUser): void
}

/** One configuration of the filter, running; `factory` null: the router, which is no filter of the chain. */
export interface RunningFilter {
  readonly factory: FilterFactory | null
  release(): void
}

export class DiscoveredFilter implements FilterFactory, FilterConfigUser {
  readonly name: string
  readonly disabled: boolean
  private readonly discovery: FilterDiscovery
  private readonly compile: (filter: HttpFilterConfig) => RunningFilter
  private running: RunningFilter | null = null

  constructor(name: string, disabled: boolean, discovery: FilterDiscovery, compile: (filter: HttpFilterConfig) => RunningFilter) {
    this.name = name
    this.disabled = disabled
    this.discovery = discovery
    this.compile = compile
    this.use(null)
  }

  get seesLocalReplies(): boolean {
    return this.running?.factory?.seesLocalReplies === true
  }

  create(call: FilterCall): StreamFilter | null {
    return this.running === null ? MISSING_CONFIG : (this.running.factory?.create(call) ?? null)
  }

  check(config: ExtensionConfig): string | null {
    const { typeNames, isLast } = this.discovery
    const { name, typeName } = config
    if (config.place !== 'http' || !typeNames.includes(typeName)) return otherType(config, typeNames)
    const { filter } = config
    if (filter.kind === 'router' && !isLast)
      return `terminal filter '${name}' of type ${typeName} must be the last filter of the HTTP filter chain`
    if (filter.kind !== 'router' && isLast)
      return `non-terminal filter '${name}' of type ${typeName} is the last filter of the HTTP filter chain`
    return null
  }

  use(config: ExtensionConfig | null): void {
    const filter = config?.place === 'http' ? config.filter : this.discovery.fallback
    const before = this.running
    this.running = filter === null ? null : this.compile(filter)
    before?.release()
  }

  release(): void {
    this.running?.release()
  }
}

export function otherType({ typeName }: ExtensionConfig, typeNames: readonly string[]): string {
  return `the filter has type ${typeName}, but type_urls has ${typeNames.join(', ')}`
}

/** Envoy's answer where a filter has no configuration. */
const MISSING_CONFIG: StreamFilter = {
  requestHead(call) {
    call.sendReply(500, '', '', ResponseFlag.NoFilterConfigFound)
    return 'stop'
  },
}
