// HPACK decoder (RFC 7541): one per connection, called by connection.ts with each complete header block. Names are classified and
// values checked when they enter the dynamic table, so that an indexed field costs two array reads and yields the same strings each
// time. The last few blocks that did not change the table are remembered with their bytes: a peer that repeats a request, or sends
// the same response head again, costs one comparison. Invariant: whatever is too much or malformed as HTTP, the table stays in step
// with the peer's; only errors of compression and blocks far beyond the limits (false from decode) end the connection.

import { type HeaderName, headerName, VALUE_OCTETS } from './header-names.js'
import { STATIC_NAMES, STATIC_TABLE_LENGTH, STATIC_VALUES } from './hpack-static-table.js'
import { decodeHuffman } from './huffman.js'

/** What a table entry costs beyond its octets (RFC 7541 §4.1). */
const ENTRY_OVERHEAD = 32
const MIN_ENTRY_BYTES = ENTRY_OVERHEAD
/** Protocol default of SETTINGS_HEADER_TABLE_SIZE. */
export const DEFAULT_TABLE_SIZE = 4096
/** Blocks remembered per connection, and how long one may be. Four cover request or response, and trailers of two kinds. */
const REMEMBERED_BLOCKS = 4
const MAX_REMEMBERED_BYTES = 160

/** The fields of one decoded block. Owned by the decoder and overwritten by a later decode. */
export class DecodedBlock {
  readonly names: HeaderName[] = []
  readonly values: string[] = []
  /** Fields in `names` and `values`; what lies beyond is of earlier blocks. */
  count = 0
  /** Fields in the block, also those that were not kept. */
  total = 0
  /** Octets of names and values, also of fields that were not kept. */
  bytes = 0
  /** More fields or octets than the limits allow; the fields beyond were not kept. */
  overflow = false
  /** A value with NUL, CR, LF or another control, or with space around it (RFC 9113 §8.2.1). */
  badValue = false
  /** What the connection made of this block; survives while the same bytes come again with the same table. */
  parsed: unknown = null
  /** Memo key: the block's bytes and the table's version. */
  readonly key = new Uint8Array(MAX_REMEMBERED_BYTES)
  keyLength = -1
  keyVersion = -1

  clear(): void {
    this.count = 0
    this.total = 0
    this.bytes = 0
    this.overflow = false
    this.badValue = false
    this.parsed = null
    this.keyLength = -1
  }
}

/** A block that decodes to more than half as much again as the limit is not read to its end: a few KB can stand for many MB. Envoy ends so too. */
const MIN_SLACK_BYTES = 16 * 1024
const HARD_FIELDS_FACTOR = 16

/** Stands for "none yet"; never written to. */
const NO_BLOCK = new DecodedBlock()

// Huffman output and field texts; decoding is synchronous, so one for the process will do. Grows to the largest block there was.
let scratch = Buffer.allocUnsafeSlow(4096)

export class HpackDecoder {
  private limit = DEFAULT_TABLE_SIZE
  private maxSize = DEFAULT_TABLE_SIZE
  private size = 0
  // A ring: the newest entry is at `head`, its predecessors before it.
  private names: HeaderName[] = []
  private values: string[] = []
  private bad: boolean[] = []
  private capacity = 0
  private head = -1
  private entries = 0
  /** Changes with the table. */
  private version = 0
  /** The next block must begin with a size update (our limit was lowered, RFC 7541 §4.2). */
  private updateDue = false

  private readonly blocks: DecodedBlock[] = []
  private nextBlock = 0

  private buffer: Uint8Array = scratch
  private pos = 0
  private end = 0
  // Results of readInteger and readString, -1 and false on error.
  private text = ''
  private textBad = false

  /** The last decoded block. */
  block = NO_BLOCK
  /** The last decode stopped far beyond a limit: the table is out of step, and the connection over. */
  exceeded = false
  /** It had been decoded before and was only found again. */
  repeated = false

  /**
   * @param maxFields fields kept of a block; @param maxBytes octets of names and values kept of a block
   */
  constructor(
    private readonly maxFields: number,
    private readonly maxBytes: number,
  ) {}

  /** Our SETTINGS_HEADER_TABLE_SIZE, once the peer has acknowledged it; before, the larger of it and 4096. */
  setLimit(limit: number): void {
    if (limit < this.maxSize) this.updateDue = true
    this.limit = limit
  }

  /** Octets in the dynamic table as RFC 7541 §4.1 counts them. */
  /** Decode a whole block into `block`. False: a compression error, or `exceeded`; the connection is lost (RFC 7541 §2.2, RFC 9113 §4.3). */
  decode(buffer: Buffer, start: number, end: number): boolean {
    const length = end - start
    this.repeated = false
    const memorable = length <= MAX_REMEMBERED_BYTES && !this.updateDue
    if (memorable && this.recall(buffer, start, length)) return true
    const block = this.takeBlock()
    const version = this.version
    this.buffer = buffer
    this.pos = start
    this.end = end
    if (!this.decodeFields(block)) return false
    if (memorable && version === this.version) {
      const key = block.key
      for (let i = 0; i < length; i++) key[i] = buffer[start + i]!
      block.keyLength = length
      block.keyVersion = version
    }
    return true
  }

  private recall(buffer: Buffer, start: number, length: number): boolean {
    const blocks = this.blocks
    for (let i = 0; i < blocks.length; i++) {
      const block = blocks[i]!
      if (block.keyLength !== length || block.keyVersion !== this.version) continue
      const key = block.key
      let at = 0
      while (at < length && key[at] === buffer[start + at]) at++
      if (at === length) {
        this.block = block
        this.repeated = true
        return true
      }
    }
    return false
  }

  private takeBlock(): DecodedBlock {
    let block = this.blocks[this.nextBlock]
    if (block === undefined) this.blocks.push((block = new DecodedBlock()))
    else block.clear()
    this.nextBlock = (this.nextBlock + 1) % REMEMBERED_BLOCKS
    this.block = block
    return block
  }

  private decodeFields(block: DecodedBlock): boolean {
    const buffer = this.buffer
    let fieldsBegun = false
    while (this.pos < this.end) {
      const first = buffer[this.pos]!
      if (first >= 0x80) {
        // Indexed field (§6.1).
        let index = first & 0x7f
        if (index === 0x7f) {
          index = this.readInteger(0x7f)
          if (index === -1) return false
        } else this.pos++
        if (this.updateDue || index === 0) return false
        if (index <= STATIC_TABLE_LENGTH) add(block, STATIC_NAMES[index]!, STATIC_VALUES[index]!, false, this.maxFields, this.maxBytes)
        else {
          const slot = this.slotOf(index)
          if (slot === -1) return false
          add(block, this.names[slot]!, this.values[slot]!, this.bad[slot]!, this.maxFields, this.maxBytes)
        }
        fieldsBegun = true
        if (block.overflow && this.isFarBeyond(block)) return false
      } else if ((first & 0xe0) === 0x20) {
        // Dynamic table size update (§6.3): only before the first field (§4.2), never above what we announced.
        const size = this.readInteger(0x1f)
        if (size === -1 || size > this.limit || fieldsBegun) return false
        this.updateDue = false
        this.resize(size)
      } else {
        // Literal field: with indexing 01, without 0000, never indexed 0001 (§6.2).
        if (this.updateDue) return false
        const indexed = (first & 0x40) !== 0
        const index = this.readInteger(indexed ? 0x3f : 0x0f)
        if (index === -1) return false
        let name: HeaderName
        if (index === 0) {
          if (!this.readString()) return false
          name = headerName(this.text)
        } else if (index <= STATIC_TABLE_LENGTH) name = STATIC_NAMES[index]!
        else {
          const slot = this.slotOf(index)
          if (slot === -1) return false
          name = this.names[slot]!
        }
        if (!this.readString()) return false
        const value = this.text
        const bad = this.textBad
        if (indexed) this.insert(name, value, bad)
        add(block, name, value, bad, this.maxFields, this.maxBytes)
        fieldsBegun = true
        if (block.overflow && this.isFarBeyond(block)) return false
      }
    }
    return true
  }

  /** So much over the limits that the block is not even read to its end. */
  private isFarBeyond(block: DecodedBlock): boolean {
    this.exceeded =
      block.bytes > this.maxBytes + Math.max(this.maxBytes / 2, MIN_SLACK_BYTES) || block.total > this.maxFields * HARD_FIELDS_FACTOR
    return this.exceeded
  }

  /** Ring slot of an HPACK index above the static table, or -1. */
  private slotOf(index: number): number {
    const back = index - STATIC_TABLE_LENGTH - 1
    if (back >= this.entries) return -1
    const slot = this.head - back
    return slot < 0 ? slot + this.capacity : slot
  }

  private insert(name: HeaderName, value: string, bad: boolean): void {
    this.version++
    const size = name.name.length + value.length + ENTRY_OVERHEAD
    // Larger than the table: that empties it and is no error (§4.4).
    this.evictTo(this.maxSize - size)
    if (size > this.maxSize) return
    if (this.entries === this.capacity) this.grow()
    this.head = this.head + 1 === this.capacity ? 0 : this.head + 1
    this.names[this.head] = name
    this.values[this.head] = value
    this.bad[this.head] = bad
    this.entries++
    this.size += size
  }

  private resize(size: number): void {
    this.version++
    this.maxSize = size
    this.evictTo(size)
  }

  private evictTo(size: number): void {
    while (this.size > size && this.entries > 0) {
      let slot = this.head - this.entries + 1
      if (slot < 0) slot += this.capacity
      this.size -= this.names[slot]!.name.length + this.values[slot]!.length + ENTRY_OVERHEAD
      this.values[slot] = ''
      this.entries--
    }
  }

  /** Make the ring longer, oldest entry first. Bounded by limit / MIN_ENTRY_BYTES. */
  private grow(): void {
    const most = Math.ceil(Math.max(this.limit, this.maxSize, MIN_ENTRY_BYTES) / MIN_ENTRY_BYTES)
    const capacity = Math.min(Math.max(8, this.capacity * 2), Math.max(most, this.capacity + 1))
    const names: HeaderName[] = []
    const values: string[] = []
    const bad: boolean[] = []
    for (let back = this.entries - 1; back >= 0; back--) {
      let slot = this.head - back
      if (slot < 0) slot += this.capacity
      names.push(this.names[slot]!)
      values.push(this.values[slot]!)
      bad.push(this.bad[slot]!)
    }
    this.head = this.entries - 1
    while (names.length < capacity) {
      names.push(STATIC_NAMES[0]!)
      values.push('')
      bad.push(false)
    }
    this.names = names
    this.values = values
    this.bad = bad
    this.capacity = capacity
  }

  /** Prefixed integer (§5.1) at `pos`; -1 when it is cut off or beyond 2^28. */
  private readInteger(mask: number): number {
    let value = this.buffer[this.pos++]! & mask
    if (value < mask) return value
    for (let shift = 0; shift <= 21; shift += 7) {
      if (this.pos >= this.end) return -1
      const byte = this.buffer[this.pos++]!
      value += (byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
    return -1
  }

  /** String literal (§5.2) into `text`, and whether it is fit for a value into `textBad`. */
  private readString(): boolean {
    if (this.pos >= this.end) return false
    const huffman = this.buffer[this.pos]! >= 0x80
    const length = this.readInteger(0x7f)
    if (length === -1 || length > this.end - this.pos) return false
    let source = this.buffer as Buffer
    let start = this.pos
    let end = start + length
    this.pos = end
    if (huffman) {
      if (scratch.length < length * 2) scratch = Buffer.allocUnsafeSlow(length * 2)
      end = decodeHuffman(source, start, end, scratch)
      if (end === -1) return false
      start = 0
      source = scratch
    }
    if (start === end) {
      this.text = ''
      this.textBad = false
      return true
    }
    this.text = source.latin1Slice(start, end)
    const first = source[start]!
    const last = source[end - 1]!
    let bad = first === 0x20 || first === 0x09 || last === 0x20 || last === 0x09
    for (let i = start; i < end; i++) if (VALUE_OCTETS[source[i]!] === 0) bad = true
    this.textBad = bad
    return true
  }
}

function add(block: DecodedBlock, name: HeaderName, value: string, bad: boolean, maxFields: number, maxBytes: number): void {
  block.total++
  block.bytes += name.name.length + value.length
  if (bad) block.badValue = true
  if (block.count >= maxFields || block.bytes > maxBytes) {
    block.overflow = true
    return
  }
  block.names[block.count] = name
  block.values[block.count] = value
  block.count++
}
