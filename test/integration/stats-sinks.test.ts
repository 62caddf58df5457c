// Stats sinks through the real proxy: statsd over UDP and TCP, dogstatsd, the metrics service and OpenTelemetry, all fed by one proxy. With
// two worker processes the sums are the same; beside the real Envoy the lines have the same form (ENVOY_BIN).
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { http2Upstream } from '../support/grpc-services.js'
import { fetchOnce } from '../support/http1-client.js'
import { MeshFixture } from '../support/mesh-fixture.js'
import { HttpOrigin, http } from '../support/origins.js'
import { freePort, hcm, listener, ProxyProcess, routesTo, socketAddress, staticCluster, stopAll, until } from '../support/proxy-process.js'
import { MetricsCollector, TcpStatsd, type ToldMetric, UdpStatsd } from '../support/stats-collectors.js'

const envoyBin = process.env['ENVOY_BIN']
const REQUESTS = 5
const FLUSH = '0.2s'
const MAX_DATAGRAM = 400

const origin = new HttpOrigin((_, socket) => void socket.write(http('ok')))
let udp: UdpStatsd
let dog: UdpStatsd
let packed: UdpStatsd
let tcp: TcpStatsd
let collector: MetricsCollector

beforeAll(() => origin.listen())
afterAll(async () => {
  await stopAll()
  await origin.close()
})
beforeEach(async () => {
  udp = await new UdpStatsd().listen()
  dog = await new UdpStatsd().listen()
  packed = await new UdpStatsd().listen()
  tcp = await new TcpStatsd().listen()
  collector = await new MetricsCollector().listen()
})
afterEach(async () => {
  await stopAll()
  for (const each of [udp, dog, packed, tcp, collector]) each.close()
})

function sink(type: string, config: object): object {
  return { name: 'a', typed_config: { '@type': `type.googleapis.com/envoy.${type}`, ...config } }
}

async function start(bin: string | undefined, flags: readonly string[], more: object = { stats_flush_interval: FLUSH }) {
  const port = await freePort()
  const service = { grpc_service: { envoy_grpc: { cluster_name: 'collector' } } }
  const bootstrap = {
    node: { id: 'node-1', cluster: 'c' },
    ...more,
    stats_sinks: [
      sink('config.metrics.v3.StatsdSink', { address: socketAddress(udp.port) }),
      sink('config.metrics.v3.StatsdSink', { tcp_cluster_name: 'statsd', prefix: 'pre' }),
      sink('config.metrics.v3.DogStatsdSink', { address: socketAddress(dog.port) }),
      sink('config.metrics.v3.DogStatsdSink', { address: socketAddress(packed.port), max_bytes_per_datagram: MAX_DATAGRAM }),
      sink('config.metrics.v3.MetricsServiceConfig', {
        ...service,
        transport_api_version: 'V3',
        report_counters_as_deltas: true,
        emit_tags_as_labels: true,
      }),
      sink('extensions.stat_sinks.open_telemetry.v3.SinkConfig', {
        ...service,
        report_counters_as_deltas: true,
        report_histograms_as_deltas: true,
        prefix: 'otel',
      }),
    ],
    static_resources: {
      listeners: [listener('front', port, [hcm({ route_config: routesTo('app') })])],
      clusters: [
        staticCluster('app', origin.port),
        staticCluster('statsd', tcp.port),
        staticCluster('collector', collector.port, http2Upstream),
      ],
    },
  }
  const proxy = await ProxyProcess.start({ bootstrap, flags, ...(bin === undefined ? {} : { bin }) })
  return { proxy, port }
}

/** The sum of all values of one line. */
function sum(lines: readonly string[], name: string, end: string): number {
  return lines
    .filter(line => line.startsWith(`${name}:`) && line.endsWith(end))
    .reduce((total, line) => total + Number(line.slice(name.length + 1, line.length - end.length)), 0)
}

function told(metrics: readonly ToldMetric[], name: string, kind: ToldMetric['kind'], cluster = 'app'): number {
  return metrics
    .filter(metric => metric.name === name && metric.kind === kind && metric.labels['envoy.cluster_name'] === cluster)
    .reduce((total, { value }) => total + value, 0)
}

/** What each sink was told of the requests, once all of it is there. */
async function requestsTold(flags: readonly string[], bin?: string) {
  const { proxy, port } = await start(bin, flags)
  for (let i = 0; i < REQUESTS; i++) expect((await fetchOnce(port, '/')).status).toBe(200)
  const seen = () => ({
    udp: sum(udp.lines, 'envoy.cluster.app.upstream_rq_total', '|c'),
    udpTimes: udp.lines.filter(line => /^envoy\.cluster\.app\.upstream_rq_time:\d+\|ms$/.test(line)).length,
    udpMembers: udp.lines.includes('envoy.cluster.app.membership_total:1|g'),
    dog: sum(dog.lines, 'envoy.cluster.upstream_rq_total', '|c|#envoy.cluster_name:app'),
    dogClass: sum(dog.lines, 'envoy.cluster.upstream_rq_xx', '|c|#envoy.response_code_class:2,envoy.cluster_name:app'),
    packed: sum(packed.lines, 'envoy.cluster.upstream_rq_total', '|c|#envoy.cluster_name:app'),
    tcp: sum(tcp.lines, 'pre.cluster.app.upstream_rq_total', '|c'),
    tcpTimes: tcp.lines.filter(line => /^pre\.cluster\.app\.upstream_rq_time:\d+\|ms$/.test(line)).length,
    service: told(collector.told, 'cluster.upstream_rq_total', 'counter'),
    serviceTimes: told(collector.told, 'cluster.upstream_rq_time', 'histogram'),
    serviceSummaries: told(collector.told, 'cluster.upstream_rq_time', 'summary'),
    otel: told(collector.exported, 'otel.cluster.upstream_rq_total', 'counter'),
    otelTimes: told(collector.exported, 'otel.cluster.upstream_rq_time', 'histogram'),
  })
  const every = [udp, dog, packed].map(each => each.lines.length)
  await until('all sinks were told', () => {
    const { udpMembers, ...counts } = seen()
    return udpMembers && Object.values(counts).every(count => count >= REQUESTS)
  }).catch(error => {
    throw new Error(`${(error as Error).message} ${JSON.stringify(seen())} ${proxy.log}`)
  })
  // Two flushes more: nothing is told twice.
  await until('later flushes', () => [udp, dog, packed].every((each, i) => each.lines.length > every[i]! + 100))
  return { proxy, seen: seen() }
}

const EACH = {
  udp: REQUESTS,
  udpTimes: REQUESTS,
  udpMembers: true,
  dog: REQUESTS,
  dogClass: REQUESTS,
  packed: REQUESTS,
  tcp: REQUESTS,
  tcpTimes: REQUESTS,
  service: REQUESTS,
  serviceTimes: REQUESTS,
  serviceSummaries: REQUESTS,
  otel: REQUESTS,
  otelTimes: REQUESTS,
}

/** Lines of the traffic, without their values. */
function shapes(lines: readonly string[]): string[] {
  const kinds = lines
    .filter(line => /cluster_name:app|app\.|ingress/.test(line))
    .map(line => line.replace(/:[\d.]+\|/, ':N|').replace(/127\.0\.0\.1_\d+/, 'ADDRESS'))
  return [...new Set(kinds)].sort()
}

/** Gauges that one of the two writes a 0 to and the other does not yet, and bytes that are counted here when the pooled connection ends. */
const NOT_YET = /circuit_breakers|upstream_cx_[rt]x_bytes_total|[rt]x_bytes_buffered|warming_state/

describe('stats sinks', () => {
  it('tell counters as growth, gauges as they are, and each value of a histogram once', async () => {
    const { proxy, seen } = await requestsTold(['--concurrency', '1'])
    expect(seen).toEqual(EACH)
    expect(packed.datagrams.some(datagram => datagram.includes('\n'))).toBe(true)
    expect(packed.datagrams.filter(datagram => datagram.length > MAX_DATAGRAM)).toEqual([])
    expect(dog.datagrams.some(datagram => datagram.includes('\n'))).toBe(false)
    expect(collector.nodes).toEqual(['node-1'])
    // A server that comes back is dialled again, and told what grew since.
    const before = tcp.connections
    tcp.cut()
    await until('another connection', () => tcp.connections > before)
    expect(await proxy.stat('statsd.cx_overflow')).toBe(0)
  })

  it('tell the sums of all worker processes once', async () => {
    expect((await requestsTold(['--concurrency', '2'])).seen).toEqual(EACH)
  })

  it('are told when the admin shows stats, and only then, with stats_flush_on_admin', async () => {
    const { proxy, port } = await start(undefined, [], { stats_flush_on_admin: true })
    await fetchOnce(port, '/')
    expect(udp.lines.filter(line => line.endsWith('|c'))).toEqual([])
    await proxy.get('/stats')
    await until('a flush', () => sum(udp.lines, 'envoy.cluster.app.upstream_rq_total', '|c') === 1)
  })

  it('are those of proxy-defaults in the mesh', async () => {
    const mesh = new MeshFixture()
    try {
      await mesh.start()
      const urls = { envoy_statsd_url: `udp://127.0.0.1:${udp.port}`, envoy_dogstatsd_url: `udp://127.0.0.1:${dog.port}` }
      await mesh.write('/v1/config', { Kind: 'proxy-defaults', Name: 'global', Config: { ...urls, envoy_stats_flush_interval: '200ms' } })
      await mesh.register('web-1', { name: 'web' })
      await mesh.sidecar('web-1')
      await until('both were told', () => [udp, dog].every(each => each.lines.some(line => line.startsWith('envoy.server.live:1|g'))))
      expect(dog.lines.some(line => line.includes('|#') && line.includes('local_cluster:web'))).toBe(true)
    } finally {
      await mesh.stop()
    }
  })

  it.skipIf(envoyBin === undefined)('write lines as the real Envoy does', async () => {
    const ofOurs = (await requestsTold(['--concurrency', '1'])).seen
    const ours = { udp: shapes(udp.lines), dog: shapes(dog.lines), tcp: shapes(tcp.lines) }
    await stopAll()
    for (const each of [udp, dog, packed]) each.datagrams.length = 0
    tcp.cut()
    const before = tcp.lines.length
    collector.told.length = 0
    collector.exported.length = 0
    await requestsTold(['--concurrency', '1', '--use-dynamic-base-id'], envoyBin)
    const theirs = { udp: shapes(udp.lines), dog: shapes(dog.lines), tcp: shapes(tcp.lines.slice(before)) }
    expect(ofOurs).toEqual(EACH)
    for (const form of ['udp', 'dog', 'tcp'] as const) {
      expect(ours[form].filter(shape => !NOT_YET.test(shape))).toEqual(theirs[form].filter(shape => !NOT_YET.test(shape)))
    }
  })
})
