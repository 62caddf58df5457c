// Load reports as the control plane reads them: of each cluster the sums that it keeps, taken out of the bytes of a LoadStatsRequest without
// making the message (with 1,000 sidecars the generated decoder is most of what reports cost). Asked by control/grpc/load-report-service.ts,
// which has the node decoded by the schema. Invariant: what stands in it is what the schema would read; a message that is none gives nothing
// at all, and a reader holds no more than its largest usual report.
import { LATENCY_BOUNDS_MS, OWN_METRICS } from './load-report.js'
import { LENGTH_DELIMITED, ProtobufReader, VARINT } from './protobuf-reader.js'

/** Reused: good until the next report is read. */
export class ReportedCluster {
  name = ''
  /** `upstream_locality_stats` that it has; their sums are the following. */
  localities = 0
  successes = 0
  errors = 0
  active = 0
  issued = 0
  connectFailures = 0
  /** By circuit breakers and by drop_overloads. */
  dropped = 0
  /** For which there was no host. */
  unreached = 0
  /** Since the report before; -1: it does not say. */
  intervalMs = -1
  /** Finished requests by LATENCY_BOUNDS_MS: bucket, count, bucket, count. */
  readonly latencies: number[] = []

  clear(): void {
    this.name = ''
    this.localities = 0
    this.successes = 0
    this.errors = 0
    this.active = 0
    this.issued = 0
    this.connectFailures = 0
    this.dropped = 0
    this.unreached = 0
    this.intervalMs = -1
    this.latencies.length = 0
  }
}

/** Clusters that are kept for the next report; one with more is read as well. */
const KEPT_CLUSTERS = 1000
const LATENCY_PREFIX = Buffer.from(OWN_METRICS.latencyPrefix)
const CONNECT_FAILURES = Buffer.from(OWN_METRICS.connectFailures)
const UNREACHED = Buffer.from(OWN_METRICS.unreached)
/** Places of a metric in a report: below are the buckets of latencies. */
const CONNECT_FAILURES_METRIC = LATENCY_BOUNDS_MS.length + 1
const UNREACHED_METRIC = LATENCY_BOUNDS_MS.length + 2
const OTHER_METRIC = -1
const MAX_BUCKET_DIGITS = 2
const ZERO = 0x30
const NOTHING = Buffer.alloc(0)

/** Field numbers and wire types of envoy.service.load_stats.v3 and envoy.config.endpoint.v3. */
const CLUSTER_STATS = 8 * 2 + LENGTH_DELIMITED
const CLUSTER_NAME = 8 * 1 + LENGTH_DELIMITED
const UPSTREAM_LOCALITY_STATS = 8 * 2 + LENGTH_DELIMITED
const TOTAL_DROPPED = 8 * 3 + VARINT
const LOAD_REPORT_INTERVAL = 8 * 4 + LENGTH_DELIMITED
const SECONDS = 8 * 1 + VARINT
const NANOS = 8 * 2 + VARINT
const SUCCESSFUL = 8 * 2 + VARINT
const IN_PROGRESS = 8 * 3 + VARINT
const ERRORS = 8 * 4 + VARINT
const LOAD_METRIC_STATS = 8 * 5 + LENGTH_DELIMITED
const ISSUED = 8 * 8 + VARINT
const METRIC_NAME = 8 * 1 + LENGTH_DELIMITED
const METRIC_COUNT = 8 * 2 + VARINT

export class ReportReader {
  /** Clusters of the report that was read last. */
  count = 0
  private readonly reader = new ProtobufReader()
  private readonly kept: ReportedCluster[] = []
  /** Of the cluster that is read: an interval may come in parts. */
  private seconds = 0
  private nanos = 0

  /** Whether it is a LoadStatsRequest. */
  read(message: Buffer): boolean {
    const { reader, kept } = this
    this.count = 0
    kept.length = Math.min(kept.length, KEPT_CLUSTERS)
    try {
      const end = reader.begin(message)
      while (reader.at < end) {
        const tag = reader.tag()
        if (tag === CLUSTER_STATS) this.readCluster(reader.length(end))
        else reader.skip(tag, end)
      }
      return true
    } catch (error) {
      if (error instanceof RangeError) return false
      throw error
    } finally {
      reader.begin(NOTHING)
    }
  }

  cluster(i: number): ReportedCluster {
    return this.kept[i]!
  }

  private readCluster(end: number): void {
    const { reader } = this
    const cluster = this.next()
    this.seconds = 0
    this.nanos = 0
    while (reader.at < end) {
      const tag = reader.tag()
      if (tag === CLUSTER_NAME) cluster.name = reader.text(reader.length(end))
      else if (tag === UPSTREAM_LOCALITY_STATS) this.readLocality(cluster, reader.length(end))
      else if (tag === TOTAL_DROPPED) cluster.dropped = reader.unsigned()
      else if (tag === LOAD_REPORT_INTERVAL) this.readInterval(cluster, reader.length(end))
      else reader.skip(tag, end)
    }
    reader.stay(end)
  }

  private next(): ReportedCluster {
    const known = this.kept[this.count]
    const cluster = known ?? new ReportedCluster()
    if (known === undefined) this.kept.push(cluster)
    else cluster.clear()
    this.count++
    return cluster
  }

  private readInterval(cluster: ReportedCluster, end: number): void {
    const { reader } = this
    while (reader.at < end) {
      const tag = reader.tag()
      if (tag === SECONDS) this.seconds = reader.signed()
      else if (tag === NANOS) this.nanos = reader.signed()
      else reader.skip(tag, end)
    }
    reader.stay(end)
    cluster.intervalMs = Math.max(0, this.seconds * 1000 + this.nanos / 1e6)
  }

  private readLocality(cluster: ReportedCluster, end: number): void {
    const { reader } = this
    let successes = 0
    let errors = 0
    let active = 0
    let issued = 0
    while (reader.at < end) {
      const tag = reader.tag()
      if (tag === SUCCESSFUL) successes = reader.unsigned()
      else if (tag === ERRORS) errors = reader.unsigned()
      else if (tag === IN_PROGRESS) active = reader.unsigned()
      else if (tag === ISSUED) issued = reader.unsigned()
      else if (tag === LOAD_METRIC_STATS) this.readMetric(cluster, reader.length(end))
      else reader.skip(tag, end)
    }
    reader.stay(end)
    cluster.localities++
    cluster.successes += successes
    cluster.errors += errors
    cluster.active += active
    cluster.issued += issued
  }

  private readMetric(cluster: ReportedCluster, end: number): void {
    const { reader } = this
    let metric = OTHER_METRIC
    let count = 0
    while (reader.at < end) {
      const tag = reader.tag()
      if (tag === METRIC_NAME) metric = this.readMetricName(reader.length(end))
      else if (tag === METRIC_COUNT) count = reader.unsigned()
      else reader.skip(tag, end)
    }
    reader.stay(end)
    if (metric === CONNECT_FAILURES_METRIC) cluster.connectFailures += count
    else if (metric === UNREACHED_METRIC) cluster.unreached += count
    else if (metric !== OTHER_METRIC) cluster.latencies.push(metric, count)
  }

  /** Which of OWN_METRICS it is. */
  private readMetricName(end: number): number {
    const { reader } = this
    const from = reader.at
    reader.at = end
    if (reader.startsWith(LATENCY_PREFIX, from, end)) return this.readBucket(from + LATENCY_PREFIX.length, end)
    if (end - from === CONNECT_FAILURES.length && reader.startsWith(CONNECT_FAILURES, from, end)) return CONNECT_FAILURES_METRIC
    if (end - from === UNREACHED.length && reader.startsWith(UNREACHED, from, end)) return UNREACHED_METRIC
    return OTHER_METRIC
  }

  /** Buckets beyond those that are known here are not. */
  private readBucket(from: number, end: number): number {
    if (from === end || end - from > MAX_BUCKET_DIGITS) return OTHER_METRIC
    let bucket = 0
    for (let at = from; at < end; at++) {
      const digit = this.reader.byte(at) - ZERO
      if (digit < 0 || digit > 9) return OTHER_METRIC
      bucket = 10 * bucket + digit
    }
    return bucket > LATENCY_BOUNDS_MS.length ? OTHER_METRIC : bucket
  }
}
