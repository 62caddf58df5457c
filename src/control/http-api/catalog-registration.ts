// `PUT /v1/catalog/register` and `deregister`: nodes that no agent of ours speaks for, their services and their checks, in Consul's shapes and
// with its refusals. What is registered on this server's own node belongs to its agent: the node itself stays as it is.
import type { FastifyInstance } from 'fastify'
import { type CatalogDraft, CatalogError } from '../catalog/catalog-draft.js'
import { applyRegistration, readCatalogRegistration } from '../catalog/node-registration.js'
import { FieldReader } from '../config-entries/field-reader.js'
import type { ConfigError } from '../config-entries/types.js'
import type { ApiContext } from './context.js'
import { bodyObject, HttpError, joinErrors, sendIndexed } from './respond.js'

export function catalogRegistrationRoutes(app: FastifyInstance, context: ApiContext): void {
  const { catalog, node, store } = context

  app.put('/v1/catalog/register', async (request, reply) => {
    const registration = decoded(bodyObject(request), node.datacenter, readCatalogRegistration)
    await written(() => catalog.change(draft => applyRegistration(draft, registration)))
    return sendIndexed(reply, store.index, true)
  })

  app.put('/v1/catalog/deregister', async (request, reply) => {
    const gone = decoded(bodyObject(request), node.datacenter, fields => {
      const found = { node: fields.string('Node'), service: fields.string('ServiceID'), check: fields.string('CheckID') }
      if (found.node === '') throw new CatalogError('Must provide node')
      return found
    })
    await written(() =>
      catalog.change((draft: CatalogDraft) => {
        if (gone.service !== '') draft.deleteInstance(gone.node, gone.service)
        else if (gone.check !== '') draft.deleteCheck(gone.node, gone.check)
        else draft.deleteNode(gone.node)
      }),
    )
    return sendIndexed(reply, store.index, true)
  })
}

function decoded<T>(body: Record<string, unknown>, datacenter: string, read: (fields: FieldReader) => T): T {
  const errors: ConfigError[] = []
  const fields = new FieldReader(body, '', errors)
  const wanted = fields.string('Datacenter')
  if (wanted !== '' && wanted !== datacenter) throw new HttpError(500, 'No path to datacenter')
  for (const name of ['Namespace', 'Partition'])
    if (!['', 'default'].includes(fields.string(name))) fields.fail(name, `is a Consul Enterprise feature`)
  let value: T
  try {
    value = read(fields)
  } catch (error) {
    throw error instanceof CatalogError ? new HttpError(500, error.message) : error
  }
  if (errors.length > 0) throw new HttpError(400, `Request decode failed: ${joinErrors(errors)}`)
  return value
}

async function written(change: () => Promise<void>): Promise<void> {
  try {
    await change()
  } catch (error) {
    throw error instanceof CatalogError ? new HttpError(500, error.message) : error
  }
}
