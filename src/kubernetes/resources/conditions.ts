// Conditions of a custom resource: whether its entry is in force, and for an API gateway and its routes what the control plane says of them. Pure;
// called by entry-controller.ts. Invariant: one condition a type, as Kubernetes keys them, and one that has not changed keeps its time.
import type { Condition } from './resource-kinds.js'

/** Of an entry's `Status`: one for each type and each other entry that it speaks of. */
export interface EntryCondition {
  readonly Type: string
  readonly Status: string
  readonly Reason?: string
  readonly Message?: string
}

export interface Refusal {
  readonly reason: string
  readonly message: string
}

export const SYNCED = 'Synced'
/** Kubernetes' limit of a condition's message. */
const MAX_MESSAGE_CHARS = 32_768

export function syncedCondition(refusal: Refusal | undefined): NewCondition {
  return { type: SYNCED, status: refusal === undefined ? 'True' : 'False', ...refusal }
}

export type NewCondition = Omit<Condition, 'lastTransitionTime' | 'observedGeneration'>

/** Types that are well when they are not so. */
const NEGATIVE: ReadonlySet<string> = new Set(['Conflicted'])

/** Of a type that speaks of several entries, the worst counts, and all that are as bad are said. */
export function conditionsOf(entries: readonly EntryCondition[]): NewCondition[] {
  return [...new Set(entries.map(({ Type }) => Type))].map(type => {
    const all = entries.filter(({ Type }) => Type === type)
    const [good, bad] = NEGATIVE.has(type) ? (['False', 'True'] as const) : (['True', 'False'] as const)
    const status = all.some(({ Status }) => Status === bad) ? bad : all.every(({ Status }) => Status === good) ? good : 'Unknown'
    const said = all.filter(({ Status }) => Status === status)
    const messages = [...new Set(said.map(({ Message = '' }) => Message).filter(Boolean))].join('; ')
    return {
      type,
      status,
      reason: said[0]?.Reason || type,
      ...(messages === '' ? {} : { message: messages.slice(0, MAX_MESSAGE_CHARS) }),
    }
  })
}

/** `before` with these in the place of those that were; null where nothing has changed. */
export function nextConditions(
  before: readonly Condition[],
  wanted: readonly NewCondition[],
  generation: number | undefined,
  now: string,
): readonly Condition[] | null {
  const next = wanted.map(condition => {
    const known = before.find(({ type }) => type === condition.type)
    return {
      ...condition,
      lastTransitionTime: known?.status === condition.status ? known.lastTransitionTime : now,
      ...(generation === undefined ? {} : { observedGeneration: generation }),
    }
  })
  const same = next.length === before.length && next.every(each => before.some(known => sameCondition(known, each)))
  return same ? null : next
}

function sameCondition(a: Condition, b: Condition): boolean {
  return (
    a.type === b.type &&
    a.status === b.status &&
    a.reason === b.reason &&
    a.message === b.message &&
    a.observedGeneration === b.observedGeneration
  )
}
