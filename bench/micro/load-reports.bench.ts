// What load reports cost: a sidecar one report of clusters with ten hosts each, all of them busy (of 200 clusters at most 2 ms of CPU);
// the control plane the reports of 1,000 sidecars with ten edges each, which come every ten seconds (5 % of a core are 500 ms).
import { strict as assert } from 'node:assert'
import { create, toBinary } from '@bufbuild/protobuf'
import { bench, describe } from 'vitest'
import type { GrpcCall } from '../../src/control/grpc/grpc-call.js'
import type { GrpcMethod, GrpcServer } from '../../src/control/grpc/grpc-server.js'
import { addLoadReports } from '../../src/control/grpc/load-report-service.js'
import { ObservedTraffic } from '../../src/control/traffic/observed-traffic.js'
import { ClusterLoads } from '../../src/sidecar/load-reports/cluster-loads.js'
import { NodeSchema } from '../../src/xds/gen/envoy/config/core/v3/base_pb.js'
import { LoadStatsRequestSchema } from '../../src/xds/gen/envoy/service/load_stats/v3/lrs_pb.js'
import type { ReportTerms } from '../../src/xds/load-reports/load-report.js'
import { encodeReporter, writeReport } from '../../src/xds/load-reports/load-report-messages.js'
import { endpoint, locality, staticCluster, testRegistry } from '../../test/upstream/fixtures.js'

const TERMS: ReportTerms = { clusters: 'all', intervalMs: 10_000, perEndpoint: false }
const reporter = create(NodeSchema, { id: 'web-sidecar-proxy', cluster: 'web', metadata: { node_name: 'n1' } })
const node = encodeReporter(reporter)

/** A proxy with so many clusters, each with ten hosts. */
function sidecar(clusters: number) {
  const { registry } = testRegistry()
  for (let i = 0; i < clusters; i++) {
    const name = `svc${i}.default.dc1.internal.td.consul`
    const endpoints = Array.from({ length: 10 }, (_, n) => endpoint(`10.0.${i}.${n}`, 80))
    registry.apply(staticCluster(name, [locality(endpoints)]))
  }
  const loads = new ClusterLoads(registry)
  loads.follow(TERMS, 0)
  const work = (): void => {
    for (const one of registry.clusters()) {
      for (const host of one.hosts) {
        host.stats.rqTotal++
        host.stats.rqSuccess++
      }
      for (const ms of [1, 4, 9, 20, 45, 120]) one.traffic.chargeTime(ms, true, false)
    }
  }
  return { loads, work }
}

describe.each([20, 200])('a report of a sidecar with %i busy clusters of ten hosts', clusters => {
  const { loads, work } = sidecar(clusters)
  work()
  assert.equal(loads.take(TERMS, true, 10_000).length, clusters)

  for (const [whose, own] of [
    ['our own server, with latencies', true],
    ['another server', false],
  ] as const)
    bench(`for ${whose}`, () => void writeReport(node, loads.take(TERMS, own, 20_000)), {
      setup: task => {
        task.opts.beforeEach = work
      },
    })
})

describe('1,000 sidecars with ten edges each', () => {
  const { loads, work } = sidecar(10)
  work()
  const report = writeReport(node, loads.take(TERMS, true, 10_000))
  const traffic = new ObservedTraffic({ intervalMs: 1 })
  const methods: GrpcMethod[] = []
  const proxy = { Service: 'web-sidecar-proxy', Proxy: { DestinationServiceName: 'web' } }
  addLoadReports({ add: (_path: string, method: GrpcMethod) => methods.push(method) } as unknown as GrpcServer, {
    traffic,
    trustDomain: 'td.consul',
    accept: ({ id }) => ({ ok: true, nodeKey: id }),
    proxy: () => proxy as never,
    isTcp: () => false,
  })
  const calls = Array.from({ length: 1000 }, (_, i) => {
    const call = { metadata: () => undefined, addMetadata() {}, send() {}, end: assert.fail } as unknown as GrpcCall
    methods[0]!(call)
    const hello = toBinary(LoadStatsRequestSchema, create(LoadStatsRequestSchema, { node: { ...reporter, id: `web-${i}` } }))
    call.events.onMessage(Buffer.from(hello))
    return call
  })

  bench('one report of each', () => {
    for (const call of calls) call.events.onMessage(report)
  })
  bench('all edges of the last minute', () => {
    assert.ok(traffic.edges(60_000).length <= 10)
  })
})
