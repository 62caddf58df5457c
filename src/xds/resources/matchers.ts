// Matchers of envoy.type.matcher.v3 and envoy.config.route.v3.HeaderMatcher/QueryParameterMatcher -> model. Called wherever config
// matches something: routes, RBAC, TLS SANs, access-log filters, CORS, ext_authz. Every regex is compiled once here as RE2, so that
// a bad one is an error with its path and the data plane can rely on it.

import type {
  HeaderMatcher,
  HeaderValueMatch,
  MetadataMatcher,
  QueryParameterMatcher,
  StringMatcher,
  ValueMatcher,
} from '../../model/matcher.js'
import type {
  HeaderMatcher as HeaderMatcherMessage,
  QueryParameterMatcher as QueryParameterMatcherMessage,
} from '../gen/envoy/config/route/v3/route_components_pb.js'
import type { MetadataMatcher as MetadataMatcherMessage } from '../gen/envoy/type/matcher/v3/metadata_pb.js'
import type { RegexMatcher } from '../gen/envoy/type/matcher/v3/regex_pb.js'
import type { ListStringMatcher, StringMatcher as StringMatcherMessage } from '../gen/envoy/type/matcher/v3/string_pb.js'
import type { ValueMatcher as ValueMatcherMessage } from '../gen/envoy/type/matcher/v3/value_pb.js'
import type { Ctx } from './field-path.js'
import { checkRegex } from './values.js'

/** Stand-in after an error was recorded: matches nothing that exists. */
const NO_STRING: StringMatcher = { kind: 'exact', value: '\0', ignoreCase: false }

export const IGNORE_CASE_OF_REGEX = 'ignore_case has no effect for safe_regex: write (?i) into the regex'

export function decodeRegex(matcher: RegexMatcher, ctx: Ctx): string {
  const engine = matcher.engineType.case ?? 'googleRe2'
  if (engine !== 'googleRe2') ctx.error(`unknown regex engine '${engine}'`)
  checkRegex(matcher.regex, ctx.at('regex'))
  return matcher.regex
}

export function decodeStringMatcher(matcher: StringMatcherMessage, ctx: Ctx): StringMatcher {
  const { ignoreCase } = matcher
  const pattern = matcher.matchPattern
  switch (pattern.case) {
    case 'exact':
    case 'prefix':
    case 'suffix':
    case 'contains':
      return { kind: pattern.case, value: pattern.value, ignoreCase }
    case 'safeRegex':
      if (ignoreCase) ctx.at('ignore_case').error(IGNORE_CASE_OF_REGEX)
      return { kind: 'regex', value: decodeRegex(pattern.value, ctx.at('safe_regex')) }
    case 'custom':
      return NO_STRING // refused by field-support
    default:
      return NO_STRING // the missing oneof has been reported
  }
}

export function decodeStringMatchers(list: readonly StringMatcherMessage[], ctx: Ctx, field: string): StringMatcher[] {
  return list.map((matcher, i) => decodeStringMatcher(matcher, ctx.at(field, i)))
}

export function decodeListStringMatcher(list: ListStringMatcher | undefined, ctx: Ctx): StringMatcher[] {
  return list === undefined ? [] : decodeStringMatchers(list.patterns, ctx, 'patterns')
}

export function decodeHeaderMatcher(matcher: HeaderMatcherMessage, ctx: Ctx): HeaderMatcher {
  return {
    name: matcher.name.toLowerCase(),
    match: decodeHeaderValueMatch(matcher, ctx),
    invert: matcher.invertMatch,
    treatMissingAsEmpty: matcher.treatMissingHeaderAsEmpty,
  }
}

function decodeHeaderValueMatch(matcher: HeaderMatcherMessage, ctx: Ctx): HeaderValueMatch {
  const specifier = matcher.headerMatchSpecifier
  const string = (kind: 'exact' | 'prefix' | 'suffix' | 'contains', value: string): HeaderValueMatch => ({
    kind: 'string',
    matcher: { kind, value, ignoreCase: false },
  })
  switch (specifier.case) {
    case 'exactMatch':
      // An empty exact_match has always meant "the header is there".
      return specifier.value === '' ? { kind: 'present', present: true } : string('exact', specifier.value)
    case 'prefixMatch':
      return string('prefix', specifier.value)
    case 'suffixMatch':
      return string('suffix', specifier.value)
    case 'containsMatch':
      return string('contains', specifier.value)
    case 'safeRegexMatch':
      return { kind: 'string', matcher: { kind: 'regex', value: decodeRegex(specifier.value, ctx.at('safe_regex_match')) } }
    case 'rangeMatch':
      return { kind: 'range', start: specifier.value.start, end: specifier.value.end }
    case 'presentMatch':
      return { kind: 'present', present: specifier.value }
    case 'stringMatch':
      return { kind: 'string', matcher: decodeStringMatcher(specifier.value, ctx.at('string_match')) }
    default:
      return { kind: 'present', present: true }
  }
}

export function decodeHeaderMatchers(list: readonly HeaderMatcherMessage[], ctx: Ctx, field: string): HeaderMatcher[] {
  return list.map((matcher, i) => decodeHeaderMatcher(matcher, ctx.at(field, i)))
}

export function decodeQueryParameters(list: readonly QueryParameterMatcherMessage[], ctx: Ctx, field: string): QueryParameterMatcher[] {
  return list.map((matcher, i) => {
    const specifier = matcher.queryParameterMatchSpecifier
    if (specifier.case === 'stringMatch') {
      return { name: matcher.name, matcher: decodeStringMatcher(specifier.value, ctx.at(field, i).at('string_match')) }
    }
    return { name: matcher.name, present: specifier.case === 'presentMatch' ? specifier.value : true }
  })
}

export function decodeMetadataMatcher(matcher: MetadataMatcherMessage, ctx: Ctx): MetadataMatcher {
  return {
    namespace: matcher.filter,
    path: matcher.path.map(segment => (segment.segment.case === 'key' ? segment.segment.value : '')),
    value: matcher.value === undefined ? { kind: 'or', anyOf: [] } : decodeValueMatcher(matcher.value, ctx.at('value')),
    invert: matcher.invert,
  }
}

export function decodeValueMatcher(matcher: ValueMatcherMessage, ctx: Ctx): ValueMatcher {
  const pattern = matcher.matchPattern
  switch (pattern.case) {
    case 'nullMatch':
      return { kind: 'null' }
    case 'doubleMatch': {
      const double = pattern.value.matchPattern
      if (double.case === 'exact') return { kind: 'double', exact: double.value }
      return { kind: 'doubleRange', start: double.value?.start ?? 0, end: double.value?.end ?? 0 }
    }
    case 'stringMatch':
      return { kind: 'string', matcher: decodeStringMatcher(pattern.value, ctx.at('string_match')) }
    case 'boolMatch':
      return { kind: 'bool', value: pattern.value }
    case 'presentMatch':
      return { kind: 'present', value: pattern.value }
    case 'listMatch': {
      const one = pattern.value.matchPattern
      if (one.case === 'oneOf') return { kind: 'list', oneOf: decodeValueMatcher(one.value, ctx.at('list_match').at('one_of')) }
      return { kind: 'list', oneOf: { kind: 'or', anyOf: [] } }
    }
    case 'orMatch':
      return {
        kind: 'or',
        anyOf: pattern.value.valueMatchers.map((inner, i) => decodeValueMatcher(inner, ctx.at('or_match').at('value_matchers', i))),
      }
    default:
      return { kind: 'or', anyOf: [] } // the missing oneof has been reported; an empty "or" matches nothing
  }
}
