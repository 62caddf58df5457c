// A report is written by hand: it must be, byte for byte, what the schemas would make of it.
import { create, toBinary } from '@bufbuild/protobuf'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { Address } from '../../../src/model/address.js'
import { NodeSchema } from '../../../src/xds/gen/envoy/config/core/v3/base_pb.js'
import { LoadStatsRequestSchema } from '../../../src/xds/gen/envoy/service/load_stats/v3/lrs_pb.js'
import type { ClusterLoad, RequestLoad } from '../../../src/xds/load-reports/load-report.js'
import { encodeReporter, writeReport } from '../../../src/xds/load-reports/load-report-messages.js'

const node = create(NodeSchema, { id: 'web-sidecar-proxy', cluster: 'web', metadata: { node_name: 'n1' } })

function bySchema(clusters: readonly ClusterLoad[]): Uint8Array {
  const requests = ({ successes, errors, active, issued }: RequestLoad) => ({
    totalSuccessfulRequests: BigInt(successes),
    totalErrorRequests: BigInt(errors),
    totalRequestsInProgress: BigInt(active),
    totalIssuedRequests: BigInt(issued),
  })
  const address = (of: Address) =>
    of.kind === 'pipe'
      ? { address: { case: 'pipe' as const, value: { path: of.path } } }
      : {
          address: {
            case: 'socketAddress' as const,
            value: { address: of.host, portSpecifier: { case: 'portValue' as const, value: of.port } },
          },
        }
  const message = create(LoadStatsRequestSchema, {
    node,
    clusterStats: clusters.map(load => ({
      clusterName: load.name,
      clusterServiceName: load.serviceName,
      totalDroppedRequests: BigInt(load.dropped),
      droppedRequests: load.droppedByCategory.map(({ category, count }) => ({ category, droppedCount: BigInt(count) })),
      loadReportInterval: { seconds: BigInt(Math.floor(load.intervalMs / 1000)), nanos: (load.intervalMs % 1000) * 1e6 },
      upstreamLocalityStats: load.localities.map(({ locality, priority, endpoints, metrics, ...counts }) => ({
        locality,
        priority,
        ...requests(counts),
        upstreamEndpointStats: endpoints.map(endpoint => ({ address: address(endpoint.address), ...requests(endpoint) })),
        loadMetricStats: metrics.map(({ name, count }) => ({
          metricName: name,
          numRequestsFinishedWithMetric: BigInt(count),
          totalMetricValue: count,
        })),
      })),
    })),
  })
  return toBinary(LoadStatsRequestSchema, message)
}

const count = fc.oneof(fc.constant(0), fc.nat(300), fc.maxSafeNat())
const text = fc.oneof(fc.constant(''), fc.string({ maxLength: 80 }), fc.string({ unit: 'grapheme', maxLength: 70 }))
const counts = { successes: count, errors: count, active: count, issued: count }
const address: fc.Arbitrary<Address> = fc.oneof(
  fc.record({ kind: fc.constant('socket' as const), host: fc.ipV4(), port: fc.nat(65_535) }),
  fc.record({ kind: fc.constant('pipe' as const), path: fc.constant('/run/app.sock'), mode: fc.constant(0) }),
)
const locality = fc.record({
  ...counts,
  locality: fc.record({ region: text, zone: text, subZone: text }),
  priority: fc.nat(10),
  endpoints: fc.array(fc.record({ ...counts, address }), { maxLength: 3 }),
  metrics: fc.array(fc.record({ name: text, count }), { maxLength: 4 }),
})
const cluster: fc.Arbitrary<ClusterLoad> = fc.record({
  name: text,
  serviceName: text,
  localities: fc.array(locality, { maxLength: 3 }),
  dropped: count,
  droppedByCategory: fc.array(fc.record({ category: text, count }), { maxLength: 2 }),
  intervalMs: fc.nat(100_000_000),
})

it('is what the schemas make of it, whatever is reported', () => {
  fc.assert(
    fc.property(fc.array(cluster, { maxLength: 5 }), clusters => {
      expect(Buffer.compare(writeReport(encodeReporter(node), clusters), bySchema(clusters))).toBe(0)
    }),
    { numRuns: 200, seed: 17 },
  )
})

it('grows with what there is: thousands of clusters', () => {
  const load: ClusterLoad = {
    name: 'api.default.dc1.internal.td.consul',
    serviceName: '',
    localities: [
      {
        ...{ successes: 1, errors: 2, active: 3, issued: 4 },
        locality: { region: '', zone: '', subZone: '' },
        priority: 0,
        endpoints: [],
        metrics: [],
      },
    ],
    dropped: 0,
    droppedByCategory: [],
    intervalMs: 10_000,
  }
  const clusters = Array.from({ length: 3_000 }, (_, i) => ({ ...load, name: `svc${i}.${load.name}` }))
  expect(Buffer.compare(writeReport(encodeReporter(node), clusters), bySchema(clusters))).toBe(0)
})
