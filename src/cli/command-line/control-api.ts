// HTTP client of a control plane (ours, or any agent with Consul's API), as the commands use it. Made by api-flags.ts. On `node:http` rather
// than `fetch`, because Consul's addresses may be unix sockets, and its certificates of a private CA.
// Every failure is a `CliError` of one line that names the address, or carries the server's own reason.

import { request as httpRequest, type IncomingMessage } from 'node:http'
import { type RequestOptions as HttpsOptions, request as httpsRequest } from 'node:https'
import { readAnswerBody } from '../../io/bounded-body.js'
import { serverNameOptions } from '../../io/server-name.js'
import { CliError } from './command-io.js'

const REQUEST_TIMEOUT_MS = 30_000
const MAX_ANSWER_BYTES = 256 * 1024 * 1024

export interface ControlApiOptions {
  /** Who is asked, in messages. Default: the control plane. */
  readonly subject?: string
  /** How the user says where it is. */
  readonly hint?: string
  /** `host:port`, `http(s)://host:port` or `unix:///path`. */
  readonly address: string
  readonly token?: string | undefined
  /** `user:password`, for a proxy in front. */
  readonly basicAuth?: string | undefined
  /** PEM bundle that verifies an https address. */
  readonly caPem?: string | undefined
  readonly certPem?: string | undefined
  readonly keyPem?: string | undefined
  readonly serverName?: string | undefined
  /** Whether an https address must show a certificate that verifies. Default true. */
  readonly verify?: boolean
  /** Query parameters of every request. */
  readonly parameters?: Readonly<Record<string, string>>
}

export interface ControlAnswer {
  readonly bytes: Buffer
  readonly text: string
  /** `X-Consul-Index`, 0 when absent. A sidecar that has acknowledged this index has what was written. */
  readonly index: number
  /** The same as it came: indexes of events are longer than a number holds. */
  readonly indexText: string
  /** `X-Consul-ContentHash`, '' when absent. */
  readonly contentHash: string
  /** The answer was 404 (`allowMissing`); there is no text then. */
  readonly missing: boolean
  /** `X-Consul-Warning` lines. */
  readonly warnings: readonly string[]
  /** When it was given, by the other's clock; null where it does not say. */
  readonly dateMs: number | null
  /** `X-Outrigger-Detail`, '' when absent. */
  readonly detail: string
}

export interface Call {
  readonly method: 'GET' | 'PUT' | 'POST' | 'PATCH' | 'DELETE'
  /** May hold a query of its own. */
  readonly path: string
  readonly body?: string | Buffer
  /** Of the body; JSON by default. */
  readonly contentType?: string
  /** 0 = the answer may take as long as it likes (blocking reads, streams). */
  readonly timeoutMs?: number
  /** 404 is an answer, not a refusal: blocking reads of what is not there. */
  readonly allowMissing?: boolean
  readonly signal?: AbortSignal
}

/** An answer other than 2xx; `message` is the server's reason. */
export class RefusedError extends CliError {
  constructor(
    readonly statusCode: number,
    message: string,
  ) {
    super(message)
  }
}

/** The control plane could not be asked, or did not answer whole. */
export class UnreachableError extends CliError {}

export class ControlApi {
  /** As a URL. */
  readonly address: string
  private readonly subject: string
  private readonly hint: string
  private readonly target: HttpsOptions
  private readonly https: boolean
  private readonly headers: Record<string, string>
  private readonly parameters: string

  constructor(options: ControlApiOptions) {
    const { shown, https, target } = parseAddress(options.address)
    this.address = shown
    this.subject = options.subject ?? 'the control plane'
    this.hint = options.hint ?? '--http-addr or CONSUL_HTTP_ADDR says where it is'
    this.https = https
    this.target = https ? { ...target, ...tlsOptions(options) } : target
    const { token, basicAuth } = options
    this.headers = {
      ...(token === undefined ? {} : { 'X-Consul-Token': token }),
      ...(basicAuth === undefined ? {} : { Authorization: `Basic ${Buffer.from(basicAuth).toString('base64')}` }),
    }
    this.parameters = new URLSearchParams(options.parameters ?? {}).toString()
  }

  get(path: string): Promise<ControlAnswer> {
    return this.call({ method: 'GET', path })
  }

  async getJson<T>(path: string): Promise<T> {
    return this.parse<T>(await this.get(path), `GET ${path}`)
  }

  /** Undefined where the answer is 404. */
  async findJson<T>(path: string): Promise<T | undefined> {
    try {
      return await this.getJson<T>(path)
    } catch (error) {
      if (error instanceof RefusedError && error.statusCode === 404) return undefined
      throw error
    }
  }

  put(path: string, body?: unknown): Promise<ControlAnswer> {
    return this.call({ method: 'PUT', path, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
  }

  async putJson<T>(path: string, body?: unknown): Promise<T> {
    return this.parse<T>(await this.put(path, body), `PUT ${path}`)
  }

  async postJson<T>(path: string, body: unknown): Promise<T> {
    return this.parse<T>(await this.call({ method: 'POST', path, body: JSON.stringify(body) }), `POST ${path}`)
  }

  /** The parameters travel as a form. */
  async postForm<T>(path: string, form: URLSearchParams): Promise<T> {
    // Envoy's admin, and ours, take a plus for what it is.
    const body = form.toString().replaceAll('+', '%20')
    const call: Call = { method: 'POST', path, body, contentType: 'application/x-www-form-urlencoded' }
    return this.parse<T>(await this.call(call), `POST ${path}`)
  }

  delete(path: string): Promise<ControlAnswer> {
    return this.call({ method: 'DELETE', path })
  }

  async call(call: Call): Promise<ControlAnswer> {
    const response = await this.send(call)
    try {
      return await readAnswer(response, call)
    } catch (error) {
      if (error instanceof RefusedError) throw error
      throw new UnreachableError(`${this.address}: ${(error as Error).message}`)
    }
  }

  /** Hands on the parts of an answer as they come, until its end. Rejects with `RefusedError` where it is no 2xx. */
  async stream(call: Call, onText: (text: string) => void): Promise<void> {
    const response = await this.send({ timeoutMs: 0, ...call })
    if (!isGood(response)) return void (await readAnswer(response, call))
    response.setEncoding('utf8')
    try {
      for await (const text of response as AsyncIterable<string>) onText(text)
    } catch (error) {
      if (call.signal?.aborted !== true) throw new UnreachableError(`${this.address}: ${(error as Error).message}`)
    }
  }

  private parse<T>({ text }: ControlAnswer, what: string): T {
    try {
      return JSON.parse(text) as T
    } catch {
      throw new CliError(`${this.address}: ${what} was not answered with JSON: is this ${this.subject}?`)
    }
  }

  private send({
    method,
    path,
    body,
    contentType = 'application/json',
    timeoutMs = REQUEST_TIMEOUT_MS,
    signal,
  }: Call): Promise<IncomingMessage> {
    const options: HttpsOptions = {
      ...this.target,
      method,
      path: this.parameters === '' ? path : `${path}${path.includes('?') ? '&' : '?'}${this.parameters}`,
      headers: {
        ...this.headers,
        ...(body === undefined ? {} : { 'Content-Type': contentType, 'Content-Length': Buffer.byteLength(body) }),
      },
      timeout: timeoutMs,
      ...(signal === undefined ? {} : { signal }),
    }
    return new Promise((resolve, reject) => {
      const request = (this.https ? httpsRequest : httpRequest)(options, resolve)
      request.on('timeout', () => request.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)))
      request.on('error', (error: NodeJS.ErrnoException) =>
        reject(new UnreachableError(`cannot reach ${this.subject} at ${this.address}: ${reasonOf(error)} (${this.hint})`)),
      )
      request.end(body)
    })
  }
}

function tlsOptions({ caPem, certPem, keyPem, serverName, verify }: ControlApiOptions): HttpsOptions {
  return {
    ...(caPem === undefined ? {} : { ca: caPem }),
    ...(certPem === undefined ? {} : { cert: certPem, key: keyPem }),
    ...(serverName === undefined ? {} : serverNameOptions(serverName)),
    rejectUnauthorized: verify ?? true,
  }
}

/** An AggregateError (several addresses of one name) has no message of its own. */
function reasonOf(error: NodeJS.ErrnoException): string {
  if (error.code === 'ECONNREFUSED') return 'connection refused'
  if (error.code === 'ENOTFOUND') return 'no such host'
  if (error.code === 'ENOENT') return 'no such socket'
  // OpenSSL's text is several lines of its own file names.
  if (error.code === 'EPROTO') return 'it does not speak TLS (http:// is plain HTTP)'
  if (error.code === 'ECONNRESET' || error.code === 'HPE_INVALID_CONSTANT')
    return `${error.message}: does it speak TLS (https://), or want a client certificate?`
  if (CERTIFICATE_CODES.has(error.code ?? ''))
    return `its certificate is not trusted: ${error.message} (--ca-file or CONSUL_CACERT names its CA)`
  return error.message || (error.code ?? 'no connection')
}

const CERTIFICATE_CODES = new Set([
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_GET_ISSUER_CERT',
])

function isGood({ statusCode = 0 }: IncomingMessage): boolean {
  return statusCode >= 200 && statusCode <= 299
}

async function readAnswer(response: IncomingMessage, { path, allowMissing }: Call): Promise<ControlAnswer> {
  const bytes = await readAnswerBody(response, MAX_ANSWER_BYTES)
  const status = response.statusCode ?? 0
  const missing = allowMissing === true && status === 404
  const text = missing ? '' : bytes.toString('utf8')
  if (!isGood(response) && !missing)
    throw new RefusedError(status, refusal(status, bytes.toString('utf8').trim().split('\n')[0] || `the answer is ${status}`, path))
  const warning = response.headers['x-consul-warning']
  return {
    bytes,
    text,
    index: Number(response.headers['x-consul-index'] ?? 0),
    indexText: String(response.headers['x-consul-index'] ?? '0'),
    contentHash: String(response.headers['x-consul-contenthash'] ?? ''),
    missing,
    // node joins what is given several times.
    warnings: warning === undefined ? [] : [warning].flat(),
    dateMs: response.headers.date === undefined ? null : Date.parse(response.headers.date),
    detail: String(response.headers['x-outrigger-detail'] ?? ''),
  }
}

/** Who may not is told how to become one who may; a login is how. */
function refusal(status: number, reason: string, path: string): string {
  if (path === '/v1/acl/login') return reason
  const isDenied = status === 401 || (status === 403 && /permission denied|ACL not found/i.test(reason))
  return isDenied && !/ACL support disabled/.test(reason)
    ? `${reason} (the token comes from --token, --token-file or CONSUL_HTTP_TOKEN)`
    : reason
}

function parseAddress(address: string): { readonly shown: string; readonly https: boolean; readonly target: HttpsOptions } {
  if (address.startsWith('unix://')) {
    // Host must be a name of this machine, or the API refuses the request.
    return { shown: address, https: false, target: { socketPath: address.slice('unix://'.length), host: 'localhost' } }
  }
  const match = /^(?:(https?):\/\/)?(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9_.-]+))(?::(\d{1,5}))?\/?$/.exec(address)
  const https = match?.[1] === 'https'
  const port = Number(match?.[4] ?? (https ? 443 : match?.[1] === 'http' ? 80 : 8500))
  if (match === null || port < 1 || port > 65_535)
    throw new CliError(`control plane address "${address}": must be host:port, http(s)://host:port or unix:///path`)
  const host = match[2] ?? match[3]!
  const shown = `${https ? 'https' : 'http'}://${match[2] === undefined ? host : `[${host}]`}:${port}`
  return { shown, https, target: { host, port } }
}
