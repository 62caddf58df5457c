// All active health checks of one cluster: each runs by itself (health-checker.ts), and a host counts as healthy only while every
// one of them says so. Owned by UpstreamCluster. Invariant: of the health flags the host carries the union of what its checks say.

import type { ClusterStats } from '../../metrics/stat-names.js'
import type { HealthCheck } from '../../model/cluster.js'
import { HealthFlag, type Host } from '../host/host.js'
import { type EventLog, HealthCheckEvents } from './event-log.js'
import type { HealthCheckDial, HealthCheckTransport } from './health-check-transport.js'
import { HealthChecker, type HealthCheckerHooks } from './health-checker.js'

/** The flags that active checks set. */
const CHECK_FLAGS =
  HealthFlag.FAILED_ACTIVE_HC |
  HealthFlag.PENDING_ACTIVE_HC |
  HealthFlag.ACTIVE_HC_TIMEOUT |
  HealthFlag.DEGRADED_ACTIVE_HC |
  HealthFlag.EXCLUDED_VIA_IMMEDIATE_HC_FAIL

/** What the cluster gives: as for a single check, without its own view of flags. */
export type HealthCheckSetHooks = Omit<HealthCheckerHooks, 'hasFlag'>

/** Who checks the hosts of a cluster: this process, or another one (remote-health-checks.ts). */
export interface HealthChecks {
  add(host: Host): void
  remove(host: Host): void
  /** Marks the host failed at once: it said so in an ordinary response. */
  failNow(host: Host): void
  /** Calls `done` once each present host has had the first result of every check. */
  onFirstRound(done: () => void): void
  close(): void
}

export class HealthCheckSet implements HealthChecks {
  private readonly checkers: readonly HealthChecker[]
  /** One word of flags a check; only with several checks, where a host's flags alone don't say which of them failed. */
  private readonly flags = new Map<Host, number[]>()
  private readonly hooks: HealthCheckSetHooks

  constructor(
    configs: readonly HealthCheck[],
    stats: ClusterStats,
    hooks: HealthCheckSetHooks,
    transport: HealthCheckTransport | null,
    dial: HealthCheckDial,
    openEventLog: ((path: string) => EventLog) | null,
  ) {
    this.hooks = hooks
    const single = configs.length === 1
    this.checkers = configs.map((config, i) => {
      const own = single ? { ...hooks, hasFlag: (host: Host, flag: number) => host.hasFlag(flag) } : this.hooksOf(i)
      const events =
        config.events === undefined || openEventLog === null
          ? null
          : new HealthCheckEvents(config.events, config.check, hooks.clusterName, openEventLog)
      return new HealthChecker(config, stats, own, transport, dial, events)
    })
  }

  add(host: Host): void {
    if (this.checkers.length > 1 && !this.flags.has(host)) {
      this.flags.set(host, new Array<number>(this.checkers.length).fill(host.flags & CHECK_FLAGS))
    }
    for (const checker of this.checkers) checker.add(host)
  }

  remove(host: Host): void {
    for (const checker of this.checkers) checker.remove(host)
    this.flags.delete(host)
  }

  failNow(host: Host): void {
    for (const checker of this.checkers) checker.failNow(host)
  }

  onFirstRound(done: () => void): void {
    let waiting = this.checkers.length
    for (const checker of this.checkers) {
      checker.onFirstRound(() => {
        if (--waiting === 0) done()
      })
    }
  }

  close(): void {
    for (const checker of this.checkers) checker.close()
    this.flags.clear()
  }

  private hooksOf(index: number): HealthCheckerHooks {
    const { hooks, flags } = this
    return {
      ...hooks,
      hasFlag: (host, flag) => ((flags.get(host)?.[index] ?? host.flags) & flag) !== 0,
      setHealth: (host, set, clear) => {
        const words = flags.get(host)
        if (words === undefined) return
        words[index] = (words[index]! & ~clear) | set
        const union = words.reduce((all, word) => all | word, 0)
        hooks.setHealth(host, union, CHECK_FLAGS & ~union)
      },
      onPassed: host => {
        if (!host.hasFlag(HealthFlag.FAILED_ACTIVE_HC)) hooks.onPassed(host)
      },
    }
  }
}
