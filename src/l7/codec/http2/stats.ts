// Counters of HTTP/2 connections, named as Envoy's (`http2.<name>` under its listener's or cluster's prefix).

export interface Http2Stats {
  dropped_headers_with_underscores: number
  requests_rejected_with_underscores_in_headers: number
  goaway_sent: number
  header_overflow: number
  inbound_empty_frames_flood: number
  inbound_priority_frames_flood: number
  inbound_window_update_frames_flood: number
  /** Ours: frames that are ignored, without end. */
  inbound_idle_frames_flood: number
  keepalive_timeout: number
  outbound_control_flood: number
  outbound_flood: number
  rx_messaging_error: number
  rx_reset: number
  stream_refused_errors: number
  /** A gauge, of what the connections' owners last said. */
  streams_active: number
  trailers: number
  tx_reset: number
  /** Envoy has it on the connection manager: `http.<stat_prefix>.downstream_rq_too_many_premature_resets`. */
  downstream_rq_too_many_premature_resets: number
}

export function newHttp2Stats(): Http2Stats {
  return {
    dropped_headers_with_underscores: 0,
    requests_rejected_with_underscores_in_headers: 0,
    goaway_sent: 0,
    header_overflow: 0,
    inbound_empty_frames_flood: 0,
    inbound_priority_frames_flood: 0,
    inbound_window_update_frames_flood: 0,
    inbound_idle_frames_flood: 0,
    keepalive_timeout: 0,
    outbound_control_flood: 0,
    outbound_flood: 0,
    rx_messaging_error: 0,
    rx_reset: 0,
    stream_refused_errors: 0,
    streams_active: 0,
    trailers: 0,
    tx_reset: 0,
    downstream_rq_too_many_premature_resets: 0,
  }
}
