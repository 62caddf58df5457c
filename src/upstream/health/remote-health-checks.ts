// The active health checks of a cluster whose hosts another process checks: in the place of a HealthCheckSet, with the verdicts that
// RemoteHealth has. Made by UpstreamCluster. Invariant: nothing is sent to a host from here.

import type { Host } from '../host/host.js'
import type { HealthChecks } from './health-check-set.js'
import type { RemoteHealth } from './health-verdicts.js'

export class RemoteHealthChecks implements HealthChecks {
  private readonly cluster: string
  private readonly remote: RemoteHealth
  private firstRound: (() => void) | null = null

  constructor(cluster: string, remote: RemoteHealth) {
    this.cluster = cluster
    this.remote = remote
  }

  /** What is known of a host is asked for by the cluster, checks or none. */
  add(): void {}

  remove(): void {}

  failNow(host: Host): void {
    this.remote.tell({ what: 'immediate-fail', cluster: this.cluster, host: host.key })
  }

  onFirstRound(done: () => void): void {
    if (this.remote.isChecked(this.cluster)) done()
    else this.firstRound = done
  }

  /** The other process says that every host has had its first check. */
  checked(): void {
    const done = this.firstRound
    this.firstRound = null
    done?.()
  }

  close(): void {
    this.firstRound = null
  }
}
