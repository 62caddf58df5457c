// The client codec: requests written, responses read, connections that may or may not be used again, and what was never sent.

import { describe, expect, it } from 'vitest'
import { HeaderList } from '../../../../src/l7/codec/header-list.js'
import { MAX_INFORMATIONAL } from '../../../../src/l7/codec/http1/client-codec.js'
import { clientEnd, feedInPieces, LIMITS, request } from '../../../support/http1-pair.js'

const text = (body: string): Buffer => Buffer.from(body, 'latin1')
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
const RESET = 'upstream_reset_before_response_started{protocol_error}'

describe('how requests are written', () => {
  it('Host first, fields as they came, nothing added to a GET', () => {
    const end = clientEnd()
    end.open().sendHead(request({ headers: HeaderList.of(['X-a', '1'], ['Accept', '*']), hostName: 'HOST' }), true)
    expect(end.transport.take()).toBe('GET /x HTTP/1.1\r\nHOST: a\r\nX-a: 1\r\nAccept: *\r\n\r\n')
    expect(end.transport.writes).toBe(1)
  })
  it('a declared length, chunks, or content-length 0 where a body is usual', () => {
    const sized = clientEnd()
    const stream = sized.open()
    stream.sendHead(request({ method: 'POST', headers: HeaderList.of(['Content-Length', '5']), contentLength: 5 }), false)
    stream.sendData(text('hello'), true)
    expect(sized.transport.take()).toBe('POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello')
    expect(sized.transport.writes).toBe(1)
    const chunked = clientEnd()
    const body = chunked.open()
    body.sendHead(request({ method: 'POST', contentLength: -1 }), false)
    body.sendData(text('hello'), false)
    body.sendTrailers(HeaderList.of(['X-Sum', '1']))
    expect(chunked.transport.take()).toBe(
      'POST /x HTTP/1.1\r\nHost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n',
    )
    const merged = clientEnd()
    const unsafe = merged.open()
    const fields = ['X-Sum', '1'] as const
    unsafe.sendHead(request({ method: 'POST', contentLength: -1 }), false)
    const names = ['x-forwarded-client-cert', 'x-envoy-original-path', 'x-forwarded-for', 'cookie', 'expect', 'host', 'te', 'upgrade']
    unsafe.sendTrailers(HeaderList.of(...names.map(name => [name, 'y'] as const), fields))
    expect(merged.transport.take()).toMatch(/\r\n0\r\nX-Sum: 1\r\n\r\n$/)
    const none = clientEnd()
    none.open().sendHead(request({ method: 'POST' }), true)
    expect(none.transport.take()).toBe('POST /x HTTP/1.1\r\nHost: a\r\ncontent-length: 0\r\n\r\n')
    const rare = clientEnd()
    rare.open().sendHead(request({ method: 'OPTIONS', path: '*' }), true)
    expect(rare.transport.take()).toBe('OPTIONS * HTTP/1.1\r\nHost: a\r\ncontent-length: 0\r\n\r\n')
    for (const method of ['GET', 'HEAD', 'DELETE', 'TRACE']) {
      const bodiless = clientEnd()
      bodiless.open().sendHead(request({ method }), true)
      expect(bodiless.transport.take()).toBe(`${method} /x HTTP/1.1\r\nHost: a\r\n\r\n`)
    }
  })
  it('TE goes with its connection option (RFC 9110 §10.1.4); spelling as configured', () => {
    const end = clientEnd({ headerCase: 'proper' })
    end.open().sendHead(request({ headers: HeaderList.of(['te', 'trailers']), hostName: 'hOst' }), true)
    expect(end.transport.take()).toBe('GET /x HTTP/1.1\r\nHost: a\r\nTe: trailers\r\nConnection: TE\r\n\r\n')
  })
  it('a Transfer-Encoding among the fields is not sent; of several lengths one is', () => {
    const end = clientEnd()
    const stream = end.open()
    stream.sendHead(
      request({
        method: 'POST',
        headers: HeaderList.of(['Transfer-Encoding', 'chunked'], ['Content-Length', '2'], ['content-length', '2']),
      }),
      false,
    )
    stream.sendData(text('hi'), true)
    expect(end.transport.take()).toBe('POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi')
  })
  for (const [name, head] of [
    ['a blank in the path', { path: '/x y' }],
    ['a line end in the path', { path: '/x HTTP/1.1\r\nX: y' }],
    ['an empty path', { path: '' }],
    ['a line end in the authority', { authority: 'a\r\nX: y' }],
    ['a line end in the method', { method: 'GET\r\n' }],
    ['CVE-2026-1527: a line end in the upgrade', { upgrade: 'websocket\r\nX: y' }],
    ['more bytes declared than sent', { headers: HeaderList.of(['Content-Length', '5']) }],
  ] as const) {
    it(`${name}: nothing is written, the connection stays`, () => {
      const end = clientEnd()
      end.open().sendHead(request(head), true)
      expect(end.transport.writes).toBe(0)
      expect(end.events[0]).toBe('free')
      expect(end.events[1]).toMatch(/^reset local http1\./)
      expect(end.transport.open).toBe(true)
      end.open().sendHead(request(), true)
      expect(end.transport.take()).toBe('GET /x HTTP/1.1\r\nHost: a\r\n\r\n')
    })
  }
  for (const [name, chunks] of [
    ['too many bytes', ['hello!']],
    ['too few bytes', ['hel', 'l']],
  ] as const) {
    it(`${name} for the declared length: the connection is broken off, so nothing becomes another request`, () => {
      const end = clientEnd()
      const stream = end.open()
      stream.sendHead(request({ method: 'POST', headers: HeaderList.of(['Content-Length', '5']), contentLength: 5 }), false)
      chunks.forEach((chunk, i) => void stream.sendData(text(chunk), i === chunks.length - 1))
      expect(end.transport.destroyed).toBe(true)
      expect(end.events).toEqual(['draining', 'reset local http1.request_content_length_mismatch'])
    })
  }
})

describe('how responses are read', () => {
  const read = (bytes: string, size = bytes.length, method = 'GET'): readonly string[] => {
    const end = clientEnd()
    end.open().sendHead(request({ method }), true)
    feedInPieces(end.codec, bytes, size)
    expect(end.transport.pauses).toBe(0)
    return end.events
  }
  for (const size of [1, 3, 1000]) {
    it(`length, chunks with extensions and trailers, no body (pieces of ${size})`, () => {
      expect(read(OK, size)).toEqual(['head 200 OK length=2 Content-Length=2', 'data ok', 'end', 'free'])
      expect(
        read(
          'HTTP/1.1 200 Fine and\tgood\r\nTransfer-Encoding: Chunked\r\nA: b\r\n\r\n1;x=y\r\no\r\n1\r\nk\r\n0\r\nX-Sum: 1\r\n\r\n',
          size,
        ),
      ).toEqual(['head 200 Fine and\tgood length=-1 A=b', 'data ok', 'trailers X-Sum=1', 'free'])
      expect(read('HTTP/1.1 204 No Content\r\n\r\n', size)).toEqual(['head 204 No Content length=0 end ', 'free'])
      expect(read('HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n', size)).toEqual([
        'head 304 Not Modified length=9 end Content-Length=9',
        'free',
      ])
      expect(read('HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n', size)).toEqual(['head 200 - length=0 end Content-Length=0', 'free'])
    })
    it(`white space that pads a chunk size is mended, nothing else is (pieces of ${size})`, () => {
      const chunked = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'
      expect(read(`${chunked}2  \r\nok\r\n0 \t\r\n\r\n`, size)).toEqual(['head 200 OK length=-1 ', 'data ok', 'end', 'free'])
      for (const odd of ['2 x', ' 2', '2 ;', '2\x0b']) {
        expect(read(`${chunked}${odd}\r\nok\r\n0\r\n\r\n`, size).some(line => line.startsWith('reset protocol-error'))).toBe(true)
      }
    })
    it(`HEAD: fields that tell of a body do not make one (pieces of ${size})`, () => {
      expect(read('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n', size, 'HEAD')).toEqual([
        'head 200 OK length=5 end Content-Length=5',
        'free',
      ])
      expect(read('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', size, 'HEAD')).toEqual(['head 200 OK length=-1 end ', 'free'])
    })
    it(`obs-fold becomes SP, white space before a colon goes (RFC 9112 §5.1, §5.2; pieces of ${size})`, () => {
      expect(read('HTTP/1.1 200 OK\r\nA: b \r\n \tc\r\n\t\r\nD : e\r\nContent-Length \t: 0\r\n\r\n', size)).toEqual([
        'head 200 OK length=0 end A=b c|D=e|Content-Length=0',
        'free',
      ])
    })
  }
  it('a long fold does not cost its square', () => {
    const end = clientEnd()
    end.get()
    end.feed(`HTTP/1.1 200 OK\r\nA: ${' '.repeat(25_000)}b${'\r\n '.repeat(8000)}x\r\nContent-Length: 0\r\n\r\n`)
    expect(end.heads[0]!.headers.get('a')).toMatch(/^b +x$/)
  })
  it('hop-by-hop fields are removed, protected ones stay; Keep-Alive: timeout is learned', () => {
    const end = clientEnd()
    end.get()
    end.feed(
      'HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Foo, Set-Cookie\r\nKeep-Alive: max=5, timeout=7\r\nX-Foo: 1\r\nSet-Cookie: c\r\nUpgrade: h2\r\nContent-Length: 0\r\n\r\n',
    )
    expect(end.events[0]).toBe('head 200 OK length=0 end Set-Cookie=c|Content-Length=0')
    expect(end.codec.keepAliveTimeoutS).toBe(7)
    expect(end.codec.usable).toBe(true)
  })
  it('a body that the end of the connection ends', () => {
    const end = clientEnd()
    end.get()
    end.feed('HTTP/1.1 200 OK\r\n\r\nhel')
    end.feed('lo')
    end.codec.onTransportEnd()
    expect(end.events).toEqual(['head 200 OK length=-1 ', 'data hello', 'end', 'draining'])
    expect(end.codec.usable).toBe(false)
  })
  it('Connection: close and HTTP/1.0 end the connection, HTTP/1.0 with keep-alive does not', () => {
    expect(read('HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok').at(-1)).toBe('draining')
    expect(read('HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok').at(-1)).toBe('draining')
    expect(read('HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok').at(-1)).toBe('free')
  })
  it('Transfer-Encoding in HTTP/1.0: the message is read, the connection ends (RFC 9112 §6.1)', () => {
    expect(read('HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n')).toEqual([
      'head 200 OK length=-1 ',
      'data ok',
      'end',
      'draining',
    ])
  })
  it('informational responses are passed on, as many as may be', () => {
    const early = 'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 0\r\n\r\n'
    expect(read(`HTTP/1.1 100 Continue\r\n\r\n${early}${OK}`)).toEqual([
      'informational 100 Continue length=0 ',
      'informational 103 Early Hints length=0 Link=</a>',
      'head 200 OK length=2 Content-Length=2',
      'data ok',
      'end',
      'free',
    ])
    const flood = clientEnd()
    flood.get()
    flood.feed(early.repeat(MAX_INFORMATIONAL + 1))
    expect(flood.events.slice(-2)).toEqual([`reset protocol-error ${RESET}`, `broken ${RESET}`])
    expect(flood.transport.destroyed).toBe(true)
  })
  for (const [name, bytes] of [
    ['CL and TE', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n'],
    ['two TE', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n'],
    ['gzip, chunked', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n'],
    ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n'],
    ['a bad length', 'HTTP/1.1 200 OK\r\nContent-Length: 2x\r\n\r\n'],
    ['a length in a 204 (as Envoy)', 'HTTP/1.1 204 OK\r\nContent-Length: 2\r\n\r\n'],
    ['a length in a 103', 'HTTP/1.1 103 Early Hints\r\nContent-Length: 2\r\n\r\n'],
    ['TE in a 204', 'HTTP/1.1 204 OK\r\nTransfer-Encoding: chunked\r\n\r\n'],
    ['CVE-2023-0056: TE in a 100', 'HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n'],
    ['bare LF', 'HTTP/1.1 200 OK\nContent-Length: 2\n\nok'],
    ['bare CR', 'HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n'],
    ['NUL', 'HTTP/1.1 200 OK\r\nA: b\0c\r\n\r\n'],
    ['a control character in the reason', 'HTTP/1.1 200 O\x01K\r\n\r\n'],
    ['a fold before the first field', 'HTTP/1.1 200 OK\r\n A: b\r\n\r\n'],
    ['a line without a colon', 'HTTP/1.1 200 OK\r\nAb\r\n\r\n'],
    ['an empty name', 'HTTP/1.1 200 OK\r\n: b\r\n\r\n'],
    ['HTTP/2.0', 'HTTP/2.0 200 OK\r\n\r\n'],
    ['two digits of status', 'HTTP/1.1 20 OK\r\n\r\n'],
    ['status 099', 'HTTP/1.1 099 OK\r\n\r\n'],
    ['four digits of status', 'HTTP/1.1 2000 OK\r\n\r\n'],
    ['CVE-2024-23326: 101 that nobody asked for', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n'],
    ['not HTTP at all', 'SSH-2.0-OpenSSH'],
    ['TLS alert', '\x15\x03\x01\x00\x02\x02\x28'],
  ] as const) {
    it(`502 for ${name}`, () => {
      for (const size of [bytes.length, 1]) {
        const end = clientEnd()
        end.get()
        feedInPieces(end.codec, bytes, size)
        expect(end.events).toEqual([`reset protocol-error ${RESET}`, `broken ${RESET}`])
        expect(end.transport.destroyed).toBe(true)
        expect(end.codec.usable).toBe(false)
      }
    })
  }
  it('a chunk that is longer than its size breaks the response off', () => {
    const end = clientEnd()
    end.get()
    end.feed('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n')
    expect(end.events).toEqual(['head 200 OK length=-1 ', 'data ab', 'reset protocol-error http1.codec_error', 'broken http1.codec_error'])
  })
  it('heads too large and too many headers', () => {
    const large = clientEnd({ limits: { ...LIMITS, maxHeadBytes: 1024 } })
    large.get()
    large.feed(`HTTP/1.1 200 OK\r\nA: ${'b'.repeat(2000)}`)
    expect(large.events.at(-1)).toBe('broken upstream_reset_before_response_started{headers_too_large}')
    const many = clientEnd()
    many.get()
    many.feed(`HTTP/1.1 200 OK\r\n${'A: b\r\n'.repeat(101)}\r\n`)
    expect(many.events.at(-1)).toBe('broken http1.too_many_headers')
  })
})

describe('when a connection may be used again', () => {
  it('one stream at a time, the next when both ways have ended', () => {
    const end = clientEnd()
    end.get()
    expect(end.codec.newStream(null as never)).toBeNull()
    end.feed(OK)
    expect(end.events.at(-1)).toBe('free')
    end.get()
    end.feed(OK)
    expect(end.events.filter(line => line === 'free')).toHaveLength(2)
  })
  it('CVE-2026-48931, CVE-2026-105481, CVE-2026-6733: bytes while idle close it', () => {
    const end = clientEnd()
    end.get()
    end.feed(OK)
    end.feed('H')
    expect(end.events.at(-1)).toBe('broken upstream_unsolicited_data')
    expect(end.transport.destroyed).toBe(true)
    expect(end.codec.usable).toBe(false)
  })
  it('CVE-2026-48931: a second response in the same read is never given to a request that waits', () => {
    const end = clientEnd()
    let freed = 0
    const { codec } = end
    end.get()
    end.feed(OK + OK)
    expect(end.events).toEqual(['head 200 OK length=2 Content-Length=2', 'data ok', 'end', 'broken upstream_unsolicited_data'])
    freed = end.events.filter(line => line === 'free').length
    expect(freed).toBe(0)
    expect(codec.usable).toBe(false)
  })
  it('bytes before the request was sent are nobody’s response, and the request can go elsewhere', () => {
    for (const queued of [false, true]) {
      const end = clientEnd()
      const stream = end.open()
      if (queued) stream.sendHead(request({ method: 'POST' }), false)
      end.feed('HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n')
      expect(end.events).toEqual(['reset connection-closed nothing_sent', 'broken upstream_unsolicited_data'])
      end.codec.flush()
      expect(end.transport.writes).toBe(0)
    }
  })
  it('0.CL: an answer before the request was sent to its end closes it', () => {
    const end = clientEnd()
    const stream = end.open()
    stream.sendHead(request({ method: 'POST', headers: HeaderList.of(['Content-Length', '10']), contentLength: 10 }), false)
    stream.sendData(text('hello'), false)
    end.feed(OK)
    expect(end.events).toEqual(['head 200 OK length=2 Content-Length=2', 'data ok', 'end', 'draining'])
    expect(end.transport.destroyed).toBe(true)
    expect(stream.sendData(text('world'), true)).toBe(true)
  })
  it('a reset closes it', () => {
    const end = clientEnd()
    end.get().reset('cancel')
    expect(end.events).toEqual(['draining'])
    expect(end.transport.destroyed).toBe(true)
    end.feed(OK)
    expect(end.events).toHaveLength(1)
  })
  it('a reset inside an event, a request from inside onHead', () => {
    const end = clientEnd()
    const stream = end.get({ onHead: () => stream.reset('cancel') })
    end.feed(OK)
    expect(end.events).toEqual(['draining'])
    const again = clientEnd()
    again.get({
      onHead() {
        expect(again.codec.newStream(null as never)).toBeNull()
      },
    })
    again.feed('HTTP/1.1 204 No Content\r\n\r\n')
    expect(again.events).toEqual(['free'])
  })
  it('drain: at once when idle, else after the response', () => {
    const idle = clientEnd()
    idle.codec.drain()
    expect(idle.transport.destroyed).toBe(true)
    const busy = clientEnd()
    busy.get()
    busy.codec.drain()
    expect(busy.codec.usable).toBe(false)
    busy.feed(OK)
    expect(busy.events.slice(-2)).toEqual(['end', 'draining'])
    expect(busy.transport.destroyed).toBe(true)
  })
})

describe('the connection ends', () => {
  const CLOSE = { code: 'connection-closed', details: 'x' } as const
  it('before a byte was written: nothing_sent, so the request path may send it again', () => {
    for (const end of [
      (e: ReturnType<typeof clientEnd>) => e.codec.onTransportEnd(),
      (e: ReturnType<typeof clientEnd>) => e.codec.onTransportClose(CLOSE),
    ]) {
      const opened = clientEnd()
      opened.open()
      end(opened)
      expect(opened.events[0]).toBe('reset connection-closed nothing_sent')
      const queued = clientEnd()
      queued.open().sendHead(request({ method: 'POST' }), false)
      end(queued)
      expect(queued.events[0]).toBe('reset connection-closed nothing_sent')
      queued.codec.flush()
      expect(queued.transport.writes).toBe(0)
    }
  })
  it('a stream opened on a second request starts with nothing sent', () => {
    const end = clientEnd()
    end.get()
    end.feed(OK)
    end.open()
    end.codec.onTransportClose(CLOSE)
    expect(end.events.at(-1)).toBe('reset connection-closed nothing_sent')
  })
  it('after it was written: connection-closed', () => {
    const end = clientEnd()
    end.get()
    end.codec.onTransportEnd()
    expect(end.events).toEqual(['reset connection-closed upstream_reset_connection_termination', 'draining'])
  })
  it('inside a response head: a protocol error, as in Envoy', () => {
    const end = clientEnd()
    end.get()
    end.feed('HTTP/1.1 200 OK\r\nContent-Len')
    end.codec.onTransportEnd()
    expect(end.events.at(-2)).toMatch(/^reset protocol-error /)
  })
  it('inside a response body: a protocol error too, by a FIN or a reset', () => {
    for (const head of [
      'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n',
    ]) {
      const end = clientEnd()
      end.get()
      end.feed(head)
      end.codec.onTransportEnd()
      expect(end.events.at(-2)).toMatch(/^reset protocol-error/)
      expect(end.events).not.toContain('end')
      const cut = clientEnd()
      cut.get()
      cut.feed(head)
      cut.codec.onTransportClose(CLOSE)
      expect(cut.events.at(-2)).toMatch(/^reset protocol-error/)
      // Both are counted.
      expect([end.events.at(-1), cut.events.at(-1)]).toEqual(Array(2).fill('broken upstream_reset_before_response_started{protocol_error}'))
    }
  })
  it('a body that the connection ends, cut off by a reset: it may not be all of it', () => {
    const end = clientEnd()
    end.get()
    end.feed('HTTP/1.1 200 OK\r\n\r\nab')
    end.codec.onTransportClose(CLOSE)
    expect(end.events.at(-1)).toMatch(/^reset connection-closed/)
  })
  it('calls on a stream of a closed connection do nothing', () => {
    const end = clientEnd()
    const stream = end.open()
    end.codec.onTransportClose(CLOSE)
    stream.sendHead(request(), false)
    stream.sendData(text('x'), true)
    stream.pause()
    stream.resume()
    stream.reset('cancel')
    end.codec.flush()
    expect(end.transport.writes).toBe(0)
    expect(end.transport.pauses).toBe(0)
  })
})

describe('pauses', () => {
  it('body events stop, also inside one read; the FIN waits behind them', () => {
    const end = clientEnd()
    const stream = end.get({
      onHead() {
        stream.pause()
      },
    })
    end.feed('HTTP/1.1 200 OK\r\n\r\nhello')
    expect(end.events).toEqual([])
    expect(end.transport.pauses).toBe(1)
    end.codec.onTransportEnd()
    end.codec.onTransportClose({ code: 'connection-closed', details: 'x' })
    expect(end.events).toEqual([])
    stream.resume()
    expect(end.events).toEqual(['data hello', 'end', 'draining'])
    expect(end.transport.pauses).toBe(0)
  })
  it('a stream reset while paused leaves the transport running', () => {
    const end = clientEnd()
    const stream = end.get()
    end.feed('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab')
    stream.pause()
    end.feed('cde')
    expect(end.transport.pauses).toBe(1)
    stream.reset('cancel')
    expect(end.transport.pauses).toBe(0)
  })
  it('a pause in the last event does not outlive the response', () => {
    const end = clientEnd()
    const stream = end.get({ onData: () => stream.pause() })
    end.feed(OK)
    expect(end.transport.pauses).toBe(0)
    expect(end.events.at(-1)).toBe('free')
    stream.pause()
    expect(end.transport.pauses).toBe(0)
  })
  it('backpressure: false, then one onDrain', () => {
    const end = clientEnd()
    const stream = end.open()
    stream.sendHead(request({ method: 'POST' }), false)
    end.transport.full = true
    expect(stream.sendData(text('x'), false)).toBe(false)
    end.transport.full = false
    end.codec.onTransportDrain()
    end.codec.onTransportDrain()
    expect(end.events).toEqual(['drain'])
  })
})
