// Records of access logs to OpenTelemetry (opentelemetry.proto.logs.v1) in wire format: body and attributes are templates whose strings
// hold `%COMMAND%` operators. Compiled once a log; used by open-access-log and otlp-access-log.

import type { OtlpLogTarget, OtlpTemplate } from '../../model/access-log.js'
import type { JsonValue } from '../../model/metadata.js'
import { toByteString } from '../codec/byte-string.js'
import { compileCustomTags } from '../format/custom-tag.js'
import { compileTextFormat } from '../format/header-format.js'
import { ProtobufWriter } from '../grpc/protobuf-writer.js'
import { type Attributes, unixNanos, writeAnyValue, writeAttributes, writeKeyValue } from '../otlp/otlp-values.js'
import type { StreamInfo } from '../stream/stream-info.js'

type Filled = (info: StreamInfo) => JsonValue

function compileTemplate(template: OtlpTemplate): Filled {
  if (typeof template === 'string') {
    const compiled = compileTextFormat(template)
    return compiled.ok ? compiled.format : () => ''
  }
  if (template.kind === 'list') {
    const items = template.items.map(compileTemplate)
    return info => items.map(item => item(info))
  }
  const entries = template.entries.map(([key, value]) => [toByteString(key), compileTemplate(value)] as const)
  return info => Object.fromEntries(entries.map(([key, value]) => [key, value(info)]))
}

export function compileLogRecord(target: OtlpLogTarget): (info: StreamInfo) => Buffer {
  const body = target.body === null ? null : compileTemplate(target.body)
  const attributes = target.attributes.map(([key, value]) => [toByteString(key), compileTemplate(value)] as const)
  const tags = compileCustomTags(target.customTags)
  return info => {
    const writer = new ProtobufWriter()
    writer.fixed64(1, unixNanos(info.startTimeMs))
    if (body !== null) writer.message(5, inner => writeAnyValue(inner, body(info)))
    for (const [key, value] of attributes) writeKeyValue(writer, 6, key, value(info))
    for (const tag of tags) {
      const value = tag.value(info)
      if (value !== undefined && value !== '') writeKeyValue(writer, 6, tag.name, value)
    }
    const { trace } = info
    if (trace !== null && trace.traceId !== '') {
      writer.bytes(9, Buffer.from(trace.traceId.padStart(32, '0'), 'hex')).bytes(10, Buffer.from(trace.spanId, 'hex'))
    }
    return writer.finish()
  }
}

/** ExportLogsServiceRequest. */
export function encodeLogs(records: readonly Buffer[], resource: Attributes): Buffer {
  const writer = new ProtobufWriter()
  writer.message(1, resourceLogs => {
    resourceLogs.message(1, inner => writeAttributes(inner, 1, resource))
    resourceLogs.message(2, scopeLogs => {
      for (const record of records) scopeLogs.bytes(2, record)
    })
  })
  return writer.finish()
}
