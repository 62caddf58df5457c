// The .proto files that an Envoy executable was built from: their descriptors stand in it, one after another, as protoc wrote them. Found by
// the name that each begins with, and read to where a field follows that no file has. Used by the tests that compare our fields, and what is
// asked of them, with Envoy's.
import { readFileSync } from 'node:fs'
import { fromBinary } from '@bufbuild/protobuf'
import { type DescriptorProto, type FileDescriptorProto, FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt'

const SUFFIX = Buffer.from('.proto')
const NAME = /^(?:envoy|xds|udpa|opentelemetry)\/[a-z0-9_/.]+\.proto$/
const MAX_NAME = 130
/** Fields of FileDescriptorProto, in the order in which they are written; `syntax` is the last. */
const SYNTAX = 12
const BYTES = 2

/** Every message that the executable knows, by full name. */
export function envoyMessages(path: string): ReadonlyMap<string, DescriptorProto> {
  const executable = readFileSync(path)
  const messages = new Map<string, DescriptorProto>()
  const add = (message: DescriptorProto, scope: string): void => {
    const name = `${scope}.${message.name}`
    messages.set(name, message)
    for (const nested of message.nestedType) add(nested, name)
  }
  for (let at = executable.indexOf(SUFFIX); at !== -1; at = executable.indexOf(SUFFIX, at + 1)) {
    const file = fileNamed(executable, at + SUFFIX.length)
    for (const message of file?.messageType ?? []) add(message, file!.package)
  }
  return messages
}

/** The file whose name ends at `end`, if one begins with it. */
function fileNamed(executable: Buffer, end: number): FileDescriptorProto | null {
  for (let length = SUFFIX.length + 1; length < MAX_NAME; length++) {
    const start = end - length
    if (executable[start - 1] !== length || executable[start - 2] !== ((1 << 3) | BYTES)) continue
    const name = executable.toString('latin1', start, end)
    if (!NAME.test(name)) continue
    try {
      const file = fromBinary(FileDescriptorProtoSchema, executable.subarray(start - 2, endOf(executable, start - 2)))
      return file.name === name ? file : null
    } catch {
      return null
    }
  }
  return null
}

function endOf(bytes: Buffer, start: number): number {
  let at = start
  const varint = (): number => {
    let value = 0
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = bytes[at++]!
      value += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) break
    }
    return value
  }
  for (let last = 0; ; ) {
    const before = at
    const tag = varint()
    const field = tag >> 3
    if ((tag & 7) !== BYTES || field < last || field > SYNTAX) return before
    const length = varint()
    at += length
    if (field === SYNTAX) return at
    last = field
  }
}
