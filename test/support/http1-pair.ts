// In-memory ends for the HTTP/1 codecs: a transport that records what is written and counts pauses, and handlers that write down
// every event as one line, so that a test compares lists of strings. Nothing here needs a socket.

import type {
  BodyEvents,
  ClientEvents,
  ClientHandler,
  ClientStream,
  CodecError,
  HeadLimits,
  RequestHead,
  ResponseHead,
  ServerHandler,
  ServerStream,
  StreamReset,
  Transport,
} from '../../src/l7/codec/codec.js'
import { HeaderList } from '../../src/l7/codec/header-list.js'
import { Http1ClientCodec, type Http1ClientOptions } from '../../src/l7/codec/http1/client-codec.js'
import { Http1ServerCodec, type Http1ServerOptions } from '../../src/l7/codec/http1/server-codec.js'

export const LIMITS: HeadLimits = { maxHeadBytes: 60 * 1024, maxHeaders: 100, underscores: 'ALLOW' }

export class MemoryTransport implements Transport {
  readonly writableLength = 0
  ended = false
  destroyed = false
  /** Pauses minus resumes, as SocketTransport counts them. */
  pauses = 0
  writes = 0
  /** A peer that does not read: writes report backpressure. */
  full = false
  private out: Buffer[] = []

  write(data: Buffer | string): boolean {
    if (this.destroyed || this.ended) throw new Error('write after the end')
    this.writes++
    this.out.push(Buffer.from(data as string, 'latin1'))
    return !this.full
  }
  end(): void {
    this.ended = true
  }
  destroy(): void {
    this.destroyed = true
  }
  pauseRead(): void {
    this.pauses++
  }
  resumeRead(): void {
    if (this.pauses === 0) throw new Error('resumed more often than paused')
    this.pauses--
  }
  /** Everything written since the last call. */
  take(): string {
    const all = Buffer.concat(this.out).toString('latin1')
    this.out = []
    return all
  }
  get open(): boolean {
    return !this.ended && !this.destroyed
  }
}

export function headerLines(headers: HeaderList): string {
  return headers.raw.map((name, i) => `${name}=${headers.values[i]}`).join('|')
}

/** Consecutive data events count as one, however the bytes were cut. */
class Log {
  readonly lines: string[] = []
  private data = ''
  add(line: string): void {
    this.settle()
    this.lines.push(line)
  }
  addData(chunk: Buffer, end: boolean): void {
    this.data += chunk.toString('latin1')
    if (end) this.add('end')
  }
  settle(): void {
    if (this.data !== '') this.lines.push(`data ${this.data}`)
    this.data = ''
  }
}

export class RecordedBody implements BodyEvents {
  readonly log: Log
  constructor(log: Log) {
    this.log = log
  }
  onData(chunk: Buffer, end: boolean): void {
    this.log.addData(chunk, end)
  }
  onTrailers(trailers: HeaderList): void {
    this.log.add(`trailers ${headerLines(trailers)}`)
  }
  onReset(reset: StreamReset): void {
    this.log.add(`reset ${reset.code} ${reset.details}`)
  }
  onDrain(): void {
    this.log.add('drain')
  }
}

export interface ServerEnd {
  readonly codec: Http1ServerCodec
  readonly transport: MemoryTransport
  readonly streams: ServerStream[]
  readonly heads: RequestHead[]
  readonly errors: CodecError[]
  /** Events so far, one line each. */
  readonly events: string[]
  /** The last event but data that is still coming together. */
  readonly lastEvent: string
  /** The newest stream. */
  readonly stream: ServerStream
  feed(text: string): void
}

/** `answer` is called in onRequest. Bad requests are answered with their status and an empty body. */
export function serverEnd(
  options: Partial<Http1ServerOptions> & { readonly answer?: (stream: ServerStream, head: RequestHead) => void } = {},
): ServerEnd {
  const transport = new MemoryTransport()
  const log = new Log()
  const streams: ServerStream[] = []
  const heads: RequestHead[] = []
  const errors: CodecError[] = []
  const handler: ServerHandler = {
    onRequest(stream, head, end) {
      const upgrade = head.upgrade === '' ? '' : ` upgrade=${head.upgrade}`
      log.add(
        `request ${head.method} ${head.scheme}|${head.authority}|${head.path} ${head.version} length=${head.contentLength}${upgrade}` +
          `${end ? ' end' : ''} ${headerLines(head.headers)}`,
      )
      streams.push(stream)
      heads.push(head)
      stream.events = new RecordedBody(log)
      options.answer?.(stream, head)
    },
    onBadRequest(stream, error) {
      log.add(`bad ${error.status}`)
      errors.push(error)
      streams.push(stream)
      stream.sendHead(response(error.status), true)
    },
    onRefusedHead() {},
    onIdle() {
      log.add('idle')
    },
    onHeadPending(pending) {
      log.add(`head-pending ${pending}`)
    },
    onConnectionError(error) {
      errors.push(error)
      log.add(`broken ${error.details}`)
    },
  }
  const codec = new Http1ServerCodec(transport, handler, {
    limits: LIMITS,
    allowAbsoluteUrl: true,
    allowCustomMethods: true,
    headerCase: 'preserve',
    enableTrailers: true,
    ...options,
  })
  return {
    codec,
    transport,
    streams,
    heads,
    errors,
    get events() {
      log.settle()
      return log.lines
    },
    get lastEvent() {
      return log.lines.at(-1) ?? ''
    },
    get stream() {
      return streams[streams.length - 1]!
    },
    feed: text => codec.feed(Buffer.from(text, 'latin1')),
  }
}

export interface ClientEnd {
  readonly codec: Http1ClientCodec
  readonly transport: MemoryTransport
  readonly events: string[]
  readonly heads: ResponseHead[]
  /** Open a stream, or fail. */
  open(hooks?: Partial<ClientEvents>): ClientStream
  /** Open a stream and send a bodiless request; its bytes are taken from the transport. */
  get(hooks?: Partial<ClientEvents>): ClientStream
  feed(text: string): void
}

export function clientEnd(options: Partial<Http1ClientOptions> = {}): ClientEnd {
  const transport = new MemoryTransport()
  const log = new Log()
  const heads: ResponseHead[] = []
  const handler: ClientHandler = {
    onStreamFree: () => log.add('free'),
    onStreamLimit: () => log.add('limit'),
    onDraining: () => log.add('draining'),
    onConnectionError: error => log.add(`broken ${error.details}`),
  }
  const codec = new Http1ClientCodec(transport, handler, { limits: LIMITS, headerCase: 'preserve', enableTrailers: true, ...options })
  const end: ClientEnd = {
    codec,
    transport,
    heads,
    get events() {
      log.settle()
      return log.lines
    },
    open(hooks = {}) {
      const body = new RecordedBody(log)
      const line = (head: ResponseHead): string =>
        `${head.status} ${head.reason || '-'} length=${head.contentLength}${head.upgraded ? ' upgraded' : ''}`
      const events: ClientEvents = {
        onInformational: head => log.add(`informational ${line(head)} ${headerLines(head.headers)}`),
        onHead(head, last) {
          heads.push(head)
          log.add(`head ${line(head)}${last ? ' end' : ''} ${headerLines(head.headers)}`)
        },
        onData: (chunk, last) => body.onData(chunk, last),
        onTrailers: trailers => body.onTrailers(trailers),
        onReset: reset => body.onReset(reset),
        onDrain: () => body.onDrain(),
        ...hooks,
      }
      const stream = codec.newStream(events)
      if (stream === null) throw new Error('no stream can be opened')
      return stream
    },
    get(hooks) {
      const stream = end.open(hooks)
      stream.sendHead(request({}), true)
      transport.take()
      return stream
    },
    feed: text => codec.feed(Buffer.from(text, 'latin1')),
  }
  return end
}

export function request(head: Partial<RequestHead> = {}): RequestHead {
  return {
    method: 'GET',
    scheme: 'http',
    authority: 'a',
    path: '/x',
    version: 'HTTP/1.1',
    headers: new HeaderList(),
    upgrade: '',
    contentLength: 0,
    hostName: 'Host',
    expectContinue: false,
    ...head,
  }
}

export function response(
  status: number,
  headers: readonly (readonly [string, string])[] = [],
  more: Partial<ResponseHead> = {},
): ResponseHead {
  return { status, reason: '', version: 'HTTP/1.1', headers: HeaderList.of(...headers), contentLength: -1, upgraded: false, ...more }
}

/** Feed in pieces of `size` bytes. */
export function feedInPieces(codec: { feed(chunk: Buffer): void }, text: string, size: number): void {
  const bytes = Buffer.from(text, 'latin1')
  for (let at = 0; at < bytes.length; at += size) codec.feed(bytes.subarray(at, at + size))
}
