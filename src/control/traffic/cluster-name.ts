// What a proxy's cluster is to the mesh, by its name: a service (and subset) that it calls, or the application behind it. The names are those
// of discovery-chain/names.ts; asked for each cluster of a load report. Whatever else a proxy has clusters for is no traffic of the mesh.
// Invariant: MAX_KNOWN names are remembered at most, whatever proxies report.
import { LOCAL_APP } from '../snapshot/proxy-view.js'

export type ClusterMeaning =
  | { readonly kind: 'upstream'; readonly destination: string; readonly subset: string }
  | { readonly kind: 'inbound' }
  | undefined

/** Wrappers of a name: a failover's child, a chain with overrides, a transparent proxy's original destination. */
const WRAPPERS = /^(?:failover-target~\d+~|passthrough~|[^.~]+~)*/
const MAX_NAME_CHARS = 512
/** A mesh has as many names as services and subsets, and every sidecar reports them again and again. */
const MAX_KNOWN = 10_000

export class ClusterMeanings {
  private readonly trustDomain: string
  private readonly known = new Map<string, ClusterMeaning>()

  constructor(trustDomain: string) {
    this.trustDomain = trustDomain
  }

  of(cluster: string): ClusterMeaning {
    const { known } = this
    const before = known.get(cluster)
    if (before !== undefined) return before
    const meaning = meaningOf(cluster, this.trustDomain)
    // What means nothing is not remembered: it may be anything.
    if (meaning === undefined) return undefined
    if (known.size >= MAX_KNOWN) known.clear()
    known.set(cluster, meaning)
    return meaning
  }
}

function meaningOf(cluster: string, trustDomain: string): ClusterMeaning {
  if (cluster === LOCAL_APP) return { kind: 'inbound' }
  if (cluster.length > MAX_NAME_CHARS || !cluster.endsWith(`.${trustDomain}`)) return undefined
  const labels = cluster
    .slice(0, -trustDomain.length - 1)
    .replace(WRAPPERS, '')
    .split('.')
  const routing = labels.pop()
  // namespace and datacenter; with internal-v1 a partition between them; of a peer the namespace and the peer.
  const tail = routing === 'internal' || routing === 'external' ? 2 : routing === 'internal-v1' ? 3 : 0
  if (tail === 0 || labels.length <= tail || labels.some(label => label === '')) return undefined
  const service = labels.slice(0, -tail)
  if (service.length === 1 || routing === 'external') return { kind: 'upstream', destination: service.join('.'), subset: '' }
  // `_` stands in the place of a subset before a service with dots in its name.
  const [subset, ...rest] = service as [string, ...string[]]
  return { kind: 'upstream', destination: rest.join('.'), subset: subset === '_' ? '' : subset }
}
