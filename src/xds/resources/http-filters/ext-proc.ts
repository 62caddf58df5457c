// The ext_proc filter and its per-route form -> model. Called by http-filter.ts and http-filter-override.ts. What would keep a part of the
// message from the processor without a word is refused (field-support.ts).

import type { ExtProcConfig, HeaderMutationRules, HttpFilterOverride, ProcessingMode } from '../../../model/http-filter.js'
import type { HeaderMutationRules as MutationRulesMessage } from '../../gen/envoy/config/common/mutation_rules/v3/mutation_rules_pb.js'
import {
  type ExternalProcessor,
  ExternalProcessor_RouteCacheAction,
  type ExtProcPerRoute,
} from '../../gen/envoy/extensions/filters/http/ext_proc/v3/ext_proc_pb.js'
import {
  ProcessingMode_BodySendMode,
  ProcessingMode_BodySendModeSchema,
  ProcessingMode_HeaderSendMode,
  type ProcessingMode as ProcessingModeMessage,
} from '../../gen/envoy/extensions/filters/http/ext_proc/v3/processing_mode_pb.js'
import type { RegexMatcher } from '../../gen/envoy/type/matcher/v3/regex_pb.js'
import { decodeCelText } from '../cel.js'
import { decodeGrpcService } from '../config-source.js'
import type { Ctx } from '../field-path.js'
import { decodeListStringMatcher, decodeRegex } from '../matchers.js'
import { durationMsOr, enumName } from '../values.js'

const MESSAGE_TIMEOUT_MS = 200
const DEFAULT_MODE: ProcessingMode = {
  requestHeaders: true,
  responseHeaders: true,
  requestBody: 'NONE',
  responseBody: 'NONE',
  requestTrailers: false,
  responseTrailers: false,
}
const ROUTE_CACHE: Record<ExternalProcessor_RouteCacheAction, ExtProcConfig['routeCache']> = {
  [ExternalProcessor_RouteCacheAction.DEFAULT]: 'default',
  [ExternalProcessor_RouteCacheAction.CLEAR]: 'clear',
  [ExternalProcessor_RouteCacheAction.RETAIN]: 'retain',
}

export function decodeExtProc(config: ExternalProcessor, ctx: Ctx): ExtProcConfig {
  const rules = config.forwardRules
  const at = ctx.at('forward_rules')
  const options = config.metadataOptions
  if (config.grpcService === undefined && config.httpService === undefined) ctx.at('grpc_service').error('value is required')
  return {
    service: decodeGrpcService(config.grpcService, ctx.at('grpc_service')),
    failureModeAllow: config.failureModeAllow,
    mode: decodeMode(config.processingMode, ctx.at('processing_mode')),
    messageTimeoutMs: durationMsOr(config.messageTimeout, MESSAGE_TIMEOUT_MS),
    maxMessageTimeoutMs: durationMsOr(config.maxMessageTimeout, 0),
    statPrefix: config.statPrefix,
    allowedHeaders: decodeListStringMatcher(rules?.allowedHeaders, at.at('allowed_headers')),
    disallowedHeaders: decodeListStringMatcher(rules?.disallowedHeaders, at.at('disallowed_headers')),
    statusOnError: config.statusOnError?.code || 500,
    allowModeOverride: config.allowModeOverride,
    disableImmediateResponse: config.disableImmediateResponse,
    mutationRules: decodeMutationRules(config.mutationRules, ctx.at('mutation_rules')),
    routeCache: config.disableClearRouteCache ? 'retain' : (ROUTE_CACHE[config.routeCacheAction] ?? 'default'),
    forwardedNamespaces: options?.forwardingNamespaces?.untyped ?? [],
    receivedNamespaces: options?.receivingNamespaces?.untyped ?? [],
    requestAttributes: decodeAttributes(config.requestAttributes, ctx, 'request_attributes'),
    responseAttributes: decodeAttributes(config.responseAttributes, ctx, 'response_attributes'),
  }
}

function decodeAttributes(expressions: readonly string[], ctx: Ctx, field: string): string[] {
  return expressions.map((text, i) => decodeCelText(text, ctx.at(field, i), 'value'))
}

function decodeMutationRules(rules: MutationRulesMessage | undefined, ctx: Ctx): HeaderMutationRules {
  const expression = (matcher: RegexMatcher | undefined, field: string): string | null =>
    matcher === undefined ? null : decodeRegex(matcher, ctx.at(field))
  return {
    allowAllRouting: rules?.allowAllRouting ?? false,
    allowEnvoy: rules?.allowEnvoy ?? false,
    disallowSystem: rules?.disallowSystem ?? false,
    disallowAll: rules?.disallowAll ?? false,
    allowExpression: expression(rules?.allowExpression, 'allow_expression'),
    disallowExpression: expression(rules?.disallowExpression, 'disallow_expression'),
    disallowIsError: rules?.disallowIsError ?? false,
  }
}

export function decodeExtProcOverride({ override }: ExtProcPerRoute, ctx: Ctx): HttpFilterOverride {
  if (override.case !== 'overrides')
    return { disabled: override.case === 'disabled', kind: 'extProc', mode: null, service: null, failureModeAllow: null }
  const { processingMode, grpcService, failureModeAllow } = override.value
  const at = ctx.at('overrides')
  return {
    disabled: false,
    kind: 'extProc',
    mode: processingMode === undefined ? null : decodeMode(processingMode, at.at('processing_mode')),
    service: grpcService === undefined ? null : decodeGrpcService(grpcService, at.at('grpc_service')),
    failureModeAllow: failureModeAllow ?? null,
  }
}

function decodeMode(mode: ProcessingModeMessage | undefined, ctx: Ctx): ProcessingMode {
  if (mode === undefined) return DEFAULT_MODE
  for (const [field, wanted] of [
    ['request_body_mode', mode.requestBodyMode],
    ['response_body_mode', mode.responseBodyMode],
  ] as const) {
    if (wanted === ProcessingMode_BodySendMode.FULL_DUPLEX_STREAMED || wanted === ProcessingMode_BodySendMode.GRPC)
      ctx
        .at(field)
        .error(`${ProcessingMode_BodySendMode[wanted]} is not supported; there are NONE, STREAMED, BUFFERED and BUFFERED_PARTIAL`)
  }
  return {
    requestHeaders: mode.requestHeaderMode !== ProcessingMode_HeaderSendMode.SKIP,
    responseHeaders: mode.responseHeaderMode !== ProcessingMode_HeaderSendMode.SKIP,
    requestBody: enumName(ProcessingMode_BodySendModeSchema, mode.requestBodyMode) as ProcessingMode['requestBody'],
    responseBody: enumName(ProcessingMode_BodySendModeSchema, mode.responseBodyMode) as ProcessingMode['responseBody'],
    requestTrailers: mode.requestTrailerMode === ProcessingMode_HeaderSendMode.SEND,
    responseTrailers: mode.responseTrailerMode === ProcessingMode_HeaderSendMode.SEND,
  }
}
