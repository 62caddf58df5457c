// A span while it is open: what both tracers know of one. Made and sent by a Tracer, filled by span-tags. Names and values are byte
// strings. Invariant: a span that is not sampled keeps no tags and no events; its ids are passed on all the same.

export type SpanKind = 'server' | 'client'

export interface SpanEvent {
  readonly name: string
  /** Milliseconds since the epoch, with fractions. */
  readonly atMs: number
}

export interface SpanIdentity {
  /** Lower-case hex, 16 or 32 digits. */
  readonly traceId: string
  readonly id: string
  /** '' for the first of a trace. */
  readonly parentId: string
  readonly sampled: boolean
  readonly kind: SpanKind
  /** The parent is of another process. */
  readonly parentIsRemote: boolean
  /** W3C tracestate; '' for none. */
  readonly traceState: string
  /** Zipkin: the client's span has this id too. */
  readonly shared: boolean
  /** The context came in the one `b3` header, and goes on in it. */
  readonly singleB3: boolean
}

export class Span {
  readonly identity: SpanIdentity
  name: string
  readonly startMs: number
  endMs = 0
  readonly tagNames: string[] = []
  readonly tagValues: string[] = []
  readonly events: SpanEvent[] = []

  constructor(identity: SpanIdentity, name: string, startMs: number) {
    this.identity = identity
    this.name = name
    this.startMs = startMs
  }

  /** The last value of a name counts. */
  tag(name: string, value: string): void {
    if (!this.identity.sampled || name === '') return
    const index = this.tagNames.indexOf(name)
    if (index !== -1) this.tagValues[index] = value
    else {
      this.tagNames.push(name)
      this.tagValues.push(value)
    }
  }

  tagged(name: string): string | undefined {
    const index = this.tagNames.indexOf(name)
    return index === -1 ? undefined : this.tagValues[index]
  }

  event(name: string, atMs: number): void {
    if (this.identity.sampled) this.events.push({ name, atMs })
  }
}
