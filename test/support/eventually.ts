// Waits for what comes by itself, by vitest's polling (which moves fake clocks along): far longer than it takes, for vitest's own limit of a
// second is not enough on a busy machine. Tests that wait for another process have `until` (proxy-process.ts).
import { vi } from 'vitest'

const WITHIN_MS = 60_000
const EVERY_MS = 20

/** Resolves once `check` throws no more; fails with its last error. */
export function eventually<T>(check: () => T | Promise<T>): Promise<T> {
  return vi.waitFor(check, { timeout: WITHIN_MS, interval: EVERY_MS })
}
