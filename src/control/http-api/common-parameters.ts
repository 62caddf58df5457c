// The query parameters that every endpoint of Consul's API has: datacenter, consistency, waiting, namespace and partition. Checked once,
// before the route: what has no meaning here is refused as Consul's Community Edition refuses it, never ignored. Called by server.ts.
import type { FastifyRequest } from 'fastify'
import type { CatalogIndex } from '../catalog/catalog-index.js'
import { OWN_NODE } from '../catalog/catalog-types.js'
import { parseDuration } from '../config-entries/duration.js'
import type { NodeInfo } from './context.js'
import { askedIndex, askedWaitMs, HttpError, query, queryAll } from './respond.js'

const ENTERPRISE = [
  { parameter: 'ns', header: 'x-consul-namespace', name: 'X-Consul-Namespace', feature: 'Namespaces are' },
  { parameter: 'partition', header: 'x-consul-partition', name: 'X-Consul-Partition', feature: 'Partitions are' },
] as const
const MAX_NODE_META = 64

/** Throws the `HttpError` that Consul answers with. */
export function checkCommonParameters(request: FastifyRequest, node: NodeInfo): void {
  for (const { header, name, feature } of ENTERPRISE) {
    if ((request.headers[header] ?? '') !== '')
      throw new HttpError(400, `Invalid header: "${name}" - ${feature} a Consul Enterprise feature`)
  }
  if (!request.url.includes('?')) return
  for (const { parameter, feature } of ENTERPRISE) {
    if ((query(request, parameter) ?? '') !== '')
      throw new HttpError(400, `Invalid query parameter: "${parameter}" - ${feature} a Consul Enterprise feature`)
  }
  if ((query(request, 'sg') ?? '') !== '')
    throw new HttpError(400, 'Invalid query parameter: "sg" - Sameness groups are a Consul Enterprise feature')
  const datacenter = query(request, 'dc') ?? ''
  if (datacenter !== '' && datacenter !== node.datacenter)
    throw new HttpError(500, `No path to datacenter: there is only ${node.datacenter}, and peering leads out of it (?peer=)`)
  if (query(request, 'stale') !== undefined && query(request, 'consistent') !== undefined)
    throw new HttpError(400, 'Cannot specify ?stale with ?consistent, conflicting semantics.')
  if (query(request, 'cached') !== undefined && query(request, 'consistent') !== undefined)
    throw new HttpError(400, 'Cannot specify ?cached with ?consistent, conflicting semantics.')
  const maxStale = query(request, 'max_stale')
  if (maxStale !== undefined && maxStale !== '' && parseDuration(maxStale) === undefined)
    throw new HttpError(400, `Invalid max_stale value "${maxStale}"`)
  if (queryAll(request, 'node-meta').length > MAX_NODE_META) throw new HttpError(400, `at most ${MAX_NODE_META} node-meta`)
  askedIndex(request)
  if (query(request, 'wait') !== undefined) askedWaitMs(request)
}

/** `near`: the agent that answers, or a node by its name. */
export const THIS_AGENT = '_agent'

/**
 * In order of the round trip from a node. There are no coordinates that would tell it, but one distance is known without: what is on that very
 * node comes first, and the rest keeps its order, as in Consul for nodes without coordinates. `near` '': the order is no matter.
 */
export function nearestFirst<T>(
  items: readonly T[],
  near: string,
  catalog: Pick<CatalogIndex, 'nodeKey'>,
  nodeKeyOf: (item: T) => string,
): T[] {
  if (near === '') return [...items]
  const wanted = near === THIS_AGENT ? OWN_NODE : catalog.nodeKey(near)
  const isThere = (item: T): boolean => nodeKeyOf(item) === wanted
  return [...items.filter(isThere), ...items.filter(item => !isThere(item))]
}

/** `?node-meta=key:value`, each of which the node must have. */
export function nodeMetaMatches(request: FastifyRequest, meta: Readonly<Record<string, string>> | null): boolean {
  return queryAll(request, 'node-meta').every(pair => {
    const colon = pair.indexOf(':')
    const key = colon < 0 ? pair : pair.slice(0, colon)
    return meta !== null && Object.hasOwn(meta, key) && meta[key] === (colon < 0 ? '' : pair.slice(colon + 1))
  })
}
