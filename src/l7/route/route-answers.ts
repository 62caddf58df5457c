// Answers that a route itself gives: redirects and direct responses. Called by CompiledRoute.answer, and by the request path for the
// redirect of an unescaped path. They leave through the exchange's one way for local replies.

import type { RouterHandles } from '../../metrics/stat-names.js'
import type { RedirectAction } from '../../model/redirect-action.js'
import type { DirectResponseAction } from '../../model/route.js'
import { toByteString } from '../codec/byte-string.js'
import type { RequestHead } from '../codec/codec.js'
import { HeaderList } from '../codec/header-list.js'
import type { StreamInfo } from '../stream/stream-info.js'
import type { PathRewriter } from './path-rewrite.js'

/** What answering needs of an exchange. */
export interface AnswerTarget {
  readonly request: RequestHead
  readonly info: StreamInfo
  readonly runtime: { readonly router: RouterHandles }
  sendReply(status: number, body: string, details: string, flags: number, headers?: HeaderList | null): void
}

const DIRECT_RESPONSE = 'direct_response'

export function answerDirectly(
  exchange: Pick<AnswerTarget, 'sendReply'>,
  status: number,
  body: string,
  details: string,
  headers: readonly (readonly [string, string])[],
): void {
  exchange.sendReply(status, body, details, 0, headers.length === 0 ? null : HeaderList.of(...headers))
}

export function answerRedirect(exchange: AnswerTarget, action: RedirectAction, rewritePath: PathRewriter | null): void {
  // Envoy's router counts a redirect as what it answers by itself.
  exchange.runtime.router.rq_direct_response.value++
  const location = redirectLocation(exchange, action, rewritePath)
  answerDirectly(exchange, action.status, '', DIRECT_RESPONSE, [['location', location]])
}

export function answerDirectResponse(exchange: AnswerTarget, action: DirectResponseAction): void {
  exchange.runtime.router.rq_direct_response.value++
  const { status } = action
  // Envoy gives these codes a Location: the request's own URL.
  const location: [string, string][] =
    status === 201 || (status >= 300 && status < 400)
      ? [['location', `${exchange.request.scheme || 'http'}://${exchange.request.authority}${exchange.request.path}`]]
      : []
  answerDirectly(exchange, status, action.body, DIRECT_RESPONSE, location)
}

/** require_tls: the same address over https, its port kept (Envoy createSslRedirectPath). */
export function answerTlsRedirect(exchange: AnswerTarget): void {
  exchange.runtime.router.rq_redirect.value++
  const { authority, path } = exchange.request
  answerDirectly(exchange, 301, '', DIRECT_RESPONSE, [['location', `https://${authority}${path}`]])
}

/** Envoy's newUri: each part is the action's, or the request's. A path_redirect with a query of its own keeps that query. */
export function redirectLocation(
  { request: head, info }: Pick<AnswerTarget, 'request' | 'info'>,
  action: RedirectAction,
  rewritePath: PathRewriter | null,
): string {
  const scheme = action.schemeRedirect !== '' ? action.schemeRedirect : action.httpsRedirect ? 'https' : head.scheme || 'http'
  const port = action.portRedirect === 0 ? '' : `:${action.portRedirect}`
  const host = action.hostRedirect !== '' ? toByteString(action.hostRedirect) : requestHost(head, scheme, port !== '')
  let path = rewritePath === null ? head.path : rewritePath(head.path, info)
  if (action.pathRedirect !== '') {
    const query = path.indexOf('?')
    const keepsQuery = query !== -1 && !action.stripQuery && !action.pathRedirect.includes('?')
    path = toByteString(action.pathRedirect) + (keepsQuery ? path.slice(query) : '')
  } else if (action.stripQuery) path = path.split('?', 1)[0]!
  return `${scheme}://${host}${port}${path}`
}

/** The request's host, without its port where a new one comes, or where it was the old scheme's default. */
function requestHost(head: RequestHead, newScheme: string, newPort: boolean): string {
  const { authority } = head
  const colon = authority.lastIndexOf(':')
  if (colon === -1 || colon < authority.lastIndexOf(']')) return authority
  const protocol = head.headers.get('x-forwarded-proto') ?? head.scheme
  const port = authority.slice(colon)
  const wasDefault = newScheme !== protocol && ((protocol === 'https' && port === ':443') || (protocol === 'http' && port === ':80'))
  return newPort || wasDefault ? authority.slice(0, colon) : authority
}
