// HTTP filters that look at headers and bodies: router, grpc_stats, header_to_metadata -> model. Called by http-filter.ts.

import type { HeaderToMetadataConfig, HeaderToMetadataRule, RouterConfig } from '../../../model/http-filter.js'
import type { FilterConfig as GrpcStats } from '../../gen/envoy/extensions/filters/http/grpc_stats/v3/config_pb.js'
import {
  type Config_KeyValuePair,
  type Config_Rule,
  Config_ValueEncode,
  Config_ValueTypeSchema,
  type Config as HeaderToMetadata,
} from '../../gen/envoy/extensions/filters/http/header_to_metadata/v3/header_to_metadata_pb.js'
import type { Router } from '../../gen/envoy/extensions/filters/http/router/v3/router_pb.js'
import { describeType } from '../any.js'
import type { Ctx } from '../field-path.js'
import { decodeRegexRewrite, enumName } from '../values.js'

export function decodeRouter(router: Router, ctx: Ctx): RouterConfig {
  router.upstreamHttpFilters.forEach((filter, i) => {
    const at = ctx.at('upstream_http_filters', i).at('typed_config')
    const typeUrl = filter.configType.case === 'typedConfig' ? filter.configType.value.typeUrl : ''
    // The codec is what every chain ends with; any other filter would be skipped in silence.
    if (!typeUrl.endsWith('envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec') && !filter.isOptional) {
      at.error(`upstream HTTP filter '${filter.name}' is not supported (${describeType(typeUrl)})`)
    }
  })
  return {
    dynamicStats: router.dynamicStats ?? true,
    startChildSpan: router.startChildSpan,
    suppressEnvoyHeaders: router.suppressEnvoyHeaders,
    respectExpectedRqTimeout: router.respectExpectedRqTimeout,
    strictCheckHeaders: router.strictCheckHeaders.map(name => name.toLowerCase()),
  }
}

export function decodeGrpcStats(config: GrpcStats) {
  const specifier = config.perMethodStatSpecifier
  return {
    emitFilterState: config.emitFilterState,
    // Envoy's default, without a specifier, is no per-method statistics.
    statsForAllMethods: specifier.case === 'statsForAllMethods' ? specifier.value.value : false,
    individualMethods:
      specifier.case === 'individualMethodStatsAllowlist'
        ? specifier.value.services.map(service => ({ service: service.name, methods: service.methodNames }))
        : [],
    enableUpstreamStats: config.enableUpstreamStats,
  }
}

export function decodeHeaderToMetadata(config: HeaderToMetadata, ctx: Ctx): HeaderToMetadataConfig {
  return {
    request: config.requestRules.map((rule, i) => decodeMetadataRule(rule, ctx.at('request_rules', i))),
    response: config.responseRules.map((rule, i) => decodeMetadataRule(rule, ctx.at('response_rules', i))),
  }
}

function decodeMetadataRule(rule: Config_Rule, ctx: Ctx): HeaderToMetadataRule {
  if ((rule.header === '') === (rule.cookie === '')) ctx.error('exactly one of header and cookie must be set')
  if (rule.onHeaderPresent === undefined && rule.onHeaderMissing === undefined) {
    ctx.error('one of on_header_present and on_header_missing is required')
  }
  if (rule.cookie !== '' && rule.remove) ctx.at('remove').error('cannot remove a cookie')
  const missing = rule.onHeaderMissing
  if (missing !== undefined && missing.value === '') ctx.at('on_header_missing').at('value').error('value is required')
  const present = rule.onHeaderPresent
  if (present !== undefined && present.value !== '' && present.regexValueRewrite !== undefined) {
    ctx.at('on_header_present').error('only one of value and regex_value_rewrite may be set')
  }
  return {
    header: rule.header.toLowerCase(),
    cookie: rule.cookie,
    onPresent:
      present === undefined
        ? null
        : {
            ...decodeKeyValue(present),
            regexRewrite:
              present.regexValueRewrite === undefined
                ? null
                : decodeRegexRewrite(present.regexValueRewrite, ctx.at('on_header_present').at('regex_value_rewrite')),
            encodeBase64: present.encode === Config_ValueEncode.BASE64,
          },
    onMissing: missing === undefined ? null : decodeKeyValue(missing),
    remove: rule.remove,
  }
}

function decodeKeyValue(pair: Config_KeyValuePair) {
  return {
    // Envoy's default namespace is the filter's name.
    namespace: pair.metadataNamespace || 'envoy.filters.http.header_to_metadata',
    key: pair.key,
    value: pair.value,
    type: enumName(Config_ValueTypeSchema, pair.type) as 'STRING' | 'NUMBER' | 'PROTOBUF_VALUE',
  }
}
