import { describe, expect, it } from 'vitest'
import { Flag, FrameType } from '../../../../src/l7/codec/http2/frames.js'
import {
  block,
  ClientProbe,
  data,
  END,
  frame,
  GET,
  headers,
  integer,
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

function expectCalm(probe: ServerProbe, stat: string): void {
  expect(probe.frames().pop()).toMatch(/^GOAWAY \d+ ENHANCE_YOUR_CALM$/)
  expect(probe.events().pop()).toBe(`connection-error ${stat}`)
  expect(probe.errors.pop()!.stat).toBe(stat)
  expect(probe.options.stats[stat as 'outbound_flood']).toBe(1)
  expect(probe.transport.ended).toBe(true)
  expect(probe.codec.activeStreams).toBe(0)
}

/** Feeds until the codec ends the connection; how many steps that took. */
function until(probe: ServerProbe, most: number, step: (i: number) => Buffer[]): number {
  for (let i = 0; i < most; i++) {
    probe.feed(...step(i))
    if (probe.codec.stopped) return i + 1
  }
  return most
}

describe('resets', () => {
  it('CVE-2023-44487 rapid reset: HEADERS and RST_STREAM without end', () => {
    const probe = new ServerProbe()
    const steps = until(probe, 10_000, i => [headers(1 + 2 * i, GET, END), rstStream(1 + 2 * i)])
    expect(steps).toBe(101)
    expect(probe.log.filter(line => line.startsWith('reset'))).toHaveLength(101)
    expectCalm(probe, 'downstream_rq_too_many_premature_resets')
  })

  it('CVE-2023-44487 rapid reset, slow: more than half of the last 500 streams', () => {
    let now = 0
    const probe = new ServerProbe(http2Options({}, { now: () => now }) as never)
    const steps = until(probe, 2000, i => {
      now += 50
      return [headers(1 + 2 * i, GET, END), rstStream(1 + 2 * i)]
    })
    expect(steps).toBe(500)
    expectCalm(probe, 'downstream_rq_too_many_premature_resets')
  })

  it('does not take impatient clients for attackers: some resets among many answers, or late ones', () => {
    let now = 0
    const probe = new ServerProbe(http2Options({ maxConcurrentStreams: 1000 }, { now: () => now }) as never)
    probe.onStream = (stream, head) => {
      if (head.method === 'GET') stream.sendHead(response(200), true)
    }
    for (let i = 0; i < 2000; i++) {
      const id = 1 + 2 * i
      probe.feed(...(i % 3 === 0 ? [headers(id, POST), rstStream(id)] : [headers(id, GET, END)]))
    }
    expect(probe.codec.stopped).toBe(false)
    const first = 4001
    for (let i = 0; i < 600; i++) probe.feed(headers(first + 2 * i, POST))
    now = 15_000
    for (let i = 0; i < 600; i++) probe.feed(rstStream(first + 2 * i))
    expect(probe.codec.stopped).toBe(false)
  })

  it.each<[string, (id: number) => Buffer[]]>([
    ['WINDOW_UPDATE of 0', id => [headers(id, POST), windowUpdate(id, 0)]],
    ['WINDOW_UPDATE beyond 2^31-1', id => [headers(id, POST), windowUpdate(id, 0x7fffffff)]],
    ['DATA on a half-closed stream', id => [headers(id, GET, END), data(id, 'x')]],
    ['HEADERS on a half-closed stream', id => [headers(id, GET, END), headers(id, [['a', 'b']], END)]],
    ['PRIORITY on itself', id => [headers(id, POST), frame(FrameType.PRIORITY, 0, id, Buffer.concat([uint32(id), Buffer.alloc(1)]))]],
    ['PRIORITY of a wrong length', id => [headers(id, POST), frame(FrameType.PRIORITY, 0, id, uint32(0))]],
    ['a malformed head', id => [headers(id, [...GET, ['X', 'y']], END)]],
    ['content beyond content-length', id => [headers(id, [...POST, ['content-length', '1']]), data(id, 'xx')]],
  ])('CVE-2025-8671 MadeYouReset by %s', (_name, step) => {
    const probe = new ServerProbe()
    expect(until(probe, 1000, i => step(1 + 2 * i))).toBe(101)
    expectCalm(probe, 'downstream_rq_too_many_premature_resets')
  })
})

describe('header blocks', () => {
  it('CVE-2024-27919 CONTINUATION flood: frames', () => {
    const probe = new ServerProbe()
    probe.feed(headers(1, GET, 0))
    expect(until(probe, 1000, () => [frame(FrameType.CONTINUATION, 0, 1, block([['a', 'b']]))])).toBe(65)
    expectCalm(probe, 'header_overflow')
  })

  it('CVE-2024-30255 CONTINUATION flood: bytes', () => {
    const probe = new ServerProbe()
    probe.feed(headers(1, GET, 0))
    const steps = until(probe, 1000, () => [frame(FrameType.CONTINUATION, 0, 1, block([['x', 'v'.repeat(16000)]]))])
    expect(steps).toBe(16)
    expectCalm(probe, 'header_overflow')
  })

  it('CONTINUATION within the limits is one head', () => {
    const probe = new ServerProbe()
    const bytes = block([...GET, ['x', 'y'.repeat(100)]])
    const parts = [bytes.subarray(0, 10), bytes.subarray(10, 11), bytes.subarray(11, 90), bytes.subarray(90)]
    probe.feed(
      headers(1, parts[0]!, Flag.END_STREAM),
      frame(FrameType.CONTINUATION, 0, 1, parts[1]),
      frame(FrameType.CONTINUATION, 0, 1, parts[2]),
      frame(FrameType.CONTINUATION, Flag.END_HEADERS, 1, parts[3]),
    )
    expect(probe.events()).toEqual(['request 1 GET / END'])
    expect(probe.heads[0]!.headers.get('x')).toHaveLength(100)
  })

  it('CVE-2019-9516 fields of no length: the count is bounded', () => {
    const probe = new ServerProbe()
    const empty = (count: number) => Buffer.alloc(3 * count)
    probe.feed(headers(1, Buffer.concat([block(GET), empty(1500)]), END))
    expect(probe.events()).toEqual(['bad 1 431 http2.too_many_headers'])
    probe.feed(headers(3, Buffer.concat([block(GET), empty(2000)]), END))
    expectCalmAfterOverflow(probe)
  })

  it('CVE-2019-9516 HEADERS and CONTINUATION without content', () => {
    const probe = new ServerProbe()
    probe.feed(headers(1, Buffer.alloc(0), 0))
    expect(until(probe, 10, () => [frame(FrameType.CONTINUATION, 0, 1)])).toBe(1)
    expectCalm(probe, 'inbound_empty_frames_flood')
  })

  it('HPACK bomb: a head that expands a little too far is 431, much too far is the end', () => {
    const bomb = (times: number) =>
      Buffer.concat([block(GET), Buffer.from([0x40]), text('x-bomb'), text('v'.repeat(4000)), Buffer.alloc(times, 0xbe)])
    const probe = new ServerProbe()
    probe.feed(headers(1, bomb(16), END))
    expect(probe.events()).toEqual(['bad 1 431 http2.too_many_headers'])
    probe.feed(headers(3, bomb(5000), END))
    expectCalmAfterOverflow(probe)
  })

  function expectCalmAfterOverflow(probe: ServerProbe): void {
    expect(probe.frames().pop()).toBe('GOAWAY 1 ENHANCE_YOUR_CALM')
    expect(probe.codec.stopped).toBe(true)
  }

  it('table-size churn costs nothing and stays legal', () => {
    const probe = new ServerProbe()
    const churn = Buffer.concat(Array.from({ length: 500 }, (_, i) => integer(0x20, 0x1f, i % 2 === 0 ? 0 : 4096)))
    probe.feed(headers(1, Buffer.concat([churn, block(GET)]), END))
    expect(probe.events()).toEqual(['request 1 GET / END'])
  })

  it('CVE-2026-56846 heads of open streams: their sum is bounded', () => {
    const probe = new ServerProbe(http2Options({ maxConcurrentStreams: 10_000 }))
    const value = 'v'.repeat(50_000)
    const big = block([...GET, ['x', value]])
    let refused = 0
    for (let i = 0; i < 400; i++) {
      const id = 1 + 2 * i
      const parts: Buffer[] = []
      for (let at = 0; at < big.length; at += 16384) parts.push(big.subarray(at, at + 16384))
      probe.feed(
        ...parts.map((part, n) => {
          const flags = (n === 0 ? Flag.END_STREAM : 0) | (n === parts.length - 1 ? Flag.END_HEADERS : 0)
          return n === 0 ? headers(id, part, flags) : frame(FrameType.CONTINUATION, flags, id, part)
        }),
      )
      refused += probe.frames().filter(line => line.endsWith('REFUSED_STREAM')).length
    }
    expect(probe.codec.activeStreams).toBe(Math.floor((16 * 1024 * 1024) / 50_045))
    expect(refused).toBeGreaterThan(60)
  })
})

describe('frames that cost us an answer', () => {
  it('CVE-2019-9512 PING flood of a peer that does not read', () => {
    const probe = new ServerProbe()
    probe.transport.stalled = true
    const steps = until(probe, 100, () => [Buffer.concat(Array.from({ length: 100 }, () => ping()))])
    expect(steps).toBe(11)
    expect(probe.errors.pop()!.stat).toBe('outbound_control_flood')
  })

  it('CVE-2019-9515 SETTINGS flood of a peer that does not read', () => {
    const probe = new ServerProbe()
    probe.transport.stalled = true
    expect(until(probe, 100, () => [Buffer.concat(Array.from({ length: 100 }, () => settings()))])).toBe(11)
    expect(probe.errors.pop()!.stat).toBe('outbound_control_flood')
  })

  it('a peer that reads may send as many PINGs as it likes', () => {
    const probe = new ServerProbe()
    for (let i = 0; i < 5000; i++) {
      probe.feed(ping())
      expect(probe.frames()).toHaveLength(1)
    }
    expect(probe.codec.stopped).toBe(false)
  })

  it('CVE-2019-9514 reset flood: our RST_STREAM frames pile up', () => {
    const probe = new ServerProbe(http2Options({ maxConcurrentStreams: 1, maxOutboundControlFrames: 50 }))
    probe.transport.stalled = true
    probe.feed(headers(1, GET, END))
    const steps = until(probe, 1000, i => [headers(3 + 2 * i, GET, END)])
    expect(steps).toBeLessThanOrEqual(51)
    expect(probe.errors.pop()!.stat).toBe('outbound_control_flood')
  })

  it('CVE-2019-9517 slow reader: answers to a peer that does not read are bounded', () => {
    const probe = new ServerProbe(http2Options({ maxOutboundFrames: 500 }))
    probe.transport.stalled = true
    const body = Buffer.alloc(100_000, 'b')
    probe.onStream = stream => {
      stream.sendHead(response(200, [['x', 'v'.repeat(1000)]]), false)
      stream.sendData(body, true)
    }
    probe.feed(settings([4, 0x7fffffff]), windowUpdate(0, 0x7fff0000 - 1))
    const steps = until(probe, 1000, i => [headers(1 + 2 * i, GET, END)])
    expect(steps).toBeLessThan(520)
    expect(probe.errors.pop()!.stat).toBe('outbound_flood')
    for (const stream of probe.streams.values()) expect(stream.bufferedBytes).toBe(0)
  })
})

describe('frames without content', () => {
  it('CVE-2019-9518 empty DATA', () => {
    const probe = new ServerProbe()
    probe.feed(headers(1, POST))
    expect(until(probe, 10, () => [data(1, '')])).toBe(2)
    expectCalm(probe, 'inbound_empty_frames_flood')
  })

  it('CVE-2019-9518 DATA of nothing but padding', () => {
    const probe = new ServerProbe()
    probe.feed(headers(1, POST))
    expect(until(probe, 10, () => [data(1, '\x02\0\0', Flag.PADDED)])).toBe(2)
    expectCalm(probe, 'inbound_empty_frames_flood')
  })

  it('an empty DATA frame now and then is legal', () => {
    const probe = new ServerProbe()
    probe.feed(headers(1, POST), data(1, ''), data(1, 'x'), data(1, ''), data(1, '', Flag.END_STREAM))
    expect(probe.events()).toEqual(['request 1 POST /', 'data 1 x', 'data 1  END'])
  })

  it('CVE-2019-9513 PRIORITY flood', () => {
    const probe = new ServerProbe()
    const priority = frame(FrameType.PRIORITY, 0, 1, Buffer.concat([uint32(3), Buffer.alloc(1)]))
    expect(until(probe, 1000, () => [priority])).toBe(101)
    expectCalm(probe, 'inbound_priority_frames_flood')
  })

  it('CVE-2019-9511 WINDOW_UPDATE flood', () => {
    const probe = new ServerProbe()
    probe.feed(headers(1, GET, END))
    expect(until(probe, 1000, () => [windowUpdate(0, 1)])).toBe(8)
    expectCalm(probe, 'inbound_window_update_frames_flood')
  })

  it('CVE-2026-48619 endless ORIGIN and unknown frames', () => {
    const probe = new ServerProbe()
    expect(until(probe, 5000, i => [frame(i % 2 === 0 ? 0x0c : 0xbe, 0, 0, 'origin')])).toBe(1001)
    expectCalm(probe, 'inbound_idle_frames_flood')
    const client = new ClientProbe()
    client.send()
    for (let i = 0; i < 2000; i++) client.feed(frame(0x0c, 0, 0, 'origin'))
    expect(client.events()).toContain('connection-error inbound_idle_frames_flood')
  })

  it('endless acknowledgements that nobody asked for', () => {
    const probe = new ServerProbe()
    expect(until(probe, 5000, i => [i % 2 === 0 ? SETTINGS_ACK : ping('12345678', Flag.ACK)])).toBe(1001)
    expectCalm(probe, 'inbound_idle_frames_flood')
  })
})

describe('frames on streams that are over', () => {
  /** A probe with stream 1 reset by us, after the peer's END_STREAM or in the middle of its body. */
  const withReset = (options?: ReturnType<typeof http2Options>): ServerProbe => {
    const probe = new ServerProbe(options)
    probe.feed(headers(1, POST))
    probe.streams.get(1)!.reset('cancel')
    expect(probe.frames().pop()).toBe('RST_STREAM 1 CANCEL')
    return probe
  }

  it('endless trailers on a reset stream, with content on another stream between them', () => {
    const probe = withReset()
    probe.feed(headers(3, POST))
    expect(until(probe, 5000, () => [headers(1, [['a', 'b']], END), data(3, 'x')])).toBe(105)
    expectCalm(probe, 'inbound_idle_frames_flood')
  })

  it('endless responses of an upstream to a request that was cancelled', () => {
    const probe = new ClientProbe()
    const stream = probe.send()
    stream.reset('cancel')
    for (let i = 0; i < 1000 && !probe.codec.stopped; i++) probe.feed(headers(1, [[':status', '200']]))
    expect(probe.events()).toContain('connection-error inbound_idle_frames_flood')
  })

  it('DATA on a reset stream: as much as its window allows, and the connection’s window is given back', () => {
    const probe = withReset(http2Options({ initialStreamWindowSize: 65535, initialConnectionWindowSize: 65535 }))
    probe.feed(headers(3, POST))
    const piece = 'x'.repeat(16_000)
    for (let i = 0; i < 4; i++) probe.feed(data(1, piece))
    expect(probe.codec.stopped).toBe(false)
    expect(probe.frames().filter(line => line.startsWith('WINDOW_UPDATE 0'))).not.toHaveLength(0)
    // A peer that has heard of no reset stops here.
    probe.feed(data(1, piece))
    expect(probe.frames().pop()).toBe('GOAWAY 3 FLOW_CONTROL_ERROR')
    expect(probe.codec.stopped).toBe(true)
  })

  it('the race after our RST_STREAM costs nothing: every one of 3,000 uploads had more on its way', () => {
    let now = 0
    const probe = new ServerProbe(http2Options({}, { now: () => now }) as never)
    for (let i = 0; i < 3000; i++) {
      const id = 1 + 2 * i
      probe.feed(headers(id, POST), data(id, 'x'))
      now += 20
      probe.streams.get(id)!.reset('cancel')
      probe.feed(data(id, 'y'.repeat(1000)), data(id, 'z'), headers(id, [['a', 'b']], END))
      expect(probe.frames().filter(line => line.startsWith('GOAWAY'))).toEqual([])
    }
    expect(probe.codec.stopped).toBe(false)
  })
})

describe('memory', () => {
  it('a connection that ended after a WINDOW_UPDATE overflow holds nothing (CVE-2026-21714)', () => {
    const probe = new ServerProbe()
    probe.onStream = stream => stream.pause()
    for (let id = 1; id < 100; id += 2) probe.feed(headers(id, POST), data(id, 'held'))
    probe.feed(windowUpdate(0, 0x7fffffff))
    expect(probe.codec.stopped).toBe(true)
    expect(probe.codec.activeStreams).toBe(0)
    expect(probe.codec.wantsTicks).toBe(false)
    expect(probe.events().filter(line => line.startsWith('reset'))).toHaveLength(50)
  })
})
