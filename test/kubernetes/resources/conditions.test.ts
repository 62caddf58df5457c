// Conditions of custom resources: one a type, the worst of several, and the time of a change.
import { expect, it } from 'vitest'
import { conditionsOf, nextConditions } from '../../../src/kubernetes/resources/conditions.js'

const entry = (Type: string, Status: string, Message = '') => ({ Type, Status, Reason: `${Type}Reason`, Message })

it('of several of a type the worst counts, with all that are as bad', () => {
  expect(conditionsOf([entry('Bound', 'True', 'fine'), entry('Bound', 'False', 'a'), entry('Bound', 'False', 'b')])).toEqual([
    { type: 'Bound', status: 'False', reason: 'BoundReason', message: 'a; b' },
  ])
})

it('a conflict is bad when there is one', () => {
  expect(conditionsOf([entry('Conflicted', 'False'), entry('Conflicted', 'True', 'two')])).toMatchObject([
    { status: 'True', message: 'two' },
  ])
  expect(conditionsOf([entry('Conflicted', 'False')])).toMatchObject([{ status: 'False' }])
})

it('what neither holds nor fails is unknown', () => {
  expect(conditionsOf([entry('Accepted', 'True'), entry('Accepted', 'Unknown')])).toMatchObject([{ status: 'Unknown' }])
})

it('the time is that of the change, and nothing is written where there is none', () => {
  const synced = { type: 'Synced', status: 'True' } as const
  const before = nextConditions([], [synced], 1, 'then')!
  expect(before).toEqual([{ ...synced, lastTransitionTime: 'then', observedGeneration: 1 }])
  expect(nextConditions(before, [synced], 1, 'now')).toBeNull()
  expect(nextConditions(before, [synced], 2, 'now')).toEqual([{ ...synced, lastTransitionTime: 'then', observedGeneration: 2 }])
  const failed = { ...synced, status: 'False', reason: 'No', message: 'why' } as const
  expect(nextConditions(before, [failed], 1, 'now')).toEqual([{ ...failed, lastTransitionTime: 'now', observedGeneration: 1 }])
})

it('a condition that is no longer said is taken away', () => {
  const before = nextConditions(
    [],
    [
      { type: 'Synced', status: 'True' },
      { type: 'Bound', status: 'True' },
    ],
    1,
    'then',
  )!
  expect(nextConditions(before, [{ type: 'Synced', status: 'True' }], 1, 'now')).toHaveLength(1)
})
