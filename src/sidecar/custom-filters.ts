// How the configuration of HTTP filters of the embedding program is read, for the decoders of resources. Called by whoever starts a sidecar;
// the filters themselves run in l7/filters/custom.

import type { HttpFilter, JsonObject } from '../l7/filters/custom/custom-filter.js'
import type { FilterSettings, FilterSettingsReader, FilterSettingsReaders } from '../model/custom-filter.js'
import { schemaOf } from '../xds/resources/schemas.js'

/** Throws where a filter has a type of the proxy's own. */
export function filterReaders(filters: ReadonlyMap<string, HttpFilter>): FilterSettingsReaders {
  for (const name of filters.keys())
    if (schemaOf(name) !== undefined) throw new TypeError(`typeUrl: '${name}' is a type of the proxy's own`)
  return new Map([...filters].map(([name, filter]) => [name, readerOf(filter)]))
}

function readerOf(filter: HttpFilter): FilterSettingsReader {
  return {
    config: settings => filter.parseConfig(fieldsOf(filter, settings)),
    routeConfig: settings => {
      const fields = fieldsOf(filter, settings)
      return filter.parseRouteConfig === undefined ? filter.parseConfig(fields) : filter.parseRouteConfig(fields)
    },
  }
}

function fieldsOf(filter: HttpFilter, settings: FilterSettings): JsonObject {
  if (settings.kind === 'json') return settings.value
  if (filter.decode !== undefined) return filter.decode(settings.value)
  // A message without a field set has no bytes: nothing is to be decoded.
  if (settings.value.length === 0) return {}
  throw new Error('the filter reads no messages of this type: send an xds.type.v3.TypedStruct')
}
