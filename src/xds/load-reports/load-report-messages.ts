// Load reports as messages of envoy.service.load_stats.v3: what the proxy sends and the server's answer, for sidecar/load-reports. Loaded
// with the first report, so that a proxy without load_stats_config does not carry these types. Fields as Envoy 1.40 fills them.

import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { type Duration, DurationSchema } from '@bufbuild/protobuf/wkt'
import type { Address } from '../../model/address.js'
import type { ConfigError } from '../../model/config-error.js'
import { AddressSchema } from '../gen/envoy/config/core/v3/address_pb.js'
import { LocalitySchema, type Node } from '../gen/envoy/config/core/v3/base_pb.js'
import {
  type ClusterStats,
  ClusterStats_DroppedRequestsSchema,
  ClusterStatsSchema,
  type EndpointLoadMetricStats,
  EndpointLoadMetricStatsSchema,
  type UpstreamEndpointStats,
  UpstreamEndpointStatsSchema,
  type UpstreamLocalityStats,
  UpstreamLocalityStatsSchema,
} from '../gen/envoy/config/endpoint/v3/load_report_pb.js'
import { LoadStatsRequestSchema, type LoadStatsResponse, LoadStatsResponseSchema } from '../gen/envoy/service/load_stats/v3/lrs_pb.js'
import type { ClusterLoad, EndpointLoad, LoadMetric, LocalityLoad, ReportTerms, RequestLoad } from './load-report.js'

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
  const intervalMs = loadReportingInterval === undefined ? 0 : millisOf(loadReportingInterval)
  if (intervalMs < MIN_INTERVAL_MS) return refused('load_reporting_interval', `${intervalMs} ms is shorter than ${MIN_INTERVAL_MS} ms`)
  return { ok: true, terms: { clusters: sendAllClusters ? 'all' : clusters, intervalMs, perEndpoint: reportEndpointGranularity } }
}

function refused(path: string, reason: string): ReadTerms {
  return { ok: false, error: { path, reason } }
}

export function writeReport(node: Node, clusters: readonly ClusterLoad[]): Buffer {
  const bytes = toBinary(LoadStatsRequestSchema, create(LoadStatsRequestSchema, { node, clusterStats: clusters.map(clusterMessage) }))
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function clusterMessage({ name, serviceName, localities, dropped, droppedByCategory, intervalMs }: ClusterLoad): ClusterStats {
  return create(ClusterStatsSchema, {
    clusterName: name,
    clusterServiceName: serviceName,
    upstreamLocalityStats: localities.map(localityMessage),
    totalDroppedRequests: BigInt(dropped),
    droppedRequests: droppedByCategory.map(({ category, count }) =>
      create(ClusterStats_DroppedRequestsSchema, { category, droppedCount: BigInt(count) }),
    ),
    loadReportInterval: durationOf(intervalMs),
  })
}

function localityMessage(load: LocalityLoad): UpstreamLocalityStats {
  const { locality, priority, endpoints, metrics } = load
  return create(UpstreamLocalityStatsSchema, {
    // Present even where it says nothing, as in Envoy's.
    locality: create(LocalitySchema, locality),
    priority,
    ...requestFields(load),
    upstreamEndpointStats: endpoints.map(endpointMessage),
    loadMetricStats: metrics.map(metricMessage),
  })
}

function endpointMessage(load: EndpointLoad): UpstreamEndpointStats {
  return create(UpstreamEndpointStatsSchema, { address: addressMessage(load.address), ...requestFields(load) })
}

function requestFields({ successes, errors, active, issued }: RequestLoad) {
  return {
    totalSuccessfulRequests: BigInt(successes),
    totalErrorRequests: BigInt(errors),
    totalRequestsInProgress: BigInt(active),
    totalIssuedRequests: BigInt(issued),
  }
}

function metricMessage({ name, count }: LoadMetric): EndpointLoadMetricStats {
  return create(EndpointLoadMetricStatsSchema, { metricName: name, numRequestsFinishedWithMetric: BigInt(count), totalMetricValue: count })
}

function addressMessage(address: Address) {
  if (address.kind === 'pipe') return create(AddressSchema, { address: { case: 'pipe', value: { path: address.path } } })
  const { host, port } = address
  return create(AddressSchema, {
    address: { case: 'socketAddress', value: { address: host, portSpecifier: { case: 'portValue', value: port } } },
  })
}

function durationOf(ms: number): Duration {
  const micros = Math.round(ms * 1000)
  const seconds = Math.floor(micros / 1_000_000)
  return create(DurationSchema, { seconds: BigInt(seconds), nanos: (micros - seconds * 1_000_000) * 1000 })
}

function millisOf({ seconds, nanos }: Duration): number {
  return Number(seconds) * 1000 + Math.floor(nanos / 1_000_000)
}
