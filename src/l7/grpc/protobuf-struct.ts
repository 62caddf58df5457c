// google.protobuf.Struct and Value between wire bytes and plain JSON values: dynamic metadata sent to and received from external
// services. Objects made here have no prototype: their keys come from the network. Used by ext-authz, rate-limit, header-to-metadata.

import type { JsonValue } from '../../model/metadata.js'
import { ProtobufReader, type ProtobufWriter } from './protobuf-writer.js'

/** Write a JSON value as google.protobuf.Value into `writer` (fields of Value). */
export function writeValue(writer: ProtobufWriter, value: unknown, depth = 0): void {
  if (depth > MAX_DEPTH) return
  if (typeof value === 'number') writer.double(2, value)
  else if (typeof value === 'string') writer.bytes(3, Buffer.from(value, 'utf8'))
  else if (typeof value === 'boolean') writer.bool(4, value)
  else if (Array.isArray(value)) {
    writer.message(6, list => {
      for (const item of value) list.message(1, inner => writeValue(inner, item, depth + 1))
    })
  } else if (typeof value === 'object' && value !== null)
    writer.message(5, struct => writeStruct(struct, value as Record<string, unknown>, depth + 1))
  else writer.bool(1, false)
}

/** Write the fields of google.protobuf.Struct. */
export function writeStruct(writer: ProtobufWriter, struct: Readonly<Record<string, unknown>>, depth = 0): void {
  for (const key of Object.keys(struct)) {
    writer.message(1, entry => entry.string(1, key).message(2, value => writeValue(value, struct[key], depth + 1)))
  }
}

/** Null when the bytes are not a Struct. */
export function readStruct(reader: ProtobufReader): Record<string, JsonValue> | null {
  const struct = Object.create(null) as Record<string, JsonValue>
  let field = reader.next()
  while (field !== 0) {
    if (field === 1) {
      const entry = reader.nested()
      let key = ''
      let value: JsonValue = null
      for (let part = entry.next(); part !== 0; part = entry.next()) {
        if (part === 1) key = entry.text()
        else if (part === 2) {
          const read = readValue(entry.nested())
          if (read === undefined) return null
          value = read
        }
      }
      if (entry.failed) return null
      struct[key] = value
    }
    field = reader.next()
  }
  return reader.failed ? null : struct
}

/** Undefined when the bytes are not a Value. */
export function readValue(reader: ProtobufReader): JsonValue | undefined {
  let value: JsonValue = null
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    switch (field) {
      case 2:
        value = reader.double
        break
      case 3:
        value = reader.text()
        break
      case 4:
        value = reader.value !== 0
        break
      case 5: {
        const struct = readStruct(reader.nested())
        if (struct === null) return undefined
        value = struct
        break
      }
      case 6: {
        const list = reader.nested()
        const items: JsonValue[] = []
        for (let item = list.next(); item !== 0; item = list.next()) {
          const read = item === 1 ? readValue(list.nested()) : null
          if (read === undefined) return undefined
          items.push(read)
        }
        if (list.failed) return undefined
        value = items
        break
      }
      default:
        value = null
    }
  }
  return reader.failed ? undefined : value
}

/** A Value in its own bytes. */
export function decodeValue(bytes: Buffer): JsonValue | undefined {
  return readValue(new ProtobufReader(bytes))
}

const MAX_DEPTH = 16
