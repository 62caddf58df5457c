// Who changed what: the last changes of this control plane, in memory. Written by the HTTP API (audit-hook.ts), the mesh file, the CA and the
// health checks (`ControlPlane`); read by `/v1/outrigger/audit`.
// Invariants: secrets never get here, a token is its accessor; each area has a ring of its own, so that a busy key-value store does not push
// out who changed an intention, and so have writes that were refused; the same change by the same hand again and again is one event.
import { WatchedIndex } from '../store/watched-index.js'

export type AuditOutcome = 'done' | 'refused' | 'denied' | 'failed'

export interface AuditEntry {
  /** What kind of thing: `config`, `intentions`, `kv`, `services`, `acl`, `ca` … */
  readonly area: string
  /** `PUT`, `DELETE` …, or what happened by itself: `reload`, `rotate`, `remove`. */
  readonly action: string
  readonly subject: string
  readonly outcome: AuditOutcome
  /** Accessor of the token, '' where none was shown, or what acted by itself: `mesh file`, `certificate authority`. */
  readonly by: string
  /** Name or description of the token, '' where there is none. */
  readonly byName: string
  /** Address of the client, '' for what acted by itself. */
  readonly from: string
}

export interface AuditEvent extends AuditEntry {
  /** Rises with each event, and with each repetition of one. */
  readonly index: number
  /** Milliseconds since the epoch, of the last repetition. */
  readonly at: number
  readonly times: number
}

const MAX_EVENTS_PER_RING = 250
const MAX_TEXT_CHARS = 300

export class AuditLog extends WatchedIndex {
  private readonly rings = new Map<string, AuditEvent[]>()
  private readonly now: () => number

  constructor(now: () => number = Date.now) {
    super()
    this.now = now
  }

  add(given: AuditEntry): void {
    const entry = { ...given, subject: given.subject.slice(0, MAX_TEXT_CHARS) }
    const key = entry.outcome === 'done' ? entry.area : `${entry.area} refused`
    const ring = this.rings.get(key) ?? []
    this.rings.set(key, ring)
    const before = ring.at(-1)
    const repeated = before !== undefined && isSame(before, entry)
    if (repeated) ring.pop()
    else if (ring.length === MAX_EVENTS_PER_RING) ring.shift()
    const index = this.index() + 1
    ring.push({ ...entry, index, at: this.now(), times: repeated ? before.times + 1 : 1 })
    this.advance(index)
  }

  /** Newest first. */
  events(): AuditEvent[] {
    return [...this.rings.values()].flat().sort((a, b) => b.index - a.index)
  }
}

function isSame(before: AuditEvent, entry: AuditEntry): boolean {
  const { action, subject, by, from } = before
  return action === entry.action && subject === entry.subject && by === entry.by && from === entry.from && before.outcome === entry.outcome
}
