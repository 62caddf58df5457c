// What attack-differential.test.ts holds two outcomes of one attack against, and the differences that are meant, each with its reason.
// docs/differences.md says the same in prose: test/differences.test.ts finds the row of each.
import type { Outcome } from './attack-lane.js'

/**
 * Outrigger refuses what Envoy forwards (`cut`: once the head of an answer had gone out, with nothing of its body), the other way round, or
 * both do the same with other details.
 */
export type Kind = 'stricter' | 'cut' | 'lenient' | 'other'

export interface Deliberate {
  readonly cases: RegExp
  readonly kind: Kind
  /** The beginning of the row of docs/differences.md that says so. */
  readonly claim: string
  readonly reason: string
}

const ANSWER = /^answer\//

/** An attack that reached no origin and got no 2xx; an answer that the client did not get. */
function refused(id: string, one: Outcome): boolean {
  if (ANSWER.test(id)) return /^(?:50[23]\b.*)?$/.test(one.statuses.replace(/ ?\+.*/, ''))
  // A stream that was reset, or whose connection was: whether the origin had heard of it by then is a matter of luck.
  if (id.startsWith('h2/')) return !/\b\d+:2\d\d\b/.test(one.statuses) && !one.seen.some(line => line.includes('/smuggled'))
  return one.seen.length === 0 && !/\b2\d\d\b/.test(one.statuses.replace(/\+.*|next:.*/, ''))
}

/** Which refusal it is does not matter, nor that Envoy leaves some connections open behind one. */
function verdict(id: string, one: Outcome): string {
  if (refused(id, one)) return 'refused'
  const statuses = one.statuses.replace(/\b[45]\d\d\b/g, 'refused').replace(/ \+ (?=refused|$)/, ' ')
  return `${statuses.trim()} ${one.end} ${one.seen.join(' ; ')}`
}

/** Null when both did the same. */
/** The client got the head of a chunked answer, no octet of its body, and the end of the connection in place of the last chunk. */
function cutBehindHead(one: Outcome): boolean {
  const behind = one.seen.indexOf('')
  return one.end === 'closed' && one.seen.includes('transfer-encoding: chunked') && one.seen.slice(behind).every(line => line === '')
}

export function compare(id: string, ours: Outcome, envoys: Outcome): Kind | null {
  if (verdict(id, ours) === verdict(id, envoys)) return null
  if (ANSWER.test(id) && cutBehindHead(ours)) return 'cut'
  if (refused(id, ours)) return 'stricter'
  if (refused(id, envoys)) return 'lenient'
  if (ours.seen.length === envoys.seen.length || ANSWER.test(id)) return 'other'
  return ours.seen.length < envoys.seen.length ? 'stricter' : 'lenient'
}

const rule = (kind: Kind, cases: RegExp, claim: string, reason: string): Deliberate => ({ kind, cases, claim, reason })

/** Ids show control characters as JSON does. */
export const DELIBERATE: readonly Deliberate[] = [
  // HTTP/1 requests: RFC 9112 without the leniency that recipients may show.
  rule(
    'stricter',
    /^line\/.*(?:\\[trn]| {2}|HTTP\/1\.1 $|ended by )/,
    'HTTP/1 requests: bare CR or LF',
    'request line: one SP between its parts, CRLF behind it (RFC 9112 §3)',
  ),
  rule('stricter', /^line\/\w+ http:\/\/[^/]*@/, 'HTTP/1 requests: bare CR or LF', 'no userinfo in a target (RFC 9110 §4.2.4)'),
  rule(
    'stricter',
    /^line\/OPTIONS http:\/\/\w HTTP/,
    '`OPTIONS http://host`',
    'it means *, which no path route matches (RFC 9112 §3.2.4); Envoy makes it /',
  ),
  rule(
    'lenient',
    /^line\/\w+ http:\/\/b\?q /,
    '`http://host?query`',
    'an empty path with a query is legal (RFC 3986 §3.3); Envoy finds no route for `?q`',
  ),
  rule(
    'stricter',
    /^host\/Host: /,
    'HTTP/1 requests: bare CR or LF',
    'Host is uri-host [ ":" port ], not empty (RFC 9112 §3.2, RFC 9110 §4.2.1)',
  ),
  rule(
    'stricter',
    /^host\/(?:two|bad but absolute)/,
    'HTTP/1 requests: bare CR or LF',
    'one valid Host, whatever the target is (RFC 9112 §3.2)',
  ),
  rule(
    'stricter',
    /^(?:field|length|coding|pipeline)\/.*(?:\\[rnt]|fold|GET line {2}$)/,
    'HTTP/1 requests: bare CR or LF',
    'bare CR, bare LF and obs-fold (RFC 9112 §2.2, §5.2)',
  ),
  rule(
    'stricter',
    /^length\/\w+ Content-Length: (?:9007199254740993|18446744073709551615)/,
    '`Content-Length` and chunk sizes beyond',
    'lengths beyond 10^15 are nobody’s body',
  ),
  rule(
    'stricter',
    /^chunk\//,
    'HTTP/1 requests: bare CR or LF',
    'chunk sizes, extensions, data ends and trailers by the letter of RFC 9112 §7.1, and bounded',
  ),
  rule('other', /^(?:chunk|h2)\/trailer /, 'HTTP/1 trailers', 'HTTP/1 trailers are passed on; Envoy drops them without enable_trailers'),
  rule(
    'other',
    /^connection\/.*Connection: (?:authorization|cookie|content-type)/,
    '`Connection` naming `authorization`',
    'CVE-2024-45410, CVE-2026-33805: protected fields stay',
  ),
  rule(
    'other',
    /^(?:connection|h2)\/.*x-envoy-original-(?:path|host): /i,
    '`x-envoy-original-path`, `-host`',
    'CVE-2023-27487: taken off unless a mesh peer sent it',
  ),
  rule('other', /^connection\/GET Proxy-Connection: close/, '`Proxy-Connection`', 'a field that no standard defines'),
  rule(
    'lenient',
    /^(?:connection|h2)\/.*x-forwarded-proto: ?(?: ?twice)?$/i,
    'an empty `x-forwarded-proto`',
    'an empty scheme is no scheme; Envoy finds no route',
  ),
  rule(
    'lenient',
    /^upgrade\/GET Upgrade: connect-udp /,
    'an `Upgrade` that `Connection`',
    'an Upgrade that Connection does not name is ignored (RFC 9110 §7.8)',
  ),
  rule('lenient', /^upgrade\/POST /, 'an upgrade request with a body', 'nghttp2#2809, CVE-2026-58055: the body wins, Upgrade is taken off'),
  rule(
    'other',
    /^(?:expect|h2)\/.*Expect: +100-continue/i,
    '`Expect: 100-continue` without a body',
    'nothing is to be continued without a body (RFC 9110 §10.1.1)',
  ),

  // HTTP/2.
  rule('stricter', /^h2\/(?:x|cookie): /, 'HTTP/2: values with white space', 'values are not surrounded by white space (RFC 9113 §8.2.1)'),
  rule('stricter', /^h2\/(?:POST )?host: /, 'HTTP/2: `host` different from', 'CVE-2021-39242: host and :authority are one'),
  rule(
    'stricter',
    /^h2\/GOAWAY, then a request/,
    'HTTP/2: values with white space',
    'a connection that its client gives up is closed; its last-stream-id says what was not served',
  ),
  rule('stricter', /^h2\/extended CONNECT off again/, 'HTTP/2: extended CONNECT taken back', 'RFC 8441 §3'),
  rule('lenient', /^h2\/SETTINGS 9=1/, '`SETTINGS_NO_RFC7540_PRIORITIES`', 'SETTINGS_NO_RFC7540_PRIORITIES is legal (RFC 9218 §2.1)'),
  rule('other', /^h2\/(?:POST )?te: (?:Trailers|trailers twice)/, '`TE: Trailers`', 'codings are case-insensitive (RFC 9110 §10.1.4)'),
  rule('other', /^h2\/(?:POST )?cookie: (?: ?twice)?$/, 'an empty `cookie`', 'an empty cookie is passed on'),
  rule('stricter', /^h2\/stream ids go down/, 'HTTP/2: values with white space', 'ids must go up (RFC 9113 §5.1.1)'),
  rule('other', /^h2\/highest stream id/, 'HTTP/2: values with white space', 'ids must go up (RFC 9113 §5.1.1)'),
  rule(
    'stricter',
    /^h2\/hpack bomb/,
    'HTTP/2: a header block that unpacks',
    'what is far beyond the limit is not decoded, so the table of the connection is lost with it',
  ),

  // Paths.
  rule(
    'other',
    /^path\/\/%%32%66admin/,
    'an escape that a digit',
    'a digit that would complete an escape for the next reader stays escaped',
  ),

  // Answers.
  rule(
    'stricter',
    /status line HTTP\/(?:0\.9|1\.2|2\.0|1\.1(?: {2}|\\t| \d{4}| 200\\t))/,
    'HTTP/1 responses: bare CR or LF',
    'HTTP-version SP 3DIGIT SP (RFC 9112 §4)',
  ),
  rule(
    'stricter',
    /^answer\/.*(?:\\r[^\\]|\\n|\\r\\r|\\r$)/,
    'HTTP/1 responses: bare CR or LF',
    'bare CR, bare LF: not even from an origin',
  ),
  rule(
    'stricter',
    /^answer\/.*Content-Length: (?:9007199254740993|18446744073709551615)/,
    '`Content-Length` and chunk sizes beyond',
    'nobody’s body',
  ),
  rule('stricter', /^answer\/.*Transfer-Encoding twice: $/, 'HTTP/1 responses: bare CR or LF', 'ambiguous framing (RFC 9112 §6.3)'),
  rule(
    'cut',
    /^answer\/GET (?:close )?chunk size /,
    'HTTP/1 responses: bare CR or LF',
    'RFC 9112 §7.1: no unsound chunk is passed on, and the body never ends',
  ),
  rule(
    'other',
    /^answer\/GET (?:close )?chunked /,
    'HTTP/1 responses: bare CR or LF',
    'chunks end with CRLF, trailers are lines (RFC 9112 §7.1); trailers are passed on',
  ),
  rule('stricter', /^answer\/.*101 /, 'HTTP/1 responses: bare CR or LF', 'CVE-2024-23326: nobody asked to switch'),
  rule('stricter', /^answer\/.*\d+ of 100 /, 'more than 32 interim', '32 interim responses at most'),
  rule('other', /^answer\/.*\b(?:10[23]|150|199) /, '103 and other 1xx', 'RFC 9110 §15.2: interim responses are passed on, 32 at most'),
  rule('lenient', /^answer\/.*\b(?:10[23]|150|199) /, '103 and other 1xx', 'RFC 9110 §15.2: interim responses are passed on'),
  rule(
    'lenient',
    /^answer\/GET (?:close )?(?:X|Content-Length|Transfer-Encoding)(?: |\\t)/,
    'responses: space before a colon',
    'white space before a colon is mended (RFC 9112 §5.1)',
  ),
  rule('other', /^answer\/.*426 Upgrade Required with Upgrade/, 'a 426 with `Upgrade`', 'RFC 9110 §15.5.22: 426 must say which protocol'),
]

/** The request is whole when its stream is reset for what follows: whether it still reached the origin is a race in either proxy. */
export const RACES =
  /^h2\/(?:.* on a half-closed stream|.* after END_STREAM|stream id again|WINDOW_UPDATE (?:0|overflow) on a stream|hpack index 62)/
