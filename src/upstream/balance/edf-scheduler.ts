// Earliest deadline first: the weighted round robin of Envoy. Each member's next turn is 1 / weight after its last one; the earliest
// is picked, ties in the order of arrival. Used by edf-load-balancer (hosts) and locality-picker (localities).
// Kept as a binary heap over typed arrays. `rebuild` keeps the deadlines of members that stay, so that a change of one endpoint
// disturbs nobody's turn. Invariant: the heap holds each index of `members` exactly once.

import { SlotTable } from './slot-table.js'

/** What can be scheduled: `slot` is a small number unique among the members that exist at one time. */
export interface EdfMember {
  readonly slot: number
  readonly removed: boolean
}

// Deadlines of the old members by slot, while a rebuild runs; shared, since rebuilds never nest.
const oldDeadlines = new SlotTable()

export class EdfScheduler<T extends EdfMember> {
  private members: readonly T[] = []
  private heap = new Int32Array(0)
  private deadlines = new Float64Array(0)
  private orders = new Float64Array(0)
  private now = 0
  private nextOrder = 0

  /**
   * Fills the schedule as if `picks` picks had been made already, in O(n) and at most n picks: the random start that keeps many
   * proxies from all beginning with the same host.
   */
  fill(members: readonly T[], weightOf: (member: T) => number, picks: number): void {
    this.allocate(members)
    this.now = 0
    this.nextOrder = 0
    const count = members.length
    let sum = 0
    for (const member of members) sum += weightOf(member)
    let made = 0
    for (let i = 0; i < count; i++) {
      const weight = weightOf(members[i]!)
      const turns = Math.floor((picks * weight) / sum)
      made += turns
      const last = turns / weight
      if (last > this.now) this.now = last
      this.deadlines[i] = (turns + 1) / weight
      this.orders[i] = this.nextOrder++
    }
    // A member that is a turn behind the latest one must not lie in the past.
    this.heapify()
    if (count > 0) for (; made < picks; made++) this.pick(weightOf)
  }

  /** Replaces the members; those that stay keep their place in the schedule, new ones start a turn from now. O(n). */
  rebuild(members: readonly T[], weightOf: (member: T) => number): void {
    oldDeadlines.clear()
    for (let i = 0; i < this.members.length; i++) {
      const member = this.members[i]!
      if (!member.removed) oldDeadlines.set(member.slot, this.deadlines[i]!)
    }
    this.allocate(members)
    for (let i = 0; i < members.length; i++) {
      const member = members[i]!
      this.deadlines[i] = oldDeadlines.has(member.slot) ? oldDeadlines.get(member.slot) : this.now + 1 / weightOf(member)
      this.orders[i] = this.nextOrder++
    }
    this.heapify()
  }

  /** The member whose turn it is, put back with its present weight; null when there is none. O(log n). */
  pick(weightOf: (member: T) => number): T | null {
    if (this.members.length === 0) return null
    const top = this.heap[0]!
    const member = this.members[top]!
    if (this.deadlines[top]! > this.now) this.now = this.deadlines[top]!
    this.deadlines[top] = this.now + 1 / weightOf(member)
    this.orders[top] = this.nextOrder++
    this.siftDown(0)
    return member
  }

  private allocate(members: readonly T[]): void {
    if (members.length !== this.members.length) {
      this.heap = new Int32Array(members.length)
      this.deadlines = new Float64Array(members.length)
      this.orders = new Float64Array(members.length)
    }
    this.members = members
  }

  private heapify(): void {
    for (let i = 0; i < this.heap.length; i++) this.heap[i] = i
    for (let i = (this.heap.length >> 1) - 1; i >= 0; i--) this.siftDown(i)
  }

  // HOT: 13 levels at 10,000 hosts.
  private siftDown(at: number): void {
    const { heap, deadlines, orders } = this
    const length = heap.length
    const moving = heap[at]!
    const deadline = deadlines[moving]!
    const order = orders[moving]!
    for (;;) {
      let child = 2 * at + 1
      if (child >= length) break
      let index = heap[child]!
      if (child + 1 < length) {
        const right = heap[child + 1]!
        const difference = deadlines[right]! - deadlines[index]!
        if (difference < 0 || (difference === 0 && orders[right]! < orders[index]!)) {
          child++
          index = right
        }
      }
      if (deadlines[index]! > deadline || (deadlines[index]! === deadline && orders[index]! > order)) break
      heap[at] = index
      at = child
    }
    heap[at] = moving
  }
}
