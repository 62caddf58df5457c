// Heads and chunk frames of HTTP/1.1 messages as text. Everything is written from the parsed message; framing fields never
// come from the peer (RFC 9112 §6, §7). HOT: one string per head, joined with a small body in one write (bench/micro/http1-codec.bench.ts).

import type { HttpVersion, RequestHead, ResponseHead } from '../codec.js'
import type { HeaderList } from '../header-list.js'
import { mayBeTrailer } from './syntax.js'

/** A body chunk up to this size is joined with its head into one string; above, both are written as they are. */
export const MAX_JOINED_BODY_BYTES = 8 * 1024

const REASONS = new Map<number, string>([
  [100, 'Continue'],
  [101, 'Switching Protocols'],
  [102, 'Processing'],
  [103, 'Early Hints'],
  [200, 'OK'],
  [201, 'Created'],
  [202, 'Accepted'],
  [203, 'Non-Authoritative Information'],
  [204, 'No Content'],
  [205, 'Reset Content'],
  [206, 'Partial Content'],
  [207, 'Multi-Status'],
  [208, 'Already Reported'],
  [226, 'IM Used'],
  [300, 'Multiple Choices'],
  [301, 'Moved Permanently'],
  [302, 'Found'],
  [303, 'See Other'],
  [304, 'Not Modified'],
  [305, 'Use Proxy'],
  [307, 'Temporary Redirect'],
  [308, 'Permanent Redirect'],
  [400, 'Bad Request'],
  [401, 'Unauthorized'],
  [402, 'Payment Required'],
  [403, 'Forbidden'],
  [404, 'Not Found'],
  [405, 'Method Not Allowed'],
  [406, 'Not Acceptable'],
  [407, 'Proxy Authentication Required'],
  [408, 'Request Timeout'],
  [409, 'Conflict'],
  [410, 'Gone'],
  [411, 'Length Required'],
  [412, 'Precondition Failed'],
  [413, 'Payload Too Large'],
  [414, 'URI Too Long'],
  [415, 'Unsupported Media Type'],
  [416, 'Range Not Satisfiable'],
  [417, 'Expectation Failed'],
  [421, 'Misdirected Request'],
  [422, 'Unprocessable Entity'],
  [423, 'Locked'],
  [424, 'Failed Dependency'],
  [425, 'Too Early'],
  [426, 'Upgrade Required'],
  [428, 'Precondition Required'],
  [429, 'Too Many Requests'],
  [431, 'Request Header Fields Too Large'],
  [451, 'Unavailable For Legal Reasons'],
  [500, 'Internal Server Error'],
  [501, 'Not Implemented'],
  [502, 'Bad Gateway'],
  [503, 'Service Unavailable'],
  [504, 'Gateway Timeout'],
  [505, 'HTTP Version Not Supported'],
  [506, 'Variant Also Negotiates'],
  [507, 'Insufficient Storage'],
  [508, 'Loop Detected'],
  [510, 'Not Extended'],
  [511, 'Network Authentication Required'],
])

/** How a header name is spelled on the wire: as it came (`preserve`), lower case, or Train-Case. */
export type HeaderCase = 'preserve' | 'lower' | 'proper'

/** The lines that a codec adds by itself: framing and connection fields. */
export interface OwnLines {
  readonly empty: string
  readonly chunked: string
  readonly close: string
  readonly keepAlive: string
  readonly upgrade: string
  readonly upgradeAndClose: string
}

const LOWER_LINES: OwnLines = {
  empty: 'content-length: 0\r\n',
  chunked: 'transfer-encoding: chunked\r\n',
  close: 'connection: close\r\n',
  keepAlive: 'connection: keep-alive\r\n',
  upgrade: 'connection: upgrade\r\n',
  upgradeAndClose: 'connection: upgrade, close\r\n',
}

const PROPER_LINES: OwnLines = {
  empty: 'Content-Length: 0\r\n',
  chunked: 'Transfer-Encoding: chunked\r\n',
  close: 'Connection: close\r\n',
  keepAlive: 'Connection: keep-alive\r\n',
  upgrade: 'Connection: upgrade\r\n',
  upgradeAndClose: 'Connection: upgrade, close\r\n',
}

export function ownLines(headerCase: HeaderCase): OwnLines {
  return headerCase === 'proper' ? PROPER_LINES : LOWER_LINES
}

/** One more line, spelled as the others are. */
export function ownLine(lowerName: string, value: string, headerCase: HeaderCase): string {
  return `${headerCase === 'proper' ? properCase(lowerName) : lowerName}: ${value}\r\n`
}

/**
 * `own`: the framing and connection lines, each ended by CRLF. `status` may differ from the head's (101 for an accepted tunnel). An
 * HTTP/1.0 client is answered in HTTP/1.0, as Envoy does.
 */
export function writeResponseHead(head: ResponseHead, status: number, own: string, headerCase: HeaderCase, version: HttpVersion): string {
  const reason = head.reason !== '' && status === head.status ? head.reason : (REASONS.get(status) ?? 'Unknown')
  const protocol = version === 'HTTP/1.0' ? 'HTTP/1.0' : 'HTTP/1.1'
  return `${protocol} ${status} ${reason}${fieldLines(head.headers, headerCase)}\r\n${own}\r\n`
}

/** `method` and `target` as they stand on the wire: an extended CONNECT goes out as GET. */
export function writeRequestHead(head: RequestHead, method: string, target: string, own: string, headerCase: HeaderCase): string {
  const hostName = headerCase === 'preserve' ? head.hostName : headerCase === 'lower' ? 'host' : 'Host'
  return `${method} ${target} HTTP/1.1\r\n${hostName}: ${head.authority}${fieldLines(head.headers, headerCase)}\r\n${own}\r\n`
}

/** Those of an HTTP/2 peer may still hold what no trailer section of ours does (RFC 9110 §6.5.1). */
export function writeTrailers(trailers: HeaderList, headerCase: HeaderCase): string {
  let kept = trailers
  if (!trailers.lower.every(mayBeTrailer)) {
    kept = trailers.clone()
    for (let i = kept.length - 1; i >= 0; i--) if (!mayBeTrailer(kept.lower[i]!)) kept.removeAt(i)
  }
  return `0${fieldLines(kept, headerCase)}\r\n\r\n`
}

/** Each line begins with the CRLF of the one before. HOT: two pieces a line; of four, half of the work was to join them. */
function fieldLines(headers: HeaderList, headerCase: HeaderCase): string {
  const names = headerCase === 'preserve' ? headers.raw : headers.lower
  const { values } = headers
  const starts = headerCase === 'proper' ? PROPER_STARTS : STARTS
  let out = ''
  for (let i = 0; i < values.length; i++) out += (starts.get(names[i]!) ?? lineStart(names[i]!, starts)) + values[i]!
  return out
}

/** `CRLF name: ` by name, as it goes out. Bounded, as names come from the network. */
const STARTS = new Map<string, string>()
const PROPER_STARTS = new Map<string, string>()
const MAX_STARTS = 4096
const MAX_KEPT_NAME_LENGTH = 64

function lineStart(name: string, starts: Map<string, string>): string {
  const start = `\r\n${starts === PROPER_STARTS ? properCase(name) : name}: `
  if (starts.size < MAX_STARTS && name.length <= MAX_KEPT_NAME_LENGTH) starts.set(name, start)
  return start
}

/** Envoy's ProperCaseHeaderKeyFormatter: the first letter and each after a non-alphanumeric is upper case. */
function properCase(lower: string): string {
  return lower.replace(/(^|[^a-z0-9])([a-z])/g, (_all, before: string, letter: string) => before + letter.toUpperCase())
}

/** `<hex>\r\n` of a chunk. */
export function chunkSizeLine(bytes: number): string {
  return `${bytes.toString(16)}\r\n`
}
