// Fields of Envoy 1.40 that are younger than the .proto files we generate from. On the wire they arrive as unknown fields; in JSON
// they would be refused by name. This table lets json-message.ts store them as unknown fields and the decoders read them from both.

import type { Message } from '@bufbuild/protobuf'
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire'

interface NewerField {
  readonly no: number
  readonly kind: 'bool' | 'boolValue' | 'uint32Value'
}

const NEWER_FIELDS: Readonly<Record<string, Readonly<Record<string, NewerField>>>> = {
  'envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext': {
    auto_host_sni: { no: 6, kind: 'bool' },
    auto_sni_san_validation: { no: 7, kind: 'bool' },
  },
  'envoy.config.core.v3.HttpProtocolOptions': {
    max_response_headers_kb: { no: 7, kind: 'uint32Value' },
  },
  'envoy.config.route.v3.WeightedCluster': {
    use_hash_policy: { no: 5, kind: 'boolValue' },
  },
}

/** The table's entry for a JSON key in either spelling. */
export function newerField(typeName: string, key: string): NewerField | undefined {
  const fields = NEWER_FIELDS[typeName]
  if (fields === undefined) return undefined
  return fields[key] ?? fields[key.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`)]
}

/** The JSON value as an unknown field of `message`; false when it is of the wrong type. */
export function setNewerField(message: Message, field: NewerField, value: unknown): boolean {
  const number = field.kind === 'uint32Value' ? value : value === true ? 1 : value === false ? 0 : undefined
  if (typeof number !== 'number' || !Number.isInteger(number) || number < 0 || number > 0xffff_ffff) return false
  const writer = new BinaryWriter()
  if (field.kind === 'bool') writer.uint32(number)
  else writer.bytes(new BinaryWriter().tag(1, WireType.Varint).uint32(number).finish())
  message.$unknown ??= []
  message.$unknown.push({
    no: field.no,
    wireType: field.kind === 'bool' ? WireType.Varint : WireType.LengthDelimited,
    data: writer.finish(),
  })
  return true
}

/** The field's number (1 and 0 for booleans), or null when it is not set. The last occurrence counts, as for every scalar. */
export function readNewerField(message: Message | undefined, name: string): number | null {
  const field = message === undefined ? undefined : newerField(message.$typeName, name)
  const unknown = field === undefined ? undefined : message?.$unknown?.findLast(candidate => candidate.no === field.no)
  if (field === undefined || unknown === undefined) return null
  try {
    const reader = new BinaryReader(unknown.data)
    if (field.kind === 'bool') return unknown.wireType === WireType.Varint ? reader.uint32() : null
    if (unknown.wireType !== WireType.LengthDelimited) return null
    const inner = new BinaryReader(reader.bytes())
    let value = 0
    while (inner.pos < inner.len) {
      const [no, wireType] = inner.tag()
      if (no === 1 && wireType === WireType.Varint) value = inner.uint32()
      else inner.skip(wireType, no)
    }
    return value
  } catch {
    return null // malformed bytes in an unknown field are as good as none
  }
}

/** How many of a message's unknown fields are really unknown. */
export function countUnknown(message: Message): number {
  if (message.$unknown === undefined) return 0
  const known = NEWER_FIELDS[message.$typeName]
  if (known === undefined) return message.$unknown.length
  const numbers = new Set(Object.values(known).map(field => field.no))
  return message.$unknown.filter(field => !numbers.has(field.no)).length
}
