// What follows when the overload manager sets a level: connections that were held are taken, timeouts that run are shortened, garbage is
// collected, the streams that hold most are reset. Refusing connections and requests needs no step: they ask `overload` themselves.
// Made by Server in every process that serves; OverloadWatch calls `set`, in a worker the primary's message does.

import { createRequire } from 'node:module'
import { runInNewContext } from 'node:vm'
import { Overload } from '../../l7/server/overload.js'
import { resetStreamCount, shedLoadCount, shrinkCount } from '../../metrics/overload-stats.js'
import type { Counter } from '../../metrics/stat.js'
import type { StatsStore } from '../../metrics/stats-store.js'
import type { LoadShedPoint, OverloadAction, OverloadConfig } from '../../model/overload.js'

/** As Envoy does while the action is in force. */
const SHRINK_INTERVAL_MS = 10_000
/** Streams that one refresh resets at most, as in Envoy. */
const MAX_RESETS = 50
/** Envoy sorts streams by what they hold into so many classes, each of twice the size. */
const SIZE_CLASSES = 8

/** A stream and what it makes this process hold. */
export interface HeldStream {
  readonly heldBytes: number
  resetForMemory(): void
}

/** The listeners, as overload acts on them. */
export interface OverloadedListeners {
  acceptHeld(): void
  rescaleTimeouts(): void
  streams(): Iterable<HeldStream>
}

export interface OverloadActionsEnvironment {
  readonly store: StatsStore
  readonly random: () => number
}

export class OverloadActions {
  /** What connections and requests ask. */
  readonly overload: Overload
  /** Set once they are there. */
  listeners: OverloadedListeners | null = null
  private readonly config: OverloadConfig
  private readonly resets: Counter
  private readonly shrinks: Counter | null
  private shrinkTimer: NodeJS.Timeout | null = null
  private resetTimer: NodeJS.Timeout | null = null
  private resetLevel = 0

  constructor(config: OverloadConfig, { store, random }: OverloadActionsEnvironment) {
    this.config = config
    this.overload = new Overload({
      random,
      timeoutFloors: config.timeoutFloors,
      shedCount: point => shedLoadCount(store, point),
    })
    const has = (name: OverloadAction): boolean => config.actions.some(action => action.name === name)
    this.resets = resetStreamCount(store)
    this.shrinks = has('envoy.overload_actions.shrink_heap') ? shrinkCount(store) : null
    for (const { name } of config.shedPoints) shedLoadCount(store, name)
  }

  set(name: OverloadAction | LoadShedPoint, value: number): void {
    this.overload.set(name, value)
    switch (name) {
      case 'envoy.overload_actions.stop_accepting_connections':
        if (!this.overload.holdsConnections) this.listeners?.acceptHeld()
        return
      case 'envoy.overload_actions.reduce_timeouts':
        this.listeners?.rescaleTimeouts()
        return
      case 'envoy.overload_actions.shrink_heap':
        this.shrinkTimer = repeat(this.shrinkTimer, value >= 1, SHRINK_INTERVAL_MS, () => this.shrink())
        return
      case 'envoy.overload_actions.reset_high_memory_stream':
        this.resetLevel = value
        this.resetTimer = repeat(this.resetTimer, value > 0, this.config.refreshIntervalMs, () => this.resetStreams())
    }
  }

  close(): void {
    for (const timer of [this.shrinkTimer, this.resetTimer]) if (timer !== null) clearInterval(timer)
  }

  private shrink(): void {
    if (this.shrinks !== null) this.shrinks.value++
    collectGarbage()
  }

  /** The nearer to the end, the smaller the streams that it takes: the largest class alone at first, all of them at last. */
  private resetStreams(): void {
    const { minTrackedBytes } = this.config
    if (minTrackedBytes === null || this.listeners === null) return
    const classes = Math.min(SIZE_CLASSES, Math.floor(this.resetLevel * SIZE_CLASSES) + 1)
    const leastBytes = minTrackedBytes * 2 ** (SIZE_CLASSES - classes)
    const found = [...this.listeners.streams()].filter(({ heldBytes }) => heldBytes >= leastBytes)
    found.sort((a, b) => b.heldBytes - a.heldBytes)
    for (const stream of found.slice(0, MAX_RESETS)) {
      this.resets.value++
      stream.resetForMemory()
    }
  }
}

/** At once and then every `ms`, while `on`. */
function repeat(timer: NodeJS.Timeout | null, on: boolean, ms: number, step: () => void): NodeJS.Timeout | null {
  if (!on) {
    if (timer !== null) clearInterval(timer)
    return null
  }
  if (timer !== null) return timer
  step()
  return setInterval(step, ms).unref()
}

let collector: (() => void) | null = null

/** V8 gives its collector to contexts that begin after it was asked to. */
function collectGarbage(): void {
  if (collector === null) {
    const { setFlagsFromString }: typeof import('node:v8') = createRequire(import.meta.url)('node:v8')
    setFlagsFromString('--expose-gc')
    collector = runInNewContext('gc') as () => void
    setFlagsFromString('--no-expose-gc')
  }
  collector()
}
