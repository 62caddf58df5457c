// Handle bundles of what comes over xDS: of each subscription, of the control plane's stream, of discovered filter configs; as in
// stat-names.ts, whoever subscribes keeps a bundle and releases it at the end. Called by sidecar/, and by the registries of proxy/.

import type { Histogram } from './histogram.js'
import type { Counter, Gauge, TextReadout } from './stat.js'
import * as tables from './stat-tables.js'
import type { StatScope, StatSource } from './stats-store.js'

export type ControlPlaneHandles = InstanceType<(typeof tables.CONTROL_PLANE)['handles']>

/** `version` is a hash of the version text, `update_time` Unix ms of the last accepted update. */
export interface SubscriptionStats {
  readonly init_fetch_timeout: Counter
  readonly update_attempt: Counter
  readonly update_failure: Counter
  readonly update_rejected: Counter
  readonly update_success: Counter
  readonly update_time: Gauge
  readonly version: Gauge
  readonly update_duration: Histogram
  readonly version_text: TextReadout
  release(): void
}

export interface ReloadableSubscriptionStats extends SubscriptionStats {
  readonly config_reload: Counter
  readonly config_reload_time_ms: Gauge
}

/** `control_plane.` with its text readout, and the wildcard subscriptions. */
export class AdsStats {
  private readonly source: StatSource
  private known: { readonly controlPlane: ControlPlaneHandles; readonly identifier: TextReadout } | null = null
  private ldsStats: SubscriptionStats | null = null
  private cdsStats: ReloadableSubscriptionStats | null = null

  constructor(source: StatSource) {
    this.source = source
  }

  /** `control_plane.`, from the first stream on. */
  get controlPlane(): ControlPlaneHandles {
    return this.ofControlPlane.controlPlane
  }

  get identifier(): TextReadout {
    return this.ofControlPlane.identifier
  }

  /** `listener_manager.lds.`, where listeners are subscribed to. */
  get lds(): SubscriptionStats {
    return (this.ldsStats ??= subscriptionStats(this.source, 'listener_manager.lds'))
  }

  /** `cluster_manager.cds.`, where clusters are. */
  get cds(): ReloadableSubscriptionStats {
    return (this.cdsStats ??= reloadableSubscriptionStats(this.source, 'cluster_manager.cds'))
  }

  private get ofControlPlane() {
    if (this.known === null) {
      const scope = this.source.scope('control_plane')
      this.known = { controlPlane: scope.group(tables.CONTROL_PLANE), identifier: scope.textReadout('identifier') }
    }
    return this.known
  }

  /** `http.<hcmPrefix>.rds.<routeConfig>.`; release() it with its last user. */
  rds(hcmPrefix: string, routeConfig: string): ReloadableSubscriptionStats & { readonly update_empty: Counter } {
    return rdsStats(this.source, hcmPrefix, routeConfig)
  }

  /** `sds.<secret>.` */
  sds(secret: string): SubscriptionStats {
    const scope = this.source.scope(`sds.${secret}`)
    scope.group(tables.SECRET_ROTATION)
    return subscription(scope)
  }
}

export function adsStats(source: StatSource): AdsStats {
  return new AdsStats(source)
}

export function subscriptionStats(source: StatSource, prefix: string): SubscriptionStats {
  return subscription(source.scope(prefix))
}

export interface ExtensionConfigStats extends SubscriptionStats {
  readonly config_conflict: Counter
  readonly config_fail: Counter
  readonly config_reload: Counter
}

/** `extension_config_discovery.<place>.<name>.`; `place`: `http_filter`, `network_filter` or `tcp_listener_filter`. */
export function extensionConfigStats(source: StatSource, place: string, name: string): ExtensionConfigStats {
  const scope = source.scope(`extension_config_discovery.${place}.${name}`)
  const { config_conflict, config_fail, config_reload } = scope.group(tables.EXTENSION_CONFIG)
  return { ...subscription(scope), config_conflict, config_fail, config_reload }
}

function reloadableSubscriptionStats(source: StatSource, prefix: string): ReloadableSubscriptionStats {
  const scope = source.scope(prefix)
  const { config_reload, config_reload_time_ms } = scope.group(tables.CONFIG_RELOAD)
  return { ...subscription(scope), config_reload, config_reload_time_ms }
}

function rdsStats(source: StatSource, hcmPrefix: string, routeConfig: string) {
  const scope = source.scope(`http.${hcmPrefix}.rds.${routeConfig}`)
  const { config_reload, config_reload_time_ms } = scope.group(tables.CONFIG_RELOAD)
  return { ...subscription(scope), config_reload, config_reload_time_ms, update_empty: scope.counter('update_empty') }
}

function subscription(scope: StatScope): SubscriptionStats {
  const group = scope.group(tables.SUBSCRIPTION)
  return {
    init_fetch_timeout: group.init_fetch_timeout,
    update_attempt: group.update_attempt,
    update_failure: group.update_failure,
    update_rejected: group.update_rejected,
    update_success: group.update_success,
    update_time: group.update_time,
    version: group.version,
    update_duration: group.update_duration,
    version_text: scope.textReadout('version_text'),
    release: () => scope.release(),
  }
}
