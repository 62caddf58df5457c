// `/v1/config`: config entries, in Consul's form. A write that does not parse or would break a chain is refused and changes nothing.
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { entryWarnings } from '../config-entries/entry-warnings.js'
import { REFUSED_KINDS, SCHEMAS } from '../config-entries/schemas.js'
import { withShownDurations } from '../config-entries/shown-durations.js'
import type { ConfigEntry, ConfigEntryKind } from '../config-entries/types.js'
import { BOUND_API_GATEWAY, EntryStatus } from '../gateways/entry-status.js'
import { unknownServiceWarnings } from '../intentions/unknown-services.js'
import { unknownPeerWarnings } from '../peering/unknown-peers.js'
import type { ApiContext } from './context.js'
import { gatewayProgress } from './gateway-progress.js'
import { compileRequestFilter } from './request-filter.js'
import { blockingRead, casIndex, describeError, HttpError, joinErrors, param, sendIndexed, warn } from './respond.js'

const CONFIG = 'config'

export function configRoutes(app: FastifyInstance, context: ApiContext): void {
  const { entries, metrics } = context
  const status = new EntryStatus(context.resolvedEntries, gateway => gatewayProgress(gateway, context))
  const all = (): object[] => [...entries.all().map(status.reader()).map(withShownDurations), ...status.bound()]

  app.put('/v1/config', async (request, reply) => {
    const cas = casIndex(request, 'Failed to parse cas value')
    const result = await entries.put(request.body, cas)
    if (!result.ok && 'conflict' in result) return sendIndexed(reply, context.indexes.get(CONFIG), false)
    if (!result.ok) {
      metrics.refusedWrites.inc()
      throw new HttpError(400, joinErrors(result.errors))
    }
    warn(reply, configWarnings(context, result.entry))
    return sendIndexed(reply, context.store.index, true)
  })

  app.get('/v1/config', (request, reply) => blockingRead(context, request, reply, CONFIG, all))

  app.get('/v1/config/:kind', (request, reply) => {
    const kind = kindOf(request)
    const isWanted = compileRequestFilter(request, 'config-entry')
    return blockingRead(context, request, reply, CONFIG, () =>
      kind === BOUND_API_GATEWAY
        ? status.bound().filter(isWanted)
        : [...entries.list(kind)]
            .sort((a, b) => (a.Name < b.Name ? -1 : 1))
            .map(status.reader())
            .filter(isWanted)
            .map(withShownDurations),
    )
  })

  app.get('/v1/config/:kind/*', (request, reply) => {
    const kind = kindOf(request)
    const name = param(request, '*')
    return blockingRead(context, request, reply, CONFIG, () => {
      const found = kind === BOUND_API_GATEWAY ? undefined : entries.get(kind, name)
      const entry = kind === BOUND_API_GATEWAY ? status.boundNamed(name) : found && withShownDurations(status.reader()(found))
      if (entry === undefined) throw new HttpError(404, `Config entry not found for "${kind}" / "${name}"`)
      return entry
    })
  })

  app.delete('/v1/config/:kind/*', async (request, reply) => {
    const cas = casIndex(request, 'Failed to parse cas value')
    const kind = kindOf(request)
    if (kind === BOUND_API_GATEWAY) throw new HttpError(400, REFUSED_KINDS.get(kind)!)
    const result = await entries.delete(kind, param(request, '*'), cas)
    if (!result.ok && 'conflict' in result) return sendIndexed(reply, context.indexes.get(CONFIG), false)
    if (!result.ok) {
      metrics.refusedWrites.inc()
      throw new HttpError(400, joinErrors(result.errors))
    }
    return sendIndexed(reply, context.store.index, cas === undefined ? {} : true)
  })
}

function kindOf(request: FastifyRequest): ConfigEntryKind | typeof BOUND_API_GATEWAY {
  const kind = param(request, 'kind')
  if (!SCHEMAS.has(kind) && !REFUSED_KINDS.has(kind)) throw new HttpError(400, `invalid config entry kind: ${kind}`)
  return kind as ConfigEntryKind
}

/** What has no effect, and names of services and peers that nobody knows: probably typing mistakes. Said in headers. */
export function configWarnings({ catalog, peeringTable, federationTable }: ApiContext, entry: ConfigEntry): string[] {
  const named = entry.Kind === 'service-intentions' ? unknownServiceWarnings(entry, new Set(catalog.serviceNames())) : []
  const peers = unknownPeerWarnings(entry, peer => (peeringTable.get(peer) ?? federationTable.get(peer)) !== undefined)
  return [...entryWarnings(entry).map(describeError), ...named, ...peers]
}
