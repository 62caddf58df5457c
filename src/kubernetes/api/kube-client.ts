// HTTP client of a Kubernetes API server: objects read and written as JSON, and the stream of a watch. Used by object-watch.ts, leader-lease.ts,
// sync/ and resources/. Invariant: an answer other than 2xx is a `KubeError` with the server's reason and message; answers are bounded.

import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { readAnswerBody } from '../../io/bounded-body.js'
import { serverNameOptions } from '../../io/server-name.js'
import type { ClusterConfig } from './cluster-config.js'

export interface KubeObject {
  readonly apiVersion?: string
  readonly kind?: string
  readonly metadata: ObjectMeta
}

export interface ObjectMeta {
  readonly name: string
  readonly namespace?: string
  readonly resourceVersion?: string
  readonly generation?: number
  readonly deletionTimestamp?: string
  readonly annotations?: Readonly<Record<string, string>>
  readonly labels?: Readonly<Record<string, string>>
  readonly finalizers?: readonly string[]
}

/** `reason` is Kubernetes': NotFound, Conflict, AlreadyExists, Expired, … */
export class KubeError extends Error {
  constructor(
    readonly statusCode: number,
    readonly reason: string,
    message: string,
    /** How long the server asks to be left alone; 0 = it says nothing of it. */
    readonly retryAfterMs = 0,
  ) {
    super(message)
  }
}

const REQUEST_TIMEOUT_MS = 30_000
const MAX_RETRY_AFTER_MS = 60_000
const MAX_ANSWER_BYTES = 64 * 1024 * 1024
/** An object in etcd has 1.5 MiB at most. */
const MAX_LINE_CHARS = 8 * 1024 * 1024

export class KubeClient {
  private readonly agent: HttpAgent
  private readonly secure: boolean

  constructor(
    private readonly config: ClusterConfig,
    private readonly timeoutMs = REQUEST_TIMEOUT_MS,
  ) {
    this.secure = config.server.startsWith('https:')
    this.agent = this.secure
      ? new HttpsAgent({
          keepAlive: true,
          ca: config.caPem,
          cert: config.certPem,
          key: config.keyPem,
          ...(config.serverName === undefined ? {} : serverNameOptions(config.serverName)),
          rejectUnauthorized: config.verify,
        })
      : new HttpAgent({ keepAlive: true })
  }

  get<T>(path: string): Promise<T> {
    return this.json<T>('GET', path)
  }

  async find<T>(path: string): Promise<T | undefined> {
    try {
      return await this.get<T>(path)
    } catch (error) {
      if (error instanceof KubeError && error.statusCode === 404) return undefined
      throw error
    }
  }

  create<T>(path: string, body: object): Promise<T> {
    return this.json<T>('POST', path, body)
  }

  /** Refused as a conflict where the object has changed since `metadata.resourceVersion` of the body. */
  update<T>(path: string, body: object): Promise<T> {
    return this.json<T>('PUT', path, body)
  }

  /** What is not there is deleted already. */
  async delete(path: string): Promise<void> {
    try {
      await this.json('DELETE', path)
    } catch (error) {
      if (!(error instanceof KubeError && error.statusCode === 404)) throw error
    }
  }

  /** Hands on each line of the stream until the server ends it, or `signal` does; rejects where nothing comes for `silentMs`. */
  async watch(path: string, silentMs: number, signal: AbortSignal, onLine: (line: string) => void): Promise<void> {
    const response = await this.send('GET', path, undefined, silentMs, signal)
    if (response.statusCode !== 200) await readAnswer(response)
    response.setEncoding('utf8')
    let rest = ''
    try {
      for await (const text of response as AsyncIterable<string>) {
        const lines = (rest + text).split('\n')
        rest = lines.pop()!
        if (rest.length > MAX_LINE_CHARS) throw new Error(`an event is longer than ${MAX_LINE_CHARS} characters`)
        for (const line of lines) if (line !== '') onLine(line)
      }
    } catch (error) {
      if (!signal.aborted) throw error
    } finally {
      response.destroy()
    }
  }

  close(): void {
    this.agent.destroy()
  }

  private async json<T>(method: string, path: string, body?: object): Promise<T> {
    const text = await readAnswer(await this.send(method, path, body === undefined ? undefined : JSON.stringify(body), this.timeoutMs))
    try {
      return JSON.parse(text) as T
    } catch {
      throw new Error(`${this.config.server}: ${method} ${path} was not answered with JSON`)
    }
  }

  private send(method: string, path: string, body: string | undefined, timeout: number, signal?: AbortSignal): Promise<IncomingMessage> {
    const token = this.config.token()
    const options = {
      method,
      agent: this.agent,
      timeout,
      ...(signal === undefined ? {} : { signal }),
      headers: {
        Accept: 'application/json',
        'User-Agent': 'outrigger-k8s',
        ...(token === undefined ? {} : { Authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) }),
      },
    }
    return new Promise((resolve, reject) => {
      let answer: IncomingMessage | undefined
      const request = (this.secure ? httpsRequest : httpRequest)(this.config.server + path, options, response =>
        resolve((answer = response)),
      )
      request.on('timeout', () => (answer ?? request).destroy(new Error(`nothing came for ${timeout / 1000} s`)))
      request.on('error', error => reject(new Error(`${this.config.server}: ${error.message}`)))
      request.end(body)
    })
  }
}

async function readAnswer(response: IncomingMessage): Promise<string> {
  const text = (await readAnswerBody(response, MAX_ANSWER_BYTES)).toString('utf8')
  const { statusCode = 0 } = response
  if (statusCode >= 200 && statusCode <= 299) return text
  throw errorOf(statusCode, text, retryAfterMs(response.headers['retry-after']))
}

/** In seconds, as API servers write it; one that asks for more than a minute is asked then. */
function retryAfterMs(seconds = ''): number {
  return /^\d+$/.test(seconds) ? Math.min(Number(seconds) * 1000, MAX_RETRY_AFTER_MS) : 0
}

function errorOf(statusCode: number, text: string, waitMs: number): KubeError {
  try {
    const { reason, message } = JSON.parse(text) as { reason?: string; message?: string }
    return new KubeError(statusCode, reason ?? '', message ?? `the answer is ${statusCode}`, waitMs)
  } catch {
    return new KubeError(statusCode, '', text.trim().split('\n')[0] || `the answer is ${statusCode}`, waitMs)
  }
}
