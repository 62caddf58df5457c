// Stats as lines of statsd and of DogStatsD, as Envoy 1.40 writes them: `prefix.name:value|type`, with `|#tag:value,…` where tags stand
// beside the name. Used by statsd-sink.ts. Pure, but for what it remembers of names: those of live stats, forgotten with them.

import type { Histogram } from '../histogram.js'
import type { Counter, Gauge, Stat } from '../stat.js'
import type { TagProducer } from '../tags.js'

const PERCENT_SCALE = 1e6
const DEFAULT_PREFIX = 'envoy'

interface Frame {
  /** Up to the value. */
  readonly head: string
  /** After the type. */
  readonly tail: string
}

export class StatsdLines {
  private readonly prefix: string
  /** Null: tags stay in the name. */
  private readonly tags: TagProducer | null
  private readonly frames = new WeakMap<Stat, Frame>()

  constructor(prefix: string, tags: TagProducer | null) {
    this.prefix = prefix === '' ? DEFAULT_PREFIX : prefix
    this.tags = tags
  }

  counter(counter: Counter, delta: number): string {
    return this.line(counter, delta, 'c')
  }

  gauge(gauge: Gauge): string {
    return this.line(gauge, gauge.value, 'g')
  }

  /** One value. Whatever it counts is a time in milliseconds to statsd, but for fractions of one. */
  value(histogram: Histogram, value: number): string {
    if (histogram.unit === 'percent') return this.line(histogram, value / PERCENT_SCALE, 'h')
    return this.line(histogram, Math.floor(histogram.unit === 'microseconds' ? value / 1000 : value), 'ms')
  }

  private line(stat: Stat, value: number, type: string): string {
    let frame = this.frames.get(stat)
    if (frame === undefined) {
      frame = this.frameOf(stat.name)
      this.frames.set(stat, frame)
    }
    return `${frame.head}${value}|${type}${frame.tail}`
  }

  private frameOf(statName: string): Frame {
    if (this.tags === null) return { head: `${this.prefix}.${safeName(statName)}:`, tail: '' }
    const { name, tags } = this.tags.produce(statName)
    const list = tags.map(tag => `${safeTag(tag.name)}:${safeTag(tag.value)}`).join(',')
    return { head: `${this.prefix}.${safeName(name)}:`, tail: list === '' ? '' : `|#${list}` }
  }
}

/** What would end the name, or the line. */
function safeName(name: string): string {
  return name.replace(/[:|@\n]/g, '_')
}

function safeTag(text: string): string {
  return text.replace(/[,|@\n]/g, '_')
}
