// Answers in Consul's manner: JSON bodies with index headers, errors as one line of plain text, blocking reads. Used by every route file.
import { createHash } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { parseDuration } from '../config-entries/duration.js'
import type { ConfigError } from '../config-entries/types.js'
import type { TopicIndexes } from '../store/topic-indexes.js'
import { DEFAULT_WAIT_MS, MAX_BLOCKING_QUERIES, MAX_WAIT_MS, type Watched } from './blocking-queries.js'
import type { LocalContext } from './context.js'

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
  const value = (request.query as Record<string, string | readonly string[] | undefined>)[name]
  return typeof value === 'object' ? value.at(-1) : value
}

/** Every value of a query parameter, in order. */
export function queryAll(request: FastifyRequest, name: string): readonly string[] {
  const value = (request.query as Record<string, string | readonly string[] | undefined>)[name]
  return value === undefined ? [] : typeof value === 'string' ? [value] : value
}

/** `?cas=`, undefined when absent. `refusal`: what Consul says there of one that is no index. */
export function casIndex(request: FastifyRequest, refusal: string): number | undefined {
  const text = query(request, 'cas')
  if (text === undefined) return undefined
  if (!/^\d{1,15}$/.test(text)) throw new HttpError(400, `${refusal}: ${JSON.stringify(text)} is no index`)
  return Number(text)
}

/** Consul's flags: there without a value, or with any but `false`. */
export function flag(request: FastifyRequest, name: string): boolean {
  const value = query(request, name)
  return value !== undefined && value !== 'false' && value !== '0'
}

const TRUE = ['1', 't', 'T', 'true', 'TRUE', 'True']
const FALSE = ['0', 'f', 'F', 'false', 'FALSE', 'False']

/** A boolean as Go reads it; undefined for anything else. */
export function parseBoolean(text: string): boolean | undefined {
  return TRUE.includes(text) ? true : FALSE.includes(text) ? false : undefined
}

export function param(request: FastifyRequest, name: string): string {
  return (request.params as Record<string, string | undefined>)[name] ?? ''
}

export function joinErrors(errors: readonly ConfigError[]): string {
  return errors.map(describeError).join('; ')
}

export function describeError({ path, reason }: ConfigError): string {
  return path === '' ? reason : `${path}: ${reason}`
}

export function requiredQuery(request: FastifyRequest, name: string): string {
  const value = query(request, name)
  if (value === undefined || value === '') throw new HttpError(400, `required query parameter '${name}' not set`)
  return value
}

/** A JSON object; anything else is Consul's 400. */
export function bodyObject(request: FastifyRequest): Record<string, unknown> {
  const { body } = request
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw new HttpError(400, 'Request decode failed: must be an object')
  return body as Record<string, unknown>
}

/** Each of them: Consul's command line and SDK print what stands there. */
export function warn(reply: FastifyReply, warnings: readonly string[]): void {
  if (warnings.length > 0)
    reply.header(
      'X-Consul-Warning',
      warnings.map(text => text.replace(/[^\x20-\x7e]/g, '?')),
    )
}

export function topicWatch(indexes: TopicIndexes, topic: string): Watched {
  return { index: () => indexes.get(topic), watch: wake => indexes.watch(topic, wake) }
}

/** Moved by each of them. */
export function eitherTopic(indexes: TopicIndexes, ...topics: readonly string[]): Watched {
  return {
    index: () => Math.max(...topics.map(topic => indexes.get(topic))),
    watch: wake => {
      const ends = topics.map(topic => indexes.watch(topic, wake))
      return () => {
        for (const end of ends) end()
      }
    },
  }
}

type Waiting = Pick<LocalContext, 'blocking' | 'indexes' | 'store'>

/** At once, or after a wait. */
export type Answered = FastifyReply | Promise<FastifyReply>

/** Waits as `?index=` asks, then answers with what `read` gives and the index of what it read. `read` runs after the wait. */
export function blockingRead(
  context: Waiting,
  request: FastifyRequest,
  reply: FastifyReply,
  /** A topic's name, or what else can be waited for. */
  what: string | Watched,
  read: () => unknown,
): Answered {
  const watched = typeof what === 'string' ? topicWatch(context.indexes, what) : what
  const index = askedIndex(request)
  const { store } = context
  // Replicas that began at different times know the last change of a thing more or less exactly: one index is before, of, or after it.
  const isOfOurs = (): boolean => store.isShared && index <= store.index
  const answer = (): FastifyReply => {
    indexHeaders(reply, isOfOurs() ? Math.max(index, watched.index()) : watched.index(), request)
    return reply.send(read())
  }
  // An index from the future is one of another data directory: it is answered at once, as after a reset.
  const isOver = (): boolean => (isOfOurs() ? watched.index() > index : watched.index() !== index)
  return index === 0 ? answer() : waitUntil(context, request, watched, isOver).then(answer)
}

/** Waits as `?hash=` asks until `read` gives something else, and answers with it and its hash (agent endpoints). */
export async function hashBlockingRead(
  context: Waiting,
  request: FastifyRequest,
  reply: FastifyReply,
  watched: Watched,
  read: () => object,
): Promise<FastifyReply> {
  const asked = query(request, 'hash') ?? ''
  if (asked !== '') await waitUntil(context, request, watched, () => hashOf(read) !== asked)
  const value = read()
  const ContentHash = contentHash(value)
  return reply.header('X-Consul-ContentHash', ContentHash).send({ ...value, ContentHash })
}

/** '' when there is nothing to read any more. */
function hashOf(read: () => object): string {
  try {
    return contentHash(read())
  } catch {
    return ''
  }
}

function contentHash(value: object): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 16)
}

async function waitUntil(context: Waiting, request: FastifyRequest, watched: Watched, isOver: () => boolean): Promise<void> {
  const waitMs = askedWaitMs(request)
  const gone = new AbortController()
  const onClose = (): void => gone.abort()
  request.raw.socket.once('close', onClose)
  const ok = await context.blocking.wait(watched, isOver, waitMs, gone.signal)
  request.raw.socket.removeListener('close', onClose)
  if (!ok) throw new HttpError(429, `too many blocking queries (limit ${MAX_BLOCKING_QUERIES})`)
}

export function sendIndexed(reply: FastifyReply, index: number, value: unknown): FastifyReply {
  indexHeaders(reply, index)
  return reply.send(value)
}

export function indexHeaders(reply: FastifyReply, index: number, request?: FastifyRequest): void {
  const consistency = request === undefined ? 'leader' : query(request, 'stale') !== undefined ? 'stale' : undefined
  // Everything is in memory, and as new as the store.
  if (request !== undefined && query(request, 'cached') !== undefined) reply.header('X-Cache', 'HIT').header('Age', '0')
  reply
    .header('X-Consul-Index', String(index))
    .header('X-Consul-KnownLeader', 'true')
    .header('X-Consul-LastContact', '0')
    .header('X-Consul-Effective-Consistency', consistency ?? (query(request!, 'consistent') === undefined ? 'leader' : 'consistent'))
}

export function askedIndex(request: FastifyRequest): number {
  const text = query(request, 'index')
  if (text === undefined || text === '') return 0
  // Indexes of events are longer than a number holds exactly; they are compared as they come back, so the rounding is the same.
  if (!/^\d{1,20}$/.test(text)) throw new HttpError(400, 'Invalid index')
  return Number(text)
}

/** With Consul's spread of up to a sixteenth, so that waits that began together don't end together. */
export function askedWaitMs(request: FastifyRequest): number {
  const text = query(request, 'wait')
  const asked = text === undefined || text === '' ? DEFAULT_WAIT_MS : (parseDuration(text) ?? Number.NaN) / 1e6
  if (!Number.isFinite(asked) || asked < 0) throw new HttpError(400, 'Invalid wait time')
  const wait = Math.min(asked === 0 ? DEFAULT_WAIT_MS : asked, MAX_WAIT_MS)
  return wait + Math.random() * (wait / 16)
}
