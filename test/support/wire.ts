// Protobuf's wire form by field numbers, with nothing generated: what the strict fakes of other people's services read and write, so that they do
// not share a mistake with src/xds/gen.

export type WireValue = number | string | Buffer
/** `[field, value]`: text and bytes are length-delimited, numbers varints. */
export type WireField = readonly [field: number, value: WireValue]

export function encodeWire(...fields: readonly WireField[]): Buffer {
  return Buffer.concat(
    fields.flatMap(([field, value]) => {
      if (typeof value === 'number') return [varint(field << 3), varint(value)]
      const bytes = Buffer.from(value as Buffer)
      return [varint((field << 3) | 2), varint(bytes.length), bytes]
    }),
  )
}

/** By field, in order. Throws for wire types that these services have none of, and for torn messages. */
export function decodeWire(bytes: Buffer): Map<number, (number | Buffer)[]> {
  const fields = new Map<number, (number | Buffer)[]>()
  let at = 0
  const read = (): number => {
    let value = 0
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++]
      if (byte === undefined) throw new Error('torn')
      value += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) return value
    }
  }
  while (at < bytes.length) {
    const key = read()
    const type = key & 7
    if (type !== 0 && type !== 2) throw new Error(`field ${key >> 3}: wire type ${type}`)
    const number = read()
    if (type === 2 && at + number > bytes.length) throw new Error('torn')
    const value = type === 0 ? number : bytes.subarray(at, (at += number))
    fields.set(key >> 3, [...(fields.get(key >> 3) ?? []), value])
  }
  return fields
}

/** google.protobuf.Struct of flat values. */
export function encodeStruct(values: Readonly<Record<string, string | boolean>>): Buffer {
  return encodeWire(
    ...Object.entries(values).map(([key, value]): WireField => {
      const wrapped: WireField = typeof value === 'string' ? [3, value] : [4, value ? 1 : 0]
      return [1, encodeWire([1, key], [2, encodeWire(wrapped)])]
    }),
  )
}

function varint(value: number): Buffer {
  const bytes: number[] = []
  let rest = value
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80)
  bytes.push(rest)
  return Buffer.from(bytes)
}
