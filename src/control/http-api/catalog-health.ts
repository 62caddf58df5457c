// `/v1/catalog`, `/v1/health` and `/v1/status`: what is registered and how it is, with tags, filters and blocking queries as in Consul.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { CatalogInstance } from '../catalog/catalog.js'
import { nodeMetaMatches } from './common-parameters.js'
import type { ApiContext } from './context.js'
import { compileRequestFilter } from './request-filter.js'
import { blockingRead, HttpError, param, parseBoolean, query, queryAll } from './respond.js'
import {
  catalogService,
  checkShape,
  healthEntry,
  nodeMeta,
  nodeService,
  nodeShape,
  ownChecksShape,
  SERVER_RPC_PORT,
  serfHealthShape,
  serverInstance,
} from './shapes.js'

const SERVICES = 'services'
const HEALTH = 'health'
const NODES = 'nodes'
const CONSUL = 'consul'
const STATES = ['any', 'passing', 'warning', 'critical']

export function catalogHealthRoutes(app: FastifyInstance, context: ApiContext): void {
  const { catalog, node } = context
  const isNode = (request: FastifyRequest): boolean => param(request, 'node').toLowerCase() === node.name.toLowerCase()
  const all = (): CatalogInstance[] => [serverInstance(), ...catalog.instances()]

  app.get('/v1/catalog/services', (request, reply) => {
    const isWanted = compileRequestFilter(request, 'catalog')
    return blockingRead(context, request, reply, SERVICES, () => {
      const tags = new Map<string, Set<string>>()
      for (const instance of nodeMetaMatches(request, nodeMeta()) ? all() : []) {
        if (!isWanted(catalogService(instance, node))) continue
        const named = tags.get(instance.Service) ?? new Set()
        tags.set(instance.Service, named)
        for (const tag of instance.Tags) named.add(tag)
      }
      return Object.setPrototypeOf(Object.fromEntries([...tags].map(([name, named]) => [name, [...named].sort()])), null)
    })
  })

  for (const [path, find] of [
    ['/v1/catalog/service/:name', instancesNamed],
    ['/v1/catalog/connect/:name', connectInstancesNamed],
  ] as const)
    app.get(path, (request, reply) => {
      const hasTags = tagMatcher(request)
      const isWanted = compileRequestFilter(request, 'catalog')
      return ofService(context, request, reply, find, instances =>
        instances
          .filter(hasTags)
          .map(instance => catalogService(instance, node))
          .filter(isWanted),
      )
    })

  app.get('/v1/catalog/datacenters', async () => [node.datacenter])
  app.get('/v1/catalog/nodes', (request, reply) => {
    const isWanted = compileRequestFilter(request, 'node')
    return blockingRead(context, request, reply, NODES, () =>
      nodeMetaMatches(request, nodeMeta()) ? [nodeShape(node)].filter(isWanted) : [],
    )
  })
  app.get('/v1/catalog/node/:node', (request, reply) => {
    const isWanted = compileRequestFilter(request, 'service')
    return blockingRead(context, request, reply, SERVICES, () => {
      // `null` as text: a serializer takes the value for "no body".
      if (!isNode(request)) return jsonText(reply, 'null')
      const services = all()
        .map(instance => nodeService(instance, node))
        .filter(isWanted)
      return { Node: nodeShape(node), Services: Object.fromEntries(services.map(service => [service['ID'], service])) }
    })
  })
  app.get('/v1/catalog/node-services/:node', (request, reply) => {
    const isWanted = compileRequestFilter(request, 'service')
    return blockingRead(context, request, reply, SERVICES, () => {
      if (!isNode(request)) return { Node: null, Services: [] }
      const services = all()
        .map(instance => nodeService(instance, node))
        .filter(isWanted)
      return { Node: nodeShape(node), Services: services }
    })
  })
  app.get('/v1/catalog/gateway-services/:gateway', (request, reply) => blockingRead(context, request, reply, SERVICES, () => []))

  for (const [path, find] of [
    ['/v1/health/service/:name', instancesNamed],
    ['/v1/health/connect/:name', connectInstancesNamed],
    // No gateway stands before any service.
    ['/v1/health/ingress/:name', () => []],
  ] as const)
    app.get(path, (request, reply) => {
      const passing = passingFlag(request)
      const hasTags = tagMatcher(request)
      const isWanted = compileRequestFilter(request, 'health')
      return ofService(context, request, reply, find, instances =>
        instances
          .filter(instance => hasTags(instance) && (!passing || catalog.health(instance) === 'passing'))
          .map(instance => healthEntry(catalog, instance, node))
          .filter(isWanted),
      )
    })

  app.get('/v1/health/checks/:name', (request, reply) => {
    const isWanted = compileRequestFilter(request, 'check')
    return ofService(context, request, reply, instancesNamed, instances =>
      instances
        .flatMap(instance => ownChecksShape(catalog, instance, node).filter(check => check['ServiceID'] === instance.ID))
        .filter(isWanted),
    )
  })

  app.get('/v1/health/node/:node', (request, reply) => {
    const isWanted = compileRequestFilter(request, 'check')
    return blockingRead(context, request, reply, HEALTH, () => (isNode(request) ? allChecks(context).filter(isWanted) : []))
  })

  app.get('/v1/health/state/:state', (request, reply) => {
    const state = param(request, 'state')
    if (!STATES.includes(state)) throw new HttpError(400, `Unsupported state: ${state}`)
    const isWanted = compileRequestFilter(request, 'check')
    return blockingRead(context, request, reply, HEALTH, () => {
      if (!nodeMetaMatches(request, nodeMeta())) return []
      return allChecks(context).filter(check => (state === 'any' || check['Status'] === state) && isWanted(check))
    })
  })

  app.get('/v1/status/leader', async (_request, reply) => jsonText(reply, JSON.stringify(`${node.address}:${SERVER_RPC_PORT}`)))
  app.get('/v1/status/peers', async () => [`${node.address}:${SERVER_RPC_PORT}`])
}

type Find = (context: ApiContext, name: string) => CatalogInstance[]

/** Instances registered under a name; names are looked up without case, as in Consul. */
function instancesNamed({ catalog }: ApiContext, name: string): CatalogInstance[] {
  return name === CONSUL ? [serverInstance()] : catalog.instancesOf(name)
}

function connectInstancesNamed({ catalog }: ApiContext, name: string): CatalogInstance[] {
  return catalog.connectInstancesOf(name)
}

/** Waits for the service of the path and answers with what `shape` makes of its instances. */
function ofService(
  context: ApiContext,
  request: FastifyRequest,
  reply: FastifyReply,
  find: Find,
  shape: (instances: CatalogInstance[]) => unknown,
): Promise<FastifyReply> {
  const spelling = (): string => spelled(context, param(request, 'name'))
  const isHere = nodeMetaMatches(request, nodeMeta())
  return blockingRead(context, request, reply, `service:${spelling()}`, () => shape(isHere ? find(context, spelling()) : []))
}

/** A registered name that is the same but for its case; the name itself where there is none. */
function spelled({ catalog }: ApiContext, name: string): string {
  if (catalog.instancesOf(name).length + catalog.connectInstancesOf(name).length > 0) return name
  const folded = name.toLowerCase()
  for (const registered of catalog.serviceNames()) if (registered.toLowerCase() === folded) return registered
  return folded === CONSUL ? CONSUL : name
}

function allChecks({ catalog, node }: ApiContext): Record<string, unknown>[] {
  const checks = [...catalog.checks()].map(check => checkShape(check, catalog.instance(check.definition.ServiceID), node))
  return [serfHealthShape(node), ...checks]
}

/** `?tag=` (all given), without case. */
function tagMatcher(request: FastifyRequest): (instance: CatalogInstance) => boolean {
  const wanted = queryAll(request, 'tag')
    .filter(tag => tag !== '')
    .map(tag => tag.toLowerCase())
  return ({ Tags }) => wanted.every(tag => Tags.some(own => own.toLowerCase() === tag))
}

function passingFlag(request: FastifyRequest): boolean {
  const text = query(request, 'passing')
  if (text === undefined) return false
  const passing = text === '' ? true : parseBoolean(text)
  if (passing === undefined) throw new HttpError(400, 'Invalid value for ?passing')
  return passing
}

function jsonText(reply: FastifyReply, text: string): string {
  reply.type('application/json')
  return text
}
