// HTTP filters of the embedding program as a table by the full name of their configuration's message. Called where they are registered and
// where a sidecar starts.

import type { HttpFilter } from './custom-filter.js'

const NAME = /^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$/

/** Throws where two have one type, or one has none. */
export function filtersByType(filters: Iterable<HttpFilter>): ReadonlyMap<string, HttpFilter> {
  const byType = new Map<string, HttpFilter>()
  for (const filter of filters) {
    const name = filter.typeUrl.slice(filter.typeUrl.lastIndexOf('/') + 1)
    if (!NAME.test(name)) throw new TypeError(`typeUrl: '${filter.typeUrl}' names no type`)
    if (byType.has(name)) throw new TypeError(`two HTTP filters are of the type '${name}'`)
    byType.set(name, filter)
  }
  return byType
}
