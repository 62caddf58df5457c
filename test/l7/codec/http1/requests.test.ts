// What the server codec takes for a request and what it refuses (RFC 9112 §2–§7, the attack corpus, limits).

import { describe, expect, it } from 'vitest'
import { ATTACKS } from '../../../support/http1-corpus.js'
import { feedInPieces, headerLines, LIMITS, response, serverEnd } from '../../../support/http1-pair.js'

const get = (lines: string): string => `GET /x HTTP/1.1\r\nHost: a\r\n${lines}\r\n`

/** Requests and refusals only. */
function outcome(events: readonly string[]): string[] {
  return events.filter(line => line.startsWith('request') || line.startsWith('bad')).map(line => line.split(' ').slice(0, 2).join(' '))
}

describe('attack corpus', () => {
  for (const { name, bytes, expect: expected } of ATTACKS) {
    it(`${expected === 'ok' ? 'takes' : `answers ${expected} to`} ${name}`, () => {
      for (const size of [bytes.length, 1, 7]) {
        const end = serverEnd()
        feedInPieces(end.codec, bytes, size)
        const lines = outcome(end.events)
        if (expected === 'ok') {
          expect(lines).toHaveLength(1)
          expect(lines[0]).toMatch(/^request /)
          expect(end.transport.open).toBe(true)
          continue
        }
        // At most one request was seen (its body broke), then the refusal, and nothing after it.
        expect(lines.at(-1)).toBe(`bad ${expected}`)
        expect(lines.length).toBeLessThanOrEqual(2)
        expect(end.events.filter(line => line === 'end')).toEqual([])
        const written = end.transport.take()
        expect(written).toMatch(new RegExp(`^HTTP/1.1 ${expected} `))
        expect(written).toContain('connection: close\r\n')
        expect(end.transport.open).toBe(false)
        expect(end.transport.pauses).toBe(0)
        // Whatever follows is not looked at.
        end.codec.feed(Buffer.from(get('')))
        expect(outcome(end.events)).toEqual(lines)
      }
    })
  }
})

describe('start line', () => {
  const seen = (bytes: string): string => {
    const end = serverEnd()
    end.feed(bytes)
    return end.events[0]!
  }

  it('origin form', () => {
    expect(seen('GET /x?y=1 HTTP/1.1\r\nHost: a:80\r\n\r\n')).toBe('request GET |a:80|/x?y=1 HTTP/1.1 length=0 end ')
  })
  it('absolute form: its authority replaces Host (RFC 9112 §3.2.2; CVE-2021-39242 class)', () => {
    expect(seen('GET HTTP://b:8080/x HTTP/1.1\r\nHost: a\r\n\r\n')).toBe('request GET http|b:8080|/x HTTP/1.1 length=0 end ')
    expect(seen('GET https://b?q HTTP/1.1\r\nHost: a\r\n\r\n')).toBe('request GET https|b|/?q HTTP/1.1 length=0 end ')
    expect(seen('GET http://b HTTP/1.1\r\nHost: a\r\n\r\n')).toBe('request GET http|b|/ HTTP/1.1 length=0 end ')
  })
  it('absolute form is refused when allow_absolute_url is off', () => {
    const end = serverEnd({ allowAbsoluteUrl: false })
    end.feed('GET http://b/x HTTP/1.1\r\nHost: b\r\n\r\n')
    expect(end.events).toEqual(['bad 400'])
  })
  it('OPTIONS * and its absolute form (RFC 9112 §3.2.4)', () => {
    expect(seen('OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n')).toBe('request OPTIONS |a|* HTTP/1.1 length=0 end ')
    expect(seen('OPTIONS http://b HTTP/1.1\r\nHost: b\r\n\r\n')).toBe('request OPTIONS http|b|* HTTP/1.1 length=0 end ')
  })
  it('CONNECT has an authority and no path (CVE-2026-73547)', () => {
    expect(seen('CONNECT b:443 HTTP/1.1\r\nHost: c\r\n\r\n')).toBe('request CONNECT |b:443| HTTP/1.1 length=-1 ')
    expect(seen('CONNECT [::1]:443 HTTP/1.1\r\nHost: c\r\n\r\n')).toBe('request CONNECT |[::1]:443| HTTP/1.1 length=-1 ')
    expect(seen('CONNECT b HTTP/1.1\r\nHost: b\r\n\r\n')).toBe('bad 400')
  })
  it('without allow_custom_methods only known methods: what a short Content-Length leaves over is none', async () => {
    const end = serverEnd({ allowCustomMethods: false })
    end.feed('POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nhello')
    end.stream.sendHead(response(200), true)
    end.feed('GET /y HTTP/1.1\r\nHost: a\r\n\r\n')
    await new Promise(resolve => process.nextTick(resolve))
    expect(end.lastEvent).toBe('bad 400')
    for (const method of ['get', 'FOO', 'M-SEARCH', 'helloGET', 'PRI', 'GET2']) {
      const other = serverEnd({ allowCustomMethods: false })
      other.feed(`${method} /x HTTP/1.1\r\nHost: a\r\n\r\n`)
      expect(other.lastEvent).toBe('bad 400')
    }
    for (const method of ['GET', 'PATCH', 'PROPFIND', 'QUERY', 'UNSUBSCRIBE']) {
      const other = serverEnd({ allowCustomMethods: false })
      other.feed(`${method} /x HTTP/1.1\r\nHost: a\r\n\r\n`)
      expect(other.heads[0]!.method).toBe(method)
    }
  })
  it('an absolute target has a plain authority', () => {
    for (const authority of ['b:', 'b:65536', 'b%2fx', 'b%00', 'b;c', 'b(c', '*', '[::1%25eth0]', 'b_c'])
      expect(seen(`GET http://${authority}/x HTTP/1.1\r\nHost: a\r\n\r\n`)).toBe('bad 400')
    expect(seen('GET http://b-1.c:65535/x HTTP/1.1\r\nHost: a\r\n\r\n')).toBe('request GET http|b-1.c:65535|/x HTTP/1.1 length=0 end ')
  })
  it('methods of any token with allow_custom_methods', () => {
    expect(seen('M-SEARCH /x HTTP/1.1\r\nHost: a\r\n\r\n')).toBe('request M-SEARCH |a|/x HTTP/1.1 length=0 end ')
  })
  it('no Host: the request path answers, the codec passes an empty authority', () => {
    expect(seen('GET /x HTTP/1.1\r\n\r\n')).toBe('request GET ||/x HTTP/1.1 length=0 end ')
    expect(seen('GET /x HTTP/1.0\r\n\r\n')).toBe('request GET ||/x HTTP/1.0 length=0 end ')
  })
  it('keeps the case and order of header names, and the spelling of Host', () => {
    const end = serverEnd()
    end.feed('GET /x HTTP/1.1\r\nX-fOO: 1\r\nhOsT: a\r\nx-Foo: 2\r\nACCEPT: *\r\n\r\n')
    expect(headerLines(end.heads[0]!.headers)).toBe('X-fOO=1|x-Foo=2|ACCEPT=*')
    expect(end.heads[0]!.headers.getAll('x-foo')).toEqual(['1', '2'])
    expect(end.heads[0]!.hostName).toBe('hOsT')
  })
  it('CVE-2019-18802: white space around values is trimmed, inside it stays', () => {
    const end = serverEnd()
    end.feed('GET /x HTTP/1.1\r\nHost: \tfoo \t\r\nA:b\r\nC:  d  e\t\r\nE: \r\n\r\n')
    expect(end.heads[0]!.authority).toBe('foo')
    expect(headerLines(end.heads[0]!.headers)).toBe('A=b|C=d  e|E=')
  })
})

describe('limits', () => {
  it('Node maxHeadersCount truncation: one header too many is 431 and names the limit', () => {
    const lines = (n: number): string => Array.from({ length: n }, (_, i) => `x${i}: 1\r\n`).join('')
    const fits = serverEnd()
    fits.feed(get(lines(99)))
    expect(outcome(fits.events)).toEqual(['request GET'])
    const over = serverEnd()
    over.feed(get(lines(100)))
    expect(outcome(over.events)).toEqual(['bad 431'])
    expect(over.errors[0]!.message).toMatch(/100 headers \(max_headers_count\)/)
    expect(over.transport.ended).toBe(true)
  })
  it('max_request_headers_kb is exact, whole or in pieces, and is named', () => {
    const limits = { ...LIMITS, maxHeadBytes: 4096 }
    const bare = get('X: \r\n').length
    for (const size of [1, 100, 8192]) {
      const fits = serverEnd({ limits })
      feedInPieces(fits.codec, get(`X: ${'y'.repeat(4096 - bare)}\r\n`), size)
      expect(outcome(fits.events)).toEqual(['request GET'])
      const over = serverEnd({ limits })
      feedInPieces(over.codec, get(`X: ${'y'.repeat(4097 - bare)}\r\n`), size)
      expect(outcome(over.events)).toEqual(['bad 431'])
      expect(over.errors[0]!.message).toMatch(/4 KiB \(max_request_headers_kb\)/)
      expect(over.errors[0]!.stat).toBe('downstream_rq_too_large')
    }
  })
  it('an endless head is refused at the limit, not later', () => {
    const limits = { ...LIMITS, maxHeadBytes: 4096 }
    for (const start of ['GET /', 'GET /x HTTP/1.1\r\nHost: a\r\nX: ']) {
      const end = serverEnd({ limits })
      end.feed(start)
      let fed = start.length
      while (end.transport.open && fed < 10_000) {
        end.feed('z'.repeat(10))
        fed += 10
      }
      expect(outcome(end.events)).toEqual(['bad 431'])
      expect(fed).toBeLessThanOrEqual(4096 + 10)
    }
  })
  it('CVE-2018-12122: a dripped head costs each byte once', () => {
    const end = serverEnd()
    const head = get(`X: ${'y'.repeat(59 * 1024)}\r\n`)
    const original = Buffer.prototype.latin1Slice
    let looked = 0
    Buffer.prototype.latin1Slice = function (this: Buffer, start?: number, last?: number): string {
      const text = original.call(this, start, last)
      looked += text.length
      return text
    }
    try {
      feedInPieces(end.codec, head, 1)
    } finally {
      Buffer.prototype.latin1Slice = original
    }
    expect(outcome(end.events)).toEqual(['request GET'])
    // Looking at everything again for each byte would be 1.8 GB.
    expect(looked).toBeLessThan(head.length * 8)
  })
  it('bare LF is noticed before the head is complete', () => {
    const end = serverEnd()
    end.feed('GET /x HTTP/1.1\r\nHost: a\n')
    expect(outcome(end.events)).toEqual(['bad 400'])
    const dripped = serverEnd()
    feedInPieces(dripped.codec, 'GET /x HTTP/1.1\nHo', 1)
    expect(outcome(dripped.events)).toEqual(['bad 400'])
  })
  it('some empty lines before a request are taken, an endless row of them is not', () => {
    const end = serverEnd()
    feedInPieces(end.codec, `\r\n\r\n${get('')}`, 1)
    expect(outcome(end.events)).toEqual(['request GET'])
    const endless = serverEnd()
    feedInPieces(endless.codec, '\r\n'.repeat(100), 3)
    expect(outcome(endless.events)).toEqual(['bad 400'])
    const bare = serverEnd()
    feedInPieces(bare.codec, '\r\r\n', 1)
    expect(outcome(bare.events)).toEqual(['bad 400'])
  })
  it('tells when a head is begun and when it is complete', () => {
    const end = serverEnd()
    feedInPieces(end.codec, get(''), 10)
    expect(end.events.slice(0, 2)).toEqual(['head-pending true', 'head-pending false'])
    expect(end.events[2]).toMatch(/^request/)
  })
  it('trailers have the limits of a head', () => {
    const limits = { ...LIMITS, maxHeadBytes: 1024, maxHeaders: 5 }
    const start = 'POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n'
    const long = serverEnd({ limits })
    feedInPieces(long.codec, `${start}X: ${'y'.repeat(2000)}`, 100)
    expect(outcome(long.events).at(-1)).toBe('bad 431')
    const many = serverEnd({ limits })
    many.feed(`${start}${'X: y\r\n'.repeat(6)}\r\n`)
    expect(outcome(many.events).at(-1)).toBe('bad 431')
  })
  it('CVE-2024-10006: underscores are kept, dropped or refused as configured', () => {
    const bytes = get('X_check: 1\r\nX-Check: 2\r\n')
    const run = (underscores: 'ALLOW' | 'DROP_HEADER' | 'REJECT_REQUEST') => {
      const end = serverEnd({ limits: { ...LIMITS, underscores } })
      end.feed(bytes)
      return end
    }
    expect(headerLines(run('ALLOW').heads[0]!.headers)).toBe('X_check=1|X-Check=2')
    expect(headerLines(run('DROP_HEADER').heads[0]!.headers)).toBe('X-Check=2')
    expect(run('REJECT_REQUEST').events).toEqual(['bad 400'])
  })
  it('CVE-2026-21717: colliding and integer-like names are just names', () => {
    const end = serverEnd()
    end.feed(get(Array.from({ length: 90 }, (_, i) => `${i}: ${i}\r\n`).join('')))
    expect(end.heads[0]!.headers.get('42')).toBe('42')
    expect(end.heads[0]!.headers.length).toBe(90)
  })
  it('CVE-2026-21710: __proto__ is an ordinary name', () => {
    const end = serverEnd()
    end.feed(get('__proto__: x\r\n'))
    expect(end.heads[0]!.headers.get('__proto__')).toBe('x')
    expect(({} as Record<string, unknown>)['x']).toBeUndefined()
  })
})

describe('connection fields', () => {
  const headersOf = (lines: string): string => {
    const end = serverEnd()
    end.feed(get(lines))
    return headerLines(end.heads[0]!.headers)
  }
  it('removes hop-by-hop fields and what Connection names (RFC 9110 §7.6.1)', () => {
    expect(
      headersOf(
        'Connection: close, X-Foo\r\nX-Foo: 1\r\nX-foo: 2\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nUpgrade: foo\r\nHTTP2-Settings: x\r\nB: c\r\n',
      ),
    ).toBe('B=c')
    expect(headersOf('Connection: a\r\nConnection: b,c\r\nA: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n')).toBe('D=4')
  })
  it('CVE-2024-45410, CVE-2026-33805, reply-from#449: Connection strips no protected field', () => {
    expect(
      headersOf(
        'Connection: content-length, authorization, cookie, x-forwarded-port, X-Envoy-Foo, x-request-id, traceparent, x-mine\r\n' +
          'Authorization: a\r\nCookie: b\r\nX-Forwarded-Port: c\r\nX-Envoy-Foo: d\r\nX-Request-Id: e\r\nTraceparent: f\r\nX-Mine: g\r\n',
      ),
    ).toBe('Authorization=a|Cookie=b|X-Forwarded-Port=c|X-Envoy-Foo=d|X-Request-Id=e|Traceparent=f')
    const end = serverEnd()
    end.feed('POST /x HTTP/1.1\r\nConnection: content-length, transfer-encoding\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi')
    expect(end.events).toEqual(['request POST |a|/x HTTP/1.1 length=2 Content-Length=2', 'data hi', 'end'])
  })
  it.each(['host', 'close, Host', 'x-forwarded-for', 'X-Forwarded-Host', 'x-forwarded-proto', ':path', 'a,b,c,d,e,f,g,h,i,j,k'])(
    'CVE-2024-45410, CVE-2026-33805: `Connection: %s` is refused, as by Envoy',
    nominated => {
      const end = serverEnd()
      end.feed(get(`Connection: ${nominated}\r\nX-Forwarded-For: 1.2.3.4\r\n`))
      expect(end.lastEvent).toBe('bad 400')
      expect(end.errors[0]!.details).toBe('http1.connection_header_rejected')
    },
  )
  it('Connection may name ten fields', () => {
    expect(headersOf('Connection: a,b,c,d,e,f,g,h,i,j, close\r\nJ: 1\r\nK: 2\r\n')).toBe('K=2')
  })
  it('TE keeps only trailers, also when Connection names it', () => {
    expect(headersOf('Connection: TE\r\nTE: gzip, Trailers;q=0.5\r\n')).toBe('')
    expect(headersOf('Connection: TE\r\nTE: gzip, Trailers\r\nTE: trailers\r\n')).toBe('TE=trailers')
  })
  it('h2c upgrade: the request is taken as HTTP/1.1, the upgrade is not seen', () => {
    const end = serverEnd()
    end.feed(get('Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n'))
    expect(end.events).toEqual(['request GET |a|/x HTTP/1.1 length=0 end '])
    // In a list it makes an upgrade that no configuration allows, as in Envoy.
    const listed = serverEnd()
    listed.feed(get('Connection: Upgrade\r\nUpgrade: h2c, WebSocket\r\n'))
    expect(listed.heads[0]!.upgrade).toBe('h2c, websocket')
  })
  it('Upgrade counts only where Connection names it, in HTTP/1.1, and with legal tokens (CVE-2026-1527)', () => {
    for (const [bytes, upgrade] of [
      [get('Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n'), 'websocket'],
      [get('Connection: keep-alive\r\nUpgrade: websocket\r\n'), ''],
      [get('Connection: upgrade\r\nUpgrade: IRC/6.9, RTA/x11\r\n'), 'irc/6.9, rta/x11'],
      ['GET /x HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n', ''],
    ] as const) {
      const end = serverEnd()
      end.feed(bytes)
      expect(end.heads[0]!.upgrade).toBe(upgrade)
    }
  })
  it.each(['web socket', '', ',', 'websocket,', '"h2c"', 'h2c;q=1'])('CVE-2026-1527: `Upgrade: %s` is refused, as by Envoy', value => {
    const end = serverEnd()
    end.feed(get(`Connection: upgrade\r\nUpgrade: ${value}\r\n`))
    expect(end.lastEvent).toBe('bad 403')
    expect(end.errors[0]!.details).toBe('upgrade_failed')
  })
  it('nghttp2#2809, CVE-2026-58055: an upgrade with a body is an ordinary request', () => {
    for (const body of ['Content-Length: 2\r\n\r\nhi', 'Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n']) {
      const end = serverEnd()
      end.feed(`POST /x HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n${body}`)
      expect(end.heads[0]!.upgrade).toBe('')
      expect(end.events.slice(1)).toEqual(['data hi', 'end'])
    }
  })
})

describe('bodies', () => {
  const post = 'POST /x HTTP/1.1\r\nHost: a\r\n'
  it('Content-Length', () => {
    const end = serverEnd()
    end.feed(`${post}Content-Length: 5\r\n\r\nhello`)
    expect(end.events).toEqual(['request POST |a|/x HTTP/1.1 length=5 Content-Length=5', 'data hello', 'end'])
  })
  it('chunked: Transfer-Encoding and extensions are gone, trailers come (CVE-2021-22960)', () => {
    const end = serverEnd()
    end.feed(`${post}Transfer-Encoding: chunked\r\n\r\n5;foo="b\\"ar";x\r\nhello\r\n1\r\n!\r\n0;y\r\nX-Sum: 1\r\n\r\n`)
    expect(end.events).toEqual(['request POST |a|/x HTTP/1.1 length=-1 ', 'data hello!', 'trailers X-Sum=1'])
  })
  it('RFC 9110 §6.5.1: trailers that frame, route or identify are dropped', () => {
    const end = serverEnd()
    end.feed(
      `${post}Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 4\r\nHost: b\r\nAuthorization: x\r\nTransfer-Encoding: y\r\nX-Forwarded-For: z\r\nCookie: c\r\nConnection: d\r\nX-Sum: 1\r\n\r\n`,
    )
    expect(end.events.at(-1)).toBe('trailers X-Sum=1')
    const none = serverEnd()
    none.feed(`${post}Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 4\r\n\r\n`)
    expect(none.events.at(-1)).toBe('end')
  })
  it('trailers are read and dropped without enable_trailers', () => {
    const end = serverEnd({ enableTrailers: false })
    end.feed(`${post}Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n`)
    expect(end.events.slice(1)).toEqual(['data hi', 'end'])
  })
  it('CVE-2020-8659: one-byte chunks hold nothing back', () => {
    const end = serverEnd()
    end.feed(`${post}Transfer-Encoding: chunked\r\n\r\n`)
    for (let i = 0; i < 2000; i++) end.feed('1\r\nx\r\n')
    expect(end.events[1]).toBe(`data ${'x'.repeat(2000)}`)
    end.feed('0\r\n\r\n')
    expect(end.events.at(-1)).toBe('end')
  })
  it('data and end are one event when they came in one read', () => {
    const chunks: string[] = []
    const end = serverEnd({
      answer(stream) {
        stream.events = {
          onData: (chunk, last) => void chunks.push(`${chunk.toString('latin1')}${last ? '.' : ''}`),
          onTrailers() {},
          onReset() {},
          onDrain() {},
        }
      },
    })
    end.feed(`${post}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`)
    expect(chunks).toEqual(['hello.'])
  })
  it('Expect: beside another expectation, 100-continue is the origin’s to answer', () => {
    for (const lines of ['Expect: 100-continue\r\nExpect: x', 'Expect: x\r\nExpect: 100-continue', 'Expect: 100-continue, x']) {
      const end = serverEnd()
      end.feed(`${post}${lines}\r\nContent-Length: 2\r\n\r\n`)
      expect(end.heads[0]!.expectContinue).toBe(false)
      expect(end.heads[0]!.headers.has('expect')).toBe(true)
    }
  })
  it('Expect: 100-continue is told, once per message', () => {
    const end = serverEnd()
    end.feed(`${post}Expect: 100-Continue\r\nContent-Length: 2\r\n\r\n`)
    expect(end.heads[0]!.expectContinue).toBe(true)
    end.stream.sendInformational({
      status: 100,
      reason: '',
      version: 'HTTP/1.1',
      headers: end.heads[0]!.headers.clone(),
      contentLength: 0,
      upgraded: false,
    })
    expect(end.transport.take()).toMatch(/^HTTP\/1.1 100 Continue\r\n/)
    end.feed('hi')
    expect(end.events.slice(1)).toEqual(['data hi', 'end'])
    const old = serverEnd()
    old.feed('POST /x HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi')
    expect(old.heads[0]!.expectContinue).toBe(false)
  })
  it('TERM.EXT and other broken framing after the head was handed on: the request is reset, then answered', () => {
    const end = serverEnd()
    end.feed(`${post}Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\nzz`)
    expect(end.events.slice(1)).toEqual(['data hi'])
    end.feed('\r\n')
    expect(end.events.slice(2)).toEqual(['reset protocol-error http1.codec_error', 'bad 400'])
    expect(end.transport.take()).toMatch(/^HTTP\/1.1 400 Bad Request\r\n/)
  })
})
