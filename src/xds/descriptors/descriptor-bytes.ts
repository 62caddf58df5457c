// What a descriptor (google/protobuf/descriptor.proto) declares, found in its bytes without decoding them: names, and a slice of bytes for each
// message, enum and service. Called by lazy-descriptors.ts, which decodes a slice when somebody asks what is in it.
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire'

/** Numbers of the fields that are looked at. `name` is the first of messages, enums, services and files alike. */
const NAME = 1
const FILE = { package: 2, message: 4, enum: 5, service: 6, syntax: 12 } as const
const MESSAGE = { nested: 3, enum: 4, options: 7 } as const
const OPTIONS_MAP_ENTRY = 7
const PROTO2 = 'proto2'

/** A message, enum or service, by the bytes of its descriptor. */
export interface Declaration {
  readonly name: string
  readonly bytes: Uint8Array
}

export interface FileParts {
  readonly name: string
  readonly package: string
  readonly syntax: string
  readonly messages: readonly Declaration[]
  readonly enums: readonly Declaration[]
  readonly services: readonly Declaration[]
}

export interface MessageParts {
  /** Those with a name of their own: not the entries of maps. */
  readonly messages: readonly Declaration[]
  readonly enums: readonly Declaration[]
  /** The descriptor without these. */
  readonly rest: Uint8Array
}

/** Calls `each` for every field: its number, what is in it if that has a length, and where it begins and ends. */
function eachField(bytes: Uint8Array, each: (no: number, value: Uint8Array | null, from: number, to: number) => void): void {
  const reader = new BinaryReader(bytes)
  while (reader.pos < reader.len) {
    const from = reader.pos
    const [no, wireType] = reader.tag()
    let value: Uint8Array | null = null
    if (wireType === WireType.LengthDelimited) value = reader.bytes()
    else reader.skip(wireType, no)
    each(no, value, from, reader.pos)
  }
}

const text = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')

function declaration(bytes: Uint8Array): Declaration {
  const reader = new BinaryReader(bytes)
  while (reader.pos < reader.len) {
    const [no, wireType] = reader.tag()
    if (no === NAME) return { name: reader.string(), bytes }
    reader.skip(wireType, no)
  }
  throw new Error('a declaration without a name')
}

export function readFile(bytes: Uint8Array): FileParts {
  const parts = {
    name: '',
    package: '',
    syntax: PROTO2,
    messages: [] as Declaration[],
    enums: [] as Declaration[],
    services: [] as Declaration[],
  }
  eachField(bytes, (no, value) => {
    if (value === null) return
    if (no === NAME) parts.name = text(value)
    else if (no === FILE.package) parts.package = text(value)
    else if (no === FILE.message) parts.messages.push(declaration(value))
    else if (no === FILE.enum) parts.enums.push(declaration(value))
    else if (no === FILE.service) parts.services.push(declaration(value))
    else if (no === FILE.syntax) parts.syntax = text(value)
  })
  return parts
}

export function readMessage(bytes: Uint8Array): MessageParts {
  const messages: Declaration[] = []
  const enums: Declaration[] = []
  const rest: Uint8Array[] = []
  eachField(bytes, (no, value, from, to) => {
    if (no === MESSAGE.nested && value !== null && !isMapEntry(value)) messages.push(declaration(value))
    else if (no === MESSAGE.enum && value !== null) enums.push(declaration(value))
    else rest.push(bytes.subarray(from, to))
  })
  return { messages, enums, rest: messages.length + enums.length === 0 ? bytes : Buffer.concat(rest) }
}

function isMapEntry(message: Uint8Array): boolean {
  let found = false
  eachField(message, (no, options) => {
    if (no !== MESSAGE.options || options === null) return
    eachField(options, option => {
      if (option === OPTIONS_MAP_ENTRY) found = true
    })
  })
  return found
}
