// What a request for one of the dataplane's own pages asks for. Used by lifecycle.ts and merged-metrics.ts. Invariant: nothing that stands in a request
// line throws: there is nobody to catch it, and the proxy is in this process.
import type { IncomingMessage } from 'node:http'

const BASE = 'http://localhost'

/** Undefined: it is no URL, as `//` is none. */
export function requestTarget({ url = '/' }: Pick<IncomingMessage, 'url'>): URL | undefined {
  return URL.canParse(url, BASE) ? new URL(url, BASE) : undefined
}
