// What requests ask for that the configuration does not have yet: virtual hosts and clusters, each by a name that a client may have chosen. The registries and the on_demand filter ask and wait here; whoever subscribes (XdsBridge) is told what is newly
// wanted, and tells what came of it. In a worker process that is the primary. Invariant: bounded by MAX_DEMANDS; what nobody answers ends
// after a while, what the server does not have ends with its answer, and what came stays until the server takes it back.
//
//   ask ──▶ asked ──answered──▶ there ──removed──▶ (gone)
//             └── absent, or nobody answers in time ──▶ (gone)

import type { Clock, Timer } from '../io/clock.js'
import { type ConfigSource, sourceKey } from '../model/config-source.js'

export type DemandKind = 'virtual-host' | 'cluster'

export interface Demand {
  readonly kind: DemandKind
  readonly source: ConfigSource
  readonly name: string
}

/** What a worker asks its primary for; tables of scopes are the registry's own business (ScopeRegistry). */
export type ProcessDemand = Demand | { readonly kind: 'route-table'; readonly source: ConfigSource; readonly name: string }

/** What an update brought of one kind and source. */
export interface DemandAnswer {
  /** Name of what came, by each name that it can be asked for by. */
  readonly found: ReadonlyMap<string, string>
  /** The server does not have it, or it was refused. */
  readonly missing: Iterable<string>
}

/** Names that clients chose, of one process. */
export const MAX_DEMANDS = 10_000
/** What nobody answers by then is asked for no more; who waits that long goes on without. */
const UNANSWERED_MS = 60_000

interface Entry {
  readonly demand: Demand
  /** What answered it; null: nobody yet. */
  resource: string | null
  readonly waiters: Set<() => void>
  timer: Timer
}

export class Demands {
  /** Newly wanted. */
  onWanted: ((demand: Demand) => void) | null = null
  onUnwanted: ((demand: Demand) => void) | null = null
  private readonly entries = new Map<string, Entry>()
  private full = false

  constructor(
    private readonly clock: Clock,
    private readonly log: (message: string) => void,
  ) {}

  /**
   * `done` once something is known of it. Returns the way to wait no longer; null: there is nothing to wait for, as it came already or
   * may not be asked for. `awaits`: what came is not ready to be used before ready() says so.
   */
  ask(demand: Demand, done: () => void, awaits = false): (() => void) | null {
    const entry = this.want(demand)
    if (entry === null || (entry.resource !== null && !awaits)) return null
    entry.waiters.add(done)
    return () => entry.waiters.delete(done)
  }

  /** Without waiting. Null: too many are wanted. */
  want(demand: Demand): Entry | null {
    const key = keyOf(demand)
    const known = this.entries.get(key)
    if (known !== undefined) {
      if (known.resource === null) this.await(key, known)
      return known
    }
    if (this.entries.size >= MAX_DEMANDS) {
      if (!this.full) this.log(`${MAX_DEMANDS} names are asked for on demand (MAX_DEMANDS): further ones are not`)
      this.full = true
      return null
    }
    const entry: Entry = { demand, resource: null, waiters: new Set(), timer: { cancel() {} } }
    this.entries.set(key, entry)
    this.await(key, entry)
    this.onWanted?.(demand)
    return entry
  }

  private await(key: string, entry: Entry): void {
    entry.timer.cancel()
    entry.timer = this.clock.after(UNANSWERED_MS, () => this.end(key, entry))
  }

  /** An update has been applied. */
  answer(kind: DemandKind, source: ConfigSource, { found, missing }: DemandAnswer): void {
    if (this.entries.size === 0) return
    const woken: (() => void)[] = []
    for (const [name, resource] of found) {
      const entry = this.entries.get(keyOf({ kind, source, name }))
      if (entry === undefined) continue
      entry.resource = resource
      entry.timer.cancel()
      // A cluster wakes those who wait for it once it is warm.
      if (kind !== 'cluster') woken.push(...take(entry.waiters))
    }
    const gone = new Set(missing)
    if (gone.size > 0) {
      for (const [key, entry] of [...this.entries]) {
        const { demand, resource } = entry
        if (demand.kind !== kind || sourceKey(demand.source) !== sourceKey(source)) continue
        if (gone.has(demand.name) || (resource !== null && gone.has(resource))) this.end(key, entry)
      }
    }
    for (const wake of woken) wake()
  }

  /** What came under this name may be used now, wherever it came from. */
  ready(kind: DemandKind, name: string): void {
    if (this.entries.size === 0) return
    for (const { demand, waiters } of [...this.entries.values()])
      if (demand.kind === kind && demand.name === name) for (const wake of take(waiters)) wake()
  }

  /** Of one kind: who replaces all subscriptions of a type must not lose these. */
  *of(kind: DemandKind): IterableIterator<Demand> {
    for (const { demand } of this.entries.values()) if (demand.kind === kind) yield demand
  }

  /** Nobody uses the source any more. */
  drop(kind: DemandKind, source: ConfigSource, belongs: (name: string) => boolean): void {
    for (const [key, entry] of [...this.entries]) {
      const { demand } = entry
      if (demand.kind === kind && sourceKey(demand.source) === sourceKey(source) && belongs(demand.name)) this.end(key, entry)
    }
  }

  close(): void {
    for (const { timer } of this.entries.values()) timer.cancel()
    this.entries.clear()
  }

  private end(key: string, entry: Entry): void {
    entry.timer.cancel()
    this.entries.delete(key)
    this.full = false
    this.onUnwanted?.(entry.demand)
    for (const wake of take(entry.waiters)) wake()
  }
}

function take(waiters: Set<() => void>): (() => void)[] {
  const all = [...waiters]
  waiters.clear()
  return all
}

function keyOf({ kind, source, name }: Demand): string {
  return `${kind} ${name}\0${sourceKey(source)}`
}
