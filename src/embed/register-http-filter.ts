// The HTTP filters that every sidecar of this process knows, beside those it is started with. Called by programs before they start one.
// Invariant: a sidecar takes the list as it is when it starts; kinds are descriptions, and hold no state of a sidecar.

import type { HttpFilter } from '../l7/filters/custom/custom-filter.js'
import { filtersByType } from '../l7/filters/custom/filters-by-type.js'

const registered = new Set<HttpFilter>()

/** Throws where the type is taken. Returns the way to take it back, for sidecars that start later. */
export function registerHttpFilter<Config, RouteConfig = Config>(filter: HttpFilter<Config, RouteConfig>): () => void {
  const kind = filter as HttpFilter
  filtersByType([...registered, kind])
  registered.add(kind)
  return () => void registered.delete(kind)
}

export function registeredHttpFilters(): readonly HttpFilter[] {
  return [...registered]
}
