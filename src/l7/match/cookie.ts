// Reading one cookie of a request (RFC 6265 §4.2). Used by route matches, hash policies, jwt_authn and header_to_metadata.

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
