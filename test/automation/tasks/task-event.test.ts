// The state of a task by its last runs, as CTS counts.
import { expect, it } from 'vitest'
import { taskStatusOf } from '../../../src/automation/tasks/task-event.js'

it.each([
  ['', 'unknown'],
  ['+', 'successful'],
  ['+-', 'successful'],
  ['-', 'errored'],
  ['-++', 'errored'],
  ['--', 'critical'],
  ['-+-+', 'critical'],
])('%s is %s', (runs, want) => {
  expect(taskStatusOf([...runs].map(run => ({ success: run === '+' })))).toBe(want)
})
