// `/v1/outrigger` for the web console, where Consul's API has nothing that it could ask: what this control plane is, who holds which
// certificate, what was changed, and what a config entry or an intention would do before it is written. Called by server.ts.
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { type CatalogInstance, meshServiceOf } from '../catalog/catalog-types.js'
import { withChange } from '../config-entries/entry-index.js'
import { parseConfigEntry } from '../config-entries/parse-config-entry.js'
import type { ConfigEntryIndex } from '../config-entries/types.js'
import { isHttpLike, serviceProtocol } from '../discovery-chain/service-protocol.js'
import { explainIntention } from '../intentions/explain.js'
import { intentionsFor } from '../intentions/match.js'
import { intentionTable } from '../intentions/table.js'
import { configWarnings } from './config.js'
import type { ApiContext } from './context.js'
import { blockingRead, bodyObject, eitherTopic, HttpError, joinErrors } from './respond.js'
import { SharedRead } from './shared-read.js'

/** Pairs of services that one preview looks at. */
const MAX_PREVIEWED_EDGES = 5_000

interface Edge {
  readonly Source: string
  readonly Destination: string
}

interface Verdict {
  readonly Allowed: boolean
  readonly Reason: string
  /** The intention has permissions: it is allowed or denied by its method, path or headers. */
  readonly ByRequest: boolean
}

export function consoleApiRoutes(app: FastifyInstance, context: ApiContext): void {
  const { acl, audit, node, store } = context
  const shared = new SharedRead(() => topology(context))

  app.get('/v1/outrigger/console', async () => ({
    Version: context.version,
    Datacenter: node.datacenter,
    NodeName: node.name,
    ACLsEnabled: acl !== undefined,
    TokenRequired: context.tokenRequired,
    DefaultIntentionPolicy: context.defaultPolicy(),
    /** Figures of traffic reach back longer than an hour. */
    LongRanges: context.history !== undefined,
  }))

  app.get('/v1/outrigger/audit', (request, reply) =>
    blockingRead(context, request, reply, audit, () =>
      audit.events().map(event => ({
        Index: event.index,
        At: new Date(event.at).toISOString(),
        Area: event.area,
        Action: event.action,
        Subject: event.subject,
        Outcome: event.outcome,
        AccessorID: event.by,
        By: event.byName,
        From: event.from,
        Times: event.times,
      })),
    ),
  )

  app.get('/v1/outrigger/certificates', (request, reply) =>
    blockingRead(context, request, reply, eitherTopic(context.indexes, 'roots', 'services'), () => certificates(context)),
  )

  // Every service of the mesh, and who declares to call whom: the whole picture in one answer.
  app.get('/v1/outrigger/topology', (request, reply) =>
    blockingRead(context, request, reply, eitherTopic(context.indexes, 'health', 'config'), () =>
      shared.get(`${store.index} ${context.defaultPolicy()}`),
    ),
  )

  // What a write would say, without writing.
  app.put('/v1/outrigger/config-entries/check', async request => {
    const { entries, errors } = await context.entries.tryAll([bodyObject(request)])
    return {
      Errors: errors.map(({ path, reason }) => ({ Path: path, Reason: reason })),
      Warnings: errors.length > 0 ? [] : entries.flatMap(entry => configWarnings(context, entry)),
    }
  })

  app.put('/v1/outrigger/intentions/preview', async request => preview(context, request))
}

function certificates({ ca, catalog, leaves }: ApiContext): object {
  const { Roots, ...roots } = ca.roots()
  const holders = new Map<string, string[]>()
  for (const proxy of catalog.proxies()) {
    const service = meshServiceOf(proxy)
    const held = holders.get(service)
    if (held === undefined) holders.set(service, [proxy.ID])
    else held.push(proxy.ID)
  }
  const all = [...leaves.all()].sort((a, b) => (a.service < b.service ? -1 : 1))
  return {
    ...roots,
    Provider: ca.config.provider.kind,
    Roots: Roots.map(root => ({
      ID: root.ID,
      Name: root.Name,
      Active: root.Active,
      NotBefore: root.NotBefore,
      NotAfter: root.NotAfter,
      PrivateKeyType: root.PrivateKeyType,
      PrivateKeyBits: root.PrivateKeyBits,
    })),
    /** Leaves that are still of a root of before: a rotation is under way until there are none. */
    OutdatedLeaves: all.filter(({ rootId }) => rootId !== roots.ActiveRootID).length,
    Leaves: all.map(leaf => ({
      Service: leaf.service,
      URI: leaf.uri,
      SerialNumber: leaf.serial,
      ValidAfter: leaf.notBefore.toISOString(),
      ValidBefore: leaf.notAfter.toISOString(),
      RootID: leaf.rootId,
      Outdated: leaf.rootId !== roots.ActiveRootID,
      Proxies: holders.get(leaf.service) ?? [],
    })),
  }
}

function topology(context: ApiContext): object {
  const { catalog, entries } = context
  const proxies = catalog.proxies()
  const proxied = new Map<string, number>()
  for (const proxy of proxies) proxied.set(meshServiceOf(proxy), (proxied.get(meshServiceOf(proxy)) ?? 0) + 1)
  const edges = [...new Map(declaredEdges(proxies).map(edge => [JSON.stringify(edge), edge])).values()]
  const names = new Set([...catalog.serviceNames(), ...edges.flatMap(({ Source, Destination }) => [Source, Destination])])
  const services = [...names].sort().flatMap(name => {
    const instances = catalog.instancesOf(name)
    // Sidecars are part of the service that they stand beside.
    if (instances.length > 0 && instances.every(({ Kind }) => Kind === 'connect-proxy')) return []
    const health = instances.map(instance => catalog.health(instance))
    return [
      {
        Name: name,
        Kind: instances[0]?.Kind ?? '',
        Protocol: serviceProtocol(entries, name),
        Instances: instances.length,
        Passing: health.filter(status => status === 'passing').length,
        Critical: health.filter(status => status === 'critical').length,
        Proxies: proxied.get(name) ?? 0,
      },
    ]
  })
  return { Services: services, Edges: edges.map(edge => ({ ...edge, ...verdict(context, entries, edge.Source, edge.Destination) })) }
}

/** `Entry`: service-intentions as it would be, without sources: taken out. `Edges`: pairs to look at beside those that sidecars declare. */
async function preview(context: ApiContext, request: FastifyRequest): Promise<object> {
  const { Entry: raw, Edges } = bodyObject(request)
  const after = entriesAfter(context, raw)
  const edges = [...declaredEdges(context.catalog.proxies()), ...askedEdges(Edges)]
  if (edges.length > MAX_PREVIEWED_EDGES) throw new HttpError(400, `Edges: more than ${MAX_PREVIEWED_EDGES} pairs of services`)
  const seen = new Set<string>()
  const verdicts = edges.flatMap(({ Source, Destination }) => {
    const key = JSON.stringify([Source, Destination])
    if (seen.has(key)) return []
    seen.add(key)
    const [Before, After] = [verdict(context, context.entries, Source, Destination), verdict(context, after, Source, Destination)]
    const Changed = Before.Allowed !== After.Allowed || Before.ByRequest !== After.ByRequest
    return [{ Source, Destination, Changed, Before, After }]
  })
  return { DefaultPolicy: context.defaultPolicy(), Edges: verdicts }
}

function entriesAfter(context: ApiContext, raw: unknown): ConfigEntryIndex {
  const { Name, Sources } = (raw ?? {}) as { readonly Name?: unknown; readonly Sources?: unknown }
  if (typeof Name === 'string' && Array.isArray(Sources) && Sources.length === 0)
    return withChange(context.entries, { op: 'delete', kind: 'service-intentions', name: Name })
  const parsed = parseConfigEntry(raw)
  if ('errors' in parsed) throw new HttpError(400, joinErrors(parsed.errors))
  const { entry } = parsed
  if (entry.Kind !== 'service-intentions') throw new HttpError(400, 'Entry.Kind: must be service-intentions')
  return withChange(context.entries, { op: 'put', entry })
}

function declaredEdges(proxies: readonly CatalogInstance[]): Edge[] {
  return proxies.flatMap(proxy =>
    (proxy.Proxy?.Upstreams ?? []).map(({ DestinationName }) => ({ Source: meshServiceOf(proxy), Destination: DestinationName })),
  )
}

function askedEdges(raw: unknown): Edge[] {
  if (raw === undefined || raw === null) return []
  const isEdge = (edge: unknown): edge is Edge =>
    typeof edge === 'object' && edge !== null && typeof (edge as Edge).Source === 'string' && typeof (edge as Edge).Destination === 'string'
  if (!Array.isArray(raw) || !raw.every(isEdge)) throw new HttpError(400, 'Edges: must be a list of {Source, Destination}')
  return raw
}

function verdict({ defaultPolicy }: ApiContext, entries: ConfigEntryIndex, source: string, destination: string): Verdict {
  const policy = { defaultAction: defaultPolicy(), http: isHttpLike(serviceProtocol(entries, destination)) }
  const table = intentionTable(destination, intentionsFor(entries, destination), policy)
  const { allowed, reason, intention } = explainIntention(table, { source })
  const deciding = table.intentions.find(({ name }) => name === intention)
  return { Allowed: allowed, Reason: reason, ByRequest: deciding?.action === 'permissions' }
}
