// What StatsStore keeps on every stat, whatever its kind: counters, gauges and texts (stat.ts) and histograms (histogram.ts) carry it.
// Invariant: only StatsStore and its groups write these fields.

/** Bookkeeping that every kind of stat carries for StatsStore. */
export interface StatState {
  /** Owners (scopes and groups) that keep the stat alive. */
  refs: number
  /** False for the sinks handed out for rejected or surplus names: writable, never shown. */
  exposed: boolean
  /** Counts by itself towards maxStats; false while a live group holds its name. */
  standalone: boolean
}
