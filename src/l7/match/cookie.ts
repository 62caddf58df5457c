// One cookie of a request (RFC 6265 §4.2): read, and taken out; and what a Set-Cookie says besides its value. Used by route matches, hash
// policies, jwt_authn, header_to_metadata, api_key_auth and stateful_session.

import type { CookieAttributes } from '../../model/stateful-session.js'
import { toByteString } from '../codec/byte-string.js'
import type { HeaderList } from '../codec/header-list.js'

/** Value of the first cookie of that name, without surrounding quotes, or undefined. */
export function cookieValue(headers: HeaderList, name: string): string | undefined {
  for (let at = headers.indexOf('cookie'); at !== -1; at = headers.indexOf('cookie', at + 1)) {
    for (const part of headers.values[at]!.split(';')) {
      const equals = part.indexOf('=')
      if (equals === -1 || part.slice(0, equals).trim() !== name) continue
      const value = part.slice(equals + 1).trim()
      return value.length >= 2 && value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value
    }
  }
  return undefined
}

/** Takes every cookie of that name out, and fields that are empty then. */
export function removeCookie(headers: HeaderList, name: string): void {
  for (let at = headers.length - 1; at >= 0; at--) {
    if (headers.lower[at] !== 'cookie') continue
    const cookies = headers.values[at]!.split(';')
    const kept = cookies.filter(cookie => cookie.split('=', 1)[0]!.trim() !== name)
    if (kept.length === cookies.length) continue
    if (kept.every(cookie => cookie.trim() === '')) headers.removeAt(at)
    else headers.values[at] = kept.join(';').trim()
  }
}

/** What follows the value in Set-Cookie, in Envoy's order. */
export function cookieAttributes({ path, ttlSeconds, attributes }: CookieAttributes): string {
  const age = ttlSeconds !== null && ttlSeconds > 0 ? `; Max-Age=${ttlSeconds}` : ''
  const more = attributes.map(({ name, value }) => `; ${name}${value === '' ? '' : `=${value}`}`)
  return toByteString(`${age}${path === '' ? '' : `; Path=${path}`}${more.join('')}; HttpOnly`)
}
