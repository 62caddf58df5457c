// The rollouts of a control plane: table and engine, opened from the store and wired to the catalog (is the new version healthy?), the publisher
// and the ADS server (who has taken what?), the traffic and the metrics. Called once by `ControlPlane`.
import { systemClock } from '../../io/clock.js'
import type { VaultSession } from '../../vault/vault-session.js'
import type { AdsServer } from '../../xds/server/server.js'
import type { Catalog } from '../catalog/catalog.js'
import { isWell } from '../catalog/check-definition.js'
import { subsetFilter } from '../config-entries/filter-expression.js'
import type { ConfigEntryTable } from '../config-entry-table.js'
import type { ControlMetrics } from '../control-metrics.js'
import { healthEntry } from '../http-api/shapes.js'
import type { SnapshotPublisher } from '../snapshot/snapshot-publisher.js'
import type { Store } from '../store/store.js'
import type { ObservedTraffic } from '../traffic/observed-traffic.js'
import { outsideCalls } from './outside-calls.js'
import { proxyAcceptance } from './proxy-acceptance.js'
import { RolloutEngine, type Rollouts } from './rollout-engine.js'
import { RolloutTable } from './rollout-table.js'
import { openWebhookSecrets, UNSIGNED } from './webhook-secrets.js'

export async function openRollouts(parts: {
  readonly store: Store
  readonly catalog: Catalog
  readonly entries: ConfigEntryTable
  readonly publisher: SnapshotPublisher
  readonly ads: AdsServer
  readonly traffic: ObservedTraffic
  readonly metrics: ControlMetrics
  /** Where the secrets are that webhooks are signed with; absent: they are not signed. */
  readonly webhookSecretFile: string | undefined
  readonly vault: VaultSession | undefined
  onProblem(reason: string): void
}): Promise<Rollouts> {
  const { store, catalog, entries, publisher, ads, traffic, metrics, webhookSecretFile, vault, onProblem } = parts
  const secrets = webhookSecretFile === undefined ? UNSIGNED : await openWebhookSecrets(webhookSecretFile, vault)
  const table = await RolloutTable.open(store)
  const engine = new RolloutEngine({
    store,
    entries,
    table,
    traffic,
    reportIntervalMs: traffic.intervalMs,
    acceptance: proxyAcceptance(publisher, ads),
    isHealthy: (service, subset) => isHealthy(catalog, entries, service, subset),
    calls: outsideCalls(secrets, () => systemClock.wallNow()),
    clock: systemClock,
    onMove: () => metrics.rolloutMoves.inc(),
    onEnd: phase => metrics.rolloutEnded(phase),
    onProblem: (rollout, reason) => onProblem(`rollout ${rollout}: ${reason}`),
  })
  return { table, engine }
}

/** Does the mesh have somewhere to send the subset's requests: an instance behind a sidecar that its own filter takes, and that is well? */
function isHealthy(catalog: Catalog, entries: ConfigEntryTable, service: string, subset: string): boolean {
  const subsets = entries.get('service-resolver', service)?.Subsets ?? {}
  if (!Object.hasOwn(subsets, subset)) return false
  const { Filter, OnlyPassing } = subsets[subset]!
  const fits = subsetFilter(Filter)
  return catalog
    .connectInstancesOf(service)
    .some(proxy => isWell(catalog.health(proxy), OnlyPassing) && (fits?.(healthEntry(catalog, proxy)) ?? true))
}
