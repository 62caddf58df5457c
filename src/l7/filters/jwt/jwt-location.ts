// Where providers look for tokens: headers with a value prefix, query parameters, cookies; by default `Authorization: Bearer` and
// `?access_token`. Also takes a verified token off the request. Used by jwt-verifier.ts.

import type { JwtProvider } from '../../../model/http-filter.js'
import type { RequestHead } from '../../codec/codec.js'
import { cookieValue } from '../../match/cookie.js'
import { decodedParameter } from '../../match/query-parameter.js'
import { rewriteQuery } from '../query-rewrite.js'

export interface FoundToken {
  readonly token: string
  readonly from: 'header' | 'parameter' | 'cookie'
  readonly name: string
}

const DEFAULT_HEADERS = [{ name: 'authorization', valuePrefix: 'Bearer ' }]
const DEFAULT_PARAMETERS = ['access_token']

/** All tokens at the provider's places, in the order headers, parameters, cookies. */
export function findTokens(provider: JwtProvider, head: RequestHead): FoundToken[] {
  const implicit = provider.fromHeaders.length === 0 && provider.fromParams.length === 0 && provider.fromCookies.length === 0
  const out: FoundToken[] = []
  for (const { name, valuePrefix } of implicit ? DEFAULT_HEADERS : provider.fromHeaders) {
    const value = head.headers.getJoined(name)
    if (value === undefined) continue
    const token = tokenIn(value, valuePrefix)
    if (token !== '') out.push({ token, from: 'header', name })
  }
  const parameters = implicit ? DEFAULT_PARAMETERS : provider.fromParams
  if (parameters.length > 0) {
    for (const name of parameters) {
      const token = decodedParameter(head.path, name)
      if (token !== undefined && token !== '') out.push({ token, from: 'parameter', name })
    }
  }
  for (const name of provider.fromCookies) {
    const token = cookieValue(head.headers, name)
    if (token !== undefined && token !== '') out.push({ token, from: 'cookie', name })
  }
  return out
}

/** The run of token characters after the prefix, which may stand anywhere in the value. Without a prefix the whole value. */
function tokenIn(value: string, prefix: string): string {
  if (prefix === '') return value
  const at = value.indexOf(prefix)
  if (at === -1) return ''
  return /[A-Za-z0-9_\-.=]+/.exec(value.slice(at + prefix.length))?.[0] ?? ''
}

/** Cookies stay (Envoy: forward has no effect on them). */
export function removeToken(found: FoundToken, head: RequestHead): void {
  if (found.from === 'header') head.headers.remove(found.name)
  else if (found.from === 'parameter') head.path = rewriteQuery(head.path, [], [found.name])
}
