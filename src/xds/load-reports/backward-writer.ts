// Protobuf written from its end to its begin: the length of a message is known by the time that its head is written, so nothing is measured
// before and nothing copied. For messages that are large and often written (load reports); everything else goes through @bufbuild/protobuf.
// Who calls it names fields and elements of lists in falling order. Invariant: what `finish` gives are the bytes that the schema would give.
const FIRST_BYTES = 4 * 1024
const VARINT = 0
const FIXED64 = 1
const LENGTH_DELIMITED = 2
/** Of a tag with a varint beside it. */
const MAX_HEAD_BYTES = 20
/** A call into the engine costs more than so many characters. */
const SHORT_CHARS = 64

export class BackwardWriter {
  private bytes: Buffer
  private at: number

  /** `expectedBytes`: more are taken as well, and cost a copy. */
  constructor(expectedBytes: number) {
    this.bytes = Buffer.allocUnsafeSlow(Math.max(FIRST_BYTES, expectedBytes))
    this.at = this.bytes.length
  }

  /** Bytes written so far: what `message` needs of the place where a message ends. */
  get written(): number {
    return this.bytes.length - this.at
  }

  finish(): Buffer {
    return this.bytes.subarray(this.at)
  }

  /** The message whose fields were written since `end` has begun. */
  message(field: number, end: number): void {
    const length = this.written - end
    this.reserve(MAX_HEAD_BYTES)
    this.varint(length)
    this.varint(8 * field + LENGTH_DELIMITED)
  }

  /** A message, or anything else with a length, that is there already. */
  raw(field: number, value: Uint8Array): void {
    this.reserve(value.length)
    this.at -= value.length
    this.bytes.set(value, this.at)
    this.message(field, this.written - value.length)
  }

  /** Nothing where it is empty, as of every scalar field of proto3. */
  string(field: number, text: string): void {
    if (text === '') return
    const end = this.written
    const { length } = text
    this.reserve(3 * length + MAX_HEAD_BYTES)
    if (length > SHORT_CHARS || !this.ascii(text)) {
      const byteLength = Buffer.byteLength(text)
      this.at -= byteLength
      this.bytes.write(text, this.at, byteLength)
    }
    this.message(field, end)
  }

  /** Whole and not negative. */
  number(field: number, value: number): void {
    if (value === 0) return
    this.reserve(MAX_HEAD_BYTES)
    this.varint(value)
    this.varint(8 * field + VARINT)
  }

  double(field: number, value: number): void {
    if (value === 0) return
    this.reserve(MAX_HEAD_BYTES)
    this.at = this.bytes.writeDoubleLE(value, this.at - 8) - 8
    this.varint(8 * field + FIXED64)
  }

  /** Whether the text was written: not where it has characters of more than a byte. */
  private ascii(text: string): boolean {
    const { bytes } = this
    const from = this.at - text.length
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i)
      if (code > 0x7f) return false
      bytes[from + i] = code
    }
    this.at = from
    return true
  }

  private varint(value: number): void {
    if (value < 0x80) {
      this.bytes[--this.at] = value
      return
    }
    let length = 1
    for (let rest = value; rest > 0x7f; rest = Math.floor(rest / 128)) length++
    this.at -= length
    let rest = value
    for (let i = 0; i < length; i++) {
      this.bytes[this.at + i] = i === length - 1 ? rest : (rest % 128) | 0x80
      rest = Math.floor(rest / 128)
    }
  }

  private reserve(count: number): void {
    if (this.at >= count) return
    const { written } = this
    const grown = Buffer.allocUnsafeSlow(2 * (this.bytes.length + count))
    grown.set(this.bytes.subarray(this.at), grown.length - written)
    this.at = grown.length - written
    this.bytes = grown
  }
}
