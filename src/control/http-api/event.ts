// `/v1/event`: fire and list user events.
import type { FastifyInstance } from 'fastify'
import type { ApiContext } from './context.js'
import { blockingRead, HttpError, param, query } from './respond.js'

/** Events travel in one datagram of Consul's gossip; the limit is part of what clients can count on. */
const MAX_PAYLOAD_BYTES = 9 * 1024

export function eventRoutes(app: FastifyInstance, context: ApiContext): void {
  const { events } = context

  app.put('/v1/event/fire/:name', { config: { rawBody: true } }, async request => {
    const body = (request.body as Buffer | undefined) ?? Buffer.alloc(0)
    if (body.length > MAX_PAYLOAD_BYTES) throw new HttpError(413, `user event exceeds configured limit of ${MAX_PAYLOAD_BYTES} bytes`)
    const filters = {
      NodeFilter: query(request, 'node') ?? '',
      ServiceFilter: query(request, 'service') ?? '',
      TagFilter: query(request, 'tag') ?? '',
    }
    if (filters.TagFilter !== '' && filters.ServiceFilter === '')
      throw new HttpError(500, 'Cannot provide tag filter without service filter')
    try {
      return events.fire(param(request, 'name'), body.length === 0 ? null : body.toString('base64'), filters)
    } catch (error) {
      throw new HttpError(500, (error as Error).message)
    }
  })

  app.get('/v1/event/list', (request, reply) =>
    blockingRead(context, request, reply, events, () => events.list(query(request, 'name') ?? '')),
  )
}
