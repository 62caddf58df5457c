// `/v1/txn`: several operations at once, all of them or none. KV and session operations here, those of the catalog in txn-catalog.ts.
// Invariant: the answer's results are what the operations did, in order; with one error nothing was done, and each error names its operation.
import type { FastifyInstance } from 'fastify'
import { CatalogError } from '../catalog/catalog-draft.js'
import { FieldReader, isObject } from '../config-entries/field-reader.js'
import type { ConfigError } from '../config-entries/types.js'
import { type KvChange, PENDING } from '../kv/kv-change.js'
import type { KvPair } from '../kv/kv-table.js'
import type { StoreWrite } from '../store/store.js'
import type { ApiContext } from './context.js'
import { MAX_FLAGS, MAX_KV_VALUE_BYTES, pairJson } from './kv.js'
import { HttpError, joinErrors } from './respond.js'
import { attemptCatalog, type CatalogOperation, type CatalogResult, catalogResultJson, readCatalogOperation } from './txn-catalog.js'

export const MAX_TXN_OPERATIONS = 128
const MAX_TXN_BYTES = 2 * 1024 * 1024

type Operation =
  | { readonly kind: 'kv'; readonly kv: KvOperation }
  | { readonly kind: 'catalog'; readonly catalog: CatalogOperation }
  | { readonly kind: 'session'; readonly verb: string; readonly id: string }

interface KvOperation {
  readonly verb: string
  readonly key: string
  readonly value: string
  readonly flags: string
  readonly index: number
  readonly session: string
}

/** What is printed, with what ACLs judge it by. */
interface SentResults {
  readonly Results: readonly ({ readonly Key: string; readonly result: KvResult } | CatalogResult)[]
}

/** A pair as it was after the operation; the value is left out where the operation wrote it. */
interface KvResult {
  readonly pair: KvPair | undefined
  readonly key: string
  readonly withValue: boolean
}

export function txnRoutes(app: FastifyInstance, context: ApiContext): void {
  app.put('/v1/txn', { bodyLimit: MAX_TXN_BYTES }, async (request, reply) => {
    const operations = readOperations(request.body, context.node.datacenter)
    const { value, index } = await context.kvWriter.run(change => {
      const results: SentResults['Results'][number][] = []
      const errors: { OpIndex: number; What: string }[] = []
      const draft = context.catalog.draft()
      const writes: StoreWrite[] = []
      // Of what the transaction has written itself, its index: it has the next one.
      const pendingIndex = context.store.index + 1
      operations.forEach((operation, i) => {
        try {
          if (operation.kind === 'catalog') results.push(...attemptCatalog(draft, operation.catalog))
          else if (operation.kind === 'kv')
            results.push(...attempt(change, operation.kv, pendingIndex).map(result => ({ Key: result.key, result })))
          else writes.push(...endSession(context, change, operation.verb, operation.id))
        } catch (error) {
          if (!(error instanceof Refusal || error instanceof CatalogError)) throw error
          errors.push({ OpIndex: i, What: error.message })
        }
      })
      writes.push(...draft.writes())
      return { value: { results, errors }, abandoned: errors.length > 0, ...(writes.length === 0 ? {} : { writes }) }
    })
    reply.type('application/json').header('X-Consul-Index', String(index))
    if (value.errors.length > 0) return reply.code(409).send({ Results: null, Errors: value.errors })
    reply.serializer(
      ({ Results }: SentResults) =>
        `{"Results":[${Results.map(each => ('Key' in each ? resultJson(each.result, index) : catalogResultJson(each, index))).join(',')}],"Errors":null}`,
    )
    return reply.send({ Results: value.results } satisfies SentResults)
  })
}

/** Why an operation is not done. */
class Refusal extends Error {}

function endSession({ sessions }: ApiContext, change: KvChange, verb: string, id: string): StoreWrite[] {
  if (verb !== 'delete') throw new Refusal(`failed to delete session: unknown Session verb ${JSON.stringify(verb)}`)
  const write = sessions.endIn(change, id)
  return write === undefined ? [] : [write]
}

function readOperations(body: unknown, datacenter: string): Operation[] {
  if (!Array.isArray(body)) throw new HttpError(400, 'Failed to parse body: must be a list of operations')
  if (body.length > MAX_TXN_OPERATIONS)
    throw new HttpError(413, `Transaction contains too many operations (${body.length} > ${MAX_TXN_OPERATIONS})`)
  return body.map((item: unknown, i) => {
    const errors: ConfigError[] = []
    const fields = isObject(item) ? new FieldReader(item, `[${i}]`, errors) : undefined
    if (fields === undefined) throw new HttpError(400, `Failed to parse body: [${i}]: must be an object`)
    const operation = readOperation(item, fields, datacenter)
    if (errors.length > 0) throw new HttpError(400, `Failed to parse body: ${joinErrors(errors)}`)
    return operation
  })
}

function readOperation(item: unknown, fields: FieldReader, datacenter: string): Operation {
  const kv = fields.object('KV')
  if (kv !== undefined) {
    const flags = digitsOf((isObject(item) ? (item['KV'] ?? item['kv']) : undefined) as Record<string, unknown>)
    const value = kv.has('Value') ? base64Of(item) : ''
    const index = kv.integer('Index', 0, Number.MAX_SAFE_INTEGER, 0)
    return { kind: 'kv', kv: { verb: kv.string('Verb'), key: kv.string('Key'), value, flags, index, session: kv.string('Session') } }
  }
  const session = fields.object('Session')
  if (session !== undefined) return { kind: 'session', verb: session.string('Verb'), id: session.object('Session')?.string('ID') ?? '' }
  const catalog = readCatalogOperation(fields, datacenter)
  if (catalog !== undefined) return { kind: 'catalog', catalog }
  throw new HttpError(400, `${fields.path}: no operation specified (KV, Node, Service, Check or Session)`)
}

/** Values may be longer than any other field of the API. */
function base64Of(item: unknown): string {
  const kv = (item as Record<string, Record<string, unknown>>)['KV'] ?? (item as Record<string, Record<string, unknown>>)['kv'] ?? {}
  const text = kv['Value'] ?? kv['value'] ?? ''
  if (typeof text !== 'string' || !/^[A-Za-z0-9+/]*={0,2}$/.test(text))
    throw new HttpError(400, 'Failed to parse body: Value must be base64')
  const bytes = Buffer.from(text, 'base64')
  if (bytes.length > MAX_KV_VALUE_BYTES) throw new HttpError(413, `Value is too large (${bytes.length} > ${MAX_KV_VALUE_BYTES} bytes)`)
  return bytes.toString('base64')
}

function digitsOf(kv: Record<string, unknown> | undefined): string {
  const value = kv?.['Flags'] ?? kv?.['flags'] ?? 0
  const text = String(value)
  if (!/^\d{1,20}$/.test(text) || BigInt(text) > MAX_FLAGS)
    throw new HttpError(400, 'Failed to parse body: Flags must be an unsigned number')
  return text
}

/** What came of it. Throws why not. */
function attempt(change: KvChange, operation: KvOperation, pendingIndex: number): KvResult[] {
  const outcome = outcomeOf(change, operation, pendingIndex)
  if (typeof outcome === 'string') throw new Refusal(outcome)
  return outcome
}

function outcomeOf(change: KvChange, { verb, key, value, flags, index, session }: KvOperation, pendingIndex: number): KvResult[] | string {
  const quoted = JSON.stringify(key)
  const wrote = (pair: KvPair): KvResult[] => [{ pair, key, withValue: false }]
  const read = (pair: KvPair): KvResult[] => [{ pair, key: pair.key, withValue: true }]
  switch (verb) {
    case 'set':
      return wrote(change.set(key, value, flags))
    case 'delete':
      change.delete(key)
      return []
    case 'delete-cas':
      return change.deleteIf(key, index) ? [] : `failed to delete key ${quoted}, index is stale`
    case 'delete-tree':
      change.deleteTree(key)
      return []
    case 'cas': {
      const pair = change.setIf(key, value, flags, index)
      return pair === undefined ? `failed to set key ${quoted}, index is stale` : wrote(pair)
    }
    case 'lock':
      try {
        const pair = change.lock(key, value, flags, session)
        return pair === undefined ? `failed to lock key ${quoted}, lock is already held` : wrote(pair)
      } catch (error) {
        if ((error as Error).message.startsWith('invalid session')) return (error as Error).message
        throw error
      }
    case 'unlock': {
      const pair = change.unlock(key, value, flags, session)
      return pair === undefined ? `failed to unlock key ${quoted}, lock isn't held, or is held by another session` : wrote(pair)
    }
    case 'get': {
      const pair = change.get(key)
      return pair === undefined ? `key ${quoted} doesn't exist` : read(pair)
    }
    case 'get-or-empty': {
      const pair = change.get(key)
      return pair === undefined ? [{ pair: undefined, key, withValue: true }] : read(pair)
    }
    case 'get-tree':
      return change.list(key).flatMap(read)
    case 'check-session': {
      const pair = change.get(key)
      if (pair === undefined) return `failed to check session, key ${quoted} doesn't exist`
      if (pair.session === session) return wrote(pair)
      return `failed session check for key ${quoted}, current session ${JSON.stringify(pair.session)} != ${JSON.stringify(session)}`
    }
    case 'check-index': {
      const pair = change.get(key)
      if (pair === undefined) return `failed to check index, key ${quoted} doesn't exist`
      if (pair.modifyIndex === index) return wrote(pair)
      return `failed index check for key ${quoted}, current modify index ${settled(pair.modifyIndex, pendingIndex)} != ${index}`
    }
    case 'check-not-exists':
      return change.get(key) === undefined ? [] : `key ${quoted} exists`
    default:
      return `unknown KV verb ${JSON.stringify(verb)}`
  }
}

function resultJson({ pair, key, withValue }: KvResult, index: number): string {
  if (pair === undefined) return `{"KV":${pairJson({ key, flags: '0', lockIndex: 0, session: '', createIndex: 0, modifyIndex: 0 }, null)}}`
  const done = { ...pair, createIndex: settled(pair.createIndex, index), modifyIndex: settled(pair.modifyIndex, index) }
  return `{"KV":${pairJson(done, withValue ? pair.value : null)}}`
}

/** Of what the transaction itself has written, its own. */
function settled(at: number, index: number): number {
  return at === PENDING ? index : at
}
