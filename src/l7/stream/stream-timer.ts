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
  readonly pool: TimerPool

  constructor(pool: TimerPool) {
    super(() => this.target?.onStreamTimer(pool.kind))
    this.pool = pool
  }
}

export type { StreamTimer }

/** The free timers of one kind. */
interface TimerPool {
  readonly kind: StreamTimerKind
  readonly free: StreamTimer[]
}

const poolOf = (kind: StreamTimerKind): TimerPool => ({ kind, free: [] })

export const ROUTE_TIMERS = poolOf('route')
export const IDLE_TIMERS = poolOf('idle')
export const MAX_DURATION_TIMERS = poolOf('max-duration')
export const UPSTREAM_MAX_TIMERS = poolOf('upstream-max-duration')
export const REQUEST_TIMERS = poolOf('request')

export function acquireStreamTimer(pool: TimerPool, target: StreamTimerTarget, ms: number): StreamTimer {
  const timer = pool.free.pop() ?? new StreamTimer(pool)
  timer.target = target
  timer.set(ms)
  return timer
}

/** The timer must not be used after this. */
export function releaseStreamTimer(timer: StreamTimer): void {
  timer.target = null
  timer.clear()
  const { free } = timer.pool
  if (free.length < MAX_FREE_TIMERS) free.push(timer)
  else timer.dispose()
}
