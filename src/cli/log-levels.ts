// Envoy's log levels and loggers by name, and the control plane's levels. Apart from logger.ts and control-log.ts, because reading flags needs
// them and `--version` loads nothing else.

/** Envoy's levels, least severe first. */
export const LOG_LEVELS = ['trace', 'debug', 'info', 'warning', 'error', 'critical', 'off'] as const

/** pino's levels, and none. */
export const CONTROL_LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']

/** Envoy's loggers, as its /logging lists them. Those that nothing here writes to can be set all the same. */
export const LOG_COMPONENTS: ReadonlySet<string> = new Set(
  (
    'a2a admin ai_protocol_manager alternate_protocols_cache aws assert backtrace basic_auth cache_filter client config connection ' +
    'conn_handler compression credential_injector decompression dns dubbo envoy_bug ext_authz ext_proc rocketmq file filter forward_proxy ' +
    'geolocation grpc happy_eyeballs hc health_checker http http2 hystrix init io jwt json_rpc kafka key_value_store lua local_rate_limit ' +
    'main matcher mcp misc mongo multi_connection notification oauth2 quic quic_stream pool rate_limit_quota rbac rds redis router runtime ' +
    'stats secret sse tap testing thrift tracing upstream udp wasm websocket golang stats_sinks dynamic_modules ip_tagging'
  ).split(' '),
)
