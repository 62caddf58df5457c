// A mesh of which nothing is reported: every rollout that is to be judged by traffic is held, and goes back.
import type { TrafficReader, TrafficTotals } from '../traffic/traffic.js'

const NOTHING: TrafficTotals = {
  requests: 0,
  failures: 0,
  requestsPerSecond: 0,
  successRate: null,
  p50: null,
  p90: null,
  p99: null,
  active: 0,
}

export const NO_TRAFFIC: TrafficReader = {
  edges: () => [],
  inbound: () => [],
  series: () => [],
  totals: () => NOTHING,
  newestReport: 0,
}
