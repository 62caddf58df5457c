// Load reports as messages of envoy.service.load_stats.v3: what the proxy sends and the server's answer, for sidecar/load-reports. Loaded
// with the first report, so that a proxy without load_stats_config does not carry these types. Fields as Envoy 1.40 fills them.

import { fromBinary, toBinary } from '@bufbuild/protobuf'
import type { ConfigError } from '../../model/config-error.js'
import { addressMessage } from '../address-message.js'
import { AddressSchema } from '../gen/envoy/config/core/v3/address_pb.js'
import { type Node, NodeSchema } from '../gen/envoy/config/core/v3/base_pb.js'
import { type LoadStatsResponse, LoadStatsResponseSchema } from '../gen/envoy/service/load_stats/v3/lrs_pb.js'
import { durationMs } from '../resources/values.js'
import { BackwardWriter } from './backward-writer.js'
import type { ClusterLoad, EndpointLoad, LocalityLoad, ReportTerms } from './load-report.js'

/** Clusters that a server may name. */
const MAX_NAMED_CLUSTERS = 100_000
/** Envoy arms its timer with whatever comes; a report takes time of its own. */
const MIN_INTERVAL_MS = 10

export type ReadTerms = { readonly ok: true; readonly terms: ReportTerms } | { readonly ok: false; readonly error: ConfigError }

/** The server's answer: what it wants to be told. */
export function readTerms(bytes: Uint8Array): ReadTerms {
  let answer: LoadStatsResponse
  try {
    answer = fromBinary(LoadStatsResponseSchema, bytes)
  } catch {
    return refused('', 'the answer is no LoadStatsResponse')
  }
  const { clusters, sendAllClusters, loadReportingInterval, reportEndpointGranularity } = answer
  if (clusters.length > MAX_NAMED_CLUSTERS) return refused('clusters', `at most ${MAX_NAMED_CLUSTERS} may be named`)
  const intervalMs = loadReportingInterval === undefined ? 0 : durationMs(loadReportingInterval)
  if (intervalMs < MIN_INTERVAL_MS) return refused('load_reporting_interval', `${intervalMs} ms is shorter than ${MIN_INTERVAL_MS} ms`)
  return { ok: true, terms: { clusters: sendAllClusters ? 'all' : clusters, intervalMs, perEndpoint: reportEndpointGranularity } }
}

function refused(path: string, reason: string): ReadTerms {
  return { ok: false, error: { path, reason } }
}

/** HOT: with every interval, of every cluster that had something to do (bench/micro/load-reports.bench.ts). `expectedBytes`: of the last one. */
export function writeReport(node: Uint8Array, clusters: readonly ClusterLoad[], expectedBytes = 0): Buffer {
  const writer = new BackwardWriter(expectedBytes)
  for (let i = clusters.length - 1; i >= 0; i--) writeCluster(writer, clusters[i]!)
  writer.raw(1, node)
  return writer.finish()
}

/** Who reports: every report says it, and it does not change. */
export function encodeReporter(node: Node): Uint8Array {
  return toBinary(NodeSchema, node)
}

/** `cluster_stats`. */
function writeCluster(writer: BackwardWriter, load: ClusterLoad): void {
  const { name, serviceName, localities, dropped, droppedByCategory, intervalMs } = load
  const end = writer.written
  writer.string(6, serviceName)
  for (let i = droppedByCategory.length - 1; i >= 0; i--) {
    const { category, count } = droppedByCategory[i]!
    const droppedEnd = writer.written
    writer.number(2, count)
    writer.string(1, category)
    writer.message(5, droppedEnd)
  }
  writeInterval(writer, intervalMs)
  writer.number(3, dropped)
  for (let i = localities.length - 1; i >= 0; i--) writeLocality(writer, localities[i]!)
  writer.string(1, name)
  writer.message(2, end)
}

/** `load_report_interval`. */
function writeInterval(writer: BackwardWriter, ms: number): void {
  const micros = Math.round(ms * 1000)
  const seconds = Math.floor(micros / 1_000_000)
  const end = writer.written
  writer.number(2, (micros - seconds * 1_000_000) * 1000)
  writer.number(1, seconds)
  writer.message(4, end)
}

/** `upstream_locality_stats`. */
function writeLocality(writer: BackwardWriter, load: LocalityLoad): void {
  const { locality, priority, endpoints, metrics, successes, errors, active, issued } = load
  const end = writer.written
  writer.number(8, issued)
  for (let i = endpoints.length - 1; i >= 0; i--) writeEndpoint(writer, endpoints[i]!)
  writer.number(6, priority)
  for (let i = metrics.length - 1; i >= 0; i--) {
    const { name, count } = metrics[i]!
    const metricEnd = writer.written
    writer.double(3, count)
    writer.number(2, count)
    writer.string(1, name)
    writer.message(5, metricEnd)
  }
  writer.number(4, errors)
  writer.number(3, active)
  writer.number(2, successes)
  // Present even where it says nothing, as in Envoy's.
  const localityEnd = writer.written
  writer.string(3, locality.subZone)
  writer.string(2, locality.zone)
  writer.string(1, locality.region)
  writer.message(1, localityEnd)
  writer.message(2, end)
}

/** `upstream_endpoint_stats`. */
function writeEndpoint(writer: BackwardWriter, { address, successes, errors, active, issued }: EndpointLoad): void {
  const end = writer.written
  writer.number(7, issued)
  writer.number(4, errors)
  writer.number(3, active)
  writer.number(2, successes)
  writer.raw(1, toBinary(AddressSchema, addressMessage(address)))
  writer.message(7, end)
}
