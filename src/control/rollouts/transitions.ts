// The phases of a rollout and every way from one to another: the only place that says so. rollout-engine.ts asks it before each change and
// docs/rollouts.md draws it (a test compares the two). Invariant: what is not in the table does not happen, whoever asks for it.

export type Phase =
  | 'Ready'
  | 'Starting'
  | 'Mirroring'
  | 'Stepping'
  | 'Gated'
  | 'Paused'
  | 'Finishing'
  | 'Succeeded'
  | 'RollingBack'
  | 'RolledBack'
  | 'Conflicted'

export type Event =
  | 'start'
  | 'mirror'
  | 'step'
  | 'gate'
  | 'pause'
  | 'resume'
  | 'finish'
  | 'succeed'
  | 'fail'
  | 'abort'
  | 'restored'
  | 'conflict'

type Ways = Readonly<Partial<Record<Event, readonly Phase[]>>>

/** From everywhere between the first move and the last. */
const WAYS_OUT: Ways = { fail: ['RollingBack'], abort: ['RollingBack'], conflict: ['Conflicted'] }
const AGAIN: Ways = { start: ['Starting'] }

export const TRANSITIONS: Readonly<Record<Phase, Ways>> = {
  Ready: AGAIN,
  // Nothing has been moved yet, so there is nothing to bring back.
  Starting: { mirror: ['Mirroring'], step: ['Stepping'], fail: ['RolledBack'], abort: ['RolledBack'], conflict: ['Conflicted'] },
  Mirroring: { step: ['Stepping'], pause: ['Paused'], ...WAYS_OUT },
  Stepping: { step: ['Stepping'], gate: ['Gated'], finish: ['Finishing'], pause: ['Paused'], ...WAYS_OUT },
  Gated: { step: ['Stepping'], finish: ['Finishing'], pause: ['Paused'], ...WAYS_OUT },
  Paused: { resume: ['Mirroring', 'Stepping', 'Gated'], ...WAYS_OUT },
  // Promoted for good: what comes now takes nothing back.
  Finishing: { succeed: ['Succeeded'], conflict: ['Conflicted'] },
  RollingBack: { restored: ['RolledBack'], conflict: ['Conflicted'] },
  Succeeded: AGAIN,
  RolledBack: AGAIN,
  Conflicted: AGAIN,
}

export function isAllowed(from: Phase, event: Event, to: Phase): boolean {
  return TRANSITIONS[from][event]?.includes(to) === true
}

/** It moves by itself, and holds what it owns. */
export function isActive(phase: Phase): boolean {
  return TRANSITIONS[phase].start === undefined
}
