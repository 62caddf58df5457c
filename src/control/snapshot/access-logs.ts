// Access loggers from proxy-defaults `AccessLogs`, with Consul's names and default keys. Used by the listener
// and HTTP connection manager builders.
import type { JsonObject } from '@bufbuild/protobuf'
import type { Any } from '@bufbuild/protobuf/wkt'
import type { AccessLogSchema } from '../../xds/gen/envoy/config/accesslog/v3/accesslog_pb.js'
import type { SubstitutionFormatStringSchema } from '../../xds/gen/envoy/config/core/v3/substitution_format_string_pb.js'
import { FileAccessLogSchema } from '../../xds/gen/envoy/extensions/access_loggers/file/v3/file_pb.js'
import { StderrAccessLogSchema, StdoutAccessLogSchema } from '../../xds/gen/envoy/extensions/access_loggers/stream/v3/stream_pb.js'
import { isObject } from '../config-entries/field-reader.js'
import type { AccessLogs } from '../config-entries/types.js'
import { type Init, inlineString, pack } from './protobuf.js'

export type AccessLogInit = Init<typeof AccessLogSchema>

const DEFAULT_JSON: JsonObject = {
  start_time: '%START_TIME%',
  route_name: '%ROUTE_NAME%',
  method: '%REQ(:METHOD)%',
  path: '%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%',
  protocol: '%PROTOCOL%',
  response_code: '%RESPONSE_CODE%',
  response_flags: '%RESPONSE_FLAGS%',
  response_code_details: '%RESPONSE_CODE_DETAILS%',
  connection_termination_details: '%CONNECTION_TERMINATION_DETAILS%',
  bytes_received: '%BYTES_RECEIVED%',
  bytes_sent: '%BYTES_SENT%',
  duration: '%DURATION%',
  upstream_service_time: '%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%',
  x_forwarded_for: '%REQ(X-FORWARDED-FOR)%',
  user_agent: '%REQ(USER-AGENT)%',
  request_id: '%REQ(X-REQUEST-ID)%',
  authority: '%REQ(:AUTHORITY)%',
  upstream_host: '%UPSTREAM_HOST%',
  upstream_cluster: '%UPSTREAM_CLUSTER%',
  upstream_local_address: '%UPSTREAM_LOCAL_ADDRESS%',
  downstream_local_address: '%DOWNSTREAM_LOCAL_ADDRESS%',
  downstream_remote_address: '%DOWNSTREAM_REMOTE_ADDRESS%',
  requested_server_name: '%REQUESTED_SERVER_NAME%',
  upstream_transport_failure_reason: '%UPSTREAM_TRANSPORT_FAILURE_REASON%',
}

/** Loggers of the listener itself: connections that found no filter chain. */
export function listenerAccessLogs(logs: AccessLogs | undefined): AccessLogInit[] {
  if (logs?.Enabled !== true || logs.DisableListenerLogs === true) return []
  const filter: AccessLogInit['filter'] = { filterSpecifier: { case: 'responseFlagFilter', value: { flags: ['NR'] } } }
  return [{ name: 'Consul Listener Log', filter, configType: { case: 'typedConfig', value: sink(logs) } }]
}

/** Loggers of the HTTP connection manager or TCP proxy. */
export function filterAccessLogs(logs: AccessLogs | undefined): AccessLogInit[] {
  if (logs?.Enabled !== true) return []
  return [{ name: 'Consul Listener Filter Log', configType: { case: 'typedConfig', value: sink(logs) } }]
}

function sink(logs: AccessLogs): Any {
  const accessLogFormat = { case: 'logFormat' as const, value: format(logs) }
  switch (logs.Type) {
    case 'file':
      return pack(FileAccessLogSchema, { path: logs.Path ?? '', accessLogFormat })
    case 'stderr':
      return pack(StderrAccessLogSchema, { accessLogFormat })
    default:
      return pack(StdoutAccessLogSchema, { accessLogFormat })
  }
}

function format(logs: AccessLogs): Init<typeof SubstitutionFormatStringSchema> {
  if (logs.TextFormat) {
    const text = logs.TextFormat.endsWith('\n') ? logs.TextFormat : `${logs.TextFormat}\n`
    return { format: { case: 'textFormatSource', value: inlineString(text) } }
  }
  return { format: { case: 'jsonFormat', value: customJson(logs.JSONFormat) ?? DEFAULT_JSON } }
}

function customJson(text: string | undefined): JsonObject | undefined {
  if (!text) return undefined
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) ? (value as JsonObject) : undefined
  } catch {
    return undefined
  }
}
