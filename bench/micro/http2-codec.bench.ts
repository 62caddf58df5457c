// Requests per second through a client codec and a server codec joined in memory, 64 streams a turn, and HPACK by itself. Asserts the
// answers first. Run after a build with node, or through the bench runner.

import assert from 'node:assert/strict'
import type { ClientEvents, ClientHandler, RequestHead, ResponseHead, ServerHandler, Transport } from '../../src/l7/codec/codec.js'
import { HeaderList } from '../../src/l7/codec/header-list.js'
import { Http2ClientCodec } from '../../src/l7/codec/http2/client-codec.js'
import { HpackDecoder } from '../../src/l7/codec/http2/hpack-decoder.js'
import { HpackEncoder } from '../../src/l7/codec/http2/hpack-encoder.js'
import { Http2ServerCodec } from '../../src/l7/codec/http2/server-codec.js'
import { HTTP2_DEFAULTS } from '../../src/model/defaults.js'
import type { Http2Options } from '../../src/model/http-connection-manager.js'

const BATCH = 64
const SECONDS = Number(process.env['BENCH_SECONDS'] ?? 3)

const http2: Http2Options = {
  ...HTTP2_DEFAULTS,
  maxConcurrentStreams: 1000,
  initialStreamWindowSize: 1 << 20,
  initialConnectionWindowSize: 8 << 20,
}
const options = { http2, limits: { maxHeadBytes: 61440, maxHeaders: 100, underscores: 'ALLOW' as const } }

/** Hands on what was written when asked, without copying. */
class Pipe implements Transport {
  out: Buffer[] = []
  get writableLength(): number {
    let bytes = 0
    for (const chunk of this.out) bytes += chunk.length
    return bytes
  }
  write(data: Buffer | string): boolean {
    this.out.push(data as Buffer)
    return true
  }
  end(): void {}
  destroy(): void {}
  pauseRead(): void {}
  resumeRead(): void {}
  moveTo(codec: { feed(chunk: Buffer): void }): void {
    const chunks = this.out
    this.out = []
    for (const chunk of chunks) codec.feed(chunk)
  }
}

const BODY = Buffer.from('{"hello":"world","answer":42,"padding":"0123456789012345678901234"}')
let answered = 0
let bytes = 0

const RESPONSE_HEADERS = HeaderList.of(
  ['content-type', 'application/json'],
  ['content-length', String(BODY.length)],
  ['date', 'Thu, 01 Jan 2026 00:00:00 GMT'],
  ['server', 'envoy'],
  ['x-envoy-upstream-service-time', '1'],
)

const serverHandler: ServerHandler = {
  onRequest(stream) {
    stream.sendHead(
      { status: 200, reason: '', version: 'HTTP/2', headers: RESPONSE_HEADERS, contentLength: BODY.length, upgraded: false },
      false,
    )
    stream.sendData(BODY, true)
  },
  onBadRequest() {},
  onRefusedHead() {},
  onIdle() {},
  onHeadPending() {},
  onConnectionError(error) {
    throw new Error(error.message)
  },
}
const clientHandler: ClientHandler = {
  onStreamFree() {},
  onStreamLimit() {},
  onDraining() {},
  onConnectionError(error) {
    throw new Error(error.message)
  },
}
const events: ClientEvents = {
  onInformational() {},
  onHead(head: ResponseHead) {
    if (head.status === 200) answered++
  },
  onData(chunk) {
    bytes += chunk.length
  },
  onTrailers() {},
  onReset(reset) {
    throw new Error(reset.details)
  },
  onDrain() {},
}

const REQUEST_HEADERS = HeaderList.of(
  ['user-agent', 'bench/1'],
  ['accept', '*/*'],
  ['x-request-id', '6ba7b810-9dad-11d1-80b4-00c04fd430c8'],
  ['x-forwarded-proto', 'https'],
)
const paths = Array.from({ length: 16 }, (_, i) => `/api/items/${i}`)
function request(i: number, vary: boolean): RequestHead {
  return {
    method: 'GET',
    scheme: 'http',
    authority: 'service.example:8080',
    path: vary ? paths[i & 15]! : '/api/items',
    version: 'HTTP/2',
    headers: REQUEST_HEADERS,
    upgrade: '',
    contentLength: 0,
    hostName: 'host',
    expectContinue: false,
  }
}

const clientOut = new Pipe()
const serverOut = new Pipe()
const client = new Http2ClientCodec(clientOut, clientHandler, options)
const server = new Http2ServerCodec(serverOut, serverHandler, options)

function turn(vary: boolean): void {
  for (let i = 0; i < BATCH; i++) client.newStream(events)!.sendHead(request(i, vary), true)
  client.flush()
  clientOut.moveTo(server)
  server.flush()
  serverOut.moveTo(client)
}

function rate(name: string, unit: number, work: () => void): void {
  const warm = performance.now() + 500
  while (performance.now() < warm) work()
  let rounds = 0
  const start = performance.now()
  const until = start + SECONDS * 1000
  while (performance.now() < until) {
    work()
    rounds++
  }
  const perSecond = (rounds * unit * 1000) / (performance.now() - start)
  console.log(`${name.padEnd(44)} ${Math.round(perSecond).toLocaleString('en')}/s`)
}

// The server's SETTINGS first, then one turn whose answers are checked.
server.flush()
serverOut.moveTo(client)
turn(true)
assert.equal(answered, BATCH)
assert.equal(bytes, BATCH * BODY.length)
assert.equal(client.activeStreams, 0)

rate('request/response pairs, one path', BATCH, () => turn(false))
rate('request/response pairs, sixteen paths', BATCH, () => turn(true))

const encoder = new HpackEncoder(4096)
const decoder = new HpackDecoder(100, 61440)
const buffer = Buffer.alloc(4096)
let counter = 0
function encode(): number {
  let pos = encoder.begin(buffer, 0)
  pos = encoder.write(buffer, pos, ':status', '200')
  for (let i = 0; i < RESPONSE_HEADERS.length; i++) {
    pos = encoder.write(buffer, pos, RESPONSE_HEADERS.lower[i]!, RESPONSE_HEADERS.values[i]!)
  }
  // A value that differs each time keeps the decoder from remembering the block.
  return encoder.write(buffer, pos, 'x-request-id', String(counter++ % 100_000))
}
assert(decoder.decode(buffer, 0, encode()))
assert.equal(decoder.block.count, 7)
rate('hpack: encode a head of 7 fields', 100, () => {
  for (let i = 0; i < 100; i++) encode()
})
const encoder2 = new HpackEncoder(4096)
const decoder2 = new HpackDecoder(100, 61440)
rate('hpack: encode and decode it', 100, () => {
  for (let i = 0; i < 100; i++) {
    let pos = encoder2.begin(buffer, 0)
    pos = encoder2.write(buffer, pos, ':status', '200')
    for (let j = 0; j < RESPONSE_HEADERS.length; j++) {
      pos = encoder2.write(buffer, pos, RESPONSE_HEADERS.lower[j]!, RESPONSE_HEADERS.values[j]!)
    }
    pos = encoder2.write(buffer, pos, 'x-request-id', String(counter++ % 100_000))
    assert(decoder2.decode(buffer, 0, pos))
  }
})
