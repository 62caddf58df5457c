// One stream of load reports on a simulated sidecar's connection, as light as its ADS stream: the report is made once, and sent again every
// interval. Used by simulated-sidecars.mjs.
import { create, toBinary } from '@bufbuild/protobuf'
import { LoadStatsRequestSchema } from '../../dist/xds/gen/envoy/service/load_stats/v3/lrs_pb.js'
import { OWN_METRICS, STREAM_LOAD_STATS } from '../../dist/xds/load-reports/load-report.js'

const HEAD = { ':method': 'POST', ':path': STREAM_LOAD_STATS, 'content-type': 'application/grpc', te: 'trailers' }
const PREFIX_BYTES = 5
/** Requests of a cluster in an interval, by bucket of latency. */
const LATENCIES = [
  [0, 20],
  [3, 60],
  [6, 15],
  [11, 5],
]
const SUCCESSES = 99n
const ERRORS = 1n

function framed(request) {
  const message = toBinary(LoadStatsRequestSchema, create(LoadStatsRequestSchema, request))
  const bytes = Buffer.allocUnsafe(PREFIX_BYTES + message.length)
  bytes[0] = 0
  bytes.writeUInt32BE(message.length, 1)
  bytes.set(message, PREFIX_BYTES)
  return bytes
}

const statsOf = (clusterName, everyMs) => ({
  clusterName,
  loadReportInterval: { seconds: BigInt(Math.floor(everyMs / 1_000)), nanos: (everyMs % 1_000) * 1e6 },
  upstreamLocalityStats: [
    {
      totalSuccessfulRequests: SUCCESSES,
      totalErrorRequests: ERRORS,
      totalIssuedRequests: SUCCESSES + ERRORS,
      loadMetricStats: LATENCIES.map(([bucket, count]) => ({
        metricName: `${OWN_METRICS.latencyPrefix}${bucket}`,
        numRequestsFinishedWithMetric: BigInt(count),
      })),
    },
  ],
})

/** Begins at any time of the first interval, as sidecars do that were started at different times. */
export function reportLoad(session, node, clusters, everyMs) {
  const stream = session.request(HEAD)
  stream.on('error', () => {})
  stream.resume()
  stream.write(framed({ node }))
  const report = framed({ node, clusterStats: clusters.map(name => statsOf(name, everyMs)) })
  setTimeout(() => {
    const timer = setInterval(() => stream.write(report), everyMs)
    stream.once('close', () => clearInterval(timer))
  }, Math.random() * everyMs)
}
