// Requests to those whom a task tells: one at a time, on a connection of its own, with bounded answers, tried again where that can help.
// Called by the drivers of this folder. Invariants: redirects are not followed (credentials go to the named host alone); a request is tried
// again only after a failed connection or an answer that says so, `attempts` times in all, later each time; one try, with the whole of its
// answer, takes no longer than the target's timeout.
import { request as httpRequest, type IncomingHttpHeaders, type IncomingMessage, type RequestOptions } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { fullJitterMs } from '../../../io/backoff.js'
import { readAnswerBody } from '../../../io/bounded-body.js'
import type { WallClock } from '../../../io/clock.js'
import type { HttpTarget } from '../../config/sync-config.js'
import { pause } from '../../pause.js'
import { DriverError } from '../driver.js'

export interface HttpWorld {
  readonly clock: WallClock
  readonly random: () => number
  readFile(path: string): string
  env(name: string): string | undefined
}

export interface HttpRequest {
  readonly method: string
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
}

export interface HttpAnswer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
}

const MAX_ANSWER_BYTES = 8 * 1024 * 1024
const BACKOFF_BASE_MS = 1_000
const BACKOFF_MAX_MS = 30_000
const MAX_RETRY_AFTER_MS = 120_000
const AGAIN = new Set([408, 425, 429, 500, 502, 503, 504])
const SHOWN_BYTES = 500

/** The first answer that says no "later"; rejects with `DriverError` when there is none. Answers other than 2xx are the caller's to judge. */
export async function callWithRetries(
  target: HttpTarget,
  request: HttpRequest,
  world: HttpWorld,
  signal: AbortSignal,
): Promise<HttpAnswer> {
  for (let attempt = 1; ; attempt++) {
    let failure: string
    let waitMs = fullJitterMs(attempt - 1, BACKOFF_BASE_MS, BACKOFF_MAX_MS, world.random)
    try {
      const answer = await callOnce(target, request, world, signal)
      if (!AGAIN.has(answer.status) || attempt >= target.attempts) return answer
      failure = refusalOf(answer)
      waitMs = Math.max(waitMs, retryAfterMs(answer))
    } catch (error) {
      failure = (error as Error).message
    }
    if (signal.aborted) throw new DriverError(`${request.method} ${request.url}: was stopped`)
    if (attempt >= target.attempts) throw new DriverError(`${request.method} ${request.url}: ${failure} (${attempt} attempts)`)
    await pause(waitMs, world.clock, signal)
  }
}

/** What an answer other than 2xx says, in one line. */
export function refusalOf({ status, text }: HttpAnswer): string {
  const line = text.replace(/\s+/g, ' ').trim().slice(0, SHOWN_BYTES)
  return `the answer is ${status}${line === '' ? '' : `: ${line}`}`
}

export function expectGood(answer: HttpAnswer, { method, url }: HttpRequest): HttpAnswer {
  if (answer.status >= 200 && answer.status <= 299) return answer
  throw new DriverError(`${method} ${url}: ${refusalOf(answer)}`, { isFinal: answer.status < 500 && answer.status !== 429 })
}

function retryAfterMs({ headers }: HttpAnswer): number {
  const seconds = Number(headers['retry-after'] ?? 0)
  return Number.isFinite(seconds) ? Math.min(Math.max(seconds, 0) * 1_000, MAX_RETRY_AFTER_MS) : 0
}

async function callOnce(
  target: HttpTarget,
  { method, url, headers, body }: HttpRequest,
  world: HttpWorld,
  signal: AbortSignal,
): Promise<HttpAnswer> {
  const { protocol } = new URL(url)
  const options: RequestOptions & { ca?: string; rejectUnauthorized?: boolean } = {
    method,
    agent: false,
    headers: { ...target.headers, ...headers, ...(body === undefined ? {} : { 'Content-Length': Buffer.byteLength(body) }) },
    ...(target.caFile === undefined ? {} : { ca: world.readFile(target.caFile) }),
    rejectUnauthorized: target.verify,
  }
  const over = new AbortController()
  let isLate = false
  const timer = world.clock.after(target.timeoutMs, () => {
    isLate = true
    over.abort()
  })
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const whole = { ...options, signal: AbortSignal.any([signal, over.signal]) }
      const request = (protocol === 'https:' ? httpsRequest : httpRequest)(url, whole, resolve)
      request.on('error', (error: NodeJS.ErrnoException) => reject(new Error(error.message || (error.code ?? 'no connection'))))
      request.end(body)
    })
    const text = (await readAnswerBody(response, MAX_ANSWER_BYTES)).toString('utf8')
    return { status: response.statusCode ?? 0, headers: response.headers, text }
  } catch (error) {
    throw isLate ? new Error(`no whole answer within ${target.timeoutMs / 1000} s`) : error
  } finally {
    timer.cancel()
  }
}
