// User events (`/v1/event`): small messages to whoever waits for them on this agent, the last 256 of them, in memory only, as in Consul.
// Used by the event endpoints.
// Invariant: an event's index, which clients compute from its id (the halves of the UUID, xored), grows from event to event and is a whole
// number that JavaScript holds exactly.
import { randomBytes } from 'node:crypto'
import { RE2JS } from 're2js'
import { WatchedIndex } from '../store/watched-index.js'

export interface UserEvent {
  readonly ID: string
  readonly Name: string
  /** Base64; null when empty. */
  readonly Payload: string | null
  readonly NodeFilter: string
  readonly ServiceFilter: string
  readonly TagFilter: string
  readonly Version: 1
  readonly LTime: number
}

export type EventFilters = Pick<UserEvent, 'NodeFilter' | 'ServiceFilter' | 'TagFilter'>

/** What the filters are about: this agent. */
export interface EventTarget {
  readonly node: string
  services(): Iterable<{ readonly Service: string; readonly Tags: readonly string[] }>
}

export const MAX_EVENTS = 256
/** Events of one millisecond; the index counts on after that. */
const EVENTS_PER_MS = 1_024

export class UserEvents extends WatchedIndex {
  private readonly kept: UserEvent[] = []
  private clock = 0

  constructor(private readonly target: EventTarget) {
    super()
  }

  /** Oldest first. */
  list(name: string): readonly UserEvent[] {
    return name === '' ? this.kept : this.kept.filter(event => event.Name === name)
  }

  /** Throws when a filter is no regular expression. What is not meant for this agent is made and not kept. */
  fire(name: string, payload: string | null, filters: EventFilters): UserEvent {
    const wanted = this.isForUs(filters)
    const index = Math.max(Date.now() * EVENTS_PER_MS, this.index() + 1)
    const event: UserEvent = { ID: idOfIndex(index), Name: name, Payload: payload, ...filters, Version: 1, LTime: ++this.clock }
    if (!wanted) return event
    this.kept.push(event)
    if (this.kept.length > MAX_EVENTS) this.kept.shift()
    this.advance(index)
    return event
  }

  private isForUs({ NodeFilter, ServiceFilter, TagFilter }: EventFilters): boolean {
    const node = matcher('node', NodeFilter)
    const service = matcher('service', ServiceFilter)
    const tag = matcher('tag', TagFilter)
    if (!node(this.target.node)) return false
    if (ServiceFilter === '') return true
    for (const { Service, Tags } of this.target.services()) if (service(Service) && (TagFilter === '' || Tags.some(tag))) return true
    return false
  }
}

function matcher(what: string, expression: string): (text: string) => boolean {
  if (expression === '') return () => true
  try {
    const regex = RE2JS.compile(expression)
    return text => regex.matcher(text).find()
  } catch (error) {
    throw new Error(`Invalid ${what} filter: ${(error as Error).message}`)
  }
}

function idOfIndex(index: number): string {
  const upper = randomBytes(8).readBigUInt64BE()
  const hex = (upper ^ BigInt(index)).toString(16).padStart(16, '0') + upper.toString(16).padStart(16, '0')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}
