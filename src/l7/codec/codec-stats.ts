// Codec counters on the stats store: the codecs count plain numbers by Envoy's leaf names; here those names become the handles under
// `http2.` of the root (downstream) or of a cluster (upstream), so that a codec needs to know no store.

import { type Http2CodecHandles, http1CodecStats, http2CodecStats } from '../../metrics/stat-names.js'
import type { StatSource } from '../../metrics/stats-store.js'
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

/** Counters of downstream connections: `http1.` and `http2.` are there from the first connection on that speaks it, as in Envoy. */
export class DownstreamCodecStats {
  private readonly source: StatSource
  private readonly hcm: { readonly downstream_rq_too_many_premature_resets: { value: number } }
  private http1Shown = false

  constructor(source: StatSource, hcm: { readonly downstream_rq_too_many_premature_resets: { value: number } }) {
    this.source = source
    this.hcm = hcm
  }

  showHttp1(): void {
    if (this.http1Shown) return
    this.http1Shown = true
    http1CodecStats(this.source)
  }

  /** Premature resets count under the connection manager. */
  get http2(): Http2Stats {
    const { hcm } = this
    return (
      byOwner.get(hcm) ??
      bound(hcm, http2CodecStats(this.source), { downstream_rq_too_many_premature_resets: hcm.downstream_rq_too_many_premature_resets })
    )
  }

  /** `http2.inbound_empty_frames_flood` and the like; a bare name is HTTP/1's. */
  count(stat: string): void {
    this.source.counter(stat.includes('.') ? stat : `http1.${stat}`).value++
  }
}

export function upstreamHttp2Stats(cluster: HostCluster): Http2Stats {
  return bound(cluster, cluster.traffic.http2, {})
}
