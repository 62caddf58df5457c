// `/v1/session`: sessions that hold locks of the KV store, with Consul's defaults and refusals.
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { parseDuration } from '../config-entries/duration.js'
import { FieldReader } from '../config-entries/field-reader.js'
import type { Session, SessionBehavior, SessionRecord } from '../session/session-table.js'
import type { ApiContext } from './context.js'
import { blockingRead, bodyObject, HttpError, joinErrors, param } from './respond.js'

const MIN_TTL_NS = 10e9
const MAX_TTL_NS = 86_400e9
const DEFAULT_LOCK_DELAY_NS = 15e9
const MAX_LOCK_DELAY_NS = 60e9
/** Numbers up to this are seconds, as Consul reads them; above, nanoseconds. */
const LOCK_DELAY_MIN_NS = 1_000
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i
const SERF_HEALTH = 'serfHealth'

export function sessionRoutes(app: FastifyInstance, context: ApiContext): void {
  const { sessions } = context

  app.put('/v1/session/create', async request => {
    const { value } = await sessions.create(readSession(context, request), record => context.judgeSession(record))
    return { ID: value }
  })

  app.put('/v1/session/destroy/:id', async request => {
    await sessions.destroy(sessionId(request))
    return true
  })

  app.put('/v1/session/renew/:id', async request => {
    const id = sessionId(request)
    const session = sessions.renew(id)
    if (session === undefined) throw new HttpError(404, `Session id '${id}' not found`)
    return [session]
  })

  app.get('/v1/session/info/:id', (request, reply) => {
    const id = sessionId(request)
    return blockingRead(context, request, reply, sessions, () =>
      [sessions.get(id)].filter((found): found is Session => found !== undefined),
    )
  })

  app.get('/v1/session/node/:node', (request, reply) =>
    blockingRead(context, request, reply, sessions, () => sessions.list(param(request, 'node'))),
  )

  app.get('/v1/session/list', (request, reply) => blockingRead(context, request, reply, sessions, () => sessions.list()))
}

function sessionId(request: FastifyRequest): string {
  const id = param(request, 'id')
  if (!UUID.test(id)) throw new HttpError(500, `invalid UUID: ${id}`)
  return id
}

function readSession({ node }: ApiContext, request: FastifyRequest): Omit<SessionRecord, 'ID'> {
  const errors: { path: string; reason: string }[] = []
  const fields = new FieldReader(request.body === undefined ? {} : bodyObject(request), '', errors)
  const behavior = fields.string('Behavior') || 'release'
  if (behavior !== 'release' && behavior !== 'delete') throw new HttpError(500, `Invalid Behavior setting '${behavior}'`)
  const ttl = fields.string('TTL')
  if (ttl !== '') {
    const ns = parseDuration(ttl)
    if (ns === undefined) throw new HttpError(500, `Session TTL '${ttl}' invalid`)
    if (ns !== 0 && (ns < MIN_TTL_NS || ns > MAX_TTL_NS))
      throw new HttpError(500, `Invalid Session TTL '${ns}', must be between [10s=24h0m0s]`)
  }
  const checks = fields.strings('Checks')
  const nodeChecks = fields.has('NodeChecks') || fields.has('Checks') ? [...fields.strings('NodeChecks'), ...checks] : [SERF_HEALTH]
  const record = {
    Name: fields.string('Name'),
    Node: fields.string('Node') || node.name,
    LockDelay: lockDelay(fields),
    Behavior: behavior as SessionBehavior,
    TTL: ttl,
    NodeChecks: [...new Set(nodeChecks)],
    ServiceChecks: fields.objects('ServiceChecks', 64).map(check => ({ ID: check.string('ID'), Namespace: '' })),
  }
  if (errors.length > 0) throw new HttpError(400, `Request decode failed: ${joinErrors(errors)}`)
  return record
}

function lockDelay(fields: FieldReader): number {
  if (!fields.has('LockDelay')) return DEFAULT_LOCK_DELAY_NS
  const text = fields.string('LockDelay')
  const number = Number(text)
  const ns = Number.isFinite(number) && text !== '' ? (number < LOCK_DELAY_MIN_NS ? number * 1e9 : number) : parseDuration(text)
  if (ns === undefined || ns < 0 || ns > MAX_LOCK_DELAY_NS) throw new HttpError(400, `Request decode failed: LockDelay ${text} invalid`)
  return ns
}
