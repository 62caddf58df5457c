// Host and path of a request from a format with %COMMANDS% (host_rewrite, path_rewrite). Called by path-rewrite.ts; compiled once per route.
// Values come from the network: what no path may hold is percent-encoded, and a host that is none leaves the request its own.

import { compileTextFormat } from '../format/header-format.js'
import type { StreamInfo } from '../stream/stream-info.js'

const NOT_OF_A_PATH = /[^\x21\x22\x24-\x7e]/g
const HOST = /^[\w.~!$&'()*+,;=:[\]%-]+$/

/** Missing values are empty, as in Envoy. */
export function compilePathFormat(text: string): (info: StreamInfo) => string {
  const compiled = compileTextFormat(text, true)
  // A format that does not compile was refused with the config.
  if (!compiled.ok) return () => '/'
  return info => compiled.format(info).replace(NOT_OF_A_PATH, char => `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`)
}

/** Missing values are `-`, as in Envoy. '' for what is no host. */
export function compileHostFormat(text: string): (info: StreamInfo) => string {
  const compiled = compileTextFormat(text)
  if (!compiled.ok) return () => ''
  return info => {
    const host = compiled.format(info)
    return HOST.test(host) ? host : ''
  }
}
