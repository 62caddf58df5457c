// Traffic of before the hour that is kept in memory, from the Prometheus that scrapes the sidecars, where the operator names one. Asked by
// http-api/traffic.ts. Invariant: what is asked is made here of the names of services, which stand quoted in it; nobody who asks writes PromQL.
import { isObject } from '../config-entries/field-reader.js'
import { callOutside, prometheusUrl, reasonOf } from '../outside-http.js'
import type { EdgeId, TrafficPoint } from './traffic.js'

export const MAX_HISTORY_MS = 31 * 24 * 3_600_000
const POINTS = 120
const MIN_STEP_MS = 60_000
/** Prometheus sees a rate in what holds a few scrapes. */
const MIN_RATE_MS = 300_000
const TIMEOUT_MS = 10_000
const QUANTILES = [0.5, 0.9, 0.99] as const
/** Labels by the tags that our bootstraps and Consul's set. */
const LABELS: Readonly<Record<keyof EdgeId, string>> = {
  source: 'consul_source_service',
  destination: 'consul_destination_service',
  subset: 'consul_destination_service_subset',
}

/** Seconds since the epoch -> value. */
type Values = ReadonlyMap<number, number>

export class PrometheusHistory {
  constructor(
    private readonly url: string,
    private readonly wallNow: () => number,
  ) {}

  /** Oldest first. Rejects with one line that names the Prometheus. */
  async series(filter: Partial<EdgeId>, windowMs: number): Promise<TrafficPoint[]> {
    const stepMs = Math.max(MIN_STEP_MS, Math.ceil(windowMs / POINTS / MIN_STEP_MS) * MIN_STEP_MS)
    const endMs = Math.floor(this.wallNow() / stepMs) * stepMs
    const range = { start: seconds(endMs - windowMs), end: seconds(endMs), step: seconds(stepMs) }
    const rateOver = `[${seconds(Math.max(stepMs, MIN_RATE_MS))}s]`
    const chosen = selector(filter)
    const rate = (metric: string, more = ''): string => `sum(rate(${metric}{${chosen}${more}}${rateOver}))`
    const buckets = `sum by (le) (rate(envoy_cluster_upstream_rq_time_bucket{${chosen}}${rateOver}))`
    const [all, failed, ...quantiles] = await Promise.all(
      [
        rate('envoy_cluster_upstream_rq_total'),
        rate('envoy_cluster_upstream_rq_xx', ',envoy_response_code_class="5"'),
        ...QUANTILES.map(quantile => `histogram_quantile(${quantile}, ${buckets})`),
      ].map(query => this.ask({ query, ...range })),
    )
    const at = (values: Values | undefined, time: number): number | null => values?.get(time) ?? null
    return [...all!].map(([time, perSecond]) => {
      const requests = (perSecond * stepMs) / 1000
      const failures = Math.min(requests, ((at(failed, time) ?? 0) * stepMs) / 1000)
      const [p50, p90, p99] = quantiles.map(values => at(values, time))
      return {
        at: time * 1000,
        totals: {
          requests: Math.round(requests),
          failures: Math.round(failures),
          requestsPerSecond: perSecond,
          successRate: requests === 0 ? null : 1 - failures / requests,
          p50: p50!,
          p90: p90!,
          p99: p99!,
          active: 0,
        },
      }
    })
  }

  private async ask(parameters: Readonly<Record<string, string>>): Promise<Values> {
    try {
      return valuesOf(await callOutside(prometheusUrl(this.url, 'query_range', parameters), {}, TIMEOUT_MS))
    } catch (error) {
      throw new Error(`Prometheus: ${reasonOf(error)}`)
    }
  }
}

const seconds = (ms: number): string => String(ms / 1000)

/** What is not named is summed up; only what goes to a service of the mesh is counted, as in memory. */
function selector(filter: Partial<EdgeId>): string {
  const given = Object.entries(LABELS).flatMap(([end, label]) => {
    const name = filter[end as keyof EdgeId]
    return name === undefined ? [] : [`${label}=${JSON.stringify(name)}`]
  })
  return [...(filter.destination === undefined ? [`${LABELS.destination}!=""`] : []), ...given].join(',')
}

/** Of a matrix with one series or none; what is no number (a quantile of nothing) is left out. */
function valuesOf(text: string): Values {
  const answer: unknown = JSON.parse(text)
  const data = isObject(answer) && isObject(answer['data']) ? answer['data'] : {}
  const { resultType, result } = data
  if (resultType !== 'matrix' || !Array.isArray(result)) throw new Error('the answer is none of a range query')
  const [series] = result as [unknown]
  const pairs = isObject(series) && Array.isArray(series['values']) ? (series['values'] as unknown[]) : []
  return new Map(
    pairs.flatMap(pair => {
      const [time, value] = Array.isArray(pair) ? [Number(pair[0]), Number(pair[1])] : [Number.NaN, Number.NaN]
      return Number.isFinite(time) && Number.isFinite(value) ? [[time, value] as const] : []
    }),
  )
}
