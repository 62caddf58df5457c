// OpenTelemetry's common messages in wire format (opentelemetry.proto.common.v1, resource.v1), as spans and log records hold them. Texts
// are byte strings and leave as UTF-8.

import type { JsonValue } from '../../model/metadata.js'
import { fromByteString } from '../codec/byte-string.js'
import type { ProtobufWriter } from '../grpc/protobuf-writer.js'

export type Attributes = readonly (readonly [name: string, value: string])[]

/** AnyValue: empty where there is nothing. */
export function writeAnyValue(writer: ProtobufWriter, value: JsonValue | undefined): void {
  if (value === undefined || value === null) return
  if (typeof value === 'string') writer.bytes(1, Buffer.from(fromByteString(value), 'utf8'))
  else if (typeof value === 'boolean') writer.bool(2, value)
  else if (typeof value === 'number') {
    if (Number.isSafeInteger(value) && value >= 0) writer.member(3, value)
    else writer.double(4, value)
  } else if (Array.isArray(value)) {
    writer.message(5, list => {
      for (const item of value as readonly JsonValue[]) list.message(1, inner => writeAnyValue(inner, item))
    })
  } else {
    writer.message(6, list => {
      for (const [key, item] of Object.entries(value)) writeKeyValue(list, 1, key, item)
    })
  }
}

export function writeKeyValue(writer: ProtobufWriter, field: number, key: string, value: JsonValue | undefined): void {
  writer.message(field, pair => pair.string(1, fromByteString(key)).message(2, any => writeAnyValue(any, value)))
}

export function writeAttributes(writer: ProtobufWriter, field: number, attributes: Attributes): void {
  for (const [name, value] of attributes) writeKeyValue(writer, field, name, value)
}

/** Milliseconds since the epoch as nanoseconds; fractions of a millisecond to the microsecond, which is as far as a double carries. */
export function unixNanos(ms: number): bigint {
  return BigInt(Math.round(ms * 1000)) * 1000n
}
