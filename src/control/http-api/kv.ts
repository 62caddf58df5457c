// `/v1/kv`: pairs of keys and values with flags, check-and-set, locks of sessions, prefixes and blocking reads, as in Consul.
// Pairs are printed by hand: flags are 64-bit numbers, which JSON.stringify cannot print. What is sent is a list of objects with their key,
// because that is what ACLs look at before it is printed.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { KvChange } from '../kv/kv-change.js'
import type { KvPair } from '../kv/kv-table.js'
import type { Watched } from './blocking-queries.js'
import type { ApiContext } from './context.js'
import { type Answered, blockingRead, casIndex, HttpError, param, query } from './respond.js'

/** Consul's `kv_max_value_size`. */
export const MAX_KV_VALUE_BYTES = 512 * 1024
export const MAX_FLAGS = 2n ** 64n - 1n
/** Of a recursive or keys read; Consul has no limit, we have one process. */
const BODY_LIMIT = 4 * MAX_KV_VALUE_BYTES

export function kvRoutes(app: FastifyInstance, context: ApiContext): void {
  const { kv, kvWriter } = context

  app.get('/v1/kv/*', (request, reply) => {
    const key = param(request, '*')
    if (query(request, 'keys') !== undefined) return keys(context, request, reply, key)
    if (query(request, 'recurse') !== undefined) {
      const watched: Watched = { index: () => kv.prefixIndex(key), watch: wake => kv.watchPrefix(key, wake) }
      return blockingRead(context, request, reply, watched, () => {
        const pairs = kv.list(key)
        if (pairs.length === 0) return notFound(reply)
        return sentPairs(reply, pairs)
      })
    }
    if (key === '') throw new HttpError(400, 'Missing key name')
    const watched: Watched = { index: () => kv.keyIndex(key), watch: wake => kv.watchKey(key, wake) }
    return blockingRead(context, request, reply, watched, () => {
      const pair = kv.get(key)
      if (pair === undefined) return notFound(reply)
      if (query(request, 'raw') === undefined) return sentPairs(reply, [pair])
      // A value is whatever someone wrote: no browser may take it for a page of this host.
      reply.header('X-Content-Type-Options', 'nosniff').header('Content-Security-Policy', 'sandbox')
      reply.type('application/octet-stream')
      return Buffer.from(pair.value, 'base64')
    })
  })

  app.put('/v1/kv/*', { bodyLimit: BODY_LIMIT, config: { rawBody: true } }, async (request, reply) => {
    const key = param(request, '*')
    if (key === '') throw new HttpError(400, 'Missing key name')
    const body = (request.body as Buffer | undefined) ?? Buffer.alloc(0)
    if (body.length > MAX_KV_VALUE_BYTES)
      throw new HttpError(413, `Request body(${body.length} bytes) too large, max size: ${MAX_KV_VALUE_BYTES} bytes.`)
    oneOf(request, 'cas', 'acquire', 'release')
    const value = body.toString('base64')
    const flags = parseFlags(query(request, 'flags'))
    const cas = casIndex(request, 'Invalid cas')
    const acquire = query(request, 'acquire')
    const release = query(request, 'release')
    const decide = (change: KvChange): boolean => {
      if (cas !== undefined) return change.setIf(key, value, flags, cas) !== undefined
      if (acquire !== undefined) return change.lock(key, value, flags, acquire) !== undefined
      if (release !== undefined) return change.unlock(key, value, flags, release) !== undefined
      change.set(key, value, flags)
      return true
    }
    return json(reply, String((await kvWriter.run(change => ({ value: decide(change) }))).value))
  })

  app.delete('/v1/kv/*', async (request, reply) => {
    const key = param(request, '*')
    oneOf(request, 'recurse', 'cas')
    const cas = casIndex(request, 'Invalid cas')
    const recurse = query(request, 'recurse') !== undefined
    if (!recurse && key === '') throw new HttpError(400, 'Missing key name')
    const { value } = await kvWriter.run(change => {
      if (recurse) change.deleteTree(key)
      else if (cas !== undefined) return { value: change.deleteIf(key, cas) }
      else change.delete(key)
      return { value: true }
    })
    return json(reply, String(value))
  })
}

function keys(context: ApiContext, request: FastifyRequest, reply: FastifyReply, prefix: string): Answered {
  const { kv } = context
  const separator = query(request, 'separator') ?? ''
  const watched: Watched = { index: () => kv.prefixIndex(prefix), watch: wake => kv.watchPrefix(prefix, wake) }
  return blockingRead(context, request, reply, watched, () => {
    const found = kv.keys(prefix, separator)
    return found.length === 0 ? notFound(reply) : found
  })
}

interface SentPair {
  readonly Key: string
  readonly pair: KvPair
}

function sentPairs(reply: FastifyReply, pairs: readonly KvPair[]): SentPair[] {
  reply.type('application/json').serializer((sent: SentPair[]) => `[${sent.map(({ pair }) => pairJson(pair, pair.value)).join(',')}]`)
  return pairs.map(pair => ({ Key: pair.key, pair }))
}

/** A pair as the API prints it; `value` null where a transaction leaves it out. */
export function pairJson(pair: Omit<KvPair, 'value'>, value: string | null): string {
  const session = pair.session === '' ? '' : `,"Session":${JSON.stringify(pair.session)}`
  return (
    `{"LockIndex":${pair.lockIndex},"Key":${JSON.stringify(pair.key)},"Flags":${pair.flags},"Value":${JSON.stringify(value)}${session},` +
    `"CreateIndex":${pair.createIndex},"ModifyIndex":${pair.modifyIndex}}`
  )
}

/** Decimal digits of an unsigned 64-bit number. */
export function parseFlags(text: string | undefined): string {
  if (text === undefined || text === '') return '0'
  if (!/^\d{1,20}$/.test(text) || BigInt(text) > MAX_FLAGS)
    throw new HttpError(400, `Invalid flags: ${JSON.stringify(text)} is no unsigned 64-bit number`)
  return String(BigInt(text))
}

function oneOf(request: FastifyRequest, ...names: readonly string[]): void {
  const given = names.filter(name => query(request, name) !== undefined)
  if (given.length > 1) throw new HttpError(400, `Conflicting flags: ${given.join('&')}`)
}

function notFound(reply: FastifyReply): string {
  reply.code(404).type('text/plain; charset=utf-8')
  return ''
}

function json(reply: FastifyReply, text: string): string {
  reply.type('application/json')
  return text
}
