// What concerns a connection as a whole, seen from the server's side: its settings, floods, GOAWAY and the time that its peer has.
import { describe, expect, it } from 'vitest'
import { Flag, FrameType, PREFACE } from '../../../../src/l7/codec/http2/frames.js'
import {
  block,
  data,
  END,
  frame,
  GET,
  goaway,
  headers,
  POST,
  ping,
  response,
  rstStream,
  SETTINGS_ACK,
  ServerProbe,
  settings,
  text,
  uint32,
  windowUpdate,
} from '../../../support/http2-frames.js'
import { http2Options } from '../../../support/http2-pair.js'

describe('connection', () => {
  it('sends SETTINGS first and acknowledges the peer', () => {
    const probe = new ServerProbe({ preface: false })
    expect(probe.frames()).toEqual(['SETTINGS', `WINDOW_UPDATE 0 ${4 * 1024 * 1024 - 65535}`])
    probe.feed(PREFACE, settings([3, 7]))
    expect(probe.frames()).toEqual(['SETTINGS ACK'])
  })

  it('answers PING', () => {
    const probe = new ServerProbe()
    probe.feed(ping('abcdefgh'))
    probe.codec.flush()
    expect(probe.transport.take()).toEqual(ping('abcdefgh', Flag.ACK))
  })

  it('refuses streams beyond max_concurrent_streams with REFUSED_STREAM', () => {
    const probe = new ServerProbe(http2Options({ maxConcurrentStreams: 2 }))
    probe.feed(headers(1, GET, END), headers(3, GET, END), headers(5, GET, END))
    expect(probe.frames()).toEqual(['RST_STREAM 5 REFUSED_STREAM'])
    expect(probe.options.stats.stream_refused_errors).toBe(1)
    probe.streams.get(1)!.sendHead(response(200), true)
    probe.feed(headers(7, GET, END))
    expect(probe.events()).toContain('request 7 GET / END')
  })

  it.each<[string, string, Buffer[]]>([
    ['PROTOCOL_ERROR', 'DATA on an idle stream', [data(1, 'x')]],
    ['PROTOCOL_ERROR', 'an even stream id', [headers(2, GET, END)]],
    ['STREAM_CLOSED', 'a reused stream id', [headers(3, GET, END), headers(1, GET, END)]],
    ['PROTOCOL_ERROR', 'DATA on stream 0', [data(0, 'x')]],
    ['PROTOCOL_ERROR', 'HEADERS on stream 0', [headers(0, GET, END)]],
    ['PROTOCOL_ERROR', 'PUSH_PROMISE', [frame(FrameType.PUSH_PROMISE, 4, 1, uint32(2))]],
    ['PROTOCOL_ERROR', 'CONTINUATION by itself', [frame(FrameType.CONTINUATION, 4, 1, block(GET))]],
    ['PROTOCOL_ERROR', 'a header block that is interrupted', [headers(1, GET, 0), ping()]],
    ['PROTOCOL_ERROR', 'CONTINUATION of another stream', [headers(1, GET, 0), frame(FrameType.CONTINUATION, 4, 3, '')]],
    ['FRAME_SIZE_ERROR', 'a frame above our limit', [frame(FrameType.DATA, 0, 1, Buffer.alloc(16385))]],
    ['FRAME_SIZE_ERROR', 'a PING of 7 bytes', [frame(FrameType.PING, 0, 0, '1234567')]],
    ['FRAME_SIZE_ERROR', 'SETTINGS of 5 bytes', [frame(FrameType.SETTINGS, 0, 0, '12345')]],
    ['FRAME_SIZE_ERROR', 'a SETTINGS ACK with content', [frame(FrameType.SETTINGS, 1, 0, '123456')]],
    ['PROTOCOL_ERROR', 'SETTINGS on a stream', [frame(FrameType.SETTINGS, 0, 1)]],
    ['PROTOCOL_ERROR', 'ENABLE_PUSH of 2', [settings([2, 2])]],
    ['FLOW_CONTROL_ERROR', 'INITIAL_WINDOW_SIZE of 2^31', [settings([4, 2 ** 31])]],
    ['PROTOCOL_ERROR', 'MAX_FRAME_SIZE of 100', [settings([5, 100])]],
    ['PROTOCOL_ERROR', 'ENABLE_CONNECT_PROTOCOL of 2', [settings([8, 2])]],
    ['PROTOCOL_ERROR', 'ENABLE_CONNECT_PROTOCOL taken back', [settings([8, 1]), settings([8, 0])]],
    ['PROTOCOL_ERROR', 'WINDOW_UPDATE of 0 on the connection', [windowUpdate(0, 0)]],
    ['FLOW_CONTROL_ERROR', 'connection window beyond 2^31-1 (CVE-2026-21714)', [windowUpdate(0, 2 ** 31 - 1)]],
    ['PROTOCOL_ERROR', 'WINDOW_UPDATE on an idle stream', [windowUpdate(1, 1)]],
    ['PROTOCOL_ERROR', 'RST_STREAM on an idle stream', [rstStream(1)]],
    ['FRAME_SIZE_ERROR', 'RST_STREAM of 3 bytes', [headers(1, GET, END), frame(FrameType.RST_STREAM, 0, 1, '123')]],
    ['COMPRESSION_ERROR', 'a block that does not decode', [headers(1, Buffer.from([0xff]), END)]],
    ['PROTOCOL_ERROR', 'padding longer than a DATA frame', [headers(1, POST), data(1, '\x05abcd', Flag.PADDED)]],
    ['PROTOCOL_ERROR', 'padding longer than a HEADERS frame', [headers(1, Buffer.from([9, 0x82]), END | Flag.PADDED)]],
    [
      'PROTOCOL_ERROR',
      'PRIORITY of an idle stream on itself',
      [frame(FrameType.PRIORITY, 0, 1, Buffer.concat([uint32(1), Buffer.alloc(1)]))],
    ],
    ['FRAME_SIZE_ERROR', 'GOAWAY of 4 bytes', [frame(FrameType.GOAWAY, 0, 0, uint32(0))]],
  ])('%s: %s', (code, _name, frames) => {
    const probe = new ServerProbe()
    probe.feed(...frames)
    expect(probe.frames().pop()).toMatch(new RegExp(`^GOAWAY \\d ${code}$`))
    expect(probe.transport.ended).toBe(true)
    expect(probe.events().pop()).toBe('connection-error http2.protocol_error')
    expect(probe.codec.activeStreams).toBe(0)
    // Dead: nothing more is read (CVE-2026-27135) or told.
    probe.feed(headers(101, GET, END), frame(99, 255, 5, 'garbage'), Buffer.from('garbage'))
    expect(probe.events()).toEqual([])
    expect(probe.frames()).toEqual([])
  })

  it.each<[string, string, Buffer[]]>([
    ['PROTOCOL_ERROR', 'WINDOW_UPDATE of 0', [windowUpdate(1, 0)]],
    ['FLOW_CONTROL_ERROR', 'a window beyond 2^31-1', [windowUpdate(1, 2 ** 31 - 1)]],
    ['STREAM_CLOSED', 'DATA after END_STREAM', [data(1, '', Flag.END_STREAM), data(1, 'x')]],
    ['STREAM_CLOSED', 'HEADERS after END_STREAM', [data(1, '', Flag.END_STREAM), headers(1, [['a', 'b']], END)]],
    ['FRAME_SIZE_ERROR', 'PRIORITY of 4 bytes', [frame(FrameType.PRIORITY, 0, 1, uint32(0))]],
    ['PROTOCOL_ERROR', 'dependency on itself', [frame(FrameType.PRIORITY, 0, 1, Buffer.concat([uint32(1), Buffer.alloc(1)]))]],
  ])('only the stream: %s for %s', (code, _name, frames) => {
    const probe = new ServerProbe()
    probe.feed(headers(1, POST), ...frames)
    expect(probe.frames()).toEqual([`RST_STREAM 1 ${code}`])
    expect(probe.events().pop()).toBe(`reset 1 protocol-error ${code}`)
    probe.feed(headers(3, GET, END))
    expect(probe.events()).toEqual(['request 3 GET / END'])
  })

  it('ends an invalid preface and a first frame that is not SETTINGS', () => {
    const invalid = new ServerProbe({ preface: false })
    invalid.feed(Buffer.from('GET / HTTP/1.1\r\n\r\n'))
    expect(invalid.frames().pop()).toBe('GOAWAY 0 PROTOCOL_ERROR')
    const early = new ServerProbe({ preface: false })
    early.feed(PREFACE, headers(1, GET, END))
    expect(early.frames().pop()).toBe('GOAWAY 0 PROTOCOL_ERROR')
  })

  it('ignores unknown frames, settings and flags', () => {
    const probe = new ServerProbe()
    probe.feed(frame(0x42, 0xff, 77, 'whatever'), settings([0x99, 1]), headers(1, GET, END | 0x50), data(0x80000001 & 0x7fffffff, ''))
    expect(probe.events()[0]).toBe('request 1 GET / END')
  })

  it('survives a socket that closes in mid-CONTINUATION (CVE-2024-27983)', () => {
    const probe = new ServerProbe()
    probe.feed(headers(1, POST), headers(3, GET, 0), frame(FrameType.CONTINUATION, 0, 3, 'xx').subarray(0, 10))
    probe.codec.onTransportClose({ code: 'connection-closed', details: 'gone' })
    expect(probe.events()).toEqual(['request 1 POST /', 'reset 1 connection-closed'])
    probe.codec.flush()
    expect(probe.codec.activeStreams).toBe(0)
  })

  it('a reset from the peer ends the stream, and the sum of heads is given back', () => {
    const probe = new ServerProbe()
    for (let id = 1; id < 50; id += 2) probe.feed(headers(id, GET, END), rstStream(id))
    expect(probe.events().slice(0, 2)).toEqual(['request 1 GET / END', 'reset 1 remote-reset CANCEL'])
    expect(probe.codec.activeStreams).toBe(0)
    expect(probe.options.stats.rx_reset).toBe(25)
  })
})

describe('GOAWAY', () => {
  it('drains in two phases and loses no request on its way', () => {
    const probe = new ServerProbe()
    probe.feed(headers(1, GET, END))
    probe.codec.drain()
    probe.codec.drain()
    expect(probe.frames()).toEqual(['GOAWAY 2147483647 NO_ERROR', 'PING'])
    probe.feed(headers(3, GET, END))
    probe.feed(ping('outdrain', Flag.ACK))
    expect(probe.frames()).toEqual(['GOAWAY 3 NO_ERROR'])
    // Too late, and the block still counts for the table.
    probe.feed(headers(5, Buffer.concat([block(GET), Buffer.from([0x40]), text('x'), text('y')]), END))
    expect(probe.events()).toEqual(['request 1 GET / END', 'request 3 GET / END'])
    probe.streams.get(1)!.sendHead(response(200), true)
    expect(probe.transport.ended).toBe(false)
    probe.streams.get(3)!.sendHead(response(200), true)
    expect(probe.frames()).toEqual(['HEADERS 1 :status=200 END', 'HEADERS 3 :status=200 END'])
    expect(probe.transport.ended).toBe(true)
  })

  it('waits for the PING for drain_timeout', () => {
    let now = 0
    const probe = new ServerProbe(http2Options({}, { now: () => now, drainTimeoutMs: 2000 }) as never)
    probe.codec.drain()
    expect(probe.codec.wantsTicks).toBe(true)
    now = 1999
    probe.codec.tick(now)
    expect(probe.transport.ended).toBe(false)
    now = 2000
    probe.codec.tick(now)
    expect(probe.frames()).toEqual(['GOAWAY 2147483647 NO_ERROR', 'PING', 'GOAWAY 0 NO_ERROR'])
    expect(probe.transport.ended).toBe(true)
  })

  it('closeAfter() starts it', () => {
    const probe = new ServerProbe()
    probe.onStream = stream => {
      stream.closeAfter()
      stream.sendHead(response(200), true)
    }
    probe.feed(headers(1, GET, END))
    expect(probe.frames()).toEqual(['GOAWAY 2147483647 NO_ERROR', 'PING', 'HEADERS 1 :status=200 END'])
  })

  it('of the client: what is in flight is finished, then the connection closes', () => {
    const probe = new ServerProbe()
    probe.feed(headers(1, GET, END), goaway(0))
    probe.streams.get(1)!.sendHead(response(200), true)
    expect(probe.frames().pop()).toBe('HEADERS 1 :status=200 END')
    expect(probe.transport.ended).toBe(true)
  })
})

describe('timeouts', () => {
  it('ends a connection whose peer never acknowledges SETTINGS', () => {
    let now = 0
    const probe = new ServerProbe({ ...(http2Options({}, { now: () => now }) as object), preface: false })
    probe.feed(PREFACE, settings())
    now = 9_000
    probe.codec.tick(now)
    expect(probe.transport.ended).toBe(false)
    now = 11_000
    probe.codec.tick(now)
    expect(probe.frames().pop()).toBe('GOAWAY 0 SETTINGS_TIMEOUT')
    const forgetful = new ServerProbe({ ...(http2Options() as object), preface: false })
    forgetful.feed(PREFACE, settings(), headers(1, GET, END))
    forgetful.codec.tick(11_000)
    expect(forgetful.codec.stopped).toBe(false)
  })

  it('keepalive: a PING when the peer is silent, the end when it stays so', () => {
    let now = 0
    const probe = new ServerProbe(http2Options({ keepaliveIntervalMs: 5000, keepaliveTimeoutMs: 1000 }, { now: () => now }) as never)
    now = 5000
    probe.codec.tick(now)
    expect(probe.frames()).toEqual(['PING'])
    probe.feed(ping('outalive', Flag.ACK))
    now = 7000
    probe.codec.tick(now)
    expect(probe.frames()).toEqual([])
    now = 10_100
    probe.codec.tick(now)
    expect(probe.frames()).toEqual(['PING'])
    now = 11_200
    probe.codec.tick(now)
    expect(probe.frames()).toEqual(['GOAWAY 0 NO_ERROR'])
    expect(probe.options.stats.keepalive_timeout).toBe(1)
    expect(probe.codec.wantsTicks).toBe(false)
  })
})

it('SETTINGS_ACK twice does no harm', () => {
  const probe = new ServerProbe()
  probe.feed(SETTINGS_ACK, SETTINGS_ACK, headers(1, GET, END))
  expect(probe.events()).toEqual(['request 1 GET / END'])
})
