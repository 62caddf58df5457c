// The load reporter by a clock moved by hand: when it reports what, over streams that end and servers that change their mind.
import { create, fromBinary, type MessageShape, toBinary } from '@bufbuild/protobuf'
import { beforeEach, describe, expect, it } from 'vitest'
import type { AsyncGrpcClient } from '../../../src/l7/client/async-client.js'
import { HeaderList } from '../../../src/l7/codec/header-list.js'
import { loadReporterStats } from '../../../src/metrics/reporting-stats.js'
import { LoadReporter } from '../../../src/sidecar/load-reports/load-reporter.js'
import type { Host } from '../../../src/upstream/host/host.js'
import { NodeSchema } from '../../../src/xds/gen/envoy/config/core/v3/base_pb.js'
import { LoadStatsRequestSchema, LoadStatsResponseSchema } from '../../../src/xds/gen/envoy/service/load_stats/v3/lrs_pb.js'
import { OWN_METRICS_KEY } from '../../../src/xds/load-reports/load-report.js'
import { endpoint, locality, staticCluster, type TestRegistry, testRegistry } from '../../upstream/fixtures.js'

const INTERVAL_MS = 1000
const RETRY_MS = 5000

interface OpenStream {
  readonly sent: MessageShape<typeof LoadStatsRequestSchema>[]
  readonly end: (reason: string) => void
  readonly answer: (bytes: Buffer, metadata: HeaderList) => void
  full: boolean
  closed: boolean
}

let world: TestRegistry
let streams: OpenStream[]
let logs: string[]
let reporter: LoadReporter
const stats = () => ['requests', 'responses', 'errors', 'retries'].map(name => world.store.counter(`load_reporter.${name}`).value)

const client = {
  exchange(_service, _path, events) {
    const stream: OpenStream = {
      sent: [],
      end: reason => events.onEnd(14, reason),
      answer: (bytes, metadata) => {
        events.onMetadata?.(metadata)
        events.onMessage(bytes)
      },
      full: false,
      closed: false,
    }
    streams.push(stream)
    return {
      get full() {
        return stream.full
      },
      send: (message: Buffer) => stream.sent.push(fromBinary(LoadStatsRequestSchema, message)) > 0,
      close: () => {
        stream.closed = true
      },
    }
  },
} satisfies Pick<AsyncGrpcClient, 'exchange'>

function answer(terms: { clusters?: string[]; sendAllClusters?: boolean; intervalMs?: number }, own = false): void {
  const { intervalMs = INTERVAL_MS, ...rest } = terms
  const loadReportingInterval = { seconds: BigInt(Math.floor(intervalMs / 1000)), nanos: (intervalMs % 1000) * 1e6 }
  const bytes = toBinary(LoadStatsResponseSchema, create(LoadStatsResponseSchema, { ...rest, loadReportingInterval }))
  streams.at(-1)!.answer(Buffer.from(bytes), own ? HeaderList.of([OWN_METRICS_KEY, '1']) : new HeaderList())
}

function add(name: string): Host {
  world.registry.apply(staticCluster(name, [locality([endpoint('10.0.0.1', 80)])]))
  return world.registry.get(name)!.hosts[0]!
}

function serve(host: Host, successes: number, errors = 0): void {
  host.stats.rqSuccess += successes
  host.stats.rqError += errors
  host.stats.rqTotal += successes + errors
}

const last = () => streams.at(-1)!.sent.at(-1)!
/** cluster -> successes of the newest report. */
const reported = () =>
  Object.fromEntries(
    last().clusterStats.map(({ clusterName, upstreamLocalityStats }) => [
      clusterName,
      upstreamLocalityStats.reduce((sum, { totalSuccessfulRequests }) => sum + Number(totalSuccessfulRequests), 0),
    ]),
  )

beforeEach(async () => {
  world = testRegistry()
  streams = []
  logs = []
  reporter = new LoadReporter({
    service: { cluster: 'lrs', target: '', authority: '', timeoutMs: null, initialMetadata: [] },
    node: create(NodeSchema, { id: 'n' }),
    clusters: world.registry,
    client: client as AsyncGrpcClient,
    stats: loadReporterStats(world.store),
    clock: world.clock,
    log: (_severity, message) => logs.push(message),
  })
  await reporter.start()
})

describe('intervals', () => {
  it('begin with the answer: what was counted before is not reported', () => {
    const app = add('app')
    serve(app, 5)
    expect(last()).toMatchObject({ node: { id: 'n', clientFeatures: ['envoy.lrs.supports_send_all_clusters'] }, clusterStats: [] })
    answer({ sendAllClusters: true })
    serve(app, 3)
    world.clock.advance(INTERVAL_MS)
    expect(reported()).toEqual({ app: 3 })
    expect(last().clusterStats[0]!.loadReportInterval).toMatchObject({ seconds: 1n, nanos: 0 })
    world.clock.advance(INTERVAL_MS)
    expect(reported()).toEqual({ app: 0 })
    expect(last().clusterStats[0]!.upstreamLocalityStats).toEqual([])
    expect(stats()).toEqual([1, 3, 0, 0])
  })

  it('of a new answer keep what was counted of clusters that are still wanted', () => {
    const [app, other] = [add('app'), add('other')]
    answer({ clusters: ['app'] })
    serve(app, 1)
    serve(other, 1)
    world.clock.advance(INTERVAL_MS / 2)
    answer({ clusters: ['app', 'other'] })
    serve(app, 1)
    serve(other, 1)
    world.clock.advance(INTERVAL_MS / 2)
    expect(streams[0]!.sent).toHaveLength(1)
    world.clock.advance(INTERVAL_MS / 2)
    expect(reported()).toEqual({ app: 2, other: 1 })
  })

  it('tell everything of a cluster that was named before it came', () => {
    answer({ clusters: ['app'] })
    world.clock.advance(INTERVAL_MS)
    expect(reported()).toEqual({})
    serve(add('app'), 4)
    world.clock.advance(INTERVAL_MS)
    expect(reported()).toEqual({ app: 4 })
  })

  it('are left out while the server does not read, and the next tells all of it', () => {
    const app = add('app')
    answer({ sendAllClusters: true })
    serve(app, 1)
    streams[0]!.full = true
    world.clock.advance(INTERVAL_MS)
    expect(streams[0]!.sent).toHaveLength(1)
    serve(app, 1)
    streams[0]!.full = false
    world.clock.advance(INTERVAL_MS)
    expect(reported()).toEqual({ app: 2 })
  })

  it('say nothing of counts that fell: a worker process died with them', () => {
    const app = add('app')
    app.elsewhere = { ...app.counts(), rqSuccess: 10, rqTotal: 10 }
    answer({ sendAllClusters: true })
    app.elsewhere = { ...app.elsewhere, rqSuccess: 2, rqTotal: 2 }
    world.clock.advance(INTERVAL_MS)
    expect(reported()).toEqual({ app: 0 })
    serve(app, 1)
    world.clock.advance(INTERVAL_MS)
    expect(reported()).toEqual({ app: 1 })
  })
})

describe('a stream that ends', () => {
  it('is opened again, and its first report has what was counted meanwhile', () => {
    const app = add('app')
    answer({ sendAllClusters: true })
    serve(app, 1)
    streams[0]!.end('gone')
    world.clock.advance(RETRY_MS - 1)
    expect(streams).toHaveLength(1)
    serve(app, 1)
    world.clock.advance(1)
    expect(reported()).toEqual({ app: 2 })
    expect(stats()).toEqual([1, 2, 1, 1])
  })

  it('again and again is said once', () => {
    for (let i = 0; i < 3; i++) {
      streams.at(-1)!.end('refused')
      world.clock.advance(RETRY_MS)
    }
    expect(logs).toEqual(['load reports: the stream to lrs ended, and is opened again: refused'])
    answer({ sendAllClusters: true })
    streams.at(-1)!.end('refused')
    expect(logs).toHaveLength(2)
  })

  it('is ended by us where its answer asks for the impossible', () => {
    answer({ sendAllClusters: true, intervalMs: 0 })
    expect(streams[0]!.closed).toBe(true)
    expect(logs).toEqual([expect.stringContaining('load_reporting_interval: 0 ms is shorter than 10 ms')])
    world.clock.advance(RETRY_MS)
    streams[1]!.answer(Buffer.from([0xff]), new HeaderList())
    expect(logs.at(-1)).toContain('no LoadStatsResponse')
  })

  it('is not opened again once the reporter is closed', () => {
    reporter.close()
    streams[0]!.end('gone')
    expect(world.clock.pending).toBe(0)
  })
})

it('our own server is told latencies since the last report, and nothing of what was quiet', () => {
  const app = add('app')
  add('quiet')
  const { traffic } = app.cluster
  serve(app, 1)
  traffic.chargeTime(4, true, false)
  answer({ sendAllClusters: true }, true)
  serve(app, 3)
  for (const ms of [0, 4, 60_000]) traffic.chargeTime(ms, true, false)
  app.stats.cxConnectFail++
  world.clock.advance(INTERVAL_MS)
  expect(last().clusterStats.map(({ clusterName }) => clusterName)).toEqual(['app'])
  const metrics = last().clusterStats[0]!.upstreamLocalityStats[0]!.loadMetricStats
  expect(metrics.map(({ metricName, numRequestsFinishedWithMetric: n }) => [metricName, Number(n)])).toEqual([
    ['outrigger.connect_failures', 1],
    ['outrigger.latency.0', 1],
    ['outrigger.latency.3', 1],
    ['outrigger.latency.24', 1],
  ])
})

it('our own server is told of requests that found no host, of a cluster with nothing else to tell too, and others are not', () => {
  const { traffic } = add('down').cluster
  traffic.main.upstream_cx_none_healthy.value = 7
  answer({ sendAllClusters: true }, true)
  traffic.main.upstream_cx_none_healthy.value += 2
  world.clock.advance(INTERVAL_MS)
  const [told] = last().clusterStats
  expect(told).toMatchObject({ clusterName: 'down', upstreamLocalityStats: [{ totalIssuedRequests: 0n }] })
  const metrics = told!.upstreamLocalityStats.flatMap(({ loadMetricStats }) => loadMetricStats)
  expect(metrics.map(({ metricName, numRequestsFinishedWithMetric: n }) => [metricName, Number(n)])).toEqual([['outrigger.unreached', 2]])
  world.clock.advance(INTERVAL_MS)
  expect(last().clusterStats).toEqual([])
})
