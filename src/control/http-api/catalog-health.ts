// `/v1/catalog`, `/v1/health` and `/v1/status`: what is registered and how it is, with tags, filters and blocking queries as in Consul.
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { CatalogInstance } from '../catalog/catalog.js'
import { compileFilter } from '../config-entries/filter-expression.js'
import type { ApiContext } from './context.js'
import { blockingRead, flag, HttpError, param, query } from './respond.js'
import { catalogService, checkShape, checksShape, healthEntry, nodeShape } from './shapes.js'

const SERVICES = 'services'
const serviceTopic = (name: string): string => `service:${name}`

export function catalogHealthRoutes(app: FastifyInstance, context: ApiContext): void {
  const { catalog, node } = context

  app.get('/v1/catalog/services', (request, reply) =>
    blockingRead(context, request, reply, SERVICES, () => {
      const services: Record<string, string[]> = Object.create(null)
      services['consul'] = []
      for (const name of catalog.serviceNames()) services[name] = [...new Set(catalog.instancesOf(name).flatMap(({ Tags }) => Tags))].sort()
      return services
    }),
  )

  app.get('/v1/catalog/service/:name', (request, reply) => {
    const name = param(request, 'name')
    const matches = instanceMatcher(context, request)
    return blockingRead(context, request, reply, serviceTopic(name), () =>
      catalog
        .instancesOf(name)
        .filter(matches)
        .map(instance => catalogService(instance, node)),
    )
  })

  app.get('/v1/catalog/connect/:name', (request, reply) => {
    const name = param(request, 'name')
    const matches = instanceMatcher(context, request)
    return blockingRead(context, request, reply, serviceTopic(name), () =>
      catalog
        .connectInstancesOf(name)
        .filter(matches)
        .map(instance => catalogService(instance, node)),
    )
  })

  app.get('/v1/catalog/datacenters', async () => [node.datacenter])
  app.get('/v1/catalog/nodes', (request, reply) => blockingRead(context, request, reply, 'nodes', () => [nodeShape(node)]))
  app.get('/v1/catalog/node/:node', (request, reply) =>
    blockingRead(context, request, reply, SERVICES, () => {
      if (param(request, 'node') !== node.name) return null
      const services = [...catalog.instances()].map(instance => [instance.ID, healthEntry(catalog, instance, node).Service])
      return { Node: nodeShape(node), Services: Object.fromEntries(services) }
    }),
  )

  app.get('/v1/catalog/node-services/:node', (request, reply) =>
    blockingRead(context, request, reply, SERVICES, () => {
      if (param(request, 'node') !== node.name) return { Node: null, Services: [] }
      return { Node: nodeShape(node), Services: [...catalog.instances()].map(instance => healthEntry(catalog, instance, node).Service) }
    }),
  )

  for (const [path, lookup] of [
    ['/v1/health/service/:name', (name: string) => catalog.instancesOf(name)],
    ['/v1/health/connect/:name', (name: string) => catalog.connectInstancesOf(name)],
  ] as const)
    app.get(path, (request, reply) => {
      const name = param(request, 'name')
      const passing = flag(request, 'passing')
      const matches = instanceMatcher(context, request)
      return blockingRead(context, request, reply, serviceTopic(name), () =>
        lookup(name)
          .filter(matches)
          .filter(instance => !passing || catalog.health(instance) === 'passing')
          .map(instance => healthEntry(catalog, instance, node)),
      )
    })

  app.get('/v1/health/checks/:name', (request, reply) => {
    const name = param(request, 'name')
    return blockingRead(context, request, reply, serviceTopic(name), () =>
      catalog.instancesOf(name).flatMap(instance => checksShape(catalog, instance, node)),
    )
  })

  app.get('/v1/health/node/:node', (request, reply) =>
    blockingRead(context, request, reply, SERVICES, () => (param(request, 'node') === node.name ? allChecks(context) : [])),
  )

  app.get('/v1/health/state/:state', (request, reply) => {
    const state = param(request, 'state')
    if (!['any', 'passing', 'warning', 'critical'].includes(state)) throw new HttpError(400, `Invalid health state: ${state}`)
    return blockingRead(context, request, reply, SERVICES, () =>
      allChecks(context).filter(check => state === 'any' || check['Status'] === state),
    )
  })

  app.get('/v1/status/leader', async () => JSON.stringify(`${node.address}:8300`))
  app.get('/v1/status/peers', async () => [`${node.address}:8300`])
}

function allChecks({ catalog, node }: ApiContext): Record<string, unknown>[] {
  return [...catalog.checks()].map(check => checkShape(check, catalog.instance(check.definition.ServiceID), node))
}

/** `?tag=` (all given), `?filter=`. */
function instanceMatcher({ catalog, node }: ApiContext, request: FastifyRequest): (instance: CatalogInstance) => boolean {
  const given = (request.query as Record<string, string | string[] | undefined>)['tag']
  const tags = given === undefined ? [] : Array.isArray(given) ? given : [given]
  const expression = query(request, 'filter')
  const filter = expression ? compileFilter(expression) : undefined
  if (filter !== undefined && 'error' in filter) throw new HttpError(400, `Failed to create boolean expression evaluator: ${filter.error}`)
  return instance =>
    tags.every(tag => instance.Tags.includes(tag)) && (filter === undefined || filter.predicate(healthEntry(catalog, instance, node)))
}
