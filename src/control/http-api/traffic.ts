// `/v1/outrigger/traffic`: what the sidecars have reported of the mesh's traffic, as sums over a window and as a series. Who may read a
// service sees its traffic (permissions.ts). Read by the command line, the console and whoever likes.
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { serviceSpiffeId } from '../../mtls/spiffe.js'
import { splitKey } from '../catalog/catalog-types.js'
import { parseDuration } from '../config-entries/duration.js'
import { HOUR_MS } from '../traffic/observed-traffic.js'
import { MAX_HISTORY_MS } from '../traffic/prometheus-history.js'
import type { EdgeId, TrafficTotals } from '../traffic/traffic.js'
import type { ApiContext } from './context.js'
import { HttpError, query } from './respond.js'

const DEFAULT_WINDOW_MS = 60_000
const LARGE_SERIES = 500
/** Sidecars report every ten seconds. */
const SHARED_MS = 2_000

export function trafficRoutes(app: FastifyInstance, { traffic, history, catalog, ca, node }: ApiContext): void {
  /** Of a large mesh, for everybody who asks within a moment: with ten consoles open it would be made again and again. */
  let large: { readonly windowMs: number; readonly untilMs: number; readonly answer: object } | undefined
  app.get('/v1/outrigger/traffic', request => {
    const windowMs = askedWindowMs(request)
    const service = query(request, 'service') || undefined
    if (service !== undefined) return sums(windowMs, service)
    if (large?.windowMs === windowMs && performance.now() < large.untilMs) return large.answer
    const answer = sums(windowMs, undefined)
    const isLarge = answer.Edges.length + answer.Inbound.length >= LARGE_SERIES
    large = isLarge ? { windowMs, untilMs: performance.now() + SHARED_MS, answer } : undefined
    return answer
  })

  function sums(windowMs: number, service: string | undefined) {
    return {
      WindowMs: windowMs,
      NewestReport: traffic.newestReport === 0 ? null : new Date(traffic.newestReport).toISOString(),
      Edges: traffic.edges(windowMs, service).map(({ source, destination, subset, totals }) => ({
        Source: source,
        Destination: destination,
        Subset: subset,
        Identity: serviceSpiffeId({ trustDomain: ca.trustDomain, datacenter: node.datacenter, service: source }),
        Totals: totalsShape(totals),
      })),
      Services: traffic
        .services(windowMs, service)
        .map(({ service: name, instances, totals }) => ({ Service: name, Instances: instances, Totals: totalsShape(totals) })),
      Inbound: traffic.inbound(windowMs, service).map(({ proxy, service: name, totals }) => {
        const instance = catalog.instanceByKey(proxy)
        return {
          Proxy: splitKey(proxy).id,
          ...(instance === undefined ? {} : { Node: catalog.nodeOf(instance).Node }),
          Service: name,
          Totals: totalsShape(totals),
        }
      }),
    }
  }

  app.get('/v1/outrigger/traffic/series', async request => {
    if (history === undefined && asksForHistory(request))
      throw new HttpError(
        400,
        'window: what is longer than an hour ago is asked of a Prometheus, and none is named to the control plane (--prometheus)',
      )
    const windowMs = askedWindowMs(request, history === undefined ? HOUR_MS : MAX_HISTORY_MS)
    const points =
      windowMs <= HOUR_MS || history === undefined
        ? traffic.series(askedEdge(request), windowMs)
        : await history.series(askedEdge(request), windowMs).catch((error: Error) => {
            throw new HttpError(502, error.message)
          })
    return points.map(({ at, totals }) => ({ At: new Date(at).toISOString(), Totals: totalsShape(totals) }))
  })
}

/** What is asked is more than memory has: nobody here knows whose traffic is in it. */
export function asksForHistory(request: FastifyRequest): boolean {
  const ms = (parseDuration(query(request, 'window') ?? '') ?? 0) / 1e6
  return ms > HOUR_MS
}

/** What is not named is summed up. */
export function askedEdge(request: FastifyRequest): Partial<EdgeId> {
  const source = query(request, 'source')
  const destination = query(request, 'destination')
  const subset = query(request, 'subset')
  return {
    ...(source === undefined ? {} : { source }),
    ...(destination === undefined ? {} : { destination }),
    ...(subset === undefined ? {} : { subset }),
  }
}

function askedWindowMs(request: FastifyRequest, mostMs = HOUR_MS): number {
  const text = query(request, 'window') ?? ''
  if (text === '') return DEFAULT_WINDOW_MS
  const ms = (parseDuration(text) ?? Number.NaN) / 1e6
  if (ms > 0 && ms <= mostMs) return ms
  const most = mostMs === HOUR_MS ? 'an hour' : '31 days'
  throw new HttpError(400, `window must be a duration of up to ${most}, such as 60s, not ${JSON.stringify(text.slice(0, 64))}`)
}

function totalsShape({ requests, failures, requestsPerSecond, successRate, p50, p90, p99, active }: TrafficTotals) {
  return {
    Requests: requests,
    Failures: failures,
    RequestsPerSecond: round(requestsPerSecond),
    SuccessRate: successRate === null ? null : round(successRate, 5),
    P50: p50 === null ? null : round(p50),
    P90: p90 === null ? null : round(p90),
    P99: p99 === null ? null : round(p99),
    Active: active,
  }
}

const round = (value: number, digits = 2): number => Math.round(value * 10 ** digits) / 10 ** digits
