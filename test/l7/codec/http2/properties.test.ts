import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Flag, FrameType, PREFACE } from '../../../../src/l7/codec/http2/frames.js'
import { fuzzOnce as fuzzHpack } from '../../../fuzz/hpack-fuzz.js'
import { fuzzOnce as fuzzHttp2 } from '../../../fuzz/http2-fuzz.js'
import {
  block,
  ClientProbe,
  data,
  END,
  frame,
  GET,
  headers,
  POST,
  ping,
  response,
  rstStream,
  SETTINGS_ACK,
  ServerProbe,
  settings,
  windowUpdate,
} from '../../../support/http2-frames.js'

/** Joins neighbouring data events of one stream: how a body is sliced is not part of the message. */
function joinData(events: string[]): string[] {
  const joined: string[] = []
  for (const line of events) {
    const match = /^data (\d+) ([\s\S]*?)( END)?$/.exec(line)
    const last = /^data (\d+) ([\s\S]*)$/.exec(joined[joined.length - 1] ?? '')
    if (match && last && last[1] === match[1] && !last[2]!.endsWith(' END')) {
      joined[joined.length - 1] = `data ${match[1]} ${last[2]}${match[2]}${match[3] ?? ''}`
    } else joined.push(line)
  }
  return joined
}

const blockBytes = block([...POST, ['x-long', 'v'.repeat(300)]])
const CONVERSATION = Buffer.concat([
  PREFACE,
  settings([4, 50], [3, 9]),
  SETTINGS_ACK,
  headers(1, GET, END),
  headers(3, blockBytes.subarray(0, 100), 0),
  frame(FrameType.CONTINUATION, 0, 3, blockBytes.subarray(100, 101)),
  frame(FrameType.CONTINUATION, Flag.END_HEADERS, 3, blockBytes.subarray(101)),
  data(3, 'first'),
  ping(),
  data(3, Buffer.concat([Buffer.from([9]), Buffer.from('padded'), Buffer.alloc(9)]), Flag.PADDED),
  windowUpdate(1, 20),
  data(3, Buffer.concat([Buffer.from([4]), Buffer.alloc(4)]), Flag.PADDED),
  frame(0x77, 0, 0, 'unknown'),
  headers(3, [['x-trailer', '1']], END),
  headers(5, POST),
  data(5, 'x'.repeat(500)),
  headers(7, [...GET, ['Bad', 'name']], END),
  data(5, 'end', Flag.END_STREAM),
  headers(9, POST),
  rstStream(9),
  headers(11, GET, END),
])

function run(chunks: Buffer[]): { events: string[]; frames: string[] } {
  const probe = new ServerProbe({ preface: false })
  probe.onStream = stream => {
    stream.sendHead(response(200, [['a', 'b']]), false)
    stream.sendData(Buffer.alloc(60, 'r'), true)
  }
  for (const chunk of chunks) probe.codec.feed(Buffer.from(chunk))
  return { events: joinData(probe.events()), frames: probe.frames() }
}

describe('splits', () => {
  const whole = run([CONVERSATION])

  it('the conversation is what it should be', () => {
    expect(whole.events).toEqual([
      'request 1 GET / END',
      'request 3 POST /',
      'data 3 firstpadded',
      'trailers 3 x-trailer=1',
      'request 5 POST /',
      `data 5 ${'x'.repeat(500)}end END`,
      'request 9 POST /',
      'reset 9 remote-reset CANCEL',
      'request 11 GET / END',
    ])
  })

  it('at any one byte give the same events and the same answers', () => {
    for (let at = 1; at < CONVERSATION.length; at++) {
      expect(run([CONVERSATION.subarray(0, at), CONVERSATION.subarray(at)])).toEqual(whole)
    }
  })

  it('at every byte, and anywhere', () => {
    expect(run(Array.from(CONVERSATION, byte => Buffer.from([byte])))).toEqual(whole)
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: CONVERSATION.length - 1 }), { maxLength: 40 }), cuts => {
        const edges = [0, ...[...new Set(cuts)].sort((a, b) => a - b), CONVERSATION.length]
        expect(run(edges.slice(1).map((end, i) => CONVERSATION.subarray(edges[i], end)))).toEqual(whole)
      }),
      { seed: 9113, numRuns: 200 },
    )
  })

  it('of a response give the same events', () => {
    const bytes = Buffer.concat([
      headers(1, [[':status', '103']]),
      headers(1, [
        [':status', '200'],
        ['content-length', '5'],
      ]),
      data(1, 'he'),
      data(1, 'llo'),
      headers(1, [['grpc-status', '0']], END),
    ])
    const respond = (chunks: Buffer[]): string[] => {
      const probe = new ClientProbe()
      probe.send()
      for (const chunk of chunks) probe.codec.feed(Buffer.from(chunk))
      return joinData(probe.events())
    }
    const expected = respond([bytes])
    expect(expected).toEqual(['informational 1 103', 'head 1 200 content-length=5', 'data 1 hello', 'trailers 1 grpc-status=0'])
    for (let at = 1; at < bytes.length; at++) expect(respond([bytes.subarray(0, at), bytes.subarray(at)])).toEqual(expected)
  })
})

/** A small generator with a seed (mulberry32). */
function seeded(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

describe('fuzz targets, a short run', () => {
  it.each([
    ['hpack', fuzzHpack, 400],
    ['http2', fuzzHttp2, 400],
  ] as const)('%s', (_name, fuzz, runs) => {
    for (let seed = 1; seed <= runs; seed++) {
      try {
        fuzz(seeded(seed))
      } catch (error) {
        throw new Error(`seed ${seed}`, { cause: error })
      }
    }
  })

  it('random bytes after the preface never crash', () => {
    const random = seeded(42)
    for (let i = 0; i < 500; i++) {
      const probe = new ServerProbe()
      const bytes = Buffer.from(Array.from({ length: 400 }, () => Math.floor(random() * 256)))
      // Short frames, so that more than the first is read.
      for (let at = 0; at + 9 < bytes.length; at += 40) bytes.set([0, 0, 31, bytes[at + 3]! % 10], at)
      probe.feed(bytes)
      probe.codec.onTransportClose({ code: 'connection-closed', details: '' })
      expect(probe.codec.activeStreams).toBe(0)
    }
  })
})
