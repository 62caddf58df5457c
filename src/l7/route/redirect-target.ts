// The address of a redirect that is followed here, as the head of the next request has it. Used by internal redirects and by
// custom_response.

import type { RequestHead } from '../codec/codec.js'

const ABSOLUTE_URL = /^([a-z]+):\/\/(?:[^/?#@\s]*@)?((?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?)([/?][^\s#]*)?(?:#\S*)?$/i

/** Only absolute URLs are followed; user names and fragments are left behind. Null for anything else. */
export function parseTarget(location: string): Pick<RequestHead, 'scheme' | 'authority' | 'path'> | null {
  const parts = ABSOLUTE_URL.exec(location)
  if (parts === null) return null
  const path = parts[3] ?? '/'
  return { scheme: parts[1]!.toLowerCase(), authority: parts[2]!, path: path.startsWith('/') ? path : `/${path}` }
}
