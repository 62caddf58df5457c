// The four calls that backups need of an S3-compatible store: put, get, list, delete. Used by `S3Target`.
// Each call is one signed request over a connection of its own, tried again with growing pauses where the store or the network was at fault.
// An object is sent with its length and hash, so the store takes it whole or not at all; a part of 5 GB goes in one piece, so no multipart.

import { request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { setTimeout as sleep } from 'node:timers/promises'
import { fullJitterMs } from '../../../io/backoff.js'
import { readBoundedBody } from '../../../io/bounded-body.js'
import { type ListedObjects, readError, readList } from './s3-answers.js'
import type { S3Settings } from './s3-settings.js'
import { encodePart, encodeQuery, type S3Credentials, signRequest } from './sigv4.js'

const ATTEMPTS = 5
const FIRST_PAUSE_MS = 250
const MAX_PAUSE_MS = 8_000
/** Without a byte for so long, an attempt is over. */
const IDLE_MS = 30_000
const MAX_LIST_BYTES = 16 * 1024 * 1024
const MAX_ERROR_BYTES = 64 * 1024
/** Beyond any sensible number of backups under one prefix. */
const MAX_PAGES = 100

export interface S3ClientOptions {
  readonly settings: S3Settings
  /** Read anew for each call: short-lived credentials are renewed where they come from. */
  credentials(): S3Credentials | Promise<S3Credentials>
  readonly caPem?: string
  readonly firstPauseMs?: number
}

interface Call {
  readonly method: 'GET' | 'PUT' | 'DELETE'
  /** '' = the bucket itself. */
  readonly key: string
  readonly query?: Readonly<Record<string, string>>
  readonly body?: Buffer
  readonly maxBytes: number
}

/** One line for the operator; `isPassing`: it may go better another time. */
class S3Error extends Error {
  constructor(
    message: string,
    readonly isPassing: boolean,
  ) {
    super(message)
  }
}

export class S3Client {
  private readonly closing = new AbortController()

  constructor(private readonly options: S3ClientOptions) {}

  close(): void {
    this.closing.abort()
  }

  async put(key: string, body: Buffer): Promise<void> {
    await this.call({ method: 'PUT', key, body, maxBytes: MAX_ERROR_BYTES })
  }

  get(key: string, maxBytes: number): Promise<Buffer> {
    return this.call({ method: 'GET', key, maxBytes })
  }

  async delete(key: string): Promise<void> {
    await this.call({ method: 'DELETE', key, maxBytes: MAX_ERROR_BYTES })
  }

  /** All objects whose keys begin with `prefix` and have no slash behind it. */
  async list(prefix: string): Promise<ListedObjects['objects']> {
    const objects: ListedObjects['objects'][number][] = []
    let token: string | undefined
    for (let page = 0; page < MAX_PAGES; page++) {
      const query = { 'list-type': '2', delimiter: '/', prefix, ...(token === undefined ? {} : { 'continuation-token': token }) }
      const text = (await this.call({ method: 'GET', key: '', query, maxBytes: MAX_LIST_BYTES })).toString('utf8')
      const read = readList(text)
      if (read === undefined)
        throw new Error(`${this.where}: the answer is no whole list of objects (ListObjectsV2): is this an S3 endpoint?`)
      objects.push(...read.objects)
      token = read.nextToken
      if (token === undefined) return objects
    }
    throw new Error(`${this.where}: more than ${MAX_PAGES} pages of objects: give backups a prefix of their own`)
  }

  private get where(): string {
    const { bucket, endpoint } = this.options.settings
    return `bucket ${bucket} at ${endpoint.host}`
  }

  private async call(call: Call): Promise<Buffer> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.attempt(call)
      } catch (error) {
        const isPassing = (!(error instanceof S3Error) || error.isPassing) && !this.closing.signal.aborted
        if (!isPassing || attempt === ATTEMPTS)
          throw new Error(`${this.where}: ${(error as Error).message}${attempt > 1 ? ` (tried ${attempt} times)` : ''}`)
        const pauseMs = fullJitterMs(attempt, this.options.firstPauseMs ?? FIRST_PAUSE_MS, MAX_PAUSE_MS, Math.random)
        await sleep(pauseMs, undefined, { signal: this.closing.signal })
      }
    }
  }

  private async attempt({ method, key, query = {}, body = Buffer.alloc(0), maxBytes }: Call): Promise<Buffer> {
    const { settings, caPem } = this.options
    const { endpoint, bucket, pathStyle, region } = settings
    const host = pathStyle ? endpoint.host : `${bucket}.${endpoint.host}`
    const base = endpoint.pathname.replace(/\/$/, '')
    const path = `${base}${pathStyle ? `/${bucket}` : ''}/${key.split('/').map(encodePart).join('/')}`
    const headers = signRequest({ method, host, path, query, body }, await this.options.credentials(), region, new Date())
    const search = encodeQuery(query)
    const isTls = endpoint.protocol === 'https:'
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const request = (isTls ? httpsRequest : httpRequest)(
        {
          method,
          host: (pathStyle ? endpoint.hostname : `${bucket}.${endpoint.hostname}`).replace(/^\[|\]$/g, ''),
          port: endpoint.port === '' ? (isTls ? 443 : 80) : Number(endpoint.port),
          path: search === '' ? path : `${path}?${search}`,
          headers: { ...headers, ...(method === 'PUT' ? { 'content-length': body.length } : {}) },
          timeout: IDLE_MS,
          agent: false,
          signal: this.closing.signal,
          ...(caPem === undefined ? {} : { ca: caPem }),
        },
        resolve,
      )
      request.on('timeout', () => request.destroy(new Error(`no answer within ${IDLE_MS / 1000} s`)))
      request.on('error', reject)
      request.end(body)
    })
    const { statusCode = 0 } = response
    const isGood = statusCode >= 200 && statusCode <= 299
    const mostBytes = isGood ? maxBytes : MAX_ERROR_BYTES
    const bytes = await readBoundedBody(response, mostBytes, () => new S3Error(`an answer of more than ${mostBytes} bytes`, false))
    if (isGood || (method === 'DELETE' && statusCode === 404)) return bytes
    throw this.refusal(statusCode, response, bytes.toString('utf8'), key)
  }

  private refusal(status: number, response: IncomingMessage, text: string, key: string): S3Error {
    const { code, message } = readError(text)
    const { region } = this.options.settings
    const other = response.headers['x-amz-bucket-region']
    if (typeof other === 'string' && other !== region)
      return new S3Error(`it is in region ${other}, not in ${region} (region=${other})`, false)
    if (code === 'NoSuchKey') return new S3Error(`there is no object ${key}`, false)
    if (code === 'RequestTimeTooSkewed')
      return new S3Error(
        `the clock of this machine is wrong: its date is ${new Date().toISOString()}, the store's ${response.headers.date}`,
        false,
      )
    const said = code === '' ? `answered ${status}` : `answered ${status} ${code}${message === '' ? '' : `: ${message}`}`
    return new S3Error(said, status >= 500 || status === 429 || code === 'SlowDown' || code === 'RequestTimeout')
  }
}
