// Long work that must not stop traffic: a generator that yields wherever it may be interrupted, run for SLICE_MS of each turn of the event
// loop. Used for config that is applied (xds-bridge.ts); what it makes is swapped in at the end, in one assignment, by its owner. Work that
// fits in one slice is over when `inSlices` returns, so that small updates are applied at once.

/** Of a turn. */
const SLICE_MS = 2

export type Steps<T> = Generator<void, T, void>

/** All of it, now. */
export function finish<T>(steps: Steps<T>): T {
  for (;;) {
    const { done, value } = steps.next()
    if (done) return value
  }
}

/** The result, or a promise of it when one slice was not enough. */
export function inSlices<T>(steps: Steps<T>): T | Promise<T> {
  const first = oneSlice(steps)
  if (first.done) return first.value
  return new Promise((resolve, reject) => {
    const goOn = (): void => {
      try {
        const { done, value } = oneSlice(steps)
        if (done) resolve(value)
        else setImmediate(goOn)
      } catch (error) {
        reject(error)
      }
    }
    setImmediate(goOn)
  })
}

function oneSlice<T>(steps: Steps<T>): IteratorResult<void, T> {
  const until = performance.now() + SLICE_MS
  for (;;) {
    const result = steps.next()
    if (result.done || performance.now() >= until) return result
  }
}
