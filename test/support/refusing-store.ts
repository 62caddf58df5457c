// A store in memory that refuses the next writes, as one whose disk is full, or whose etcd is away for a moment.
import { MemoryStore } from '../../src/control/store/memory-store.js'
import type { Turn } from '../../src/control/store/store.js'
import type { HeldLease } from '../../src/control/store/task-leases.js'

export class RefusingStore extends MemoryStore {
  refusals = 0

  override exclusive<T>(task: (turn: Turn) => Promise<T>, lease?: HeldLease): Promise<T> {
    if (this.refusals-- > 0) return Promise.reject(new Error('etcd is away'))
    return super.exclusive(task, lease)
  }
}
