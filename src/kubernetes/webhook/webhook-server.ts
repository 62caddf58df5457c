// The HTTPS server that the Kubernetes API server asks about each pod: POST /mutate with an AdmissionReview; GET /health/ready for the probe.
// Run by `outrigger k8s webhook`. Each review is answered from its body alone: there is no state, and any number of these may run.
// Invariant: bodies, requests and connections are bounded; what is refused is refused in one line.

import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { InjectionPolicy } from '../inject/inject-pod.js'
import { answerReview, BadReview } from './admission-review.js'
import { CertificateFiles } from './certificate-files.js'

export interface WebhookOptions {
  readonly host: string
  readonly port: number
  readonly certFile: string
  readonly keyFile: string
  /** How often the files are looked at. */
  readonly reloadEveryMs?: number
  readonly policy: InjectionPolicy
  readonly log: (severity: 'info' | 'warn', message: string, fields: Readonly<Record<string, unknown>>) => void
}

/** An object in etcd has 1.5 MiB at most; a review may hold it twice. */
const MAX_BODY_BYTES = 4 * 1024 * 1024
/** The API server waits 30 s at most. */
const REQUEST_TIMEOUT_MS = 30_000
const HEADERS_TIMEOUT_MS = 10_000
const MAX_CONNECTIONS = 512

export class WebhookServer {
  private constructor(
    private readonly server: Server,
    private readonly files: CertificateFiles,
  ) {}

  /** Throws where the certificate cannot be used or the address is taken. */
  static async start(options: WebhookOptions): Promise<WebhookServer> {
    const files = new CertificateFiles(options.certFile, options.keyFile)
    const limits = { requestTimeout: REQUEST_TIMEOUT_MS, headersTimeout: HEADERS_TIMEOUT_MS, minVersion: 'TLSv1.2' as const }
    const server = createServer({ ...files.current, ...limits }, (request, response) => serve(request, response, options))
    server.maxConnections = MAX_CONNECTIONS
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(options.port, options.host, resolve)
    })
    files.watch(
      pair => {
        server.setSecureContext(pair)
        options.log('info', 'new certificate in use', { file: options.certFile })
      },
      problem => options.log('warn', 'certificate files changed and cannot be used', { problem }),
      options.reloadEveryMs,
    )
    return new WebhookServer(server, files)
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port
  }

  /** Answers what is running, and no more. */
  async close(): Promise<void> {
    this.files.close()
    const closed = new Promise<void>(resolve => this.server.close(() => resolve()))
    this.server.closeIdleConnections()
    await closed
  }
}

function serve(request: IncomingMessage, response: ServerResponse, options: WebhookOptions): void {
  const [status, answer] = judge(request)
  if (status === ACCEPTED) readBody(request, response, options)
  else if (status === 200) send(response, status, answer)
  else refuse(request, response, status, answer)
}

const ACCEPTED = 100
const TOO_LARGE = `the body is larger than ${MAX_BODY_BYTES} bytes`

/** By its head: the status of the answer and its text, or `ACCEPTED`. */
function judge({ url = '', method, headers }: IncomingMessage): readonly [number, string] {
  const path = url.split('?')[0]
  if (path === '/health/ready') return [200, 'ok\n']
  if (path !== '/mutate') return [404, 'there is POST /mutate and GET /health/ready']
  if (method !== 'POST') return [405, 'must be POST']
  const type = (headers['content-type'] ?? '').split(';')[0]!.trim().toLowerCase()
  if (type !== 'application/json') return [415, `Content-Type "${type}": must be application/json`]
  return Number(headers['content-length'] ?? 0) > MAX_BODY_BYTES ? [413, TOO_LARGE] : [ACCEPTED, '']
}

function readBody(request: IncomingMessage, response: ServerResponse, options: WebhookOptions): void {
  const chunks: Buffer[] = []
  let length = 0
  request.on('data', (chunk: Buffer) => {
    length += chunk.length
    if (length <= MAX_BODY_BYTES) chunks.push(chunk)
    else if (!response.headersSent) refuse(request, response, 413, TOO_LARGE)
  })
  request.on('error', () => response.destroy())
  request.on('end', () => {
    if (!response.headersSent) review(Buffer.concat(chunks).toString('utf8'), response, options)
  })
}

function review(body: string, response: ServerResponse, { policy, log }: WebhookOptions): void {
  try {
    const { answer, verdict, pod, reason } = answerReview(body, policy)
    if (verdict !== 'untouched')
      log(verdict === 'denied' ? 'warn' : 'info', `pod ${verdict}`, { pod, ...(reason === '' ? {} : { reason }) })
    send(response, 200, JSON.stringify(answer), 'application/json')
  } catch (error) {
    if (!(error instanceof BadReview)) throw error
    log('warn', 'review refused', { reason: error.message })
    send(response, 400, `${error.message}\n`)
  }
}

/** The rest of the body is not waited for. */
function refuse(request: IncomingMessage, response: ServerResponse, status: number, reason: string): void {
  request.resume()
  response.setHeader('Connection', 'close')
  send(response, status, `${reason}\n`)
}

function send(response: ServerResponse, status: number, body: string, type = 'text/plain; charset=utf-8'): void {
  response.writeHead(status, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(body) })
  response.end(body)
}
