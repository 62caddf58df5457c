// Protobuf read field by field, without objects of its own: for messages that come often and of which little is kept (load reports);
// everything else goes through @bufbuild/protobuf. Invariants: it never reads beyond what it was given, and what is no protobuf is one error.
// Groups, which proto3 does not have, are refused.

export const VARINT = 0
export const FIXED64 = 1
export const LENGTH_DELIMITED = 2
const FIXED32 = 5

const EMPTY = Buffer.alloc(0)
const WORD = 2 ** 32
/** Of the tenth byte of a varint a single bit is left. */
const LAST_SHIFT = 63

export class ProtobufReader {
  /** Of the next byte. */
  at = 0
  private bytes: Buffer = EMPTY
  private low = 0
  private high = 0

  /** The end of the message. */
  begin(bytes: Buffer): number {
    this.bytes = bytes
    this.at = 0
    return bytes.length
  }

  /** Field number and wire type: 8 × field + type. */
  tag(): number {
    this.varint()
    if (this.high !== 0 || this.low >>> 3 === 0) throw new RangeError('no tag')
    return this.low >>> 0
  }

  /** Reads a length; where what has it ends. `end`: of the message that it is in. */
  length(end: number): number {
    this.varint()
    const inner = this.at + (this.low >>> 0)
    if (this.high !== 0 || inner > end) throw new RangeError('longer than its message')
    return inner
  }

  /** uint64, exact up to 2^53. */
  unsigned(): number {
    this.varint()
    return this.high === 0 ? this.low >>> 0 : (this.high >>> 0) * WORD + (this.low >>> 0)
  }

  /** int64 and int32, exact up to 2^53. */
  signed(): number {
    this.varint()
    return this.high * WORD + (this.low >>> 0)
  }

  /** Up to `end`. */
  text(end: number): string {
    const from = this.at
    this.at = end
    return this.bytes.toString('utf8', from, end)
  }

  byte(at: number): number {
    return this.bytes[at]!
  }

  /** Whether `bytes` stand at `at`, before `end`. */
  startsWith(bytes: Buffer, at: number, end: number): boolean {
    if (at + bytes.length > end) return false
    for (let i = 0; i < bytes.length; i++) if (this.bytes[at + i] !== bytes[i]) return false
    return true
  }

  /** A field that is not wanted, after its tag. */
  skip(tag: number, end: number): void {
    switch (tag & 7) {
      case VARINT:
        this.varint()
        break
      case FIXED64:
        this.at += 8
        break
      case LENGTH_DELIMITED:
        this.at = this.length(end)
        break
      case FIXED32:
        this.at += 4
        break
      default:
        throw new RangeError('a wire type that proto3 does not have')
    }
    this.stay(end)
  }

  /** A message has to end where its length says. */
  stay(end: number): void {
    if (this.at > end) throw new RangeError('a field beyond the end of its message')
  }

  /** Into `low` and `high`. */
  private varint(): void {
    const { bytes } = this
    const first = this.nextByte(bytes)
    this.high = 0
    this.low = first & 0x7f
    if (first < 0x80) return
    for (let shift = 7; shift <= LAST_SHIFT; shift += 7) {
      const byte = this.nextByte(bytes)
      const bits = byte & 0x7f
      if (shift < 32) this.low |= bits << shift
      if (shift >= 32) this.high |= bits << (shift - 32)
      else if (shift === 28) this.high = bits >>> 4
      if (byte < 0x80) return
    }
    throw new RangeError('a varint of more than ten bytes')
  }

  private nextByte(bytes: Buffer): number {
    if (this.at >= bytes.length) throw new RangeError('ends in a varint')
    return bytes[this.at++]!
  }
}
