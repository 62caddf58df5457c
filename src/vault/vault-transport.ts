// One request to Vault's HTTP API and its answer: connections, TLS, time limits, bounds, redirects to the active node, and tries again where
// that may help. Used by the session, which knows the token. Invariant: every call ends, in an answer or one `VaultError`; answers are bounded;
// the token follows a redirect only to where it would have gone itself: never from https to http.
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { isDeepStrictEqual } from 'node:util'
import type { Clock } from '../io/clock.js'
import { isJsonObject, type JsonObject } from './json-object.js'
import { readTlsFiles, type TlsOptions } from './tls-files.js'
import { VaultError } from './vault-error.js'
import type { VaultSettings } from './vault-settings.js'

export interface VaultRequest {
  readonly method: 'GET' | 'POST'
  /** Below `/v1/`. */
  readonly path: string
  readonly body?: JsonObject
  readonly token?: string
  /** Instead of that of the settings; '' for none. */
  readonly namespace?: string
  /** Texts of the body that no message may repeat. */
  readonly secrets?: readonly string[]
}

export interface VaultAnswer {
  readonly data: JsonObject
  readonly auth: JsonObject | undefined
  readonly warnings: readonly string[]
}

const REQUEST_TIMEOUT_MS = 10_000
const MAX_ANSWER_BYTES = 1024 * 1024
const MAX_REDIRECTS = 2
const TRIES = 3
const RETRY_DELAY_MS = 500
/** The longest `Retry-After` that is waited for. */
const MAX_RETRY_AFTER_MS = 5_000
/** A node that is not ready, no leader yet, sealed for the moment, or overloaded: another try may meet a better one. */
const RETRIED: ReadonlySet<number> = new Set([0, 412, 429, 472, 473, 500, 502, 503, 504])
const MAX_CONNECTIONS = 16
/** After this long the TLS files are looked at again. */
const TLS_FILES_MS = 30_000

interface RawAnswer {
  readonly status: number
  readonly location: string
  readonly retryAfterMs: number
  readonly text: string
}

interface Connections {
  readonly tls: TlsOptions | undefined
  readonly http: HttpAgent
  readonly https: HttpsAgent
}

export class VaultTransport {
  private connections: Connections | undefined
  private readAtMs = 0
  private closed = false

  constructor(
    private readonly settings: VaultSettings,
    private readonly clock: Clock,
  ) {}

  /** Throws `VaultError`; its status is 0 where no answer came. */
  async send(request: VaultRequest): Promise<VaultAnswer> {
    for (let tries = 1; ; tries++) {
      const failure = await this.tryOnce(request)
      if (!('status' in failure)) return failure
      if (tries === TRIES || this.closed || !RETRIED.has(failure.status)) throw failure.error
      await new Promise<void>(resolve => this.clock.after(Math.max(failure.retryAfterMs, RETRY_DELAY_MS * tries), resolve))
    }
  }

  close(): void {
    this.closed = true
    this.connections?.http.destroy()
    this.connections?.https.destroy()
  }

  private async tryOnce(
    request: VaultRequest,
  ): Promise<VaultAnswer | { readonly status: number; readonly retryAfterMs: number; readonly error: VaultError }> {
    const name = `${request.method} ${request.path}`
    const secrets = [...(request.token === undefined ? [] : [request.token]), ...(request.secrets ?? [])]
    let answer: RawAnswer
    try {
      answer = await this.followed(request)
    } catch (error) {
      const reason = error instanceof Error ? error.message || String((error as { code?: string }).code ?? '') : String(error)
      return { status: 0, retryAfterMs: 0, error: new VaultError(name, 0, [reason], secrets) }
    }
    const { status, text, retryAfterMs } = answer
    const body = status === 204 || text.trim() === '' ? {} : parsed(text)
    if (status >= 200 && status < 300 && body !== undefined) {
      return {
        data: isJsonObject(body['data']) ? body['data'] : {},
        auth: isJsonObject(body['auth']) ? body['auth'] : undefined,
        warnings: strings(body['warnings']),
      }
    }
    const reasons = status >= 200 && status < 300 ? ['the answer is no JSON object'] : strings(body?.['errors'])
    return { status, retryAfterMs, error: new VaultError(name, status, reasons, secrets) }
  }

  /** A standby node sends its clients to the active one. */
  private async followed(request: VaultRequest): Promise<RawAnswer> {
    const base = this.settings.address.replace(/\/+$/, '')
    let url = new URL(`${base}/v1/${request.path}`)
    for (let redirects = 0; ; redirects++) {
      const answer = await this.exchange(url, request)
      if (![301, 302, 307, 308].includes(answer.status) || answer.location === '') return answer
      if (redirects === MAX_REDIRECTS) throw new Error(`more than ${MAX_REDIRECTS} redirects`)
      const next = new URL(answer.location, url)
      if (next.protocol !== 'https:' && next.protocol !== url.protocol)
        throw new Error(`it redirects from https to ${next.protocol.slice(0, -1)}, which is not followed`)
      url = next
    }
  }

  private async exchange(url: URL, request: VaultRequest): Promise<RawAnswer> {
    const { http, https } = await this.open()
    const payload = request.body === undefined ? undefined : JSON.stringify(request.body)
    const namespace = request.namespace ?? this.settings.namespace
    const options = {
      method: request.method,
      headers: {
        accept: 'application/json',
        // What listeners may demand, so that no browser can be led to send requests.
        'x-vault-request': 'true',
        ...(request.token === undefined ? {} : { 'x-vault-token': request.token }),
        ...(namespace === '' ? {} : { 'x-vault-namespace': namespace }),
        ...(payload === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) }),
      },
    }
    return new Promise((resolve, reject) => {
      const outgoing =
        url.protocol === 'https:' ? httpsRequest(url, { ...options, agent: https }) : httpRequest(url, { ...options, agent: http })
      const timeout = this.clock.after(REQUEST_TIMEOUT_MS, () =>
        outgoing.destroy(new Error(`no whole answer within ${REQUEST_TIMEOUT_MS / 1000} s`)),
      )
      const end = (settle: () => void): void => {
        timeout.cancel()
        settle()
      }
      outgoing.on('error', error => end(() => reject(error)))
      outgoing.on('response', response =>
        collect(response, outcome => end(() => (outcome instanceof Error ? reject(outcome) : resolve(outcome)))),
      )
      outgoing.end(payload)
    })
  }

  private async open(): Promise<Connections> {
    if (this.closed) throw new Error('the client is closed')
    const secure = this.settings.address.startsWith('https:')
    if (this.connections !== undefined && (!secure || this.clock.now() - this.readAtMs < TLS_FILES_MS)) return this.connections
    const tls = secure ? await readTlsFiles(this.settings.tls) : undefined
    this.readAtMs = this.clock.now()
    if (this.connections !== undefined && isDeepStrictEqual(tls, this.connections.tls)) return this.connections
    // What runs over the old connections ends there.
    this.connections = {
      tls,
      http: new HttpAgent({ keepAlive: true, maxSockets: MAX_CONNECTIONS }),
      https: new HttpsAgent({ keepAlive: true, maxSockets: MAX_CONNECTIONS, ...tls }),
    }
    return this.connections
  }
}

function collect(response: IncomingMessage, done: (outcome: RawAnswer | Error) => void): void {
  const chunks: Buffer[] = []
  let length = 0
  response.on('data', (chunk: Buffer) => {
    length += chunk.length
    if (length > MAX_ANSWER_BYTES) response.destroy(new Error(`the answer is larger than ${MAX_ANSWER_BYTES} bytes`))
    else chunks.push(chunk)
  })
  response.on('error', done)
  response.on('end', () => {
    const { location, 'retry-after': retryAfter } = response.headers
    done({
      status: response.statusCode!,
      location: location ?? '',
      retryAfterMs: Math.min(/^\d{1,6}$/.test(retryAfter ?? '') ? Number(retryAfter) * 1000 : 0, MAX_RETRY_AFTER_MS),
      text: Buffer.concat(chunks).toString('utf8'),
    })
  })
}

function parsed(text: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isJsonObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

const strings = (value: unknown): string[] => (Array.isArray(value) ? value.filter(item => typeof item === 'string') : [])
