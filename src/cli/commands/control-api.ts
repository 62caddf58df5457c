// HTTP client of a control plane (ours, or any agent with Consul's API), as the commands use it. Address and token come from flags or
// Consul's environment variables. On `node:http` rather than `fetch`, because Consul's addresses may be unix sockets and private CAs.
// Every failure is a `CliError` of one line that names the address, or carries the server's own reason.
import { request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { CliError, type CommandIo } from './command-io.js'

const DEFAULT_HTTP_ADDR = '127.0.0.1:8500'
const REQUEST_TIMEOUT_MS = 30_000
const MAX_ANSWER_BYTES = 64 * 1024 * 1024

export interface ControlApiOptions {
  /** `host:port`, `http(s)://host:port` or `unix:///path`. */
  readonly address: string
  readonly token?: string | undefined
  /** PEM bundle that verifies an https address. */
  readonly caPem?: string | undefined
}

export interface ControlAnswer {
  readonly text: string
  /** `X-Consul-Index`, 0 when absent. A sidecar that has acknowledged this index has what was written. */
  readonly index: number
  /** `X-Consul-Warning` lines. */
  readonly warnings: readonly string[]
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

/** `--http-addr` and `--token` as given, else CONSUL_HTTP_ADDR, CONSUL_HTTP_TOKEN(_FILE), CONSUL_HTTP_SSL, CONSUL_CACERT. */
export function controlApiFromFlags(flags: { readonly httpAddr?: string; readonly token?: string }, io: CommandIo): ControlApi {
  const address = flags.httpAddr ?? io.env('CONSUL_HTTP_ADDR') ?? DEFAULT_HTTP_ADDR
  const ssl = /^(1|true)$/i.test(io.env('CONSUL_HTTP_SSL') ?? '')
  const tokenFile = io.env('CONSUL_HTTP_TOKEN_FILE')
  const caFile = io.env('CONSUL_CACERT')
  return new ControlApi({
    address: ssl && !address.includes('://') ? `https://${address}` : address,
    token: flags.token ?? io.env('CONSUL_HTTP_TOKEN') ?? (tokenFile === undefined ? undefined : io.readText(tokenFile).trim()),
    caPem: caFile === undefined ? undefined : io.readText(caFile),
  })
}

export class ControlApi {
  private readonly shown: string
  private readonly target: RequestOptions
  private readonly https: boolean
  private readonly headers: Record<string, string>

  constructor({ address, token, caPem }: ControlApiOptions) {
    const { shown, https, target } = parseAddress(address)
    this.shown = shown
    this.https = https
    this.target = caPem === undefined ? target : ({ ...target, ca: caPem } as RequestOptions)
    this.headers = token === undefined ? {} : { 'X-Consul-Token': token }
  }

  get(path: string): Promise<ControlAnswer> {
    return this.send('GET', path, undefined)
  }

  async getJson<T>(path: string): Promise<T> {
    const { text } = await this.get(path)
    try {
      return JSON.parse(text) as T
    } catch {
      throw new CliError(`${this.shown}: GET ${path} was not answered with JSON: is this a control plane?`)
    }
  }

  put(path: string, body?: unknown): Promise<ControlAnswer> {
    return this.send('PUT', path, body === undefined ? undefined : JSON.stringify(body))
  }

  delete(path: string): Promise<ControlAnswer> {
    return this.send('DELETE', path, undefined)
  }

  private send(method: string, path: string, body: string | undefined): Promise<ControlAnswer> {
    const options: RequestOptions = {
      ...this.target,
      method,
      path,
      headers: {
        ...this.headers,
        ...(body === undefined ? {} : { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) }),
      },
      timeout: REQUEST_TIMEOUT_MS,
    }
    return new Promise((resolve, reject) => {
      const request = (this.https ? httpsRequest : httpRequest)(options, response => {
        readAnswer(response, this.shown).then(resolve, reject)
      })
      request.on('timeout', () => request.destroy(new Error(`no answer within ${REQUEST_TIMEOUT_MS / 1000} s`)))
      request.on('error', (error: NodeJS.ErrnoException) =>
        reject(
          new CliError(
            `cannot reach the control plane at ${this.shown}: ${reasonOf(error)} (--http-addr or CONSUL_HTTP_ADDR says where it is)`,
          ),
        ),
      )
      request.end(body)
    })
  }
}

/** An AggregateError (several addresses of one name) has no message of its own. */
function reasonOf(error: NodeJS.ErrnoException): string {
  if (error.code === 'ECONNREFUSED') return 'connection refused'
  if (error.code === 'ENOTFOUND') return 'no such host'
  // OpenSSL's text is several lines of its own file names.
  if (error.code === 'EPROTO') return 'it does not speak TLS (http:// is plain HTTP)'
  return error.message || (error.code ?? 'no connection')
}

async function readAnswer(response: IncomingMessage, shown: string): Promise<ControlAnswer> {
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      bytes += chunk.length
      if (bytes > MAX_ANSWER_BYTES) throw new Error(`the answer is larger than ${MAX_ANSWER_BYTES} bytes`)
      chunks.push(chunk)
    }
  } catch (error) {
    response.destroy()
    throw new CliError(`${shown}: ${(error as Error).message}`)
  }
  const text = Buffer.concat(chunks).toString('utf8')
  const status = response.statusCode ?? 0
  if (status < 200 || status > 299) throw new RefusedError(status, text.trim().split('\n')[0] || `${shown} answered ${status}`)
  const warning = response.headers['x-consul-warning']
  return {
    text,
    index: Number(response.headers['x-consul-index'] ?? 0),
    warnings: warning === undefined ? [] : [warning].flat(),
  }
}

function parseAddress(address: string): { readonly shown: string; readonly https: boolean; readonly target: RequestOptions } {
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
