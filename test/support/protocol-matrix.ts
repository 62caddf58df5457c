// HTTP/1 and HTTP/2 on both sides of a proxy under one face: an origin that speaks both with one handler, a client that asks in either,
// and the clusters to reach the origin. Used by the protocol tests of test/integration. Built on Node's own http and http2, so that
// what is compared with our codecs is not written by us.
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import http2, { type ClientHttp2Session, type Http2Server, type IncomingHttpHeaders } from 'node:http2'
import type { AddressInfo, Server, Socket } from 'node:net'

export type Version = 1 | 2

export const combinations: readonly (readonly [Version, Version])[] = [
  [1, 1],
  [1, 2],
  [2, 1],
  [2, 2],
]

export interface Reply {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  /** Name, value, name, value … in the order of the wire, for HTTP/1; empty for HTTP/2. */
  readonly rawHeaders: readonly string[]
  readonly body: Buffer
  readonly trailers: Readonly<Record<string, string | string[] | undefined>>
  readonly informational: readonly number[]
}

export interface Ask {
  readonly method?: string
  readonly path?: string
  readonly headers?: Readonly<Record<string, string | readonly string[]>>
  readonly body?: Buffer | string
  readonly trailers?: Readonly<Record<string, string>>
}

/** One client connection in HTTP/1 or HTTP/2; requests one after the other (1) or at once (2). */
export class MatrixClient {
  private readonly agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
  private session: ClientHttp2Session | null = null

  constructor(
    readonly version: Version,
    readonly port: number,
  ) {}

  get http2(): ClientHttp2Session {
    if (this.session === null || this.session.closed || this.session.destroyed) {
      this.session = http2.connect(`http://127.0.0.1:${this.port}`)
      this.session.on('error', () => {})
    }
    return this.session
  }

  ask(ask: Ask): Promise<Reply> {
    return this.version === 1 ? this.ask1(ask) : this.ask2(ask)
  }

  private ask1(ask: Ask): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const informational: number[] = []
      const request = http.request({
        host: '127.0.0.1',
        port: this.port,
        agent: this.agent,
        method: ask.method ?? 'GET',
        path: ask.path ?? '/',
        headers: { host: 'test', ...(ask.trailers === undefined ? {} : { trailer: Object.keys(ask.trailers).join(',') }), ...ask.headers },
      })
      request.on('information', info => informational.push(info.statusCode))
      request.on('error', reject)
      request.on('response', response => {
        const chunks: Buffer[] = []
        response.on('data', chunk => chunks.push(chunk))
        response.on('error', reject)
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            rawHeaders: response.rawHeaders,
            body: Buffer.concat(chunks),
            trailers: response.trailers,
            informational,
          }),
        )
      })
      if (ask.trailers !== undefined) {
        request.write(ask.body ?? '')
        request.addTrailers(ask.trailers)
        request.end()
      } else request.end(ask.body)
    })
  }

  private ask2(ask: Ask): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const informational: number[] = []
      const withBody = ask.body !== undefined || ask.trailers !== undefined
      const stream = this.http2.request(
        { ':method': ask.method ?? 'GET', ':path': ask.path ?? '/', ':authority': 'test', ...(ask.headers as Record<string, string>) },
        { endStream: !withBody, waitForTrailers: ask.trailers !== undefined },
      )
      let headers: IncomingHttpHeaders & { ':status'?: number } = {}
      let trailers: Reply['trailers'] = {}
      const chunks: Buffer[] = []
      stream.on('headers', head => informational.push(head[':status'] as number))
      stream.on('response', head => (headers = head))
      stream.on('trailers', head => (trailers = head as Reply['trailers']))
      stream.on('data', chunk => chunks.push(chunk))
      stream.on('error', reject)
      stream.on('wantTrailers', () => stream.sendTrailers(ask.trailers ?? {}))
      stream.on('end', () =>
        resolve({ status: headers[':status'] ?? 0, headers, rawHeaders: [], body: Buffer.concat(chunks), trailers, informational }),
      )
      if (withBody) stream.end(ask.body ?? '')
    })
  }

  close(): void {
    this.agent.destroy()
    this.session?.destroy()
  }
}

export type Handler = (request: IncomingMessage, response: ServerResponse) => void

/** One handler behind an HTTP/1 and an HTTP/2 port. The HTTP/2 side uses Node's compatibility API. */
export class MatrixOrigin {
  readonly http1: Server
  readonly http2: Http2Server
  readonly sockets = new Set<Socket>()
  handler: Handler

  constructor(handler: Handler) {
    this.handler = handler
    const call = (request: unknown, response: unknown) => this.handler(request as IncomingMessage, response as ServerResponse)
    this.http1 = http.createServer({ keepAliveTimeout: 60_000 }, call)
    this.http2 = http2.createServer({}, call)
    this.http2.on('sessionError', () => {})
    for (const server of [this.http1, this.http2])
      server.on('connection', (socket: Socket) => {
        this.sockets.add(socket)
        socket.on('error', () => {})
        socket.on('close', () => this.sockets.delete(socket))
      })
  }

  async listen(): Promise<this> {
    for (const server of [this.http1, this.http2]) await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    return this
  }

  port(version: Version): number {
    return ((version === 1 ? this.http1 : this.http2).address() as AddressInfo).port
  }

  close(): void {
    for (const socket of this.sockets) socket.destroy()
    this.http1.close()
    this.http2.close()
  }
}

export function readAll(request: NodeJS.ReadableStream): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    request.on('data', chunk => chunks.push(chunk as Buffer))
    request.on('end', () => resolve(Buffer.concat(chunks)))
    request.on('error', reject)
  })
}

/** HttpProtocolOptions of a cluster. */
export function httpOptions(options: object): object {
  return {
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
        ...options,
      },
    },
  }
}

export const overHttp2 = httpOptions({ explicit_http_config: { http2_protocol_options: {} } })
