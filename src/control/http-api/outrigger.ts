// `/v1/outrigger`: what Consul's API has no place for. Certificate rotation, sidecar bootstraps, the state of connected proxies, and
// why a request would be allowed or refused.
import type { FastifyInstance } from 'fastify'
import type { AdsNodeStatus } from '../../xds/server/server.js'
import { keyOfInstance, meshServiceOf } from '../catalog/catalog-types.js'
import { bootstrapRoute } from './bootstrap-route.js'
import { configWarnings } from './config.js'
import type { ApiContext } from './context.js'
import { explainRequest } from './explain-route.js'
import { HttpError, joinErrors, param, query, requiredQuery, sendIndexed, warn } from './respond.js'

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

  bootstrapRoute(app, context, context.grpc, () => context.entries.get('proxy-defaults', 'global')?.Config ?? {})

  app.get('/v1/outrigger/explain', async request => explainRequest(context, request))

  // Config entries as one change, judged by the state after all of them: what `outrigger apply` does with its files.
  app.put('/v1/outrigger/config-entries', async (request, reply) => {
    const { body } = request
    if (!Array.isArray(body)) throw new HttpError(400, 'Request decode failed: must be a list of config entries')
    const { entries, errors } = await context.entries.putAll(body)
    if (errors.length > 0) {
      context.metrics.refusedWrites.inc()
      throw new HttpError(400, joinErrors(errors.map(({ change, path, reason }) => ({ path: at(change, path), reason }))))
    }
    warn(
      reply,
      entries.flatMap((entry, i) => configWarnings(context, entry).map(warning => `[${i}] ${warning}`)),
    )
    return sendIndexed(reply, context.store.index, true)
  })

  app.get('/v1/outrigger/proxies', async () => {
    const statuses = new Map(context.ads.status().map(status => [status.nodeKey, status]))
    return catalog.proxies().map(proxy => proxyState(context, keyOfInstance(proxy), statuses.get(keyOfInstance(proxy))))
  })

  app.get('/v1/outrigger/proxies/:id', async request => {
    const id = param(request, 'id')
    if (catalog.instance(id)?.Proxy === undefined) throw new HttpError(404, `unknown proxy ID: ${id}`)
    return proxyState(context, id, context.ads.statusOf(id))
  })
}

const at = (change: number, path: string): string => (change < 0 ? path : `[${change}]${path === '' ? '' : `.${path}`}`)

function proxyState(context: ApiContext, key: string, status: AdsNodeStatus | undefined): object {
  const proxy = context.catalog.instanceByKey(key)
  const pending = context.publisher.isPending(key)
  return {
    ID: proxy?.ID,
    ...(proxy === undefined ? {} : { Node: context.catalog.nodeOf(proxy).Node }),
    Service: proxy && meshServiceOf(proxy),
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
      Admin: stream.admin,
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
