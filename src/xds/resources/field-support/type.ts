// Field support of the value types: matchers, metadata keys, ranges, percents, typed structs.
// Messages in alphabetical order; message-support.ts has the shape, field-support-table.ts joins the tables.

import type { SupportTable } from './message-support.js'

export const TYPE_SUPPORT: SupportTable = {
  'envoy.type.matcher.v3.DoubleMatcher': { supported: 'range exact' },
  'envoy.type.matcher.v3.ListMatcher': { supported: 'one_of' },
  'envoy.type.matcher.v3.ListStringMatcher': { supported: 'patterns' },
  'envoy.type.matcher.v3.MetadataMatcher': { supported: 'filter path value invert' },
  'envoy.type.matcher.v3.MetadataMatcher.PathSegment': { supported: 'key' },
  'envoy.type.matcher.v3.OrMatcher': { supported: 'value_matchers' },
  'envoy.type.matcher.v3.PathMatcher': { supported: 'path' },
  'envoy.type.matcher.v3.RegexMatchAndSubstitute': { supported: 'pattern substitution' },
  'envoy.type.matcher.v3.RegexMatcher': { supported: 'google_re2 regex' },
  'envoy.type.matcher.v3.RegexMatcher.GoogleRE2': { supported: '', accepted: { max_program_size: '' } },
  'envoy.type.matcher.v3.StringMatcher': {
    supported: 'exact prefix suffix safe_regex contains ignore_case',
    refused: { custom: 'custom string matchers are not supported' },
  },
  'envoy.type.matcher.v3.ValueMatcher': { supported: 'null_match double_match string_match bool_match present_match list_match or_match' },
  'envoy.type.matcher.v3.ValueMatcher.NullMatch': { supported: '' },
  'envoy.type.metadata.v3.MetadataKey': { supported: 'key path' },
  'envoy.type.metadata.v3.MetadataKey.PathSegment': { supported: 'key' },
  'envoy.type.metadata.v3.MetadataKind': { supported: 'request route cluster host' },
  'envoy.type.metadata.v3.MetadataKind.Cluster': { supported: '' },
  'envoy.type.metadata.v3.MetadataKind.Host': { supported: '' },
  'envoy.type.metadata.v3.MetadataKind.Request': { supported: '' },
  'envoy.type.metadata.v3.MetadataKind.Route': { supported: '' },
  'envoy.type.v3.DoubleRange': { supported: 'start end' },
  'envoy.type.v3.FractionalPercent': { supported: 'numerator denominator' },
  'envoy.type.v3.HashPolicy': { supported: 'source_ip filter_state' },
  'envoy.type.v3.HashPolicy.FilterState': { supported: 'key' },
  'envoy.type.v3.HashPolicy.SourceIp': { supported: '' },
  'envoy.type.v3.HttpStatus': { supported: 'code' },
  'envoy.type.v3.Int32Range': { supported: 'start end' },
  'envoy.type.v3.Int64Range': { supported: 'start end' },
  'envoy.type.v3.Percent': { supported: 'value' },
  'envoy.type.v3.TokenBucket': { supported: 'max_tokens tokens_per_fill fill_interval' },
  'udpa.type.v1.TypedStruct': { supported: 'type_url value' },
  'xds.type.v3.TypedStruct': { supported: 'type_url value' },
}
