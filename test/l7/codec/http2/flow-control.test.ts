import { describe, expect, it } from 'vitest'
import { HeaderList } from '../../../../src/l7/codec/header-list.js'
import { Flag } from '../../../../src/l7/codec/http2/frames.js'
import { data, END, GET, headers, POST, response, rstStream, ServerProbe, settings, windowUpdate } from '../../../support/http2-frames.js'
import { http2Options } from '../../../support/http2-pair.js'

const SMALL = http2Options({ initialStreamWindowSize: 65535, initialConnectionWindowSize: 65535 })
const KB16 = Buffer.alloc(16384, 'x')

function sum(frames: string[], prefix: string): number {
  return frames.filter(line => line.startsWith(prefix)).reduce((total, line) => total + Number(line.split(' ')[2]), 0)
}

describe('receiving', () => {
  it('gives both windows back as data is consumed', () => {
    const probe = new ServerProbe(SMALL)
    probe.feed(headers(1, POST))
    probe.feed(data(1, KB16), data(1, KB16))
    const frames = probe.frames()
    expect(frames).toEqual(['WINDOW_UPDATE 0 32768', 'WINDOW_UPDATE 1 32768'])
  })

  it('counts padding, and gives it back', () => {
    const probe = new ServerProbe(SMALL)
    probe.feed(headers(1, POST))
    const padded = Buffer.concat([Buffer.from([255]), Buffer.from('x'), Buffer.alloc(255)])
    for (let i = 0; i < 400; i++) probe.feed(data(1, padded, Flag.PADDED))
    const frames = probe.frames()
    const given = sum(frames, 'WINDOW_UPDATE 1')
    expect(given).toBeGreaterThan(400 * 257 - 32768)
    expect(given).toBeLessThanOrEqual(400 * 257)
    expect(probe.codec.stopped).toBe(false)
  })

  it('withholds the window of a paused stream, and of the connection for what it holds', () => {
    const probe = new ServerProbe(SMALL)
    probe.onStream = stream => stream.pause()
    probe.feed(headers(1, POST), data(1, KB16), data(1, KB16), data(1, KB16))
    expect(probe.frames()).toEqual([])
    expect(probe.events()).toEqual(['request 1 POST /'])
    probe.streams.get(1)!.resume()
    expect(probe.events().map(line => line.slice(0, 8))).toEqual(expect.arrayContaining(['data 1 x']))
    expect(probe.frames()).toEqual(['WINDOW_UPDATE 0 32768', 'WINDOW_UPDATE 1 32768'])
  })

  it('delivers held data, end and trailers in order on resume, and stops when paused again', () => {
    const probe = new ServerProbe()
    probe.onStream = stream => stream.pause()
    probe.feed(headers(1, POST), data(1, 'a'), headers(1, [['t', '1']], END), headers(3, POST), data(3, 'b', Flag.END_STREAM))
    probe.events()
    probe.streams.get(1)!.resume()
    probe.streams.get(3)!.resume()
    expect(probe.events()).toEqual(['data 1 a', 'trailers 1 t=1', 'data 3 b END'])
    probe.feed(headers(5, POST), data(5, 'c'))
    const stream = probe.streams.get(5)!
    const seen: string[] = []
    stream.events = {
      ...stream.events,
      onData: chunk => {
        seen.push(chunk.toString())
        stream.pause()
      },
      onTrailers: () => seen.push('trailers'),
    }
    probe.feed(headers(5, [['t', '1']], END))
    stream.resume()
    expect(seen).toEqual(['c'])
    stream.resume()
    expect(seen).toEqual(['c', 'trailers'])
  })

  it('refuses data beyond the stream window and beyond the connection window', () => {
    const stream = new ServerProbe(http2Options({ initialStreamWindowSize: 65535 }))
    stream.onStream = one => one.pause()
    stream.feed(headers(1, POST), data(1, KB16), data(1, KB16), data(1, KB16), data(1, KB16))
    expect(stream.frames()).toEqual(['RST_STREAM 1 FLOW_CONTROL_ERROR'])
    const connection = new ServerProbe(SMALL)
    connection.onStream = one => one.pause()
    connection.feed(headers(1, POST), headers(3, POST), data(1, KB16), data(1, KB16), data(3, KB16), data(3, KB16))
    expect(connection.frames()).toEqual(['GOAWAY 3 FLOW_CONTROL_ERROR'])
  })

  it('gives the connection window back for streams that are reset with data held or on its way', () => {
    const probe = new ServerProbe(http2Options({ initialStreamWindowSize: 65536, initialConnectionWindowSize: 65535 }))
    probe.onStream = stream => stream.pause()
    probe.feed(headers(1, POST), data(1, KB16), data(1, KB16))
    probe.streams.get(1)!.reset('cancel')
    expect(probe.frames().sort()).toEqual(['RST_STREAM 1 CANCEL', 'WINDOW_UPDATE 0 32768'])
    probe.feed(data(1, KB16), data(1, KB16))
    expect(probe.frames()).toEqual(['WINDOW_UPDATE 0 32768'])
    probe.feed(headers(3, POST), data(3, KB16), data(3, KB16), rstStream(3))
    expect(probe.frames()).toEqual(['WINDOW_UPDATE 0 32768'])
  })

  it('holds one-byte frames for little more than their bytes (CVE-2020-8659)', () => {
    const probe = new ServerProbe(http2Options({ initialStreamWindowSize: 1 << 20 }))
    probe.onStream = stream => stream.pause()
    probe.feed(headers(1, POST))
    const many = Buffer.concat(Array.from({ length: 10_000 }, () => data(1, 'x')))
    const before = process.memoryUsage().arrayBuffers
    for (let i = 0; i < 50; i++) probe.feed(many)
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(16 * 1024 * 1024)
    let received = 0
    const stream = probe.streams.get(1)!
    stream.events = { ...stream.events, onData: chunk => void (received += chunk.length) }
    stream.resume()
    expect(received).toBe(500_000)
  })
})

describe('sending', () => {
  const body = Buffer.alloc(200_000, 'b')

  function serve(probe: ServerProbe, results: boolean[] = []): void {
    probe.onStream = stream => {
      stream.sendHead(response(200), false)
      results.push(stream.sendData(body, true))
    }
  }

  it('keeps to the stream window, and goes on with WINDOW_UPDATE', () => {
    const probe = new ServerProbe()
    const results: boolean[] = []
    serve(probe, results)
    probe.feed(windowUpdate(0, 1_000_000), headers(1, GET, END))
    expect(sum(probe.frames(), 'DATA')).toBe(65535)
    expect(results).toEqual([false])
    expect(probe.streams.get(1)!.bufferedBytes).toBe(200_000 - 65535)
    probe.feed(windowUpdate(1, 100))
    expect(probe.frames()).toEqual(['DATA 1 100'])
    probe.feed(windowUpdate(1, 1_000_000))
    const rest = probe.frames()
    expect(sum(rest, 'DATA')).toBe(200_000 - 65635)
    expect(rest.pop()).toMatch(/END$/)
    expect(probe.codec.activeStreams).toBe(0)
  })

  it('keeps to the connection window and shares it in turns', () => {
    const probe = new ServerProbe()
    serve(probe)
    probe.feed(settings([4, 1_000_000]), headers(1, GET, END), headers(3, GET, END), headers(5, GET, END))
    expect(sum(probe.frames(), 'DATA')).toBe(65535)
    probe.feed(windowUpdate(0, 6 * 16384))
    expect(probe.frames()).toEqual([1, 3, 5, 1, 3, 5].map(id => `DATA ${id} 16384`))
    probe.feed(windowUpdate(0, 10_000_000))
    const frames = probe.frames()
    expect(frames.filter(line => line.endsWith('END'))).toHaveLength(3)
    expect(probe.codec.activeStreams).toBe(0)
  })

  it('takes a smaller INITIAL_WINDOW_SIZE into account, also below zero', () => {
    const probe = new ServerProbe()
    serve(probe)
    probe.feed(windowUpdate(0, 1_000_000), headers(1, GET, END))
    probe.frames()
    probe.feed(settings([4, 0]), windowUpdate(1, 65535))
    expect(sum(probe.frames(), 'DATA')).toBe(0)
    probe.feed(windowUpdate(1, 10))
    expect(probe.frames()).toEqual(['DATA 1 10'])
    probe.feed(settings([4, 100]))
    expect(probe.frames()).toEqual(['SETTINGS ACK', 'DATA 1 100'])
  })

  it('queues trailers behind data', () => {
    const probe = new ServerProbe()
    probe.onStream = stream => {
      stream.sendHead(response(200), false)
      stream.sendData(Buffer.from('hello'), false)
      stream.sendTrailers(HeaderList.of(['grpc-status', '0']))
    }
    probe.feed(settings([4, 3]), headers(1, GET, END))
    expect(probe.frames()).toEqual(['SETTINGS ACK', 'HEADERS 1 :status=200', 'DATA 1 3'])
    probe.feed(windowUpdate(1, 2))
    expect(probe.frames()).toEqual(['DATA 1 2', 'HEADERS 1 grpc-status=0 END'])
  })

  it('says "enough" above the stream watermark and calls onDrain once', () => {
    const probe = new ServerProbe()
    probe.feed(settings([4, 0]), headers(1, GET, END))
    const stream = probe.streams.get(1)!
    stream.sendHead(response(200), false)
    const piece = Buffer.alloc(16384)
    expect([stream.sendData(piece, false), stream.sendData(piece, false), stream.sendData(piece, false)]).toEqual([true, true, true])
    expect(stream.sendData(piece, false)).toBe(false)
    probe.events()
    probe.feed(windowUpdate(1, 16384))
    expect(probe.events()).toEqual([])
    probe.feed(windowUpdate(1, 40_000))
    expect(probe.events()).toEqual(['drain 1'])
    probe.feed(windowUpdate(1, 40_000))
    expect(probe.events()).toEqual([])
  })

  it('stops at a transport that is full and goes on when it drains, in turns', () => {
    const probe = new ServerProbe()
    probe.feed(settings([4, 1 << 20]), windowUpdate(0, 1 << 24), headers(1, GET, END), headers(3, GET, END))
    probe.frames()
    probe.events()
    probe.transport.stalled = true
    const streams = [probe.streams.get(1)!, probe.streams.get(3)!]
    const results = streams.map(stream => {
      stream.sendHead(response(200), false)
      return stream.sendData(body, false)
    })
    expect(results).toEqual([false, false])
    // Two buffers at most: one at the transport, one being filled.
    expect(sum(probe.frames(), 'DATA')).toBeLessThan(2 * 65536)
    probe.transport.stalled = false
    probe.codec.onTransportDrain()
    expect(probe.events()).toEqual(['drain 1', 'drain 3'])
    const rest = probe.frames()
    expect(sum(rest, 'DATA')).toBeGreaterThan(250_000)
    for (const stream of streams) expect(stream.bufferedBytes).toBe(0)
  })

  it('does not keep the chunk it was given', () => {
    const probe = new ServerProbe()
    probe.feed(settings([4, 2]), headers(1, GET, END))
    const stream = probe.streams.get(1)!
    stream.sendHead(response(200), false)
    const chunk = Buffer.from('abcdef')
    stream.sendData(chunk, true)
    chunk.fill('z')
    probe.feed(windowUpdate(1, 100))
    probe.codec.flush()
    const bytes = probe.transport.take().toString('latin1')
    expect(bytes).toContain('ab')
    expect(bytes).toContain('cdef')
    expect(bytes).not.toContain('z')
  })

  it('a reset while data waits drops it', () => {
    const probe = new ServerProbe()
    serve(probe)
    probe.feed(headers(1, GET, END), rstStream(1), windowUpdate(0, 1_000_000))
    expect(sum(probe.frames(), 'DATA')).toBe(65535)
    expect(probe.codec.activeStreams).toBe(0)
    expect(probe.streams.get(1)!.bufferedBytes).toBe(0)
  })
})
