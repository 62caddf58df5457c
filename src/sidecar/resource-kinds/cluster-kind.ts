// CDS, and clusters on demand (ODCDS). The bridge holds the update's ACK while clusters have no endpoints yet (`onSettled`).

import type { AdsStats } from '../../metrics/subscription-stats.js'
import type { Bootstrap } from '../../model/bootstrap.js'
import type { ConfigError } from '../../model/config-error.js'
import { sourceKey } from '../../model/config-source.js'
import type { Server } from '../../proxy/server.js'
import type { XdsResource } from '../../xds/client/client.js'
import { decodeCluster } from '../../xds/resources/decode.js'
import { unreachableClusterSources } from '../../xds/resources/source-references.js'
import { CLUSTER_TYPE } from '../../xds/type-urls.js'
import type { Decode } from './dynamic-decoder.js'
import type { ResourceKind, UpdateOutcome } from './resource-kind.js'
import { countUpdate } from './subscription-counts.js'

export class ClusterKind implements ResourceKind {
  readonly typeUrl = CLUSTER_TYPE
  readonly removesFirst = false
  private readonly server: Server
  private readonly decode: Decode
  private readonly bootstrap: Bootstrap
  private readonly stats: AdsStats
  private readonly onSettled: () => void

  constructor(server: Server, decode: Decode, bootstrap: Bootstrap, stats: AdsStats, onSettled: () => void) {
    this.server = server
    this.decode = decode
    this.bootstrap = bootstrap
    this.stats = stats
    this.onSettled = onSettled
  }

  apply(resource: XdsResource): readonly ConfigError[] {
    const decoded = this.decode(decodeCluster, resource)
    if (!decoded.ok) return decoded.errors
    const errors = unreachableClusterSources(decoded.value, this.bootstrap)
    return errors.length > 0 ? errors : this.server.config.applyCluster(decoded.value)
  }

  remove(name: string): void {
    this.server.config.removeCluster(name)
  }

  isStatic(name: string): boolean {
    return this.bootstrap.clusters.some(cluster => cluster.name === name)
  }

  refused(): void {}

  /** As Envoy, which counts an update that brought something. */
  private countReload({ update, refused }: UpdateOutcome): void {
    const { cds } = this.stats
    if (update.resources.length + update.removed.length === refused.size) return
    cds.config_reload.value++
    cds.config_reload_time_ms.value = Date.now()
  }

  settled(outcome: UpdateOutcome): void {
    const { update, source, refused } = outcome
    const { cds } = this.bootstrap
    if (cds !== null && sourceKey(cds.source) === sourceKey(source)) {
      countUpdate(this.stats.cds, outcome)
      this.countReload(outcome)
      this.onSettled()
      this.server.sourceSeen('cds')
    }
    const found = update.resources.filter(({ name }) => !refused.has(name)).map(({ name }): [string, string] => [name, name])
    this.server.demands.answer('cluster', source, { found: new Map(found), missing: update.removed })
    // Those that were here already, or need no warming, were ready before the answer was known.
    for (const [name] of found) if (this.server.clusters.get(name) !== undefined) this.server.demands.ready('cluster', name)
  }
}
