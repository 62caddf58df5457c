// Where a redirect leads: a route's answer, or what custom_response asks instead. Made by xds/resources/redirect-action, read by
// l7/route/route-answers.

import type { RegexRewrite } from './matcher.js'

export interface RedirectAction {
  readonly kind: 'redirect'
  readonly httpsRedirect: boolean
  readonly schemeRedirect: string
  readonly hostRedirect: string
  readonly portRedirect: number
  readonly pathRedirect: string
  readonly prefixRewrite: string
  readonly regexRewrite: RegexRewrite | null
  readonly pathFormat: string
  readonly status: 301 | 302 | 303 | 307 | 308
  readonly stripQuery: boolean
}
