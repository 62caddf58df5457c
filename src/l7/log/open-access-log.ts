// An access log in use: what is written of a request or connection, and where to; lines to a file or stream, entries to a gRPC service,
// records to OpenTelemetry.
// Made by OpenLogs for each accepted listener version, called when a request or a connection ends.

import type { AccessLog, LogTarget, OtlpLogTarget } from '../../model/access-log.js'
import type { StreamInfo } from '../stream/stream-info.js'
import { type AccessLogOptions, compileAccessLog } from './access-log.js'
import type { LogSink } from './access-log-sink.js'
import type { GrpcLogger } from './grpc-access-log.js'
import { encodeLogEntry } from './grpc-log-entry.js'
import type { OtlpLogger } from './otlp-access-log.js'
import { compileLogRecord } from './otlp-log-record.js'

export interface OpenAccessLog {
  /** HOT: once a request. */
  record(info: StreamInfo): void
}

export interface LogPlaces {
  readonly sinks: { open(target: LogTarget): LogSink }
  readonly grpcLoggers: { open(target: Extract<AccessLog['sink'], { kind: 'grpc' }>): GrpcLogger }
  readonly otlpLoggers: { open(target: OtlpLogTarget): OtlpLogger }
}

export function openAccessLog(model: AccessLog, places: LogPlaces, options: AccessLogOptions): OpenAccessLog {
  const log = compileAccessLog(model, options)
  const { sink: target } = model
  if (target.kind === 'grpc') {
    const logger = places.grpcLoggers.open(target)
    return {
      record(info) {
        if (log.shouldLog(info)) logger.write(encodeLogEntry(target, info))
      },
    }
  }
  if (target.kind === 'opentelemetry') {
    const logger = places.otlpLoggers.open(target)
    const record = compileLogRecord(target)
    return {
      record(info) {
        if (log.shouldLog(info)) logger.write(record(info))
      },
    }
  }
  const sink = places.sinks.open(target)
  return {
    record(info) {
      if (log.shouldLog(info)) sink.write(log.format(info))
    },
  }
}

/** The logs of the listener itself, when a connection has ended. */
export function writeListenerLogs(logs: readonly OpenAccessLog[], info: StreamInfo): void {
  info.forListenerLog = true
  writeAccessLogs(logs, info)
  info.forListenerLog = false
}

/** One line or entry for each log that wants it. HOT: once a request. */
export function writeAccessLogs(logs: readonly OpenAccessLog[], info: StreamInfo): void {
  for (let i = 0; i < logs.length; i++) logs[i]!.record(info)
}
