// Spans as Zipkin's API v2 takes them: JSON, or protobuf (zipkin.proto3.ListOfSpans) in wire format. Used by the Zipkin tracer.

import { isIPv6 } from 'node:net'
import { fromByteString } from '../codec/byte-string.js'
import { ProtobufWriter } from '../grpc/protobuf-writer.js'
import { ipBytes } from '../match/cidr.js'
import type { Span } from './span.js'

const KIND_CLIENT = 1
const KIND_SERVER = 2
/** The moment that ends a span: `client receive`, `server send`. */
const END_OF = { client: 'cr', server: 'ss' } as const

export interface ZipkinEndpoint {
  readonly serviceName: string
  /** '' where the process has no address. */
  readonly address: string
}

const micros = (ms: number): number => Math.round(ms * 1000)
/** A span of no time would count as one that has not ended. */
const duration = (span: Span): number => Math.max(1, micros(span.endMs) - micros(span.startMs))

export function zipkinJson(spans: readonly Span[], endpoint: ZipkinEndpoint): Buffer {
  return Buffer.from(JSON.stringify(spans.map(span => jsonOf(span, endpoint))))
}

function jsonOf(span: Span, { serviceName, address }: ZipkinEndpoint): object {
  const { identity } = span
  return {
    traceId: identity.traceId,
    ...(identity.parentId === '' ? {} : { parentId: identity.parentId }),
    id: identity.id,
    kind: identity.kind === 'client' ? 'CLIENT' : 'SERVER',
    name: fromByteString(span.name),
    timestamp: micros(span.startMs),
    duration: duration(span),
    localEndpoint: { serviceName, ...(address === '' ? {} : { [isIPv6(address) ? 'ipv6' : 'ipv4']: address }), port: 0 },
    annotations: annotationsOf(span).map(({ name, atMs }) => ({ timestamp: micros(atMs), value: name })),
    tags: Object.fromEntries(span.tagNames.map((name, i) => [fromByteString(name), fromByteString(span.tagValues[i]!)])),
    ...(identity.shared ? { shared: true } : {}),
  }
}

function annotationsOf(span: Span) {
  return [...span.events, { name: END_OF[span.identity.kind], atMs: span.endMs }]
}

export function zipkinProto(spans: readonly Span[], endpoint: ZipkinEndpoint): Buffer {
  const writer = new ProtobufWriter()
  for (const span of spans) writer.message(1, inner => writeSpan(inner, span, endpoint))
  return writer.finish()
}

function writeSpan(writer: ProtobufWriter, span: Span, { serviceName, address }: ZipkinEndpoint): void {
  const { identity } = span
  writer.bytes(1, Buffer.from(identity.traceId, 'hex'))
  if (identity.parentId !== '') writer.bytes(2, Buffer.from(identity.parentId, 'hex'))
  writer.bytes(3, Buffer.from(identity.id, 'hex')).uint(4, identity.kind === 'client' ? KIND_CLIENT : KIND_SERVER)
  writer
    .string(5, fromByteString(span.name))
    .fixed64(6, BigInt(micros(span.startMs)))
    .uint(7, duration(span))
  writer.message(8, inner => {
    inner.string(1, serviceName)
    const bytes = address === '' ? null : ipBytes(address)
    if (bytes !== null) inner.bytes(isIPv6(address) ? 3 : 2, Buffer.from(bytes))
  })
  for (const { name, atMs } of annotationsOf(span)) writer.message(10, inner => inner.fixed64(1, BigInt(micros(atMs))).string(2, name))
  span.tagNames.forEach((name, i) => {
    writer.mapEntry(11, fromByteString(name), fromByteString(span.tagValues[i]!))
  })
  writer.uint(13, identity.shared ? 1 : 0)
}
