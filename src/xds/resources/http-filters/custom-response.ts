// custom_response and its two policies -> model. Called by http-filter.ts and http-filter-override.ts.

import type { CustomResponseConfig, ResponsePolicy } from '../../../model/custom-response.js'
import type { MatchInput } from '../../../model/match-tree.js'
import type { CustomResponse } from '../../gen/envoy/extensions/filters/http/custom_response/v3/custom_response_pb.js'
import type { LocalResponsePolicy } from '../../gen/envoy/extensions/http/custom_response/local_response_policy/v3/local_response_policy_pb.js'
import type { RedirectPolicy } from '../../gen/envoy/extensions/http/custom_response/redirect_policy/v3/redirect_policy_pb.js'
import type { TypedExtensionConfig } from '../../gen/xds/core/v3/extension_pb.js'
import { decodeLogFormat } from '../access-log.js'
import { describeType, unpackAny } from '../any.js'
import { readDataSource } from '../data-source.js'
import type { Ctx } from '../field-path.js'
import { decodeMatchTree } from '../match-tree.js'
import { HTTP_RBAC_INPUTS } from '../rbac.js'
import { decodeRedirect } from '../redirect-action.js'
import { decodeHeaderOptions } from '../values.js'

/** Envoy's log says nothing there. */
const DETAILS = 'custom_response'

const POLICIES = 'envoy.extensions.http.custom_response.'

/** Of the request and of its response. */
const INPUTS: ReadonlySet<MatchInput['kind']> = new Set<MatchInput['kind']>([
  ...HTTP_RBAC_INPUTS,
  'responseHeader',
  'responseStatus',
  'responseStatusClass',
  'responseIsLocal',
])

export function decodeCustomResponse({ customResponseMatcher }: CustomResponse, ctx: Ctx): CustomResponseConfig {
  if (customResponseMatcher === undefined) return { tree: null }
  return { tree: decodeMatchTree(customResponseMatcher, { inputs: INPUTS, action: decodePolicy }, ctx.at('custom_response_matcher')) }
}

function decodePolicy({ name, typedConfig }: TypedExtensionConfig, ctx: Ctx): ResponsePolicy | null {
  const at = ctx.at('typed_config')
  const { typeName, typeUrl, message } = unpackAny(typedConfig!, at)
  const type = typeName.startsWith(POLICIES) ? typeName.slice(POLICIES.length) : ''
  switch (type) {
    case 'local_response_policy.v3.LocalResponsePolicy':
      return message === null ? null : decodeLocal(message as LocalResponsePolicy, at)
    case 'redirect_policy.v3.RedirectPolicy':
      return message === null ? null : decodeRedirected(message as RedirectPolicy, at)
  }
  at.error(`unknown response policy '${name}' (${describeType(typeUrl)})`)
  return null
}

function decodeLocal(policy: LocalResponsePolicy, ctx: Ctx): ResponsePolicy {
  const { body, bodyFormat, statusCode, responseHeadersToAdd, responseCodeDetailsAction: details } = policy
  const bytes = body === undefined ? null : readDataSource(body, ctx.at('body'))
  return {
    kind: 'local',
    body: bytes === null ? null : Buffer.from(bytes).toString('latin1'),
    format: bodyFormat === undefined ? null : decodeLogFormat(bodyFormat, ctx.at('body_format')),
    status: statusCode ?? null,
    responseHeadersToAdd: decodeHeaderOptions(responseHeadersToAdd, ctx, 'response_headers_to_add'),
    details: details.case === 'responseCodeDetails' ? details.value : details.case === 'preserveResponseCodeDetails' ? null : DETAILS,
  }
}

function decodeRedirected(policy: RedirectPolicy, ctx: Ctx): ResponsePolicy | null {
  const { redirectActionSpecifier: specifier, statusCode, responseHeadersToAdd, requestHeadersToAdd, modifyRequestHeadersAction } = policy
  if (modifyRequestHeadersAction !== undefined)
    ctx.at('modify_request_headers_action').error(`unknown action '${modifyRequestHeadersAction.name}'`)
  if (specifier.case === undefined) return null // reported
  return {
    kind: 'redirect',
    to: specifier.case === 'uri' ? { uri: checkedUri(specifier.value, ctx.at('uri')) } : { action: decodeAction(specifier.value, ctx) },
    status: statusCode ?? null,
    responseHeadersToAdd: decodeHeaderOptions(responseHeadersToAdd, ctx, 'response_headers_to_add'),
    requestHeadersToAdd: decodeHeaderOptions(requestHeadersToAdd, ctx, 'request_headers_to_add'),
  }
}

function checkedUri(uri: string, ctx: Ctx): string {
  if (!/^https?:\/\/[^/?#\s@]+([/?#]\S*)?$/i.test(uri)) ctx.error(`'${uri}' is no absolute URL of http or https`)
  return uri
}

function decodeAction(message: Parameters<typeof decodeRedirect>[0], ctx: Ctx): ReturnType<typeof decodeRedirect> {
  const at = ctx.at('redirect_action')
  const action = decodeRedirect(message, at)
  if (action.regexRewrite !== null) at.at('regex_rewrite').error('not there for a custom response; use path_redirect')
  if (action.prefixRewrite !== '') at.at('prefix_rewrite').error('not there for a custom response; use path_redirect')
  if (action.pathFormat !== '') at.at('path_rewrite').error('not there for a custom response; use path_redirect')
  if (action.pathRedirect.includes('#')) at.at('path_redirect').error('a fragment has no place in it')
  if (action.hostRedirect === '' && action.pathRedirect === '') at.error('one of host_redirect and path_redirect is required')
  return action
}
