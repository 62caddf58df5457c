// Health where several processes serve one proxy: the primary checks hosts and ejects them, its workers use them. HealthBoard (primary)
// says which hosts changed; RemoteHealth (worker) keeps what was said, for hosts that come later too, and tells back what only a worker
// sees: runs of failures, and hosts that said so themselves. Who carries the messages: src/sidecar/workers.
// Invariant: a host's flags in a worker are those of the primary, whatever comes first, the host or the verdict.

import { HealthFlag, type Host } from '../host/host.js'
import type { EjectionCause } from './ejection.js'

/** The flags that checks and ejections set; the others come with the endpoints. */
export const VERDICT_FLAGS =
  HealthFlag.FAILED_ACTIVE_HC |
  HealthFlag.FAILED_OUTLIER_CHECK |
  HealthFlag.DEGRADED_ACTIVE_HC |
  HealthFlag.PENDING_ACTIVE_HC |
  HealthFlag.EXCLUDED_VIA_IMMEDIATE_HC_FAIL |
  HealthFlag.ACTIVE_HC_TIMEOUT

/** What changed in one cluster since it was last told. */
export interface ClusterVerdict {
  readonly cluster: string
  /** Every host has had its first check: a cluster that waits for that may serve. */
  readonly checked: boolean
  /** Flags by host; null = there is no such host any more. */
  readonly hosts: readonly (readonly [host: string, flags: number | null])[]
}

/** What a worker saw of a host. */
export type HostReport =
  | { readonly what: 'run'; readonly cluster: string; readonly host: string; readonly cause: EjectionCause }
  | { readonly what: 'immediate-fail'; readonly cluster: string; readonly host: string }

/** What the board reads of a cluster. */
interface JudgedCluster {
  readonly name: string
  readonly warm: boolean
  readonly isJudged: boolean
  readonly hosts: readonly Host[]
}

export interface JudgedClusters {
  get(name: string): JudgedCluster | undefined
  warming(name: string): JudgedCluster | undefined
  onHealthChange(listener: (cluster: JudgedCluster) => void): () => void
  onWarm(listener: (cluster: JudgedCluster) => void): () => void
  onRemoved(listener: (name: string) => void): () => void
}

interface Told {
  checked: boolean
  readonly hosts: Map<string, number>
}

export class HealthBoard {
  private readonly clusters: JudgedClusters
  private readonly told = new Map<string, Told>()
  private readonly changed = new Set<string>()

  /** `onChange`: there is something to tell. */
  constructor(clusters: JudgedClusters, onChange: () => void) {
    this.clusters = clusters
    const mark = (name: string): void => {
      this.changed.add(name)
      onChange()
    }
    clusters.onHealthChange(cluster => {
      if (cluster.isJudged || this.told.has(cluster.name)) mark(cluster.name)
    })
    clusters.onWarm(cluster => {
      if (cluster.isJudged) mark(cluster.name)
    })
    clusters.onRemoved(name => {
      if (this.told.has(name)) mark(name)
    })
  }

  /** What is new since the last call. */
  take(): ClusterVerdict[] {
    const verdicts = [...this.changed].map(name => this.verdict(name))
    this.changed.clear()
    return verdicts.filter(verdict => verdict !== null)
  }

  /** All that has been told, for one who has heard nothing. */
  everything(): ClusterVerdict[] {
    return [...this.told].map(([cluster, { checked, hosts }]) => ({ cluster, checked, hosts: [...hosts] }))
  }

  private verdict(name: string): ClusterVerdict | null {
    const cluster = this.clusters.warming(name) ?? this.clusters.get(name)
    const told = this.told.get(name) ?? { checked: false, hosts: new Map<string, number>() }
    const hosts: [string, number | null][] = []
    const judged = cluster?.isJudged === true ? cluster.hosts : []
    const present = new Set<string>()
    for (const host of judged) {
      present.add(host.key)
      const flags = host.flags & VERDICT_FLAGS
      if (told.hosts.get(host.key) === flags) continue
      told.hosts.set(host.key, flags)
      hosts.push([host.key, flags])
    }
    for (const key of [...told.hosts.keys()]) {
      if (present.has(key)) continue
      told.hosts.delete(key)
      hosts.push([key, null])
    }
    const checked = cluster?.isJudged === true && cluster.warm
    if (hosts.length === 0 && checked === told.checked) return null
    told.checked = checked
    if (cluster?.isJudged === true) this.told.set(name, told)
    else this.told.delete(name)
    return { cluster: name, checked, hosts }
  }
}

/** A cluster of a worker. */
export interface JudgedElsewhere {
  onVerdict(host: string, flags: number | null): void
  onChecked(): void
}

export class RemoteHealth {
  readonly tell: (report: HostReport) => void
  private readonly known = new Map<string, Told>()
  private readonly clusters = new Map<string, Set<JudgedElsewhere>>()

  constructor(tell: (report: HostReport) => void) {
    this.tell = tell
  }

  take({ cluster, checked, hosts }: ClusterVerdict): void {
    const known = this.known.get(cluster) ?? { checked, hosts: new Map<string, number>() }
    known.checked = checked
    for (const [host, flags] of hosts) {
      if (flags === null) known.hosts.delete(host)
      else known.hosts.set(host, flags)
    }
    if (checked || known.hosts.size > 0) this.known.set(cluster, known)
    else this.known.delete(cluster)
    for (const judged of [...(this.clusters.get(cluster) ?? [])]) {
      for (const [host, flags] of hosts) judged.onVerdict(host, flags)
      if (checked) judged.onChecked()
    }
  }

  /** Undefined: nothing has been said. */
  flagsOf(cluster: string, host: string): number | undefined {
    return this.known.get(cluster)?.hosts.get(host)
  }

  isChecked(cluster: string): boolean {
    return this.known.get(cluster)?.checked === true
  }

  /** Returns the way to stop. */
  join(name: string, cluster: JudgedElsewhere): () => void {
    let joined = this.clusters.get(name)
    if (joined === undefined) this.clusters.set(name, (joined = new Set()))
    const all = joined
    all.add(cluster)
    return () => {
      all.delete(cluster)
      if (all.size === 0) this.clusters.delete(name)
    }
  }
}
