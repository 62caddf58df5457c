// HTTP/2 attacks as frames, for attack-differential.test.ts: the corpus, and one connection that sends a case and says what came back.
// Header blocks are plain literals, so that anything illegal can be said too.
import { Flag, FrameType, PREFACE } from '../../src/l7/codec/http2/frames.js'
import { HpackDecoder } from '../../src/l7/codec/http2/hpack-decoder.js'
import type { Lane, Outcome } from './attack-lane.js'
import { show, table } from './attack-table.js'
import {
  block,
  codeName,
  data,
  END,
  type Fields,
  frame,
  GET,
  goaway,
  headers,
  huffmanText,
  integer,
  POST,
  ping,
  rstStream,
  SETTINGS_ACK,
  settings,
  text,
  uint32,
  windowUpdate,
} from './http2-frames.js'

export interface FrameCase {
  readonly id: string
  readonly frames: readonly Buffer[]
  /** Nothing before `frames`, not even the preface. */
  readonly bare?: boolean
}

const NEXT_STREAM = 100_001
const NEXT: Fields = [...GET.slice(0, 3), [':path', '/__next']]

/** Sends a case; `seen` is the origin's view as for HTTP/1, `statuses` what each stream got, e.g. `1:200, 3:RST CANCEL, GOAWAY NO_ERROR`. */
export async function attackHttp2(lane: Lane, one: FrameCase): Promise<Outcome> {
  const connection = await lane.open()
  connection.write(Buffer.concat([...(one.bare ? [] : [PREFACE, settings(), SETTINGS_ACK]), ...one.frames]))
  await connection.settle()
  connection.write(headers(NEXT_STREAM, NEXT, END))
  await connection.settle()
  connection.destroy()
  return { statuses: describe(connection.bytes), end: connection.closed ? 'closed' : 'open', seen: lane.takeSeen().sort() }
}

function describe(bytes: Buffer): string {
  const decoder = new HpackDecoder(1000, 1 << 20)
  const lines: string[] = []
  for (let at = 0; at + 9 <= bytes.length; ) {
    const length = bytes.readUIntBE(at, 3)
    const type = bytes[at + 3]!
    const stream = bytes.readUInt32BE(at + 5)
    const payload = bytes.subarray(at + 9, at + 9 + length)
    at += 9 + length
    if (at > bytes.length) break
    const name = stream === NEXT_STREAM ? 'next' : String(stream)
    if (type === FrameType.HEADERS && decoder.decode(payload, 0, payload.length)) {
      const { names, values } = decoder.block
      if (names[0]?.name === ':status') lines.push(`${name}:${values[0]}`)
    } else if (type === FrameType.RST_STREAM) lines.push(`${name}:RST ${codeName(payload.readUInt32BE(0))}`)
    else if (type === FrameType.GOAWAY) lines.push(`GOAWAY ${codeName(payload.readUInt32BE(4))}`)
  }
  return lines.sort().join(', ')
}

/** `fields` with one replaced, or without it. */
function replaced(fields: Fields, name: string, ...values: string[]): Fields {
  return fields.flatMap(([key, value]) => (key === name ? values.map(other => [name, other] as const) : [[key, value] as const]))
}

export function http2Corpus(): FrameCase[] {
  const cases: FrameCase[] = []
  const ids = new Set<string>()
  const add = (what: string, ...frames: Buffer[]): void => {
    const id = `h2/${show(what)}`
    if (ids.has(id)) return
    ids.add(id)
    cases.push({ id, frames })
  }
  const get = (what: string, fields: Fields): void => add(what, headers(1, fields, END))
  const withField = (name: string, value: string): void => {
    get(`${name}: ${value}`, [...GET, [name, value]])
  }
  const post = (what: string, fields: Fields, ...body: Buffer[]): void => add(what, headers(1, [...POST, ...fields]), ...body)

  const odd = table`
      \0¦\x01¦\t¦\n¦\x0b¦\r¦\x1f¦\x20¦"¦(¦,¦:¦;¦=¦@¦[¦\\¦{¦\x7f¦\x80¦\xff`
  for (const b of odd) {
    for (const name of [':method', ':scheme', ':authority', ':path'])
      for (const [what, value] of [
        ['before', `${b}${GET.find(f => f[0] === name)![1]}`],
        ['after', `${GET.find(f => f[0] === name)![1]}${b}`],
        ['inside', name === ':path' ? `/x${b}y` : `ab${b}cd`],
      ] as const)
        get(`${name} ${what} ${b}`, replaced(GET, name, value))
    withField(`x${b}y`, 'z')
    withField(`${b}x`, 'z')
    withField(`x${b}`, 'z')
    withField('x', `y${b}z`)
    withField('x', `${b}y`)
    withField('x', `y${b}`)
    withField('cookie', `a=${b}`)
    withField('host', `a.example${b}`)
  }
  const smuggled = table`
      \r\nX: y¦\nX: y¦\rX: y¦\x20HTTP/1.1\r\nHost: b\r\n\r\nGET /smuggled HTTP/1.1\r\nX:\x20
      \r\n\r\nGET /smuggled HTTP/1.1\r\nHost: b\r\n\r\n¦\r\nTransfer-Encoding: chunked¦\r\nContent-Length: 0\r\n\r\n¦%0d%0aX: y
      \u010d\u010aX: y¦\x85X: y`
  for (const s of smuggled) {
    for (const name of [':method', ':scheme', ':authority', ':path'])
      get(`${name} smuggles ${s}`, replaced(GET, name, `${GET.find(f => f[0] === name)![1]}${s}`))
    for (const name of table`
      x¦cookie¦host¦content-type¦te¦user-agent¦x-forwarded-for¦x-request-id¦authorization¦expect`)
      withField(name, `y${s}`)
    withField(`x${s}`, 'z')
    add(`trailer ${s}`, headers(1, POST), data(1, 'x'), headers(1, [['x', `y${s}`]], END))
    add(`trailer name ${s}`, headers(1, POST), data(1, 'x'), headers(1, [[`x${s}`, 'y']], END))
  }
  for (const method of [
    ...table`
      ¦GET¦get¦FOO¦G ET¦GET /x¦CONNECT¦connect¦PRI¦GET,POST¦HEAD¦OPTIONS¦TRACE¦!`,
    'A'.repeat(300),
  ])
    get(`:method ${method}`, replaced(GET, ':method', method))
  for (const scheme of table`
      ¦http¦https¦HTTP¦HtTp¦ftp¦ws¦http:¦http://¦http://x/¦file¦1http¦http s¦javascript`)
    get(`:scheme ${scheme}`, replaced(GET, ':scheme', scheme))
  const paths = [
    ...table`
      ¦/¦*¦x¦Service/Method¦//¦//x¦/x#f¦#¦?¦?x¦/x y¦/x?y z¦/%¦/%00¦/../x¦/x/../y¦/x/..;/y¦/x\\y¦http://a/¦http://b/x¦https://b/x
      /\xc3\xa9¦/\xff¦/x|y¦/{x}¦/"x"¦/<x>¦/ HTTP/1.1¦/x HTTP/1.1¦@b/x¦:80/x¦.b/x¦..¦./¦**¦*/x`,
    `/${'a'.repeat(8000)}`,
  ]
  for (const path of paths) {
    get(`:path ${path}`, replaced(GET, ':path', path))
    get(`OPTIONS :path ${path}`, replaced(replaced(GET, ':path', path), ':method', 'OPTIONS'))
  }
  const authorities = [
    ...table`
      ¦a¦A¦a:80¦a:¦:80¦a:99999¦a:x¦u@a¦u:p@a¦@a¦a@¦a,b¦a, b¦a b¦a/b¦a?b¦a#b¦a\\b¦[::1]¦[::1]:80¦[::1¦::1¦[x]¦http://a¦a%00b¦a%2fb
      a_b¦a..b¦.¦*¦a\xe9¦-¦a;b¦a'b¦a"b¦a{b¦a|b¦a<b`,
    'a'.repeat(300),
  ]
  for (const authority of authorities) {
    get(`:authority ${authority}`, replaced(GET, ':authority', authority))
    get(`host only ${authority}`, [...replaced(GET, ':authority'), ['host', authority]])
    withField('host', authority)
  }
  get('no :authority, no host', replaced(GET, ':authority'))
  get('same host', [...GET, ['host', 'a.example']])
  get('same host, other case', [...GET, ['host', 'A.Example']])
  get('two hosts', [...replaced(GET, ':authority'), ['host', 'a'], ['host', 'b']])
  get('two equal hosts', [...replaced(GET, ':authority'), ['host', 'a'], ['host', 'a']])
  for (const name of [':method', ':scheme', ':authority', ':path']) {
    get(`without ${name}`, replaced(GET, name))
    const value = GET.find(f => f[0] === name)![1]
    get(`two ${name}`, replaced(GET, name, value, value))
    get(`two different ${name}`, replaced(GET, name, value, '/y'))
    get(`${name} after a field`, [...replaced(GET, name), ['x', 'y'], [name, value]])
    get(`${name} again after a field`, [...GET, ['x', 'y'], [name, value]])
    add(`${name} in trailers`, headers(1, POST), data(1, 'x'), headers(1, [[name, value]], END))
    get(`${name} in upper case`, [...replaced(GET, name), [name.toUpperCase(), value]])
  }
  for (const name of [':status', ':x', ':', ':protocol', ':Path', '::path', ':path ', ':host', ':method\0']) {
    get(`pseudo ${name}`, [[name, '200'], ...GET])
    add(`pseudo ${name} in trailers`, headers(1, POST), data(1, 'x'), headers(1, [[name, 'x']], END))
  }
  for (const [name, values] of [
    ['connection', ['close', 'keep-alive', 'x', '', 'te', 'upgrade']],
    ['keep-alive', ['timeout=5', '']],
    ['proxy-connection', ['close', 'keep-alive']],
    ['transfer-encoding', ['chunked', 'identity', 'trailers', '', 'gzip', ' chunked', 'chunked, identity']],
    ['upgrade', ['websocket', 'h2c', '']],
    ['http2-settings', ['AAMAAABkAARAAAAAAAIAAAAA']],
    ['te', ['trailers', 'Trailers', 'gzip', 'trailers, gzip', 'trailers;q=0', '', ' trailers', 'chunked', 'trailers,trailers']],
    ['host', ['a.example', 'b']],
    ['expect', ['100-continue', 'x']],
    ['cookie', ['a=b', 'a=b; c=d', '']],
    ['content-encoding', ['gzip']],
    ['x-envoy-original-path', ['/y']],
    ['x-forwarded-proto', ['https', 'ftp', '']],
    ['x-forwarded-client-cert', ['By=x']],
    ['grpc-timeout', ['99999999999H', '1n', 'x']],
  ] as const)
    for (const value of values) {
      withField(name, value)
      get(`${name}: ${value} twice`, [...GET, [name, value], [name, value]])
      add(`trailer ${name}: ${value}`, headers(1, POST), data(1, 'x'), headers(1, [[name, value]], END))
      post(`POST ${name}: ${value}`, [[name, value]], data(1, 'x', Flag.END_STREAM))
    }
  for (const name of [
    ...table`
      X¦Host¦Content-Length¦Cookie¦TE¦xY¦¦\x20¦x y¦x_y¦__proto__¦constructor¦x\xe9¦x(¦"x"`,
    'a'.repeat(9000),
  ])
    withField(name, 'y')
  for (const count of [90, 96, 99, 100, 101, 1000])
    get(`${count} fields`, [...GET, ...Array.from({ length: count }, (_u, i) => [`x${i}`, 'y'] as const)])
  for (const bytes of [59_000, 61_000, 62_000, 70_000]) {
    const whole = block([...GET, ['x', 'y'.repeat(bytes)]])
    const parts: Buffer[] = [frame(FrameType.HEADERS, Flag.END_STREAM, 1, whole.subarray(0, 16_384))]
    for (let at = 16_384; at < whole.length; at += 16_384)
      parts.push(frame(FrameType.CONTINUATION, at + 16_384 >= whole.length ? Flag.END_HEADERS : 0, 1, whole.subarray(at, at + 16_384)))
    add(`head of ${bytes}`, ...parts)
  }
  for (const length of table`
      5¦05¦0¦4¦6¦+5¦-5¦5,5¦5, 5¦¦\x205¦5\x20¦0x5¦18446744073709551621¦9007199254740993¦x¦5.0`) {
    post(`content-length ${length}`, [['content-length', length]], data(1, 'hello', Flag.END_STREAM))
    post(`content-length ${length} in two frames`, [['content-length', length]], data(1, 'hel'), data(1, 'lo', Flag.END_STREAM))
    post(`content-length ${length} with trailers`, [['content-length', length]], data(1, 'hello'), headers(1, [['x', 'y']], END))
    add(`content-length ${length} without a body`, headers(1, [...POST, ['content-length', length]], END))
    add(`content-length ${length} without a body, GET`, headers(1, [...GET, ['content-length', length]], END))
    post(
      `content-length ${length} and 5`,
      [
        ['content-length', length],
        ['content-length', '5'],
      ],
      data(1, 'hello', Flag.END_STREAM),
    )
    post(
      `content-length 5 and ${length}`,
      [
        ['content-length', '5'],
        ['content-length', length],
      ],
      data(1, 'hello', Flag.END_STREAM),
    )
    post(`content-length ${length}, nothing sent`, [['content-length', length]])
  }
  post('body is a request', [['content-length', '5']], data(1, 'GET /smuggled HTTP/1.1\r\nHost: b\r\n\r\n', Flag.END_STREAM))
  post('body is a request, no length', [], data(1, 'GET /smuggled HTTP/1.1\r\nHost: b\r\n\r\n', Flag.END_STREAM))
  post('body ends chunks', [], data(1, '0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: b\r\n\r\n', Flag.END_STREAM))
  add('GET with a body', headers(1, GET), data(1, 'hello', Flag.END_STREAM))
  add('GET with a body and length', headers(1, [...GET, ['content-length', '5']]), data(1, 'hello', Flag.END_STREAM))
  add('HEAD with a body', headers(1, replaced(GET, ':method', 'HEAD')), data(1, 'hello', Flag.END_STREAM))

  // CONNECT and RFC 8441.
  const connectTo = (authority: string): Fields => [
    [':method', 'CONNECT'],
    [':authority', authority],
  ]
  add('CONNECT', headers(1, connectTo('b:443')))
  add('CONNECT, END_STREAM', headers(1, connectTo('b:443'), END))
  add('CONNECT and early data', headers(1, connectTo('b:443')), data(1, 'GET /smuggled HTTP/1.1\r\nHost: b\r\n\r\n'))
  for (const authority of ['', 'b', 'b:', ':443', 'u@b:443', 'b:443/x', 'b:x', 'b:443\r\nX: y'])
    add(`CONNECT ${authority}`, headers(1, connectTo(authority)))
  add('CONNECT with :scheme', headers(1, [...connectTo('b:443'), [':scheme', 'http']]))
  add('CONNECT with :path', headers(1, [...connectTo('b:443'), [':path', '/']]))
  add('CONNECT with :scheme and :path', headers(1, [...connectTo('b:443'), [':scheme', 'http'], [':path', '/x']]))
  add('CONNECT without :authority', headers(1, [[':method', 'CONNECT']]))
  for (const protocol of ['websocket', 'WebSocket', 'h2c', 'connect-udp', '', 'x y', 'x\r\ny', 'x,y']) {
    add(
      `extended CONNECT ${protocol}`,
      headers(1, [...connectTo('a.example'), [':protocol', protocol], [':scheme', 'http'], [':path', '/x']]),
    )
    get(`GET with :protocol ${protocol}`, [[':protocol', protocol], ...GET])
  }
  add('extended CONNECT without :path', headers(1, [...connectTo('a.example'), [':protocol', 'websocket'], [':scheme', 'http']]))
  add('extended CONNECT without :scheme', headers(1, [...connectTo('a.example'), [':protocol', 'websocket'], [':path', '/x']]))

  // Frames where they do not belong.
  const ok = headers(1, GET, END)
  add('nothing')
  add('even stream', headers(2, GET, END))
  add('stream 0 HEADERS', headers(0, GET, END))
  add('stream ids go down', headers(5, GET, END), headers(3, GET, END))
  add('stream id again', ok, headers(1, GET, END))
  add('highest stream id', headers(0x7fffffff, GET, END))
  add('reserved bit of the stream id', frame(FrameType.HEADERS, END, 0x80000001, block(GET)))
  add('DATA on an idle stream', data(1, 'x'))
  add('DATA on stream 0', data(0, 'x'))
  add('DATA on a half-closed stream', ok, data(1, 'x'))
  add('DATA after END_STREAM', headers(1, POST), data(1, 'x', Flag.END_STREAM), data(1, 'y'))
  add('DATA after RST', headers(1, POST), rstStream(1), data(1, 'y'))
  add('HEADERS after RST', headers(1, POST), rstStream(1), headers(1, [['x', 'y']], END))
  add('HEADERS after END_STREAM', ok, headers(1, [['x', 'y']], END))
  add('second HEADERS without END_STREAM', headers(1, POST), headers(1, [['x', 'y']]))
  add('trailers without END_STREAM', headers(1, POST), data(1, 'x'), headers(1, [['x', 'y']]))
  add('trailers, then trailers', headers(1, POST), data(1, 'x'), headers(1, [['x', 'y']]), headers(1, [['x', 'y']], END))
  add('empty trailers', headers(1, POST), data(1, 'x'), headers(1, [], END))
  add('empty head', headers(1, [], END))
  add('RST on an idle stream', rstStream(1))
  add('RST on stream 0', rstStream(0))
  add('RST twice', headers(1, POST), rstStream(1), rstStream(1))
  add('RST of a wrong size', headers(1, POST), frame(FrameType.RST_STREAM, 0, 1, 'abc'))
  add('WINDOW_UPDATE on an idle stream', windowUpdate(1, 5))
  add('WINDOW_UPDATE 0', windowUpdate(0, 0))
  add('WINDOW_UPDATE 0 on a stream', headers(1, POST), windowUpdate(1, 0))
  add('WINDOW_UPDATE overflow', windowUpdate(0, 0x7fffffff))
  add('WINDOW_UPDATE overflow on a stream', headers(1, POST), windowUpdate(1, 0x7fffffff))
  add('WINDOW_UPDATE of a wrong size', frame(FrameType.WINDOW_UPDATE, 0, 0, 'abc'))
  add('WINDOW_UPDATE on a closed stream', ok, windowUpdate(1, 5))
  add('PING', ping())
  add('PING of a wrong size', frame(FrameType.PING, 0, 0, 'abc'))
  add('PING on a stream', frame(FrameType.PING, 0, 1, '12345678'))
  add('PING ACK unasked', ping('12345678', Flag.ACK))
  add('GOAWAY', goaway(0))
  add('GOAWAY on a stream', frame(FrameType.GOAWAY, 0, 1, uint32(0, 0)))
  add('GOAWAY of a wrong size', frame(FrameType.GOAWAY, 0, 0, 'abc'))
  add('GOAWAY, then a request', goaway(0), ok)
  add('PRIORITY', frame(FrameType.PRIORITY, 0, 1, 'abcde'))
  add('PRIORITY on stream 0', frame(FrameType.PRIORITY, 0, 0, 'abcde'))
  add('PRIORITY of a wrong size', frame(FrameType.PRIORITY, 0, 1, 'abc'))
  add('PRIORITY on itself', frame(FrameType.PRIORITY, 0, 1, Buffer.concat([uint32(1), Buffer.from([0])])))
  add(
    'HEADERS that depend on themselves',
    frame(FrameType.HEADERS, END | 0x20, 1, Buffer.concat([uint32(1), Buffer.from([0]), block(GET)])),
  )
  add('HEADERS with priority cut off', frame(FrameType.HEADERS, END | 0x20, 1, 'ab'))
  add('PUSH_PROMISE', frame(FrameType.PUSH_PROMISE, Flag.END_HEADERS, 1, Buffer.concat([uint32(2), block(GET)])))
  add('unknown frame', frame(0xbb, 0, 0, 'hello'), frame(0xcc, 255, 1, ''), ok)
  add(
    'unknown frame in a header block',
    frame(FrameType.HEADERS, Flag.END_STREAM, 1, block(GET)),
    frame(0xbb, 0, 1, 'x'),
    frame(FrameType.CONTINUATION, Flag.END_HEADERS, 1, ''),
  )
  add(
    'PING in a header block',
    frame(FrameType.HEADERS, Flag.END_STREAM, 1, block(GET)),
    ping(),
    frame(FrameType.CONTINUATION, Flag.END_HEADERS, 1, ''),
  )
  add('other HEADERS in a header block', frame(FrameType.HEADERS, Flag.END_STREAM, 1, block(GET)), headers(3, GET, END))
  add(
    'CONTINUATION of another stream',
    frame(FrameType.HEADERS, Flag.END_STREAM, 1, block(GET)),
    frame(FrameType.CONTINUATION, Flag.END_HEADERS, 3, ''),
  )
  add('CONTINUATION without HEADERS', frame(FrameType.CONTINUATION, Flag.END_HEADERS, 1, block(GET)))
  add('CONTINUATION after END_HEADERS', ok, frame(FrameType.CONTINUATION, Flag.END_HEADERS, 1, block([['x', 'y']])))
  add(
    'CONTINUATION',
    frame(FrameType.HEADERS, Flag.END_STREAM, 1, block(GET)),
    frame(FrameType.CONTINUATION, Flag.END_HEADERS, 1, block([['x', 'y']])),
  )
  add('header block never ends', frame(FrameType.HEADERS, Flag.END_STREAM, 1, block(GET)))
  add(
    'empty CONTINUATIONs',
    frame(FrameType.HEADERS, Flag.END_STREAM, 1, block(GET)),
    ...Array.from({ length: 4 }, () => frame(FrameType.CONTINUATION, 0, 1, '')),
    frame(FrameType.CONTINUATION, Flag.END_HEADERS, 1, ''),
  )
  add('frame too large', frame(FrameType.DATA, 0, 1, Buffer.alloc(16_385)))
  add('SETTINGS too large', frame(FrameType.SETTINGS, 0, 0, Buffer.alloc(16_386)))
  for (const pad of [0, 1, 10, 255]) {
    add(
      `DATA padding ${pad}`,
      headers(1, POST),
      frame(FrameType.DATA, 9, 1, Buffer.concat([Buffer.from([pad]), Buffer.from('hello'), Buffer.alloc(pad)])),
    )
    add(
      `DATA padding ${pad} is too long`,
      headers(1, POST),
      frame(FrameType.DATA, 9, 1, Buffer.concat([Buffer.from([pad]), Buffer.from('h')])),
    )
    add(
      `DATA padding ${pad}, not zero`,
      headers(1, POST),
      frame(FrameType.DATA, 9, 1, Buffer.concat([Buffer.from([pad]), Buffer.from('hello'), Buffer.alloc(pad, 1)])),
    )
    add(`HEADERS padding ${pad}`, frame(FrameType.HEADERS, END | 8, 1, Buffer.concat([Buffer.from([pad]), block(GET), Buffer.alloc(pad)])))
    add(
      `HEADERS padding ${pad} is too long`,
      frame(FrameType.HEADERS, END | 8, 1, Buffer.concat([Buffer.from([pad]), Buffer.from([0x82])])),
    )
  }
  add('DATA padding without a length', headers(1, POST), frame(FrameType.DATA, 9, 1, ''))

  // SETTINGS.
  for (const [id, values] of [
    [1, [0, 1, 4096, 65_536, 0xffffffff]],
    [2, [0, 1, 2, 0xffffffff]],
    [3, [0, 1, 0xffffffff]],
    [4, [0, 1, 0x7fffffff, 0x80000000, 0xffffffff]],
    [5, [0, 16_383, 16_384, 16_777_215, 16_777_216]],
    [6, [0, 1, 100, 0xffffffff]],
    [8, [0, 1, 2]],
    [9, [0, 1, 2]],
    [0, [1]],
    [0xffff, [1]],
  ] as const)
    for (const value of values) add(`SETTINGS ${id}=${value}`, settings([id, value]), ok)
  add('SETTINGS of a wrong size', frame(FrameType.SETTINGS, 0, 0, 'abcde'))
  add('SETTINGS on a stream', frame(FrameType.SETTINGS, 0, 1, ''))
  add('SETTINGS ACK with a payload', frame(FrameType.SETTINGS, Flag.ACK, 0, 'abcdef'))
  add('SETTINGS ACK unasked', SETTINGS_ACK, SETTINGS_ACK, SETTINGS_ACK)
  add('SETTINGS twice the same', settings([4, 5], [4, 65_535]), ok)
  add('extended CONNECT off again', settings([8, 1]), settings([8, 0]), ok)

  // HPACK.
  const raw = (what: string, bytes: Buffer): void => add(`hpack ${what}`, frame(FrameType.HEADERS, END, 1, bytes), headers(3, GET, END))
  raw('index 0', Buffer.concat([block(GET), Buffer.from([0x80])]))
  for (const index of [61, 62, 63, 100, 1000, 0xffffffff]) raw(`index ${index}`, Buffer.concat([block(GET), integer(0x80, 0x7f, index)]))
  raw('name index beyond the table', Buffer.concat([block(GET), integer(0x40, 0x3f, 200), text('x')]))
  raw('static table', Buffer.from([0x82, 0x84, 0x86, 0x41, 1, 0x61]))
  raw('static :status', Buffer.concat([block(GET), Buffer.from([0x88])]))
  raw(
    'integer of many bytes',
    Buffer.concat([block(GET), Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f])]),
  )
  raw('integer of many zero bytes', Buffer.concat([block(GET), Buffer.from([0xff, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0])]))
  raw('integer cut off', Buffer.concat([block(GET), Buffer.from([0xff])]))
  raw('string longer than the block', Buffer.concat([block(GET), Buffer.from([0, 0x7e, 0x61])]))
  raw('string of 2^32 bytes', Buffer.concat([block(GET), Buffer.from([0, 0x7f, 0x80, 0xff, 0xff, 0xff, 0x0f])]))
  raw('Huffman EOS', Buffer.concat([block(GET), Buffer.from([0, 1, 0x78, 0x84, 0xff, 0xff, 0xff, 0xff])]))
  raw('Huffman padding of zeros', Buffer.concat([block(GET), Buffer.from([0, 1, 0x78, 0x81, 0b11110000])]))
  raw('Huffman padding of 8 bits', Buffer.concat([block(GET), Buffer.from([0, 1, 0x78, 0x82, 0b00011111, 0xff])]))
  raw('Huffman value with CR LF', Buffer.concat([block(GET), Buffer.from([0, 1, 0x78]), huffmanText('y\r\nZ: w')]))
  raw('Huffman name in upper case', Buffer.concat([block(GET), Buffer.from([0]), huffmanText('X'), text('y')]))
  raw('Huffman, fine', Buffer.concat([block(GET), Buffer.from([0]), huffmanText('x'), huffmanText('y')]))
  for (const size of [0, 1, 4096, 4097, 65_536, 0xffffffff])
    raw(`table size ${size} first`, Buffer.concat([integer(0x20, 0x1f, size), block(GET)]))
  raw('table size last', Buffer.concat([block(GET), integer(0x20, 0x1f, 0)]))
  raw('table size in the middle', Buffer.concat([block(GET.slice(0, 2)), integer(0x20, 0x1f, 0), block(GET.slice(2))]))
  raw('table size twice', Buffer.concat([integer(0x20, 0x1f, 0), integer(0x20, 0x1f, 4096), block(GET)]))
  raw('table size three times', Buffer.concat([integer(0x20, 0x1f, 0), integer(0x20, 0x1f, 100), integer(0x20, 0x1f, 4096), block(GET)]))
  raw('never indexed', Buffer.concat([block(GET), Buffer.from([0x10]), text('x'), text('y')]))
  raw('entry larger than the table', Buffer.concat([block(GET), Buffer.from([0x40]), text('x'), text('y'.repeat(5000))]))
  raw('empty name, indexed', Buffer.concat([block(GET), Buffer.from([0x40]), text(''), text('y')]))
  raw('bomb', Buffer.concat([block(GET), Buffer.from([0x40]), text('x'), text('y'.repeat(4000)), Buffer.alloc(200, 0xbe)]))
  raw('nothing', Buffer.alloc(0))

  // Prefaces.
  const bare = (what: string, ...frames: Buffer[]): void => {
    cases.push({ id: `h2/preface ${what}`, frames, bare: true })
  }
  bare('without SETTINGS', PREFACE, ok)
  bare('then PING', PREFACE, ping())
  bare('then SETTINGS ACK', PREFACE, SETTINGS_ACK)
  bare('twice', PREFACE, PREFACE)
  bare('cut', PREFACE.subarray(0, 20))
  bare('then HTTP/1', PREFACE, Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n'))
  bare('then TLS', PREFACE, Buffer.from('\x16\x03\x01\x02\x00', 'latin1'))
  bare('SETTINGS before it', settings(), PREFACE)
  return cases
}
