// HPACK encoder (RFC 7541): one per connection, called by the codecs' head writers. Fields are written straight into the output
// buffer. Per name there is one slot with the values that are in the tables, so that a field costs one Map lookup by an interned
// string and a few compares. What is indexed follows header-names.ts: secrets never, changing values only once they repeat.
// Invariant: slots and table never hold more than the peer's table allows; names beyond MAX_SLOTS go out as plain literals.

import { headerName, Indexing, NameKind } from './header-names.js'
import { DEFAULT_TABLE_SIZE } from './hpack-decoder.js'
import { STATIC_BY_NAME, STATIC_TABLE_LENGTH } from './hpack-static-table.js'

const ENTRY_OVERHEAD = 32
/** Names with a slot per connection; names come from the network too. */
const MAX_SLOTS = 256
/** A name that entered this many values in the table is taken for a changing one. */
const CHURN_LIMIT = 16
/** Cookies shorter than this are never indexed. */
const MIN_INDEXED_COOKIE = 20
/** Most octets that a field takes beyond its name and value: the first byte and two lengths of up to five octets each. */
export const FIELD_OVERHEAD = 12
/** Most octets of the size updates at the start of a block. */
export const BLOCK_OVERHEAD = 12
const NO_VALUES: readonly string[] = []
/** Places of a block whose last field is remembered. */
const REMEMBERED_PLACES = 32

interface Slot {
  readonly name: string
  readonly staticIndex: number
  readonly staticValues: readonly string[]
  indexing: number
  /** Never written: connection-specific fields do not exist in HTTP/2. */
  readonly skipped: boolean
  /** Only `trailers` may be written (RFC 9113 §8.2.2). */
  readonly te: boolean
  /** Values in the dynamic table, oldest first, and the insertion number of each. */
  readonly values: string[]
  readonly inserted: number[]
  insertions: number
  /** The last value that was not indexed. */
  lastLiteral: string
}

export class HpackEncoder {
  private maxSize = DEFAULT_TABLE_SIZE
  private size = 0
  private readonly slots = new Map<string, Slot>()
  /** Of the field that was written last at each place of a block: one message is mostly as the one before it. */
  private readonly places: Slot[] = []
  private place = 0
  // The dynamic table, oldest first from `tail`; compacted now and then.
  private tableSlots: Slot[] = []
  private tail = 0
  /** Insertions ever; the entry of insertion n has the index STATIC_TABLE_LENGTH + insertions - n. */
  private insertions = 0
  /** Size updates to announce: the lowest size since the last block, or -1 for none. */
  private lowestDue = -1
  /** Lowered so that a huge peer setting never makes us keep more. */
  private readonly ownLimit: number

  constructor(ownLimit: number) {
    this.ownLimit = ownLimit
    if (ownLimit < this.maxSize) this.resize(ownLimit)
  }

  /** The peer's SETTINGS_HEADER_TABLE_SIZE. Announced at the start of the next block (RFC 7541 §4.2). */
  setPeerLimit(limit: number): void {
    const size = Math.min(limit, this.ownLimit)
    if (size !== this.maxSize) this.resize(size)
  }

  /** Octets in the dynamic table as RFC 7541 §4.1 counts them. */
  /** Start a block at `pos`; returns where its fields begin. Needs BLOCK_OVERHEAD octets of room. */
  begin(buffer: Buffer, pos: number): number {
    this.place = 0
    if (this.lowestDue === -1) return pos
    if (this.lowestDue < this.maxSize) pos = writeInteger(buffer, pos, 0x20, 0x1f, this.lowestDue)
    this.lowestDue = -1
    return writeInteger(buffer, pos, 0x20, 0x1f, this.maxSize)
  }

  /**
   * Write one field at `pos`, return where the next goes. `name` is lower case. Needs name + value + FIELD_OVERHEAD octets of room.
   * HOT: every field of every message.
   */
  write(buffer: Buffer, pos: number, name: string, value: string): number {
    const slot = this.slotOf(name)
    const staticValues = slot.staticValues
    for (let i = 0; i < staticValues.length; i++) {
      if (staticValues[i] === value) {
        buffer[pos] = 0x80 | (slot.staticIndex + i)
        return pos + 1
      }
    }
    const values = slot.values
    for (let i = values.length - 1; i >= 0; i--) {
      if (values[i] === value) {
        const index = STATIC_TABLE_LENGTH + this.insertions - slot.inserted[i]!
        if (index < 0x7f) {
          buffer[pos] = 0x80 | index
          return pos + 1
        }
        return writeInteger(buffer, pos, 0x80, 0x7f, index)
      }
    }
    if (slot.skipped || (slot.te && value.toLowerCase() !== 'trailers')) return pos
    return this.writeLiteral(buffer, pos, slot, value)
  }

  private slotOf(name: string): Slot {
    const { places } = this
    const place = this.place++
    if (place < places.length) {
      const last = places[place]!
      if (last.name === name) return last
    }
    const slot = this.slots.get(name) ?? this.addSlot(name)
    if (place < REMEMBERED_PLACES && this.slots.size < MAX_SLOTS) places[place] = slot
    return slot
  }

  private writeLiteral(buffer: Buffer, pos: number, slot: Slot, value: string): number {
    let prefix = 0x00
    let mask = 0x0f
    let insert = false
    switch (slot.indexing) {
      case Indexing.ALWAYS:
        insert = true
        break
      case Indexing.WHEN_REPEATED:
        insert = slot.lastLiteral === value
        slot.lastLiteral = value
        break
      case Indexing.UNLESS_SHORT:
        if (value.length >= MIN_INDEXED_COOKIE) insert = true
        else prefix = 0x10
        break
      default:
        prefix = 0x10
    }
    const entrySize = slot.name.length + value.length + ENTRY_OVERHEAD
    // An entry that would empty most of the table is not worth its place.
    if (insert && entrySize * 2 > this.maxSize) insert = false
    if (insert) {
      prefix = 0x40
      mask = 0x3f
    }
    const newest = slot.inserted.length - 1
    const nameIndex =
      slot.staticIndex !== 0 ? slot.staticIndex : newest >= 0 ? STATIC_TABLE_LENGTH + this.insertions - slot.inserted[newest]! : 0
    if (nameIndex < mask) buffer[pos++] = prefix | nameIndex
    else pos = writeInteger(buffer, pos, prefix, mask, nameIndex)
    if (nameIndex === 0) pos = writeText(buffer, pos, slot.name)
    if (insert) this.insert(slot, value, entrySize)
    return writeText(buffer, pos, value)
  }

  private insert(slot: Slot, value: string, entrySize: number): void {
    this.evictTo(this.maxSize - entrySize)
    slot.values.push(value)
    slot.inserted.push(this.insertions++)
    this.tableSlots.push(slot)
    this.size += entrySize
    if (++slot.insertions === CHURN_LIMIT && slot.indexing === Indexing.ALWAYS) slot.indexing = Indexing.WHEN_REPEATED
  }

  private resize(size: number): void {
    if (this.lowestDue === -1 || size < this.lowestDue) this.lowestDue = size
    this.maxSize = size
    this.evictTo(size)
  }

  private evictTo(size: number): void {
    while (this.size > size && this.tail < this.tableSlots.length) {
      const slot = this.tableSlots[this.tail++]!
      slot.inserted.shift()
      this.size -= slot.name.length + slot.values.shift()!.length + ENTRY_OVERHEAD
    }
    if (this.tail > 64 && this.tail * 2 > this.tableSlots.length) {
      this.tableSlots = this.tableSlots.slice(this.tail)
      this.tail = 0
    }
  }

  private addSlot(name: string): Slot {
    const known = STATIC_BY_NAME.get(name)
    const info = headerName(name)
    const full = this.slots.size >= MAX_SLOTS
    const slot: Slot = {
      name,
      staticIndex: known === undefined ? 0 : known.index,
      staticValues: known === undefined ? NO_VALUES : known.values,
      // A slot that is not kept could not find its values again; what must never be indexed still must not.
      indexing: full && info.indexing !== Indexing.NEVER ? Indexing.WHEN_REPEATED : info.indexing,
      skipped: info.kind === NameKind.CONNECTION_SPECIFIC || info.kind === NameKind.INVALID || info.kind === NameKind.UNKNOWN_PSEUDO,
      te: info.kind === NameKind.TE,
      values: [],
      inserted: [],
      insertions: 0,
      lastLiteral: '',
    }
    if (!full) this.slots.set(name, slot)
    return slot
  }
}

/** Prefixed integer (RFC 7541 §5.1). */
function writeInteger(buffer: Buffer, pos: number, prefix: number, mask: number, value: number): number {
  if (value < mask) {
    buffer[pos] = prefix | value
    return pos + 1
  }
  buffer[pos++] = prefix | mask
  value -= mask
  while (value >= 0x80) {
    buffer[pos++] = 0x80 | (value & 0x7f)
    value >>>= 7
  }
  buffer[pos] = value
  return pos + 1
}

/** Up to this length a loop beats the call into the runtime. */
const SHORT_TEXT = 24

/** String literal without Huffman (RFC 7541 §5.2). */
function writeText(buffer: Buffer, pos: number, text: string): number {
  const length = text.length
  if (length < 0x7f) buffer[pos++] = length
  else pos = writeInteger(buffer, pos, 0x00, 0x7f, length)
  if (length > SHORT_TEXT) return pos + buffer.latin1Write(text, pos, length)
  for (let i = 0; i < length; i++) buffer[pos + i] = text.charCodeAt(i)
  return pos + length
}
