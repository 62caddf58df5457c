// Consul's consistency of reads where replicas share the state: `?consistent` waits until memory holds what a quorum has, the default wants
// contact with it, `?stale` takes what there is; and each answer says how old its memory may be. Renewals want contact too, and one of what
// is not known here waits for what another replica has made a moment ago: who is told that a session is not there gives up its locks. Registered
// by `buildHttpApi` for a shared store; with one of its own, memory is the state, and nothing of this costs anything.
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { ApiContext } from './context.js'
import { askedIndex, HttpError, param, query } from './respond.js'

/** About the replica itself: answered whatever is known of the others. */
const OWN = ['/v1/agent/', '/v1/status/', '/ui', '/v1/outrigger/replicas']
/** Written nowhere, but told to the other replicas: who is cut off can't promise that they hear of it. */
const RENEWALS = /^\/v1\/(?:(session)\/renew|agent\/check\/(?:pass|warn|fail|update))\//
/** Consul's words. */
const NO_LEADER = 'No cluster leader'

export function consistentReads(app: FastifyInstance, { store, sessions, catalog }: ApiContext): void {
  const isKnown = (kind: string | undefined, id: string) => (kind === 'session' ? sessions.get(id) : catalog.check(id)) !== undefined
  app.addHook('preHandler', async request => {
    const renewal = request.method === 'PUT' ? RENEWALS.exec(request.url) : null
    if (renewal !== null && !(store.contact.knowsLeader && isKnown(renewal[1], param(request, 'id')))) await store.catchUp().catch(noLeader)
    if (request.method !== 'GET' || OWN.some(path => request.url.startsWith(path))) return
    if (query(request, 'stale') !== undefined) return
    // Or another replica has told the client of what has not arrived here yet; or this process has slept, and may well have contact.
    if (query(request, 'consistent') !== undefined || askedIndex(request) > store.index || !store.contact.knowsLeader)
      await store.catchUp().catch(noLeader)
  })
  app.addHook('onSend', async (_request: FastifyRequest, reply) => {
    if (!reply.hasHeader('X-Consul-KnownLeader')) return
    const { knowsLeader, lastContactMs } = store.contact
    reply.header('X-Consul-KnownLeader', String(knowsLeader)).header('X-Consul-LastContact', String(Math.round(lastContactMs)))
  })
}

function noLeader(): never {
  throw new HttpError(500, NO_LEADER)
}
