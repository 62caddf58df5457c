// Answers of a hostile or broken origin, for attack-differential.test.ts: the same list in every run.
import { CHUNKS, ODD_BYTES, show, table } from './attack-table.js'

export interface AnswerCase {
  readonly id: string
  readonly request: string
  readonly answer: string
  /** The origin closes after its answer. */
  readonly close: boolean
}

/** Answers of a hostile or broken origin. */
export function answerCorpus(): AnswerCase[] {
  const cases: AnswerCase[] = []
  const ids = new Set<string>()
  const add = (what: string, answer: string, methods: readonly string[] = ['GET']): void => {
    for (const method of methods)
      for (const close of [false, true]) {
        const id = `answer/${method}${close ? ' close' : ''} ${show(what)}`
        if (ids.has(id)) continue
        ids.add(id)
        cases.push({
          id,
          request: `${method} /x HTTP/1.1\r\nHost: a\r\n${method === 'POST' ? 'Content-Length: 0\r\n' : ''}\r\n`,
          answer,
          close,
        })
      }
  }
  const head = (lines: string, body = 'hello', status = '200 OK'): string => `HTTP/1.1 ${status}\r\n${lines}\r\n\r\n${body}`
  for (const line of [
    ...table`
      HTTP/1.1 200¦HTTP/1.1 200\x20¦HTTP/1.0 200 OK¦HTTP/0.9 200 OK¦HTTP/1.2 200 OK¦HTTP/2 200 OK¦HTTP/2.0 200 OK¦http/1.1 200 OK
      HTTP/1.1  200 OK¦HTTP/1.1\t200 OK¦HTTP/1.1 200  OK¦HTTP/1.1 20 OK¦HTTP/1.1 2000 OK¦HTTP/1.1 099 OK¦HTTP/1.1 000 OK
      HTTP/1.1 -20 OK¦HTTP/1.1 abc OK¦HTTP/1.1 600 OK¦HTTP/1.1 999 OK¦HTTP/1.1 1000 OK¦HTTP/1.1 200\tOK¦HTTP/1.1 200OK
      HTTP/1.1 200 O\0K¦HTTP/1.1 200 O\rK¦HTTP/1.1 200 O\nK¦HTTP/1.1 200 O\x7fK¦HTTP/1.1 200 \xff\xfe¦HTTP/1.1¦200 OK
      \x20HTTP/1.1 200 OK¦\r\nHTTP/1.1 200 OK¦\nHTTP/1.1 200 OK¦ICY 200 OK¦GET / HTTP/1.1¦\x16\x03\x01¦hello¦<html>¦`,
    `HTTP/1.1 200 ${'a'.repeat(9000)}`,
  ])
    add(`status line ${line}`, `${line}\r\nContent-Length: 5\r\n\r\nhello`)
  for (const b of ODD_BYTES) {
    add(`X${b}: y`, head(`Content-Length: 5\r\nX${b}: y`))
    add(`X: y${b}z`, head(`Content-Length: 5\r\nX: y${b}z`))
    add(`${b}X: y`, head(`Content-Length: 5\r\n${b}X: y`))
    add(`Location: ${b}`, head(`Content-Length: 5\r\nLocation: /${b}x`))
  }
  for (const lines of table`
      X¦: y¦X : y¦X\t: y¦X: y\r\n z¦X: y\r\n \r\nZ: w¦\x20X: y¦X: y\nZ: w¦X: y\rZ: w¦X: y\r\r\nZ: w¦Connection: close
      Connection: content-length¦Connection: set-cookie\r\nSet-Cookie: a¦Connection: Upgrade\r\nUpgrade: websocket¦Upgrade: h2c
      Keep-Alive: timeout=0¦Keep-Alive: timeout=99999999999¦Keep-Alive: x¦Proxy-Connection: close¦Trailer: X¦TE: trailers
      :status: 500¦__proto__: x¦X_Y: z¦Set-Cookie: a\r\nSet-Cookie: b¦X-Envoy-Upstream-Service-Time: 9¦X-Envoy-Overloaded: true
      X-Envoy-Immediate-Health-Check-Fail: true¦X-Envoy-Ratelimited: true¦X-Envoy-Decorator-Operation: x¦Server: x¦Date: x
      Grpc-Status: 0¦Alt-Svc: h3=":443"¦Content-Encoding: gzip¦X-Request-Id: x¦Host: b`)
    add(lines, head(`Content-Length: 5\r\n${lines}`))
  for (const value of table`
      5¦05¦0¦+5¦-5¦-1¦\x205\x20¦5,5¦5, 5¦5,6¦¦5;¦0x5¦5.0¦1_0¦"5"¦5 5¦\x0b5¦5\x85¦9007199254740993¦18446744073709551615
      18446744073709551621¦4¦6¦x`) {
    add(`Content-Length: ${value}`, head(`Content-Length: ${value}`), ['GET', 'HEAD', 'POST'])
    add(`Content-Length: 5 and ${value}`, head(`Content-Length: 5\r\nContent-Length: ${value}`))
    add(`Content-Length: ${value} and 5`, head(`Content-Length: ${value}\r\nContent-Length: 5`))
    add(`chunked and Content-Length: ${value}`, head(`Transfer-Encoding: chunked\r\nContent-Length: ${value}`, CHUNKS))
    add(`Content-Length: ${value} and chunked`, head(`Content-Length: ${value}\r\nTransfer-Encoding: chunked`, CHUNKS))
  }
  for (const value of table`
      chunked¦Chunked¦\x20chunked\x20¦\x0bchunked¦chunked\x0b¦"chunked"¦chunked;q=1¦,chunked¦chunked,¦chunked, chunked
      chunked, identity¦identity¦identity, chunked¦gzip¦gzip, chunked¦chunked, gzip¦chunkedx¦xchunked¦¦cow¦\r\n chunked
      chunked\r\n\x20¦chunked\xa0`) {
    add(`Transfer-Encoding: ${value}`, head(`Transfer-Encoding: ${value}`, CHUNKS), ['GET', 'HEAD'])
    add(`Transfer-Encoding twice: ${value}`, head(`Transfer-Encoding: chunked\r\nTransfer-Encoding: ${value}`, CHUNKS))
    add(`1.0 Transfer-Encoding: ${value}`, `HTTP/1.0 200 OK\r\nTransfer-Encoding: ${value}\r\n\r\n${CHUNKS}`)
    add(`204 Transfer-Encoding: ${value}`, head(`Transfer-Encoding: ${value}`, CHUNKS, '204 No Content'))
    add(`304 Transfer-Encoding: ${value}`, head(`Transfer-Encoding: ${value}`, '', '304 Not Modified'))
  }
  for (const name of table`
      Content-Length\x20¦Content_Length¦Transfer-Encoding\x20¦Transfer-Encoding\t¦Transfer_Encoding¦\x20Transfer-Encoding
      Transfer-Encoding\0¦Transfer-Encoding\x0b`)
    add(`${name}`, head(`${name}: ${/Len/.test(name) ? '5' : 'chunked'}`, /Len/.test(name) ? 'hello' : CHUNKS))
  for (const size of [
    ...table`
      5¦05¦5\x20¦\x205¦5\t¦+5¦-5¦0x5¦5h¦5;¦5;a=b¦5;a="b¦5;a=\0¦5;\n¦5;\r¦5\n¦¦g¦7fffffffffffffff¦ffffffffffffffff¦10000000000000005
      5\r`,
    `5;${'a'.repeat(5000)}`,
  ])
    add(`chunk size ${size}`, head('Transfer-Encoding: chunked', `${size}\r\nhello\r\n0\r\n\r\n`))
  for (const body of [
    ...table`
      5\nhello\r\n0\r\n\r\n¦5\r\nhello\n0\r\n\r\n¦5\r\nhello0\r\n\r\n¦5\r\nhello\r\n0\n\n¦5\r\nhello\r\n0\r\n¦5\r\nhello\r\n
      5\r\nhel¦5\r\nhello!\r\n0\r\n\r\n¦0\r\n\r\n¦0\r\n\r\nextra¦¦5\r\nhello\r\n0\r\nX: y\r\n\r\n
      5\r\nhello\r\n0\r\nContent-Length: 7\r\n\r\n¦5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\nSet-Cookie: a\r\n\r\n
      5\r\nhello\r\n0\r\n:status: 500\r\n\r\n¦5\r\nhello\r\n0\r\nX : y\r\n\r\n¦5\r\nhello\r\n0\r\nX: y\r\n z\r\n\r\n
      5\r\nhello\r\n0\r\nX: y\nZ: w\r\n\r\n¦5\r\nhello\r\n0\r\nGET / HTTP/1.1\r\n\r\n¦5\r\nhello\r\n0\r\nHTTP/1.1 200 OK\r\n\r\n`,
    `${CHUNKS}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil`,
    `${CHUNKS}\r\n`,
    `${CHUNKS}\0`,
  ])
    add(`chunked ${body}`, head('Transfer-Encoding: chunked', body), ['GET', 'HEAD'])
  const evil = 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil'
  for (const status of table`
      204 No Content¦205 Reset Content¦304 Not Modified¦100 Continue¦101 Switching Protocols¦102 Processing¦103 Early Hints¦150 X
      199 X¦200 OK¦206 Partial¦301 Moved¦404 Not Found¦407 X¦426 Upgrade Required¦500 X¦503 X`) {
    const methods = ['GET', 'HEAD', 'POST']
    add(`${status}`, head('X: y', '', status), methods)
    add(`${status} with length`, head('Content-Length: 5', 'hello', status), methods)
    add(`${status} with length 0`, head('Content-Length: 0', '', status), methods)
    add(`${status} chunked`, head('Transfer-Encoding: chunked', CHUNKS, status), methods)
    add(`${status} without length, with a body`, head('X: y', 'hello', status), methods)
    add(`${status} then a response`, head('Content-Length: 0', '', status) + evil, methods)
    add(`${status} with Upgrade`, head('Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0', '', status))
    add(`${status} closing`, head('Connection: close\r\nContent-Length: 0', '', status))
  }
  for (const count of [1, 2, 10, 31, 33, 100, 1000])
    for (const status of ['100 Continue', '102 Processing', '103 Early Hints'])
      add(`${count} of ${status}`, head('X: y', '', status).repeat(count) + head('Content-Length: 5'))
  for (const bytes of [59_000, 61_000, 62_000, 70_000]) add(`head of ${bytes}`, head(`Content-Length: 5\r\nX: ${'y'.repeat(bytes)}`))
  for (const count of [98, 99, 100, 101, 500])
    add(`${count} fields`, head(`Content-Length: 5\r\n${Array.from({ length: count }, (_unused, i) => `X${i}: y`).join('\r\n')}`))
  for (const cut of table`
      ¦H¦HTTP/1.1 200¦HTTP/1.1 200 OK\r\n¦HTTP/1.1 200 OK\r\nContent-Length: 5\r\n¦HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r
      HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n¦HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe¦HTTP/1.1 100 Continue\r\n\r\n
      HTTP/1.1 200 OK\n\n¦HTTP/1.1 200 OK\r\n\n¦HTTP/1.1 200 OK\n\r\n`)
    add(`cut ${cut}`, cut)
  add('more than declared', head('Content-Length: 5', 'hello world'))
  add('two responses', head('Content-Length: 5') + evil, ['GET', 'HEAD', 'POST'])
  add('response to HEAD with its body', head('Content-Length: 5', 'hello'), ['HEAD'])
  return cases
}
