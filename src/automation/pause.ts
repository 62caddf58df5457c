// Waits that end early when they are called off. Used by everything in automation/ that tries again later.
import type { Clock } from '../io/clock.js'

/** Resolves after `ms`, or as soon as `signal` is aborted; it never rejects. */
export function pause(ms: number, clock: Clock, signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    const timer = clock.after(ms, () => {
      signal.removeEventListener('abort', over)
      resolve()
    })
    const over = (): void => {
      timer.cancel()
      resolve()
    }
    signal.addEventListener('abort', over, { once: true })
    if (signal.aborted) over()
  })
}
