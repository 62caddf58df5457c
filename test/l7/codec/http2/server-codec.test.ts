import { describe, expect, it } from 'vitest'
import { HeaderList } from '../../../../src/l7/codec/header-list.js'
import { Flag, FrameType, PREFACE } from '../../../../src/l7/codec/http2/frames.js'
import {
  block,
  data,
  describeHeaders,
  END,
  type Fields,
  GET,
  headers,
  POST,
  response,
  rstStream,
  ServerProbe,
  settings,
  text,
  windowUpdate,
} from '../../../support/http2-frames.js'
import { http2Options } from '../../../support/http2-pair.js'

function replace(fields: Fields, name: string, value: string): Fields {
  return fields.map(([n, v]) => [n, n === name ? value : v] as const)
}

/** Feeds one request; returns what the server did with it. */
function refusal(fields: Fields | Buffer, options = {}): string[] {
  const probe = new ServerProbe(options)
  probe.feed(headers(1, fields, END))
  return [...probe.events(), ...probe.frames()]
}

const REFUSED = ['RST_STREAM 1 PROTOCOL_ERROR']

describe('requests', () => {
  it('turns HEADERS into a head, without pseudo-headers and host', () => {
    const probe = new ServerProbe()
    probe.feed(
      headers(
        1,
        [...replace(GET, ':path', '/x?y=1'), ['host', 'A.example'], ['accept', '*/*'], ['te', 'trailers'], ['x-obs', '\xe9']],
        END,
      ),
    )
    expect(probe.events()).toEqual(['request 1 GET /x?y=1 END'])
    const head = probe.heads[0]!
    expect(head).toMatchObject({
      method: 'GET',
      scheme: 'http',
      authority: 'a.example',
      path: '/x?y=1',
      version: 'HTTP/2',
      upgrade: '',
      contentLength: 0,
      hostName: 'host',
    })
    expect(describeHeaders(head.headers)).toBe('accept=*/* te=trailers x-obs=\xe9')
  })

  it('takes the host field for a missing :authority', () => {
    const probe = new ServerProbe()
    probe.feed(headers(1, [...GET.filter(([n]) => n !== ':authority'), ['host', 'b.example']], END))
    expect(probe.heads[0]).toMatchObject({ authority: 'b.example' })
    expect(probe.heads[0]!.headers.length).toBe(0)
  })

  it('joins cookie crumbs (RFC 9113 §8.2.3)', () => {
    const probe = new ServerProbe()
    probe.feed(headers(1, [...GET, ['cookie', 'a=1'], ['x', 'y'], ['cookie', 'b=2'], ['cookie', 'c=3']], END))
    expect(describeHeaders(probe.heads[0]!.headers)).toBe('cookie=a=1; b=2; c=3 x=y')
  })

  it('answers a repeated block with heads that do not share state', () => {
    const probe = new ServerProbe()
    for (const id of [1, 3, 5, 7]) probe.feed(headers(id, [...GET, ['x', 'y']], END))
    probe.heads[2]!.headers.set('x', 'changed')
    probe.heads[2]!.path = '/changed'
    probe.feed(headers(9, [...GET, ['x', 'y']], END))
    for (const i of [0, 1, 3, 4]) {
      expect(describeHeaders(probe.heads[i]!.headers)).toBe('x=y')
      expect(probe.heads[i]!.path).toBe('/')
    }
  })

  it('passes a body on as it comes, without its padding, and trailers', () => {
    const probe = new ServerProbe()
    probe.feed(
      headers(1, POST),
      data(1, 'he'),
      data(1, Buffer.concat([Buffer.from([3]), Buffer.from('llo'), Buffer.alloc(3)]), Flag.PADDED),
      headers(1, [['x-sum', '5']], END),
    )
    expect(probe.events()).toEqual(['request 1 POST /', 'data 1 he', 'data 1 llo', 'trailers 1 x-sum=5'])
  })

  it('hands slices of the chunk on without copying', () => {
    const probe = new ServerProbe()
    const chunks: Buffer[] = []
    probe.onStream = stream => {
      stream.events = { ...stream.events, onData: chunk => void chunks.push(chunk) }
    }
    const bytes = Buffer.concat([headers(1, POST), data(1, 'hello', Flag.END_STREAM)])
    probe.codec.feed(bytes)
    expect(chunks[0]!.buffer).toBe(bytes.buffer)
  })

  it('accepts OPTIONS * and plain CONNECT', () => {
    const probe = new ServerProbe()
    probe.feed(
      headers(1, replace(replace(GET, ':method', 'OPTIONS'), ':path', '*'), END),
      headers(3, [
        [':method', 'CONNECT'],
        [':authority', 'db:5432'],
      ]),
    )
    expect(probe.events()).toEqual(['request 1 OPTIONS * END', 'request 3 CONNECT '])
    expect(probe.heads[1]).toMatchObject({ authority: 'db:5432', path: '', scheme: '', contentLength: -1 })
  })

  it('marks Expect: 100-continue and sends interim responses', () => {
    const probe = new ServerProbe()
    probe.onStream = stream => {
      stream.sendInformational(response(100))
      stream.sendInformational(response(103, [['link', '</x>']]))
      stream.sendHead(response(200), true)
    }
    probe.feed(headers(1, [...POST, ['expect', '100-continue']]))
    expect(probe.heads[0]!.expectContinue).toBe(true)
    expect(probe.frames()).toEqual(['HEADERS 1 :status=100', 'HEADERS 1 :status=103 link=</x>', 'HEADERS 1 :status=200 END'])
  })

  it('tells onHeadPending while a head is incomplete', () => {
    const probe = new ServerProbe()
    const bytes = headers(1, GET, END)
    probe.feed(bytes.subarray(0, 5))
    probe.feed(bytes.subarray(5, 20))
    expect(probe.log).toEqual(['head-pending true'])
    probe.feed(bytes.subarray(20))
    expect(probe.log.slice(0, 3)).toEqual(['head-pending true', 'head-pending false', 'request 1 GET / END'])
  })
})

describe('extended CONNECT (RFC 8441)', () => {
  const fields: Fields = [[':method', 'CONNECT'], [':protocol', 'WebSocket'], ...GET.slice(1), ['sec-websocket-version', '13']]

  it('is announced and taken when allow_connect is set, and answered 200 for an HTTP/1 101', () => {
    const probe = new ServerProbe({ ...http2Options({ allowConnect: true }), preface: false })
    expect(Buffer.from(probe.frames().join()).toString()).toContain('SETTINGS')
    probe.onStream = stream => stream.sendHead({ ...response(101), upgraded: true }, false)
    probe.feed(PREFACE, settings(), headers(1, fields), data(1, 'frame'))
    expect(probe.events()).toEqual(['request 1 CONNECT /', 'data 1 frame'])
    expect(probe.heads[0]).toMatchObject({ upgrade: 'websocket', authority: 'a.example', contentLength: -1 })
    expect(probe.frames()).toContain('HEADERS 1 :status=200')
  })

  it('keeps the answer to a key that a proxy before us handed on, and drops one to a key of ours', () => {
    const answerTo = (more: Fields): string => {
      const probe = new ServerProbe(http2Options({ allowConnect: true }))
      probe.onStream = stream => stream.sendHead({ ...response(101, [['sec-websocket-accept', 'x=']]), upgraded: true }, false)
      probe.feed(headers(1, [...fields, ...more]))
      return probe.frames().at(-1)!
    }
    expect(answerTo([['sec-websocket-key', 'dGhlIHNhbXBsZSBub25jZQ==']])).toBe('HEADERS 1 :status=200 sec-websocket-accept=x=')
    expect(answerTo([])).toBe('HEADERS 1 :status=200')
  })

  it('is refused otherwise', () => {
    expect(refusal(fields)).toEqual(REFUSED)
  })

  it('needs scheme, path and authority', () => {
    const options = http2Options({ allowConnect: true })
    for (const missing of [':scheme', ':path', ':authority']) {
      expect(
        refusal(
          fields.filter(([n]) => n !== missing),
          options,
        ),
      ).toEqual(REFUSED)
    }
    expect(refusal(replace(fields, ':method', 'GET'), options)).toEqual(REFUSED)
  })
})

describe('malformed requests are a stream error before anything is forwarded', () => {
  it.each<[string, Fields]>([
    ['upper-case name', [...GET, ['X-A', 'b']]],
    ['empty name (http-garden)', [...GET, ['', 'b']]],
    ['space in a name', [...GET, ['x a', 'b']]],
    ['colon in a name', [...GET, ['x:a', 'b']]],
    ['NUL in a name', [...GET, ['x\0', 'b']]],
    ['LF in a name', [...GET, ['x\na', 'b']]],
    ['obs-text in a name', [...GET, ['x\xff', 'b']]],
    ['NUL in a value (CVE-2019-9900)', [...GET, ['x', 'a\0b']]],
    ['CR in a value', [...GET, ['x', 'a\rb']]],
    ['LF in a value (CVE-2026-42926)', [...GET, ['x', 'a\nfoo: bar']]],
    ['leading HTAB in a value (http-garden bonus)', [...GET, ['x', '\ta']]],
    ['trailing HTAB in a value (http-garden bonus)', [...GET, ['x', 'a\t']]],
    ['leading space in a value', [...GET, ['x', ' a']]],
    ['DEL in a value', [...GET, ['x', 'a\x7f']]],
    ['connection', [...GET, ['connection', 'close']]],
    ['keep-alive', [...GET, ['keep-alive', '1']]],
    ['proxy-connection', [...GET, ['proxy-connection', 'close']]],
    ['transfer-encoding', [...GET, ['transfer-encoding', 'chunked']]],
    ['upgrade (h2c smuggling)', [...GET, ['upgrade', 'h2c']]],
    ['te other than trailers', [...GET, ['te', 'trailers, deflate']]],
    ['no method', GET.slice(1)],
    ['no scheme', GET.filter(([n]) => n !== ':scheme')],
    ['no path', GET.filter(([n]) => n !== ':path')],
    ['repeated method', [...GET, [':method', 'GET']]],
    ['repeated path', [[':path', '/'], ...GET]],
    ['repeated scheme', [[':scheme', 'http'], ...GET]],
    ['repeated authority', [[':authority', 'b'], ...GET]],
    ['unknown pseudo-header', [[':x', 'y'], ...GET]],
    [':status in a request', [[':status', '200'], ...GET]],
    ['pseudo-header after a field', [...GET.slice(0, 3), ['x', 'y'], [':path', '/']]],
    ['empty method', replace(GET, ':method', '')],
    ['space in the method (CVE-2021-39241)', replace(GET, ':method', 'GET /x')],
    ['CRLF in the method (CVE-2023-27491)', replace(GET, ':method', 'GET\r\nx: y')],
    ['scheme that is not http (CVE-2021-39240)', replace(GET, ':scheme', 'http://evil/')],
    ['empty path', replace(GET, ':path', '')],
    ['path without a slash (CVE-2026-33186)', replace(GET, ':path', 'Service/Method')],
    ['absolute URI as path', replace(GET, ':path', 'http://b/')],
    ['asterisk as path of a GET', replace(GET, ':path', '*')],
    ['space in the path (CVE-2021-39240)', replace(GET, ':path', '/a HTTP/1.1')],
    ['CRLF in the path (CVE-2023-27491)', replace(GET, ':path', '/a\r\nx: y')],
    ['NUL in the path', replace(GET, ':path', '/a\0')],
    ['DEL in the path', replace(GET, ':path', '/a\x7f')],
    ['host that differs (CVE-2021-39242)', [...GET, ['host', 'b.example']]],
    ['two hosts', [...GET, ['host', 'a.example'], ['host', 'a.example']]],
    ['userinfo in the authority', replace(GET, ':authority', 'user@a.example')],
    ['space in the authority', replace(GET, ':authority', 'a example')],
    ['slash in the authority', replace(GET, ':authority', 'a/b')],
    [
      'CONNECT with a path',
      [
        [':method', 'CONNECT'],
        [':authority', 'a'],
        [':path', '/'],
      ],
    ],
    ['CONNECT without an authority', [[':method', 'CONNECT']]],
    [':protocol without CONNECT', [[':protocol', 'websocket'], ...GET]],
    ['content-length that is no number', [...POST, ['content-length', '+5']]],
    ['empty content-length (CVE-2023-40225)', [...POST, ['content-length', '']]],
    ['content-length list', [...POST, ['content-length', '0, 0']]],
    ['content-length twice', [...POST, ['content-length', '0'], ['content-length', '0']]],
    ['content-length beyond 2^53', [...POST, ['content-length', '99999999999999999']]],
    ['content-length without content', [...POST, ['content-length', '5']]],
  ])('%s', (_name, fields) => {
    expect(refusal(fields)).toEqual(REFUSED)
  })

  it('compares the scheme in lower case and forwards it so (CVE-2023-35944)', () => {
    const probe = new ServerProbe()
    probe.feed(headers(1, replace(GET, ':scheme', 'HtTpS'), END))
    expect(probe.heads[0]!.scheme).toBe('https')
  })

  it('goes on with the connection', () => {
    const probe = new ServerProbe()
    probe.feed(headers(1, [...GET, ['X', 'y']], END), headers(3, GET, END))
    expect(probe.events()).toEqual(['request 3 GET / END'])
    expect(probe.options.stats.rx_messaging_error).toBe(1)
  })

  it.each<[string, Buffer[]]>([
    ['content beyond content-length', [headers(1, [...POST, ['content-length', '3']]), data(1, 'four')]],
    ['content short of content-length', [headers(1, [...POST, ['content-length', '5']]), data(1, 'four', Flag.END_STREAM)]],
    [
      'trailers before content-length is reached',
      [headers(1, [...POST, ['content-length', '5']]), data(1, 'four'), headers(1, [['a', 'b']], END)],
    ],
    ['trailers without END_STREAM (CVE-2026-73513)', [headers(1, POST), headers(1, [['a', 'b']])]],
    ['pseudo-header in trailers', [headers(1, POST), headers(1, [[':path', '/b']], END)]],
    ['connection-specific trailer', [headers(1, POST), headers(1, [['transfer-encoding', 'chunked']], END)]],
    ['upper-case trailer', [headers(1, POST), headers(1, [['A', 'b']], END)]],
    ['LF in a trailer', [headers(1, POST), headers(1, [['a', 'b\nc']], END)]],
  ])('%s resets an open stream', (_name, frames) => {
    const probe = new ServerProbe()
    probe.feed(...frames)
    expect(probe.events().pop()).toBe('reset 1 protocol-error PROTOCOL_ERROR')
    expect(probe.frames()).toEqual(['RST_STREAM 1 PROTOCOL_ERROR'])
    expect(probe.codec.activeStreams).toBe(0)
  })

  it('leaves framing and routing fields out of trailers', () => {
    const probe = new ServerProbe()
    probe.feed(
      headers(1, POST),
      headers(
        1,
        [
          ['content-length', '5'],
          ['host', 'evil'],
          ['a', 'b'],
        ],
        END,
      ),
    )
    expect(probe.events()).toEqual(['request 1 POST /', 'trailers 1 a=b'])
  })

  it.each([
    ['REJECT_REQUEST', ['RST_STREAM 1 PROTOCOL_ERROR'], 'requests_rejected_with_underscores_in_headers'],
    ['DROP_HEADER', [], 'dropped_headers_with_underscores'],
  ] as const)('underscores: %s', (underscores, frames, stat) => {
    const options = http2Options()
    const probe = new ServerProbe({ ...options, limits: { ...options.limits, underscores } })
    probe.feed(headers(1, [...GET, ['x_check', '1'], ['x-check', '2']], END))
    expect(probe.frames()).toEqual(frames)
    expect(probe.options.stats[stat]).toBe(1)
    if (underscores === 'DROP_HEADER') expect(describeHeaders(probe.heads[0]!.headers)).toBe('x-check=2')
  })
})

describe('limits of a head', () => {
  it('answers 431 with the name of the limit and keeps the table in step', () => {
    const probe = new ServerProbe({ limits: { maxHeadBytes: 500, maxHeaders: 100, underscores: 'ALLOW' } })
    const indexed = Buffer.concat([
      block(POST),
      Buffer.from([0x40]),
      text('x-big'),
      text('v'.repeat(600)),
      Buffer.from([0x40]),
      text('x'),
      text('y'),
    ])
    probe.feed(headers(1, indexed), data(1, 'thrown away'))
    expect(probe.events()).toEqual(['bad 1 431 http2.too_many_headers'])
    expect(probe.errors[0]!.message).toContain('max_request_headers_kb')
    // The rest of the request is not waited for.
    expect(probe.frames()).toEqual(['HEADERS 1 :status=431 END', 'RST_STREAM 1 NO_ERROR'])
    probe.feed(headers(3, Buffer.concat([block(GET), Buffer.from([0xbe])]), END))
    expect(describeHeaders(probe.heads[0]!.headers)).toBe('x=y')
    expect(probe.options.stats.header_overflow).toBe(1)
  })

  it('counts fields that are dropped or joined too (CVE-2026-73550)', () => {
    for (const extra of [['cookie', 'a=1'] as const, ['host', 'a.example'] as const, ['x_dropped', '1'] as const]) {
      const probe = new ServerProbe({ limits: { maxHeadBytes: 61440, maxHeaders: 20, underscores: 'DROP_HEADER' } })
      probe.feed(headers(1, [...GET, ...Array.from({ length: 17 }, () => extra)], END))
      expect(probe.events()).toEqual(['bad 1 431 http2.too_many_headers'])
      expect(probe.errors[0]!.message).toContain('max_headers_count')
    }
  })

  it('takes exactly the limit', () => {
    const probe = new ServerProbe({ limits: { maxHeadBytes: 61440, maxHeaders: 20, underscores: 'ALLOW' } })
    probe.feed(headers(1, [...GET, ...Array.from({ length: 16 }, (_, i) => [`x-${i}`, 'v'] as const)], END))
    expect(probe.events()).toEqual(['request 1 GET / END'])
  })
})

describe('responses', () => {
  it('joins the frames of one turn in one write', () => {
    const probe = new ServerProbe()
    probe.onStream = stream => {
      stream.sendHead(response(200, [['content-type', 'text/plain']]), false)
      stream.sendData(Buffer.from('hi'), true)
    }
    for (let id = 1; id < 200; id += 2) probe.feed(headers(id, GET, END))
    let writes = 0
    const write = probe.transport.write.bind(probe.transport)
    probe.transport.write = bytes => {
      writes++
      return write(bytes)
    }
    const frames = probe.frames()
    expect(writes).toBe(1)
    expect(frames).toHaveLength(200)
    expect(frames.slice(0, 2)).toEqual(['HEADERS 1 :status=200 content-type=text/plain', 'DATA 1 2 END'])
  })

  it('is flushed by the event loop without being asked', async () => {
    const probe = new ServerProbe()
    probe.onStream = stream => stream.sendHead(response(200), true)
    probe.feed(headers(1, GET, END))
    expect(probe.transport.hasBytes).toBe(false)
    await new Promise(resolve => setImmediate(() => setImmediate(resolve)))
    expect(probe.transport.hasBytes).toBe(true)
  })

  it.each([
    ['HEAD', 200],
    ['GET', 204],
    ['GET', 304],
  ])('has no content for %s %i, whatever is sent', (method, status) => {
    const probe = new ServerProbe()
    probe.onStream = stream => {
      stream.sendHead(response(status, [['content-length', '5']]), false)
      stream.sendData(Buffer.from('hello'), true)
    }
    probe.feed(headers(1, replace(GET, ':method', method), END))
    expect(probe.frames()).toEqual([`HEADERS 1 :status=${status} content-length=5 END`])
  })

  it('splits a head over CONTINUATION at the peer frame size', () => {
    const probe = new ServerProbe()
    const value = 'v'.repeat(20_000)
    probe.onStream = stream =>
      stream.sendHead(
        response(200, [
          ['x-a', value],
          ['x-b', value],
        ]),
        true,
      )
    probe.feed(headers(1, GET, END))
    probe.codec.flush()
    const bytes = probe.transport.take()
    const lengths: number[] = []
    for (let at = 0; at < bytes.length; at += 9 + bytes.readUIntBE(at, 3)) lengths.push(bytes.readUIntBE(at, 3))
    expect(lengths.slice(0, 2)).toEqual([16384, 16384])
    expect(lengths).toHaveLength(3)
    expect(bytes[3]).toBe(FrameType.HEADERS)
    expect(bytes[4]).toBe(Flag.END_STREAM)
    expect(bytes[9 + 16384 + 3]).toBe(FrameType.CONTINUATION)
    expect(bytes[2 * (9 + 16384) + 4]).toBe(Flag.END_HEADERS)
  })

  it('sends trailers, also a trailers-only response', () => {
    const probe = new ServerProbe()
    probe.onStream = (stream, head) => {
      if (head.path === '/only') {
        stream.sendHead(response(200, [['grpc-status', '5']]), true)
        return
      }
      stream.sendHead(response(200), false)
      stream.sendData(Buffer.from('m'), false)
      stream.sendTrailers(HeaderList.of(['grpc-status', '0']))
      stream.sendData(Buffer.from('ignored'), true)
    }
    probe.feed(headers(1, GET, END), headers(3, replace(GET, ':path', '/only'), END))
    expect(probe.frames()).toEqual([
      'HEADERS 1 :status=200',
      'DATA 1 1',
      'HEADERS 1 grpc-status=0 END',
      'HEADERS 3 :status=200 grpc-status=5 END',
    ])
  })

  it.each([
    ['cancel', 'CANCEL'],
    ['internal-error', 'INTERNAL_ERROR'],
    ['refused', 'REFUSED_STREAM'],
    ['protocol-error', 'PROTOCOL_ERROR'],
    ['no-error', 'NO_ERROR'],
    ['enhance-your-calm', 'ENHANCE_YOUR_CALM'],
    ['connect-error', 'CONNECT_ERROR'],
  ] as const)('reset(%s) sends %s and tells nothing', (code, name) => {
    const probe = new ServerProbe()
    probe.feed(headers(1, POST))
    probe.streams.get(1)!.reset(code)
    probe.streams.get(1)!.reset(code)
    probe.feed(data(1, 'late'), headers(1, [['late', '1']], END), rstStream(1))
    expect(probe.events()).toEqual(['request 1 POST /'])
    expect(probe.frames()).toEqual([`RST_STREAM 1 ${name}`])
    expect(probe.codec.activeStreams).toBe(0)
  })

  it('reset(no-error) after an early response waits until it is sent', () => {
    const probe = new ServerProbe()
    probe.feed(settings([4, 4]), headers(1, POST))
    probe.frames()
    const stream = probe.streams.get(1)!
    stream.sendHead(response(413), false)
    stream.sendData(Buffer.from('too big'), true)
    stream.reset('no-error')
    expect(probe.frames()).toEqual(['HEADERS 1 :status=413', 'DATA 1 4'])
    probe.feed(windowUpdate(1, 100))
    expect(probe.frames()).toEqual(['DATA 1 3 END', 'RST_STREAM 1 NO_ERROR'])
  })

  it('may be reset or finished from inside any event', () => {
    const probe = new ServerProbe()
    probe.onStream = stream => stream.reset('cancel')
    probe.feed(headers(1, POST), data(1, 'x', Flag.END_STREAM))
    expect(probe.events()).toEqual(['request 1 POST /'])
    probe.onStream = stream => {
      stream.events = { ...stream.events, onData: () => stream.reset('cancel') }
    }
    probe.feed(headers(3, POST), data(3, 'x'), data(3, 'y'), headers(5, GET, END))
    expect(probe.frames()).toEqual(['RST_STREAM 1 CANCEL', 'RST_STREAM 3 CANCEL', 'RST_STREAM 5 CANCEL'].slice(0, 2))
  })
})
