// A whole number that a runtime key may set: how tracers batch (`tracing.<tracer>.min_flush_spans` and its like).

import type { Runtime } from '../match/runtime-fraction.js'

export function runtimeNumber(runtime: Runtime, key: string, fallback: number): number {
  const value = runtime.get(key)
  const number = typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value
  return typeof number === 'number' && Number.isSafeInteger(number) && number > 0 ? number : fallback
}
