// The streams of one HTTP/2 connection by their ids. Ids of one side go up by two, so those that are open lie close together: each has its
// place in an array, and only what meets a stream that stays for longer goes into a Map. A Map alone is changed and compacted for each
// request, which is 3 % of one (docs/performance.md). Owned by connection-base.ts. HOT: every frame.

interface Numbered {
  readonly id: number
}

const FIRST_SLOTS = 16
/** 8 KiB; with more streams open than this the Map holds the rest. */
const MAX_SLOTS = 1024

export class StreamTable<Stream extends Numbered> {
  size = 0
  private slots: (Stream | null)[] = new Array(FIRST_SLOTS).fill(null)
  private mask = FIRST_SLOTS - 1
  /** Those whose place is another's. */
  private readonly displaced = new Map<number, Stream>()

  get(id: number): Stream | undefined {
    const stream = this.slots[(id >>> 1) & this.mask]!
    if (stream !== null && stream.id === id) return stream
    return this.displaced.size === 0 ? undefined : this.displaced.get(id)
  }

  /** Its id is not in the table. */
  add(stream: Stream): void {
    this.size++
    const at = (stream.id >>> 1) & this.mask
    if (this.slots[at] === null) this.slots[at] = stream
    else if (this.size * 2 > this.slots.length && this.slots.length < MAX_SLOTS) this.grow(stream)
    else this.displaced.set(stream.id, stream)
  }

  delete(id: number): void {
    const at = (id >>> 1) & this.mask
    const stream = this.slots[at]!
    if (stream !== null && stream.id === id) this.slots[at] = null
    else if (!this.displaced.delete(id)) return
    this.size--
  }

  clear(): void {
    this.slots.fill(null)
    this.displaced.clear()
    this.size = 0
  }

  /** A list of its own: the table may change while it is walked. Roughly from the oldest to the newest. */
  values(): Stream[] {
    const streams = [...this.displaced.values()]
    for (const stream of this.slots) if (stream !== null) streams.push(stream)
    return streams
  }

  private grow(added: Stream): void {
    const streams = this.values()
    streams.push(added)
    this.slots = new Array(this.slots.length * 2).fill(null)
    this.mask = this.slots.length - 1
    this.displaced.clear()
    for (const stream of streams) {
      const at = (stream.id >>> 1) & this.mask
      if (this.slots[at] === null) this.slots[at] = stream
      else this.displaced.set(stream.id, stream)
    }
  }
}
