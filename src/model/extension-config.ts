// A resource of ECDS (envoy.config.core.v3.TypedExtensionConfig) as model: an HTTP filter, a network filter or a listener filter, found by its
// name and its place.

import type { HttpFilterConfig } from './http-filter.js'
import type { ListenerFilter, NetworkFilter } from './listener.js'

/** A resource of ECDS. A network filter that is switched off is null. */
export type ExtensionConfig = {
  readonly name: string
  /** Full name of its message. */
  readonly typeName: string
} & (
  | { readonly place: 'http'; readonly filter: HttpFilterConfig }
  | { readonly place: 'network'; readonly filter: NetworkFilter | null }
  | { readonly place: 'listener'; readonly filter: ListenerFilter }
)

export type ExtensionPlace = ExtensionConfig['place']
