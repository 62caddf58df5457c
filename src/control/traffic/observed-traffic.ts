// What the sidecars report of the mesh's traffic, kept for an hour: the TrafficReader of console, command line, rollouts and dry runs. Filled
// by grpc/load-report-service.ts, one TrafficReporter a stream. Nothing is stored; a control plane that starts anew begins with none.
// Invariants: MAX_SERIES rings at most, each of a fixed size, and a series without a report for an hour goes; what finds no room is said once,
// and never taken from another.

import type { EdgeId, EdgeTraffic, InboundTraffic, ServiceTraffic, TrafficPoint, TrafficReader, TrafficTotals } from './traffic.js'
import { quantilesOf, type TrafficLoad, TrafficRing, TrafficSums } from './traffic-ring.js'

/** Edges and instances, each about 10 KB when busy. */
export const MAX_SERIES = 10_000
export const HOUR_MS = 3_600_000
const DEFAULT_REPORT_INTERVAL_MS = 10_000
/** A whole minute also of reports that come each second. */
const FINE_SLOTS = 61
const COARSE_MS = 60_000
/** The running minute, and as many as an hour has. */
const COARSE_SLOTS = 61

/** What a proxy says of one cluster. */
export interface ReportedLoad extends TrafficLoad {
  readonly active: number
}

interface Series {
  readonly fine: TrafficRing
  readonly coarse: TrafficRing
  /** Milliseconds since the epoch: its first report begins there, and its newest came then. */
  readonly firstAt: number
  lastAt: number
  active: number
}

interface Edge extends Series {
  readonly id: EdgeId
}

interface Inbound extends Series {
  readonly proxy: string
  readonly service: string
}

export interface ObservedTrafficOptions {
  /** How often proxies report: the width of the fine slots. */
  readonly intervalMs?: number
  /** Milliseconds since the epoch. */
  readonly now?: () => number
  /** There are MAX_SERIES: a further one is not begun. Called once. */
  readonly onFull?: () => void
}

export class ObservedTraffic implements TrafficReader {
  readonly intervalMs: number
  newestReport = 0
  private readonly now: () => number
  private readonly onFull: () => void
  private saidFull = false
  private readonly edgesById = new Map<string, Edge>()
  private readonly inboundByProxy = new Map<string, Inbound>()
  private sweptAt = 0
  /** Of the question that is answered: the console asks for thousands of edges. */
  private readonly sums = new TrafficSums()

  constructor({ intervalMs = DEFAULT_REPORT_INTERVAL_MS, now = Date.now, onFull = () => {} }: ObservedTrafficOptions = {}) {
    this.intervalMs = intervalMs
    this.now = now
    this.onFull = onFull
  }

  /** A proxy begins to report. `proxy`: key of its catalog instance; `service`: whose traffic it carries. */
  reporter(proxy: string, service: string): TrafficReporter {
    return new TrafficReporter(this, proxy, service)
  }

  get seriesCount(): number {
    return this.edgesById.size + this.inboundByProxy.size
  }

  // ---- TrafficReader ------------------------------------------------------------------------------------------------------------

  edges(windowMs: number, service?: string): EdgeTraffic[] {
    const found: EdgeTraffic[] = []
    for (const edge of this.edgesById.values()) {
      if (service !== undefined && edge.id.source !== service && edge.id.destination !== service) continue
      const totals = this.totalsOf([edge], windowMs)
      if (totals !== null) found.push({ ...edge.id, totals })
    }
    return found
  }

  *edgeIds(): Iterable<EdgeId> {
    const oldest = this.now() - HOUR_MS
    for (const { id, lastAt } of this.edgesById.values()) if (lastAt >= oldest) yield id
  }

  inbound(windowMs: number, service?: string): InboundTraffic[] {
    const found: InboundTraffic[] = []
    for (const series of this.inboundByProxy.values()) {
      if (service !== undefined && series.service !== service) continue
      const totals = this.totalsOf([series], windowMs)
      if (totals !== null) found.push({ proxy: series.proxy, service: series.service, totals })
    }
    return found
  }

  services(windowMs: number, service?: string): ServiceTraffic[] {
    const byService = new Map<string, Inbound[]>()
    for (const series of this.inboundByProxy.values()) {
      if (service !== undefined && series.service !== service) continue
      const known = byService.get(series.service)
      if (known === undefined) byService.set(series.service, [series])
      else known.push(series)
    }
    const found: ServiceTraffic[] = []
    for (const [name, instances] of byService) {
      const totals = this.totalsOf(instances, windowMs)
      if (totals !== null) found.push({ service: name, instances: instances.length, totals })
    }
    return found
  }

  totals(filter: Partial<EdgeId>, windowMs: number): TrafficTotals {
    return this.totalsOf(this.matching(filter), windowMs) ?? NO_TRAFFIC
  }

  series(filter: Partial<EdgeId>, windowMs: number): TrafficPoint[] {
    const matching = this.matching(filter)
    const { slotMs, ring, from, to } = this.slotsOf(windowMs)
    const points: TrafficPoint[] = []
    for (let slot = from; slot <= to; slot++) {
      const sums = new TrafficSums()
      for (const one of matching) one[ring].addTo(sums, slot)
      // What runs now is known, what ran then is not.
      const active = slot === to ? matching.reduce((sum, one) => sum + one.active, 0) : 0
      if (sums.reported) points.push({ at: (slot + 1) * slotMs, totals: totalsOf(sums, slotMs, active) })
    }
    return points
  }

  // ---- of its reporters ---------------------------------------------------------------------------------------------------------

  edge(source: string, destination: string, subset: string, intervalMs: number): Edge | undefined {
    const key = `${source}\0${destination}\0${subset}`
    return this.of(this.edgesById, key, () => ({ ...this.newSeries(intervalMs), id: { source, destination, subset } }))
  }

  inboundOf(proxy: string, service: string, intervalMs: number): Inbound | undefined {
    const known = this.inboundByProxy.get(proxy)
    // The id stands before another service now.
    if (known !== undefined && known.service !== service) this.inboundByProxy.delete(proxy)
    return this.of(this.inboundByProxy, proxy, () => ({ ...this.newSeries(intervalMs), proxy, service }))
  }

  record(series: Series, load: TrafficLoad): void {
    const at = this.now()
    series.fine.add(at, load)
    series.coarse.add(at, load)
    series.lastAt = at
  }

  reported(): void {
    const at = this.now()
    this.newestReport = at
    if (at - this.sweptAt < COARSE_MS) return
    this.sweptAt = at
    for (const [key, { lastAt }] of this.edgesById) if (at - lastAt > HOUR_MS) this.edgesById.delete(key)
    for (const [key, { lastAt }] of this.inboundByProxy) if (at - lastAt > HOUR_MS) this.inboundByProxy.delete(key)
  }

  // ---- inside -------------------------------------------------------------------------------------------------------------------

  private of<S>(all: Map<string, S>, key: string, make: () => S): S | undefined {
    const known = all.get(key)
    if (known !== undefined) return known
    if (this.seriesCount >= MAX_SERIES) {
      if (!this.saidFull) this.onFull()
      this.saidFull = true
      return undefined
    }
    const made = make()
    all.set(key, made)
    return made
  }

  private newSeries(intervalMs: number): Series {
    const at = this.now()
    return {
      fine: new TrafficRing(this.intervalMs, FINE_SLOTS),
      coarse: new TrafficRing(COARSE_MS, COARSE_SLOTS),
      firstAt: at - intervalMs,
      lastAt: at,
      active: 0,
    }
  }

  private matching({ source, destination, subset }: Partial<EdgeId>): Edge[] {
    const fits = ({ id }: Edge): boolean =>
      (source === undefined || id.source === source) &&
      (destination === undefined || id.destination === destination) &&
      (subset === undefined || id.subset === subset)
    return [...this.edgesById.values()].filter(fits)
  }

  /** The slots of a window that ends now, the running one included. */
  private slotsOf(windowMs: number): { slotMs: number; ring: 'fine' | 'coarse'; from: number; to: number } {
    const fine = windowMs <= this.intervalMs * (FINE_SLOTS - 1)
    const slotMs = fine ? this.intervalMs : COARSE_MS
    const to = Math.floor(this.now() / slotMs)
    const slots = Math.min(Math.max(1, Math.round(windowMs / slotMs)), fine ? FINE_SLOTS : COARSE_SLOTS)
    return { slotMs, ring: fine ? 'fine' : 'coarse', from: to - slots + 1, to }
  }

  /** Null: none of them has a report in the window. */
  private totalsOf(all: readonly Series[], windowMs: number): TrafficTotals | null {
    const { slotMs, ring, from, to } = this.slotsOf(windowMs)
    const { sums } = this
    sums.clear()
    let active = 0
    let firstAt = Number.POSITIVE_INFINITY
    let current = false
    for (const one of all) {
      for (let slot = from; slot <= to; slot++) one[ring].addTo(sums, slot)
      current ||= one[ring].holds(to)
      active += one.active
      firstAt = Math.min(firstAt, one.firstAt)
    }
    if (!sums.reported && active === 0) return null
    // The running slot is of the window once a report of it is there; what is younger than the window has not run for all of it.
    const slots = to - from + (current ? 1 : 0)
    const coveredMs = Math.max(slotMs, Math.min(slots * slotMs, this.now() - firstAt))
    return totalsOf(sums, coveredMs, active)
  }
}

const NO_TRAFFIC: TrafficTotals = {
  requests: 0,
  failures: 0,
  requestsPerSecond: 0,
  successRate: null,
  p50: null,
  p90: null,
  p99: null,
  active: 0,
}

function totalsOf({ successes, failures, latencies }: TrafficSums, coveredMs: number, active: number): TrafficTotals {
  const requests = successes + failures
  return {
    requests,
    failures,
    requestsPerSecond: (requests * 1000) / coveredMs,
    successRate: requests === 0 ? null : successes / requests,
    ...quantilesOf(latencies),
    active,
  }
}

/** What one stream of reports has said. */
export class TrafficReporter {
  readonly proxy: string
  readonly service: string
  private readonly traffic: ObservedTraffic
  /** What ran by its last report. */
  private readonly active = new Map<Series, number>()

  constructor(traffic: ObservedTraffic, proxy: string, service: string) {
    this.traffic = traffic
    this.proxy = proxy
    this.service = service
  }

  upstream(destination: string, subset: string, load: ReportedLoad, intervalMs: number): void {
    this.record(this.traffic.edge(this.service, destination, subset, intervalMs), load)
  }

  inbound(load: ReportedLoad, intervalMs: number): void {
    this.record(this.traffic.inboundOf(this.proxy, this.service, intervalMs), load)
  }

  /** Begins a report: what it does not name runs no more. */
  begin(): void {
    this.forgetActive()
  }

  /** The report is over. */
  end(): void {
    this.traffic.reported()
  }

  close(): void {
    this.forgetActive()
  }

  private record(series: Series | undefined, load: ReportedLoad): void {
    if (series === undefined) return
    this.traffic.record(series, load)
    if (load.active === 0) return
    series.active += load.active
    this.active.set(series, (this.active.get(series) ?? 0) + load.active)
  }

  private forgetActive(): void {
    for (const [series, count] of this.active) series.active -= count
    this.active.clear()
  }
}
