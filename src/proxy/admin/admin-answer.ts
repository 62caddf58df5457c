// How the admin's answers are written: a text, a JSON value, a page, or a long answer in pieces. Used by the routes. Every answer says that
// it must not be kept and is what its type says, as Envoy's do.

/** What the responses of node:http and node:http2 have in common. */
export interface AdminResponse {
  readonly headersSent: boolean
  setHeader(name: string, value: string): unknown
  writeHead(status: number, headers: Readonly<Record<string, string | number>>): unknown
  write(chunk: string | Uint8Array): boolean
  end(): unknown
  end(body: string): unknown
  once(event: 'drain' | 'close', listener: () => void): unknown
}

export const TEXT = 'text/plain; charset=UTF-8'
/** Pages load nothing from elsewhere and send their forms here only. */
const PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; form-action 'self'"

export function answer(response: AdminResponse, status: number, body: string, contentType = TEXT): void {
  response.writeHead(status, { ...commonHeaders(contentType), 'content-length': Buffer.byteLength(body) })
  response.end(body)
}

export function answerJson(response: AdminResponse, value: unknown): void {
  answer(response, 200, `${JSON.stringify(value, null, 1)}\n`, 'application/json')
}

export function answerPage(response: AdminResponse, html: string): void {
  response.setHeader('content-security-policy', PAGE_POLICY)
  answer(response, 200, html, 'text/html; charset=UTF-8')
}

/** In pieces as the client takes them, with a turn of the event loop between: a scrape of many series never holds requests up for long. */
export function answerPieces(response: AdminResponse, contentType: string, source: Iterable<string | Uint8Array>): void {
  response.writeHead(200, commonHeaders(contentType))
  const pieces = source[Symbol.iterator]()
  let gone = false
  response.once('close', () => {
    gone = true
  })
  const step = (): void => {
    if (gone) return
    const next = pieces.next()
    if (next.done === true) response.end()
    else if (response.write(next.value)) setImmediate(step)
    else response.once('drain', step)
  }
  step()
}

function commonHeaders(contentType: string): Record<string, string | number> {
  return { 'content-type': contentType, 'cache-control': 'no-cache, max-age=0', 'x-content-type-options': 'nosniff', server: 'envoy' }
}
