// Random and nearly right bytes against both HTTP/1.1 codecs, cut anywhere, with pauses, resets, answers and ends thrown in. Run by
// `npm run fuzz` and, for a moment, by the unit tests. What must hold is checked here: no throw, no event after an end, balanced
// pauses, no write after the end, at most one message in progress, and bounded memory.

import assert from 'node:assert/strict'
import type { BodyEvents, ClientEvents, ClientStream, ServerStream, StreamReset } from '../../src/l7/codec/codec.js'
import { HeaderList } from '../../src/l7/codec/header-list.js'
import { Http1ClientCodec } from '../../src/l7/codec/http1/client-codec.js'
import { Http1ServerCodec } from '../../src/l7/codec/http1/server-codec.js'
import { ATTACKS } from '../support/http1-corpus.js'
import { MemoryTransport, request, response } from '../support/http1-pair.js'

type Random = () => number

const LIMITS = { maxHeadBytes: 2048, maxHeaders: 20, underscores: 'ALLOW' as const }
const FRAGMENTS = [
  'GET /x HTTP/1.1\r\n',
  'POST http://b/x HTTP/1.1\r\n',
  'CONNECT b:1 HTTP/1.1\r\n',
  'HEAD * HTTP/1.0\r\n',
  'HTTP/1.1 200 OK\r\n',
  'HTTP/1.1 103 Early\r\n',
  'HTTP/1.1 101 Switching Protocols\r\n',
  'HTTP/1.0 304\r\n',
  'Host: a\r\n',
  'Content-Length: 5\r\n',
  'Content-Length : 0\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Connection: upgrade, close, te\r\n',
  'Connection: keep-alive\r\n',
  'Upgrade: websocket\r\n',
  'Expect: 100-continue\r\n',
  'TE: trailers\r\n',
  'X: y\r\n z\r\n',
  '\r\n',
  '\r',
  '\n',
  ' ',
  '\t',
  ':',
  ';',
  '\0',
  '\x7f',
  '\xff',
  '5\r\nhello\r\n',
  '5;a="b"\r\nhello\r\n',
  '0\r\n\r\n',
  '0\r\nX: y\r\n\r\n',
  'ffffffffffff\r\n',
  'hello',
]

const pick = <T>(random: Random, list: readonly T[]): T => list[Math.floor(random() * list.length)]!
const chance = (random: Random, share: number): boolean => random() < share

function someBytes(random: Random): string {
  let out = ''
  const kind = random()
  if (kind < 0.3) out = pick(random, ATTACKS).bytes.slice(0, 3000)
  else if (kind < 0.9) for (let i = Math.floor(random() * 12); i >= 0; i--) out += pick(random, FRAGMENTS)
  else for (let i = Math.floor(random() * 200); i >= 0; i--) out += String.fromCharCode(Math.floor(random() * 256))
  // A few bytes changed, dropped or doubled.
  for (let i = Math.floor(random() * 3); i > 0 && out.length > 0; i--) {
    const at = Math.floor(random() * out.length)
    const byte = chance(random, 0.5) ? String.fromCharCode(Math.floor(random() * 256)) : ''
    out = out.slice(0, at) + byte + out.slice(chance(random, 0.5) ? at : at + 1)
  }
  return out
}

/** Checks the order of events of one stream and does something unexpected now and then. */
class Watched implements BodyEvents {
  ended = false
  gone = false
  paused = false
  private readonly random: Random
  stream: ServerStream | ClientStream | null = null
  onEvent: () => void = () => {}

  constructor(random: Random) {
    this.random = random
  }
  private check(): void {
    assert.equal(this.gone, false, 'an event after the last one')
    assert.equal(this.ended, false, 'an event after the end of the message')
  }
  onData(_chunk: Buffer, end: boolean): void {
    this.check()
    assert.equal(this.paused, false, 'a body event while paused')
    this.ended = end
    this.act()
  }
  onTrailers(_trailers: HeaderList): void {
    this.check()
    this.ended = true
    this.act()
  }
  onReset(_reset: StreamReset): void {
    assert.equal(this.gone, false, 'an event after the last one')
    this.gone = true
  }
  onDrain(): void {
    assert.equal(this.gone, false, 'an event after the last one')
  }
  act(): void {
    const { stream, random } = this
    if (stream === null) return
    const what = random()
    if (what < 0.1) this.pause()
    else if (what < 0.13) this.reset()
    else this.onEvent()
  }
  pause(): void {
    this.stream?.pause()
    this.paused = !this.ended
  }
  resume(): void {
    this.paused = false
    this.stream?.resume()
  }
  reset(): void {
    this.gone = true
    this.stream?.reset('cancel')
  }
}

const HEADS = [200, 204, 304, 404, 101] as const
const EMPTY = Buffer.alloc(0)

function someBody(random: Random, stream: ServerStream | ClientStream): void {
  const what = random()
  if (what < 0.3) stream.sendData(Buffer.from('hello'), chance(random, 0.7))
  else if (what < 0.5) stream.sendData(EMPTY, chance(random, 0.7))
  else if (what < 0.6) stream.sendTrailers(HeaderList.of(['X-Sum', '1']))
  else if (what < 0.7) stream.sendData(Buffer.alloc(10_000), false)
}

function answer(random: Random, stream: ServerStream): void {
  const status = pick(random, HEADS)
  const head = response(status, chance(random, 0.3) ? [['Content-Length', '5']] : [], { upgraded: status === 101 })
  if (chance(random, 0.2)) stream.sendInformational(response(103))
  stream.sendHead(head, chance(random, 0.3))
  someBody(random, stream)
}

/** After each step: nothing that a transport or an owner could not bear. */
function settled(transport: MemoryTransport, codec: Driven): void {
  assert.ok(transport.pauses === 0 || transport.pauses === 1, 'pauses are not balanced')
  // A tunnel may be paused with its own direction ended.
  if (!transport.open && codec.activeStreams === 0) assert.equal(transport.pauses, 0, 'a closed connection stays paused')
  transport.take()
}

function fuzzServer(random: Random): void {
  const transport = new MemoryTransport()
  const open: Watched[] = []
  let idles = 0
  const codec = new Http1ServerCodec(
    transport,
    {
      onRequest(stream, head, end) {
        assert.ok(head.headers.length <= LIMITS.maxHeaders)
        assert.ok(codec.activeStreams === 1)
        const watched = new Watched(random)
        watched.stream = stream
        watched.ended = end
        watched.onEvent = () => {
          if (chance(random, 0.2)) answer(random, stream)
        }
        stream.events = watched
        open.push(watched)
        if (chance(random, 0.4)) answer(random, stream)
      },
      onBadRequest(stream, error) {
        assert.ok(error.status >= 400 && error.status < 600)
        stream.sendHead(response(error.status), true)
      },
      onRefusedHead() {},
      onIdle() {
        idles++
        assert.equal(codec.activeStreams, 0)
      },
      onHeadPending() {},
      onConnectionError() {},
    },
    {
      limits: LIMITS,
      allowAbsoluteUrl: chance(random, 0.8),
      allowCustomMethods: true,
      headerCase: pick(random, ['preserve', 'lower', 'proper']),
      enableTrailers: chance(random, 0.8),
    },
  )
  run(random, codec, transport, () => {
    const last = open.at(-1)
    if (last === undefined) return
    if (last.paused && chance(random, 0.7)) last.resume()
    else if (chance(random, 0.4)) answer(random, last.stream as ServerStream)
    else if (chance(random, 0.5)) someBody(random, last.stream!)
  })
  assert.ok(idles <= open.length + 1)
}

function fuzzClient(random: Random): void {
  const transport = new MemoryTransport()
  let last: (Watched & Partial<ClientEvents>) | null = null
  const codec = new Http1ClientCodec(
    transport,
    { onStreamFree() {}, onStreamLimit() {}, onDraining() {}, onConnectionError() {} },
    { limits: LIMITS, headerCase: 'preserve', enableTrailers: chance(random, 0.8) },
  )
  const openOne = (): void => {
    const watched = new Watched(random)
    let headSeen = false
    const events: ClientEvents = {
      onInformational() {
        assert.equal(headSeen, false)
        watched.act()
      },
      onHead(head, end) {
        assert.equal(headSeen, false, 'a second head')
        assert.ok(head.status === 101 || head.status >= 200)
        headSeen = true
        watched.ended = end
        watched.act()
      },
      onData(chunk, end) {
        assert.ok(headSeen, 'data before the head')
        watched.onData(chunk, end)
      },
      onTrailers: trailers => watched.onTrailers(trailers),
      onReset: reset => watched.onReset(reset),
      onDrain: () => watched.onDrain(),
    }
    const stream = codec.newStream(events)
    if (stream === null) return
    watched.stream = stream
    last = watched
    const upgrade = chance(random, 0.15) ? 'websocket' : ''
    const method = pick(random, ['GET', 'HEAD', 'POST', 'CONNECT'])
    stream.sendHead(
      request({
        method,
        upgrade,
        authority: 'b:1',
        headers: chance(random, 0.3) ? HeaderList.of(['Content-Length', '5']) : new HeaderList(),
      }),
      chance(random, 0.7),
    )
  }
  openOne()
  run(random, codec, transport, () => {
    if (codec.activeStreams === 0) openOne()
    else if (last?.paused) last.resume()
    else if (last?.stream) someBody(random, last.stream)
  })
}

interface Driven {
  readonly activeStreams: number
  feed(chunk: Buffer): void
  flush(): void
  drain(): void
  onTransportEnd(): void
  onTransportClose(reason: StreamReset): void
  onTransportDrain(): void
}

function run(random: Random, codec: Driven, transport: MemoryTransport, act: () => void): void {
  const steps = 1 + Math.floor(random() * 12)
  for (let step = 0; step < steps; step++) {
    const bytes = Buffer.from(someBytes(random), 'latin1')
    const size = chance(random, 0.3) ? 1 : 1 + Math.floor(random() * 400)
    for (let at = 0; at < bytes.length && transport.pauses === 0 && !transport.destroyed; at += size) {
      codec.feed(bytes.subarray(at, at + size))
      settled(transport, codec)
    }
    transport.full = chance(random, 0.1)
    act()
    settled(transport, codec)
    const what = random()
    if (what < 0.1) codec.onTransportDrain()
    else if (what < 0.2) codec.flush()
    else if (what < 0.23) codec.drain()
    else if (what < 0.26) codec.onTransportEnd()
    settled(transport, codec)
  }
  codec.onTransportClose({ code: 'local', details: 'the test ends' })
  settled(transport, codec)
  codec.feed(Buffer.from('late'))
  codec.flush()
}

/** One connection of each kind. Throws when something that must hold does not. */
export function fuzzOnce(random: () => number): void {
  fuzzServer(random)
  fuzzClient(random)
}
