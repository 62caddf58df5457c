// What requests ask for that the configuration does not have yet: virtual hosts and clusters, each by a name that a client may have chosen.
// The registries and the on_demand filter ask and wait here; whoever subscribes (XdsBridge) is told what is newly wanted, and tells what
// came of it. In a worker process that is the primary. Invariant: bounded by MAX_DEMANDS and MAX_DEMANDED_LENGTH, and what one name costs
// does not grow with the others; what nobody answers ends after a while, what the server does not have ends with its answer, and what came
// stays until the server takes it back.
//
//   ask ──▶ asked ──answered──▶ there ──removed──▶ (gone)
//             └── absent, or nobody answers in time ──▶ (gone)

import { type Clock, NO_TIMER, type Timer } from '../io/clock.js'
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
/** Characters of one. A host has 255 at most, a header that names a cluster may be as long as headers may be. */
export const MAX_DEMANDED_LENGTH = 1024
/** What nobody answers by then is asked for no more; who waits that long goes on without. */
const UNANSWERED_MS = 60_000

interface Entry {
  readonly demand: Demand
  /** What answered it; null: nobody yet. */
  resource: string | null
  readonly waiters: Set<() => void>
  timer: Timer
}

/** What is asked of one source. */
interface Group {
  readonly kind: DemandKind
  readonly key: string
  readonly entries: Map<string, Entry>
  /** Those that a resource answered, by its name. */
  readonly answered: Map<string, Set<Entry>>
}

export class Demands {
  /** Newly wanted. */
  onWanted: ((demand: Demand) => void) | null = null
  onUnwanted: ((demand: Demand) => void) | null = null
  /** As many as the configuration names sources. */
  private readonly groups = new Map<string, Group>()
  private size = 0
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

  /** Without waiting. Null: too many are wanted, or the name is too long. */
  want(demand: Demand): Entry | null {
    const { name } = demand
    const known = this.groups.get(keyOf(demand))?.entries.get(name)
    if (known !== undefined) {
      if (known.resource === null) this.await(known)
      return known
    }
    if (name.length > MAX_DEMANDED_LENGTH) return null
    if (this.size >= MAX_DEMANDS) {
      if (!this.full) this.log(`${MAX_DEMANDS} names are asked for on demand (MAX_DEMANDS): further ones are not`)
      this.full = true
      return null
    }
    const entry: Entry = { demand, resource: null, waiters: new Set(), timer: NO_TIMER }
    this.groupOf(demand).entries.set(name, entry)
    this.size++
    this.await(entry)
    this.onWanted?.(demand)
    return entry
  }

  private groupOf(demand: Demand): Group {
    const key = keyOf(demand)
    let group = this.groups.get(key)
    if (group === undefined) this.groups.set(key, (group = { kind: demand.kind, key, entries: new Map(), answered: new Map() }))
    return group
  }

  private await(entry: Entry): void {
    entry.timer.cancel()
    entry.timer = this.clock.after(UNANSWERED_MS, () => this.end(entry))
  }

  /** An update has been applied. */
  answer(kind: DemandKind, source: ConfigSource, { found, missing }: DemandAnswer): void {
    const group = this.groups.get(keyOf({ kind, source }))
    if (group === undefined) return
    const { entries, answered } = group
    const woken: (() => void)[] = []
    for (const [name, resource] of found) {
      const entry = entries.get(name)
      if (entry === undefined) continue
      release(group, entry)
      entry.resource = resource
      const others = answered.get(resource)
      if (others === undefined) answered.set(resource, new Set([entry]))
      else others.add(entry)
      entry.timer.cancel()
      // A cluster wakes those who wait for it once it is warm.
      if (kind !== 'cluster') woken.push(...take(entry.waiters))
    }
    for (const name of missing) {
      const asked = entries.get(name)
      if (asked !== undefined) this.end(asked)
      for (const entry of [...(answered.get(name) ?? [])]) this.end(entry)
    }
    for (const wake of woken) wake()
  }

  /** What came under this name may be used now, wherever it came from. */
  ready(kind: DemandKind, name: string): void {
    for (const group of this.groups.values()) {
      const entry = group.kind === kind ? group.entries.get(name) : undefined
      if (entry !== undefined) for (const wake of take(entry.waiters)) wake()
    }
  }

  /** Of one kind: who replaces all subscriptions of a type must not lose these. */
  *of(wanted: DemandKind): IterableIterator<Demand> {
    for (const { kind, entries } of this.groups.values()) if (kind === wanted) for (const { demand } of entries.values()) yield demand
  }

  /** Nobody uses the source any more. */
  drop(kind: DemandKind, source: ConfigSource, belongs: (name: string) => boolean): void {
    const entries = this.groups.get(keyOf({ kind, source }))?.entries.values() ?? []
    for (const entry of [...entries]) if (belongs(entry.demand.name)) this.end(entry)
  }

  close(): void {
    for (const { entries } of this.groups.values()) for (const { timer } of entries.values()) timer.cancel()
    this.groups.clear()
    this.size = 0
  }

  private end(entry: Entry): void {
    const { demand, timer, waiters } = entry
    const group = this.groups.get(keyOf(demand))
    if (group?.entries.get(demand.name) !== entry) return
    timer.cancel()
    release(group, entry)
    group.entries.delete(demand.name)
    if (group.entries.size === 0) this.groups.delete(group.key)
    this.size--
    this.full = false
    this.onUnwanted?.(demand)
    for (const wake of take(waiters)) wake()
  }
}

/** What answered it does so no more. */
function release({ answered }: Group, entry: Entry): void {
  const { resource } = entry
  const others = resource === null ? undefined : answered.get(resource)
  if (others?.delete(entry) === true && others.size === 0) answered.delete(resource!)
}

function take(waiters: Set<() => void>): (() => void)[] {
  const all = [...waiters]
  waiters.clear()
  return all
}

function keyOf({ kind, source }: Pick<Demand, 'kind' | 'source'>): string {
  return `${kind} ${sourceKey(source)}`
}
