// The attack corpus of attack-differential.test.ts: requests made by crossing what may be wrong with where it may stand. Deterministic:
// the same list in every run. Each entry is an id (`group/what`) and the bytes, as latin1, in the parts in which they are sent.

import { CHUNKS, ODD_BYTES, show, table } from './attack-table.js'

export interface AttackCase {
  readonly id: string
  readonly parts: readonly string[]
}

class Corpus {
  readonly cases: AttackCase[] = []
  private readonly ids = new Set<string>()
  private group = ''

  section(group: string): this {
    this.group = group
    return this
  }

  add(what: string, ...parts: string[]): this {
    const id = `${this.group}/${show(what)}`
    if (!this.ids.has(id)) {
      this.ids.add(id)
      this.cases.push({ id, parts })
    }
    return this
  }

  line(line: string, rest = 'Host: a\r\n\r\n'): this {
    return this.add(line, `${line}\r\n${rest}`)
  }

  get(lines: string, what = lines): this {
    return this.add(`GET ${what}`, `GET /x HTTP/1.1\r\nHost: a\r\n${lines}\r\n\r\n`)
  }

  post(lines: string, body: string, what = lines): this {
    return this.add(`POST ${what} <${show(body)}>`, `POST /x HTTP/1.1\r\nHost: a\r\n${lines}\r\n\r\n${body}`)
  }

  chunked(body: string, what = body): this {
    return this.add(what, `POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${body}`)
  }
}

export function http1Corpus(): AttackCase[] {
  const c = new Corpus()

  c.section('line')
  for (const version of table`
      HTTP/1.1¦http/1.1¦Http/1.1¦HTTP/1.2¦HTTP/1.9¦HTTP/1.10¦HTTP/1.01¦HTTP/01.1¦HTTP/1.¦HTTP/1¦HTTP/.1¦HTTP/0.9¦HTTP/1.0¦HTTP/2.0
      HTTP/2¦HTTP/3.0¦HTTP/9.9¦HTTP/1.1\x20¦HTTP/1.1\t¦HTTP/ 1.1¦HTTP /1.1¦HTTP/1.1x¦HTTP/1,1¦HTTP/1.1 HTTP/1.1¦HTTQ/1.1¦HTTPS/1.1
      ICY/1.0¦RTSP/1.0¦SIP/2.0¦ICE/1.0¦¦x¦HTTP/+1.1¦HTTP/1.-1¦HTTP\\1.1¦\0HTTP/1.1`)
    c.line(`GET /x ${version}`)
  for (const b of ODD_BYTES) {
    c.line(`G${b}T /x HTTP/1.1`)
      .line(`${b}GET /x HTTP/1.1`)
      .line(`GET${b} /x HTTP/1.1`)
      .line(`GET${b}/x HTTP/1.1`)
      .line(`GET ${b}/x HTTP/1.1`)
    c.line(`GET /x${b}y HTTP/1.1`)
      .line(`GET /x${b} HTTP/1.1`)
      .line(`GET /x${b}HTTP/1.1`)
      .line(`GET /x ${b}HTTP/1.1`)
      .line(`GET /x HTTP/1.1${b}`)
    c.line(`GET /x?q=${b}z HTTP/1.1`).line(`GET http://a${b}b/x HTTP/1.1`).line(`GET /%${b}0 HTTP/1.1`)
  }
  for (const method of [
    ...table`
      GET¦HEAD¦POST¦PUT¦DELETE¦OPTIONS¦TRACE¦PATCH¦get¦Get¦PROPFIND¦PURGE¦PRI¦M-SEARCH¦CONNECT¦connect¦X¦FOO¦!#$%¦GET,POST¦GET2¦123
      -¦HTTP/1.1¦QUERY¦SOURCE¦BREW`,
    'A'.repeat(300),
  ])
    c.line(`${method} /x HTTP/1.1`)
  for (const target of [
    ...table`
      /¦//¦///x¦//b/x¦/x/../y¦/./x¦/x//y¦/x%2fy¦/x%5cy¦/x\\y¦/%¦/%2¦/%zz¦/%00¦/%0d%0aX:y¦/x#f¦/x?a#f¦#¦?¦?x¦*¦**¦/*¦x¦x/y¦.¦..¦./x
      \\x¦/x;p¦/x;p=1?q¦/x|y¦/x^y¦/x{y}¦/x<y>¦/x"y"¦/x'y'¦/~x¦/x,y¦/x:y¦:¦:80¦a:80¦http:¦http:/¦http:/x¦http://¦http:///¦http:///x
      http://a¦http://a/¦http://b¦http://b/x¦http://b?q¦http://b#f¦http://b/x#f¦http://b:80/x¦http://b:/x¦http://b:0/x
      http://b:65536/x¦http://b:99999/x¦http://b:x/x¦http://b:80:80/x¦http://u@b/x¦http://u:p@b/x¦http://@b/x¦http://b@/x
      http://[::1]/x¦http://[::1]:80/x¦http://[::1/x¦http://::1/x¦http://[::1%25eth0]/x¦http://[z]/x¦http://[]/x¦http://b\\x
      http://b\\@c/x¦http://b%2fx¦http://b%00/x¦http://b,c/x¦http://b;c/x¦http://b_c/x¦http://B/x¦http://b./x¦http://*/x¦HTTP://b/x
      hTTp://b/x¦https://b/x¦HTTPS://b/x¦ftp://b/x¦ws://b/x¦file:///x¦javascript:x¦urn:x¦http//b/x¦/http://b/x¦httpx://b/x¦http:b
      http:@b¦//b@c/x¦/\xc3\xa9¦/%c3%a9¦/%c0%af¦/%ff¦/\xff¦/x?\xff`,
    '/x`y',
    `/${'a'.repeat(5000)}`,
  ])
    c.line(`GET ${target} HTTP/1.1`).line(`OPTIONS ${target} HTTP/1.1`)
  for (const target of table`
      b¦b:443¦b:¦:443¦b:0¦b:99999¦/x¦*¦http://b:443¦u@b:443¦[::1]:443¦[::1]¦b:443/x¦b:443?x¦b:44x¦b:443,c:443`)
    c.line(`CONNECT ${target} HTTP/1.1`)
  c.line('GET /x HTTP/1.1', 'Host: a\n\n').line('GET  /x HTTP/1.1').line('GET /x  HTTP/1.1').line('  GET /x HTTP/1.1')
  for (const before of [
    ...table`
      \r\n¦\r\n\r\n¦\n¦\n\n¦\r¦\r\r\n¦\x20\r\n¦\t¦\0¦\ufeff`,
    '\r\n'.repeat(8),
    '\r\n'.repeat(9),
    '\r\n'.repeat(100),
  ])
    c.add(`before ${before}`, `${before}GET /x HTTP/1.1\r\nHost: a\r\n\r\n`)
  for (const ending of ['\n', '\r', '\r\r\n', '\n\r', ' \r\n', '\t\r\n', '\0\r\n', '\x0b\r\n', '\r\n '])
    c.add(`ended by ${ending}`, `GET /x HTTP/1.1${ending}Host: a\r\n\r\n`)

  c.section('host')
  for (const host of [
    ...table`
      ¦\x20¦a¦A¦a\x20¦\x20a\t¦a.¦a..b¦.a¦a:80¦a:¦a:0¦a:080¦a:65535¦a:65536¦a:999999¦a:-1¦a:+80¦a: 80¦a :80¦a:80:80¦a:8x¦a:http¦:80
      :¦a,b¦a, b¦a;b¦a b¦a\tb¦a/b¦a/¦/¦a?b¦a#b¦a\\b¦u@a¦@a¦a@¦u:p@a¦http://a¦//a¦[::1]¦[::1]:80¦[::1¦::1¦::1]¦[]¦[x]¦[::1]x¦[::1]:x
      [fe80::1%25eth0]¦[fe80::1%eth0]¦[v1.x]¦1.2.3.4¦1.2.3¦0x7f.1¦256.1.1.1¦127.1¦2130706433¦a_b¦-a¦a-¦*¦*.a¦a%00b¦a%2fb¦a%41¦%¦a'b
      a"b¦a<b¦a{b}¦a|b¦a^b¦a!b¦a$b¦a&b¦a(b)¦a=b¦a~b¦a\x80¦\xc3\xa9¦a\0b¦a\x0bb¦a\x7f¦a\rb¦localhost¦_¦=¦xn--a`,
    'a`b',
    'a'.repeat(255),
    'a'.repeat(300),
  ])
    c.add(`Host: ${host}`, `GET /x HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
  c.add('missing', 'GET /x HTTP/1.1\r\n\r\n')
    .add('missing in 1.0', 'GET /x HTTP/1.0\r\n\r\n')
    .add('1.0', 'GET /x HTTP/1.0\r\nHost: a\r\n\r\n')
  c.add('missing but absolute', 'GET http://b/x HTTP/1.1\r\n\r\n')
    .add('empty but absolute', 'GET http://b/x HTTP/1.1\r\nHost:\r\n\r\n')
    .add('bad but absolute', 'GET http://b/x HTTP/1.1\r\nHost: u@a/\r\n\r\n')
  c.add('two but absolute', 'GET http://b/x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n')
  for (const [one, two] of [
    ['a', 'a'],
    ['a', 'b'],
    ['a', ''],
    ['', 'a'],
    ['', ''],
  ])
    c.add(`two ${one}|${two}`, `GET /x HTTP/1.1\r\nHost: ${one}\r\nX: y\r\nHost: ${two}\r\n\r\n`).add(
      `two spellings ${one}|${two}`,
      `GET /x HTTP/1.1\r\nhost: ${one}\r\nHOST: ${two}\r\n\r\n`,
    )
  for (const name of ['Host ', 'Host\t', ' Host', 'Ho st', 'Host\0', 'H\xf6st', ':authority', ':host', 'Host_', '"Host"'])
    c.add(`name ${name}`, `GET /x HTTP/1.1\r\n${name}: b\r\nHost: a\r\n\r\n`).add(
      `last ${name}`,
      `GET /x HTTP/1.1\r\nHost: a\r\n${name}: b\r\n\r\n`,
    )
  for (const name of [':path', ':method', ':scheme', ':status', ':protocol', ':x', ':']) c.get(`${name}: /y`)

  c.section('field')
  for (const b of ODD_BYTES) {
    c.get(`X${b}: y`)
      .get(`X${b}Y: z`)
      .get(`${b}X: y`)
      .get(`X:${b}y`)
      .get(`X: y${b}`)
      .get(`X: y${b}z`)
      .get(`X: y\r\n${b}Z: w`)
      .get(`X: y${b}\nZ: w`)
      .get(`X: y\r${b}Z: w`)
    c.get(`X: y\r\n${b}`, `line ${b}`).get(`X: y\r\n\r${b}Z: w`, `head end CR ${b}`)
  }
  for (const lines of [
    ...table`
      X¦X:¦X:\x20¦: y¦:¦X:y¦X::y¦X: :y¦X Y: z¦X : y¦X\t: y¦X: y\r\n z¦X: y\r\n\tz¦X: y\r\n \r\nZ: w¦X: y\n z¦X: y\nZ: w¦X: y\rZ: w
      X: y\r\r\nZ: w¦X: y\n\rZ: w¦__proto__: x¦constructor: x¦toString: x¦hasOwnProperty: x¦X_Y: z¦X: "¦X: '¦X: \\¦GET /y HTTP/1.1
      X: y\r\nGET /y HTTP/1.1¦HTTP/1.1 200 OK¦{"a": 1}¦<x>: y¦X: \u00e9¦Cookie: a=1\r\nCookie: b=2¦Set-Cookie: a\r\nSet-Cookie: b`,
    `X: ${'y'.repeat(9000)}`,
    `${'X'.repeat(300)}: y`,
    `${'X'.repeat(9000)}: y`,
  ])
    c.get(lines)
  for (const end of ['\n', '\r\n\n', '\n\r\n', '\r\n\r', '\r\n \r\n\r\n', '\r\n\r\r\n', '\r\n\0\r\n', '\r\n\t\r\n'])
    c.add(`head ended by ${end}`, `GET /x HTTP/1.1\r\nHost: a\r\nX: y${end}`).add(
      `then a request, head ended by ${end}`,
      `GET /x HTTP/1.1\r\nHost: a\r\nX: y${end}GET /y HTTP/1.1\r\nHost: b\r\n\r\n`,
    )

  c.section('length')
  const lengths = [
    ...table`
      5¦05¦0005¦0¦00¦-0¦+0¦-1¦-5¦+5¦\x205¦5\x20¦\t5\t¦5 5¦5,5¦5, 5¦5,6¦5,¦,5¦,¦¦5;¦5;q=1¦5.0¦5e0¦0x5¦5h¦0b101¦1_0¦"5"¦'5'¦5\x0b
      \x0b5¦5\x0c¦5\0¦\xa05¦5\xa0¦5\x85¦\xb2¦٥¦five¦NaN¦null¦true¦5-¦5+1¦2147483648¦4294967296¦4294967301¦9007199254740993
      18446744073709551615¦18446744073709551616¦18446744073709551621¦6¦4`,
    '9'.repeat(30),
    `${'0'.repeat(30)}5`,
  ]
  for (const value of lengths) {
    c.post(`Content-Length: ${value}`, 'hello')
    c.get(`Content-Length: ${value}`)
    c.post(`Content-Length: ${value}\r\nTransfer-Encoding: chunked`, CHUNKS).post(
      `Transfer-Encoding: chunked\r\nContent-Length: ${value}`,
      CHUNKS,
    )
    c.post(`Content-Length: ${value}\r\nContent-Length: 5`, 'hello').post(`Content-Length: 5\r\nContent-Length: ${value}`, 'hello')
    c.add(`1.0 ${value}`, `POST /x HTTP/1.0\r\nHost: a\r\nContent-Length: ${value}\r\n\r\nhello`)
  }
  for (const name of table`
      Content-Length\x20¦Content-Length\t¦\x20Content-Length¦Content_Length¦Content Length¦Content-Length\0¦Content-Length\x0b
      Content-Length:¦content-length¦CONTENT-LENGTH¦Content-Lengt¦Content-Length-¦X\r\nContent-Length¦X: y\rContent-Length
      X: y\nContent-Length`)
    c.post(`${name}: 5`, 'hello').post(`Content-Length: 0\r\n${name}: 5`, 'hello').post(`Transfer-Encoding: chunked\r\n${name}: 5`, CHUNKS)

  c.section('coding')
  const codings = table`
      chunked¦Chunked¦CHUNKED¦\x20chunked¦chunked\x20¦\tchunked¦chunked\t¦\x0bchunked¦chunked\x0b¦\x0cchunked¦\0chunked¦chunked\0
      \xa0chunked¦chunked\xa0¦\x85chunked¦"chunked"¦'chunked'¦chunked;¦chunked;q=1¦chunked; x¦;chunked¦,chunked¦chunked,¦,chunked,
      \x20, chunked¦chunked,,¦chunked, chunked¦chunked,chunked¦chunked chunked¦chunked identity¦identity¦identity, chunked
      chunked, identity¦gzip¦gzip, chunked¦chunked, gzip¦deflate, chunked¦compress¦x-chunked¦chunkedx¦xchunked¦chunke¦chunk¦cow
      cow, chunked¦chunked, cow¦¦\x20¦,¦\r\n chunked¦chunked\r\n\x20¦chunked,\r\n identity¦\n chunked¦chunk\r\n ed¦chunked\r
      chunked\n¦chun\tked¦chun ked¦%63hunked¦chunked/1¦trailers¦chunKed\u212a¦false¦0¦chunked:¦:chunked¦[chunked]¦chunked=1
      chunked()`
  for (const value of codings) {
    c.post(`Transfer-Encoding: ${value}`, CHUNKS)
      .post(`Transfer-Encoding: ${value}\r\nContent-Length: 5`, CHUNKS)
      .post(`Content-Length: 15\r\nTransfer-Encoding: ${value}`, CHUNKS)
    c.post(`Transfer-Encoding: chunked\r\nTransfer-Encoding: ${value}`, CHUNKS).post(
      `Transfer-Encoding: ${value}\r\nTransfer-Encoding: chunked`,
      CHUNKS,
    )
    c.add(`1.0 ${value}`, `POST /x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: ${value}\r\n\r\n${CHUNKS}`)
    c.add(`GET ${value}`, `GET /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ${value}\r\n\r\n${CHUNKS}`)
  }
  for (const name of table`
      Transfer-Encoding\x20¦Transfer-Encoding\t¦\x20Transfer-Encoding¦Transfer_Encoding¦Transfer Encoding¦Transfer-Encoding\0
      Transfer-Encoding\x0b¦transfer-encoding¦TRANSFER-ENCODING¦Transfer-Encodin¦Transfer-Encoding-¦X: y\rTransfer-Encoding
      X: y\nTransfer-Encoding¦X: y\r\r\nTransfer-Encoding¦TE¦Tr\xe4nsfer-Encoding¦Transfer-\r\nEncoding¦Transfer--Encoding
      X-Transfer-Encoding¦Transfer-Encoding\r\n\x20`)
    c.post(`${name}: chunked`, CHUNKS)
      .post(`Content-Length: 5\r\n${name}: chunked`, 'hello')
      .post(`${name}: chunked\r\nContent-Length: 5`, 'hello')

  c.section('chunk')
  const sizes = [
    ...table`
      5¦05¦0005¦5\x20¦\x205¦5\t¦\t5¦+5¦-5¦-0¦+0¦0x5¦0X5¦5h¦5g¦g¦5.¦5.0¦5,¦5_¦0_5¦5;¦5 ;¦5;\x20¦5;a¦5;a=b¦5;a=¦5;=b¦5;a="b"¦5;a="b
      5;a="b\""¦5;a="b;c"¦5;a='b'¦5;a b¦5;a=b c¦5;a=b;c=d¦5;;¦5;a;;b¦5;a=\x00¦5;a=\x01¦5;a=\x0b¦5;a=\x7f¦5;a=\xff¦5;\xff¦5;\t¦5\x00
      5\x0b¦5\x0c¦5\x85¦5\xa0¦\xa05¦"5"¦¦;a¦=¦5=¦5:¦5/¦5 5¦5\r¦5;\r¦5;a\r¦5;\n¦5;a\n¦5;a="\n"¦5;a="\r"¦5;a="\r\n"¦5;\nxx¦100000005
      7fffffffffffffff¦8000000000000000¦ffffffffffffffff¦10000000000000005¦fffffffffffff0¦20000000000005¦FFFFFFFF
      5;foo=bar; baz="q;\"r"¦5;a="\\\n"¦٥¦5%¦%35`,
    `${'0'.repeat(20)}5`,
    `${'0'.repeat(5000)}5`,
    `1${'0'.repeat(40)}5`,
    `5;${'a'.repeat(3000)}`,
    `5;${'a'.repeat(5000)}`,
    `5;${'a'.repeat(20000)}`,
  ]
  for (const size of sizes) {
    c.chunked(`${size}\r\nhello\r\n0\r\n\r\n`)
      .chunked(`${size}\nhello\r\n0\r\n\r\n`)
      .chunked(`5\r\nhello\r\n${size.replace('5', '0')}\r\n\r\n`, `last ${size}`)
    c.chunked(`1\r\nA\r\n${size}\r\nhello\r\n0\r\n\r\n`, `second ${size}`)
  }
  for (const sep of ['\n', '\r', '', '\r\r\n', '\n\r', '\r\n\r\n', ' \r\n', '\r\n ', '\0\r\n', 'x\r\n', '\rx', '\n\n'])
    c.chunked(`5${sep}hello\r\n0\r\n\r\n`, `after size ${sep}`)
      .chunked(`5\r\nhello${sep}0\r\n\r\n`, `after data ${sep}`)
      .chunked(`5\r\nhello\r\n0${sep}\r\n`, `after last size ${sep}`)
      .chunked(`5\r\nhello\r\n0\r\n${sep}`, `at the end ${sep}`)
  for (const data of ['hello!', 'hell', 'hello\r', 'hello\n', 'hello\r\n\r\n', '']) c.chunked(`5\r\n${data}\r\n0\r\n\r\n`, `data ${data}`)
  const trailers = [
    ...table`
      X: y¦X: y\r\nZ: w¦Content-Length: 5¦Transfer-Encoding: chunked¦Host: b¦Connection: close¦Authorization: x
      X-Forwarded-For: 1.2.3.4¦x-envoy-internal: true¦:path: /y¦:authority: b¦X¦X\x20¦: y¦X : y¦X\t: y¦\x20X: y¦X: y\r\n z
      X: y\nZ: w¦X: y\n¦X: y\r¦X: y\rZ¦X: \0¦X: \x0b¦X: \xff¦X\xff: y¦X Y: z¦GET /y HTTP/1.1¦GET /y HTTP/1.1\r\nHost: b¦X_Y: z
      Trailer: x¦TE: trailers¦Upgrade: websocket¦Cookie: a¦Content-Type: x¦Expect: 100-continue¦__proto__: x`,
    `X: ${'y'.repeat(9000)}`,
    `${'X: y\r\n'.repeat(200)}Z: w`,
    `X: ${'y'.repeat(70000)}`,
  ]
  for (const trailer of trailers) c.chunked(`5\r\nhello\r\n0\r\n${trailer}\r\n\r\n`, `trailer ${trailer}`)
  c.chunked('', 'nothing')
    .chunked('0\r\n\r\n')
    .chunked('0\r\n')
    .chunked('0')
    .chunked('5')
    .chunked('5\r\nhe')
    .chunked('5\r\nhello\r\n')
    .chunked('0\r\n\r\nGET /y HTTP/1.1\r\nHost: b\r\n\r\n')
    .chunked(`${'1\r\nx\r\n'.repeat(500)}0\r\n\r\n`, 'many')
    .chunked(`${'1;a=b\r\nx\r\n'.repeat(500)}0\r\n\r\n`, 'many with extensions')
    .chunked(`${'1;abcdefghijklmnopqrstuvwxyz0123456789\r\nx\r\n'.repeat(1000)}0\r\n\r\n`, 'very many with extensions')

  c.section('body')
  for (const method of ['GET', 'HEAD', 'DELETE', 'OPTIONS', 'TRACE', 'PUT', 'PATCH', 'PROPFIND', 'FOO']) {
    c.add(`${method} CL`, `${method} /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello`)
    c.add(`${method} TE`, `${method} /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${CHUNKS}`)
    c.add(`${method} CL 0`, `${method} /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n`)
    c.add(`${method} none`, `${method} /x HTTP/1.1\r\nHost: a\r\n\r\n`)
    c.add(
      `${method} body is a request`,
      `${method} /x HTTP/1.1\r\nHost: a\r\nContent-Length: 38\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: evil.b\r\n\r\n`,
    )
    c.add(`${method} 1.0 CL`, `${method} /x HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello`)
  }
  c.add('POST without length', 'POST /x HTTP/1.1\r\nHost: a\r\n\r\nhello').add(
    '1.0 without length',
    'POST /x HTTP/1.0\r\nHost: a\r\n\r\nhello',
  )

  c.section('connection')
  const options = [
    ...table`
      close¦Close¦CLOSE¦keep-alive¦close, keep-alive¦keep-alive, close¦keep-alive\r\nConnection: close
      close\r\nConnection: keep-alive¦\x20close\x20¦close,¦,close¦"close"¦close;x¦close close¦x¦¦,¦host¦Host¦content-length
      transfer-encoding¦content-length, transfer-encoding¦authorization¦cookie¦x-forwarded-for¦x-forwarded-host¦x-forwarded-proto
      x-forwarded-client-cert¦x-request-id¦x-secret¦X-Secret¦x-secret, close¦x-envoy-internal¦te¦TE¦trailer¦upgrade¦Upgrade¦expect
      via¦forwarded¦:path¦:authority¦x secret¦keep-alive, upgrade¦connection¦proxy-connection¦http2-settings¦accept¦user-agent
      content-type¦date`,
    'x-secret,'.repeat(50),
  ]
  for (const value of options) {
    c.get(
      `Connection: ${value}\r\nAuthorization: x\r\nCookie: a\r\nX-Secret: s\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Host: h\r\nTE: trailers\r\nForwarded: for=x\r\nAccept: z\r\nUser-Agent: u`,
      `Connection: ${value}`,
    )
    c.post(`Connection: ${value}\r\nContent-Length: 5\r\nContent-Type: t`, 'hello')
    c.add(`1.0 ${value}`, `GET /x HTTP/1.0\r\nHost: a\r\nConnection: ${value}\r\n\r\n`)
  }
  for (const lines of [
    ...table`
      Keep-Alive: timeout=5¦Keep-Alive: timeout=5, max=1\r\nConnection: keep-alive¦Proxy-Connection: close
      Proxy-Connection: keep-alive¦Proxy-Authorization: x¦Proxy-Authenticate: x¦TE: trailers¦TE: gzip¦TE: trailers, gzip
      TE: trailers;q=0¦TE: gzip;q=1\r\nTE: trailers¦Connection: TE\r\nTE: trailers¦Connection: TE\r\nTE: gzip
      Connection: te, close\r\nTE: chunked¦Trailer: X¦Max-Forwards: 0¦Via: 1.1 x¦HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA
      Alt-Used: x¦X-Forwarded-Proto: https¦X-Forwarded-Proto: ftp¦X-Forwarded-Proto: https\r\nX-Forwarded-Proto: http
      X-Forwarded-Proto:¦X-Forwarded-For: evil¦X-Forwarded-For: fe80::1%eth0¦X-Forwarded-For: 10.0.0.1
      X-Forwarded-For: 10.0.0.1, 127.0.0.1¦X-Forwarded-For: ,,,¦X-Forwarded-For:¦X-Forwarded-Host: b¦X-Forwarded-Port: x
      X-Forwarded-Client-Cert: By=x¦X-Envoy-Internal: true¦X-Envoy-External-Address: 1.1.1.1¦X-Envoy-Original-Path: /y
      X-Envoy-Original-Host: y¦X-Envoy-Retry-On: 5xx¦X-Envoy-Max-Retries: 100¦X-Envoy-Upstream-Rq-Timeout-Ms: 60000
      X-Envoy-Upstream-Rq-Timeout-Ms: 0¦X-Envoy-Upstream-Alt-Stat-Name: z¦X-Envoy-Expected-Rq-Timeout-Ms: 5¦X-Envoy-Force-Trace: 1
      X-Envoy-Ip-Tags: a¦X-Envoy-Decorator-Operation: x¦X-Envoy-Downstream-Service-Cluster: x¦X-Envoy-Downstream-Service-Node: x
      X-Envoy-Attempt-Count: 7¦X-Envoy-Peer-Metadata: x¦X-Envoy-Hedge-On-Per-Try-Timeout: true¦X-Envoy-Is-Timeout-Retry: 1
      X-Envoy-Overloaded: 1¦X-Envoy-Auth-Partial-Body: 1¦X-Request-Id: \x80¦X-Request-Id:¦Grpc-Timeout: 99999999999H
      Grpc-Timeout: 1n¦Content-Encoding: gzip¦Sec-WebSocket-Key: x`,
    `${'Range: bytes=0-0,'.repeat(10)}1`,
  ])
    c.get(lines)

  c.section('upgrade')
  for (const value of table`
      websocket¦WebSocket¦h2c¦H2C¦h2c, websocket¦websocket, h2c¦foo¦foo/1¦TLS/1.0¦HTTP/2.0¦h2¦¦,¦websocket,¦web socket¦connect-udp
      websocket\r\nUpgrade: h2c¦h2c\r\nUpgrade: websocket¦h2c/1¦h2c;q=1¦"h2c"¦h2c14`)
    for (const connection of ['Upgrade', 'upgrade', 'Upgrade, HTTP2-Settings', 'keep-alive, Upgrade', 'close, Upgrade', 'close', ''])
      c.get(
        `Connection: ${connection}\r\nUpgrade: ${value}\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\nSec-WebSocket-Key: x`,
        `Upgrade: ${value} Connection: ${connection}`,
      )
  for (const value of ['websocket', 'h2c', 'foo']) {
    c.post(`Connection: Upgrade\r\nUpgrade: ${value}\r\nContent-Length: 5`, 'hello')
      .post(`Connection: Upgrade\r\nUpgrade: ${value}\r\nTransfer-Encoding: chunked`, CHUNKS)
      .post(`Connection: Upgrade\r\nUpgrade: ${value}\r\nContent-Length: 0`, '')
    c.get(`Connection: Upgrade\r\nUpgrade: ${value}\r\n\r\nGET /y HTTP/1.1\r\nHost: b`)
    c.add(`1.0 ${value}`, `GET /x HTTP/1.0\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: ${value}\r\n\r\n`)
  }

  c.section('expect')
  for (const value of table`
      100-continue¦100-Continue¦\x20100-continue\x20¦100-continue,¦100-continue, 100-continue¦100-continue, x¦x¦¦200-ok¦100
      "100-continue"¦100-continue;q=1¦100-continue\r\nExpect: 100-continue¦100-continue\r\nExpect: x`) {
    c.post(`Expect: ${value}\r\nContent-Length: 5`, 'hello')
      .post(`Expect: ${value}\r\nContent-Length: 5`, '')
      .post(`Expect: ${value}\r\nTransfer-Encoding: chunked`, CHUNKS)
      .get(`Expect: ${value}`)
      .post(`Expect: ${value}\r\nContent-Length: 0`, '')
    c.add(`1.0 ${value}`, `POST /x HTTP/1.0\r\nHost: a\r\nExpect: ${value}\r\nContent-Length: 5\r\n\r\nhello`)
  }

  c.section('pipeline')
  const next = 'GET /y HTTP/1.1\r\nHost: b\r\n\r\n'
  for (const first of [
    ...table`
      GET /x HTTP/1.1\r\nHost: a\r\n\r\n¦GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n¦BAD\r\n\r\n
      GET /x HTTP/1.1\r\n\r\n¦GET x HTTP/1.1\r\nHost: a\r\n\r\n¦POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello
      POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nhello¦POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n
      HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n¦GET /x HTTP/1.0\r\nHost: a\r\n\r\n
      GET /x HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n¦CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n
      GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n¦PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n`,
    `POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${CHUNKS}`,
    `POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n`,
  ])
    c.add(`${first} then next`, first + next)
      .add(`${first} then \\r\\n next`, `${first}\r\n${next}`)
      .add(`${first} then junk`, `${first}\0\xffjunk`)
      .add(`${first} twice`, first + first + next)
  c.add('ten', next.repeat(10))
    .add('slow', 'GET /x HT', 'TP/1.1\r\nHo', 'st: a\r', '\n\r', '\n')
    .add('CR | LF in the request line', 'GET /x HTTP/1.1\r', '\nHost: a\r\n\r\n')
    .add('bare CR split', 'GET /x HTTP/1.1\r', 'Host: a\r\n\r\n')
    .add('chunks byte by byte', 'POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n', ...CHUNKS)
    .add('bad chunk split', 'POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n', '5', '\n', 'hello\r\n0\r\n\r\n')
    .add('extension split', 'POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n', '5;', '\n', 'hello\r\n0\r\n\r\n')
    .add('obs-fold split', 'GET /x HTTP/1.1\r\nHost: a\r\nX: y\r\n', ' z\r\n\r\n')

  c.section('size')
  for (const bytes of [1000, 59_000, 61_300, 61_400, 61_500, 62_000, 70_000, 200_000])
    c.get(`X: ${'y'.repeat(bytes)}`, `value of ${bytes}`).line(`GET /${'y'.repeat(bytes)} HTTP/1.1`)
  for (const count of [90, 98, 99, 100, 101, 150, 1000, 5000])
    c.get(Array.from({ length: count }, (_unused, i) => `X${i}: y`).join('\r\n'), `${count} fields`).get(
      Array.from({ length: count }, () => 'X: y').join('\r\n'),
      `${count} equal fields`,
    )
  for (const count of [98, 99, 100, 101])
    c.get(
      `${Array.from({ length: count }, (_unused, i) => `X${i}: y`).join('\r\n')}\r\nTransfer-Encoding: chunked\r\nContent-Length: 5`,
      `${count} fields, then framing`,
    )

  c.section('other')
  c.add('TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03')
    .add('TLS whole', '\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03\r\n\r\n')
    .add('SSH', 'SSH-2.0-x\r\n\r\n')
    .add('PROXY', 'PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n')
    .add('PROXY v2', '\r\n\r\n\0\r\nQUIT\n!\x11\0\x0c\x01\x01\x01\x01\x02\x02\x02\x02\0\x01\0\x02GET /x HTTP/1.1\r\nHost: a\r\n\r\n')
    .add('HTTP/2 preface', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
    .add('HTTP/2 preface, wrong', 'PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n')
    .add('HTTP/2 preface, cut', 'PRI * HT', 'TP/1.1\r\nHost: a\r\n\r\n')
    .add('a response', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
    .add('NULs', '\0'.repeat(100))
    .add('a long line', 'A'.repeat(100_000))
    .add('spaces', ' '.repeat(1000))
    .add('nothing', '')
  return c.cases
}
