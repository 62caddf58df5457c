// The server codec's states: answers and their framing, pipelining, early answers, pauses, ends, and calls from inside events.

import { describe, expect, it } from 'vitest'
import type { ResponseHead } from '../../../../src/l7/codec/codec.js'
import { HeaderList } from '../../../../src/l7/codec/header-list.js'
import { feedInPieces, response, serverEnd } from '../../../support/http1-pair.js'

const GET = 'GET /x HTTP/1.1\r\nHost: a\r\n\r\n'
const get = (path: string, lines = ''): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n${lines}\r\n`
const post = (lines: string, body: string): string => `POST /x HTTP/1.1\r\nHost: a\r\n${lines}\r\n\r\n${body}`
const text = (body: string): Buffer => Buffer.from(body, 'latin1')
const sized = (body: string): ResponseHead => response(200, [['Content-Length', String(body.length)]])
/** Pipelined requests are begun one tick after the answer before. */
const settled = (): Promise<void> => new Promise(resolve => process.nextTick(resolve))
const requests = (events: readonly string[]): string[] => events.filter(line => line.startsWith('request')).map(line => line.split(' ')[2]!)

describe('how responses are framed', () => {
  const answered = (requestBytes: string, head: ResponseHead, body: readonly string[] | null, trailers?: HeaderList): [string, boolean] => {
    const end = serverEnd()
    end.feed(requestBytes)
    const { stream } = end
    stream.sendHead(head, body === null)
    body?.forEach((chunk, i) => void stream.sendData(text(chunk), trailers === undefined && i === body.length - 1))
    if (trailers !== undefined) stream.sendTrailers(trailers)
    end.codec.flush()
    return [end.transport.take(), end.transport.open]
  }

  it('a declared length', () => {
    expect(answered(GET, sized('hello'), ['hel', 'lo'])).toEqual(['HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello', true])
  })
  it('chunked when the length is unknown', () => {
    expect(answered(GET, response(200), ['hello', ' you'])[0]).toBe(
      'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n4\r\n you\r\n0\r\n\r\n',
    )
  })
  it('an empty chunk in the middle does not end the message', () => {
    expect(answered(GET, response(200), ['a', '', 'b'])[0]).toContain('1\r\na\r\n1\r\nb\r\n0\r\n\r\n')
  })
  it('trailers after chunks, dropped behind a length', () => {
    const trailers = HeaderList.of(['X-Sum', '1'])
    expect(answered(GET, response(200), ['hi'], trailers)[0]).toContain('2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n')
    expect(answered(GET, sized('hi'), ['hi'], trailers)).toEqual(['HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi', true])
  })
  it('no body: content-length 0, or nothing where none can be', () => {
    expect(answered(GET, response(200), null)[0]).toBe('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n')
    expect(answered(GET, response(204, [['Content-Length', '0']]), null)[0]).toBe('HTTP/1.1 204 No Content\r\n\r\n')
    expect(answered(GET, response(304, [['Content-Length', '5']]), null)[0]).toBe('HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n')
  })
  it('HEAD: the length stays, body bytes are dropped', () => {
    const head = 'HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n'
    expect(answered(head, sized('hello'), ['hello'])).toEqual(['HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n', true])
    expect(answered(head, response(200), null)[0]).toBe('HTTP/1.1 200 OK\r\n\r\n')
  })
  it('HTTP/1.0: no chunks; the end of the connection ends an unknown length', () => {
    const old = 'GET /x HTTP/1.0\r\nHost: a\r\n\r\n'
    const oldKept = 'GET /x HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n'
    expect(answered(old, sized('hi'), ['hi'])).toEqual(['HTTP/1.0 200 OK\r\nContent-Length: 2\r\nconnection: close\r\n\r\nhi', false])
    expect(answered(oldKept, sized('hi'), ['hi'])).toEqual([
      'HTTP/1.0 200 OK\r\nContent-Length: 2\r\nconnection: keep-alive\r\n\r\nhi',
      true,
    ])
    expect(answered(oldKept, response(200), ['hi'])).toEqual(['HTTP/1.0 200 OK\r\nconnection: close\r\n\r\nhi', false])
  })
  it('Connection: close is answered in kind', () => {
    expect(answered(get('/x', 'Connection: Close\r\n'), sized('hi'), ['hi'])).toEqual([
      'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nconnection: close\r\n\r\nhi',
      false,
    ])
  })
  it('framing fields of a peer never travel: Transfer-Encoding goes, several lengths become one, a bad one goes', () => {
    expect(
      answered(
        GET,
        response(200, [
          ['Transfer-Encoding', 'chunked'],
          ['A', 'b'],
        ]),
        ['hi'],
      )[0],
    ).toBe('HTTP/1.1 200 OK\r\nA: b\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n')
    expect(
      answered(
        GET,
        response(200, [
          ['Content-Length', '2'],
          ['content-length', '2'],
        ]),
        ['hi'],
      )[0],
    ).toBe('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi')
    expect(answered(GET, response(200, [['Content-Length', '+2']]), ['hi'])[0]).toContain('transfer-encoding: chunked')
  })
  it('spelling: Train-Case or lower case when asked for; the reason phrase of the upstream stays', () => {
    for (const [headerCase, line] of [
      ['proper', 'X-Foo-Bar: 1\r\nConnection: close\r\n'],
      ['lower', 'x-foo-bar: 1\r\nconnection: close\r\n'],
      ['preserve', 'x-FOO-bar: 1\r\nconnection: close\r\n'],
    ] as const) {
      const end = serverEnd({ headerCase })
      end.feed(get('/x', 'Connection: close\r\n'))
      end.stream.sendHead(response(204, [['x-FOO-bar', '1']], { reason: 'Fine' }), true)
      expect(end.transport.take()).toBe(`HTTP/1.1 204 Fine\r\n${line}\r\n`)
    }
  })
  it('426 keeps its Upgrade field (RFC 9110 §15.5.22)', () => {
    expect(answered(GET, response(426, [['Upgrade', 'websocket']]), null)[0]).toBe(
      'HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\ncontent-length: 0\r\nconnection: upgrade\r\n\r\n',
    )
  })
  it('head and small body leave in one write, also when the body comes later in the turn', () => {
    const end = serverEnd()
    end.feed(GET)
    end.stream.sendHead(sized('hi'), false)
    end.stream.sendData(text('hi'), true)
    expect(end.transport.writes).toBe(1)
  })
  it('a head without its body yet is flushed at the end of the turn', async () => {
    const end = serverEnd()
    end.feed(GET)
    end.stream.sendHead(response(200), false)
    expect(end.transport.writes).toBe(0)
    await new Promise(resolve => setImmediate(resolve))
    expect(end.transport.take()).toContain('HTTP/1.1 200 OK\r\n')
  })
  it('large chunks are framed right', () => {
    const body = 'x'.repeat(100_000)
    expect(answered(GET, response(200), [body])[0].split('\r\n\r\n')[1]).toBe(`186a0\r\n${body}\r\n0`)
    expect(answered(GET, sized(body), [body])[0]).toBe(`HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n${body}`)
  })
})

describe('a content-length that the body does not keep', () => {
  for (const [name, chunks] of [
    ['too many bytes', ['hello!']],
    ['too many bytes in a second chunk', ['hello', '!']],
    ['too few bytes', ['hell']],
  ] as const) {
    it(`${name}: the connection breaks off, nothing becomes another message`, () => {
      const end = serverEnd()
      end.feed(GET + get('/y'))
      end.stream.sendHead(sized('hello'), false)
      chunks.forEach((chunk, i) => void end.streams[0]!.sendData(text(chunk), i === chunks.length - 1))
      expect(end.events.filter(line => line.startsWith('reset'))).toEqual(['reset local http1.response_content_length_mismatch'])
      expect(end.transport.ended).toBe(true)
      expect(requests(end.events)).toEqual(['|a|/x'])
      expect(end.transport.pauses).toBe(0)
    })
  }
  it('an end with the head while bytes are due', () => {
    const end = serverEnd()
    end.feed(GET)
    end.stream.sendHead(sized('hello'), true)
    expect(end.transport.ended).toBe(true)
  })
})

describe('informational responses', () => {
  it('go out before the head, without content-length, and not to HTTP/1.0', () => {
    const end = serverEnd()
    end.feed(GET)
    end.stream.sendInformational(
      response(103, [
        ['Link', '</a>'],
        ['Content-Length', '5'],
      ]),
    )
    expect(end.transport.take()).toBe('HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n')
    end.stream.sendHead(response(204), true)
    end.stream.sendInformational(response(103))
    expect(end.transport.take()).toBe('HTTP/1.1 204 No Content\r\n\r\n')
    const old = serverEnd()
    old.feed('GET /x HTTP/1.0\r\nHost: a\r\n\r\n')
    old.stream.sendInformational(response(103))
    expect(old.transport.take()).toBe('')
  })
  it('101 is never one of them', () => {
    const end = serverEnd()
    end.feed(GET)
    end.stream.sendInformational(response(101))
    expect(end.transport.take()).toBe('')
  })
})

describe('pipelining', () => {
  it('one request at a time, answers in order, what waits is held while the transport is paused', async () => {
    const end = serverEnd()
    end.feed(get('/1') + get('/2') + get('/3'))
    expect(requests(end.events)).toEqual(['|a|/1'])
    expect(end.transport.pauses).toBe(1)
    for (const path of ['|a|/2', '|a|/3']) {
      end.stream.sendHead(response(204), true)
      // Not before whoever answered has settled this one.
      expect(requests(end.events).at(-1)).not.toBe(path)
      await settled()
      expect(requests(end.events).at(-1)).toBe(path)
    }
    expect(end.transport.pauses).toBe(0)
    expect(end.codec.activeStreams).toBe(1)
    expect(end.events).not.toContain('idle')
    end.stream.sendHead(response(204), true)
    expect(end.events.filter(line => line === 'idle')).toHaveLength(1)
    expect(end.transport.take()).toBe('HTTP/1.1 204 No Content\r\n\r\n'.repeat(3))
  })
  it('answers given inside the event, thousands of them, neither recurse nor idle in between', () => {
    const end = serverEnd({ answer: stream => stream.sendHead(response(204), true) })
    end.feed(GET.repeat(5000))
    expect(end.streams).toHaveLength(5000)
    expect(end.events.filter(line => line === 'idle')).toHaveLength(1)
    expect(end.transport.pauses).toBe(0)
  })
  it('CVE-2020-8661: thousands of bad requests get one answer', () => {
    const end = serverEnd()
    end.feed('BAD\r\n\r\n'.repeat(5000))
    expect(end.streams).toHaveLength(1)
    expect(end.transport.take().match(/HTTP\/1.1/g)).toHaveLength(1)
    expect(end.transport.ended).toBe(true)
  })
  it('a bad request behind a good one is answered after it', async () => {
    const end = serverEnd()
    end.feed(`${GET}BAD\r\n\r\n`)
    expect(end.events.some(line => line.startsWith('bad'))).toBe(false)
    end.stream.sendHead(response(204), true)
    await settled()
    expect(end.transport.take()).toMatch(/^HTTP\/1.1 204 No Content\r\n\r\nHTTP\/1.1 400 Bad Request\r\n/)
  })
  it('a transport that ignores the pause cannot fill the memory', () => {
    const end = serverEnd()
    end.feed(GET)
    const chunk = Buffer.alloc(1024 * 1024, 'x')
    for (let i = 0; i < 4; i++) end.codec.feed(chunk)
    expect(end.transport.open).toBe(true)
    end.codec.feed(chunk)
    expect(end.transport.destroyed).toBe(true)
    expect(end.events).toContain('reset overflow http1.held_bytes')
  })
  it('a drain between two of them answers what has come, and says that it was the last', async () => {
    const end = serverEnd()
    end.feed(get('/1') + get('/2'))
    end.stream.sendHead(response(204), true)
    end.codec.drain()
    await settled()
    end.stream.sendHead(response(204), true)
    expect(end.transport.take()).toBe('HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n')
    expect(end.transport.ended).toBe(true)
  })
  it('after Connection: close no further request is looked at', () => {
    const end = serverEnd()
    end.feed(get('/1', 'Connection: close\r\n') + get('/2'))
    end.stream.sendHead(response(204), true)
    expect(requests(end.events)).toEqual(['|a|/1'])
    expect(end.transport.ended).toBe(true)
    expect(end.transport.pauses).toBe(0)
  })
})

describe('early answers', () => {
  it('CVE-2019-20372: what is left of the body is thrown away and never becomes a request', () => {
    const end = serverEnd()
    end.feed(post('Content-Length: 60', GET.slice(0, 10)))
    end.stream.sendHead(response(403), true)
    expect(end.transport.take()).toBe('HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n')
    end.feed(GET.slice(0, 20))
    end.feed('z'.repeat(30))
    expect(requests(end.events)).toEqual(['|a|/x'])
    end.feed(get('/next'))
    expect(requests(end.events)).toEqual(['|a|/x', '|a|/next'])
    expect(end.events.filter(line => line === 'idle')).toHaveLength(1)
  })
  it('a chunked rest is thrown away too, trailers included', () => {
    const end = serverEnd()
    end.feed(post('Transfer-Encoding: chunked', '5\r\nhel'))
    end.stream.sendHead(response(403), true)
    end.feed(`lo\r\n0\r\nX: y\r\n\r\n${get('/next')}`)
    expect(requests(end.events)).toEqual(['|a|/x', '|a|/next'])
  })
  it('more than 64 KiB of it closes the connection: at once when that is known, else when it has come', () => {
    const known = serverEnd()
    known.feed(post('Content-Length: 70000', ''))
    known.stream.sendHead(response(403), true)
    // The client is told: it must not send its next request here.
    expect(known.transport.take()).toBe('HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n')
    expect(known.transport.ended).toBe(true)
    const unknown = serverEnd()
    unknown.feed(post('Transfer-Encoding: chunked', ''))
    unknown.stream.sendHead(response(403), true)
    expect(unknown.transport.open).toBe(true)
    for (let i = 0; i < 70; i++) unknown.feed(`400\r\n${'x'.repeat(1024)}\r\n`)
    expect(unknown.transport.ended).toBe(true)
  })
  it('a broken rest closes the connection', () => {
    const end = serverEnd()
    end.feed(post('Transfer-Encoding: chunked', ''))
    end.stream.sendHead(response(403), true)
    end.feed('zz\r\n')
    expect(end.transport.open).toBe(false)
    expect(end.events.at(-1)).toBe('broken http1.codec_error')
  })
  it('0.CL: Expect: 100-continue answered early, without a 100: it is open whether a body comes, so the connection ends', () => {
    const end = serverEnd()
    end.feed(post('Expect: 100-continue\r\nContent-Length: 30', ''))
    end.stream.sendHead(response(403), true)
    expect(end.transport.take()).toBe('HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n')
    expect(end.transport.ended).toBe(true)
    end.feed(GET)
    expect(requests(end.events)).toEqual(['|a|/x'])
  })
  it('after a 100 the body is certain to come', () => {
    const end = serverEnd()
    end.feed(post('Expect: 100-continue\r\nContent-Length: 2', ''))
    end.stream.sendInformational(response(100))
    end.stream.sendHead(response(403), true)
    expect(end.transport.open).toBe(true)
    end.feed(`hi${get('/next')}`)
    expect(requests(end.events)).toEqual(['|a|/x', '|a|/next'])
  })
  it('a response that runs while the body comes stays whole (echo)', () => {
    const end = serverEnd()
    end.feed(post('Content-Length: 4', 'ab'))
    end.stream.sendHead(response(200), false)
    end.stream.sendData(text('ab'), false)
    end.feed('cd')
    expect(end.events.at(-1)).toBe('end')
    end.stream.sendData(text('cd'), true)
    expect(end.transport.take()).toContain('2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n')
    expect(end.transport.open).toBe(true)
  })
  it('GET with a body: the body is the body', () => {
    const end = serverEnd()
    end.feed(`GET /x HTTP/1.1\r\nHost: a\r\nContent-Length: ${GET.length}\r\n\r\n${GET}`)
    end.stream.sendHead(response(204), true)
    expect(requests(end.events)).toEqual(['|a|/x'])
  })
})

describe('pauses', () => {
  it('no body event after pause, all of them after resume, one pause of the transport', () => {
    const end = serverEnd()
    end.feed(post('Transfer-Encoding: chunked', ''))
    end.stream.pause()
    end.stream.pause()
    expect(end.transport.pauses).toBe(1)
    end.feed('2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n')
    expect(end.events).toHaveLength(1)
    end.stream.resume()
    end.stream.resume()
    expect(end.transport.pauses).toBe(0)
    expect(end.events.slice(1)).toEqual(['data abcd', 'end'])
  })
  it('a pause inside an event holds what the same read still has', async () => {
    const seen: string[] = []
    const end = serverEnd({
      answer(stream) {
        stream.events = {
          onData(chunk, last) {
            seen.push(chunk.toString('latin1') + (last ? '.' : ''))
            if (!last) stream.pause()
          },
          onTrailers() {},
          onReset() {},
          onDrain() {},
        }
      },
    })
    end.feed(post('Transfer-Encoding: chunked', `1\r\na\r\n1\r\nb\r\n0\r\n\r\n${get('/next')}`))
    expect(seen).toEqual(['a'])
    expect(end.transport.pauses).toBe(1)
    end.stream.resume()
    expect(seen).toEqual(['a', 'b.'])
    expect(end.transport.pauses).toBe(1)
    end.stream.sendHead(response(204), true)
    await settled()
    expect(end.transport.pauses).toBe(0)
    expect(requests(end.events)).toEqual(['|a|/x', '|a|/next'])
  })
  for (const [name, finish] of [
    ['answered', (end: ReturnType<typeof serverEnd>) => end.stream.sendHead(response(204), true)],
    ['reset', (end: ReturnType<typeof serverEnd>) => end.stream.reset('cancel')],
    ['closed by the peer', (end: ReturnType<typeof serverEnd>) => end.codec.onTransportClose({ code: 'connection-closed', details: 'x' })],
    ['half-closed by the peer', (end: ReturnType<typeof serverEnd>) => end.codec.onTransportEnd()],
  ] as const) {
    it(`a stream that is ${name} while paused leaves the transport running`, async () => {
      const end = serverEnd()
      end.feed(post('Content-Length: 10', 'ab'))
      end.stream.pause()
      end.feed('cd')
      expect(end.transport.pauses).toBe(1)
      finish(end)
      await settled()
      expect(end.transport.pauses).toBe(0)
      end.stream.resume()
      end.stream.pause()
      expect(end.transport.pauses).toBe(0)
    })
  }
  it('backpressure: sendData says false once the peer is slow, then one onDrain', () => {
    const end = serverEnd()
    end.feed(GET)
    end.stream.sendHead(response(200), false)
    end.transport.full = true
    expect(end.stream.sendData(text('a'), false)).toBe(false)
    end.transport.full = false
    end.codec.onTransportDrain()
    end.codec.onTransportDrain()
    expect(end.events.filter(line => line === 'drain')).toHaveLength(1)
    expect(end.stream.sendData(text('b'), false)).toBe(true)
  })
})

describe('ends', () => {
  it('the peer closes inside a request: reset, once', () => {
    const end = serverEnd()
    end.feed(post('Content-Length: 10', 'ab'))
    end.codec.onTransportEnd()
    end.codec.onTransportClose({ code: 'connection-closed', details: 'x' })
    expect(end.events.slice(2)).toEqual(['reset connection-closed downstream_remote_disconnect'])
    expect(end.transport.destroyed).toBe(true)
    expect(end.codec.activeStreams).toBe(0)
  })
  it('the peer half-closes between requests: what was written still goes out', () => {
    const end = serverEnd()
    end.feed(GET)
    end.stream.sendHead(response(204), true)
    end.codec.onTransportEnd()
    expect([end.transport.ended, end.transport.destroyed]).toEqual([true, false])
  })
  it('a last response is not cut off by the peer’s FIN', () => {
    const end = serverEnd()
    end.feed('BAD\r\n\r\n')
    end.codec.onTransportEnd()
    expect([end.transport.ended, end.transport.destroyed]).toEqual([true, false])
  })
  it('nothing is written after the connection is gone', () => {
    const end = serverEnd()
    end.feed(GET)
    const { stream } = end
    end.codec.onTransportClose({ code: 'connection-closed', details: 'x' })
    end.transport.destroy()
    stream.sendInformational(response(103))
    stream.sendHead(sized('hi'), false)
    stream.sendData(text('hi'), true)
    stream.sendTrailers(new HeaderList())
    stream.reset('cancel')
    end.codec.flush()
    expect(end.transport.writes).toBe(0)
  })
  it('drain: idle closes at once, a request in progress is answered with close', () => {
    const idle = serverEnd()
    idle.codec.drain()
    expect(idle.transport.ended).toBe(true)
    const busy = serverEnd()
    busy.feed(get('/1') + get('/2'))
    busy.codec.drain()
    expect(busy.transport.open).toBe(true)
    busy.stream.sendHead(sized('hi'), false)
    busy.stream.sendData(text('hi'), true)
    expect(busy.transport.take()).toContain('connection: close\r\n')
    expect(busy.transport.ended).toBe(true)
    expect(requests(busy.events)).toEqual(['|a|/1'])
    const begun = serverEnd()
    begun.feed('GET /x HT')
    begun.codec.drain()
    begun.feed('TP/1.1\r\nHost: a\r\n\r\n')
    begun.stream.sendHead(response(204), true)
    expect(begun.transport.take()).toBe('HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n')
    const discarding = serverEnd()
    discarding.feed(post('Content-Length: 10', 'ab'))
    discarding.stream.sendHead(response(403), true)
    discarding.codec.drain()
    expect(discarding.transport.ended).toBe(true)
  })
  it('a broken body after the response has begun breaks the connection off', () => {
    const end = serverEnd()
    end.feed(post('Transfer-Encoding: chunked', ''))
    end.stream.sendHead(response(200), false)
    end.feed('zz\r\n')
    expect(end.events.slice(-2)).toEqual(['reset protocol-error http1.codec_error', 'broken http1.codec_error'])
    expect(end.transport.ended).toBe(true)
  })
})

describe('calls from inside events', () => {
  it('a stream reset in onRequest: nothing more happens', () => {
    const end = serverEnd({ answer: stream => stream.reset('cancel') })
    end.feed(GET.repeat(3))
    expect(requests(end.events)).toHaveLength(1)
    expect(end.events.some(line => line.startsWith('reset'))).toBe(false)
    expect(end.transport.destroyed).toBe(true)
  })
  it('a stream reset or answered inside onData', () => {
    for (const act of ['reset', 'answer'] as const) {
      let calls = 0
      const end = serverEnd({
        answer(stream) {
          stream.events = {
            onData() {
              calls++
              if (act === 'reset') stream.reset('cancel')
              else stream.sendHead(response(403), true)
            },
            onTrailers() {},
            onReset() {
              throw new Error('no event after an own reset')
            },
            onDrain() {},
          }
        },
      })
      feedInPieces(end.codec, post('Transfer-Encoding: chunked', `1\r\na\r\n1\r\nb\r\n0\r\n\r\n${GET}`), 1000)
      expect(calls).toBe(1)
      expect(requests(end.events)).toHaveLength(act === 'reset' ? 1 : 2)
      expect(end.transport.destroyed).toBe(act === 'reset')
    }
  })
  it('the connection closed by its owner in onIdle', () => {
    const end = serverEnd({ answer: stream => stream.sendHead(response(204), true) })
    const { codec } = end
    end.feed(get('/1'))
    codec.onTransportClose({ code: 'local', details: 'x' })
    end.feed(get('/2'))
    expect(requests(end.events)).toEqual(['|a|/1'])
  })
  it('bytes fed from inside an event stand behind those being read', () => {
    let fed = false
    const end = serverEnd({
      answer(stream) {
        if (!fed) {
          fed = true
          end.feed(get('/3'))
        }
        stream.sendHead(response(204), true)
      },
    })
    end.feed(get('/1') + get('/2'))
    expect(requests(end.events)).toEqual(['|a|/1', '|a|/2', '|a|/3'])
  })
})
