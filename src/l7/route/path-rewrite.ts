// prefix_rewrite, regex_rewrite, path_rewrite and the host rewrites of a route, compiled. Called by CompiledForward before a request is sent, and by
// redirects, which rewrite the path in the same way. The query is kept.

import type { RegexRewrite } from '../../model/matcher.js'
import type { ForwardAction } from '../../model/route.js'
import { toByteString } from '../codec/byte-string.js'
import type { RequestHead } from '../codec/codec.js'
import { compileSubstitution } from '../match/regex.js'
import { pathOnly, withoutPathParameters } from '../match/route-match.js'
import type { StreamInfo } from '../stream/stream-info.js'
import { compileHostFormat, compilePathFormat } from './rewrite-format.js'

/** What a forwarding route and a redirect may say of the path. */
interface PathRewrites {
  readonly prefixRewrite: string
  readonly regexRewrite: RegexRewrite | null
  readonly pathFormat: string
}

/** The new path, with its query; the old one when nothing changes. */
export type PathRewriter = (path: string, info: StreamInfo) => string

/**
 * `matchPath`: how much of a path the route's match consumes (CompiledRouteMatch.matchPath): that is what a prefix rewrite replaces,
 * the whole path for exact and regex matches. Null when no rewrite is set.
 */
export function compilePathRewrite(
  { prefixRewrite, regexRewrite, pathFormat }: PathRewrites,
  matchPath: (path: string) => number,
): PathRewriter | null {
  if (prefixRewrite !== '') {
    const replacement = toByteString(prefixRewrite)
    return path => {
      const plain = pathOnly(path)
      const length = matchPath(plain)
      if (length !== -1) return replacement + path.slice(length)
      // The route matched without path parameters only: what was matched is what is rewritten.
      const stripped = withoutPathParameters(plain)
      return replacement + stripped.slice(Math.max(0, matchPath(stripped))) + path.slice(plain.length)
    }
  }
  if (pathFormat !== '') {
    const format = compilePathFormat(pathFormat)
    return (path, info) => format(info) + path.slice(pathOnly(path).length)
  }
  if (regexRewrite === null) return null
  const substitute = compileSubstitution(regexRewrite.pattern, regexRewrite.substitution)
  return path => {
    const plain = pathOnly(path)
    return substitute(plain) + path.slice(plain.length)
  }
}

/** The new host, or '' to keep the request's. Null: the route rewrites no host (or only for the endpoint: auto_host_rewrite). */
export function compileHostRewrite(rewrite: ForwardAction['hostRewrite']): ((head: RequestHead, info: StreamInfo) => string) | null {
  if (rewrite === null || rewrite.kind === 'auto') return null
  if (rewrite.kind === 'literal') {
    const host = toByteString(rewrite.value)
    return () => host
  }
  if (rewrite.kind === 'header') {
    const name = rewrite.value
    return head => head.headers.get(name) ?? ''
  }
  if (rewrite.kind === 'format') {
    const format = compileHostFormat(rewrite.value)
    return (_head, info) => format(info)
  }
  const { pattern, substitution } = rewrite.regex ?? { pattern: '', substitution: '' }
  const substitute = compileSubstitution(pattern, substitution)
  return head => substitute(pathOnly(head.path))
}

/** Set the host and keep the old one in x-forwarded-host where asked for, unless it is the last one there (Envoy updateAuthority). */
export function updateAuthority(head: RequestHead, host: string, appendForwardedHost: boolean): void {
  const { authority, headers } = head
  if (appendForwardedHost && authority !== '') {
    const before = headers.getJoined('x-forwarded-host')
    if (before === undefined || before === '') headers.set('X-Forwarded-Host', authority)
    else if (before.slice(before.lastIndexOf(',') + 1).trim() !== authority) headers.set('X-Forwarded-Host', `${before},${authority}`)
  }
  head.authority = host
}
