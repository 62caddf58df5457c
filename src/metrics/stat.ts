// The handles of the simple stats: Counter, Gauge, TextReadout (Histogram has its own file). Made only by StatsStore; the data path
// writes their `value`, the expositions read it. Every field is set in the constructor, so one hidden class serves each kind.
import type { Histogram } from './histogram.js'
import type { StatState } from './stat-state.js'

export type StatKind = 'counter' | 'gauge' | 'histogram' | 'text'
export type Stat = Counter | Gauge | Histogram | TextReadout

/** A number that only grows, until `/reset_counters`. Hot path: `counter.value++`. */
export class Counter implements StatState {
  readonly kind = 'counter'
  value = 0
  refs = 0
  exposed = true
  standalone = false
  private wasReset = false
  /** `value` at the last flush; below 0 where a reset came since. */
  private flushed = 0

  constructor(readonly name: string) {}

  /** Touched at least once (Envoy's `usedonly`). A reset does not undo it. */
  get used(): boolean {
    return this.value > 0 || this.wasReset
  }

  reset(): void {
    this.wasReset ||= this.value > 0
    this.flushed -= this.value
    this.value = 0
  }

  /** What `value` was at the last flush. */
  get flushedValue(): number {
    return this.flushed
  }

  /** Growth since it was last asked for; a reset takes nothing off. */
  takeGrowth(): number {
    const growth = this.value - this.flushed
    this.flushed = this.value
    return growth
  }
}

/** A number that goes up and down. Hot path: `gauge.value++`, `gauge.value = n`; any write marks it used, a write of 0 too. */
export class Gauge implements StatState {
  readonly kind = 'gauge'
  refs = 0
  exposed = true
  standalone = false
  used = false
  private current = 0

  constructor(readonly name: string) {}

  get value(): number {
    return this.current
  }

  set value(next: number) {
    this.current = next
    this.used = true
  }
}

/** A string, such as the version of the last accepted config. Shown only where text readouts are asked for. */
export class TextReadout implements StatState {
  readonly kind = 'text'
  refs = 0
  exposed = true
  standalone = false
  used = false
  private current = ''

  constructor(readonly name: string) {}

  get value(): string {
    return this.current
  }

  set value(next: string) {
    this.current = next
    this.used = true
  }
}
