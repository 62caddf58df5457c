// Where oauth2 sends a user to log in, and what comes back: the URL of the authorization endpoint (RFC 6749 §4.1.1, RFC 7636 §4.3) and the
// `state` that goes there and back. Pure.

import { fromByteString, toByteString } from '../../codec/byte-string.js'

/** The characters that Envoy leaves alone in a value. */
const ENCODED = /[^A-Za-z0-9*_.-]/g

/** Percent-encoding of a byte string. */
export function encodeQueryText(bytes: string): string {
  return bytes.replace(ENCODED, char => `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`)
}

/** The endpoint's own parameters stay where ours have other names; `parameters` are encoded already. Names are in order, as Envoy has them. */
export function authorizationUrl(endpoint: string, parameters: Readonly<Record<string, string>>, resources: readonly string[]): string {
  const question = endpoint.indexOf('?')
  const merged = new Map<string, string[]>()
  for (const part of question === -1
    ? []
    : endpoint
        .slice(question + 1)
        .split('#')[0]!
        .split('&')) {
    if (part === '') continue
    const equals = part.indexOf('=')
    const name = equals === -1 ? part : part.slice(0, equals)
    merged.set(name, [...(merged.get(name) ?? []), equals === -1 ? '' : part.slice(equals + 1)])
  }
  for (const [name, value] of Object.entries(parameters)) merged.set(name, [value])
  const query = [...merged].sort(([a], [b]) => (a < b ? -1 : 1)).flatMap(([name, values]) => values.map(value => `${name}=${value}`))
  const asked = resources.map(resource => `&resource=${encodeQueryText(toByteString(resource))}`)
  return `${question === -1 ? endpoint : endpoint.slice(0, question)}?${query.join('&')}${asked.join('')}`
}

/** The URL that a user wanted, what makes the answer his own, and the id of this login. */
export interface LoginState {
  readonly url: string
  readonly csrfToken: string
  readonly flowId: string
}

export function encodeState({ url, csrfToken, flowId }: LoginState): string {
  return Buffer.from(JSON.stringify({ url: fromByteString(url), csrf_token: csrfToken, flow_id: flowId })).toString('base64url')
}

/** Null for what was not made by encodeState. Nothing of it is trusted yet. */
export function decodeState(text: string): LoginState | null {
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'))
  } catch {
    return null
  }
  if (typeof value !== 'object' || value === null) return null
  const { url, csrf_token: csrfToken, flow_id: flowId = '' } = value as { url?: unknown; csrf_token?: unknown; flow_id?: unknown }
  if (typeof url !== 'string' || typeof csrfToken !== 'string' || typeof flowId !== 'string') return null
  return { url: toByteString(url), csrfToken, flowId }
}

// A backslash is a slash to browsers: `https://evil.example\.example.com/` leads to evil.example.
const ABSOLUTE = /^https?:\/\/(\[[0-9a-f:.]+\]|[^/\\?#:@[\]\x00-\x20\x7f]+)(?::\d{1,5})?([/?][^#\x00-\x20\x7f]*)?(?:#[^\x00-\x20\x7f]*)?$/i

/** Host and path of an absolute URL of http or https; null for anything else. */
export function parseAbsoluteUrl(url: string): { readonly host: string; readonly path: string } | null {
  const parts = ABSOLUTE.exec(url)
  return parts === null ? null : { host: parts[1]!.replace(/^\[|\]$/g, ''), path: parts[2] ?? '/' }
}

/** `domains`: names and `*.suffix`; none at all lets any host through. */
export function isAllowedHost(url: string, domains: readonly string[]): boolean {
  if (domains.length === 0) return true
  const host = parseAbsoluteUrl(url)?.host.toLowerCase()
  if (host === undefined) return false
  return domains.some(domain => {
    const wanted = domain.toLowerCase()
    return wanted.startsWith('*.') ? host.endsWith(wanted.slice(1)) && host.length > wanted.length - 1 : host === wanted
  })
}
