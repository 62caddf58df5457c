// Fuzz target for the HTTP/2 codecs, called in a loop by the fuzz runner. A random, mostly sensible conversation with damaged bytes is
// fed in random pieces to a server or a client codec whose application pauses, resets and answers at random. Whatever comes: no
// exception, every stream ends, what is held stays within the windows, and our own output is always well-formed.

import assert from 'node:assert/strict'
import type { ClientStream, ServerStream } from '../../src/l7/codec/codec.js'
import { Http2ClientCodec } from '../../src/l7/codec/http2/client-codec.js'
import { Flag, FrameType, PREFACE } from '../../src/l7/codec/http2/frames.js'
import { Http2ServerCodec } from '../../src/l7/codec/http2/server-codec.js'
import {
  block,
  data,
  END,
  frame,
  GET,
  goaway,
  headers,
  http2StreamId,
  POST,
  parseFrames,
  ping,
  request,
  response,
  rstStream,
  SETTINGS_ACK,
  settings,
  uint32,
  windowUpdate,
} from '../support/http2-frames.js'
import { http2Options, MemoryTransport } from '../support/http2-pair.js'

type Below = (n: number) => number

/** One random case. @param random uniform in [0, 1), the only source of chance */
export function fuzzOnce(random: () => number): void {
  const below: Below = n => Math.floor(random() * n)
  if (random() < 0.6) fuzzServer(below)
  else fuzzClient(below)
}

function randomBytes(below: Below, most: number): Buffer {
  const bytes = Buffer.alloc(below(most))
  for (let i = 0; i < bytes.length; i++) bytes[i] = below(256)
  return bytes
}

/** Frames that either side may send, legal or not. */
function anyFrame(below: Below, id: number): Buffer {
  switch (below(12)) {
    case 0:
      return settings([1 + below(9), [0, 1, 100, 65535, 1 << 20, 0x7fffffff, 0xffffffff][below(7)]!])
    case 1:
      return SETTINGS_ACK
    case 2:
      return ping('12345678', below(2))
    case 3:
      return windowUpdate(below(2) === 0 ? 0 : id, [0, 1, 1000, 100_000, 0x7fffffff][below(5)]!)
    case 4:
      return rstStream(id, below(14))
    case 5:
      return frame(FrameType.PRIORITY, 0, id, Buffer.concat([uint32(below(20)), Buffer.alloc(below(2))]))
    case 6:
      return below(20) === 0 ? goaway(below(30), below(14)) : data(id, 'x')
    case 7:
      return frame(below(256), below(256), below(40), randomBytes(below, 40))
    case 8:
      return headers(id, [['x-trailer', 'v']], below(2) === 0 ? END : Flag.END_HEADERS)
    case 9:
      return data(id, Buffer.concat([Buffer.from([below(12)]), randomBytes(below, 20)]), Flag.PADDED | below(2))
    default:
      return data(id, randomBytes(below, 2000), below(4) === 0 ? Flag.END_STREAM : 0)
  }
}

function damage(below: Below, bytes: Buffer): Buffer {
  if (below(3) !== 0 || bytes.length === 0) return bytes
  const copy = Buffer.from(bytes)
  for (let i = below(4); i >= 0; i--) copy[below(copy.length)] = below(256)
  return copy
}

interface Fuzzed {
  feed(chunk: Buffer): void
  flush(): void
  onTransportClose(reason: { code: 'connection-closed'; details: string }): void
  readonly activeStreams: number
}

/** Feed in random pieces, look at the output now and then, and close. */
function converse(below: Below, codec: Fuzzed, transport: MemoryTransport, bytes: Buffer, act: () => void, skip: number): void {
  transport.stalled = below(4) === 0
  let written = Buffer.alloc(0)
  for (let at = 0; at < bytes.length; ) {
    const count = 1 + below(below(2) === 0 ? 30 : 3000)
    codec.feed(bytes.subarray(at, at + count))
    at += count
    if (below(3) === 0) act()
    if (below(3) === 0) {
      codec.flush()
      written = Buffer.concat([written, transport.take()])
    }
  }
  codec.onTransportClose({ code: 'connection-closed', details: 'end of the case' })
  codec.flush()
  written = Buffer.concat([written, transport.take()])
  parseFrames(written.subarray(skip))
  assert.equal(codec.activeStreams, 0)
}

function fuzzServer(below: Below): void {
  const transport = new MemoryTransport()
  const streams: ServerStream[] = []
  const open = new Set<number>()
  const codec = new Http2ServerCodec(
    transport,
    {
      onRequest(stream, head, end) {
        assert(head.path === '*' || head.path === '' || head.path.startsWith('/'))
        streams.push(stream)
        open.add(http2StreamId(stream))
        let ended = end
        const over = (): void => {
          assert(!ended, 'an event after the end')
          ended = true
        }
        stream.events = {
          onData(chunk, last) {
            assert(!ended && open.has(http2StreamId(stream)))
            if (last) over()
            if (below(8) === 0) stream.pause()
            if (below(20) === 0) stream.sendData(chunk, false)
          },
          onTrailers: over,
          onReset() {
            assert(open.delete(http2StreamId(stream)), 'a second reset')
          },
          onDrain() {},
        }
        if (below(3) === 0) answer(below, stream)
      },
      onBadRequest(stream, error) {
        stream.sendHead(response(error.status), true)
      },
      onRefusedHead() {},
      onIdle() {},
      onHeadPending() {},
      onConnectionError() {},
    },
    {
      ...http2Options({ maxConcurrentStreams: 1 + below(20), allowConnect: below(2) === 0 }),
      limits: { maxHeadBytes: 2000, maxHeaders: 20, underscores: 'ALLOW' },
    },
  )
  const parts = [PREFACE, settings([4, 1000 + below(100_000)])]
  let nextId = 1
  for (let i = below(40); i > 0; i--) {
    if (below(3) === 0) {
      parts.push(damage(below, randomRequest(below, nextId)))
      nextId += 2
    } else parts.push(damage(below, anyFrame(below, 1 + 2 * below(nextId))))
  }
  converse(below, codec, transport, Buffer.concat(parts), () => actOn(below, streams), 0)
}

function randomRequest(below: Below, id: number): Buffer {
  const extra = Array.from({ length: below(3) }, (_, i) => [`x-${below(5)}`, i === 0 ? 'v'.repeat(below(3000)) : 'v'] as const)
  const bytes = block([...(below(2) === 0 ? GET : POST), ...extra])
  const flags = below(2) === 0 ? Flag.END_STREAM : 0
  if (below(4) !== 0) return headers(id, bytes, flags | Flag.END_HEADERS)
  const cut = below(bytes.length)
  return Buffer.concat([
    headers(id, bytes.subarray(0, cut), flags),
    frame(FrameType.CONTINUATION, Flag.END_HEADERS, id, bytes.subarray(cut)),
  ])
}

function answer(below: Below, stream: ServerStream): void {
  if (below(5) === 0) stream.sendInformational(response(103))
  stream.sendHead(response(200, [['x', 'y'.repeat(below(200))]]), below(3) === 0)
  if (below(2) === 0) stream.sendData(Buffer.alloc(below(100_000)), below(2) === 0)
}

const CODES = ['cancel', 'internal-error', 'no-error', 'refused'] as const

function actOn(below: Below, streams: (ServerStream | ClientStream)[]): void {
  const stream = streams[below(streams.length)]
  if (stream === undefined) return
  switch (below(6)) {
    case 0:
      stream.pause()
      return
    case 1:
      stream.resume()
      return
    case 2:
      stream.reset(CODES[below(4)]!)
      return
    case 3:
      if ('closeAfter' in stream && below(10) === 0) stream.closeAfter()
      return
    case 4:
      if ('closeAfter' in stream) answer(below, stream)
      return
    default:
      if (http2StreamId(stream) !== 0 && !('closeAfter' in stream)) stream.sendData(Buffer.alloc(below(50_000)), below(4) === 0)
  }
}

function fuzzClient(below: Below): void {
  const transport = new MemoryTransport()
  const codec = new Http2ClientCodec(
    transport,
    { onStreamFree() {}, onStreamLimit() {}, onDraining() {}, onConnectionError() {} },
    { ...http2Options(), limits: { maxHeadBytes: 2000, maxHeaders: 20, underscores: 'ALLOW' } },
  )
  const streams: ClientStream[] = []
  const live = new Set<ClientStream>()
  const start = (): void => {
    let ended = false
    const stream = codec.newStream({
      onInformational() {
        assert(!ended)
      },
      onHead(_head, end) {
        assert(!ended)
        ended = end
      },
      onData(_chunk, end) {
        assert(!ended, 'an event after the end')
        ended = end
        if (below(8) === 0) stream!.pause()
      },
      onTrailers() {
        assert(!ended, 'an event after the end')
        ended = true
      },
      onReset() {
        assert(live.delete(stream!), 'a second reset')
      },
      onDrain() {},
    })
    if (stream === null) return
    live.add(stream)
    streams.push(stream)
    stream.sendHead(request(below(2) === 0 ? 'POST' : 'HEAD'), below(2) === 0)
  }
  const parts = [settings([4, 1000 + below(100_000)])]
  for (let i = below(40); i > 0; i--) {
    const id = 1 + 2 * below(12)
    const status = ['200', '204', '103', '404'][below(4)]!
    if (below(3) === 0)
      parts.push(
        damage(
          below,
          headers(
            id,
            [
              [':status', status],
              ['x', 'y'],
            ],
            below(3) === 0 ? END : Flag.END_HEADERS,
          ),
        ),
      )
    else parts.push(damage(below, anyFrame(below, id)))
  }
  for (let i = 0; i < 8; i++) start()
  converse(
    below,
    codec,
    transport,
    Buffer.concat(parts),
    () => {
      if (below(3) === 0) start()
      else actOn(below, streams)
    },
    PREFACE.length,
  )
}
