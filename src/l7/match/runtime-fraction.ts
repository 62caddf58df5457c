// envoy.config.core.v3.RuntimeFractionalPercent: a chance that a runtime key may override. Called by routes, fault, CORS, mirrors,
// rate limits and access-log filters. And RuntimeFeatureFlag: on or off; and RuntimeUInt32. The runtime is read at each decision, so that an admin's change takes effect at once.

import type { RuntimeFlag, RuntimeFraction } from '../../model/matcher.js'

/** The merged runtime layers. */
export interface Runtime {
  get(key: string): number | boolean | string | undefined
}

export const EMPTY_RUNTIME: Runtime = { get: () => undefined }

/** Decides for one uniform number in [0, 1). Null: always true. */
export type FractionTest = (random: number) => boolean

export function compileRuntimeFraction(fraction: RuntimeFraction | null, runtime: Runtime): FractionTest | null {
  if (fraction === null) return null
  const { numerator, denominator, runtimeKey } = fraction
  const chance = numerator / denominator
  if (runtimeKey === '') {
    if (chance >= 1) return null
    return random => random < chance
  }
  return random => random < overriddenChance(runtime.get(runtimeKey), chance)
}

/** The same at once, for a fraction that differs from request to request; `runtimeKey` in place of its own. */
export function drawFraction(
  { numerator, denominator }: RuntimeFraction,
  runtimeKey: string,
  runtime: Runtime,
  random: () => number,
): boolean {
  const chance = numerator / denominator
  if (runtimeKey === '') return chance >= 1 || random() < chance
  return random() < overriddenChance(runtime.get(runtimeKey), chance)
}

/** Only a boolean in the runtime counts (Envoy Snapshot::getBoolean). */
export function flagIsOn({ defaultValue, runtimeKey }: RuntimeFlag, runtime: Runtime): boolean {
  const value = runtimeKey === '' ? undefined : runtime.get(runtimeKey)
  return typeof value === 'boolean' ? value : defaultValue
}

/** RuntimeUInt32: only a whole number in the runtime counts (Envoy Snapshot::getInteger). */
export function runtimeInteger(fallback: number, runtimeKey: string, runtime: Runtime): number {
  const value = runtimeKey === '' ? undefined : runtime.get(runtimeKey)
  return typeof value === 'number' && value >= 0 && Number.isInteger(value) ? value : fallback
}

/** An integer in the runtime is a percentage (Envoy Snapshot::featureEnabled). */
function overriddenChance(value: number | boolean | string | undefined, chance: number): number {
  if (value === undefined) return chance
  if (typeof value === 'boolean') return value ? 1 : 0
  const percent = typeof value === 'number' ? value : /^\d+(\.\d+)?$/.test(value) ? Number(value) : Number.NaN
  return Number.isNaN(percent) ? chance : percent / 100
}
