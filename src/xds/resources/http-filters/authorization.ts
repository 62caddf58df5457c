// HTTP filters that decide who may pass: rbac, jwt_authn, ext_authz, csrf -> model. Called by http-filter.ts and
// http-filter-override.ts. What would let a request through that the config stops is refused (field-support.ts).

import type { CsrfPolicy, ExtAuthzConfig, JwtConfig, JwtProvider, JwtRequirement } from '../../../model/http-filter.js'
import type { RbacConfig } from '../../../model/rbac.js'
import type { CsrfPolicy as CsrfPolicyMessage } from '../../gen/envoy/extensions/filters/http/csrf/v3/csrf_pb.js'
import type { ExtAuthz, HttpService } from '../../gen/envoy/extensions/filters/http/ext_authz/v3/ext_authz_pb.js'
import type {
  JwtAuthentication,
  JwtProvider as JwtProviderMessage,
  JwtRequirement as JwtRequirementMessage,
} from '../../gen/envoy/extensions/filters/http/jwt_authn/v3/config_pb.js'
import type { RBAC } from '../../gen/envoy/extensions/filters/http/rbac/v3/rbac_pb.js'
import { checkApiVersion, decodeGrpcService } from '../config-source.js'
import { decodeDataSource } from '../data-source.js'
import type { Ctx } from '../field-path.js'
import { decodeListStringMatcher, decodeStringMatcher, decodeStringMatchers } from '../matchers.js'
import { decodeRbacMatcher, decodeRbacRules, HTTP_RBAC_INPUTS } from '../rbac.js'
import { decodeRouteMatch } from '../route-match.js'
import { decodeRuntimeFlag, decodeRuntimeFraction, durationMsOr } from '../values.js'

/** Keys are asked for by scheme and host. */
const ABSOLUTE_URI = /^[a-z][a-z0-9+.-]*:\/\/[^/?#]+/i

export function decodeHttpRbac(rbac: RBAC, ctx: Ctx): RbacConfig {
  return {
    rules: decodeRbacRules(rbac.rules, ctx.at('rules')),
    shadowRules: decodeRbacRules(rbac.shadowRules, ctx.at('shadow_rules')),
    matcher: decodeRbacMatcher(rbac.matcher, HTTP_RBAC_INPUTS, ctx.at('matcher')),
    shadowMatcher: decodeRbacMatcher(rbac.shadowMatcher, HTTP_RBAC_INPUTS, ctx.at('shadow_matcher')),
    rulesStatPrefix: rbac.rulesStatPrefix,
    shadowRulesStatPrefix: rbac.shadowRulesStatPrefix,
    trackPerRuleStats: rbac.trackPerRuleStats,
    statPrefix: '',
  }
}

export function decodeCsrf(policy: CsrfPolicyMessage, ctx: Ctx): CsrfPolicy {
  return {
    enabled: policy.filterEnabled === undefined ? NEVER : decodeRuntimeFraction(policy.filterEnabled),
    shadowEnabled: policy.shadowEnabled === undefined ? null : decodeRuntimeFraction(policy.shadowEnabled),
    additionalOrigins: decodeStringMatchers(policy.additionalOrigins, ctx, 'additional_origins'),
  }
}

const NEVER = { numerator: 0, denominator: 100, runtimeKey: '' }

const AUTHZ_TIMEOUT_MS = 200

export function decodeExtAuthz(config: ExtAuthz, ctx: Ctx): ExtAuthzConfig {
  const body = config.withRequestBody
  return {
    service: decodeAuthzService(config, ctx),
    failureModeAllow: config.failureModeAllow,
    failureModeAllowHeaderAdd: config.failureModeAllowHeaderAdd,
    withRequestBody:
      body === undefined ? null : { maxBytes: body.maxRequestBytes, allowPartial: body.allowPartialMessage, packAsBytes: body.packAsBytes },
    clearRouteCache: config.clearRouteCache,
    statusOnError: config.statusOnError?.code || 403,
    filterEnabled: config.filterEnabled === undefined ? null : decodeRuntimeFraction(config.filterEnabled),
    denyAtDisable: decodeRuntimeFlag(config.denyAtDisable, false),
    includePeerCertificate: config.includePeerCertificate,
    statPrefix: config.statPrefix,
    metadataContextNamespaces: config.metadataContextNamespaces,
    allowedHeaders: decodeListStringMatcher(config.allowedHeaders, ctx.at('allowed_headers')),
    disallowedHeaders: decodeListStringMatcher(config.disallowedHeaders, ctx.at('disallowed_headers')),
  }
}

function decodeAuthzService(config: ExtAuthz, ctx: Ctx): ExtAuthzConfig['service'] {
  checkApiVersion(config.transportApiVersion, ctx, 'transport_api_version')
  const service = config.services
  if (service.case === 'httpService') return decodeAuthzHttpService(service.value, ctx.at('http_service'))
  if (service.case === undefined) ctx.error('one of grpc_service, http_service is required')
  const grpc = decodeGrpcService(service.value, ctx.at('grpc_service'))
  return { kind: 'grpc', grpc: { ...grpc, timeoutMs: grpc.timeoutMs ?? AUTHZ_TIMEOUT_MS } }
}

function decodeAuthzHttpService(service: HttpService, ctx: Ctx): ExtAuthzConfig['service'] {
  const uri = service.serverUri
  if (uri === undefined) ctx.at('server_uri').error('value is required')
  if (service.pathPrefix !== '' && !service.pathPrefix.startsWith('/')) ctx.at('path_prefix').error("value must begin with '/'")
  const request = service.authorizationRequest
  const response = service.authorizationResponse
  const requestCtx = ctx.at('authorization_request')
  const responseCtx = ctx.at('authorization_response')
  return {
    kind: 'http',
    cluster: uri?.httpUpstreamType.case === 'cluster' ? uri.httpUpstreamType.value : '',
    uri: uri?.uri ?? '',
    timeoutMs: durationMsOr(uri?.timeout, AUTHZ_TIMEOUT_MS),
    pathPrefix: service.pathPrefix,
    allowedRequestHeaders: decodeListStringMatcher(request?.allowedHeaders, requestCtx.at('allowed_headers')),
    headersToAdd: (request?.headersToAdd ?? []).map(header => ({ key: header.key.toLowerCase(), value: header.value })),
    allowedUpstreamHeaders: decodeListStringMatcher(response?.allowedUpstreamHeaders, responseCtx.at('allowed_upstream_headers')),
    allowedUpstreamHeadersToAppend: decodeListStringMatcher(
      response?.allowedUpstreamHeadersToAppend,
      responseCtx.at('allowed_upstream_headers_to_append'),
    ),
    allowedClientHeaders: decodeListStringMatcher(response?.allowedClientHeaders, responseCtx.at('allowed_client_headers')),
    allowedClientHeadersOnSuccess: decodeListStringMatcher(
      response?.allowedClientHeadersOnSuccess,
      responseCtx.at('allowed_client_headers_on_success'),
    ),
  }
}

const JWKS_TIMEOUT_MS = 5000
const JWKS_CACHE_MS = 600_000
const CLOCK_SKEW_SECONDS = 60

export function decodeJwtAuthn(config: JwtAuthentication, ctx: Ctx): JwtConfig {
  const providers = new Map<string, JwtProvider>()
  for (const [name, provider] of Object.entries(config.providers)) {
    providers.set(name, decodeJwtProvider(name, provider, ctx.at('providers', name)))
  }
  const requirementMap = new Map<string, JwtRequirement>()
  for (const [name, requirement] of Object.entries(config.requirementMap)) {
    requirementMap.set(name, decodeRequirement(requirement, ctx.at('requirement_map', name), providers))
  }
  const rules = config.rules.map((rule, i) => {
    const at = ctx.at('rules', i)
    const match = decodeRouteMatch(rule.match, at.at('match'))
    const type = rule.requirementType
    let requires: JwtRequirement = { kind: 'none' }
    if (type.case === 'requires') requires = decodeRequirement(type.value, at.at('requires'), providers)
    else if (type.case === 'requirementName') {
      const named = requirementMap.get(type.value)
      if (named === undefined) at.at('requirement_name').error(`'${type.value}' is not in requirement_map`)
      requires = named ?? requires
    }
    return { match, requires }
  })
  return {
    providers,
    rules,
    requirementMap,
    bypassCorsPreflight: config.bypassCorsPreflight,
    stripFailureResponse: config.stripFailureResponse,
    statPrefix: config.statPrefix,
  }
}

function decodeJwtProvider(name: string, provider: JwtProviderMessage, ctx: Ctx): JwtProvider {
  return {
    name,
    issuer: provider.issuer,
    audiences: provider.audiences,
    subjects: provider.subjects === undefined ? null : decodeStringMatcher(provider.subjects, ctx.at('subjects')),
    requireExpiration: provider.requireExpiration,
    maxLifetimeMs: durationMsOr(provider.maxLifetime, null),
    forward: provider.forward,
    forwardPayloadHeader: provider.forwardPayloadHeader.toLowerCase(),
    padForwardPayloadHeader: provider.padForwardPayloadHeader,
    payloadInMetadata: provider.payloadInMetadata,
    spaceDelimitedClaims: provider.normalizePayloadInMetadata?.spaceDelimitedClaims ?? [],
    headerInMetadata: provider.headerInMetadata,
    failedStatusInMetadata: provider.failedStatusInMetadata,
    fromHeaders: provider.fromHeaders.map(header => ({ name: header.name.toLowerCase(), valuePrefix: header.valuePrefix })),
    fromParams: provider.fromParams,
    fromCookies: provider.fromCookies,
    clockSkewSeconds: provider.clockSkewSeconds === 0 ? CLOCK_SKEW_SECONDS : provider.clockSkewSeconds,
    claimToHeaders: provider.claimToHeaders.map(({ headerName, claimName, claimPath }, i) => {
      // One with both is refused for its path.
      if (claimName === '' && claimPath.length === 0)
        ctx.at('claim_to_headers', i).error(`the entry for header '${headerName}' has to name its claim: set claim_name`)
      return { headerName: headerName.toLowerCase(), claimName }
    }),
    clearRouteCache: provider.clearRouteCache,
    jwks: decodeJwks(provider, ctx),
    // 0 = no cache; an empty jwt_cache_config means 100 tokens.
    cacheSize: provider.jwtCacheConfig === undefined ? 0 : provider.jwtCacheConfig.jwtCacheSize || 100,
  }
}

function decodeJwks(provider: JwtProviderMessage, ctx: Ctx): JwtProvider['jwks'] {
  const source = provider.jwksSourceSpecifier
  if (source.case === 'remoteJwks') {
    const { httpUri, cacheDuration, asyncFetch, retryPolicy } = source.value
    const at = ctx.at('remote_jwks')
    if (httpUri === undefined) at.at('http_uri').error('value is required')
    else if (!ABSOLUTE_URI.test(httpUri.uri) || !URL.canParse(httpUri.uri))
      at.at('http_uri').at('uri').error(`'${httpUri.uri}' is not an absolute URI`)
    const base = durationMsOr(retryPolicy?.retryBackOff?.baseInterval, 1000)
    const longest = durationMsOr(retryPolicy?.retryBackOff?.maxInterval, base * 10)
    if (longest < base)
      at.at('retry_policy').at('retry_back_off').at('max_interval').error('must be greater than or equal to the base_interval')
    return {
      kind: 'remote',
      uri: httpUri?.uri ?? '',
      cluster: httpUri?.httpUpstreamType.case === 'cluster' ? httpUri.httpUpstreamType.value : '',
      timeoutMs: durationMsOr(httpUri?.timeout, JWKS_TIMEOUT_MS),
      cacheMs: durationMsOr(cacheDuration, JWKS_CACHE_MS),
      asyncFetch: asyncFetch !== undefined,
      failedRefetchMs: durationMsOr(asyncFetch?.failedRefetchDuration, 1000),
      retries: retryPolicy === undefined ? 0 : (retryPolicy.numRetries ?? 1),
      retryBaseMs: base,
      retryMaxMs: longest,
    }
  }
  const local = source.case === 'localJwks' ? decodeDataSource(source.value, ctx.at('local_jwks')) : null
  if (local?.kind === 'inline') checkJwks(local.text, ctx.at('local_jwks'))
  return { kind: 'local', source: local ?? { kind: 'inline', text: '' } }
}

/** `{kid: PEM}`, the other form of a key set. */
function isCertificateMap(document: object): boolean {
  const values: unknown[] = Object.values(document)
  return values.length > 0 && values.every(pem => typeof pem === 'string' && pem.startsWith('-----BEGIN CERTIFICATE-----'))
}

/** A set without a key could never accept a token: Envoy refuses it too. Keys that cannot be used are the filter's to judge. */
function checkJwks(text: string, ctx: Ctx): void {
  try {
    const document = JSON.parse(text) as { keys?: unknown }
    const { keys } = document
    if (keys === undefined && isCertificateMap(document)) return
    if (!Array.isArray(keys) || keys.length === 0) ctx.error("the JWKS doesn't have any valid public key")
  } catch {
    ctx.error('the JWKS is invalid JSON')
  }
}

function decodeRequirement(requirement: JwtRequirementMessage, ctx: Ctx, providers: ReadonlyMap<string, JwtProvider>): JwtRequirement {
  const known = (provider: string, at: Ctx): string => {
    if (!providers.has(provider)) at.at('provider_name').error(`'${provider}' is not in providers`)
    return provider
  }
  const type = requirement.requiresType
  switch (type.case) {
    case 'providerName':
      return { kind: 'provider', provider: known(type.value, ctx), audiences: [] }
    case 'providerAndAudiences':
      return {
        kind: 'provider',
        provider: known(type.value.providerName, ctx.at('provider_and_audiences')),
        audiences: type.value.audiences,
      }
    case 'requiresAny':
    case 'requiresAll': {
      const any = type.case === 'requiresAny'
      const at = ctx.at(any ? 'requires_any' : 'requires_all')
      return {
        kind: any ? 'any' : 'all',
        requirements: type.value.requirements.map((inner, i) => decodeRequirement(inner, at.at('requirements', i), providers)),
      }
    }
    case 'allowMissing':
      return { kind: 'allowMissing' }
    case 'allowMissingOrFailed':
      return { kind: 'allowMissingOrFailed' }
    default:
      return { kind: 'none' }
  }
}
