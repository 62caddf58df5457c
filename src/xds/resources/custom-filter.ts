// typed_config of HTTP filters of the embedding program: their own readers read it. Called by http-filter.ts and http-filter-override.ts.
// What a reader throws is an error of the field, as everything else that is wrong with it.

import type { CustomFilterConfig, FilterSettings } from '../../model/custom-filter.js'
import type { Unpacked } from './any.js'
import type { Ctx } from './field-path.js'

/** A filter of the embedding program has this type. */
export function isCustomFilter({ typeName, known }: Unpacked, { sink }: Ctx): boolean {
  return !known && sink.options.customFilters?.has(typeName) === true
}

/** null after an error was recorded. */
export function customFilterOf(unpacked: Unpacked, ctx: Ctx): CustomFilterConfig | null {
  return read(unpacked, ctx, 'config')
}

/** The same of a typed_per_filter_config. */
export function customOverrideOf(unpacked: Unpacked, ctx: Ctx): CustomFilterConfig | null {
  return read(unpacked, ctx, 'routeConfig')
}

const NOTHING: FilterSettings = { kind: 'json', value: {} }

function read({ typeName, settings }: Unpacked, ctx: Ctx, what: 'config' | 'routeConfig'): CustomFilterConfig | null {
  try {
    return { typeName, config: ctx.sink.options.customFilters!.get(typeName)![what](settings ?? NOTHING) }
  } catch (error) {
    ctx.error(`${typeName}: ${error instanceof Error ? error.message : String(error)}`)
    return null
  }
}
