// What a descriptor (google/protobuf/descriptor.proto) declares, found in its bytes without decoding them: names, and a slice of bytes for each
// message, enum and service. Called by lazy-descriptors.ts, which decodes a slice when somebody asks what is in it.

/** Numbers of the fields that are looked at. `name` is the first of messages, enums, services and files alike. */
const NAME = 1
const FILE = { package: 2, message: 4, enum: 5, service: 6, extension: 7, syntax: 12 } as const
const MESSAGE = { nested: 3, enum: 4, options: 7 } as const
const OPTIONS_MAP_ENTRY = 7
const PROTO2 = 'proto2'

const VARINT = 0
const FIXED64 = 1
const LENGTH_DELIMITED = 2
const FIXED32 = 5

/** A message, enum or service, by the bytes of its descriptor. Most are never asked for: nothing is made of them before. */
export class Declaration {
  private readonly file: Uint8Array
  private readonly from: number
  private readonly to: number
  private ownName: string | null

  constructor(file: Uint8Array, from: number, to: number) {
    this.file = file
    this.from = from
    this.to = to
    this.ownName = null
  }

  get bytes(): Uint8Array {
    return this.file.subarray(this.from, this.to)
  }

  get name(): string {
    this.ownName ??= textOf(this.file, NAME, this.from, this.to)
    return this.ownName
  }
}

export interface FileParts {
  readonly name: string
  readonly package: string
  readonly syntax: string
  readonly messages: readonly Declaration[]
  readonly enums: readonly Declaration[]
  readonly services: readonly Declaration[]
  /** Whole descriptors. */
  readonly extensions: readonly Uint8Array[]
}

export interface MessageParts {
  /** Those with a name of their own: not the entries of maps. */
  readonly messages: readonly Declaration[]
  readonly enums: readonly Declaration[]
  /** The descriptor without these. */
  readonly rest: Uint8Array
}

/**
 * A walk over the fields of a part of `bytes`, without an object for each: a start walks over thousands, before V8 has compiled anything.
 * `next` is false at the end; then `no` is the field's number, and `from` and `to` are where its value is if that has a length, else `to` is 0.
 */
class FieldWalk {
  private readonly bytes: Uint8Array
  private readonly end: number
  /** The end of the field: where the next one begins. */
  at: number
  no: number
  from: number
  to: number

  constructor(bytes: Uint8Array, at: number, end: number) {
    this.bytes = bytes
    this.end = end
    this.at = at
    this.no = 0
    this.from = 0
    this.to = 0
  }

  next(): boolean {
    if (this.at >= this.end) return false
    const tag = this.varint()
    this.no = tag >>> 3
    this.to = 0
    const wireType = tag & 7
    if (wireType === LENGTH_DELIMITED) {
      const length = this.varint()
      this.from = this.at
      this.to = this.at + length
      this.at = this.to
    } else if (wireType === VARINT) this.varint()
    else if (wireType === FIXED64) this.at += 8
    else if (wireType === FIXED32) this.at += 4
    else throw new Error(`a descriptor with wire type ${wireType}`)
    return true
  }

  /** Of numbers beyond 32 bits, which no tag and no length are, only where they end is right. */
  private varint(): number {
    let value = 0
    for (let shift = 0; ; shift += 7) {
      const byte = this.bytes[this.at++] ?? 0
      value |= (byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
  }
}

const text = (bytes: Uint8Array, from: number, to: number): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from).toString('utf8')

function textOf(bytes: Uint8Array, no: number, from: number, to: number): string {
  const walk = new FieldWalk(bytes, from, to)
  while (walk.next()) if (walk.no === no) return text(bytes, walk.from, walk.to)
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
    extensions: [] as Uint8Array[],
  }
  const walk = new FieldWalk(bytes, 0, bytes.length)
  while (walk.next()) {
    const { no, from, to } = walk
    if (no === NAME) parts.name = text(bytes, from, to)
    else if (no === FILE.package) parts.package = text(bytes, from, to)
    else if (no === FILE.message) parts.messages.push(new Declaration(bytes, from, to))
    else if (no === FILE.enum) parts.enums.push(new Declaration(bytes, from, to))
    else if (no === FILE.service) parts.services.push(new Declaration(bytes, from, to))
    else if (no === FILE.extension) parts.extensions.push(bytes.subarray(from, to))
    else if (no === FILE.syntax) parts.syntax = text(bytes, from, to)
  }
  return parts
}

export function readMessage(bytes: Uint8Array): MessageParts {
  const messages: Declaration[] = []
  const enums: Declaration[] = []
  const rest: Uint8Array[] = []
  const walk = new FieldWalk(bytes, 0, bytes.length)
  let restFrom = 0
  let fieldFrom = 0
  while (walk.next()) {
    const { no, from, to } = walk
    const isMessage = no === MESSAGE.nested && !isMapEntry(bytes, from, to)
    if (isMessage || no === MESSAGE.enum) {
      ;(isMessage ? messages : enums).push(new Declaration(bytes, from, to))
      rest.push(bytes.subarray(restFrom, fieldFrom))
      restFrom = walk.at
    }
    fieldFrom = walk.at
  }
  if (rest.length === 0) return { messages, enums, rest: bytes }
  rest.push(bytes.subarray(restFrom))
  return { messages, enums, rest: Buffer.concat(rest) }
}

function isMapEntry(bytes: Uint8Array, from: number, to: number): boolean {
  const walk = new FieldWalk(bytes, from, to)
  while (walk.next()) {
    if (walk.no !== MESSAGE.options) continue
    const options = new FieldWalk(bytes, walk.from, walk.to)
    while (options.next()) if (options.no === OPTIONS_MAP_ENTRY) return true
  }
  return false
}
