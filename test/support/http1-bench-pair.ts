// A client and a server HTTP/1.1 codec joined in memory for bench/micro/http1-codec.bench.ts and the profiler: what one writes is fed to the
// other at once. The request's path, id and the response's ETag vary, so that nothing can live on caching whole messages.

import type { ClientEvents, ClientHandler, RequestHead, ResponseHead, ServerHandler, Transport } from '../../src/l7/codec/codec.js'
import { HeaderList } from '../../src/l7/codec/header-list.js'
import { Http1ClientCodec } from '../../src/l7/codec/http1/client-codec.js'
import { Http1ServerCodec } from '../../src/l7/codec/http1/server-codec.js'

const LIMITS = { maxHeadBytes: 60 * 1024, maxHeaders: 100, underscores: 'ALLOW' as const }
const BODY = Buffer.from('{"hello":"world","answer":42,"padding":"0123456789012345678901234"}')

class Pipe implements Transport {
  readonly writableLength = 0
  private out: Buffer[] = []
  write(data: Buffer | string): boolean {
    this.out.push(typeof data === 'string' ? Buffer.from(data, 'latin1') : data)
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

export interface BenchPair {
  answered: number
  bytes: number
  lastPath: string
  readonly bodyBytes: number
  exchange(i: number): void
}

export function echoPair(): BenchPair {
  const clientOut = new Pipe()
  const serverOut = new Pipe()
  const serverHandler: ServerHandler = {
    onRequest(stream, head) {
      pair.lastPath = head.path
      const headers = new HeaderList()
      headers.append('Content-Type', 'application/json; charset=utf-8')
      headers.append('Content-Length', String(BODY.length))
      headers.append('Cache-Control', 'no-cache')
      headers.append('ETag', `W/"${head.headers.get('x-request-id')}"`)
      headers.append('Vary', 'Accept-Encoding')
      headers.append('X-Envoy-Upstream-Service-Time', '1')
      headers.append('Date', 'Thu, 01 Jan 2026 00:00:00 GMT')
      headers.append('Server', 'envoy')
      stream.sendHead({ status: 200, reason: '', version: 'HTTP/1.1', headers, contentLength: BODY.length, upgraded: false }, false)
      stream.sendData(BODY, true)
    },
    onBadRequest(_stream, error) {
      throw new Error(error.message)
    },
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
      if (head.status === 200 && head.headers.get('server') === 'envoy') pair.answered++
    },
    onData(chunk) {
      pair.bytes += chunk.length
    },
    onTrailers() {},
    onReset(reset) {
      throw new Error(reset.details)
    },
    onDrain() {},
  }
  const client = new Http1ClientCodec(clientOut, clientHandler, { limits: LIMITS, headerCase: 'preserve', enableTrailers: true })
  const server = new Http1ServerCodec(serverOut, serverHandler, {
    limits: LIMITS,
    allowAbsoluteUrl: true,
    allowCustomMethods: true,
    headerCase: 'preserve',
    enableTrailers: true,
  })
  const pair: BenchPair = {
    answered: 0,
    bytes: 0,
    lastPath: '',
    bodyBytes: BODY.length,
    exchange(i) {
      const headers = new HeaderList()
      headers.append('User-Agent', 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0')
      headers.append('Accept', 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8')
      headers.append('Accept-Language', 'en-US,en;q=0.5')
      headers.append('Accept-Encoding', 'gzip, deflate, br')
      headers.append('Cookie', `session=7f3b2c1d${i}; theme=dark; lang=en`)
      headers.append('X-Request-Id', `6ba7b810-9dad-11d1-80b4-${i.toString(16).padStart(12, '0')}`)
      headers.append('X-Forwarded-For', '10.0.0.1')
      headers.append('X-Forwarded-Proto', 'https')
      headers.append('Traceparent', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01')
      const head: RequestHead = {
        method: 'GET',
        scheme: 'http',
        authority: 'service.example:8080',
        path: `/api/items/${i}?page=${i & 255}`,
        version: 'HTTP/1.1',
        headers,
        upgrade: '',
        contentLength: 0,
        hostName: 'Host',
        expectContinue: false,
      }
      client.newStream(events)!.sendHead(head, true)
      client.flush()
      clientOut.moveTo(server)
      server.flush()
      serverOut.moveTo(client)
    },
  }
  return pair
}
