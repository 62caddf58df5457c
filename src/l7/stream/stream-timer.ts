// Pooled timers of one request: the route timeout, the idle timeouts and the longest durations. Kept in free lists by kind, since
// timers of one kind mostly run for one duration and then hardly ever touch Node's timer lists. HOT: per request.

import { LazyTimer } from '../../io/lazy-timer.js'

export type StreamTimerKind = 'route' | 'idle' | 'max-duration' | 'upstream-max-duration' | 'request'

export interface StreamTimerTarget {
  onStreamTimer(kind: StreamTimerKind): void
}

/** Timers kept for reuse, per kind. */
const MAX_FREE_TIMERS = 1024

class StreamTimer extends LazyTimer {
  target: StreamTimerTarget | null = null
  readonly kind: StreamTimerKind

  constructor(kind: StreamTimerKind) {
    super(() => this.target?.onStreamTimer(this.kind))
    this.kind = kind
  }
}

export type { StreamTimer }

const free: Record<StreamTimerKind, StreamTimer[]> = { route: [], idle: [], 'max-duration': [], 'upstream-max-duration': [], request: [] }

export function acquireStreamTimer(kind: StreamTimerKind, target: StreamTimerTarget, ms: number): StreamTimer {
  const timer = free[kind].pop() ?? new StreamTimer(kind)
  timer.target = target
  timer.set(ms)
  return timer
}

/** The timer must not be used after this. */
export function releaseStreamTimer(timer: StreamTimer): void {
  timer.target = null
  timer.clear()
  const list = free[timer.kind]
  if (list.length < MAX_FREE_TIMERS) list.push(timer)
  else timer.dispose()
}
