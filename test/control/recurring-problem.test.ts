// A problem that comes each time something is tried.
import { expect, it } from 'vitest'
import { RecurringProblem } from '../../src/control/recurring-problem.js'

it('is said once, again where it changes, and its end once', () => {
  const said: string[] = []
  const problem = new RecurringProblem(reason => said.push(reason), 'gone')
  problem.wentWell()
  for (const reason of ['full', 'full', 'away', 'full']) problem.failed(reason)
  problem.wentWell()
  problem.wentWell()
  problem.failed('full')
  expect(said).toEqual(['full', 'away', 'gone', 'full'])
})

it('does not remember without end reasons that are others each time', () => {
  let said = 0
  const problem = new RecurringProblem(() => said++, 'gone')
  for (let i = 0; i <= 100; i++) problem.failed(`after ${i} ms`)
  problem.failed('after 0 ms')
  expect(said).toBe(102)
})
