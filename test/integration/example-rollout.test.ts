// The deployment of examples/rollout runs by its one command, and shows what its README says.
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'

const script = fileURLToPath(new URL('../../examples/rollout/run.mjs', import.meta.url))

it('examples/rollout runs by one command', { timeout: 180_000 }, async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [script, '--once'], { timeout: 170_000 })
  const [good, bad] = stdout.split('applied rollout/shop-v3')
  expect(good).toMatch(/ succeed {2}Succeeded {2}100% {2}all requests go to v2\n/)
  expect(good).toMatch(/customers got: version 1 \d+ times, version 2 \d+ times\n/)
  expect(bad).toMatch(/ fail {2}RollingBack {2}0% {2}errors: success rate \d\d(\.\d+)? % below 99 %/)
  expect(bad).toMatch(/ restored {2}RolledBack {2}0% /)
  // Nobody had an answer of version 3, and no request has failed.
  expect(bad).toMatch(/customers got: version 2 \d+ times\n/)
})
