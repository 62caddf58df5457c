// Our codecs against node:http2 over real sockets: the other implementation decides whether what we write is HTTP/2.

import http2 from 'node:http2'
import net from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ClientEvents, ClientStream, RequestHead, ResponseHead, StreamReset } from '../../../../src/l7/codec/codec.js'
import { HeaderList } from '../../../../src/l7/codec/header-list.js'
import { Http2ClientCodec } from '../../../../src/l7/codec/http2/client-codec.js'
import {
  driveCodec,
  type EchoServer,
  echoHandler,
  selfSigned,
  startEchoServer,
  TestSocketTransport,
} from '../../../support/http2-echo-server.js'
import { request, response } from '../../../support/http2-frames.js'
import { http2Options } from '../../../support/http2-pair.js'

// Megabytes and bytes: several big bodies at once, and a head that we refuse, are beyond Node's defaults.
const MEMORY = { maxSessionMemory: 500, maxSendHeaderBlockLength: 200_000 }
const OPTIONS = { now: () => performance.now() }

interface Answer {
  status: number
  headers: http2.IncomingHttpHeaders
  body: Buffer
  trailers: http2.IncomingHttpHeaders | null
}

function nodeRequest(
  session: http2.ClientHttp2Session,
  headers: http2.OutgoingHttpHeaders,
  body?: Buffer,
  trailers?: http2.OutgoingHttpHeaders,
) {
  return new Promise<Answer>((resolve, reject) => {
    const stream = session.request(headers, {
      endStream: body === undefined && trailers === undefined,
      waitForTrailers: trailers !== undefined,
    })
    const chunks: Buffer[] = []
    let head: http2.IncomingHttpHeaders = {}
    let seenTrailers: http2.IncomingHttpHeaders | null = null
    stream.on('response', received => {
      head = received
    })
    stream.on('trailers', received => {
      seenTrailers = received
    })
    stream.on('wantTrailers', () => stream.sendTrailers(trailers!))
    stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    stream.on('end', () =>
      resolve({ status: head[':status'] as unknown as number, headers: head, body: Buffer.concat(chunks), trailers: seenTrailers }),
    )
    stream.on('error', reject)
    if (body !== undefined) stream.end(body)
    else if (trailers !== undefined) stream.end()
  })
}

const BIG = Buffer.alloc(3_000_000)
for (let i = 0; i < BIG.length; i++) BIG[i] = (i * 31 + (i >> 8)) & 255

describe('node:http2 client, our server codec', () => {
  let server: EchoServer
  let session: http2.ClientHttp2Session

  beforeAll(async () => {
    server = await startEchoServer()
    session = http2.connect(`http://127.0.0.1:${server.port}`, MEMORY)
    session.on('error', () => {})
  })

  afterAll(async () => {
    session.destroy()
    await server.close()
  })

  it('answers a simple request', async () => {
    const answer = await nodeRequest(session, { ':path': '/' })
    expect(answer.status).toBe(200)
    expect(answer.headers['content-type']).toBe('text/plain')
    expect(answer.body.toString()).toBe('hello from outrigger\n')
  })

  it('echoes a big body with flow control both ways, byte for byte', async () => {
    const answer = await nodeRequest(session, { ':path': '/echo', ':method': 'POST' }, BIG)
    expect(answer.body.equals(BIG)).toBe(true)
  })

  it('echoes trailers, with and without a body', async () => {
    const answer = await nodeRequest(session, { ':path': '/echo', ':method': 'POST' }, Buffer.from('x'), { 'x-sum': '1' })
    expect(answer.body.toString()).toBe('x')
    expect(answer.trailers!['x-sum']).toBe('1')
  })

  it('serves many streams at once', async () => {
    const answers = await Promise.all(
      Array.from({ length: 300 }, (_, i) =>
        nodeRequest(session, { ':path': '/echo', ':method': 'POST', 'x-n': `${i}` }, Buffer.from(`body ${i}`.repeat(i))),
      ),
    )
    answers.forEach((answer, i) => {
      expect(answer.body.toString()).toBe(`body ${i}`.repeat(i))
    })
    expect(server.codecs[0]!.activeStreams).toBe(0)
  })

  it('serves several big bodies at once', async () => {
    const answers = await Promise.all(Array.from({ length: 5 }, () => nodeRequest(session, { ':path': '/echo', ':method': 'POST' }, BIG)))
    for (const answer of answers) expect(answer.body.equals(BIG)).toBe(true)
  })

  it('takes heads that need CONTINUATION, and answers 431 to those beyond the limit', async () => {
    const answer = await nodeRequest(session, { ':path': '/', 'x-big': 'v'.repeat(40_000) })
    expect(answer.status).toBe(200)
    const tooBig = await nodeRequest(session, { ':path': '/', 'x-a': 'v'.repeat(50_000), 'x-b': 'v'.repeat(20_000) })
    expect(tooBig.status).toBe(431)
    expect(tooBig.body.toString()).toContain('max_request_headers_kb')
    expect((await nodeRequest(session, { ':path': '/' })).status).toBe(200)
  })

  it('survives resets in mid-request', async () => {
    for (let i = 0; i < 20; i++) {
      const stream = session.request({ ':path': '/echo', ':method': 'POST' })
      stream.on('error', () => {})
      stream.write('some')
      await new Promise(resolve => stream.once('data', resolve))
      stream.close(http2.constants.NGHTTP2_CANCEL)
      await new Promise(resolve => stream.once('close', resolve))
    }
    expect((await nodeRequest(session, { ':path': '/' })).status).toBe(200)
  })

  it('answers PING and changed settings', async () => {
    await new Promise<void>((resolve, reject) => session.ping(error => (error ? reject(error) : resolve())))
    await new Promise<void>(resolve => session.settings({ headerTableSize: 0, initialWindowSize: 100_000 }, () => resolve()))
    expect((await nodeRequest(session, { ':path': '/', 'x-a': 'b' })).status).toBe(200)
    await new Promise<void>(resolve => session.settings({ headerTableSize: 4096, initialWindowSize: 1 << 20 }, () => resolve()))
    expect((await nodeRequest(session, { ':path': '/echo', ':method': 'POST' }, BIG)).body.equals(BIG)).toBe(true)
  })

  it('drains with GOAWAY: what is in flight is answered, then the connection closes', async () => {
    const own = http2.connect(`http://127.0.0.1:${server.port}`, MEMORY)
    const stream = own.request({ ':path': '/echo', ':method': 'POST' })
    stream.write('first ')
    await new Promise(resolve => stream.once('data', resolve))
    const goaway = new Promise(resolve => own.once('goaway', resolve))
    server.codecs[server.codecs.length - 1]!.drain()
    await goaway
    const rest: Buffer[] = []
    stream.on('data', (chunk: Buffer) => rest.push(chunk))
    stream.end('second')
    await new Promise(resolve => own.once('close', resolve))
    expect(Buffer.concat(rest).toString()).toBe('second')
  })
})

describe('backpressure of the application', () => {
  it('a paused server stream stops the sender and loses nothing', async () => {
    let total = 0
    let largest = 0
    const base = echoHandler()
    const server = await startEchoServer(null, http2Options({ initialStreamWindowSize: 65536 }, OPTIONS), () => ({
      ...base,
      onRequest(stream) {
        let inTurn = 0
        stream.events = {
          onData(chunk, end) {
            total += chunk.length
            inTurn += chunk.length
            largest = Math.max(largest, inTurn)
            if (end) {
              stream.sendHead(response(200), true)
              return
            }
            stream.pause()
            setImmediate(() => {
              inTurn = 0
              stream.resume()
            })
          },
          onTrailers() {},
          onReset() {},
          onDrain() {},
        }
      },
    }))
    const session = http2.connect(`http://127.0.0.1:${server.port}`, MEMORY)
    const answer = await nodeRequest(session, { ':path': '/', ':method': 'POST' }, BIG)
    expect(answer.status).toBe(200)
    expect(total).toBe(BIG.length)
    // Never more at once than the window lets be held.
    expect(largest).toBeLessThanOrEqual(2 * 65536)
    session.destroy()
    await server.close()
  })
})

interface OurAnswer {
  head: ResponseHead | null
  informational: number[]
  body: Buffer
  trailers: HeaderList | null
  reset: StreamReset | null
}

describe('our client codec, node:http2 server', () => {
  let server: http2.Http2Server
  let port: number
  const sockets: net.Socket[] = []
  const sessions = new Set<http2.ServerHttp2Session>()

  beforeAll(async () => {
    server = http2.createServer({ ...MEMORY, settings: { initialWindowSize: 65535, maxConcurrentStreams: 50 } })
    server.on('session', session => {
      sessions.add(session)
      session.on('error', () => {})
      session.on('close', () => sessions.delete(session))
    })
    server.on('stream', (stream, headers) => {
      stream.on('error', () => {})
      const path = headers[':path']
      if (path === '/echo') {
        stream.respond({ ':status': 200, 'x-method': headers[':method'] as string })
        stream.pipe(stream)
      } else if (path === '/trailers') {
        stream.respond({ ':status': 200 }, { waitForTrailers: true })
        stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
        stream.end('body')
      } else if (path === '/early-hints') {
        stream.additionalHeaders({ ':status': 103, link: '</style.css>' })
        stream.respond({ ':status': 200 })
        stream.end()
      } else if (path === '/refuse') stream.close(http2.constants.NGHTTP2_REFUSED_STREAM)
      else if (path === '/goaway') {
        stream.session!.goaway(0, stream.id)
        stream.respond({ ':status': 200 })
        stream.end('last')
      } else if (path === '/big-head') {
        stream.respond({ ':status': 200, 'x-a': 'v'.repeat(30_000) })
        stream.end()
      } else {
        stream.respond({ ':status': 204 })
        stream.end()
      }
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    port = (server.address() as net.AddressInfo).port
  })

  afterAll(async () => {
    for (const socket of sockets) socket.destroy()
    for (const session of sessions) session.destroy()
    await new Promise(resolve => server.close(resolve))
  })

  interface Connected {
    codec: Http2ClientCodec
    socket: net.Socket
    free: (() => void)[]
  }

  async function connect(): Promise<Connected> {
    const socket = net.connect(port, '127.0.0.1')
    sockets.push(socket)
    await new Promise(resolve => socket.once('connect', resolve))
    const waiting: (() => void)[] = []
    const codec = new Http2ClientCodec(
      new TestSocketTransport(socket),
      { onStreamFree: () => waiting.shift()?.(), onStreamLimit: () => waiting.shift()?.(), onDraining() {}, onConnectionError() {} },
      http2Options({ maxConcurrentStreams: 1000 }, OPTIONS),
    )
    driveCodec(socket, codec)
    return { codec, socket, free: waiting }
  }

  function send(
    connected: Connected,
    head: RequestHead,
    body: Buffer | null = null,
    trailers: HeaderList | null = null,
  ): Promise<OurAnswer> {
    return new Promise(resolve => {
      const answer: OurAnswer = { head: null, informational: [], body: Buffer.alloc(0), trailers: null, reset: null }
      const chunks: Buffer[] = []
      let sent = 0
      const finish = (): void => {
        answer.body = Buffer.concat(chunks)
        resolve(answer)
      }
      const pushBody = (): void => {
        while (sent < body!.length) {
          const next = Math.min(sent + 50_000, body!.length)
          const more = stream!.sendData(body!.subarray(sent, next), next === body!.length && trailers === null)
          sent = next
          if (!more) return
        }
        if (trailers !== null) stream!.sendTrailers(trailers)
      }
      const events: ClientEvents = {
        onInformational: received => void answer.informational.push(received.status),
        onHead(received, end) {
          answer.head = received
          if (end) finish()
        },
        onData(chunk, end) {
          chunks.push(Buffer.from(chunk))
          if (end) finish()
        },
        onTrailers(received) {
          answer.trailers = received
          finish()
        },
        onReset(reset) {
          answer.reset = reset
          finish()
        },
        onDrain: pushBody,
      }
      let stream: ClientStream | null = null
      const open = (): void => {
        stream = connected.codec.newStream(events)
        if (stream === null) {
          connected.free.push(open)
          return
        }
        stream.sendHead(head, body === null)
        if (body !== null) pushBody()
      }
      open()
    })
  }

  it('gets a simple answer, interim heads, trailers and big heads', async () => {
    const connected = await connect()
    expect((await send(connected, request('GET', '/'))).head!.status).toBe(204)
    const hints = await send(connected, request('GET', '/early-hints'))
    expect(hints.informational).toEqual([103])
    const trailers = await send(connected, request('GET', '/trailers'))
    expect(trailers.body.toString()).toBe('body')
    expect(trailers.trailers!.get('grpc-status')).toBe('0')
    expect((await send(connected, request('GET', '/big-head'))).head!.headers.get('x-a')).toHaveLength(30_000)
    const posted = await send(
      connected,
      request('PUT', '/echo', [['x-long', 'v'.repeat(20_000)]]),
      Buffer.from('hi'),
      HeaderList.of(['t', '1']),
    )
    expect(posted.head!.headers.get('x-method')).toBe('PUT')
    expect(posted.body.toString()).toBe('hi')
  })

  it('uploads and downloads big bodies at the peer window, several at once', async () => {
    const connected = await connect()
    const answers = await Promise.all(Array.from({ length: 4 }, () => send(connected, request('POST', '/echo'), BIG)))
    for (const answer of answers) expect(answer.body.equals(BIG)).toBe(true)
    expect(connected.codec.activeStreams).toBe(0)
  })

  it('keeps to max_concurrent_streams of the server with many requests', async () => {
    const connected = await connect()
    await send(connected, request('GET', '/'))
    expect(connected.codec.maxStreams).toBe(50)
    const answers = await Promise.all(
      Array.from({ length: 400 }, (_, i) => send(connected, request('POST', '/echo'), Buffer.from(`n${i}`))),
    )
    answers.forEach((answer, i) => {
      expect(answer.body.toString()).toBe(`n${i}`)
    })
  })

  it('tells a refused stream', async () => {
    const connected = await connect()
    expect((await send(connected, request('GET', '/refuse'))).reset!.code).toBe('refused')
  })

  it('cancels streams without harm', async () => {
    const connected = await connect()
    for (let i = 0; i < 30; i++) {
      const stream = connected.codec.newStream({
        onInformational() {},
        onHead() {},
        onData() {},
        onTrailers() {},
        onReset() {},
        onDrain() {},
      })!
      stream.sendHead(request('POST', '/echo'), false)
      stream.sendData(Buffer.alloc(100_000), false)
      stream.reset('cancel')
    }
    expect((await send(connected, request('GET', '/'))).head!.status).toBe(204)
    expect(connected.codec.activeStreams).toBe(0)
  })

  it('finishes what is in flight at GOAWAY and closes', async () => {
    const connected = await connect()
    const answer = await send(connected, request('GET', '/goaway'))
    expect(answer.body.toString()).toBe('last')
    expect(connected.codec.usable).toBe(false)
    expect(connected.socket.writableEnded).toBe(true)
  })
})

describe('over TLS with ALPN', () => {
  it('h2 is agreed on and works', async () => {
    const { key, cert } = await selfSigned()
    const server = await startEchoServer({ key, cert })
    const session = http2.connect(`https://127.0.0.1:${server.port}`, { rejectUnauthorized: false })
    const answer = await nodeRequest(session, { ':path': '/echo', ':method': 'POST' }, BIG)
    expect(answer.body.equals(BIG)).toBe(true)
    session.destroy()
    await server.close()
  })
})
