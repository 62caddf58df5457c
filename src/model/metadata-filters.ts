// HTTP filters that make metadata or filter state of a request, as validated config: set_metadata, set_filter_state, json_to_metadata. Made by
// xds/resources/http-filters/metadata, read by l7/filters.

import type { LogFormat } from './access-log.js'
import type { JsonObject, JsonValue } from './metadata.js'

export interface SetMetadataRule {
  readonly namespace: string
  readonly value: JsonObject
  /** Into what the namespace has already; without it that stays as it is. */
  readonly merges: boolean
}

export interface SetFilterStateConfig {
  readonly values: readonly {
    readonly key: string
    readonly format: LogFormat
    readonly skipIfEmpty: boolean
  }[]
  /** The route is matched again behind it. */
  readonly clearsRoute: boolean
}

export interface JsonMetadataTarget {
  readonly namespace: string
  readonly key: string
  /** In the place of what was found; undefined: that itself. */
  readonly value: JsonValue | undefined
  readonly type: 'STRING' | 'NUMBER' | 'PROTOBUF_VALUE'
  readonly keepsPresent: boolean
}

export interface JsonMetadataRules {
  readonly rules: readonly {
    readonly path: readonly string[]
    readonly onPresent: JsonMetadataTarget | null
    readonly onMissing: JsonMetadataTarget | null
    readonly onError: JsonMetadataTarget | null
  }[]
  readonly contentTypes: readonly string[]
  readonly contentTypeRegex: string | null
  readonly allowsNoContentType: boolean
}

export interface JsonToMetadataConfig {
  readonly request: JsonMetadataRules | null
  readonly response: JsonMetadataRules | null
}
