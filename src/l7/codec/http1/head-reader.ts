// Finds the end of a head or trailer section in what a connection reads, however it is cut. Used by both codecs and the body decoder.
// A section that came whole is taken from the read itself; of one that came in parts a bounded copy is kept, each byte of which is
// looked at once, so that a peer that drips bytes costs no more than one that does not (Slowloris, CVE-2018-12122).

/** What `take` returns instead of an offset. */
export const HEAD_INCOMPLETE = -1
/** More than `maxBytes` without an end. */
export const HEAD_TOO_LARGE = -2
/** A control character, bare CR or bare LF, seen before the section is complete. */
export const HEAD_ILLEGAL = -3

/** The end is looked for in this many bytes first: most heads fit, and of a body behind one little is copied. */
const WINDOW_BYTES = 2 * 1024
const FIRST_PART_BYTES = 512
const CR = 13
const LF = 10

/**
 * The lines of a head or trailer section, each ended by CRLF, without the empty line: as bytes, which are cheap to look at one by one,
 * and as latin1 text, which is cheap to cut. `text[i]` is `bytes[base + i]`, for i below `end`; both may go on behind it.
 */
export interface Section {
  readonly bytes: Uint8Array
  readonly base: number
  readonly text: string
  readonly end: number
}

/** A section that is at hand as text. */
export function sectionOf(text: string): Section {
  return { bytes: Buffer.from(text, 'latin1'), base: 0, text, end: text.length }
}

const NO_BYTES = new Uint8Array(0)

/** HOT: every head. One is reused for all messages of a connection; it is itself the Section that `take` found, until `reset`. */
export class HeadReader implements Section {
  bytes: Uint8Array = NO_BYTES
  base = 0
  text = ''
  end = 0
  private readonly maxBytes: number
  private parts: Buffer | null = null
  private length = 0

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes
  }

  /** Some bytes of an incomplete section are kept. */
  get pending(): boolean {
    return this.length > 0
  }

  /** Forget the section: an idle connection must not keep what it read last. */
  reset(): void {
    this.parts = null
    this.length = 0
    this.bytes = NO_BYTES
    this.text = ''
  }

  /**
   * Look on from `offset`. Returns the offset behind the section's empty line (then this is the section), or one of the constants above.
   * The bytes of an incomplete section have been copied.
   */
  take(chunk: Buffer, offset: number): number {
    if (this.length > 0) return this.takeOn(chunk, offset)
    const available = chunk.length - offset
    let text = chunk.latin1Slice(offset, available > WINDOW_BYTES ? offset + WINDOW_BYTES : chunk.length)
    let end = text.indexOf('\r\n\r\n')
    if (end === -1 && available > WINDOW_BYTES) {
      text = chunk.latin1Slice(offset, Math.min(chunk.length, offset + this.maxBytes + 4))
      end = text.indexOf('\r\n\r\n', WINDOW_BYTES - 3)
    }
    if (end === -1) return this.keep(chunk, offset)
    if (end + 4 > this.maxBytes) return HEAD_TOO_LARGE
    this.bytes = chunk
    this.base = offset
    this.text = text
    this.end = end + 2
    return offset + end + 4
  }

  /** The first part of a section that is not complete. */
  private keep(chunk: Buffer, offset: number): number {
    const available = chunk.length - offset
    if (available > this.maxBytes) return hasIllegalByte(chunk, offset, offset + this.maxBytes, 0) ? HEAD_ILLEGAL : HEAD_TOO_LARGE
    if (available === 0) return HEAD_INCOMPLETE
    if (hasIllegalByte(chunk, offset, chunk.length, 0)) return HEAD_ILLEGAL
    this.parts = Buffer.allocUnsafe(Math.max(FIRST_PART_BYTES, available * 2))
    chunk.copy(this.parts, 0, offset)
    this.length = available
    return HEAD_INCOMPLETE
  }

  private takeOn(chunk: Buffer, offset: number): number {
    const before = this.length
    const added = Math.min(chunk.length - offset, this.maxBytes + 4 - before)
    let parts = this.parts!
    if (before + added > parts.length) {
      const larger = Buffer.allocUnsafe(Math.max(before + added, Math.min(parts.length * 2, this.maxBytes + 4)))
      parts.copy(larger, 0, 0, before)
      this.parts = parts = larger
    }
    chunk.copy(parts, before, offset, offset + added)
    const length = before + added
    const from = before < 3 ? 0 : before - 3
    const end = parts.latin1Slice(from, length).indexOf('\r\n\r\n')
    if (end === -1) {
      if (hasIllegalByte(parts, before, length, parts[before - 1]!)) return HEAD_ILLEGAL
      if (length > this.maxBytes) return HEAD_TOO_LARGE
      this.length = length
      return HEAD_INCOMPLETE
    }
    const sectionBytes = from + end + 4
    if (sectionBytes > this.maxBytes) return HEAD_TOO_LARGE
    this.bytes = parts
    this.base = 0
    this.end = sectionBytes - 2
    this.text = parts.latin1Slice(0, this.end)
    this.length = 0
    this.parts = null
    return offset + sectionBytes - before
  }
}

/** A byte that no head may hold; `previous` is the byte before `from`. A CR at the very end may still get its LF. */
function hasIllegalByte(bytes: Buffer, from: number, to: number, previous: number): boolean {
  for (let i = from; i < to; i++) {
    const c = bytes[i]!
    if (c < 32 ? (c === LF ? previous !== CR : c !== CR && c !== 9) : c === 127) return true
    if (previous === CR && c !== LF) return true
    previous = c
  }
  return false
}
