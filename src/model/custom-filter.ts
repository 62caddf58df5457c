// HTTP filters of the embedding program, as far as config goes: what a typed_config of theirs holds, and who reads it. The filter itself
// says what its configuration means; here it is only carried from the config to the filter.

import type { JsonObject } from './metadata.js'

/** What a typed_config holds: the fields of a TypedStruct (or beside `@type`), or the bytes of a message that we do not know. */
export type FilterSettings = { readonly kind: 'json'; readonly value: JsonObject } | { readonly kind: 'bytes'; readonly value: Uint8Array }

/** One filter's readers. They throw what is wrong, in one line: the config is refused with it. */
export interface FilterSettingsReader {
  config(settings: FilterSettings): unknown
  /** Of typed_per_filter_config. */
  routeConfig(settings: FilterSettings): unknown
}

/** By full message name, as in a type URL behind its last slash. */
export type FilterSettingsReaders = ReadonlyMap<string, FilterSettingsReader>

/** A filter of the embedding program with its configuration read. */
export interface CustomFilterConfig {
  readonly typeName: string
  readonly config: unknown
}
