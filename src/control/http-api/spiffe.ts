// `/v1/outrigger/spiffe/…`: the bundle of our own trust domain, and federations with others, written, read, fetched again and ended.
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { StoredFederation } from '../spiffe/federation-types.js'
import { FederationError } from '../spiffe/federations.js'
import { parseFederation } from '../spiffe/parse-federation.js'
import type { ApiContext } from './context.js'
import { blockingRead, HttpError, joinErrors, param, sendIndexed } from './respond.js'

export function spiffeRoutes(app: FastifyInstance, context: ApiContext): void {
  const { federations, federationTable: table, ownBundle } = context
  const find = (request: FastifyRequest): StoredFederation => {
    const record = table.get(param(request, 'name'))
    if (record === undefined) throw new HttpError(404, `there is no federation ${JSON.stringify(param(request, 'name'))}`)
    return record
  }

  app.get('/v1/outrigger/spiffe/bundle', () => ownBundle.document())

  app.get('/v1/outrigger/spiffe/federations', (request, reply) =>
    blockingRead(context, request, reply, table, () => table.list().map(record => shape(context, record))),
  )

  app.get('/v1/outrigger/spiffe/federation/:name', (request, reply) =>
    blockingRead(context, request, reply, table, () => shape(context, find(request))),
  )

  app.put('/v1/outrigger/spiffe/federation/:name', async (request, reply) => {
    const parsed = parseFederation(request.body, param(request, 'name'))
    if ('errors' in parsed) {
      context.metrics.refusedWrites.inc()
      throw new HttpError(400, joinErrors(parsed.errors))
    }
    await orRefused(federations.put(parsed.record))
    return sendIndexed(reply, context.store.index, true)
  })

  app.put('/v1/outrigger/spiffe/federation/:name/refresh', async (request, reply) => {
    await orRefused(federations.refresh(param(request, 'name')))
    return sendIndexed(reply, context.store.index, shape(context, find(request)))
  })

  app.delete('/v1/outrigger/spiffe/federation/:name', async (request, reply) => {
    await orRefused(federations.remove(param(request, 'name')))
    return sendIndexed(reply, context.store.index, true)
  })
}

function shape({ federations }: ApiContext, { bundle, ...record }: StoredFederation): object {
  const status = federations.status(record.Name)
  return {
    ...record,
    Bundle:
      bundle === undefined
        ? null
        : { RootCerts: bundle.rootPems, Sequence: bundle.sequence ?? null, RefreshHintSeconds: bundle.refreshHintSeconds ?? null },
    LastFetched: status === undefined ? null : new Date(status.fetchedAtMs).toISOString(),
    Problem: status?.problem ?? '',
  }
}

async function orRefused<T>(task: Promise<T>): Promise<T> {
  try {
    return await task
  } catch (error) {
    throw error instanceof FederationError ? new HttpError(error.statusCode, error.message) : error
  }
}
