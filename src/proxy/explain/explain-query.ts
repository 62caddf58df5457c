// The question of POST /explain: parameters of a form -> an imagined request. Called by the admin and by whoever embeds a sidecar. Invariant:
// what is wrong is refused in one line that names the parameter; nothing of it is guessed.

import { isIP } from 'node:net'
import { toByteString } from '../../l7/codec/byte-string.js'

export interface ExplainQuestion {
  readonly method: string
  readonly host: string
  readonly path: string
  readonly headers: readonly (readonly [name: string, value: string])[]
  /** Of the listener that is asked about; '' = every one, or the one at `port`. */
  readonly listener: string
  readonly port: number | null
  /** The client: a SPIFFE id, the name of a mesh service, or '' = a client without a certificate. */
  readonly source: string
  readonly sourceAddress: string
  /** Server name of the client's TLS; '' = none. */
  readonly sni: string
}

export type ParsedQuestion = { readonly ok: true; readonly question: ExplainQuestion } | { readonly ok: false; readonly reason: string }

export const EXPLAIN_PARAMETERS: readonly { readonly name: string; readonly help: string }[] = [
  { name: 'host', help: 'The host that is asked for (required)' },
  { name: 'method', help: 'The method; GET by default' },
  { name: 'path', help: 'The path with its query; / by default' },
  { name: 'header', help: 'name:value of a header; may be given often' },
  { name: 'listener', help: 'Name of the listener; every one by default' },
  { name: 'port', help: 'Port of the listener' },
  { name: 'source', help: 'SPIFFE id, or name of the mesh service, of the client' },
  { name: 'source_address', help: 'IP address of the client; 127.0.0.1 by default' },
  { name: 'sni', help: 'Server name that a TLS client asks for' },
]

const MAX_HEADERS = 100
const MAX_TEXT = 8192
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
/** What no header value and no request line holds. */
const CONTROL = /[\x00-\x08\x0a-\x1f\x7f]/

export function parseExplainQuestion(query: URLSearchParams): ParsedQuestion {
  const known = new Set(EXPLAIN_PARAMETERS.map(({ name }) => name))
  const unknown = [...query.keys()].find(name => !known.has(name))
  if (unknown !== undefined) return refused(`${unknown}: no such parameter`)
  const text = (name: string, fallback: string): string => query.get(name) ?? fallback
  for (const [name, value] of query) {
    if (value.length > MAX_TEXT) return refused(`${name}: longer than ${MAX_TEXT} characters`)
    if (CONTROL.test(value)) return refused(`${name}: holds a control character`)
  }
  const host = text('host', '')
  const method = text('method', 'GET')
  const path = text('path', '/')
  const sourceAddress = text('source_address', '127.0.0.1')
  const portText = query.get('port')
  const port = portText === null ? null : Number(portText)
  if (host === '' || /\s/.test(host)) return refused('host: a host name is needed')
  if (!TOKEN.test(method)) return refused(`method: "${method}" is none`)
  if (!path.startsWith('/') || /\s/.test(path)) return refused('path: must begin with / and hold no blank')
  if (isIP(sourceAddress) === 0) return refused(`source_address: "${sourceAddress}" is no IP address`)
  if (port !== null && !(Number.isInteger(port) && port > 0 && port < 65_536)) return refused(`port: "${portText}" is none`)
  const headers: (readonly [string, string])[] = []
  for (const given of query.getAll('header')) {
    const colon = given.indexOf(':')
    const name = given.slice(0, Math.max(0, colon))
    if (!TOKEN.test(name)) return refused('header: must be name:value')
    headers.push([name, toByteString(given.slice(colon + 1).trim())])
  }
  if (headers.length > MAX_HEADERS) return refused(`header: more than ${MAX_HEADERS}`)
  return {
    ok: true,
    question: {
      method,
      host: toByteString(host),
      path: toByteString(path),
      headers,
      listener: text('listener', ''),
      port,
      source: text('source', ''),
      sourceAddress,
      sni: text('sni', '').toLowerCase(),
    },
  }
}

function refused(reason: string): ParsedQuestion {
  return { ok: false, reason }
}
