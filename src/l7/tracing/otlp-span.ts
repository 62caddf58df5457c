// Spans as OTLP (opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest) in wire format. Used by the OpenTelemetry tracer.

import { fromByteString } from '../codec/byte-string.js'
import { ProtobufWriter } from '../grpc/protobuf-writer.js'
import { type Attributes, unixNanos, writeAttributes, writeKeyValue } from '../otlp/otlp-values.js'
import type { Span } from './span.js'

const SPAN_KIND_SERVER = 2
const SPAN_KIND_CLIENT = 3
const STATUS_ERROR = 2
/** SpanFlags: it is known whether the parent is of another process; and it is. */
const HAS_IS_REMOTE = 0x100
const IS_REMOTE = 0x200
const SAMPLED = 1
/** A server's own failures; a client's span fails with any status that is not OK. */
const SERVER_GRPC_ERRORS: ReadonlySet<string> = new Set(['2', '4', '12', '13', '14', '15'])

export function encodeTraces(
  spans: readonly Span[],
  resource: Attributes,
  scope: { readonly name: string; readonly version: string } | null,
): Buffer {
  const writer = new ProtobufWriter()
  writer.message(1, resourceSpans => {
    resourceSpans.message(1, inner => writeAttributes(inner, 1, resource))
    resourceSpans.message(2, scopeSpans => {
      if (scope !== null) scopeSpans.message(1, inner => inner.string(1, scope.name).string(2, scope.version))
      for (const span of spans) scopeSpans.message(2, inner => writeSpan(inner, span))
    })
  })
  return writer.finish()
}

function writeSpan(writer: ProtobufWriter, span: Span): void {
  const { identity } = span
  writer.bytes(1, Buffer.from(identity.traceId, 'hex')).bytes(2, Buffer.from(identity.id, 'hex'))
  writer.string(3, identity.traceState)
  if (identity.parentId !== '') writer.bytes(4, Buffer.from(identity.parentId, 'hex'))
  writer.string(5, fromByteString(span.name)).uint(6, identity.kind === 'client' ? SPAN_KIND_CLIENT : SPAN_KIND_SERVER)
  writer.fixed64(7, unixNanos(span.startMs)).fixed64(8, unixNanos(span.endMs))
  span.tagNames.forEach((name, i) => {
    writeKeyValue(writer, 9, name, span.tagValues[i]!)
  })
  for (const { name, atMs } of span.events) writer.message(11, event => event.fixed64(1, unixNanos(atMs)).string(2, name))
  if (isError(span)) writer.message(15, status => status.uint(3, STATUS_ERROR))
  writer.fixed32(16, SAMPLED | HAS_IS_REMOTE | (identity.parentIsRemote ? IS_REMOTE : 0))
}

function isError(span: Span): boolean {
  const grpc = span.tagged('grpc.status_code')
  if (grpc !== undefined && (span.identity.kind === 'client' ? grpc !== '0' : SERVER_GRPC_ERRORS.has(grpc))) return true
  return Number(span.tagged('http.status_code') ?? 0) >= 500
}
