// `/v1/snapshot`: the whole state to one file, and back.
import type { FastifyInstance } from 'fastify'
import { restoreState, saveState } from '../state-file/state-file.js'
import type { ApiContext } from './context.js'
import { HttpError, indexHeaders } from './respond.js'

const MAX_FILE_BYTES = 256 * 1024 * 1024

export function snapshotRoutes(app: FastifyInstance, context: ApiContext): void {
  app.get('/v1/snapshot', async (_request, reply) => {
    const { file, index } = await saveState(context.store)
    indexHeaders(reply, index)
    return reply.type('application/x-gzip').send(file)
  })

  app.put('/v1/snapshot', { bodyLimit: MAX_FILE_BYTES, config: { rawBody: true } }, async (request, reply) => {
    if (!Buffer.isBuffer(request.body)) throw new HttpError(400, 'the body must be a state file')
    try {
      await restoreState(context.store, request.body)
    } catch (error) {
      throw new HttpError(500, `failed to restore snapshot: ${(error as Error).message}`)
    }
    return reply.send()
  })
}
