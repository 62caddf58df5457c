// Codec counters on the stats store: the codecs count plain numbers by Envoy's leaf names; here those names become the handles under
// `http2.` of the root (downstream) or of a cluster (upstream), so that a codec needs to know no store.

import { type Http2CodecHandles, http2CodecStats } from '../../metrics/stat-names.js'
import type { StatsStore } from '../../metrics/stats-store.js'
import type { HostCluster } from '../../upstream/host/host.js'
import { type Http2Stats, newHttp2Stats } from './http2/stats.js'

const byOwner = new WeakMap<object, Http2Stats>()

function bound(owner: object, handles: Http2CodecHandles, extra: Readonly<Record<string, { value: number }>>): Http2Stats {
  let stats = byOwner.get(owner)
  if (stats !== undefined) return stats
  stats = newHttp2Stats()
  const known = handles as unknown as Readonly<Record<string, { value: number } | undefined>>
  for (const name of Object.keys(stats)) {
    // Taken now and not on each count: a handle is made once per owner.
    const handle = extra[name] ?? known[name]
    if (handle === undefined) continue
    Object.defineProperty(stats, name, {
      get: () => handle.value,
      set: (value: number) => {
        handle.value = value
      },
    })
  }
  byOwner.set(owner, stats)
  return stats
}

/** Counters of downstream connections; premature resets count under their connection manager, as in Envoy. */
export function downstreamHttp2Stats(store: StatsStore, hcm: { downstream_rq_too_many_premature_resets: { value: number } }): Http2Stats {
  return bound(hcm, http2CodecStats(store), { downstream_rq_too_many_premature_resets: hcm.downstream_rq_too_many_premature_resets })
}

export function upstreamHttp2Stats(cluster: HostCluster): Http2Stats {
  return bound(cluster, cluster.traffic.http2, {})
}
