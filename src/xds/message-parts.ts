// Takes one repeated field out of a serialised message, so that its items can be parsed one at a time and in turns of the event loop: a table of
// ten thousand routes, a response of five thousand clusters. Called by the decoders of route tables and of discovery responses.

import { BinaryReader, WireType } from '@bufbuild/protobuf/wire'
import type { Steps } from '../io/slices.js'

/** The values of the repeated message field `number`, and the bytes of all the others. Throws where the bytes are no message. */
export function* takeOut(bytes: Uint8Array, number: number): Steps<{ readonly items: Uint8Array[]; readonly rest: Uint8Array }> {
  const items: Uint8Array[] = []
  const others: Uint8Array[] = []
  const reader = new BinaryReader(bytes)
  while (reader.pos < reader.len) {
    const start = reader.pos
    const [field, wireType] = reader.tag()
    if (field === number && wireType === WireType.LengthDelimited) items.push(reader.bytes())
    else {
      reader.skip(wireType, field)
      others.push(bytes.subarray(start, reader.pos))
    }
    yield
  }
  return { items, rest: Buffer.concat(others) }
}
