// When a root rotation may go on: the bundle that holds the next root has reached the sidecars, or has had its time. Asked by the
// `CertificateAuthority` between its two steps; made by `ControlPlane`.
import type { AdsServer } from '../../xds/server/server.js'
import type { Catalog } from '../catalog/catalog.js'
import { keyOfInstance } from '../catalog/catalog-types.js'
import type { SnapshotPublisher } from '../snapshot/snapshot-publisher.js'

/** A root rotation waits this long, at most, for sidecars to acknowledge the grown bundle. */
const BUNDLE_SETTLE_MS = 30_000
const BUNDLE_POLL_MS = 20

export class BundleSettling {
  private stopped = false

  constructor(
    private readonly catalog: Catalog,
    private readonly publisher: SnapshotPublisher,
    private readonly ads: AdsServer,
  ) {}

  /**
   * Resolves when every sidecar has the bundle that now holds the next root, or the time is over. One that is not connected is waited for
   * only where no cross-sign helps it over: it may be about to come back.
   */
  async settled(crossSigned: boolean): Promise<void> {
    const deadline = performance.now() + BUNDLE_SETTLE_MS
    const settled = (): boolean => {
      if (!this.publisher.isIdle) return false
      const { connected, synced } = this.ads.counts()
      return connected === synced && (crossSigned || this.catalog.proxies().every(proxy => this.ads.isSynced(keyOfInstance(proxy))))
    }
    while (!this.stopped && !settled() && performance.now() < deadline) await new Promise(resolve => setTimeout(resolve, BUNDLE_POLL_MS))
  }

  /** Lets a rotation under way go on at once (shutdown). */
  stop(): void {
    this.stopped = true
  }
}
