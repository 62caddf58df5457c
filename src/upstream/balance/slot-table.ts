// A map from Host.slot to a number that is emptied in O(1): scratch space of the incremental rebuilds in edf-scheduler, hash-ring and
// maglev-table, where a Map of 10,000 hosts would cost more than the rebuild itself.

export class SlotTable {
  private values = new Float64Array(256)
  private marks = new Uint32Array(256)
  private mark = 1

  clear(): void {
    this.mark++
    if (this.mark > 0xffffffff) {
      this.marks.fill(0)
      this.mark = 1
    }
  }

  set(slot: number, value: number): void {
    if (slot >= this.marks.length) this.grow(slot + 1)
    this.values[slot] = value
    this.marks[slot] = this.mark
  }

  has(slot: number): boolean {
    return slot < this.marks.length && this.marks[slot] === this.mark
  }

  /** Only meaningful where `has` is true. */
  get(slot: number): number {
    return this.values[slot]!
  }

  private grow(atLeast: number): void {
    const length = Math.max(atLeast, this.marks.length * 2)
    const values = new Float64Array(length)
    values.set(this.values)
    this.values = values
    const marks = new Uint32Array(length)
    marks.set(this.marks)
    this.marks = marks
  }
}
