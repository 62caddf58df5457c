// The table of transitions, and the picture of it in docs/rollouts.md.
import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { ACTIONS } from '../../../src/control/rollouts/rollout-engine.js'
import { type Phase, TRANSITIONS } from '../../../src/control/rollouts/transitions.js'
import { Lab } from './rollout-lab.js'

const page = readFileSync(new URL('../../../docs/rollouts.md', import.meta.url), 'utf8')

it('docs/rollouts.md draws every transition, and no other', () => {
  const drawn = [...page.matchAll(/^ {2}(\w+) --> (\w+) : (\w+)$/gm)].map(([, from, to, event]) => `${from} ${event} ${to}`)
  const known = Object.entries(TRANSITIONS).flatMap(([from, ways]) =>
    Object.entries(ways).flatMap(([event, targets]) => targets.map(to => `${from} ${event} ${to}`)),
  )
  expect(drawn.sort()).toEqual(known.sort())
})

it('every phase is described', () => {
  for (const phase of Object.keys(TRANSITIONS)) expect(page).toContain(`| \`${phase}\` |`)
})

it.each(Object.keys(TRANSITIONS) as Phase[])('what a person may say of a rollout that is %s', async phase => {
  const possible: string[] = []
  for (const action of ACTIONS) {
    const lab = await Lab.open()
    const { status } = lab.table.get('canary')!
    await lab.store.put('rollout-status', 'canary', { ...status, Phase: phase, Step: 0 })
    const refusal = await lab.act(action).then(
      () => undefined,
      (error: Error) => error.message,
    )
    lab.engine.stop()
    if (refusal === undefined) possible.push(action)
    else expect(refusal).toBe(`rollout canary is ${phase}: ${action} is not possible`)
  }
  expect(possible).toEqual(EXPECTED[phase])
})

const ANY = ['promote', 'pause', 'abort']
const EXPECTED: Readonly<Record<Phase, readonly string[]>> = {
  Ready: ['start'],
  Starting: ['abort'],
  Mirroring: ANY,
  Stepping: ANY,
  Gated: ANY,
  Paused: ['resume', 'abort'],
  Finishing: [],
  Succeeded: ['start'],
  RollingBack: [],
  RolledBack: ['start'],
  Conflicted: ['start'],
}
