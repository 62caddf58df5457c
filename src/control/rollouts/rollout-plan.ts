// What a rollout comes to: its steps with what goes without saying (two for blue/green, the last one of a hundred percent), and what each phase
// has the sidecars do. Pure; used by rollout-engine.ts and by who shows a rollout.
import { durationMs } from '../config-entries/duration.js'
import type { Rollout, RolloutStep } from './rollout-types.js'

/** What the owned entries say. */
export interface Position {
  readonly weight: number
  readonly mirrorPercent: number
  /** The cohorts go to the new version. */
  readonly cohorts: boolean
}

export const START: Position = { weight: 0, mirrorPercent: 0, cohorts: false }
export const END: Position = { weight: 100, mirrorPercent: 0, cohorts: false }

export function stepsOf({ BlueGreen, Steps, Analysis }: Rollout): readonly RolloutStep[] {
  if (BlueGreen !== undefined) {
    const { Preview, Gate, Observe } = BlueGreen
    return [
      { Weight: 0, Pause: Preview, ...(Gate && { Gate }) },
      { Weight: 100, Pause: Observe },
    ]
  }
  if (Steps.at(-1)?.Weight === 100) return Steps
  // The whole load is looked at too before the old version is given up.
  return [...Steps, { Weight: 100, ...(Analysis && { Pause: Analysis.Interval }) }]
}

export function positionOf(rollout: Rollout, step: number): Position {
  return { weight: stepsOf(rollout)[step]!.Weight, mirrorPercent: 0, cohorts: rollout.Cohorts.length > 0 }
}

export function mirrorPosition({ Mirror }: Rollout): Position {
  return { weight: 0, mirrorPercent: Mirror?.Percent ?? 0, cohorts: false }
}

export const pauseMs = (step: RolloutStep): number => durationMs(step.Pause)
