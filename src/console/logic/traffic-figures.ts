// Figures of traffic put together: edges of subsets into pairs, instances into versions, and which instance stands out. Pure.
// Percentiles do not add: a sum of rows has those of its busiest row where they cannot be told, which is said where they are shown.
import type { InboundTraffic, TrafficEdge, TrafficTotals } from '../api/answers.js'

/** A success rate this much below that of its siblings, or a p99 this many times theirs, stands out. */
const OUTLIER_SUCCESS_POINTS = 0.05
const OUTLIER_P99_FACTOR = 3
/** Fewer requests say nothing. */
const OUTLIER_MIN_REQUESTS = 20

export const NO_TRAFFIC: TrafficTotals = {
  Requests: 0,
  Failures: 0,
  RequestsPerSecond: 0,
  SuccessRate: null,
  P50: null,
  P90: null,
  P99: null,
  Active: 0,
}

export function sum(rows: readonly TrafficTotals[]): TrafficTotals {
  if (rows.length === 1) return rows[0]!
  const add = (field: 'Requests' | 'Failures' | 'RequestsPerSecond' | 'Active'): number =>
    rows.reduce((total, row) => total + row[field], 0)
  const Requests = add('Requests')
  const Failures = add('Failures')
  const finished = rows.filter(({ SuccessRate }) => SuccessRate !== null)
  const weight = finished.reduce((total, row) => total + row.Requests, 0)
  const succeeded = finished.reduce((total, row) => total + row.SuccessRate! * row.Requests, 0)
  const busiest = rows.reduce<TrafficTotals | undefined>(
    (best, row) => (best === undefined || row.Requests > best.Requests ? row : best),
    undefined,
  )
  return {
    Requests,
    Failures,
    RequestsPerSecond: add('RequestsPerSecond'),
    SuccessRate: weight > 0 ? succeeded / weight : finished.length > 0 ? finished[0]!.SuccessRate : null,
    P50: busiest?.P50 ?? null,
    P90: busiest?.P90 ?? null,
    P99: busiest?.P99 ?? null,
    Active: add('Active'),
  }
}

export const pairKey = (source: string, destination: string): string => JSON.stringify([source, destination])

/** By `pairKey`: the subsets of a destination together. */
export function byPair(edges: readonly TrafficEdge[]): Map<string, TrafficTotals> {
  const rows = new Map<string, TrafficTotals[]>()
  for (const { Source, Destination, Totals } of edges) {
    const key = pairKey(Source, Destination)
    rows.set(key, [...(rows.get(key) ?? []), Totals])
  }
  return new Map([...rows].map(([key, totals]) => [key, sum(totals)]))
}

/** What comes into each service: as its own sidecars count it, else as its callers do. */
export function intoServices(edges: readonly TrafficEdge[], inbound: readonly InboundTraffic[]): Map<string, TrafficTotals> {
  const rows = new Map<string, TrafficTotals[]>()
  const add = (service: string, totals: TrafficTotals): void => void rows.set(service, [...(rows.get(service) ?? []), totals])
  for (const { Service, Totals } of inbound) add(Service, Totals)
  const counted = new Set(rows.keys())
  for (const { Destination, Totals } of edges) if (!counted.has(Destination)) add(Destination, Totals)
  return new Map([...rows].map(([service, totals]) => [service, sum(totals)]))
}

export interface VersionTraffic {
  readonly version: string
  readonly instances: number
  readonly totals: TrafficTotals
}

/** A sidecar, told apart from one of the same ID on another node. */
export const sidecarKey = (id: string, node = ''): string => JSON.stringify([node, id])

/** `versions`: of each instance, by the `sidecarKey` of what stands beside it. */
export function byVersion(inbound: readonly InboundTraffic[], versions: ReadonlyMap<string, string>): VersionTraffic[] {
  const rows = new Map<string, TrafficTotals[]>()
  for (const version of versions.values()) if (!rows.has(version)) rows.set(version, [])
  for (const { Proxy: proxy, Node, Totals } of inbound) {
    const version = versions.get(sidecarKey(proxy, Node))
    if (version !== undefined) rows.get(version)!.push(Totals)
  }
  const instancesOf = (version: string): number => [...versions.values()].filter(one => one === version).length
  return [...rows]
    .map(([version, totals]) => ({ version, instances: instancesOf(version), totals: totals.length === 0 ? NO_TRAFFIC : sum(totals) }))
    .sort((a, b) => (a.version < b.version ? -1 : 1))
}

/** Why one of several instances of a service stands out from the others; undefined: it does not. */
export function outlierReason(own: TrafficTotals, siblings: readonly TrafficTotals[]): string | undefined {
  const others = siblings.filter(one => one !== own && one.Requests >= OUTLIER_MIN_REQUESTS)
  if (own.Requests < OUTLIER_MIN_REQUESTS || others.length === 0) return undefined
  const success = median(others.flatMap(({ SuccessRate }) => SuccessRate ?? []))
  if (own.SuccessRate !== null && success !== undefined && success - own.SuccessRate >= OUTLIER_SUCCESS_POINTS)
    return `succeeds ${((success - own.SuccessRate) * 100).toFixed(0)} points less often than its siblings`
  const p99 = median(others.flatMap(one => one.P99 ?? []))
  if (own.P99 !== null && p99 !== undefined && p99 > 0 && own.P99 >= OUTLIER_P99_FACTOR * p99)
    return `its p99 is ${(own.P99 / p99).toFixed(1)} times that of its siblings`
  return undefined
}

function median(values: readonly number[]): number | undefined {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)]
}
