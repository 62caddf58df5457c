// Failing upstreams, said once: the first failure of a cluster and cause at once, what follows of it as one line with a count, as long as it
// goes on. The same for requests that intentions in shadow would refuse. Made by the server; told by the router, the TCP proxy and the RBAC
// filters. Failing path only. Invariant: a line a minute for each subject and cause, however many requests fail, and no more of those kept
// than MAX_KEPT.

import type { Clock } from '../../io/clock.js'

export interface UpstreamFailures {
  /** `cause`: a word for what is alike; `text`: this one, with host and limit. */
  record(cluster: string, cause: string, text: string): void
}

/** What a line is about. */
export type FailureSubject = 'upstream' | 'intention'

export type SayFailure = (message: string, fields: Record<string, unknown>) => void

const QUIET_MS = 60_000
const MAX_KEPT = 1024
/** What else there is while that many are kept. */
const OTHERS = 'others'

interface Repeated {
  readonly cluster: string
  readonly cause: string
  /** Since the last line. */
  more: number
  /** The newest of them. */
  text: string
}

export class FailureLog implements UpstreamFailures {
  private readonly clock: Clock
  private readonly say: SayFailure
  private readonly subject: FailureSubject
  private readonly kept = new Map<string, Repeated>()

  constructor(clock: Clock, say: SayFailure, subject: FailureSubject = 'upstream') {
    this.clock = clock
    this.say = say
    this.subject = subject
  }

  record(cluster: string, cause: string, text: string): void {
    let key = `${cause} ${cluster}`
    if (!this.kept.has(key) && this.kept.size >= MAX_KEPT) key = OTHERS
    const known = this.kept.get(key)
    if (known !== undefined) {
      known.more++
      known.text = text
      return
    }
    const repeated: Repeated = key === OTHERS ? { cluster: OTHERS, cause: OTHERS, more: 0, text } : { cluster, cause, more: 0, text }
    this.kept.set(key, repeated)
    this.say(`${this.subject} ${cluster}: ${text}`, this.fields(cluster, cause, 1))
    this.rest(key, repeated)
  }

  /** Quiet for a while; then what came meanwhile, and quiet again, or an end. */
  private rest(key: string, repeated: Repeated): void {
    this.clock.after(QUIET_MS, () => {
      const { cluster, cause, more, text } = repeated
      if (more === 0) {
        this.kept.delete(key)
        return
      }
      repeated.more = 0
      this.say(`${this.subject} ${cluster}: ${text} (${more} more in ${QUIET_MS / 1000} s)`, this.fields(cluster, cause, more))
      this.rest(key, repeated)
    })
  }

  private fields(name: string, cause: string, count: number): Record<string, unknown> {
    return { [this.subject === 'upstream' ? 'cluster' : 'intention']: name, cause, count }
  }
}
