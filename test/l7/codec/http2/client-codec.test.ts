import { describe, expect, it } from 'vitest'
import { HeaderList } from '../../../../src/l7/codec/header-list.js'
import { ErrorCode, Flag, FrameType } from '../../../../src/l7/codec/http2/frames.js'
import {
  ClientProbe,
  data,
  END,
  type Fields,
  frame,
  goaway,
  headers,
  http2StreamId,
  ping,
  request,
  rstStream,
  settings,
  uint32,
  windowUpdate,
} from '../../../support/http2-frames.js'
import { http2Options } from '../../../support/http2-pair.js'

const OK: Fields = [[':status', '200']]

describe('requests', () => {
  it('writes the head, body and trailers', () => {
    const probe = new ClientProbe()
    const stream = probe.send(
      request('POST', '/p', [
        ['accept', '*/*'],
        ['connection', 'close'],
        ['te', 'trailers'],
      ]),
      false,
    )
    expect(http2StreamId(stream)).toBe(1)
    stream.sendData(Buffer.from('hello'), false)
    stream.sendTrailers(HeaderList.of(['a', 'b']))
    expect(probe.frames()).toEqual([
      'HEADERS 1 :method=POST :scheme=http :path=/p :authority=a.example accept=*/* te=trailers',
      'DATA 1 5',
      'HEADERS 1 a=b END',
    ])
  })

  it('gives ids in the order of heads, not of newStream', () => {
    const probe = new ClientProbe()
    const first = probe.open()!
    const second = probe.open()!
    second.sendHead(request('GET', '/second'), true)
    first.sendHead(request('GET', '/first'), true)
    expect([http2StreamId(second), http2StreamId(first)]).toEqual([1, 3])
    expect(probe.codec.activeStreams).toBe(2)
  })

  it('writes CONNECT without scheme and path, extended CONNECT only when the server takes it', () => {
    const probe = new ClientProbe({ settings: settings([8, 1]) })
    probe.send({ ...request('CONNECT', ''), authority: 'db:1' }, false)
    probe.send({ ...request('GET', '/chat'), upgrade: 'websocket' }, false)
    expect(probe.frames()).toEqual([
      'HEADERS 1 :method=CONNECT :authority=db:1',
      'HEADERS 3 :method=CONNECT :scheme=http :path=/chat :authority=a.example :protocol=websocket',
    ])
    probe.feed(headers(3, OK), data(3, 'frame'))
    expect(probe.heads[0]).toMatchObject({ status: 101, upgraded: true, contentLength: -1 })
    expect(probe.events()).toEqual(['head 3 101', 'data 3 frame'])
    const other = new ClientProbe()
    other.send({ ...request('GET', '/chat'), upgrade: 'websocket' }, false)
    expect(other.events()).toEqual(['reset 0 local'])
    expect(other.frames()).toEqual([])
    expect(other.codec.activeStreams).toBe(0)
  })

  it('keeps to the streams that the server allows, and tells when there is room', () => {
    const probe = new ClientProbe({ settings: settings([3, 2]) })
    expect(probe.codec.maxStreams).toBe(2)
    probe.send()
    const second = probe.open()!
    expect(probe.open()).toBeNull()
    probe.log.length = 0
    probe.feed(headers(1, OK, END))
    expect(probe.log).toEqual(['head 1 200 END', 'free'])
    expect(probe.open()).not.toBeNull()
    expect(probe.open()).toBeNull()
    second.reset('cancel')
    expect(probe.frames()).toHaveLength(1)
    expect(probe.open()).not.toBeNull()
    probe.log.length = 0
    probe.feed(settings([3, 3]))
    expect(probe.log).toEqual(['limit'])
    // Fewer than there are: the owner must know, though there is no room.
    probe.feed(settings([3, 1]))
    expect(probe.log).toEqual(['limit', 'limit'])
    expect(probe.codec.maxStreams).toBe(1)
  })

  it('opens one stream before the SETTINGS of a server that it does not know, and as many as it was told of one that it does', () => {
    const stranger = new ClientProbe({ settings: null })
    expect([stranger.codec.maxStreams, stranger.codec.limitKnown]).toEqual([1, false])
    const known = new ClientProbe({ settings: null, streamsBeforeSettings: 7 })
    expect([known.codec.maxStreams, known.codec.limitKnown]).toEqual([7, false])
    known.feed(settings([3, 5]))
    expect([known.codec.maxStreams, known.codec.limitKnown]).toEqual([5, true])
  })

  it('honours the server window for uploads', () => {
    const probe = new ClientProbe({ settings: settings([4, 10]) })
    const stream = probe.send(request('POST'), false)
    stream.sendData(Buffer.alloc(25, 'x'), true)
    expect(probe.frames().slice(1)).toEqual(['DATA 1 10'])
    probe.feed(windowUpdate(1, 100))
    expect(probe.frames()).toEqual(['DATA 1 15 END'])
  })
})

describe('responses', () => {
  it('delivers interim heads, head, data and trailers', () => {
    const probe = new ClientProbe()
    probe.send()
    probe.feed(
      headers(1, [
        [':status', '103'],
        ['link', '</x>'],
      ]),
      headers(1, [...OK, ['content-length', '2']]),
      data(1, 'ok'),
      headers(1, [['grpc-status', '0']], END),
    )
    expect(probe.events()).toEqual(['informational 1 103', 'head 1 200 content-length=2', 'data 1 ok', 'trailers 1 grpc-status=0'])
    expect(probe.heads[0]!.contentLength).toBe(2)
    expect(probe.codec.activeStreams).toBe(0)
  })

  it('finishes a stream whose response is complete while the request is not', () => {
    const probe = new ClientProbe()
    const stream = probe.send(request('POST'), false)
    probe.feed(headers(1, [[':status', '413']], END))
    expect(probe.codec.activeStreams).toBe(1)
    stream.sendData(Buffer.alloc(0), true)
    expect(probe.codec.activeStreams).toBe(0)
  })

  it('does not lose a response that NO_ERROR follows while it is paused (RFC 9113 §8.1)', () => {
    const probe = new ClientProbe()
    const stream = probe.send(request('POST'), false)
    stream.pause()
    probe.feed(headers(1, OK), data(1, 'all', Flag.END_STREAM), rstStream(1, ErrorCode.NO_ERROR))
    expect(probe.events()).toEqual(['head 1 200'])
    stream.resume()
    expect(probe.events()).toEqual(['data 1 all END', 'reset 1 remote-reset NO_ERROR'])
  })

  it('does not lose a complete response with the connection', () => {
    const probe = new ClientProbe()
    const stream = probe.send()
    stream.pause()
    probe.feed(headers(1, OK), data(1, 'all', Flag.END_STREAM))
    probe.codec.onTransportEnd()
    stream.resume()
    expect(probe.events()).toEqual(['head 1 200', 'data 1 all END'])
  })

  it('accepts content-length without content for HEAD and 304', () => {
    const probe = new ClientProbe()
    probe.send(request('HEAD'))
    probe.send()
    probe.feed(
      headers(1, [...OK, ['content-length', '9']], END),
      headers(
        3,
        [
          [':status', '304'],
          ['content-length', '9'],
        ],
        END,
      ),
    )
    expect(probe.events()).toEqual(['head 1 200 content-length=9 END', 'head 3 304 content-length=9 END'])
  })

  it.each<[string, Buffer[]]>([
    ['no :status', [headers(1, [['a', 'b']])]],
    [':status twice', [headers(1, [...OK, ...OK])]],
    [':status that is no number', [headers(1, [[':status', '2x0']])]],
    [':status of two digits', [headers(1, [[':status', '99']])]],
    ['status 101', [headers(1, [[':status', '101']])]],
    [
      'content-length in a 204',
      [
        headers(
          1,
          [
            [':status', '204'],
            ['content-length', '5'],
          ],
          END,
        ),
      ],
    ],
    [
      'content-length in a 103',
      [
        headers(1, [
          [':status', '103'],
          ['content-length', '5'],
        ]),
      ],
    ],
    ['a request pseudo-header', [headers(1, [...OK, [':path', '/']])]],
    ['pseudo-header after a field', [headers(1, [['a', 'b'], ...OK])]],
    ['a connection-specific field', [headers(1, [...OK, ['connection', 'close']])]],
    ['transfer-encoding', [headers(1, [...OK, ['transfer-encoding', 'chunked']])]],
    ['upper-case name', [headers(1, [...OK, ['A', 'b']])]],
    ['LF in a value', [headers(1, [...OK, ['a', 'b\nc: d']])]],
    ['two content-lengths', [headers(1, [...OK, ['content-length', '1'], ['content-length', '1']])]],
    ['a bad content-length', [headers(1, [...OK, ['content-length', '0x1']])]],
    ['an interim response with END_STREAM (CVE-2023-0056)', [headers(1, [[':status', '103']], END)]],
    ['content in a response to HEAD', [headers(1, OK), data(1, 'x')]],
    ['DATA before the head', [data(1, 'x')]],
    ['trailers without END_STREAM (CVE-2026-73513)', [headers(1, OK), headers(1, [['grpc-status', '0']])]],
    ['pseudo-header in trailers', [headers(1, OK), headers(1, OK, END)]],
  ])('%s is a stream error', (name, frames) => {
    const probe = new ClientProbe()
    probe.send(request(name.includes('HEAD') ? 'HEAD' : 'GET'))
    probe.send()
    probe.frames()
    probe.feed(...frames)
    expect(probe.frames()).toEqual(['RST_STREAM 1 PROTOCOL_ERROR'])
    expect(probe.events().pop()).toBe('reset 1 protocol-error PROTOCOL_ERROR')
    probe.feed(headers(3, OK, END))
    expect(probe.events()).toEqual(['head 3 200 END'])
  })

  it.each<[string, Buffer[]]>([
    ['beyond', [headers(1, [...OK, ['content-length', '1']]), data(1, 'xx')]],
    ['short of', [headers(1, [...OK, ['content-length', '3']]), data(1, 'xx', Flag.END_STREAM)]],
    ['without', [headers(1, [...OK, ['content-length', '3']], END)]],
    ['that ends in trailers short of', [headers(1, [...OK, ['content-length', '3']]), headers(1, [['a', 'b']], END)]],
  ])('content %s content-length is a stream error', (_name, frames) => {
    const probe = new ClientProbe()
    probe.send()
    probe.feed(...frames)
    expect(probe.events().pop()).toBe('reset 1 protocol-error PROTOCOL_ERROR')
  })

  it('a head or trailers beyond the limits end the stream as overflow', () => {
    const limits = { maxHeadBytes: 1000, maxHeaders: 10, underscores: 'ALLOW' as const }
    const probe = new ClientProbe({ limits })
    probe.send()
    probe.send()
    probe.feed(headers(1, [...OK, ['x', 'v'.repeat(2000)]]))
    probe.feed(
      headers(3, OK),
      headers(
        3,
        Array.from({ length: 11 }, (_, i) => [`t${i}`, 'v'] as const),
        END,
      ),
    )
    expect(probe.events()).toEqual(['reset 1 overflow ENHANCE_YOUR_CALM', 'head 3 200', 'reset 3 overflow ENHANCE_YOUR_CALM'])
  })

  it('bounds interim responses', () => {
    const probe = new ClientProbe()
    probe.send()
    for (let i = 0; i < 200; i++) probe.feed(headers(1, [[':status', '103']]))
    expect(probe.events().filter(line => line.startsWith('informational'))).toHaveLength(100)
  })

  it('ignores frames of a stream that was cancelled', () => {
    const probe = new ClientProbe()
    probe.send().reset('cancel')
    probe.feed(headers(1, OK), data(1, 'late'), headers(1, [['a', 'b']], END), windowUpdate(1, 5), rstStream(1))
    expect(probe.events()).toEqual([])
    expect(probe.codec.usable).toBe(true)
  })

  it.each([
    ['refused', ErrorCode.REFUSED_STREAM, 'reset 1 refused REFUSED_STREAM'],
    ['remote-reset', ErrorCode.INTERNAL_ERROR, 'reset 1 remote-reset INTERNAL_ERROR'],
  ])('tells %s', (_name, code, line) => {
    const probe = new ClientProbe()
    probe.send()
    probe.feed(rstStream(1, code))
    expect(probe.events()).toEqual([line])
  })
})

describe('connection', () => {
  it.each<[string, string, Buffer[]]>([
    ['PROTOCOL_ERROR', 'PUSH_PROMISE', [frame(FrameType.PUSH_PROMISE, 4, 1, uint32(2))]],
    ['PROTOCOL_ERROR', 'ENABLE_PUSH of 1', [settings([2, 1])]],
    ['PROTOCOL_ERROR', 'HEADERS on an idle stream', [headers(5, OK)]],
    ['PROTOCOL_ERROR', 'HEADERS on an even stream', [headers(2, OK)]],
    ['PROTOCOL_ERROR', 'RST_STREAM on an idle stream', [rstStream(5)]],
    ['COMPRESSION_ERROR', 'a block that does not decode', [headers(1, Buffer.from([0xff]))]],
  ])('%s: %s', (code, _name, frames) => {
    const probe = new ClientProbe()
    probe.send()
    probe.frames()
    probe.feed(...frames)
    expect(probe.frames()).toEqual([`GOAWAY 0 ${code}`])
    expect(probe.events()).toEqual([`reset 1 protocol-error ${code}`, 'connection-error http2.protocol_error'])
    expect(probe.codec.usable).toBe(false)
    expect(probe.codec.newStream({} as never)).toBeNull()
  })

  it('wants SETTINGS first', () => {
    const probe = new ClientProbe({ settings: ping() })
    expect(probe.codec.usable).toBe(false)
  })

  it('a stream handed out before the connection died is refused, not lost', () => {
    const probe = new ClientProbe()
    const stream = probe.open()!
    probe.codec.onTransportClose({ code: 'connection-closed', details: 'x' })
    stream.sendHead(request(), true)
    expect(probe.events()).toEqual(['reset 0 refused'])
  })

  it('finishes or refuses every stream when the transport closes', () => {
    const probe = new ClientProbe()
    probe.send()
    probe.send()
    probe.codec.onTransportClose({ code: 'connection-closed', details: 'x' })
    expect(probe.events()).toEqual(['reset 1 connection-closed', 'reset 3 connection-closed'])
    expect(probe.codec.activeStreams).toBe(0)
    expect(probe.codec.wantsTicks).toBe(false)
  })
})

describe('GOAWAY', () => {
  it('refuses streams above the last id, finishes the others, then closes', () => {
    const probe = new ClientProbe()
    for (let i = 0; i < 3; i++) probe.send()
    const spare = probe.open()!
    probe.frames()
    probe.feed(goaway(3))
    expect(probe.events()).toEqual(['draining', 'reset 5 refused NO_ERROR'])
    expect(probe.codec.usable).toBe(false)
    expect(probe.open()).toBeNull()
    spare.sendHead(request(), true)
    expect(probe.events()).toEqual(['reset 0 refused'])
    probe.feed(headers(1, OK, END))
    expect(probe.transport.ended).toBe(false)
    probe.feed(headers(3, OK, END))
    expect(probe.transport.ended).toBe(true)
    expect(probe.frames()).toEqual(['GOAWAY 0 NO_ERROR'])
  })

  it('in two phases lets all streams of the first finish', () => {
    const probe = new ClientProbe()
    probe.send()
    probe.send()
    probe.feed(goaway(0x7fffffff))
    expect(probe.events()).toEqual(['draining'])
    probe.feed(goaway(1))
    expect(probe.events()).toEqual(['reset 3 refused NO_ERROR'])
  })

  it('RST_STREAM and then GOAWAY leak nothing (CVE-2023-35945)', () => {
    const probe = new ClientProbe()
    for (let i = 0; i < 10; i++) probe.send(request('POST'), false).sendData(Buffer.alloc(50_000), false)
    probe.frames()
    for (let id = 1; id < 20; id += 2) probe.feed(rstStream(id, ErrorCode.REFUSED_STREAM))
    probe.feed(goaway(0), headers(1, OK, END), windowUpdate(1, 1), data(3, 'x'))
    expect(probe.events().filter(line => line.includes('refused'))).toHaveLength(10)
    expect(probe.codec.activeStreams).toBe(0)
    expect(probe.transport.ended).toBe(true)
  })

  it('our drain() takes no new streams and closes after the last', () => {
    const probe = new ClientProbe()
    probe.send()
    probe.codec.drain()
    expect(probe.open()).toBeNull()
    probe.feed(headers(1, OK, END))
    expect(probe.frames().pop()).toBe('GOAWAY 0 NO_ERROR')
    expect(probe.transport.ended).toBe(true)
  })

  it('may be drained while a stream is handed out', () => {
    const probe = new ClientProbe(http2Options())
    const stream = probe.open()!
    probe.codec.drain()
    stream.sendHead(request(), true)
    probe.feed(headers(1, OK, END))
    expect(probe.events()).toEqual(['draining', 'head 1 200 END'])
    expect(probe.transport.ended).toBe(true)
  })
})
