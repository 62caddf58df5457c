// The control plane as an agent reaches it: one of several addresses, by HTTP or HTTPS, over kept connections. Made by `ClientAgent`, used by
// everything in this folder. Invariants: a request whose bytes may have reached a server is not sent to a second one; answers are bounded; an
// address that does not answer is asked again only when the others have been.

import http, { type IncomingHttpHeaders } from 'node:http'
import https from 'node:https'
import { serverNameOptions } from '../../io/server-name.js'
import { formatAddress, type HostPort } from '../http-api/listen-addresses.js'

export interface ServerTls {
  readonly caPem?: string
  readonly certPem?: string
  readonly keyPem?: string
  /** The name that the server's certificate must have; default: the address that is dialled. */
  readonly serverName?: string
}

export interface ServerLinkOptions {
  readonly servers: readonly HostPort[]
  /** Undefined: clear text. */
  readonly tls?: ServerTls
}

export interface ServerRequest {
  readonly method: string
  /** With its query. */
  readonly path: string
  readonly token?: string | undefined
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Buffer | undefined
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

export interface ServerAnswer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

/** No server could be asked. */
export class ServersAway extends Error {}

const DEFAULT_TIMEOUT_MS = 10_000
const CONNECT_TIMEOUT_MS = 3_000
const MAX_ANSWER_BYTES = 128 * 1024 * 1024
const MAX_SOCKETS = 256
/** Nothing of the request was sent, so that another server may have it. */
const NOT_SENT = new Set(['ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH', 'ENOTFOUND', 'EAI_AGAIN', 'CONNECT_TIMEOUT'])

export class ServerLink {
  private readonly options: ServerLinkOptions
  private readonly agent: http.Agent
  private current = 0
  /** On the monotonic clock. */
  private contactAtMs = Number.NEGATIVE_INFINITY

  constructor(options: ServerLinkOptions) {
    this.options = options
    const { tls } = options
    this.agent =
      tls === undefined
        ? new http.Agent({ keepAlive: true, maxSockets: MAX_SOCKETS })
        : new https.Agent({
            keepAlive: true,
            maxSockets: MAX_SOCKETS,
            ...(tls.caPem === undefined ? {} : { ca: tls.caPem }),
            ...(tls.certPem === undefined ? {} : { cert: tls.certPem }),
            ...(tls.keyPem === undefined ? {} : { key: tls.keyPem }),
            ...(tls.serverName === undefined ? {} : serverNameOptions(tls.serverName)),
          })
  }

  /** Since a server last answered; infinite before the first time. */
  get lastContactMs(): number {
    return performance.now() - this.contactAtMs
  }

  /** The server that answered last, or is asked first. */
  get server(): HostPort {
    return this.options.servers[this.current]!
  }

  close(): void {
    this.agent.destroy()
  }

  /** Rejects with `ServersAway` when none of them answers, and with the signal's reason when it is aborted. */
  async request(request: ServerRequest): Promise<ServerAnswer> {
    const { servers } = this.options
    let problem = 'there are none'
    for (let i = 0; i < servers.length; i++) {
      const at = this.current
      try {
        const answer = await this.ask(servers[at]!, request)
        this.contactAtMs = performance.now()
        return answer
      } catch (error) {
        if (request.signal?.aborted) throw request.signal.reason
        problem = `${formatAddress(servers[at]!)}: ${(error as Error).message}`
        // Another request may have moved on already.
        if (this.current === at) this.current = (at + 1) % servers.length
        if (!NOT_SENT.has((error as NodeJS.ErrnoException).code ?? '') && request.method !== 'GET') break
      }
    }
    throw new ServersAway(`no server answers (${problem})`)
  }

  private ask({ host, port }: HostPort, request: ServerRequest): Promise<ServerAnswer> {
    const { method, path, token, body, timeoutMs = DEFAULT_TIMEOUT_MS, signal } = request
    const headers: Record<string, string> = { ...request.headers }
    if (token !== undefined) headers['x-consul-token'] = token
    if (body !== undefined) headers['content-length'] = String(body.length)
    return new Promise((resolve, reject) => {
      const library = this.options.tls === undefined ? http : https
      const sent = library.request({ host, port, method, path, headers, agent: this.agent, ...(signal === undefined ? {} : { signal }) })
      const connect = setTimeout(
        () => sent.destroy(failure('CONNECT_TIMEOUT', `no connection within ${CONNECT_TIMEOUT_MS} ms`)),
        CONNECT_TIMEOUT_MS,
      )
      const whole = setTimeout(() => sent.destroy(failure('TIMEOUT', `no answer within ${timeoutMs} ms`)), timeoutMs)
      const done = (): void => {
        clearTimeout(connect)
        clearTimeout(whole)
      }
      sent.once('socket', socket => {
        const ready = (): void => clearTimeout(connect)
        if (socket.connecting) socket.once(this.options.tls === undefined ? 'connect' : 'secureConnect', ready)
        else ready()
      })
      sent.once('error', error => {
        done()
        reject(error)
      })
      sent.once('response', response => {
        const chunks: Buffer[] = []
        let bytes = 0
        response.on('data', (chunk: Buffer) => {
          bytes += chunk.length
          if (bytes > MAX_ANSWER_BYTES) sent.destroy(failure('TOO_LONG', `the answer is longer than ${MAX_ANSWER_BYTES} bytes`))
          else chunks.push(chunk)
        })
        response.once('error', error => {
          done()
          reject(error)
        })
        response.once('end', () => {
          done()
          resolve({ status: response.statusCode!, headers: response.headers, body: Buffer.concat(chunks) })
        })
      })
      sent.end(body)
    })
  }
}

function failure(code: string, message: string): NodeJS.ErrnoException {
  return Object.assign(new Error(message), { code })
}
