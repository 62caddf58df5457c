// set_metadata, set_filter_state and json_to_metadata -> model. Called by http-filter.ts and http-filter-override.ts.

import { toJson } from '@bufbuild/protobuf'
import { ValueSchema } from '@bufbuild/protobuf/wkt'
import type { JsonValue } from '../../../model/metadata.js'
import type {
  JsonMetadataRules,
  JsonMetadataTarget,
  JsonToMetadataConfig,
  SetFilterStateConfig,
  SetMetadataRule,
} from '../../../model/metadata-filters.js'
import {
  type JsonToMetadata,
  type JsonToMetadata_KeyValuePair,
  type JsonToMetadata_MatchRules,
  JsonToMetadata_ValueTypeSchema,
} from '../../gen/envoy/extensions/filters/http/json_to_metadata/v3/json_to_metadata_pb.js'
import type { Config as SetFilterState } from '../../gen/envoy/extensions/filters/http/set_filter_state/v3/set_filter_state_pb.js'
import type { Config as SetMetadata } from '../../gen/envoy/extensions/filters/http/set_metadata/v3/set_metadata_pb.js'
import { decodeLogFormat } from '../access-log.js'
import type { Ctx } from '../field-path.js'
import { checkRegex, enumName, plainObject } from '../values.js'

export function decodeSetMetadata(config: SetMetadata): SetMetadataRule[] {
  const older = config.value === undefined ? [] : [{ namespace: config.metadataNamespace, value: plainObject(config.value), merges: true }]
  const rules = config.metadata.map(({ metadataNamespace, value, allowOverwrite }) => ({
    namespace: metadataNamespace,
    value: value === undefined ? {} : plainObject(value),
    merges: allowOverwrite,
  }))
  return [...older, ...rules]
}

/** The only kind of object that can be made here: a text. */
const STRING_OBJECT = 'envoy.string'

export function decodeSetFilterState(config: SetFilterState, ctx: Ctx): SetFilterStateConfig {
  return {
    values: config.onRequestHeaders.flatMap((value, i) => {
      const at = ctx.at('on_request_headers', i)
      const key = value.key.case === 'objectKey' ? value.key.value : ''
      const factory = value.factoryKey || key
      if (factory !== STRING_OBJECT)
        at.at('factory_key').error(`objects of '${factory}' are not supported; a text has the factory_key '${STRING_OBJECT}'`)
      if (value.value.case !== 'formatString') return [] // reported
      return [{ key, format: decodeLogFormat(value.value.value, at.at('format_string')), skipIfEmpty: value.skipIfEmpty }]
    }),
    clearsRoute: config.clearRouteCache,
  }
}

const NAMESPACE = 'envoy.filters.http.json_to_metadata'
const DEFAULT_CONTENT_TYPES = ['application/json']

export function decodeJsonToMetadata({ requestRules, responseRules }: JsonToMetadata, ctx: Ctx): JsonToMetadataConfig {
  if (requestRules === undefined && responseRules === undefined) ctx.error('one of request_rules and response_rules is required')
  return {
    request: requestRules === undefined ? null : decodeRules(requestRules, ctx.at('request_rules')),
    response: responseRules === undefined ? null : decodeRules(responseRules, ctx.at('response_rules')),
  }
}

function decodeRules(rules: JsonToMetadata_MatchRules, ctx: Ctx): JsonMetadataRules {
  const { allowContentTypes, allowContentTypesRegex, allowEmptyContentType } = rules
  if (allowContentTypesRegex !== undefined) checkRegex(allowContentTypesRegex.regex, ctx.at('allow_content_types_regex').at('regex'))
  return {
    rules: rules.rules.map(({ selectors, onPresent, onMissing, onError }, i) => {
      const at = ctx.at('rules', i)
      if (onPresent === undefined && onMissing === undefined) at.error('one of on_present and on_missing is required')
      for (const [pair, field] of [
        [onMissing, 'on_missing'],
        [onError, 'on_error'],
      ] as const)
        if (pair !== undefined && pair.valueType.case === undefined) at.at(field).at('value').error('value is required')
      return {
        path: selectors.map(({ selector }) => selector.value ?? ''),
        onPresent: decodeTarget(onPresent),
        onMissing: decodeTarget(onMissing),
        onError: decodeTarget(onError),
      }
    }),
    contentTypes: allowContentTypes.length === 0 ? DEFAULT_CONTENT_TYPES : allowContentTypes,
    contentTypeRegex: allowContentTypesRegex?.regex ?? null,
    allowsNoContentType: allowEmptyContentType,
  }
}

function decodeTarget(pair: JsonToMetadata_KeyValuePair | undefined): JsonMetadataTarget | null {
  if (pair === undefined) return null
  return {
    namespace: pair.metadataNamespace || NAMESPACE,
    key: pair.key,
    value: pair.valueType.case === 'value' ? (toJson(ValueSchema, pair.valueType.value) as JsonValue) : undefined,
    type: enumName(JsonToMetadata_ValueTypeSchema, pair.type) as JsonMetadataTarget['type'],
    keepsPresent: pair.preserveExistingMetadataValue,
  }
}
