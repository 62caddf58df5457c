// `/v1/catalog`, `/v1/health` and `/v1/status`: what is registered and how it is, with tags, filters and blocking queries as in Consul.
// What writes the catalog by nodes is in catalog-registration.ts.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { type CatalogInstance, type CatalogNode, OWN_NODE } from '../catalog/catalog-types.js'
import { withCentralConfig } from '../catalog/central-config.js'
import { SERVER_RPC_PORT, SERVER_SERVICE, serverInstance } from '../catalog/server-instance.js'
import type { ImportedService, PeerInstance } from '../peering/peering-types.js'
import { importTopic, serviceTopic } from '../store/topic-indexes.js'
import type { Watched } from './blocking-queries.js'
import { nearestFirst, nodeMetaMatches } from './common-parameters.js'
import type { ApiContext } from './context.js'
import { gatewayServices } from './gateway-services.js'
import { importedCatalogService, importedHealthEntry } from './import-shapes.js'
import { askedPeer } from './peering.js'
import { compileRequestFilter } from './request-filter.js'
import { type Answered, blockingRead, eitherTopic, HttpError, param, parseBoolean, query, queryAll } from './respond.js'
import { catalogService, checkShape, healthEntry, nodeChecksShape, nodeService, nodeShape } from './shapes.js'

const SERVICES = 'services'
const HEALTH = 'health'
const NODES = 'nodes'
const CONFIG = 'config'
const STATES = ['any', 'passing', 'warning', 'critical']

export function catalogHealthRoutes(app: FastifyInstance, context: ApiContext): void {
  const { catalog, node } = context
  /** As they are registered, or with what the config entries add to them. */
  const resolved = (request: FastifyRequest, instances: CatalogInstance[]): CatalogInstance[] =>
    merges(request) ? instances.map(each => withCentralConfig(context.entries, each)) : instances
  /** What `?node-meta=` leaves, in the order of `?near=`. */
  const onWantedNodes = (request: FastifyRequest, instances: Iterable<CatalogInstance>): CatalogInstance[] => {
    const wanted = [...instances].filter(instance => nodeMetaMatches(request, catalog.nodeOf(instance).Meta))
    return resolved(
      request,
      nearestFirst(wanted, query(request, 'near') ?? '', catalog, ({ Node }) => Node),
    )
  }
  const wantedNodes = (request: FastifyRequest): CatalogNode[] => {
    const wanted = catalog.nodes().filter(({ Meta }) => nodeMetaMatches(request, Meta))
    return nearestFirst(wanted, query(request, 'near') ?? '', catalog, ({ Node }) => catalog.nodeKey(Node))
  }
  const servicesOn = (nodeKey: string): CatalogInstance[] => [
    ...(nodeKey === OWN_NODE ? [serverInstance()] : []),
    ...catalog.instancesOn(nodeKey),
  ]

  app.get('/v1/catalog/services', (request, reply) => {
    const isWanted = compileRequestFilter(request, 'catalog')
    return blockingRead(context, request, reply, SERVICES, () => {
      const tags = new Map<string, Set<string>>()
      for (const instance of onWantedNodes(request, [serverInstance(), ...catalog.instances()])) {
        if (!isWanted(catalogService(catalog, instance))) continue
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
      const peer = askedPeer(context, request)
      if (peer !== undefined)
        return ofImport(context, request, reply, peer, path.includes('/connect/'), instances =>
          instances
            .filter(({ tags }) => hasTags({ Tags: tags }))
            .map(instance => importedCatalogService(instance, peer))
            .filter(isWanted),
        )
      return ofService(context, request, reply, name =>
        onWantedNodes(request, find(context, name))
          .filter(hasTags)
          .map(instance => catalogService(catalog, instance))
          .filter(isWanted),
      )
    })

  app.get('/v1/catalog/datacenters', async () => [node.datacenter])
  app.get('/v1/catalog/nodes', (request, reply) => {
    const isWanted = compileRequestFilter(request, 'node')
    return blockingRead(context, request, reply, NODES, () => wantedNodes(request).map(nodeShape).filter(isWanted))
  })
  app.get('/v1/catalog/node/:node', (request, reply) => {
    const isWanted = compileRequestFilter(request, 'service')
    return blockingRead(context, request, reply, SERVICES, () => {
      const found = catalog.node(param(request, 'node'))
      // `null` as text: a serializer takes the value for "no body".
      if (found === undefined) return jsonText(reply, 'null')
      const services = servicesOn(catalog.nodeKey(found.Node))
        .map(each => nodeService(catalog, each))
        .filter(isWanted)
      return { Node: nodeShape(found), Services: Object.fromEntries(services.map(service => [service['ID'], service])) }
    })
  })
  app.get('/v1/catalog/node-services/:node', (request, reply) => {
    const isWanted = compileRequestFilter(request, 'service')
    return blockingRead(context, request, reply, withEntries(context, request, SERVICES), () => {
      const found = catalog.node(param(request, 'node'))
      if (found === undefined) return { Node: null, Services: [] }
      return {
        Node: nodeShape(found),
        Services: resolved(request, servicesOn(catalog.nodeKey(found.Node)))
          .map(each => nodeService(catalog, each))
          .filter(isWanted),
      }
    })
  })
  app.get('/v1/catalog/gateway-services/:gateway', (request, reply) =>
    blockingRead(context, request, reply, eitherTopic(context.indexes, SERVICES, CONFIG), () =>
      gatewayServices(context, param(request, 'gateway')),
    ),
  )

  for (const [path, find] of [
    ['/v1/health/service/:name', instancesNamed],
    ['/v1/health/connect/:name', connectInstancesNamed],
    ['/v1/health/ingress/:name', ingressInstancesNamed],
  ] as const)
    app.get(path, (request, reply) => {
      const passing = passingFlag(request)
      const hasTags = tagMatcher(request)
      const isWanted = compileRequestFilter(request, 'health')
      const peer = askedPeer(context, request)
      if (peer !== undefined)
        return ofImport(context, request, reply, peer, path.includes('/connect/'), (instances, service) =>
          instances
            .filter(instance => hasTags({ Tags: instance.tags }) && (!passing || instance.status === 'passing'))
            .map(instance => importedHealthEntry(instance, service))
            .filter(isWanted),
        )
      return ofService(context, request, reply, name =>
        onWantedNodes(request, find(context, name))
          .filter(instance => hasTags(instance) && (!passing || catalog.health(instance) === 'passing'))
          .map(instance => healthEntry(catalog, instance))
          .filter(isWanted),
      )
    })

  app.get('/v1/health/checks/:name', (request, reply) => {
    const isWanted = compileRequestFilter(request, 'check')
    return ofService(context, request, reply, name =>
      onWantedNodes(request, instancesNamed(context, name))
        .flatMap(({ Node, ID }) => catalog.checksOfService(Node, ID))
        .map(check => checkShape(catalog, check))
        .filter(isWanted),
    )
  })

  app.get('/v1/health/node/:node', (request, reply) => {
    const isWanted = compileRequestFilter(request, 'check')
    return blockingRead(context, request, reply, HEALTH, () => {
      const found = catalog.node(param(request, 'node'))
      return found === undefined ? [] : nodeChecksShape(catalog, catalog.nodeKey(found.Node)).filter(isWanted)
    })
  })

  app.get('/v1/health/state/:state', (request, reply) => {
    const state = param(request, 'state')
    if (!STATES.includes(state)) throw new HttpError(400, `Unsupported state: ${state}`)
    const isWanted = compileRequestFilter(request, 'check')
    return blockingRead(context, request, reply, HEALTH, () =>
      wantedNodes(request)
        .flatMap(({ Node }) => nodeChecksShape(catalog, catalog.nodeKey(Node)))
        .filter(check => (state === 'any' || check['Status'] === state) && isWanted(check)),
    )
  })

  const { replicas } = context
  app.get('/v1/status/leader', async (_request, reply) => {
    const leader = replicas.leader()
    return jsonText(reply, JSON.stringify(leader === undefined ? '' : `${leader.address}:${SERVER_RPC_PORT}`))
  })
  app.get('/v1/status/peers', async () => replicas.list().map(({ address }) => `${address}:${SERVER_RPC_PORT}`))
}

/** Instances registered under a name; names are looked up without case, as in Consul. */
function instancesNamed({ catalog }: ApiContext, name: string): readonly CatalogInstance[] {
  return name.toLowerCase() === SERVER_SERVICE ? [serverInstance()] : catalog.instancesOf(name)
}

function ingressInstancesNamed({ catalog }: ApiContext, name: string): CatalogInstance[] {
  return catalog.ingressInstancesOf(name)
}

function connectInstancesNamed({ catalog }: ApiContext, name: string): readonly CatalogInstance[] {
  return catalog.connectInstancesOf(name)
}

/** Waits for the service of the path and answers with what `read` gives of it. */
function ofService(context: ApiContext, request: FastifyRequest, reply: FastifyReply, read: (name: string) => unknown): Answered {
  const name = param(request, 'name')
  return blockingRead(context, request, reply, withEntries(context, request, serviceTopic(name)), () => read(name))
}

/** Where config entries are merged in, their changes change the answer too. */
function withEntries({ indexes }: ApiContext, request: FastifyRequest, topic: string): string | Watched {
  return merges(request) ? eitherTopic(indexes, topic, CONFIG) : topic
}

const merges = (request: FastifyRequest): boolean => query(request, 'merge-central-config') !== undefined

/** The same of a service that a peer exports; `ways`: where the mesh reaches it. */
function ofImport(
  context: ApiContext,
  request: FastifyRequest,
  reply: FastifyReply,
  peer: string,
  ways: boolean,
  read: (instances: readonly PeerInstance[], service: ImportedService) => unknown,
): Answered {
  const name = param(request, 'name')
  return blockingRead(context, request, reply, importTopic(peer, name), () => {
    const imported = context.peeringTable.imported(peer, name)
    return imported === undefined ? [] : read(ways ? imported.ways : imported.instances, imported)
  })
}

/** `?tag=` (all given), without case. */
function tagMatcher(request: FastifyRequest): (instance: { readonly Tags: readonly string[] }) => boolean {
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
