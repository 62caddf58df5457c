// `/v1/outrigger`: what Consul's API has no place for. Certificate rotation, sidecar bootstraps, the state of connected proxies, and
// why a request would be allowed or refused.
import type { FastifyInstance } from 'fastify'
import type { AdsNodeStatus } from '../../xds/server/server.js'
import { keyOfInstance } from '../catalog/catalog-types.js'
import { isHttpLike, serviceProtocol } from '../discovery-chain/service-protocol.js'
import { explainIntention } from '../intentions/explain.js'
import { intentionsFor } from '../intentions/match.js'
import { intentionTable } from '../intentions/table.js'
import { envoyBootstrap } from './bootstrap.js'
import type { ApiContext } from './context.js'
import { HttpError, param, query, requiredQuery } from './respond.js'
import { presentedToken } from './token.js'

const DEFAULT_ADMIN_BIND = '127.0.0.1:19000'

export function outriggerRoutes(app: FastifyInstance, context: ApiContext): void {
  const { ca, catalog, leaves } = context

  app.put('/v1/outrigger/ca/rotate-leaf', async request => {
    const service = requiredQuery(request, 'service')
    if (catalog.connectInstancesOf(service).length === 0) throw new HttpError(404, `service "${service}" has no sidecar`)
    const before = leaves.get(service)
    const leaf = await leaves.rotate(service)
    return {
      Service: service,
      SerialNumber: leaf.serial,
      PreviousSerialNumber: before?.serial ?? '',
      ValidAfter: leaf.notBefore.toISOString(),
      ValidBefore: leaf.notAfter.toISOString(),
      Index: context.store.index,
    }
  })

  app.put('/v1/outrigger/ca/rotate-root', async request => {
    const before = ca.roots().ActiveRootID
    try {
      await ca.rotateRoot({ force: query(request, 'force') === 'true' })
    } catch (error) {
      throw new HttpError(400, (error as Error).message)
    }
    return { ActiveRootID: ca.roots().ActiveRootID, PreviousRootID: before, Index: context.store.index }
  })

  app.get('/v1/outrigger/bootstrap/:proxyId', async request => {
    const proxyId = param(request, 'proxyId')
    const proxy = catalog.instance(proxyId)
    if (proxy?.Proxy === undefined) throw new HttpError(404, `unknown proxy ID: ${proxyId}`)
    const grpc = context.grpc()
    const ads = hostPort(query(request, 'grpc_addr'), 'grpc_addr') ?? { host: grpc.host, port: grpc.port }
    const admin = hostPort(query(request, 'admin_bind') || DEFAULT_ADMIN_BIND, 'admin_bind')!
    // Not the server's secret but the caller's own token goes into the file.
    const token = presentedToken(request)
    return envoyBootstrap({
      proxyId,
      service: proxy.Proxy.DestinationServiceName,
      nodeName: context.node.name,
      datacenter: context.node.datacenter,
      grpcHost: ads.host,
      grpcPort: ads.port,
      adminHost: admin.host,
      adminPort: admin.port,
      ...(grpc.token === undefined || token === undefined ? {} : { token }),
      ...(grpc.caPem === undefined ? {} : { grpcCaPem: grpc.caPem }),
      config: proxy.Proxy.Config,
    })
  })

  app.get('/v1/outrigger/explain', async request => {
    const from = requiredQuery(request, 'from')
    const to = requiredQuery(request, 'to')
    const method = query(request, 'method')
    const path = query(request, 'path')
    const protocol = serviceProtocol(context.entries, to)
    const policy = { defaultAction: context.defaultPolicy(), http: isHttpLike(protocol) }
    const table = intentionTable(to, intentionsFor(context.entries, to), policy)
    const explanation = explainIntention(table, {
      source: from,
      ...(method === undefined ? {} : { method: method.toUpperCase() }),
      ...(path === undefined ? {} : { path }),
    })
    const known = new Set(catalog.serviceNames())
    const warnings = [from, to].filter(name => !known.has(name)).map(name => `service "${name}" is not registered`)
    return { from, to, protocol, ...explanation, defaultPolicy: policy.defaultAction, warnings }
  })

  app.get('/v1/outrigger/proxies', async () => {
    const statuses = new Map(context.ads.status().map(status => [status.nodeKey, status]))
    return catalog.proxies().map(proxy => proxyState(context, keyOfInstance(proxy), statuses.get(keyOfInstance(proxy))))
  })

  app.get('/v1/outrigger/proxies/:id', async request => {
    const id = param(request, 'id')
    if (catalog.instance(id)?.Proxy === undefined) throw new HttpError(404, `unknown proxy ID: ${id}`)
    return proxyState(
      context,
      id,
      context.ads.status().find(status => status.nodeKey === id),
    )
  })
}

function proxyState(context: ApiContext, key: string, status: AdsNodeStatus | undefined): object {
  const proxy = context.catalog.instanceByKey(key)
  const pending = context.publisher.isPending(key)
  return {
    ID: proxy?.ID,
    ...(proxy === undefined ? {} : { Node: context.catalog.nodeOf(proxy).Node }),
    Service: proxy?.Proxy?.DestinationServiceName,
    Connected: status?.connected === true,
    /** All that the proxy should have is acknowledged, and nothing is being prepared for it. */
    Synced: status?.synced === true && !pending,
    /** The highest X-Consul-Index of a write that this proxy has acknowledged, or that did not concern it. */
    AcknowledgedIndex: context.publisher.acknowledgedIndex(key),
    SnapshotVersion: status?.snapshotVersion ?? null,
    Streams: (status?.streams ?? []).map(stream => ({
      Peer: stream.peer,
      Protocol: stream.protocol,
      OpenedAt: new Date(stream.openedAt).toISOString(),
      Types: stream.types.map(type => ({
        TypeURL: type.typeUrl,
        InFlight: type.inFlight,
        AckedVersions: Object.fromEntries(type.acked),
        LastNack:
          type.lastNack === null
            ? null
            : { At: new Date(type.lastNack.at).toISOString(), Message: type.lastNack.message, Names: type.lastNack.names },
      })),
    })),
  }
}

function hostPort(text: string | undefined, name: string): { readonly host: string; readonly port: number } | undefined {
  if (text === undefined || text === '') return undefined
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/.exec(text)
  const port = Number(match?.[3])
  if (match === null || port > 65_535) throw new HttpError(400, `${name} must be host:port`)
  return { host: match[1] ?? match[2]!, port }
}
