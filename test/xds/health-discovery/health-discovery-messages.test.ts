// What a health discovery server may ask for, and why the rest is refused, whole.
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf'
import { expect, it } from 'vitest'
import { HealthCheckSpecifierSchema } from '../../../src/xds/gen/envoy/service/health/v3/hds_pb.js'
import { readSpecifier } from '../../../src/xds/health-discovery/health-discovery-messages.js'

type Specifier = MessageInitShape<typeof HealthCheckSpecifierSchema>

const read = (specifier: Specifier) => readSpecifier(toBinary(HealthCheckSpecifierSchema, create(HealthCheckSpecifierSchema, specifier)))
const check = {
  timeout: { seconds: 1n },
  interval: { seconds: 1n },
  unhealthyThreshold: 1,
  healthyThreshold: 1,
  healthChecker: { case: 'tcpHealthCheck' as const, value: {} },
}
const cluster = { clusterName: 'a', healthChecks: [check], localityEndpoints: [] }

it('takes clusters, and reports once a second where the server says nothing of it', () => {
  const taken = read({ clusterHealthChecks: [cluster] })
  expect(taken).toMatchObject({ ok: true, orders: { intervalMs: 1000, clusters: [{ name: 'a', connectTimeoutMs: 1000 }] } })
})

it.each<readonly [string, Specifier, string, RegExp]>([
  ['an interval of a millisecond', { interval: { nanos: 1_000_000 } }, 'interval', /shorter than 10 ms/],
  ['a cluster named twice', { clusterHealthChecks: [cluster, cluster] }, 'cluster_health_checks[1].cluster_name', /'a' is there already/],
  [
    'a check by gRPC of hosts that speak HTTP/1',
    { clusterHealthChecks: [{ ...cluster, healthChecks: [{ ...check, healthChecker: { case: 'grpcHealthCheck', value: {} } }] }] },
    'cluster_health_checks[0].health_checks[0].grpc_health_check',
    /must support HTTP\/2/,
  ],
])('refuses %s', (_, specifier, path, reason) => {
  expect(read(specifier)).toEqual({ ok: false, errors: [{ path, reason: expect.stringMatching(reason) }] })
})

it('refuses what is no specifier', () => {
  expect(readSpecifier(Buffer.from([0xff]))).toMatchObject({ ok: false })
})
