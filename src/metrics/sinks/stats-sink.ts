// What a stats sink is given at each flush, and the contract of one. Snapshots are taken by StatsStore, sent by proxy/stats-flush.ts;
// statsd-sink.ts, metrics-service-sink.ts and open-telemetry-sink.ts implement it.
// Invariant: a flush never waits for whoever takes the stats; what cannot be sent now is dropped, and the next flush says the rest.

import type { Histogram } from '../histogram.js'
import type { Counter, Gauge } from '../stat.js'

/** Of the interval that has just ended: only what was ever touched. */
export interface FlushedStats {
  readonly counters: readonly { readonly counter: Counter; readonly delta: number }[]
  readonly gauges: readonly Gauge[]
  readonly histograms: readonly Histogram[]
}

export interface StatsSink {
  flush(stats: FlushedStats): void
  close(): void
}

/** A sink that is told each value of a histogram when it is recorded. */
export interface ValueSink extends StatsSink {
  value(histogram: Histogram, value: number): void
}
