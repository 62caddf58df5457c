// `/v1/query`: prepared queries written, read, executed and explained.
import { randomUUID } from 'node:crypto'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { executeQuery } from '../query/execute.js'
import { type PreparedQueryRecord, parsePreparedQuery } from '../query/prepared-query.js'
import { nearestFirst } from './common-parameters.js'
import type { ApiContext } from './context.js'
import { importedHealthEntry } from './import-shapes.js'
import { blockingRead, bodyObject, flag, HttpError, param, query } from './respond.js'
import { healthEntry } from './shapes.js'

export function queryRoutes(app: FastifyInstance, context: ApiContext): void {
  const { catalog, node, queries } = context

  app.get('/v1/query', (request, reply) => blockingRead(context, request, reply, queries, () => queries.list()))

  app.post('/v1/query', async request => {
    const ID = randomUUID()
    await write(context, { ID, ...parse(request) }, true)
    return { ID }
  })

  app.get('/v1/query/:id', (request, reply) =>
    blockingRead(context, request, reply, queries, () => {
      const found = queries.get(param(request, 'id'))
      if (found === undefined) throw new HttpError(404, 'Query not found')
      return [found]
    }),
  )

  app.put('/v1/query/:id', async (request, reply) => {
    await write(context, { ID: param(request, 'id'), ...parse(request) }, false)
    return reply.send()
  })

  app.delete('/v1/query/:id', async (request, reply) => {
    await queries.delete(param(request, 'id'))
    return reply.send()
  })

  app.get('/v1/query/:id/execute', async request => {
    const found = resolve(context, request)
    const limit = query(request, 'limit') ?? ''
    if (limit !== '' && !/^\d{1,9}$/.test(limit)) throw new HttpError(400, 'Bad limit')
    const connect = flag(request, 'connect') || found.Service.Connect
    const source = { catalog, peers: context.peeringTable, random: Math.random }
    const { instances, imported, failovers } = executeQuery(source, found.Service, connect)
    const nodes = [
      ...nearestFirst(instances, nearOf(context, request, found), catalog, ({ Node }) => Node).map(each => healthEntry(catalog, each)),
      ...(imported?.instances.map(each => importedHealthEntry(each, imported.service)) ?? []),
    ]
    return {
      Service: found.Service.Service,
      Nodes: limit === '' || Number(limit) === 0 ? nodes : nodes.slice(0, Number(limit)),
      DNS: found.DNS,
      ...(imported === undefined ? { Datacenter: node.datacenter } : { Datacenter: '', PeerName: imported.service.peer }),
      Failovers: failovers,
    }
  })

  app.get('/v1/query/:id/explain', async request => ({ Query: resolve(context, request) }))
}

/** What the request says goes over what the query does; `_ip` is the node that asks, by its address. */
function nearOf({ catalog }: ApiContext, request: FastifyRequest, { Service }: PreparedQueryRecord): string {
  const near = query(request, 'near') || Service.Near
  if (near !== '_ip') return near
  const address = request.ip.replace(/^::ffff:/, '')
  return catalog.nodes().find(({ Address }) => Address === address)?.Node ?? ''
}

function parse(request: FastifyRequest): Omit<PreparedQueryRecord, 'ID'> {
  try {
    return parsePreparedQuery(bodyObject(request))
  } catch (error) {
    throw error instanceof HttpError ? error : new HttpError(500, (error as Error).message)
  }
}

async function write(context: ApiContext, record: PreparedQueryRecord, isNew: boolean): Promise<void> {
  try {
    await context.queries.put(record, isNew, id => context.sessions.has(id))
  } catch (error) {
    throw new HttpError(500, (error as Error).message)
  }
}

function resolve({ queries }: ApiContext, request: FastifyRequest): PreparedQueryRecord {
  const found = queries.resolve(param(request, 'id'))
  if (found === undefined) throw new HttpError(404, 'Query not found')
  return found
}
