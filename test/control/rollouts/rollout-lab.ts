// A rollout engine over real config entries and a store in memory, with a clock moved by hand and a mesh that is what the test says: traffic,
// acceptance by the sidecars, health, webhooks. For the tests of this folder.
import { ConfigEntryTable } from '../../../src/control/config-entry-table.js'
import type { OutsideCalls } from '../../../src/control/rollouts/outside-calls.js'
import { parseRollout } from '../../../src/control/rollouts/parse-rollout.js'
import type { Acceptance } from '../../../src/control/rollouts/proxy-acceptance.js'
import { type Action, RolloutEngine, TICK_MS } from '../../../src/control/rollouts/rollout-engine.js'
import { RolloutTable } from '../../../src/control/rollouts/rollout-table.js'
import type { Rollout, RolloutStatus } from '../../../src/control/rollouts/rollout-types.js'
import { MemoryStore } from '../../../src/control/store/memory-store.js'
import type { Store } from '../../../src/control/store/store.js'
import type { TrafficReader, TrafficTotals } from '../../../src/control/traffic/traffic.js'
import { ManualClock } from '../../support/manual-clock.js'

export const INTERVAL_MS = 10_000
export const REPORT_MS = 1_000

/** What the new version does. */
export interface Weather {
  successRate: number
  p99: number | null
  requests: number
  /** Sidecars report. */
  reports: boolean
}

export const FAIR: Weather = { successRate: 1, p99: 20, requests: 1_000, reports: true }
const ALL_TAKEN: Acceptance = { pending: [], refused: [] }

/** A canary in three steps, judged every ten seconds. */
export const CANARY = {
  Service: 'api',
  From: 'v1',
  To: 'v2',
  Steps: [
    { Weight: 5, Pause: '30s' },
    { Weight: 50, Pause: '30s' },
    { Weight: 100, Pause: '30s' },
  ],
  Analysis: { Interval: '10s', MinRequests: 50, SuccessRate: 99, P99: '250ms' },
}

export class Lab {
  readonly clock = new ManualClock(1_700_000_000_000)
  weather: Weather = { ...FAIR }
  taken: Acceptance = ALL_TAKEN
  healthy = true
  calls: OutsideCalls = { notify: async () => undefined, ask: async () => ({ kind: 'good', reason: '' }) }
  readonly ends: string[] = []
  readonly problems: string[] = []
  moves = 0
  private reportedAt = this.clock.wallNow()

  private constructor(
    readonly store: Store,
    readonly entries: ConfigEntryTable,
    readonly table: RolloutTable,
  ) {}

  engine!: RolloutEngine

  static async open(rollout: object = CANARY, store: Store = new MemoryStore()): Promise<Lab> {
    const entries = await ConfigEntryTable.open(store, { datacenter: 'dc1', trustDomain: 'mesh.test' })
    const lab = new Lab(store, entries, await RolloutTable.open(store))
    lab.newEngine()
    if (store.index === 0) {
      await lab.entry({ Kind: 'service-defaults', Name: 'api', Protocol: 'http' })
      await lab.entry({ Kind: 'service-resolver', Name: 'api', Subsets: { v1: { Filter: 'Service.Meta.version == v1' }, v2: {}, v3: {} } })
      await lab.write(rollout)
    }
    return lab
  }

  private newEngine(): void {
    this.engine = new RolloutEngine({
      store: this.store,
      entries: this.entries,
      table: this.table,
      clock: this.clock,
      traffic: this.traffic(),
      reportIntervalMs: REPORT_MS,
      acceptance: () => this.taken,
      isHealthy: () => this.healthy,
      calls: { notify: (...asked) => this.calls.notify(...asked), ask: (...asked) => this.calls.ask(...asked) },
      onMove: () => void this.moves++,
      onEnd: phase => void this.ends.push(phase),
      onProblem: (_rollout, reason) => void this.problems.push(reason),
    })
    this.engine.start()
  }

  /** The control plane ends without a word, and begins anew: what is in memory is gone, reports with it. */
  restart(): void {
    this.engine.stop()
    this.newEngine()
    this.reportedAt = 0
  }

  async entry(entry: object): Promise<void> {
    const result = await this.entries.put(entry)
    if (!result.ok) throw new Error(JSON.stringify(result))
  }

  async write(rollout: object, name = 'canary'): Promise<readonly string[]> {
    return this.engine.put(parsed(rollout, name))
  }

  act(action: Action, by = '', why = ''): Promise<void> {
    return this.engine.act('canary', action, by, why)
  }

  /** Time passes, in the steps in which the engine looks. */
  async run(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += TICK_MS) {
      if (this.weather.reports) this.reportedAt = this.clock.wallNow()
      await this.clock.settle(TICK_MS)
    }
  }

  /** Until the rollout is there; how long that took. */
  async runUntil(isThere: (status: RolloutStatus) => boolean, limitMs = 600_000): Promise<number> {
    for (let passed = 0; passed <= limitMs; passed += TICK_MS) {
      if (isThere(this.status)) return passed
      await this.run(TICK_MS)
    }
    throw new Error(`not there after ${limitMs} ms: ${JSON.stringify(this.status)}`)
  }

  get status(): RolloutStatus {
    return this.table.get('canary')!.status
  }

  get phase(): string {
    return this.status.Phase
  }

  /** Weights by subset, as the splitter has them. */
  get split(): Readonly<Record<string, number>> {
    const splits = this.entries.get('service-splitter', 'api')?.Splits ?? []
    return Object.fromEntries(splits.map(({ ServiceSubset = '', Weight }) => [ServiceSubset, Weight]))
  }

  /** Events of the audit trail, without what an interval came to. */
  get events(): string[] {
    return this.status.Audit.filter(({ Event }) => Event !== 'analysis').map(({ Event }) => Event)
  }

  private traffic(): TrafficReader {
    const lab = this
    return {
      edges: () => [],
      edgeIds: () => [],
      inbound: () => [],
      services: () => [],
      series: () => [],
      totals: ({ destination, subset }) => lab.totals(destination === 'api' && subset === 'v2'),
      get newestReport() {
        return lab.reportedAt
      },
    }
  }

  private totals(isMeant: boolean): TrafficTotals {
    const { successRate, p99, requests: sent } = this.weather
    const requests = isMeant && this.clock.wallNow() - this.reportedAt < INTERVAL_MS ? sent : 0
    const failures = Math.round(requests * (1 - successRate))
    return {
      requests,
      failures,
      requestsPerSecond: requests / 10,
      successRate: requests === 0 ? null : successRate,
      p50: p99,
      p90: p99,
      p99,
      active: 0,
    }
  }
}

export function parsed(rollout: object, name = 'canary'): Rollout {
  const result = parseRollout(rollout, name)
  if ('errors' in result) throw new Error(JSON.stringify(result.errors))
  return result.rollout
}
