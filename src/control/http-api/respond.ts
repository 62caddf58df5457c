// Answers in Consul's manner: JSON bodies with index headers, errors as one line of plain text, blocking reads. Used by every route file.
import type { FastifyReply, FastifyRequest } from 'fastify'
import { parseDuration } from '../config-entries/duration.js'
import type { ConfigError } from '../config-entries/types.js'
import { DEFAULT_WAIT_MS, MAX_BLOCKING_QUERIES, MAX_WAIT_MS } from '../store/topic-indexes.js'
import type { ApiContext } from './context.js'

/** An answer other than 200, with Consul's plain-text body. */
export class HttpError extends Error {
  constructor(
    readonly statusCode: number,
    message: string,
  ) {
    super(message)
  }
}

/** The last value of a query parameter, undefined when absent. */
export function query(request: FastifyRequest, name: string): string | undefined {
  const value = (request.query as Record<string, string | string[] | undefined>)[name]
  return Array.isArray(value) ? value.at(-1) : value
}

/** Consul's flags: there without a value, or with any but `false`. */
export function flag(request: FastifyRequest, name: string): boolean {
  const value = query(request, name)
  return value !== undefined && value !== 'false' && value !== '0'
}

export function param(request: FastifyRequest, name: string): string {
  return (request.params as Record<string, string | undefined>)[name] ?? ''
}

export function joinErrors(errors: readonly ConfigError[]): string {
  return errors.map(({ path, reason }) => (path === '' ? reason : `${path}: ${reason}`)).join('; ')
}

export function requiredQuery(request: FastifyRequest, name: string): string {
  const value = query(request, name)
  if (value === undefined || value === '') throw new HttpError(400, `required query parameter '${name}' not set`)
  return value
}

/** Waits as `?index=` asks, then answers with what `read` gives and the topic's index. `read` runs after the wait. */
export async function blockingRead(
  context: ApiContext,
  request: FastifyRequest,
  reply: FastifyReply,
  topic: string,
  read: () => unknown,
): Promise<FastifyReply> {
  const { indexes } = context
  const text = query(request, 'index')
  if (text !== undefined && text !== '') {
    if (!/^\d{1,15}$/.test(text)) throw new HttpError(400, 'Invalid index')
    const index = Number(text)
    if (index > 0) {
      const gone = new AbortController()
      const onClose = (): void => gone.abort()
      request.raw.socket.once('close', onClose)
      const ok = await indexes.waitFor(topic, index, waitMs(query(request, 'wait')), gone.signal)
      request.raw.socket.removeListener('close', onClose)
      if (!ok) throw new HttpError(429, `too many blocking queries (limit ${MAX_BLOCKING_QUERIES})`)
    }
  }
  return sendIndexed(reply, indexes.get(topic), read())
}

export function sendIndexed(reply: FastifyReply, index: number, value: unknown): FastifyReply {
  return reply
    .header('X-Consul-Index', String(index))
    .header('X-Consul-KnownLeader', 'true')
    .header('X-Consul-LastContact', '0')
    .header('X-Consul-Effective-Consistency', 'leader')
    .send(value)
}

/** With Consul's spread of up to a sixteenth, so that waits that began together don't end together. */
function waitMs(text: string | undefined): number {
  const asked = text === undefined || text === '' ? DEFAULT_WAIT_MS : (parseDuration(text) ?? Number.NaN) / 1e6
  if (!Number.isFinite(asked) || asked < 0) throw new HttpError(400, 'Invalid wait time')
  const wait = Math.min(asked === 0 ? DEFAULT_WAIT_MS : asked, MAX_WAIT_MS)
  return wait + Math.random() * (wait / 16)
}
