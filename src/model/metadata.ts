// envoy.config.core.v3.Metadata as plain JSON: filter_metadata by namespace. Null-prototype objects inside (names come from the network).

export type JsonValue = null | boolean | number | string | readonly JsonValue[] | { readonly [key: string]: JsonValue }
export type JsonObject = { readonly [key: string]: JsonValue }

/** Namespace (e.g. `envoy.lb`, `outrigger`) -> its Struct. */
export type Metadata = ReadonlyMap<string, JsonObject>

export const OUTRIGGER_METADATA = 'outrigger'
export const LB_METADATA = 'envoy.lb'
