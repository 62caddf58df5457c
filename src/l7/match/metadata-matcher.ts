// envoy.type.matcher.v3.MetadataMatcher and ValueMatcher over JSON values. Called by routes, RBAC (JWT claims) and access-log filters.

import type { MetadataMatcher, ValueMatcher } from '../../model/matcher.js'
import type { JsonObject, JsonValue } from '../../model/metadata.js'
import { toByteString } from '../codec/byte-string.js'
import { compileStringMatcher } from './string-matcher.js'

/** Struct of a namespace: StreamInfo.dynamicMetadata, or a Map's get. */
export type MetadataSource = (namespace: string) => JsonObject | undefined

/** The value at `path` below a struct; undefined when any step is missing. Own properties only: keys may come from the network. */
export function metadataValue(struct: JsonObject | undefined, path: readonly string[]): JsonValue | undefined {
  let value: JsonValue | undefined = struct
  for (const key of path) {
    if (typeof value !== 'object' || value === null || Array.isArray(value) || !Object.hasOwn(value, key)) return undefined
    value = (value as JsonObject)[key]
  }
  return value
}

/** `whenFailing` as for compileStringMatcher. */
export function compileMetadataMatcher(matcher: MetadataMatcher, whenFailing = false): (source: MetadataSource) => boolean {
  const { namespace, path, invert } = matcher
  const test = compileValueMatcher(matcher.value, invert ? !whenFailing : whenFailing)
  return source => test(metadataValue(source(namespace), path)) !== invert
}

/** undefined: nothing at that path, which nothing matches: `present: false` never does, in Envoy either (use `invert`). */
export function compileValueMatcher(matcher: ValueMatcher, whenFailing = false): (value: JsonValue | undefined) => boolean {
  switch (matcher.kind) {
    case 'null':
      return value => value === null
    case 'double':
      return value => value === matcher.exact
    case 'doubleRange':
      return value => typeof value === 'number' && value >= matcher.start && value < matcher.end
    case 'bool':
      return value => value === matcher.value
    case 'present':
      return value => matcher.value && value !== undefined
    case 'string': {
      const test = compileStringMatcher(matcher.matcher, whenFailing)
      return value => typeof value === 'string' && test(toByteString(value))
    }
    case 'list': {
      const one = compileValueMatcher(matcher.oneOf, whenFailing)
      return value => Array.isArray(value) && value.some(item => one(item))
    }
    case 'or': {
      const any = matcher.anyOf.map(inner => compileValueMatcher(inner, whenFailing))
      return value => any.some(test => test(value))
    }
  }
}
