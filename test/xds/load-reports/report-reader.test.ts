// A report is read by hand: what is taken of it must be what the schemas make of the same bytes, and what they refuse must give nothing.
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { type LoadStatsRequest, LoadStatsRequestSchema } from '../../../src/xds/gen/envoy/service/load_stats/v3/lrs_pb.js'
import { LATENCY_BOUNDS_MS, OWN_METRICS } from '../../../src/xds/load-reports/load-report.js'
import { ReportReader } from '../../../src/xds/load-reports/report-reader.js'

const MAX_UINT64 = 2n ** 64n - 1n
const count = fc.oneof(fc.constant(0n), fc.bigInt(0n, 300n), fc.bigInt(0n, 2n ** 53n), fc.bigInt(0n, MAX_UINT64))
const text = fc.oneof(fc.string({ maxLength: 60 }), fc.string({ unit: 'grapheme', maxLength: 40 }))
const metricName = fc.oneof(
  fc.nat(30).map(bucket => `${OWN_METRICS.latencyPrefix}${bucket}`),
  fc.constantFrom(...['', '007', '0.5', '-1', ' 1', 'x'].map(end => OWN_METRICS.latencyPrefix + end)),
  fc.constantFrom(OWN_METRICS.connectFailures, `${OWN_METRICS.connectFailures}.`, OWN_METRICS.unreached, ''),
  text,
)
const metric = fc.record({ metricName, numRequestsFinishedWithMetric: count, totalMetricValue: fc.double() })
const counts = { totalSuccessfulRequests: count, totalErrorRequests: count, totalRequestsInProgress: count, totalIssuedRequests: count }
const locality = fc.record(
  {
    ...counts,
    locality: fc.record({ region: text, zone: text }),
    priority: fc.nat(),
    loadMetricStats: fc.array(metric, { maxLength: 6 }),
    upstreamEndpointStats: fc.array(fc.record({ ...counts, loadMetricStats: fc.array(metric, { maxLength: 2 }) }), { maxLength: 2 }),
    totalNewConnections: count,
    cpuUtilization: fc.record({ totalMetricValue: fc.double() }),
  },
  { requiredKeys: [] },
)
const cluster = fc.record(
  {
    clusterName: text,
    clusterServiceName: text,
    upstreamLocalityStats: fc.array(locality, { maxLength: 3 }),
    totalDroppedRequests: count,
    droppedRequests: fc.array(fc.record({ category: text, droppedCount: count }), { maxLength: 2 }),
    loadReportInterval: fc.record({ seconds: fc.bigInt(-10n, 2n ** 40n), nanos: fc.integer({ min: -999_999_999, max: 999_999_999 }) }),
  },
  { requiredKeys: [] },
)
const request = fc.record(
  {
    node: fc.record({ id: text, metadata: fc.dictionary(text, text, { maxKeys: 3 }), clientFeatures: fc.array(text, { maxLength: 2 }) }),
    clusterStats: fc.array(cluster, { maxLength: 5 }),
  },
  { requiredKeys: [] },
) as fc.Arbitrary<MessageInitShape<typeof LoadStatsRequestSchema>>

function bySchema({ clusterStats }: LoadStatsRequest): object[] {
  return clusterStats.map(({ clusterName, upstreamLocalityStats, loadReportInterval: interval, totalDroppedRequests }) => {
    const dropped = Number(totalDroppedRequests)
    const sums = { localities: 0, successes: 0, errors: 0, active: 0, issued: 0, connectFailures: 0, dropped, unreached: 0 }
    const latencies: number[] = []
    for (const one of upstreamLocalityStats) {
      sums.localities++
      sums.successes += Number(one.totalSuccessfulRequests)
      sums.errors += Number(one.totalErrorRequests)
      sums.active += Number(one.totalRequestsInProgress)
      sums.issued += Number(one.totalIssuedRequests)
      for (const { metricName: name, numRequestsFinishedWithMetric } of one.loadMetricStats) {
        const bucket = /^outrigger\.latency\.(\d{1,2})$/.exec(name)?.[1]
        if (name === OWN_METRICS.connectFailures) sums.connectFailures += Number(numRequestsFinishedWithMetric)
        else if (name === OWN_METRICS.unreached) sums.unreached += Number(numRequestsFinishedWithMetric)
        else if (bucket !== undefined && Number(bucket) <= LATENCY_BOUNDS_MS.length)
          latencies.push(Number(bucket), Number(numRequestsFinishedWithMetric))
      }
    }
    const intervalMs = interval === undefined ? -1 : Math.max(0, Number(interval.seconds) * 1000 + interval.nanos / 1e6)
    return { name: clusterName, ...sums, intervalMs, latencies }
  })
}

const reader = new ReportReader()
const readAll = (bytes: Uint8Array): object[] | undefined =>
  reader.read(Buffer.from(bytes)) ? Array.from({ length: reader.count }, (_, i) => ({ ...reader.cluster(i) })) : undefined
const encode = (message: MessageInitShape<typeof LoadStatsRequestSchema>): Uint8Array =>
  toBinary(LoadStatsRequestSchema, create(LoadStatsRequestSchema, message))

it('takes of any report what the schemas read, one after another', () => {
  fc.assert(
    fc.property(request, message => {
      const bytes = encode(message)
      expect(readAll(bytes)).toEqual(bySchema(fromBinary(LoadStatsRequestSchema, bytes)))
    }),
    { numRuns: 300, seed: 16 },
  )
})

it('takes fields in any order and again, as senders may write them: messages that follow each other are one', () => {
  fc.assert(
    fc.property(request, request, (one, other) => {
      const bytes = Buffer.concat([encode(one), encode(other)])
      expect(readAll(bytes)).toEqual(bySchema(fromBinary(LoadStatsRequestSchema, bytes)))
    }),
    { numRuns: 50, seed: 16 },
  )
})

it('reads an interval that comes in parts as one', () => {
  const [seconds, nanos] = [
    [0x22, 0x02, 0x08, 0x05],
    [0x22, 0x06, 0x10, 0x80, 0xca, 0xb5, 0xee, 0x01],
  ]
  const bytes = Uint8Array.from([0x12, seconds.length + nanos.length, ...seconds, ...nanos, 0x12, nanos.length, ...nanos])
  expect(readAll(bytes)).toEqual(bySchema(fromBinary(LoadStatsRequestSchema, bytes)))
  expect(readAll(bytes)).toMatchObject([{ intervalMs: 5500 }, { intervalMs: 500 }])
})

it('refuses a report that ends anywhere within a field, and anything else that the schemas do, without a fault of its own', () => {
  fc.assert(
    fc.property(request, fc.nat(), fc.nat(255), (message, at, byte) => {
      const whole = encode(message)
      if (whole.length === 0) return
      const torn = whole.slice(0, at % whole.length)
      const spoilt = Uint8Array.from(whole, (was, i) => (i === at % whole.length ? byte : was))
      for (const bytes of [torn, spoilt]) {
        const read = readAll(bytes)
        let schema: LoadStatsRequest | undefined
        try {
          schema = fromBinary(LoadStatsRequestSchema, bytes)
        } catch {}
        if (bytes === torn && schema === undefined) expect(read).toBeUndefined()
        // Those of the library that are longer than their message are refused here alone.
        if (bytes === torn && read !== undefined) expect(read).toEqual(bySchema(schema!))
      }
    }),
    { numRuns: 500, seed: 16 },
  )
})

it.each([
  ['a length beyond the message', [0x12, 0x05, 0x0a, 0x01]],
  ['a name beyond its cluster', [0x12, 0x02, 0x0a, 0x05, 1, 2, 3, 4, 5]],
  ['a varint of eleven bytes', [0x18, ...Array(10).fill(0xff), 0x01]],
  ['a field 0', [0x00, 0x00]],
  ['a group', [0x1b, 0x1c]],
  ['a fixed64 beyond the end', [0x19, 0, 0, 0]],
])('refuses %s', (_, bytes) => {
  expect(readAll(Uint8Array.from(bytes as number[]))).toBeUndefined()
})

it('keeps no more of a huge report than of a usual one', () => {
  const many = encode({ clusterStats: Array.from({ length: 5000 }, (_, i) => ({ clusterName: `c${i}` })) })
  expect(readAll(many)).toHaveLength(5000)
  expect(readAll(new Uint8Array(0))).toEqual([])
  expect(reader.cluster(1000)).toBeUndefined()
})
