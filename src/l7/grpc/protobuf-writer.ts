// The protobuf wire format, written and read by hand: the few messages that filters exchange with rate limit and authorisation
// services (and google.protobuf.Value in headers) are too small to carry a protobuf runtime into the data path.
// Used by rate-limit-messages.ts, ext-authz-grpc.ts, protobuf-struct.ts. The reader never throws: on malformed input `failed`
// becomes true and next() returns 0, so a caller checks once at the end.

const EMPTY = Buffer.alloc(0)
const INITIAL_BYTES = 256

export class ProtobufWriter {
  private buffer = Buffer.allocUnsafe(INITIAL_BYTES)
  private length = 0

  /** A string field; the default '' is not written (proto3). */
  string(field: number, value: string): this {
    if (value === '') return this
    const length = Buffer.byteLength(value)
    this.varint(field * 8 + 2)
    this.varint(length)
    this.reserve(length)
    this.length += this.buffer.write(value, this.length)
    return this
  }

  /** A bytes field of that Latin-1 text, written even when empty. */
  latin1(field: number, value: string): this {
    this.varint(field * 8 + 2)
    this.varint(value.length)
    this.reserve(value.length)
    this.length += this.buffer.latin1Write(value, this.length)
    return this
  }

  /** A length-delimited field, written even when empty. */
  bytes(field: number, value: Buffer): this {
    this.varint(field * 8 + 2)
    this.varint(value.length)
    this.reserve(value.length)
    value.copy(this.buffer, this.length)
    this.length += value.length
    return this
  }

  /** uint32, int64 ≥ 0, enum or bool; 0 is not written. Safe integers only. */
  uint(field: number, value: number): this {
    if (value === 0) return this
    this.varint(field * 8)
    this.varint(value)
    return this
  }

  /** A number that is written also when it is 0 (a oneof member). */
  member(field: number, value: number): this {
    this.varint(field * 8)
    this.varint(value)
    return this
  }

  double(field: number, value: number): this {
    this.varint(field * 8 + 1)
    this.reserve(8)
    this.buffer.writeDoubleLE(value, this.length)
    this.length += 8
    return this
  }

  /** fixed64, written also when it is 0. */
  fixed64(field: number, value: bigint): this {
    this.varint(field * 8 + 1)
    this.reserve(8)
    this.buffer.writeBigUInt64LE(value, this.length)
    this.length += 8
    return this
  }

  /** fixed32, written also when it is 0. */
  fixed32(field: number, value: number): this {
    this.varint(field * 8 + 5)
    this.reserve(4)
    this.buffer.writeUInt32LE(value, this.length)
    this.length += 4
    return this
  }

  /** A bool that is written also when false (a oneof member). */
  bool(field: number, value: boolean): this {
    this.varint(field * 8)
    this.varint(value ? 1 : 0)
    return this
  }

  message(field: number, write: (inner: ProtobufWriter) => void): this {
    const inner = new ProtobufWriter()
    write(inner)
    return this.bytes(field, inner.finish())
  }

  /** An entry of a map<string, string>. */
  mapEntry(field: number, key: string, value: string): this {
    return this.message(field, entry => entry.string(1, key).string(2, value))
  }

  finish(): Buffer {
    return this.buffer.subarray(0, this.length)
  }

  private varint(value: number): void {
    this.reserve(10)
    while (value >= 0x80) {
      this.buffer[this.length++] = (value % 0x80) | 0x80
      value = Math.floor(value / 0x80)
    }
    this.buffer[this.length++] = value
  }

  private reserve(bytes: number): void {
    if (this.length + bytes <= this.buffer.length) return
    const grown = Buffer.allocUnsafe(Math.max(this.buffer.length * 2, this.length + bytes))
    this.buffer.copy(grown, 0, 0, this.length)
    this.buffer = grown
  }
}

/** Messages nested deeper than this are not followed (a caller's recursion asks `nested`). */
export const MAX_PROTOBUF_DEPTH = 32
const MAX_VARINT_BYTES = 10

/** Walks the fields of one message: `while ((field = reader.next()) !== 0) …`; the value of the field is then in `value`/`data`. */
export class ProtobufReader {
  failed = false
  wireType = 0
  /** Varint and fixed-width values (64-bit ones as a rounded number). */
  value = 0
  /** Raw bits of an 8-byte field as a double. */
  double = 0
  data: Buffer = EMPTY
  readonly depth: number
  private offset = 0
  private readonly bytes: Buffer

  constructor(bytes: Buffer, depth = 0) {
    this.bytes = bytes
    this.depth = depth
    if (depth > MAX_PROTOBUF_DEPTH) this.failed = true
  }

  /** Field number, or 0 at the end or when the input is malformed. */
  next(): number {
    if (this.failed || this.offset >= this.bytes.length) return 0
    const tag = this.varint()
    const field = Math.floor(tag / 8)
    this.wireType = tag % 8
    if (this.failed || field === 0) return this.fail()
    switch (this.wireType) {
      case 0:
        this.value = this.varint()
        break
      case 1:
        if (this.offset + 8 > this.bytes.length) return this.fail()
        this.double = this.bytes.readDoubleLE(this.offset)
        this.value = Number(this.bytes.readBigUInt64LE(this.offset))
        this.offset += 8
        break
      case 2: {
        const length = this.varint()
        if (this.failed || length > this.bytes.length - this.offset) return this.fail()
        this.data = this.bytes.subarray(this.offset, this.offset + length)
        this.offset += length
        break
      }
      case 5:
        if (this.offset + 4 > this.bytes.length) return this.fail()
        this.value = this.bytes.readUInt32LE(this.offset)
        this.offset += 4
        break
      default:
        return this.fail()
    }
    return this.failed ? 0 : field
  }

  /** The current length-delimited field as UTF-8; '' when it is of another type. */
  /** Its bytes, one a character. */
  byteString(): string {
    return this.wireType === 2 ? this.data.toString('latin1') : ''
  }

  text(): string {
    return this.wireType === 2 ? this.data.toString('utf8') : ''
  }

  /** The current length-delimited field as a message. */
  nested(): ProtobufReader {
    const reader = new ProtobufReader(this.wireType === 2 ? this.data : EMPTY, this.depth + 1)
    if (this.wireType !== 2) reader.failed = true
    return reader
  }

  /** int32 as written by protobuf: negative values come as ten-byte varints. */
  int32(): number {
    return Number(BigInt.asIntN(32, BigInt(Math.round(this.value))))
  }

  private varint(): number {
    let value = 0
    let scale = 1
    for (let i = 0; i < MAX_VARINT_BYTES; i++) {
      if (this.offset >= this.bytes.length) return this.fail()
      const byte = this.bytes[this.offset++]!
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
      scale *= 0x80
    }
    return this.fail()
  }

  private fail(): 0 {
    this.failed = true
    return 0
  }
}
