// Counters of responses by code under one prefix: `<x>_completed`, `<x>_<n>xx` and `<x>_<code>`, made when they first happen, as Envoy
// does. Used by ClusterStats (all, external, internal, canary) and by virtual cluster and route stats.
// Invariant: only codes 100 to 999 get a name of their own, so at most 909 stats a prefix; others count as completed alone.
import type { Counter } from './stat.js'
import type { StatSource } from './stats-store.js'

interface CodeHandles {
  readonly completed: Counter
  readonly byClass: Counter | null
  readonly exact: Counter | null
}

export class ResponseCodeStats {
  private byCode: Map<number, CodeHandles> | null = null
  private uncoded: CodeHandles | null = null
  // Responses come in runs of one code.
  private lastStatus = -1
  private last: CodeHandles | null = null

  /** `stem` is what comes before `_completed`: `upstream_rq`, `external.upstream_rq`, ... */
  constructor(
    private readonly source: StatSource,
    private readonly stem: string,
  ) {}

  /** Counts one response. */
  // HOT: once per request; a compare, and a Map lookup when the code changes.
  charge(status: number): void {
    let handles = this.last
    if (status !== this.lastStatus || handles === null) {
      handles = this.byCode?.get(status) ?? this.make(status)
      this.lastStatus = status
      this.last = handles
    }
    handles.completed.value++
    if (handles.exact !== null) {
      handles.byClass!.value++
      handles.exact.value++
    }
  }

  private make(status: number): CodeHandles {
    const completed = this.source.counter(`${this.stem}_completed`)
    if (!(status >= 100 && status <= 999 && Number.isInteger(status))) {
      this.uncoded ??= { completed, byClass: null, exact: null }
      return this.uncoded
    }
    const handles = {
      completed,
      byClass: this.source.counter(`${this.stem}_${Math.floor(status / 100)}xx`),
      exact: this.source.counter(`${this.stem}_${status}`),
    }
    this.byCode ??= new Map()
    this.byCode.set(status, handles)
    return handles
  }
}
