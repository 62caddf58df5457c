// Order statistics of the bench. A quartile is taken without interpolation, so that every figure shown was measured.

export const sorted = values => [...values].sort((a, b) => a - b)

/** The value at quantile `q` (0..1) of sorted values; NaN of none. */
export function quantile(ordered, q) {
  if (ordered.length === 0) return Number.NaN
  return ordered[Math.min(ordered.length - 1, Math.floor(ordered.length * q))]
}

/** `{median, low, high}`: the middle and the quartiles around it. */
export function spread(values) {
  const ordered = sorted(values.filter(value => value !== undefined && !Number.isNaN(value)))
  return { median: quantile(ordered, 0.5), low: quantile(ordered, 0.25), high: quantile(ordered, 0.75) }
}

/** Latencies in ms as the rows report them. */
export function percentiles(latencies) {
  const ordered = sorted(latencies)
  return { p50Ms: quantile(ordered, 0.5), p99Ms: quantile(ordered, 0.99), p999Ms: quantile(ordered, 0.999), maxMs: ordered.at(-1) }
}
