// Requests that broke other HTTP/1.1 parsers, and their harmless neighbours, as raw bytes. `expect` is the status that a strict
// proxy answers before it closes, or 'ok' when exactly one request reaches the handler. Used by the codec's tests and by whoever
// wants to send the same bytes to a running proxy.

export interface CorpusEntry {
  /** CVE or public issue id where there is one, then what the bytes do. */
  readonly name: string
  readonly bytes: string
  readonly expect: number | 'ok'
}

const entry = (name: string, bytes: string, expect: number | 'ok' = 400): CorpusEntry => ({ name, bytes, expect })
const get = (name: string, lines: string, expect: number | 'ok' = 400): CorpusEntry =>
  entry(name, `GET /x HTTP/1.1\r\nHost: a\r\n${lines}\r\n\r\n`, expect)
const post = (name: string, lines: string, body: string, expect: number | 'ok' = 400): CorpusEntry =>
  entry(name, `POST /x HTTP/1.1\r\nHost: a\r\n${lines}\r\n\r\n${body}`, expect)
const chunked = (name: string, body: string, expect: number | 'ok' = 400): CorpusEntry =>
  post(name, 'Transfer-Encoding: chunked', body, expect)

const CHUNKS = '5\r\nhello\r\n0\r\n\r\n'

export const START_LINE: readonly CorpusEntry[] = [
  entry('nodejs/llhttp#877: no version and bare LF', 'GET /x\nHost: a\r\nContent-Length: 5\r\n\r\nhello'),
  entry('no version', 'GET /x\r\nHost: a\r\n\r\n'),
  entry('HTTP/0.9', 'GET /x HTTP/0.9\r\nHost: a\r\n\r\n'),
  entry('HTTP/2.0 in an HTTP/1 head', 'GET /x HTTP/2.0\r\nHost: a\r\n\r\n'),
  entry('HTTP/1.2', 'GET /x HTTP/1.2\r\nHost: a\r\n\r\n'),
  entry('lower-case version', 'GET /x http/1.1\r\nHost: a\r\n\r\n'),
  entry('two digits of minor version', 'GET /x HTTP/1.10\r\nHost: a\r\n\r\n'),
  entry('another protocol name', 'GET /x HTTQ/1.1\r\nHost: a\r\n\r\n'),
  entry('two spaces before the target', 'GET  /x HTTP/1.1\r\nHost: a\r\n\r\n'),
  entry('two spaces after the target', 'GET /x  HTTP/1.1\r\nHost: a\r\n\r\n'),
  entry('space in the target', 'GET /x y HTTP/1.1\r\nHost: a\r\n\r\n'),
  entry('tab for a space', 'GET\t/x HTTP/1.1\r\nHost: a\r\n\r\n'),
  entry('space after the version', 'GET /x HTTP/1.1 \r\nHost: a\r\n\r\n'),
  entry('leading space', ' GET /x HTTP/1.1\r\nHost: a\r\n\r\n'),
  entry('method with a bracket', 'G(T /x HTTP/1.1\r\nHost: a\r\n\r\n'),
  entry('method with a colon', 'GET: /x HTTP/1.1\r\nHost: a\r\n\r\n'),
  entry('empty method', ' /x HTTP/1.1\r\nHost: a\r\n\r\n'),
  entry('CVE-2013-4547: NUL in the path', 'GET /x\0y HTTP/1.1\r\nHost: a\r\n\r\n'),
  entry('DEL in the path', 'GET /x\x7fy HTTP/1.1\r\nHost: a\r\n\r\n'),
  entry('relative target', 'GET x HTTP/1.1\r\nHost: a\r\n\r\n'),
  entry('asterisk with GET', 'GET * HTTP/1.1\r\nHost: a\r\n\r\n'),
  entry('OPTIONS *', 'OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n', 'ok'),
  entry('absolute form', 'GET http://b/x HTTP/1.1\r\nHost: a\r\n\r\n', 'ok'),
  entry('absolute form of another scheme', 'GET ftp://b/x HTTP/1.1\r\nHost: a\r\n\r\n'),
  entry('absolute form with userinfo', 'GET http://u@b/x HTTP/1.1\r\nHost: a\r\n\r\n'),
  entry('absolute form with an empty authority', 'GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n'),
  entry('CONNECT', 'CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n', 'ok'),
  entry('CONNECT with a path', 'CONNECT /x HTTP/1.1\r\nHost: b\r\n\r\n'),
  entry('CONNECT with a body', 'CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\nContent-Length: 5\r\n\r\nhello'),
  entry('empty line before the request', '\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n', 'ok'),
  entry('bare LF before the request', '\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n'),
  entry('TLS ClientHello on a cleartext port', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'),
]

export const LINES: readonly CorpusEntry[] = [
  entry('CVE-2022-32214, CVE-2022-35256: header line ended by LF', 'GET /x HTTP/1.1\r\nHost: a\nX: y\r\n\r\n'),
  entry('every line ended by LF', 'GET /x HTTP/1.1\nHost: a\n\n'),
  entry('CVE-2023-30589: bare CR hides a header', 'GET /x HTTP/1.1\r\nHost: a\r\nX-Abc: \rxTransfer-Encoding: chunked\r\n\r\n'),
  entry('CVE-2025-23167: head ended by CR LF CR X', 'GET /x HTTP/1.1\r\nHost: a\r\n\rXTransfer-Encoding: chunked\r\n\r\n'),
  entry('head ended by LF CR LF', 'GET /x HTTP/1.1\r\nHost: a\n\r\n'),
  entry('head ended by CR LF LF', 'GET /x HTTP/1.1\r\nHost: a\r\n\nGET /y HTTP/1.1\r\n\r\n'),
  get('CVE-2019-9900: NUL in a value', 'X: a\0b'),
  get('control character in a value', 'X: a\x01b'),
  get('DEL in a value', 'X: a\x7fb'),
  get('vertical tab in a value', 'X: a\x0bb'),
  get('obs-text in a value (allowed)', 'X: \x85\xa0\xff', 'ok'),
  get('http-garden: \\x85 in a name', 'X\x85: y'),
  get('http-garden: \\xa0 in a name', 'X\xa0: y'),
  get('http-garden: NUL in a name', 'X\0: y'),
  get('http-garden: LF in a name', 'Te\nst: x'),
  get('http-garden: CR in a name', 'Te\rst: x'),
  get('CVE-2023-25725: empty name', ': x'),
  get('line without a colon', 'nothing here'),
  get('space in a name', 'X Y: z'),
  get('space before the colon', 'X : y'),
  get('tab before the colon', 'X\t: y'),
  get('CVE-2021-22959: space before the colon of Content-Length', 'Content-Length : 5'),
  get('obs-fold', 'X: y\r\n z'),
  get('obs-fold with a tab', 'X: y\r\n\tz'),
  entry('CVE-2024-27982: space before the first header', 'GET /x HTTP/1.1\r\n Content-Length: 5\r\nHost: a\r\n\r\nhello'),
  post('CVE-2024-27982: space before Content-Length', 'X: y\r\n Content-Length: 5', 'hello'),
  get('CVE-2026-21710: a header named __proto__', '__proto__: x\r\nconstructor: y', 'ok'),
  get('quoted-string and odd but legal token', '!#$%&\'*+-.^_`|~: "a\\"b"', 'ok'),
  get('empty value', 'X:', 'ok'),
  get('value of white space only', 'X: \t ', 'ok'),
]

export const HOSTS: readonly CorpusEntry[] = [
  entry('h1spec: two Host lines', 'GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n'),
  entry('h1spec: two equal Host lines', 'GET /x HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n'),
  entry('h1spec: a list of hosts', 'GET /x HTTP/1.1\r\nHost: a, b\r\n\r\n'),
  entry('Host with userinfo', 'GET /x HTTP/1.1\r\nHost: u@a\r\n\r\n'),
  entry('Host with a path', 'GET /x HTTP/1.1\r\nHost: a/b\r\n\r\n'),
  entry('Host with a space', 'GET /x HTTP/1.1\r\nHost: a b\r\n\r\n'),
  entry('Host with two ports', 'GET /x HTTP/1.1\r\nHost: a:1:2\r\n\r\n'),
  entry('Host with a letter in the port', 'GET /x HTTP/1.1\r\nHost: a:8x\r\n\r\n'),
  entry('CVE-2019-18802: white space after Host', 'GET /x HTTP/1.1\r\nHost: a \t\r\n\r\n', 'ok'),
  entry('IPv6 Host with port', 'GET /x HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n\r\n', 'ok'),
]

export const LENGTHS: readonly CorpusEntry[] = [
  post('http-garden: Content-Length 0x10', 'Content-Length: 0x10', 'hello'),
  post('http-garden: Content-Length +5', 'Content-Length: +5', 'hello'),
  post('http-garden: Content-Length 1_0', 'Content-Length: 1_0', 'hello'),
  post('http-garden: Content-Length -1', 'Content-Length: -1', 'hello'),
  post('http-garden: Content-Length -0', 'Content-Length: -0', 'hello'),
  post('http-garden: Content-Length 5 5', 'Content-Length: 5 5', 'hello'),
  post('http-garden: Content-Length "5"', 'Content-Length: "5"', 'hello'),
  post('http-garden: Content-Length 5;', 'Content-Length: 5;', 'hello'),
  post('http-garden: Content-Length 5.0', 'Content-Length: 5.0', 'hello'),
  post('http-garden: Content-Length with \\xb2', 'Content-Length: \xb2', 'hello'),
  post('http-garden: Content-Length with \\x85', 'Content-Length: 5\x85', 'hello'),
  post('http-garden: Content-Length with \\xa0', 'Content-Length: \xa05', 'hello'),
  post('http-garden: Content-Length with \\x0c', 'Content-Length: \x0c5', 'hello'),
  post('Content-Length beyond 2^64', 'Content-Length: 18446744073709551621', 'hello'),
  post('Content-Length beyond 2^53', 'Content-Length: 9007199254740993', 'hello'),
  post('http-garden: CL,CL as a list', 'Content-Length: 5, 5', 'hello'),
  post('http-garden: CL,CL list of two values', 'Content-Length: 5, 6', 'hello'),
  post('http-garden: two equal Content-Length lines', 'Content-Length: 5\r\nContent-Length: 5', 'hello'),
  post('http-garden: two Content-Length lines', 'Content-Length: 5\r\nContent-Length: 6', 'hello!'),
  post('CVE-2023-40225, haproxy#2237: empty Content-Length', 'Content-Length:', 'hello'),
  post('CVE-2023-40225, haproxy#2237: empty, then valid Content-Length', 'Content-Length:\r\nContent-Length: 5', 'hello'),
  post('CVE-2023-40225, haproxy#2237: valid, then empty Content-Length', 'Content-Length: 5\r\nContent-Length:', 'hello'),
  post('leading zeros of Content-Length', 'Content-Length: 005', 'hello', 'ok'),
  post('CVE-2021-40346: a name of 270 bytes shaped to overflow', `Content-Length0${'a'.repeat(255)}:\r\nContent-Length: 5`, 'hello', 'ok'),
]

export const CODINGS: readonly CorpusEntry[] = [
  post('CVE-2019-15605: chunked, cow', 'Transfer-Encoding: chunked, cow', CHUNKS),
  post('CVE-2019-15605: malformed TE with CL', 'Transfer-Encoding: chunked\x0b\r\nContent-Length: 5', CHUNKS),
  post('CVE-2020-8287: two TE lines, the second not chunked', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: eee', CHUNKS),
  post('CVE-2020-8287: two TE lines, both chunked', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked', CHUNKS),
  post('CVE-2022-32213: chunkedx', 'Transfer-Encoding: chunkedx', CHUNKS),
  post('CVE-2022-32215: TE folded over two lines', 'Transfer-Encoding:\r\n chunked', CHUNKS),
  post('CVE-2022-32215: TE list folded', 'Transfer-Encoding: chunked,\r\n identity', CHUNKS),
  post('CVE-2019-18277: \\x0b before chunked, with CL', 'Transfer-Encoding:\x0bchunked\r\nContent-Length: 5', CHUNKS),
  post('http-garden: ,chunked', 'Transfer-Encoding: ,chunked', CHUNKS),
  post('http-garden: chunked,', 'Transfer-Encoding: chunked,', CHUNKS),
  post('http-garden: chunked;q=1', 'Transfer-Encoding: chunked;q=1', CHUNKS),
  post('http-garden: "chunked"', 'Transfer-Encoding: "chunked"', CHUNKS),
  post('http-garden: chunked chunked', 'Transfer-Encoding: chunked chunked', CHUNKS),
  post('http-garden: chunked\\xa0', 'Transfer-Encoding: chunked\xa0', CHUNKS),
  post('http-garden: \\x85chunked', 'Transfer-Encoding: \x85chunked', CHUNKS),
  post('http-garden: empty Transfer-Encoding', 'Transfer-Encoding:', CHUNKS),
  post('http-garden: empty Transfer-Encoding with CL', 'Transfer-Encoding:\r\nContent-Length: 5', 'hello'),
  post('http-garden: CL then TE', 'Content-Length: 5\r\nTransfer-Encoding: chunked', CHUNKS),
  post('http-garden: TE then CL', 'Transfer-Encoding: chunked\r\nContent-Length: 5', CHUNKS),
  post('http-garden: TE and CL 0', 'Transfer-Encoding: chunked\r\nContent-Length: 0', CHUNKS),
  post('http-garden: Transfer_Encoding is another name', 'Transfer_Encoding: chunked', '', 'ok'),
  entry('Transfer-Encoding in HTTP/1.0', `POST /x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${CHUNKS}`),
  post('unknown coding', 'Transfer-Encoding: zorg', CHUNKS, 501),
  post('identity', 'Transfer-Encoding: identity', CHUNKS, 501),
  post('gzip, chunked', 'Transfer-Encoding: gzip, chunked', CHUNKS, 501),
  post('Chunked in mixed case', 'Transfer-Encoding: ChUnKeD', CHUNKS, 'ok'),
  post('white space around chunked', 'Transfer-Encoding: \tchunked \t', CHUNKS, 'ok'),
]

export const CHUNKING: readonly CorpusEntry[] = [
  chunked('http-garden: chunk size -0x0', '-0x0\r\n\r\n'),
  chunked('http-garden: chunk size 0x5', '0x5\r\nhello\r\n0\r\n\r\n'),
  chunked('http-garden: chunk size +5', '+5\r\nhello\r\n0\r\n\r\n'),
  chunked('http-garden: chunk size 5_', '5_\r\nhello\r\n0\r\n\r\n'),
  chunked('http-garden: chunk size 0_5', '0_5\r\nhello\r\n0\r\n\r\n'),
  chunked('http-garden: space before a chunk size', ' 0\r\n\r\n'),
  chunked('http-garden: space after a chunk size', '5 \r\nhello\r\n0\r\n\r\n'),
  chunked('http-garden: tab after a chunk size', '5\t\r\nhello\r\n0\r\n\r\n'),
  chunked('http-garden: 1garbage', '1garbage\r\nh\r\n0\r\n\r\n'),
  chunked('http-garden: 5,', '5,\r\nhello\r\n0\r\n\r\n'),
  chunked('http-garden: empty chunk size', '\r\nhello\r\n0\r\n\r\n'),
  chunked('http-garden: ; without a size', ';a\r\nhello\r\n0\r\n\r\n'),
  chunked('http-garden: \\x85 in a chunk size', '5\x85\r\nhello\r\n0\r\n\r\n'),
  chunked('http-garden: NUL in a chunk size', '5\0\r\nhello\r\n0\r\n\r\n'),
  chunked('chunk size that wraps 64 bits', '10000000000000005\r\nhello\r\n0\r\n\r\n'),
  chunked('chunk size that loses precision', 'fffffffffffff0\r\nhello\r\n0\r\n\r\n'),
  chunked('CVE-2025-22871, nginx#1016: bare LF after a chunk size', '5\nhello\r\n0\r\n\r\n'),
  chunked('CVE-2025-22871: bare LF after chunk data', '5\r\nhello\n0\r\n\r\n'),
  chunked('bare CR after a chunk size', '5\rXhello\r\n0\r\n\r\n'),
  chunked('data longer than the chunk', '5\r\nhello!\r\n0\r\n\r\n'),
  chunked('data shorter than the chunk', '6\r\nhello\r\n0\r\n\r\n'),
  chunked('CVE-2025-55315: LF inside a chunk extension', '2;\nxx\r\nhe\r\n0\r\n\r\n'),
  chunked('CVE-2025-55315: CR inside a chunk extension', '2;\rxx\r\nhe\r\n0\r\n\r\n'),
  chunked('CVE-2025-55315: LF inside a quoted chunk extension', '2;a="\n"\r\nhe\r\n0\r\n\r\n'),
  chunked('NUL in a chunk extension', '5;a=\0\r\nhello\r\n0\r\n\r\n'),
  chunked('last chunk ended by LF', '5\r\nhello\r\n0\n\n'),
  chunked('trailer section ended by LF', '5\r\nhello\r\n0\r\n\n'),
  chunked('trailer line ended by LF', '5\r\nhello\r\n0\r\nX: y\n\r\n\r\n'),
  chunked('space before the colon of a trailer', '5\r\nhello\r\n0\r\nX : y\r\n\r\n'),
  chunked('obs-fold in a trailer', '5\r\nhello\r\n0\r\nX: y\r\n z\r\n\r\n'),
  chunked('trailer without a colon', '5\r\nhello\r\n0\r\nGET /y HTTP/1.1\r\n\r\n'),
  chunked('CVE-2024-22019: chunk extension of 5000 bytes', `5;a=${'b'.repeat(5000)}\r\nhello\r\n0\r\n\r\n`),
  chunked('CVE-2024-22019: many chunks with extensions', `${'1;a=bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\nh\r\n'.repeat(1000)}0\r\n\r\n`),
  chunked('CVE-2021-22960: a chunk extension is dropped', '5;foo=bar; baz="q;\\"\\r"\r\nhello\r\n0;last\r\n\r\n', 'ok'),
  chunked('upper-case and leading zeros in a chunk size', '000A\r\nhellohello\r\n00\r\n\r\n', 'ok'),
  chunked('trailers', '5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n', 'ok'),
]

export const ATTACKS: readonly CorpusEntry[] = [...START_LINE, ...LINES, ...HOSTS, ...LENGTHS, ...CODINGS, ...CHUNKING]
