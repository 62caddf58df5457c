// The rollouts in memory: what their authors wrote, and where each stands. Fed by the store's commits alone; written by rollout-engine.ts, read
// by it and by the HTTP API, which can wait for changes.
// Invariant: an index that a record says of itself (OWN_INDEX) is the real one here.
import type { Commit, Store, StoredRecord } from '../store/store.js'
import { WatchedIndex } from '../store/watched-index.js'
import { NOT_OWNED, OWN_INDEX, type Rollout, type RolloutStatus } from './rollout-types.js'
import { isActive } from './transitions.js'

export interface RolloutRecord {
  readonly rollout: Rollout
  readonly status: RolloutStatus
  readonly createIndex: number
  /** Of the rollout or its status, whichever changed last. */
  readonly modifyIndex: number
}

export const READY: RolloutStatus = {
  Phase: 'Ready',
  Step: -1,
  Weight: 0,
  MirrorPercent: 0,
  Since: 0,
  PausedFrom: '',
  MovedAt: 0,
  AcceptedAt: 0,
  AnalysedAt: 0,
  Good: 0,
  Failures: 0,
  Holds: 0,
  Verdict: '',
  VerdictReason: '',
  Reason: '',
  SplitterIndex: NOT_OWNED,
  RouterIndex: NOT_OWNED,
  Audit: [],
}

export class RolloutTable extends WatchedIndex {
  private readonly rollouts = new Map<string, StoredRecord>()
  private readonly statuses = new Map<string, RolloutStatus & { readonly index: number }>()

  private constructor(index: number) {
    super(index)
  }

  static async open(store: Store): Promise<RolloutTable> {
    const table = new RolloutTable(store.index)
    store.subscribe(['rollout', 'rollout-status'], commit => table.follow(commit))
    for (const record of await store.list('rollout')) table.rollouts.set(record.key, record)
    for (const record of await store.list('rollout-status')) table.setStatus(record)
    return table
  }

  get size(): number {
    return this.rollouts.size
  }

  /** How many run. */
  get active(): number {
    let active = 0
    for (const name of this.rollouts.keys()) if (isActive((this.statuses.get(name) ?? READY).Phase)) active++
    return active
  }

  get(name: string): RolloutRecord | undefined {
    const record = this.rollouts.get(name)
    if (record === undefined) return undefined
    const { index, ...status } = this.statuses.get(name) ?? { ...READY, index: 0 }
    const { value, createIndex, modifyIndex } = record
    return { rollout: value as Rollout, status, createIndex, modifyIndex: Math.max(modifyIndex, index) }
  }

  /** By name. */
  list(): RolloutRecord[] {
    return [...this.rollouts.keys()].sort().map(name => this.get(name)!)
  }

  private follow({ index, changes }: Commit): void {
    for (const { collection, key, record } of changes) {
      if (collection === 'rollout') {
        if (record === undefined) this.rollouts.delete(key)
        else this.rollouts.set(key, record)
      } else if (record === undefined) this.statuses.delete(key)
      else this.setStatus(record)
    }
    this.advance(index)
  }

  private setStatus({ key, value, modifyIndex }: StoredRecord): void {
    const status = value as RolloutStatus
    const real = (index: number): number => (index === OWN_INDEX ? modifyIndex : index)
    this.statuses.set(key, {
      ...status,
      SplitterIndex: real(status.SplitterIndex),
      RouterIndex: real(status.RouterIndex),
      index: modifyIndex,
    })
  }
}
