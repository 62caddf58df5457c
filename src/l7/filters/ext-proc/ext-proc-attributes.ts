// What an external processor is told of a request beside its messages (request_attributes, response_attributes): CEL expressions and their
// values, sent with the first message of each direction. Compiled by compiled-ext-proc.ts.

import { fromByteString } from '../../codec/byte-string.js'
import { compileCelValues } from '../../match/cel-test.js'
import { celText } from '../../match/cel-text.js'
import type { StreamInfo } from '../../stream/stream-info.js'

export type Attributes = Readonly<Record<string, string | number | boolean>>

/** Null: none are asked for. */
export function compileAttributes(expressions: readonly string[]): ((info: StreamInfo) => Attributes) | null {
  if (expressions.length === 0) return null
  const valuesOf = compileCelValues(expressions)
  return info => {
    const attributes: Record<string, string | number | boolean> = {}
    for (const [text, value] of valuesOf(info.connection, info)) {
      const attribute = attributeOf(value)
      if (attribute !== undefined) attributes[text] = attribute
    }
    return attributes
  }
}

/** As Envoy: whole numbers and booleans as such, everything else as the text that it is printed as. */
function attributeOf(value: unknown): string | number | boolean | undefined {
  if (typeof value === 'boolean') return value
  if (typeof value === 'bigint') return Number(value)
  // An unsigned integer of the CEL library's.
  const plain = typeof value === 'object' ? value?.valueOf() : undefined
  if (typeof plain === 'bigint') return Number(plain)
  const text = celText(value)
  return text === undefined ? undefined : fromByteString(text)
}
