// envoy.config.route.v3.RedirectAction -> model. Called by route.ts and by custom_response's decoder.

import type { RedirectAction } from '../../model/redirect-action.js'
import {
  RedirectAction_RedirectResponseCode,
  type RedirectAction as RedirectActionMessage,
} from '../gen/envoy/config/route/v3/route_components_pb.js'
import type { Ctx } from './field-path.js'
import { checkFormat, modernFormat } from './format-string.js'
import { decodeRegexRewrite } from './values.js'

const REDIRECT_STATUS: Record<RedirectAction_RedirectResponseCode, RedirectAction['status']> = {
  [RedirectAction_RedirectResponseCode.MOVED_PERMANENTLY]: 301,
  [RedirectAction_RedirectResponseCode.FOUND]: 302,
  [RedirectAction_RedirectResponseCode.SEE_OTHER]: 303,
  [RedirectAction_RedirectResponseCode.TEMPORARY_REDIRECT]: 307,
  [RedirectAction_RedirectResponseCode.PERMANENT_REDIRECT]: 308,
}

export function decodeRedirect(redirect: RedirectActionMessage, ctx: Ctx): RedirectAction {
  const scheme = redirect.schemeRewriteSpecifier
  const path = redirect.pathRewriteSpecifier
  if (redirect.stripQuery && path.case === 'pathRedirect' && path.value.includes('?')) {
    ctx.at('strip_query').warn('path_redirect carries a query of its own, which stays')
  }
  if (redirect.portRedirect > 65_535) ctx.at('port_redirect').error('value must be at most 65535')
  if (redirect.pathRewrite !== '' && path.case !== undefined) {
    ctx.at('path_rewrite').error('only one of path_redirect, prefix_rewrite, regex_rewrite and path_rewrite may be set')
  }
  checkFormat(redirect.pathRewrite, ctx.at('path_rewrite'))
  return {
    kind: 'redirect',
    httpsRedirect: scheme.case === 'httpsRedirect' && scheme.value,
    schemeRedirect: scheme.case === 'schemeRedirect' ? scheme.value : '',
    hostRedirect: redirect.hostRedirect,
    portRedirect: redirect.portRedirect,
    pathRedirect: path.case === 'pathRedirect' ? path.value : '',
    prefixRewrite: path.case === 'prefixRewrite' ? path.value : '',
    regexRewrite: path.case === 'regexRewrite' ? decodeRegexRewrite(path.value, ctx.at('regex_rewrite')) : null,
    pathFormat: modernFormat(redirect.pathRewrite),
    status: REDIRECT_STATUS[redirect.responseCode] ?? 301,
    stripQuery: redirect.stripQuery,
  }
}
