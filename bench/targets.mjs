// What each row is to reach, as Envoy's figure divided by ours: at least this, by the figure that the row compares (CPU, p99, memory, time).
// Used by chart.mjs, which writes the table of docs/performance.md.
export const TARGETS = {
  http1: 2.1,
  'http1-1000-routes': 2.0,
  'http1-post': 2.0,
  'http1-64k': 1.2,
  'http1-mtls-pair': 1.8,
  'http1-mesh': 2.8,
  http2: 3.2,
  'http1-to-http2': 1.5,
  'grpc-unary': 3.2,
  'http2-mtls-pair': 3.2,
  'grpc-mtls-pair': 2.8,
  websocket: 1.3,
  'tcp-mtls-bulk': 0.6,
  'mtls-connect': 0.45,
  'rbac-10000': 1.4,
  start: 1 / 3,
  'latency-1000rps': 1.0,
  churn: 1.0,
  'idle-10000': 1.0,
  'clusters-100': 1.0,
  'clusters-1000': 1.0,
  'clusters-5000': 1.0,
}

/** Rows that are to keep this figure at most, whatever Envoy's is. */
export const MOST_P99_MS = {
  'apply-clusters-1000': 25,
  'apply-clusters-5000': 25,
  'apply-clusters-removed': 25,
  'apply-routes-10000': 25,
  'apply-hosts-10000': 25,
}
