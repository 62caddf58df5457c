// `GET /v1/outrigger/traffic` as the commands read it, and how its numbers are printed. Used by traffic.ts.
import type { ControlApi } from '../../command-line/control-api.js'
import { ofOurs } from '../../command-line/of-ours.js'

export interface Totals {
  readonly Requests: number
  readonly Failures: number
  readonly RequestsPerSecond: number
  readonly SuccessRate: number | null
  readonly P50: number | null
  readonly P90: number | null
  readonly P99: number | null
  readonly Active: number
}

export interface Edge {
  readonly Source: string
  readonly Destination: string
  readonly Subset: string
  readonly Identity: string
  readonly Totals: Totals
}

export interface ServiceTotals {
  readonly Service: string
  readonly Instances: number
  readonly Totals: Totals
}

export interface InstanceTotals {
  readonly Proxy: string
  readonly Node?: string
  readonly Service: string
  readonly Totals: Totals
}

export interface Traffic {
  readonly NewestReport: string | null
  readonly Edges: readonly Edge[]
  readonly Services: readonly ServiceTotals[]
  readonly Inbound: readonly InstanceTotals[]
}

export interface TrafficFlags {
  readonly window?: string
}

export const WINDOW_OPTION = ['--window <duration>', 'sums over so long, up to 1h (default: 1m)'] as const

export async function readTraffic({ window = '60s' }: TrafficFlags, service: string | undefined, api: ControlApi): Promise<Traffic> {
  const query = new URLSearchParams({ window, ...(service === undefined ? {} : { service }) })
  return ofOurs('keeps no traffic', api.getJson<Traffic>(`/v1/outrigger/traffic?${query}`))
}

export const TOTALS_HEAD: readonly string[] = ['SUCCESS', 'RPS', 'P50', 'P90', 'P99', 'ACTIVE']

export function totalsCells({ SuccessRate, RequestsPerSecond, P50, P90, P99, Active }: Totals): string[] {
  return [
    SuccessRate === null ? '-' : `${(SuccessRate * 100).toFixed(2)}%`,
    RequestsPerSecond.toFixed(1),
    ...[P50, P90, P99].map(ms => (ms === null ? '-' : `${ms < 10 ? ms.toFixed(1) : Math.round(ms)}ms`)),
    String(Active),
  ]
}

/** The busiest first. */
export function byRate<T extends { readonly Totals: Totals }>(rows: readonly T[]): T[] {
  return [...rows].sort((a, b) => b.Totals.RequestsPerSecond - a.Totals.RequestsPerSecond)
}

export function edgeCells({ Source, Destination, Subset, Totals: totals }: Edge): string[] {
  return [Source, Subset === '' ? Destination : `${Destination} (${Subset})`, ...totalsCells(totals)]
}

/** Why there is nothing to show. */
export function nothingSeen({ NewestReport }: Traffic): string {
  return NewestReport === null
    ? 'No sidecar has reported traffic yet: reports come every 10 s, from proxies whose bootstrap is of this control plane.\n'
    : 'No traffic in this window.\n'
}
