// `/v1/internal`: what Consul's web interface and its Kubernetes and Nomad integrations read beside the public API, in its shapes.
import { isIP } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { instanceVersion } from '../../model/instance-version.js'
import { worst } from '../catalog/catalog-index.js'
import { type CatalogInstance, type CatalogNode, OWN_NODE } from '../catalog/catalog-types.js'
import { SERVER_SERVICE, serverInstance } from '../catalog/server-instance.js'
import { MAX_CHOSEN_PER_SERVICE } from '../catalog/virtual-ips.js'
import { FieldReader } from '../config-entries/field-reader.js'
import type { ConfigError } from '../config-entries/types.js'
import { serviceProtocol } from '../discovery-chain/service-protocol.js'
import { decide } from '../intentions/decide.js'
import { intentionsFor } from '../intentions/match.js'
import type { ApiContext } from './context.js'
import { gatewayServices } from './gateway-services.js'
import { matchingIntentions } from './intentions.js'
import { compileRequestFilter } from './request-filter.js'
import { blockingRead, bodyObject, eitherTopic, HttpError, joinErrors, param, query, sendIndexed } from './respond.js'
import { nodeChecksShape, nodeService, nodeShape } from './shapes.js'

const HEALTH = 'health'
const CONFIG = 'config'
/** v2 before v10. */
const byNumber = new Intl.Collator('en', { numeric: true })

interface CheckCounts {
  readonly ChecksPassing: number
  readonly ChecksWarning: number
  readonly ChecksCritical: number
}

export function internalRoutes(app: FastifyInstance, context: ApiContext): void {
  const { catalog, entries } = context

  app.get('/v1/internal/ui/nodes', (request, reply) =>
    blockingRead(context, request, reply, HEALTH, () => catalog.nodes().map(node => nodeDump(context, node))),
  )
  app.get('/v1/internal/ui/node/:node', (request, reply) =>
    blockingRead(context, request, reply, HEALTH, () => {
      const node = catalog.node(param(request, 'node'))
      if (node === undefined) throw new HttpError(404, '')
      return nodeDump(context, node)
    }),
  )

  app.get('/v1/internal/ui/services', (request, reply) => {
    const isWanted = compileRequestFilter(request, 'catalog')
    return blockingRead(context, request, reply, HEALTH, () =>
      [SERVER_SERVICE, ...[...catalog.serviceNames()].sort()].map(name => serviceSummary(context, name)).filter(isWanted),
    )
  })
  app.get('/v1/internal/ui/gateway-services-nodes/:gateway', (request, reply) =>
    blockingRead(context, request, reply, eitherTopic(context.indexes, HEALTH, CONFIG), () => {
      const linked = gatewayServices(context, param(request, 'gateway'))
      return [...new Set(linked.map(({ Service }) => Service.Name))].sort().map(name => ({
        ...serviceSummary(context, name),
        GatewayConfig: {
          Addresses: linked.flatMap(({ Service, Hosts = [], Port }) => (Service.Name === name ? Hosts.map(host => `${host}:${Port}`) : [])),
        },
      }))
    }),
  )
  app.get('/v1/internal/ui/gateway-intentions/:gateway', (request, reply) =>
    blockingRead(context, request, reply, CONFIG, () => {
      const names = new Set(gatewayServices(context, param(request, 'gateway')).map(({ Service }) => Service.Name))
      const all = [...names].flatMap(name => matchingIntentions(context, 'destination', name))
      // One of `*` speaks of each of them.
      return [...new Map(all.map(intention => [intention.ID, intention])).values()]
    }),
  )
  app.get('/v1/internal/ui/exported-services', (request, reply) => {
    const peer = query(request, 'peer') ?? ''
    return blockingRead(context, request, reply, eitherTopic(context.indexes, HEALTH, CONFIG), () =>
      peer === '' ? [] : context.exports.names(peer).map(name => serviceSummary(context, name)),
    )
  })
  // One datacenter federates with none.
  app.get('/v1/internal/federation-states', (request, reply) => blockingRead(context, request, reply, CONFIG, () => []))
  app.put('/v1/internal/service-virtual-ip', async (request, reply) => {
    const errors: ConfigError[] = []
    const fields = new FieldReader(bodyObject(request), '', errors)
    const service = fields.string('Service')
    const addresses = fields.strings('ManualVIPs')
    if (service === '') fields.fail('Service', 'is required')
    if (addresses.length > MAX_CHOSEN_PER_SERVICE) fields.fail('ManualVIPs', `at most ${MAX_CHOSEN_PER_SERVICE} addresses`)
    addresses.forEach((address, i) => {
      if (isIP(address) === 0) fields.fail(`ManualVIPs[${i}]`, `"${address}" is no IP address`)
    })
    if (errors.length > 0) throw new HttpError(400, joinErrors(errors))
    const losing = await context.catalog.virtualIps.assign(service, addresses)
    return sendIndexed(reply, context.store.index, {
      Found: losing !== undefined,
      UnassignedFrom: (losing ?? []).map(Name => ({ ServiceName: { Name } })),
    })
  })
  app.get('/v1/internal/federation-states/mesh-gateways', (request, reply) => blockingRead(context, request, reply, CONFIG, () => ({})))
  app.get('/v1/internal/federation-state/:datacenter', () =>
    Promise.reject(new HttpError(404, 'Federation state not found: there is one datacenter')),
  )

  app.get('/v1/internal/ui/catalog-overview', (request, reply) =>
    blockingRead(context, request, reply, HEALTH, () => {
      const byName = new Map<string, string[]>()
      for (const instance of catalog.instances())
        byName.set(instance.Service, [...(byName.get(instance.Service) ?? []), catalog.health(instance)])
      const ofNode = ({ Node }: CatalogNode): string =>
        worst(catalog.checksOfService(catalog.nodeKey(Node), '').map(({ status }) => status))
      return {
        Nodes: [summary('', catalog.nodes().map(ofNode))],
        Services: [...byName].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, statuses]) => summary(name, statuses)),
        Checks: [summary('', ['passing', ...[...catalog.checks()].map(({ status }) => status)])],
      }
    }),
  )

  app.get('/v1/internal/ui/service-topology/:service', (request, reply) => {
    const service = param(request, 'service')
    return blockingRead(context, request, reply, HEALTH, () => {
      const proxies = catalog.proxies()
      const upstreams = new Set(
        proxies
          .filter(({ Proxy: proxy }) => proxy?.DestinationServiceName === service)
          .flatMap(({ Proxy: proxy }) => proxy!.Upstreams.map(({ DestinationName }) => DestinationName)),
      )
      const downstreams = new Set(
        proxies
          .filter(({ Proxy: proxy }) => proxy?.Upstreams.some(({ DestinationName }) => DestinationName === service) === true)
          .map(({ Proxy: proxy }) => proxy!.DestinationServiceName),
      )
      return {
        Protocol: serviceProtocol(entries, service),
        TransparentProxy: false,
        Upstreams: [...upstreams].sort().map(name => topologyEntry(context, name, service, name)),
        Downstreams: [...downstreams].sort().map(name => topologyEntry(context, name, name, service)),
        FilteredByACLs: false,
      }
    })
  })
}

function nodeDump({ catalog }: ApiContext, node: CatalogNode): object {
  const key = catalog.nodeKey(node.Node)
  const services = [...(key === OWN_NODE ? [serverInstance()] : []), ...catalog.instancesOn(key)]
  return { ...nodeShape(node), Services: services.map(each => nodeService(catalog, each)), Checks: nodeChecksShape(catalog, key) }
}

function serviceSummary(context: ApiContext, name: string) {
  const { catalog, node } = context
  const instances: readonly CatalogInstance[] = name === SERVER_SERVICE ? [serverInstance()] : catalog.instancesOf(name)
  const isProxied = catalog.connectInstancesOf(name).some(({ Kind }) => Kind === 'connect-proxy')
  return {
    Kind: instances[0]?.Kind ?? '',
    Name: name,
    // The names by which a filter asks.
    ServiceName: name,
    Datacenter: node.datacenter,
    Tags: [...new Set(instances.flatMap(({ Tags }) => Tags))].sort(),
    // Ours, for the console: Consul's interface has none.
    Versions: [...new Set(instances.flatMap(({ Meta, Tags }) => instanceVersion(Meta, Tags) ?? []))].sort(byNumber.compare),
    Nodes: nodesOf(context, instances),
    ExternalSources: [...new Set(instances.flatMap(({ Meta }) => Meta['external-source'] ?? []))],
    InstanceCount: instances.length,
    ...checkCounts(context, instances),
    GatewayConfig: {},
    TransparentProxy: false,
    ConnectNative: instances.some(({ Native }) => Native),
    ConnectedWithProxy: isProxied,
    ConnectedWithGateway: false,
  }
}

function nodesOf({ catalog }: ApiContext, instances: readonly CatalogInstance[]): string[] {
  return [...new Set(instances.map(instance => catalog.nodeOf(instance).Node))].sort()
}

function checkCounts({ catalog }: ApiContext, instances: readonly CatalogInstance[]): CheckCounts {
  const statuses = instances.flatMap(instance => [
    ...(instance.Node === OWN_NODE ? ['passing'] : []),
    ...catalog.checksOf(instance).map(({ status }) => status),
  ])
  const count = (wanted: string): number => statuses.filter(status => status === wanted).length
  return { ChecksPassing: count('passing'), ChecksWarning: count('warning'), ChecksCritical: count('critical') }
}

function topologyEntry(context: ApiContext, name: string, source: string, destination: string): object {
  const { entries, node } = context
  const policy = { defaultAction: context.defaultPolicy(), http: false }
  const { allowed, intention } = decide(intentionsFor(entries, destination), { source: { service: source } }, policy)
  return {
    Name: name,
    Datacenter: node.datacenter,
    Nodes: nodesOf(context, context.catalog.instancesOf(name)),
    ...checkCounts(context, context.catalog.instancesOf(name)),
    Source: 'proxy-registration',
    TransparentProxy: false,
    Intention: {
      DefaultAllow: policy.defaultAction === 'allow',
      Allowed: allowed,
      HasPermissions: intention?.permissions !== undefined,
      ExternalSource: '',
      HasExact: intention !== undefined && intention.source === source && intention.destination === destination,
    },
  }
}

function summary(name: string, statuses: readonly string[]): object {
  const count = (wanted: string): number => statuses.filter(status => status === wanted).length
  return { Name: name, Total: statuses.length, Passing: count('passing'), Warning: count('warning'), Critical: count('critical') }
}
