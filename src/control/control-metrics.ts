// The control plane's own metrics in a prom-client registry, served as `/v1/agent/metrics?format=prometheus`. Made by `ControlPlane`;
// gauges are read when scraped, so nothing here runs per request of the mesh.
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { BackupStatus } from './backup/backups.js'
import type { Phase } from './rollouts/transitions.js'

export interface ControlGauges {
  instances(): number
  proxies(): number
  connectedProxies(): number
  syncedProxies(): number
  configEntries(): number
  activeRollouts(): number
  storeIndex(): number
  /** Seconds until the end of the leaf that ends first; NaN when there is none. */
  firstLeafExpirySeconds(): number
  /** Seconds until the end of the active root, and of the intermediate that signs leaves. */
  rootExpirySeconds(): number
  intermediateExpirySeconds(): number
}

const PREFIX = 'outrigger_control_'

export class ControlMetrics {
  readonly registry = new Registry()
  /** From the write in the catalog or the config entries to the acknowledgement by a proxy that it concerned. */
  readonly propagation = new Histogram({
    name: `${PREFIX}propagation_seconds`,
    help: 'Time from a write to its acknowledgement by a proxy that it concerns',
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers: [this.registry],
  })
  readonly acks = this.counter('xds_acks_total', 'xDS responses acknowledged by proxies')
  readonly nacks = this.counter('xds_nacks_total', 'xDS responses refused by proxies')
  readonly refusedWrites = this.counter(
    'refused_writes_total',
    'Writes that were refused because they were invalid or would break something',
  )
  readonly meshFileErrors = this.counter('mesh_file_errors_total', 'Problems found while reloading the mesh file')
  readonly buildFailures = this.counter(
    'snapshot_problems_total',
    'Snapshots that could not be built, or only without a part of the configuration',
  )
  readonly leavesIssued = this.counter('leaves_issued_total', 'Leaf certificates issued')
  readonly rolloutMoves = this.counter('rollout_moves_total', 'Writes of splitters and routers by rollouts')
  readonly backupsMade = this.counter('backups_total', 'Backups made')
  readonly backupFailures = this.counter('backup_failures_total', 'Backups, or removals of old ones, that failed')
  private readonly rolloutsSucceeded = this.counter('rollouts_succeeded_total', 'Rollouts that ended with all requests at the new version')
  private readonly rolloutsRolledBack = this.counter(
    'rollouts_rolled_back_total',
    'Rollouts that ended with all requests at the old version',
  )
  private readonly rolloutsConflicted = this.counter(
    'rollouts_conflicted_total',
    'Rollouts that stopped because another writer had changed what they move',
  )

  constructor(gauges: ControlGauges) {
    this.gauge('service_instances', 'Registered instances, sidecars included', gauges.instances)
    this.gauge('proxies', 'Registered sidecars', gauges.proxies)
    this.gauge('proxies_connected', 'Sidecars with an open xDS stream', gauges.connectedProxies)
    this.gauge('proxies_synced', 'Connected sidecars that have acknowledged all they should have', gauges.syncedProxies)
    this.gauge('config_entries', 'Config entries in force', gauges.configEntries)
    this.gauge('rollouts_active', 'Rollouts that run', gauges.activeRollouts)
    this.gauge('store_index', 'Index of the last write', gauges.storeIndex)
    this.gauge('leaf_first_expiry_seconds', 'Seconds until the first leaf certificate ends', gauges.firstLeafExpirySeconds)
    this.gauge('root_expiry_seconds', 'Seconds until the active root certificate ends', gauges.rootExpirySeconds)
    this.gauge(
      'intermediate_expiry_seconds',
      'Seconds until the intermediate certificate that signs leaves ends',
      gauges.intermediateExpirySeconds,
    )
  }

  /** Only where backups are made: a gauge that is 0 is then an alarm. */
  followBackups(status: () => BackupStatus): void {
    this.gauge(
      'backup_last_success_timestamp_seconds',
      'When the newest known backup was made; 0 = never',
      () => (status().lastAtMs ?? 0) / 1_000,
    )
    this.gauge('backup_last_size_bytes', 'Size of the last backup that this process made', () => status().lastMade?.bytes ?? 0)
    this.gauge('backup_last_duration_seconds', 'How long it took', () => status().lastMade?.seconds ?? 0)
    this.gauge('backup_failures_in_a_row', 'Failures since the last success', () => status().failuresInARow)
  }

  rolloutEnded(phase: Phase): void {
    if (phase === 'Succeeded') this.rolloutsSucceeded.inc()
    else if (phase === 'RolledBack') this.rolloutsRolledBack.inc()
    else if (phase === 'Conflicted') this.rolloutsConflicted.inc()
  }

  private counter(name: string, help: string): Counter {
    return new Counter({ name: PREFIX + name, help, registers: [this.registry] })
  }

  private gauge(name: string, help: string, read: () => number): void {
    new Gauge({
      name: PREFIX + name,
      help,
      registers: [this.registry],
      collect() {
        this.set(read())
      },
    })
  }
}
