// Syntax check of Envoy's `%COMMAND(arg):length%` format strings, wherever config carries one: access logs, header values,
// local reply bodies. Called by values.ts and access-log.ts. The text itself travels in the model; the runtime compiles it.

import type { Ctx } from './field-path.js'

/** One command: name, optional `(arguments)`, optional `:length`. */
const COMMAND = /%(?:%|([A-Z][A-Z0-9_]*)(\((?:[^()]|\([^()]*\))*\))?(?::(\d+))?%)/y

const COMMAND_PREFIXES = [
  'DOWNSTREAM_',
  'UPSTREAM_',
  'RESPONSE_',
  'REQUEST_',
  'CONNECTION_',
  'TRACE_',
  'TLS_',
  'QUERY_',
  'VIRTUAL_',
  'CUSTOM_',
  'COMMON_',
]
const COMMANDS = new Set(
  (
    'REQ RESP TRAILER START_TIME START_TIME_LOCAL EMIT_TIME EMIT_TIME_LOCAL BYTES_RECEIVED BYTES_SENT PROTOCOL DURATION ROUTE_NAME ' +
    'DYNAMIC_METADATA CLUSTER_METADATA FILTER_STATE METADATA HOSTNAME LOCAL_REPLY_BODY FILTER_CHAIN_NAME GRPC_STATUS GRPC_STATUS_NUMBER ' +
    'PER_REQUEST_STATE ENVIRONMENT STREAM_ID UNIQUE_ID ACCESS_LOG_TYPE REQ_WITHOUT_QUERY PATH HEADER_BYTES CEL ' +
    'ROUNDTRIP_DURATION BYTES_RETRANSMITTED PACKETS_RETRANSMITTED FIRST_DOWNSTREAM_TX_BYTE_TIME LAST_DOWNSTREAM_TX_BYTE_TIME ' +
    'REQUESTED_SERVER_NAME CLUSTER_NAME BACKEND_DETAILS ROUTE_METADATA LISTENER_METADATA SPAN_ID'
  ).split(' '),
)

/** Reports a `%` that opens no command, and commands that Envoy does not have. */
export function checkFormat(text: string, ctx: Ctx): void {
  let index = text.indexOf('%')
  while (index !== -1) {
    COMMAND.lastIndex = index
    const match = COMMAND.exec(text)
    if (match === null) {
      ctx.error(`format string has a '%' at offset ${index} that begins no %COMMAND% (write %% for a percent sign)`)
      return
    }
    const name = match[1]
    if (name !== undefined && !COMMANDS.has(name) && !COMMAND_PREFIXES.some(prefix => name.startsWith(prefix))) {
      ctx.error(`format string names the unknown command %${name}%`)
      return
    }
    index = text.indexOf('%', COMMAND.lastIndex)
  }
}
